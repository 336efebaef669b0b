"""What the dispatcher does about runs that nobody works on any more."""

from pathlib import Path

import pytest

from db.listings import runs
from flows import reconcile
from flows.dispatch import Dispatcher
from flows.home import Home, now, open_home
from flows.prefect_api import FlowRunState
from flows.process import process
from flows.reconcile import begin_run, plans_of
from tests.support.simulate import simple_night


class Prefect:
    """A server that knows the state of one flow run, and takes any request for another."""

    def __init__(self, state: FlowRunState) -> None:
        self._state = state

    def state(self, _flow_run_id: str) -> FlowRunState:
        return self._state

    def submit(self, *_: object, **__: object) -> str:
        return "another"


@pytest.fixture
def under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home where another machine is at a run."""
    simple_night(tmp_path / "frames", n_bias=2, n_flat=0)
    home = open_home(tmp_path / "home")
    monkeypatch.setattr("flows.process._make_runs", lambda *_: [])
    process(home, [tmp_path / "frames"])
    (plan,) = plans_of(home, range(10), now())
    monkeypatch.setattr(reconcile, "HOST", "worker-2")
    begin_run(home, set_id=plan.set_id, digest=plan.digest, attempt=1, engine="prefect", flow_run_id="f1")
    return home


@pytest.mark.parametrize(
    ("state", "outcome", "message"),
    [
        (FlowRunState("RUNNING", ""), "running", None),
        (FlowRunState("CRASHED", "Process exited with status code: -9"), "abandoned", "the process that worked on it"),
        (FlowRunState("CANCELLED", ""), "failed", "ended in the middle: cancelled"),
    ],
)
def test_a_run_that_prefect_saw_end_is_ended_on_record(
    under_way: Home, state: FlowRunState, outcome: str, message: str | None
) -> None:
    Dispatcher(under_way, Prefect(state)).tick(now())  # type: ignore[arg-type]
    with under_way.reading() as session:
        (run,) = runs(session, superseded=True)
    assert run.outcome == outcome
    assert (run.message or "").startswith(message or "")
    assert run.host == "worker-2"


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("RUNNING", "abandoned"), ("CRASHED", "abandoned"), ("CANCELLING", "failed"), ("CANCELLED", "failed")],
)
def test_a_run_whose_process_here_was_killed_is_given_up_unless_somebody_cancelled_it(
    under_way: Home, monkeypatch: pytest.MonkeyPatch, state: str, outcome: str
) -> None:
    monkeypatch.setattr("flows.dispatch.is_lost", lambda _run: True)
    Dispatcher(under_way, Prefect(FlowRunState(state, ""))).tick(now())  # type: ignore[arg-type]
    with under_way.reading() as session:
        (run,) = runs(session, superseded=True)
    assert run.outcome == outcome
