"""What this machine lacks to take part in the work on a home that several work on."""

from __future__ import annotations

from collections.abc import Iterator

from ccdcore.text import number_of
from db.files.homes import home_on_record, newest_files
from flows.config.redaction import without_credentials
from flows.home.home import Home
from flows.prefect_server.client import FLOWS, PrefectApi, PrefectUnavailableError
from flows.prefect_server.password import password_of

NEWEST = 20
"""Files on record that are looked for."""


def lacks(home: Home) -> Iterator[str]:
    """Say what keeps this machine from work that others do; each ends with what to do about it."""
    yield from _other_name(home)
    yield from _files_not_here(home)


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
