"""What the dispatcher asks Prefect for when science frames have landed, and what `status` says of them."""

import math
import multiprocessing
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from ccdcore.headers.instrument import FrameType
from db.application.science import choices_of, record_try
from db.runs.lifecycle import finish_run
from flows.applying.calibrating.due import rules_of
from flows.health import overdue
from flows.health.attention import attention
from flows.health.waiting import waiting
from flows.home.home import Home, open_home
from flows.home.processes import is_gone, start_of
from flows.orchestration import slots
from flows.orchestration.slots import FOLDER, noted, notes
from flows.prefect_server.client import FlowRunState
from flows.retries import CUT_SHORT_RUN, FAILED_RUN
from flows.service.dispatcher import Dispatcher
from flows.service.science import ScienceRuns
from tests.support.on_record import NOON, add_frame, begin_run, set_of
from tests.support.service import wait_for

SECOND = timedelta(seconds=1)
SETTLED = NOON + 400 * SECOND


@dataclass
class Prefect:
    """A server that says the same of each run, and takes any request for another."""

    says: FlowRunState | None = None
    asked_for: list[list[int]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def state(self, _flow_run_id: str) -> FlowRunState | None:
        return self.says

    def hasten(self, _at: datetime) -> None:
        pass

    def submit(self, flow: str, *, parameters: dict[str, list[int]], idempotency_key: str, **_: object) -> str:
        assert flow == "science"
        self.asked_for.append(parameters["frame_ids"])
        self.keys.add(idempotency_key)
        return f"f{len(self.asked_for)}"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "ccdwatch.toml").write_text("[science]\ncalibrate = true\n")
    home = open_home(tmp_path)
    yield home
    home.engine.dispose()


def land(home: Home, name: str, kind: FrameType = FrameType.OTHER, **changes: object) -> int:
    with home.write_session() as session:
        return add_frame(session, name, kind, host=home.settings.host, path=f"{name}.fits", **changes)


def runs_of(home: Home, prefect: Prefect) -> ScienceRuns:
    return ScienceRuns(home, prefect)  # type: ignore[arg-type]


def test_frames_of_a_camera_are_asked_for_once_they_have_settled(home: Home) -> None:
    ids, prefect = [land(home, "one"), land(home, "two")], Prefect(FlowRunState("RUNNING", ""))
    other = land(home, "other", instrument="another")
    runs = runs_of(home, prefect)
    assert runs.ask(runs.due(NOON), NOON) == NOON + 300 * SECOND
    assert prefect.asked_for == []
    assert runs.ask(runs.due(SETTLED), SETTLED) is None
    assert sorted(prefect.asked_for) == sorted([ids, [other]])
    runs.ask(runs.due(SETTLED + 3600 * SECOND), SETTLED + 3600 * SECOND)
    assert len(prefect.asked_for) == 2, "asked for again while they are at work"


def test_nothing_is_asked_for_where_nobody_wants_it(home: Home) -> None:
    land(home, "one")
    off = replace(home, settings=home.settings.model_copy(update={"science": type(home.settings.science)()}))
    runs = runs_of(off, prefect := Prefect())
    assert (runs.due(SETTLED), runs.ask(None, SETTLED), prefect.asked_for) == (None, None, [])
    assert waiting(off, SETTLED) == ()


def test_frames_wait_for_the_sets_of_their_camera(home: Home) -> None:
    land(home, "light")
    land(home, "other", instrument="another")
    bias = land(home, "bias1", FrameType.BIAS, joined_at=NOON + 200 * SECOND)
    prefect = Prefect(FlowRunState("RUNNING", ""))
    runs = runs_of(home, prefect)

    def ask(at: object) -> tuple[object, int]:
        return runs.ask(runs.due(at), at), len(prefect.asked_for)  # type: ignore[arg-type]

    assert ask(SETTLED) == (SETTLED + 2 * SECOND, 1)  # the set settles; the other camera has none
    settled = NOON + 600 * SECOND
    assert ask(settled) == (settled + 2 * SECOND, 1)  # it is due
    with home.write_session() as session:
        run_id = begin_run(session, set_of(session, bias), now=settled)
    assert ask(settled) == (settled + 2 * SECOND, 1)  # it is at work
    of_science = [one for one in waiting(home, settled) if one.state == "science"]
    assert [one.instrument for one in of_science] == ["another", "m2-ml"]
    with home.write_session() as session:
        finish_run(session, run_id=run_id, now=settled)
    long_after = settled + timedelta(days=5)  # of 2022: what the run lacks is left for work on request
    assert ask(long_after)[1] == 2


@contextmanager
def standing_still(home: Home, flow_run_id: str) -> Iterator[int]:
    """A process that has begun with the science frames of a run and stands still; of its number."""

    def begin_and_stop() -> None:
        with noted(home.path, flow_run_id, "the run that calibrates 2 science frames", n_pixels=1):
            os.kill(os.getpid(), signal.SIGSTOP)

    (home.path / FOLDER).mkdir()
    process = multiprocessing.get_context("fork").Process(target=begin_and_stop)
    process.start()
    try:
        assert wait_for(lambda: notes(home.path), seconds=60)
        yield notes(home.path)[0].pid
    finally:
        process.kill()
        process.join()


def test_a_run_that_stands_still_is_told_ended_and_its_frames_are_tried_again_boundedly(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "STILL_SECONDS", 0.5)
    monkeypatch.setattr("flows.service.dispatcher.OVERSEE_SECONDS", 0.1)
    done, hung = land(home, "done"), land(home, "hung")
    dispatcher = Dispatcher(home, prefect := Prefect(FlowRunState("RUNNING", "")))  # type: ignore[arg-type]
    dispatcher.tick(SETTLED)
    assert prefect.asked_for == [[done, hung]]
    with home.write_session() as session:
        choices = choices_of(session, "m2-ml", rules=rules_of(home, "m2-ml"))
        record_try(session, done, choices=choices, reason=None, is_failure=False, now=SETTLED)

    def tick() -> list[str]:
        dispatcher.tick(SETTLED)
        return dispatcher.findings

    with standing_still(home, "f1") as pid:
        (told,) = wait_for(tick, seconds=60)
        assert told.startswith("the run that calibrates 2 science frames has stood still for ")
        monkeypatch.setattr(overdue, "ENDED_SECONDS", 0.5)
        assert wait_for(lambda: tick() == [] and is_dead(pid), seconds=60)
    assert wait_for(lambda: tick() == [] and not notes(home.path), seconds=60), "it is at work for ever"
    (told,) = [one.words for one in attention(home, SETTLED) if one.kind == "science"]
    assert re.match(
        rf"1 science frame of m2-ml 2022-09-19, as frame:{hung}: stood still for \d+ s and was ended: ", told
    )
    assert "ccdwatch calibrate FRAME does it" in told
    prefect.says = FlowRunState("CRASHED", "killed")
    at = SETTLED + (max(FAILED_RUN.after(1), CUT_SHORT_RUN.after(1)) + 60) * SECOND
    runs = dispatcher._science
    runs.ask(runs.due(at), at)
    assert prefect.asked_for[1:] == [[hung]]


def test_a_run_that_was_killed_by_others_is_forgotten_and_no_failure(home: Home) -> None:
    land(home, "one")
    dispatcher = Dispatcher(home, Prefect(FlowRunState("RUNNING", "")))  # type: ignore[arg-type]
    dispatcher.tick(SETTLED)
    with standing_still(home, "f1"):
        pass
    dispatcher._overseen_at = -math.inf
    dispatcher.tick(SETTLED)
    assert notes(home.path) == []
    assert [one for one in attention(home, SETTLED) if one.kind == "science"] == []


def test_a_run_on_another_machine_is_left_to_that(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_still(home, "f1"):
        monkeypatch.setattr(slots, "HOST", "another machine")
        assert notes(home.path) == []
        dispatcher = Dispatcher(home, Prefect(FlowRunState("RUNNING", "")))  # type: ignore[arg-type]
        dispatcher.tick(SETTLED)
        monkeypatch.undo()
        assert [one.flow_run_id for one in notes(home.path)] == ["f1"]


def is_dead(pid: int) -> bool:
    return is_gone(pid, start_of(pid)) if psutil.pid_exists(pid) else True


@pytest.mark.parametrize(
    ("state", "pause_s"),
    [
        (FlowRunState("CRASHED", "killed"), CUT_SHORT_RUN.after(1)),
        (FlowRunState("FAILED", "boom"), FAILED_RUN.after(1)),
        (FlowRunState("COMPLETED", ""), FAILED_RUN.after(1)),
        (None, CUT_SHORT_RUN.after(1)),
    ],
)
def test_what_came_to_no_end_is_asked_for_again_after_a_pause(
    home: Home, state: FlowRunState | None, pause_s: float
) -> None:
    land(home, "one")
    runs = runs_of(home, prefect := Prefect(state))
    runs.ask(runs.due(SETTLED), SETTLED)
    if pause_s:
        before = SETTLED + (pause_s - 1) * SECOND
        runs.ask(runs.due(before), before)
        assert len(prefect.asked_for) == 1
    at = SETTLED + (pause_s + 1) * SECOND
    runs.ask(runs.due(at), at)
    assert (len(prefect.asked_for), len(prefect.keys)) == (2, 2)


def test_a_run_that_is_killed_again_and_again_is_asked_for_ever_less_often(home: Home) -> None:
    land(home, "one")
    runs = runs_of(home, prefect := Prefect(FlowRunState("CRASHED", "killed")))
    for second in range(600):
        at = SETTLED + second * SECOND
        runs.ask(runs.due(at), at)
    assert 6 <= len(prefect.asked_for) <= 12


def test_what_somebody_cancelled_is_left_and_told(home: Home) -> None:
    frame_id = land(home, "one")
    runs = runs_of(home, prefect := Prefect(FlowRunState("CANCELLED", "by me")))
    for seconds in (0, 60, 3600):
        at = SETTLED + seconds * SECOND
        runs.ask(runs.due(at), at)
    assert prefect.asked_for == [[frame_id]]
    (told,) = [one for one in attention(home, SETTLED) if one.kind == "science"]
    assert "cancelled: by me; ccdwatch calibrate FRAME does it" in told.words


def test_what_lacks_a_master_is_told_once_for_those_of_a_night(home: Home) -> None:
    ids = [land(home, name) for name in ("one", "two")]

    def tell(frame_id: int, reason: str, *, is_failure: bool = False) -> None:
        with home.write_session() as session:
            record_try(session, frame_id, choices="1", reason=reason, is_failure=is_failure, now=NOON)

    for key in ids:
        tell(key, "no master flat suits")
    (told,) = [one for one in attention(home, NOON) if one.kind == "science"]
    assert (told.n, told.may_pass) == (2, False)
    assert told.words == f"2 science frames of m2-ml 2022-09-19, as frame:{ids[0]}: no master flat suits"
    tell(ids[1], "boom", is_failure=True)
    assert {one.may_pass for one in attention(home, NOON) if one.kind == "science"} == {False, True}


def test_rules_are_those_that_choose(home: Home) -> None:
    science = home.settings.science.model_copy(update={"allow_missing": ("dark",)})
    other = replace(home, settings=home.settings.model_copy(update={"science": science}))
    assert rules_of(home, "m2-ml") != rules_of(other, "m2-ml")
