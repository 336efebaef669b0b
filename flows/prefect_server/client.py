"""The Prefect server as the light processes see it: its environment, and plain HTTP without importing Prefect."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx

from ccdcore.errors import ExpectedError
from flows.config.redaction import redact, without_credentials
from flows.home.home import is_of_home
from flows.home.service_address import prefect_pages
from flows.retries import PREFECT_PAUSE_S

DEPLOYMENT = "ccdwatch"
"""Name of the deployment of each of our flows."""
FLOWS = ("ingest", "calibrate")
"""Our flows that the service cannot work without."""

PREFECT_AWAY = "Prefect does not answer"

FINAL_STATES = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


class PrefectUnavailableError(ExpectedError):
    """The Prefect server does not answer, or not yet as it should; what was asked can be asked again.

    Parameters
    ----------
    message : str
        What was asked, and what went wrong.
    status : int or None
        HTTP status of the answer; None where there was none.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_passing(self) -> bool:
        """Whether the server is away or too busy, rather than that it does not know what was asked for."""
        return self.status is None or self.status >= 500

    @property
    def in_words(self) -> str:
        """What it means for the work, and what is done about it."""
        if self.status is None:
            return f"{PREFECT_AWAY}, work waits: {self}"
        if self.status == 404:
            return f"Prefect does not know our flows, work waits: they are registered anew within a minute ({self})"
        if self.status in {401, 403}:
            return f"Prefect refuses us, work waits: set PREFECT_API_AUTH_STRING as its server has it ({self})"
        return f"Prefect answers with an error, work waits: {self}"


def prefect_environment(home: Path, api_url: str) -> dict[str, str]:
    """Return the environment of every process that speaks to, or is, the Prefect server of a home.

    Quiet and offline: no analytics, no promotion, no second UI that calls out, and no server started in
    secret where none answers. Only its own pages may speak to it from a browser, not those of other sites.
    Its database lies in the home and is never ours, and so do its pages, which it adapts to its address: where
    ccdwatch is installed, it may not be allowed to write. Batch sizes as measured: the defaults record 20 task
    runs a second, these 67.
    """
    pages = prefect_pages(api_url)
    return {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": api_url,
        "PREFECT_UI_URL": pages,
        "PREFECT_SERVER_UI_API_URL": without_credentials(api_url),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "prefect" / "pages"),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"{pages},{pages.replace('127.0.0.1', 'localhost')}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    }


@dataclass(frozen=True, slots=True)
class FlowRunState:
    """State of a flow run: its type (``COMPLETED``, ``RUNNING``, …) and message."""

    type: str
    message: str

    @property
    def is_final(self) -> bool:
        """Whether the run is over."""
        return self.type in FINAL_STATES

    @property
    def was_cancelled(self) -> bool:
        """Whether somebody ended the run on purpose."""
        return self.type in {"CANCELLING", "CANCELLED"}

    @property
    def was_cut_short(self) -> bool:
        """Whether a run that nobody works on any more was killed, rather than cancelled or failed."""
        return self.type in {"SCHEDULED", "PENDING", "RUNNING", "CRASHED"}


class PrefectApi:
    """A client of the Prefect server's HTTP API; it authenticates itself as Prefect's own clients do.

    Parameters
    ----------
    url : str
        Address of the API, for example ``http://127.0.0.1:4200/api``.
    password : str or None
        What the server asks for, as ``user:password``; whether it is ready, it says without.
    patience_seconds : float
        How long it is asked again while it is away or too busy.
    timeout_seconds : float
        How long an answer is waited for.
    """

    def __init__(
        self, url: str, *, password: str | None = None, patience_seconds: float = 0, timeout_seconds: float = 10
    ) -> None:
        self.url = url
        self._patience_seconds = patience_seconds
        headers = {"Authorization": f"Basic {b64encode(password.encode()).decode()}"} if password else {}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)
        self._deployments: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def is_ready(self) -> bool:
        """Whether the server answers."""
        try:
            return self._client.get("/health").is_success
        except httpx.HTTPError:
            return False

    def submit(
        self, flow: str, *, name: str, parameters: Mapping[str, Any], tags: Sequence[str], idempotency_key: str
    ) -> str:
        """Ask for a run of one of our flows and return its id; the same key gives the same run.

        Raises
        ------
        PrefectUnavailableError
            If the server is away, or does not know the flow yet.
        """
        body = {
            "name": name,
            "parameters": dict(parameters),
            "tags": list(tags),
            "idempotency_key": idempotency_key,
            "state": {"type": "SCHEDULED"},
        }
        run = self._call("POST", f"/deployments/{self._deployment(flow)}/create_flow_run", body)
        return str(run["id"])

    def state(self, flow_run_id: str) -> FlowRunState | None:
        """Return the state of a flow run; None where the server knows no such run."""
        try:
            run = self._call("GET", f"/flow_runs/{flow_run_id}")
        except PrefectUnavailableError as error:
            if error.status == 404:
                return None
            raise
        state = run.get("state") or {}
        return FlowRunState(str(state.get("type", "PENDING")), str(state.get("message") or ""))

    def under_way(self, home: Path) -> list[str]:
        """Return the ids of the runs on a home that the server believes to be under way."""
        states = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
        return [str(run["id"]) for run in self.flow_runs(home, state=states)]

    def flow_runs(self, home: Path, **wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the runs on a home that pass a filter of Prefect, as it describes them: of many the newest 200."""
        of = {"deployments": {"name": {"any_": [DEPLOYMENT]}}, "sort": "EXPECTED_START_TIME_DESC"}
        runs = self._call("POST", "/flow_runs/filter", {"flow_runs": wanted, **of})
        return [run for run in runs if is_of_home(home, run["parameters"].get("home"))]

    def flows(self, *, is_paused: bool | None = None) -> set[str]:
        """Return the names of our flows that the server knows, or of those whose deployment is paused, or is not."""
        paused = {} if is_paused is None else {"paused": {"eq_": is_paused}}
        wanted = {"deployments": {"name": {"any_": [DEPLOYMENT]}, **paused}}
        return {str(flow["name"]) for flow in self._call("POST", "/flows/filter", wanted)}

    def hasten(self, at: datetime) -> None:
        """Let what waits for a later time begin now: it was asked for by a clock that was ahead."""
        states = {"type": {"any_": ["SCHEDULED"]}}
        later = {"after_": (at + timedelta(seconds=1)).isoformat()}
        wanted = {
            "flow_runs": {"state": states, "next_scheduled_start_time": later},
            "deployments": {"name": {"any_": [DEPLOYMENT]}},
        }
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at.isoformat()}}
        for run in self._call("POST", "/flow_runs/filter", wanted):
            if not run.get("auto_scheduled"):  # what runs by the clock waits for its time
                self._call("POST", f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})

    def deployment_id(self, flow: str) -> str | None:
        """Return the id of the deployment of one of our flows; None where the server knows none."""
        try:
            return str(self._call("GET", f"/deployments/name/{flow}/{DEPLOYMENT}")["id"])
        except PrefectUnavailableError as error:
            if error.status == 404:
                return None
            raise

    def mark_crashed(self, flow_run_id: str, message: str) -> None:
        """Tell the server that a run it believes to be running died with its process."""
        state = {"type": "CRASHED", "message": message}
        self._call("POST", f"/flow_runs/{flow_run_id}/set_state", {"state": state, "force": True})

    def _deployment(self, flow: str) -> str:
        if flow not in self._deployments:
            self._deployments[flow] = str(self._call("GET", f"/deployments/name/{flow}/{DEPLOYMENT}")["id"])
        return self._deployments[flow]

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        end = time.monotonic() + self._patience_seconds
        while True:
            try:
                return self._ask(method, path, body)
            except PrefectUnavailableError as error:
                self._deployments.clear()  # a new server has new ids
                if not error.is_passing or time.monotonic() >= end:
                    raise
            time.sleep(PREFECT_PAUSE_S)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            response = self._client.request(method, path, json=body)
            response.raise_for_status()
            return response.json()
        except (httpx.HTTPError, ValueError) as error:
            status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
            why = str(error).partition("\n")[0]
            raise PrefectUnavailableError(redact(f"{method} {self.url}{path}: {why}"), status=status) from error
