"""What this machine, and each worker of a Dask cluster, lacks to take part in the work on a home of several."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ccdcore.errors import ExpectedError
from ccdcore.text import number_of, one_line
from db.files.homes import home_on_record, newest_files
from flows.config.redaction import redact, without_credentials
from flows.home.home import Home, read_home
from flows.prefect_server.client import FLOWS, PrefectApi, PrefectUnavailableError
from flows.prefect_server.password import password_of

NEWEST = 20
"""Files on record that are looked for."""
_CLUSTER_SECONDS = 10


def lacks(home: Home) -> Iterator[str]:
    """Say what keeps this machine from work that others do; each ends with what to do about it."""
    yield from _other_name(home)
    yield from _files_not_here(home)
    if home.settings.prefect.task_runner == "dask" and home.settings.prefect.dask_address is not None:
        yield from _of_the_cluster(home, home.settings.prefect.dask_address)


def _other_name(home: Home) -> Iterator[str]:
    with home.read_session() as session:
        row = home_on_record(session)
    if row is not None and row.host != home.settings.host:
        yield (
            f"files are on record as those of {row.host}, and this machine would look for files of "
            f'{home.settings.host}: write host = "{row.host}" below [watch]'
        )


def _files_not_here(home: Home) -> Iterator[str]:
    with home.read_session() as session:
        newest = newest_files(session, host=home.settings.host, at_most=NEWEST)
    if newest and not any(path.is_file() for path in newest):
        yield (
            f"none of the last {number_of(len(newest), 'file')} on record is here, for example {newest[0]}: mount "
            "their folder on this machine under the same path"
        )


def unknown_flows(home: Home) -> Iterator[str]:
    """Say what the home's own Prefect server does not know yet, or refuses; that it is away, its health tells."""
    if (api_url := home.settings.prefect.api_url) is None:
        return
    shown = without_credentials(api_url)
    with PrefectApi(api_url, password=password_of(home.path, api_url)) as api:
        try:
            unknown = [flow for flow in FLOWS if api.deployment_id(flow) is None]
        except PrefectUnavailableError as error:
            if not error.is_passing:
                yield error.in_words
            return
    if unknown:
        todo = "start ccdwatch serve, or type prefect deploy --all --prefect-file deploy/prefect.yaml"
        yield f"Prefect at {shown} does not know our flows: {todo}"


def _of_the_cluster(home: Home, address: str) -> Iterator[str]:
    from distributed import Client

    try:
        with Client(address, timeout=_CLUSTER_SECONDS, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            told: dict[str, Any] = client.run(what_it_lacks, str(home.path), version("ccdwatch"), on_error="return")
    except (OSError, ValueError) as error:
        yield f"the Dask cluster at {address} does not answer ({one_line(redact(error))}): start its scheduler"
        return
    if not told:
        yield f"the Dask cluster at {address} has no workers: start dask worker {address} --nthreads 1"
    yield from (f"the Dask worker {worker}: {one_line(redact(words))}" for worker, words in told.items() if words)


def what_it_lacks(home: str, wanted: str) -> str | None:
    """Return what a process lacks to work on a home: the same ccdwatch, the home's folder, its database."""
    if (installed := version("ccdwatch")) != wanted:
        return f"has ccdwatch {installed}, and must have {wanted}"
    try:
        read_home(Path(home)).engine.dispose()
    except ExpectedError as error:
        return str(error)
    return None
