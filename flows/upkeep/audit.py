"""The Prefect flow that holds disk against record, as `ccdwatch audit` does."""

from __future__ import annotations

from importlib.metadata import version

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.states import Completed, Failed

from ccdcore.text import number_of
from flows.commands import audit as command
from flows.config.redaction import redact, without_secrets
from flows.home.home import own_home
from flows.orchestration.shown.report import MOST_ROWS, text


@flow(name="audit", version=version("ccdwatch"), persist_result=False)
def audit(home: str | None = None) -> State[None]:
    """Hold every raw file, master and reference of this machine against the record, byte by byte.

    Parameters
    ----------
    home : str, optional
        Id of the home that it is for. A run for another home than that of its process is refused.

    Returns
    -------
    State
        Failed where disk and record differ; the differences are a table among the artifacts.
    """
    with without_secrets():
        found, n_files = command.audit(own_home(home))
    looked_at = f"{number_of(n_files, 'file')} looked at"
    if not found:
        return Completed(message=f"{looked_at}: disk and record agree")
    for one in found[:MOST_ROWS]:
        get_run_logger().warning("%s", redact(f"{one['finding']} {one['kind']} {one['path']}"))
    rows = [{name: text(one[name] or "") for name in ("finding", "kind", "id", "path")} for one in found[:MOST_ROWS]]
    create_table_artifact(rows, key="audit", description=text(looked_at))
    return Failed(message=f"{looked_at}, {len(found)} not as the record says: ccdwatch audit lists them")
