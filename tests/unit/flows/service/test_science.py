"""What the dispatcher asks Prefect for when science frames have landed, and what `status` says of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from ccdcore.headers.instrument import FrameType
from db.application.science import record_try
from db.runs.lifecycle import finish_run
from flows.applying.calibrating.due import rules_of
from flows.health.attention import attention
from flows.health.waiting import waiting
from flows.home.home import Home, open_home
from flows.prefect_server.client import FlowRunState
from flows.retries import CUT_SHORT_RUN, FAILED_RUN
from flows.service.science import ScienceRuns
from tests.support.on_record import NOON, add_frame, begin_run, set_of

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
