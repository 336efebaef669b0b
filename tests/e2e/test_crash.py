"""What is left after `kill -9`: every result is there once, and nothing else."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from db.runs.masters import list_masters
from db.runs.runs import RunOnRecord, open_runs
from db.schema.models import FileState
from db.trends.history import trends
from flows.products.leftovers import unregistered
from tests.e2e.conftest import START_SECONDS
from tests.support.pace import LONG, hold
from tests.support.service import Service, is_alive, kill, wait_for
from tests.support.simulate import Camera, simple_night

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(512, 1024))
"""One whose masters take a while."""
N_BIAS, N_FLAT = 12, 8
N_FRAMES = N_BIAS + N_FLAT
RECOVERY_SECONDS = 30.0


@pytest.fixture(scope="module")
def service(prepared: Callable[..., Service]) -> Service:
    service = prepared()
    service.start()
    return service


def land(service: Service, instrument: str, seed: int) -> None:
    """Let the frames of a night land, all in one moment."""
    folder = service.outside / instrument
    simple_night(folder, seed=seed, instrument=instrument, camera=CAMERA, n_bias=N_BIAS, n_flat=N_FLAT)
    folder.rename(service.incoming / instrument)


def wait_for_a_master(service: Service, instrument: str) -> RunOnRecord:
    """Wait until a run is in its midst, with a file under way or just written; return it."""
    folder = service.home / "masters" / instrument
    assert wait_for(lambda: any(folder.rglob("*.*")), seconds=LONG, every=0.005), service.said()
    (run,) = service.runs(instrument)
    return run


def pid_of(service: Service, run: RunOnRecord) -> int:
    with service.on_record.read_session() as session:
        return next(one.pid for one in open_runs(session) if one.id == run.id)


def assert_results_are_there_once(service: Service, instrument: str) -> None:
    """Hold the record, the files and the references of an instrument against each other."""
    began = time.monotonic()
    run = service.wait_until_done(instrument, N_FRAMES)
    hold(f"result after {instrument} was killed", time.monotonic() - began, RECOVERY_SECONDS)
    time.sleep(1)  # were it done twice, it would be now
    assert [one.id for one in service.runs(instrument) if one.outcome == "done"] == [run.id]
    assert not [one for one in service.runs(instrument) if one.outcome == "running"]
    with service.on_record.read_session() as session:
        made = list_masters(session, instrument=instrument, superseded=True)
        current = trends(session, instrument=instrument, superseded=True)
    assert sorted(one.kind for one in made) == ["bias", "flat", "mask"]
    quantities = [row.quantity for row in current]
    assert len(quantities) == len(set(quantities))
    assert {"bias_level", "gain", "read_noise", "read_noise_adu"} <= set(quantities)
    assert {service.home / one.path for one in made} <= files_below(service.home / "masters" / instrument)
    assert unregistered(service.on_record) == []  # what was cut short left files, which go later
    references = files_below(service.home / "reference" / instrument)
    assert {path.name for path in references} == {"master_bias_bin1x1.fits", "master_flat_bin1x1_V.fits"}
    published = [service.home / one.path for one in made if one.kind != "mask"]
    assert {path.stat().st_ino for path in references} == {path.stat().st_ino for path in published}


def assert_soon(is_so: Callable[[], bool], what: str, limit: float) -> None:
    began = time.monotonic()
    assert wait_for(is_so, seconds=LONG), what
    hold(what, time.monotonic() - began, limit)


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def prefect_state(service: Service, run: RunOnRecord) -> str:
    return str(service.prefect("GET", f"/flow_runs/{run.flow_run_id}")["state_type"])


def test_all_killed_in_the_midst_of_a_master(service: Service) -> None:
    land(service, "all", seed=1)
    run = wait_for_a_master(service, "all")
    service.crash()
    assert [one.outcome for one in service.runs("all")] == ["running"]
    hold("ready after kill -9", service.start(), START_SECONDS)
    assert_results_are_there_once(service, "all")
    assert [one.outcome for one in service.runs("all")] == ["abandoned", "done"]
    assert_soon(lambda: prefect_state(service, run) == "CRASHED", "the end of a flow run is seen", 10.0)


def test_serve_killed_in_the_midst_of_a_master(service: Service) -> None:
    land(service, "serve", seed=2)
    run = wait_for_a_master(service, "serve")
    worker = psutil.Process(pid_of(service, run))
    kill([service.part("serve")])
    assert_soon(lambda: not is_alive(worker), "a flow run ends with the process that serves it", 2.0)
    assert_results_are_there_once(service, "serve")
    assert [one.outcome for one in service.runs("serve")] == ["abandoned", "done"]
    assert_soon(lambda: prefect_state(service, run) == "CRASHED", "the end of a flow run is seen", 10.0)


def test_processes_of_flow_runs_killed_as_they_read_and_in_the_midst_of_a_master(service: Service) -> None:
    land(service, "run", seed=3)
    claimed = wait_for(lambda: service.files(FileState.CLAIMED, below="run"), seconds=LONG, every=0.005)
    assert claimed, service.said()
    kill([psutil.Process(int(claimed[0].claimed_by.split(":")[1]))])
    run = wait_for_a_master(service, "run")
    kill([psutil.Process(pid_of(service, run))])
    assert_results_are_there_once(service, "run")
    assert [one.outcome for one in service.runs("run")] == ["abandoned", "done"]
    assert_soon(lambda: prefect_state(service, run) == "CRASHED", "the end of a flow run is seen", 10.0)


def test_watch_killed_as_frames_land(service: Service) -> None:
    watch = service.part("watch")
    land(service, "watch", seed=4)
    kill([watch])
    assert_results_are_there_once(service, "watch")
    assert [one.outcome for one in service.runs("watch")] == ["done"]


def test_server_killed_in_the_midst_of_a_master(service: Service) -> None:
    land(service, "server", seed=5)
    wait_for_a_master(service, "server")
    kill([service.part("uvicorn")])
    assert_results_are_there_once(service, "server")
    assert [one.outcome for one in service.runs("server")] == ["done"]


def test_up_killed_alone_takes_all_with_it(service: Service) -> None:
    assert service.process is not None
    kill([psutil.Process(service.process.pid)])
    service.process.wait()
    assert_soon(lambda: not service.family(), "all end with up", 3.0)
