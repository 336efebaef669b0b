"""What the dispatcher does about runs that nobody works on any more."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from db.files import ledger
from db.files.ledger import Sighting
from db.runs.runs import list_runs, open_runs
from db.schema import models
from db.schema.models import FileState
from flows.calibration.figures import draw_pictures
from flows.calibration.steps import STEPS
from flows.commands.process import _Made, process
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.prefect_server.client import FlowRunState, PrefectUnavailableError
from flows.registration.register import owner_of
from flows.retries import FILE_REST
from flows.runs import begin, life
from flows.runs.begin import begin_run
from flows.runs.pictures import without_pictures
from flows.runs.plan import plans_of
from flows.runs.run import Run
from flows.service.dispatcher import Dispatcher
from tests.support.simulate import simple_night


class Prefect:
    """A server that knows the state of one flow run, and takes any request for another."""

    def __init__(self, state: FlowRunState) -> None:
        self._state = state
        self.asked_for: list[str] = []
        self.crashed: list[str] = []

    def state(self, _flow_run_id: str) -> FlowRunState:
        return self._state

    def submit(self, *_: object, idempotency_key: str, **__: object) -> str:
        self.asked_for.append(idempotency_key)
        return "another"

    def hasten(self, _at: datetime) -> None:
        pass

    def mark_crashed(self, flow_run_id: str, _message: str) -> None:
        self.crashed.append(flow_run_id)


@pytest.fixture
def under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home where another machine is at a run."""
    simple_night(tmp_path / "frames", n_bias=2, n_flat=0)
    home = open_home(tmp_path / "home")
    monkeypatch.setattr("flows.commands.process._make_runs", lambda *_, **__: _Made())
    process(home, [tmp_path / "frames"])
    (plan,) = plans_of(home, range(10), now())
    monkeypatch.setattr(begin, "HOST", "worker-2")
    begin_run(home, set_id=plan.set_id, digest=plan.digest, attempt=1, engine="prefect", flow_run_id="f1")
    return home


@pytest.mark.parametrize(
    ("state", "outcome", "message"),
    [
        (FlowRunState("RUNNING", ""), "running", None),
        (FlowRunState("CRASHED", "Process exited with status code: -9"), "abandoned", "the process that worked on it"),
        (FlowRunState("CANCELLED", "by me"), "cancelled", "cancelled: by me; ccdwatch retry run:1 makes it again"),
        (FlowRunState("COMPLETED", ""), "failed", "ended in the middle: completed"),
        (FlowRunState("FAILED", "OperationalError: gone"), "abandoned", "the database went away: OperationalError"),
    ],
)
def test_a_run_that_prefect_saw_end_is_ended_on_record(
    under_way: Home, state: FlowRunState, outcome: str, message: str | None
) -> None:
    Dispatcher(under_way, Prefect(state)).tick(now())  # type: ignore[arg-type]
    with under_way.read_session() as session:
        (run,) = list_runs(session, superseded=True)
    assert run.outcome == outcome
    assert (run.message or "").startswith(message or "")
    assert run.host == "worker-2"


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("RUNNING", "abandoned"), ("CRASHED", "abandoned"), ("CANCELLING", "cancelled"), ("CANCELLED", "cancelled")],
)
def test_a_run_whose_process_here_was_killed_is_given_up_unless_somebody_cancelled_it(
    under_way: Home, monkeypatch: pytest.MonkeyPatch, state: str, outcome: str
) -> None:
    monkeypatch.setattr("flows.service.dispatcher.is_lost", lambda _run: True)
    Dispatcher(under_way, Prefect(FlowRunState(state, ""))).tick(now())  # type: ignore[arg-type]
    with under_way.read_session() as session:
        (run,) = list_runs(session, superseded=True)
    assert run.outcome == outcome


def test_a_cancelled_run_is_not_made_again_until_somebody_asks(under_way: Home) -> None:
    prefect = Prefect(FlowRunState("CANCELLED", ""))
    dispatcher = Dispatcher(under_way, prefect)  # type: ignore[arg-type]
    for hours in range(4):
        dispatcher.tick(now() + timedelta(hours=hours))
    assert prefect.asked_for == []
    assert [plan.attempt for plan in plans_of(under_way, range(10), now())] == [2]


def test_a_run_on_a_machine_that_died_is_given_up_when_its_lease_is_over(
    under_way: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect = Prefect(FlowRunState("RUNNING", ""))
    dispatcher = Dispatcher(under_way, prefect)  # type: ignore[arg-type]
    dispatcher.tick(now())
    assert prefect.crashed == []
    monkeypatch.setattr("flows.products.cleanup.RUN_LEASE", timedelta(0))
    dispatcher.tick(now())
    assert prefect.crashed == ["f1"]
    with under_way.read_session() as session:
        (run,) = list_runs(session, superseded=True)
    assert run.outcome == "abandoned"


def test_what_a_machine_had_that_has_fallen_silent_is_given_back_once_prefect_hears_of_it(
    under_way: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.service.dispatcher.OVERSEE_SECONDS", 0.0)
    with under_way.write_session() as session:
        (run,) = open_runs(session)
        process = run.host, run.pid, run.pid_started
        (file,) = ledger.observe(session, [Sighting("/d", "a.fits", 1, 0, 1)], host=under_way.settings.host, now=now())
        until = now() + timedelta(minutes=10)
        ledger.claim_files(session, [file.id], owner=f"{owner_of(*process)}x", lease_until=until, now=now())
    sign = life._file_of(under_way.path, run.host, run.pid)
    sign.parent.mkdir()
    sign.write_text(json.dumps(asdict(life.Sign(*process, "f1", 5))))
    prefect = Prefect(FlowRunState("RUNNING", ""))
    dispatcher = Dispatcher(under_way, prefect)  # type: ignore[arg-type]
    for _ in range(3):
        dispatcher.tick(now())
    assert prefect.crashed == []
    monkeypatch.setattr(life, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(Prefect, "mark_crashed", away := Away())
    with pytest.raises(PrefectUnavailableError):
        dispatcher.tick(now())
    assert away.asked == ["f1"]
    monkeypatch.undo()
    monkeypatch.setattr("flows.service.dispatcher.OVERSEE_SECONDS", 0.0)
    monkeypatch.setattr(life, "SILENT_SECONDS", 0.0)
    dispatcher.tick(now())
    assert prefect.crashed == ["f1"]
    assert not sign.exists()
    with under_way.read_session() as session:
        (ended,) = list_runs(session, superseded=True)
        assert ledger.counts(session)[FileState.CLAIMED] == 0
    assert (ended.outcome, ended.message) == (
        "abandoned", "nothing has been heard of worker-2, where it was made, for 120 s"
    )  # fmt: skip


class Away:
    """A server that is away when it is told something."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, flow_run_id: str, _message: str) -> None:
        self.asked.append(flow_run_id)
        raise PrefectUnavailableError("away")


def test_pictures_of_a_run_that_was_killed_while_they_were_drawn_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simple_night(tmp_path / "frames", n_bias=2, n_flat=0)
    home = open_home(tmp_path / "home")
    monkeypatch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.name != "pictures"])
    process(home, [tmp_path / "frames"])
    with home.write_session() as session:
        session.execute(update(models.Run).values(engine="prefect"))
    assert without_pictures(home, now()) == []  # its process, this one, may be at it
    monkeypatch.setattr("flows.runs.pictures.is_gone", lambda *_: True)
    (plan,) = without_pictures(home, now())
    prefect = Prefect(FlowRunState("SCHEDULED", ""))
    Dispatcher(home, prefect).tick(now())  # type: ignore[arg-type]
    assert prefect.asked_for == [f"{home.path}:{plan.key}:pictures"]
    assert without_pictures(home, now() + timedelta(days=2)) == []
    with home.read_session() as session:
        (run,) = list_runs(session)
    draw_pictures(Run(home, run.id))
    assert without_pictures(home, now()) == []


def test_an_ingest_that_failed_is_told_and_asked_for_again_after_a_pause(tmp_path: Path) -> None:
    home, at = open_home(tmp_path / "home"), now()
    with home.write_session() as session:
        (file,) = ledger.observe(session, [Sighting("/d", "a.fits", 1, 0, 1)], host=home.settings.host, now=at)
        ledger.mark_ready(session, [file.id], now=at)
    prefect = Prefect(FlowRunState("FAILED", "no process to read files was ready"))
    dispatcher = Dispatcher(home, prefect)  # type: ignore[arg-type]
    for seconds in range(0, 30, 3):
        dispatcher.tick(at + timedelta(seconds=seconds))
    assert len(prefect.asked_for) == 1
    assert dispatcher.findings == ["files are not read: no process to read files was ready"]
    dispatcher.tick(at + FILE_REST)
    assert len(prefect.asked_for) == 2
    with home.write_session() as session:
        ledger.claim_ready(session, host=home.settings.host, owner="me", limit=1, lease_until=at + FILE_REST, now=at)
        ledger.quarantine(session, file.id, owner="me", reason="broken", now=at)
    dispatcher.tick(at + FILE_REST)
    assert dispatcher.findings == []
