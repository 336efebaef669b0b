"""What people do in the Prefect UI is told by `status`, `doctor`, `/health`, the overview, and mended as they say."""

import html
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest

from db.runs.runs import RunOnRecord, open_runs
from flows.health.judgement import judge
from flows.home.output_paths import report_path
from tests.e2e.conftest import START_SECONDS
from tests.support.pace import LONG, hold
from tests.support.service import Service, ccdwatch, wait_for
from tests.support.simulate import Camera, simple_night

SLOW = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(512, 1024))
"""One whose masters take a while."""
N_FRAMES = 9
TOLD_SECONDS = 120.0


@pytest.fixture(scope="module")
def service(prepared: Callable[..., Service]) -> Service:
    service = prepared()
    hold("ready", service.start(), START_SECONDS)
    return service


@pytest.fixture(scope="module")
def done(service: Service) -> RunOnRecord:
    """The run of a night that is done."""
    land(service, "done", seed=10)
    return service.wait_until_done("done", N_FRAMES)


def land(service: Service, instrument: str, *, seed: int, **night: Any) -> None:
    """Let the frames of a night land, all in one moment."""
    folder = service.outside / instrument
    simple_night(folder, seed=seed, instrument=instrument, **night)
    folder.rename(service.incoming / instrument)


def deployment(service: Service, flow: str) -> str:
    return f"/deployments/{service.prefect('GET', f'/deployments/name/{flow}/ccdwatch')['id']}"


def ask_by_hand(service: Service, set_id: object) -> dict[str, Any]:
    """Ask for a run of a set as *Custom run* of the Prefect UI does; return it."""
    body = {"parameters": {"set_id": set_id}, "enforce_parameter_schema": False}
    run: dict[str, Any] = service.prefect("POST", f"{deployment(service, 'calibrate')}/create_flow_run", body)
    return run


def concerns(service: Service, words: str) -> list[str]:
    return [one.words for one in judge(service.on_record).attention if words in one.words]


def is_told(service: Service, words: str) -> str:
    """Wait until it is told, and see that all who tell of health do; return how."""
    began = time.monotonic()
    found = wait_for(lambda: concerns(service, words), seconds=LONG, every=1)
    assert found, f"{words}\n{judge(service.on_record).words}\n{service.said()}"
    hold(f"told: {words}", time.monotonic() - began, TOLD_SECONDS)
    (told,) = found
    assert f": {told}" in ccdwatch(service.home, "status").stdout
    assert "warn look at " in ccdwatch(service.home, "doctor").stdout
    site = f"http://127.0.0.1:{service.web_port}"
    listed = lambda: [one["words"] for one in httpx.get(f"{site}/health?level=attention").json()["attention"]]  # noqa: E731
    assert wait_for(lambda: told in listed(), seconds=LONG, every=1), listed()
    assert told in html.unescape(httpx.get(site).text)
    return told


def is_over(service: Service, words: str) -> None:
    assert wait_for(lambda: not concerns(service, words), seconds=LONG, every=1), concerns(service, words)


@pytest.mark.usefixtures("done")
def test_a_paused_flow_is_told_and_holds_up_nothing(service: Service) -> None:
    paused = deployment(service, "calibrate")
    assert wait_for(lambda: service.ask("POST", f"{paused}/pause_deployment").is_success, seconds=LONG)
    is_told(service, "the flow calibrate is paused in Prefect, the service asks for it all the same")
    land(service, "paused", seed=20)
    service.wait_until_done("paused", N_FRAMES)
    assert service.prefect("GET", paused)["paused"]
    # Its database may be busy for a moment.
    assert wait_for(lambda: service.ask("POST", f"{paused}/resume_deployment").is_success, seconds=LONG)
    is_over(service, "paused in Prefect")


def test_a_run_by_hand_with_a_wrong_parameter_is_told_until_it_is_deleted(service: Service, done: RunOnRecord) -> None:
    flow_run = ask_by_hand(service, 9999)
    is_told(service, f"the run {flow_run['name']} failed in Prefect: set_id is 9999: no frames of such a set")
    assert wait_for(lambda: service.ask("DELETE", f"/flow_runs/{flow_run['id']}").is_success, seconds=LONG)
    is_over(service, flow_run["name"])
    right = ask_by_hand(service, done.calibration_set_id)

    def again() -> list[RunOnRecord]:
        return [run for run in service.runs("done") if run.flow_run_id == right["id"] and run.outcome == "done"]

    assert wait_for(again, seconds=LONG), service.said()
    assert concerns(service, "in Prefect") == []


def test_a_run_that_does_not_begin_and_a_deleted_flow_are_told_and_are_mended_when_flows_are_served_again(
    service: Service, done: RunOnRecord
) -> None:
    serve = service.part("serve")
    serve.suspend()
    try:
        flow_run = ask_by_hand(service, done.calibration_set_id)
        is_told(service, f"the run {flow_run['name']} is ")
    finally:
        serve.resume()
    path = f"/flow_runs/{flow_run['id']}"
    assert wait_for(lambda: service.prefect("GET", path)["state_type"] == "COMPLETED", seconds=LONG), service.said()
    is_over(service, flow_run["name"])
    serve.suspend()
    try:
        path = deployment(service, "calibrate")
        assert wait_for(lambda: service.ask("DELETE", path).is_success, seconds=LONG)
        is_told(service, "Prefect does not know the flow calibrate")
    finally:
        serve.resume()
    is_over(service, "the flow calibrate")
    land(service, "deleted", seed=30)
    service.wait_until_done("deleted", N_FRAMES)


def test_the_report_is_begun_by_the_clock_and_by_a_schedule_that_somebody_adds(
    service: Service, done: RunOnRecord
) -> None:
    report = deployment(service, "report")

    def begun_by_the_clock() -> list[dict[str, Any]]:
        wanted = {"flows": {"name": {"any_": ["report"]}}}
        found: list[dict[str, Any]] = service.prefect("POST", "/flow_runs/filter", wanted)
        return [run for run in found if run["auto_scheduled"]]

    def nightly() -> list[str]:
        return [run["id"] for run in begun_by_the_clock() if "T06:30:00" in run["expected_start_time"]]

    assert wait_for(nightly, seconds=LONG, every=1), service.said()
    # One that begins soon: nobody waits for the night here.
    often = [{"schedule": {"interval": 20}, "parameters": {"month": str(done.night)}}]
    (schedule,) = service.prefect("POST", f"{report}/schedules", often)
    try:
        page = service.home / report_path("done", done.night)
        assert wait_for(page.exists, seconds=LONG, every=1), (begun_by_the_clock(), service.said())
    finally:
        assert wait_for(lambda: service.ask("DELETE", f"{report}/schedules/{schedule['id']}").is_success, seconds=LONG)
    assert wait_for(lambda: "COMPLETED" in {run["state_type"] for run in begun_by_the_clock()}, seconds=LONG)


def test_a_cancelled_run_is_told_with_how_it_is_made_again(service: Service) -> None:
    land(service, "cancelled", seed=40, camera=SLOW, n_bias=12, n_flat=8)

    def under_way() -> list[int]:
        with service.on_record.read_session() as session:
            return [run.pid for run in open_runs(session) if run.instrument == "cancelled"]

    assert wait_for(under_way, seconds=LONG, every=0.02), service.said()
    psutil.Process(*under_way()).suspend()  # else it may be done before Prefect ends it
    (run,) = service.runs("cancelled")
    asked = {"state": {"type": "CANCELLING"}}
    assert service.prefect("POST", f"/flow_runs/{run.flow_run_id}/set_state", asked)["status"] == "ACCEPT"
    told = is_told(service, f"run:{run.id}, cancelled ")
    assert f"ccdwatch retry run:{run.id} makes it again" in told
    assert {one.outcome for one in service.runs("cancelled")} == {"cancelled"}
    shown = json.loads(ccdwatch(service.home, "status", "--json").stdout)["attention"]
    assert [one["kind"] for one in shown if one["words"] == told] == ["cancelled run"]
    assert ccdwatch(service.home, "retry", f"run:{run.id}").returncode == 0
    service.wait_until_done("cancelled", 20)
    is_over(service, f"run:{run.id}, cancelled ")
