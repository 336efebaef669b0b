"""The Prefect flow that makes older results anew, as `ccdwatch backfill` does."""

# Annotations are types here, not texts: the process of a flow run gets the flow without the names in them.

from datetime import date
from importlib.metadata import version

from prefect import State, flow, get_run_logger
from prefect.states import Completed, Failed

from ccdcore.text import number_of
from flows.commands import process
from flows.config.redaction import redact, without_secrets
from flows.home.home import own_home


@flow(name="backfill", version=version("ccdwatch"), persist_result=False)
def backfill(since: date | None = None, home: str | None = None) -> State[None]:
    """Make older results anew where the recipe, the entry or the rules have changed since.

    Parameters
    ----------
    since : date, optional
        Only nights from this one on.
    home : str, optional
        Id of the home that it is for. A run for another home than that of its process is refused.

    Returns
    -------
    State
        Failed, with the reasons, where something failed.
    """
    logger = get_run_logger()
    with without_secrets():
        told: list[str] = []

        def say(what: str, _done: int, _all: int) -> None:
            if told[-1:] != [what]:
                told.append(what)
                logger.info("%s", redact(what))

        made = process.backfill(own_home(home), since=since, progress=say)
    if made["failed"]:
        reasons = "; ".join(f"{one['path']}: {one['reason']}" for one in made["failed"])
        return Failed(message=redact(reasons))
    rows = [*made["characterisations"], *made["masters"]]
    sets = {(row["instrument"], row["configuration"], row["night"]) for row in rows}
    return Completed(message=f"{number_of(len(sets), 'set')} made anew" if sets else "nothing is stale")
