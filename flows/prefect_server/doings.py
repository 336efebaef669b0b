"""What people did in the Prefect UI and what came of it, as far as it is to be told: nothing of it is on our record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ccdcore.text import number_of
from db.runs.runs import made_by_flow_runs
from flows.config.errors import SettingsError
from flows.home.home import Home
from flows.home.service_address import prefect_address
from flows.prefect_server.client import FLOWS, PrefectApi, PrefectUnavailableError
from flows.prefect_server.password import password_of

TOLD_FOR = timedelta(days=1)
"""How long a run by hand is told that failed before it began, where nobody does it again or removes it in Prefect."""
BEGINS_WITHIN = timedelta(seconds=75)
"""A flow run that has waited for so long is told, where no other one of its flow is at work."""
_ANSWER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Doing:
    """Something to be told.

    Parameters
    ----------
    key : str
        By which it is known to be the same.
    words : str
        What it is, and what to do.
    may_pass : bool
        Whether a service that works mends it by itself.
    """

    key: str
    words: str
    may_pass: bool = False


def doings(home: Home, at: datetime) -> list[Doing]:
    """Return what is to be told; nothing where Prefect does not answer us, which is told elsewhere.

    Parameters
    ----------
    home : Home
        The open home.
    at : datetime
        Now.
    """
    api_url = prefect_address(home)
    if api_url is None:
        return []
    try:
        with PrefectApi(api_url, password=password_of(home.path, api_url), timeout_seconds=_ANSWER_SECONDS) as api:
            return [*_of_deployments(api), *_of_failures(home, api, at), *_of_waiting(home, api, at)]
    except (PrefectUnavailableError, SettingsError):
        return []


def _of_deployments(api: PrefectApi) -> Iterator[Doing]:
    for flow in sorted(set(FLOWS) - api.flows()):
        remedy = "where ccdwatch serve runs, it is registered anew within a minute"
        yield Doing(f"lost:{flow}", f"Prefect does not know the flow {flow}: {remedy}", may_pass=True)
    for flow in sorted(api.flows(is_paused=True)):
        goes_on = "the service asks for it all the same" if flow in FLOWS else "it does not run by the clock"
        yield Doing(f"paused:{flow}", f"the flow {flow} is paused in Prefect, {goes_on}: resume it there")


def _of_failures(home: Home, api: PrefectApi, at: datetime) -> Iterator[Doing]:
    """Tell of runs by hand and by the clock that failed and began none on record: of a set that is none, for example.

    What the service asked for has a key of ours: it is on record, or asked for again.
    """
    ended = {"after_": (at - TOLD_FOR).isoformat()}
    runs = api.flow_runs(home.path, state={"type": {"any_": ["FAILED", "CRASHED"]}}, end_time=ended)
    failed = [run for run in runs if (run.get("idempotency_key") or "scheduled").startswith("scheduled")]
    with home.read_session() as session:
        known = made_by_flow_runs(session, [run["id"] for run in failed])
    for run in failed:
        if run["id"] not in known:
            why = run["state"]["message"] or "it does not say why"
            remedy = "when that is put right, ask for it again, or delete it there"
            yield Doing(f"flow run {run['id']}", f"the run {run['name']} failed in Prefect: {why}: {remedy}")


def _of_waiting(home: Home, api: PrefectApi, at: datetime) -> Iterator[Doing]:
    """Tell of runs that ought to be at work and are not; of those that wait for others of their flow nothing."""
    states = {"type": {"any_": ["SCHEDULED", "PENDING", "PAUSED"]}}
    runs = api.flow_runs(home.path, state=states, expected_start_time={"before_": at.isoformat()})
    late = sorted((run for run in runs if at - _since(run) > BEGINS_WITHIN), key=_since)
    for run in late:
        if remedy := _REMEDIES.get(run["state_type"]):
            yield _told(run, remedy)
    if late:
        at_work = {run["flow_id"] for run in api.flow_runs(home.path, state={"type": {"any_": ["RUNNING"]}})}
        idle = [run for run in late if run["state_type"] == "SCHEDULED" and run["flow_id"] not in at_work]
        for run in idle[:1]:
            more = f", and {number_of(len(idle) - 1, 'other')} with it" if idle[1:] else ""
            yield _told(run, f"nothing begins it{more}: see whether ccdwatch serve runs, and the limits in Prefect")


_REMEDIES = {
    "PAUSED": "resume it in Prefect",
    "PENDING": "it was begun and does not get on: delete it in Prefect, and what is due is asked for anew",
}


def _told(run: Mapping[str, Any], remedy: str) -> Doing:
    state = f"{run['state_name']} since {_since(run):%H:%M:%S} UTC"
    return Doing(f"flow run {run['id']} {run['state_type']}", f"the run {run['name']} is {state}: {remedy}")


def _since(run: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(run["state"]["timestamp"])
