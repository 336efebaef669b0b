"""The light client of Prefect's API, against a server of our own that says what is asked of it."""

import base64
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.home.home import home_id
from flows.prefect_server.client import (
    FINAL_STATES,
    FlowRunState,
    PrefectApi,
    PrefectUnavailableError,
    prefect_environment,
)
from tests.support.prefect_says import Server, prefect_says


@pytest.fixture
def server() -> Iterator[Server]:
    with prefect_says() as server:
        yield server


@pytest.fixture
def api(server: Server) -> Iterator[PrefectApi]:
    server.answer("/health", True)
    server.answer("/deployments/name/calibrate/ccdwatch", {"id": "d1"})
    server.answer("/deployments/d1/create_flow_run", {"id": "r1"}, 201)
    with PrefectApi(server.url) as client:
        yield client


def submit(api: PrefectApi, key: str = "k") -> str:
    return api.submit("calibrate", name="n", parameters={"set_id": 1}, tags=["m2-ml"], idempotency_key=key)


def test_a_run_is_asked_for_with_its_key(api: PrefectApi, server: Server) -> None:
    assert submit(api) == "r1"
    assert server.asked[-1] == (
        "POST",
        "/api/deployments/d1/create_flow_run",
        {
            "name": "n",
            "parameters": {"set_id": 1},
            "tags": ["m2-ml"],
            "idempotency_key": "k",
            "state": {"type": "SCHEDULED"},
        },
    )


def test_a_deployment_is_looked_up_once(api: PrefectApi, server: Server) -> None:
    submit(api)
    submit(api, "other")
    assert [path for method, path, _ in server.asked if method == "GET"] == ["/api/deployments/name/calibrate/ccdwatch"]


def test_a_new_server_has_new_ids(api: PrefectApi, server: Server) -> None:
    submit(api)
    server.answer("/deployments/d1/create_flow_run", {}, 404)
    server.answer("/deployments/name/calibrate/ccdwatch", {"id": "d2"})
    server.answer("/deployments/d2/create_flow_run", {"id": "r2"}, 201)
    with pytest.raises(PrefectUnavailableError, match="d1/create_flow_run"):
        submit(api)
    assert submit(api) == "r2"


@pytest.mark.parametrize("kind", [*sorted(FINAL_STATES), "RUNNING", "PENDING", "SCHEDULED", "PAUSED", "CANCELLING"])
def test_states_are_final_or_not(api: PrefectApi, server: Server, kind: str) -> None:
    server.answer("/flow_runs/r1", {"state": {"type": kind, "message": "why"}})
    state = api.state("r1")
    assert state == FlowRunState(kind, "why")
    assert state is not None
    assert state.is_final == (kind in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


def test_a_run_without_a_state_is_pending(api: PrefectApi, server: Server) -> None:
    server.answer("/flow_runs/r1", {"state": None})
    assert api.state("r1") == FlowRunState("PENDING", "")


def test_a_run_that_the_server_does_not_know_has_no_state(api: PrefectApi) -> None:
    assert api.state("r9") is None


def test_a_run_can_be_marked_as_crashed(api: PrefectApi, server: Server) -> None:
    server.answer("/flow_runs/r1/set_state", {"status": "ACCEPT"}, 201)
    api.mark_crashed("r1", "gone")
    assert server.asked[-1][2] == {"state": {"type": "CRASHED", "message": "gone"}, "force": True}


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (502, b"bad gateway"), (200, b"<html>")])
def test_an_answer_that_is_none_can_be_asked_for_again(
    api: PrefectApi, server: Server, status: int, body: bytes
) -> None:
    server.answer("/flow_runs/r1", body, status)
    with pytest.raises(PrefectUnavailableError, match=rf"GET {server.url}/flow_runs/r1: "):
        api.state("r1")


def test_a_server_that_is_away_is_said_to_be() -> None:
    with PrefectApi("http://127.0.0.1:9/api") as api:
        assert not api.is_ready()
        with pytest.raises(PrefectUnavailableError, match=r"GET http://127\.0\.0\.1:9/api/deployments/name/calibrate"):
            submit(api)


def test_a_server_that_is_too_busy_is_asked_again(server: Server) -> None:
    server.answer("/flow_runs/r1", b"", 503)
    recovery = threading.Timer(0.2, server.answer, ["/flow_runs/r1", {"state": {"type": "RUNNING"}}])
    recovery.start()
    with PrefectApi(server.url, patience_seconds=5) as api:
        assert api.state("r1") == FlowRunState("RUNNING", "")
    recovery.join()


def test_what_a_server_does_not_know_it_is_not_asked_again(server: Server) -> None:
    with PrefectApi(server.url, patience_seconds=60) as api:
        assert api.state("r1") is None
        with pytest.raises(PrefectUnavailableError, match="404"):
            submit(api)
    assert len(server.asked) == 2


def test_patience_ends() -> None:
    with PrefectApi("http://127.0.0.1:9/api", patience_seconds=0.1) as api, pytest.raises(PrefectUnavailableError):
        api.state("r1")


def test_runs_under_way_are_those_of_the_home(api: PrefectApi, server: Server) -> None:
    asked_for = {"r1": "/here", "r2": "/there", "r3": home_id(Path("/here")), "r4": home_id(Path("/there"))}
    server.answer("/flow_runs/filter", [{"id": one, "parameters": {"home": home}} for one, home in asked_for.items()])
    assert api.under_way(Path("/here")) == ["r1", "r3"]
    (_, _, wanted) = server.asked[-1]
    assert wanted["flow_runs"]["state"]["type"]["any_"] == ["PENDING", "RUNNING", "CANCELLING"]
    assert wanted["deployments"]["name"]["any_"] == ["ccdwatch"]


def test_flows_are_those_with_our_deployment_or_the_paused_of_them(api: PrefectApi, server: Server) -> None:
    server.answer("/flows/filter", [{"name": "ingest"}, {"name": "report"}])
    assert api.flows() == {"ingest", "report"}
    assert server.asked[-1][2] == {"deployments": {"name": {"any_": ["ccdwatch"]}}}
    api.flows(is_paused=True)
    assert server.asked[-1][2] == {"deployments": {"name": {"any_": ["ccdwatch"]}, "paused": {"eq_": True}}}


def test_only_what_was_asked_for_is_hastened(api: PrefectApi, server: Server) -> None:
    server.answer("/flow_runs/filter", [{"id": "r1", "auto_scheduled": False}, {"id": "r2", "auto_scheduled": True}])
    server.answer("/flow_runs/r1/set_state", {"status": "ACCEPT"}, 201)
    api.hasten(datetime(2022, 9, 19, tzinfo=UTC))
    assert [path for _, path, _ in server.asked if path.endswith("set_state")] == ["/api/flow_runs/r1/set_state"]


def test_a_server_is_ready_when_it_says_so(api: PrefectApi, server: Server) -> None:
    assert api.is_ready()
    server.answer("/health", False, 503)
    assert not api.is_ready()


def test_proxies_of_the_environment_are_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer("/health", True)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with PrefectApi(server.url) as api:
        assert api.is_ready()


def test_it_authenticates_itself_as_prefects_clients_do(server: Server) -> None:
    for password in (None, "admin:p:w"):
        with PrefectApi(server.url, password=password) as api:
            api.is_ready()
    assert server.authorised == [None, "Basic " + base64.b64encode(b"admin:p:w").decode()]


def test_prefect_is_quiet_offline_and_at_home() -> None:
    environment = prefect_environment(Path("/home"), "http://127.0.0.1:4200/api")
    assert environment["PREFECT_HOME"] == "/home/prefect"
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert environment["PREFECT_UI_URL"] == "http://127.0.0.1:4200"
    for name in ("SERVER_ANALYTICS", "SERVER_UI_V2", "SERVER_EPHEMERAL"):
        assert environment[f"PREFECT_{name}_ENABLED"] == "false"
    assert environment["DO_NOT_TRACK"] == "1"
    assert all(isinstance(value, str) for value in environment.values())
