"""What the log of a task and its state say: all that its step put on record, and nothing of other steps."""

from pathlib import Path
from typing import Any

import pytest

from ccdcore.headers.instrument import FrameType
from db.runs.inputs import NewInput, record_inputs
from db.runs.lacks import record_lack
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from flows.home.home import Home, open_home
from flows.orchestration.shown.findings import OnRecord
from tests.support.on_record import add_frame, begin_run, gain, hash_of, master, set_of


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def run_id(home: Home) -> int:
    """A run of two biases and a flat, which is left out."""
    with home.write_session() as session:
        ids = [add_frame(session, f"b{n}") for n in range(2)]
        add_frame(session, "f", FrameType.FLAT)
        return begin_run(session, set_of(session, ids[0]))


def judge_frames(home: Home, run_id: int) -> None:
    excluded = {"b0": None, "b1": None, "f": "dimmed by a cloud"}
    with home.write_session() as session:
        inputs = [
            NewInput("flat" if name == "f" else "bias", hash_of(name), f"/data/raw/{name}.fits", excluded=why)
            for name, why in excluded.items()
        ]
        record_inputs(session, run_id=run_id, inputs=inputs)


def found_by(home: Home, run_id: int, *, measured: Any = (), masters: Any = (), lacks: Any = ()) -> OnRecord:
    """Let a step put this on record; return what it found."""
    before = OnRecord.of(home, run_id)
    with home.write_session() as session:
        record_measurements(session, run_id=run_id, measurements=list(measured))
        for one in masters:
            record_master(session, run_id=run_id, master=one)
        for product, reason in lacks:
            record_lack(session, run_id=run_id, product=product, reason=reason)
    return OnRecord.of(home, run_id).since(before)


def test_each_step_says_what_it_found_and_no_other(home: Home, run_id: int) -> None:
    nothing = OnRecord.of(home, run_id)
    judge_frames(home, run_id)
    judged = OnRecord.of(home, run_id).since(nothing)
    assert judged.lines == ["2 biases", "1 flat left out: dimmed by a cloud"]
    assert (judged.state().name, judged.state().message) == ("Completed", "; ".join(judged.lines))
    noise = gain(3.1, quantity="read_noise", uncertainty=0.02)
    measured = found_by(home, run_id, measured=[gain(1.932, uncertainty=0.0022), noise])
    assert measured.lines == [
        "amplifier 1: gain 1.9320 ± 0.0022 e⁻/ADU, read noise 3.100 ± 0.020 e⁻",
    ]
    counted = found_by(home, run_id, measured=[gain(3, quantity="bad_pixels", uncertainty=None)])
    assert counted.lines == ["amplifier 1: bad pixels 3"]
    made = found_by(home, run_id, masters=[master()])
    assert made.lines == ["master bias of 10 frames, 1 left out: ok"]
    assert made.state(is_product=True).name == "Completed"


def test_a_master_that_is_not_made_shows_as_skipped_with_the_reason(home: Home, run_id: int) -> None:
    state = found_by(home, run_id, lacks=[("master dark", "at least 3 are needed")]).state(is_product=True)
    assert state.is_completed()
    assert (state.name, state.message) == ("Skipped", "master dark not made: at least 3 are needed")
    state = found_by(home, run_id).state(is_product=True)
    assert (state.name, state.message) == ("Skipped", "there are no frames for it in this set")


@pytest.mark.parametrize("verdict", ["suspect", "bad"])
def test_a_doubtful_master_names_the_state_of_its_task_and_of_the_run(home: Home, run_id: int, verdict: str) -> None:
    found = found_by(home, run_id, masters=[master(), master("b2.fits", verdict=verdict, remark="light leaks in")])
    assert found.lines[1] == f"master bias of 10 frames, 1 left out: {verdict} (light leaks in)"
    for state in (found.state(is_product=True), OnRecord.of(home, run_id).state()):
        assert state.is_completed()
        assert state.name == verdict.capitalize()


def test_of_many_amplifiers_some_are_told(home: Home, run_id: int) -> None:
    lines = found_by(home, run_id, measured=[gain(amplifier=str(n)) for n in range(20)]).lines
    assert len(lines) == 13
    assert lines[-1] == "and 8 more: see the report"
