"""Decisions on what is missing: pure ones on values, the rest on a small record."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from db.judgements.write import mark
from db.runs.lifecycle import abandon_run, fail_run, finish_run
from db.runs.runs import RunRow, find_run
from db.runs.sets import SetSummary, set_summaries, sets_in_question
from db.schema.models import Outcome, Run
from flows.calibration.engine import recording_failure
from flows.config.settings import Settings
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.orchestration.requests import record_never_started
from flows.prefect_server.client import FlowRunState
from flows.retries import RUN_ATTEMPTS
from flows.runs.begin import begin_run
from flows.runs.plan import Plan, inputs_digest, is_open, next_attempt, plans_of, reconcile, settles_at
from tests.support import on_record
from tests.support.on_record import NOON, add_frame, hash_of, set_of

SECOND = timedelta(seconds=1)
LATER = NOON + timedelta(days=30)


def summary(**changes: object) -> SetSummary:
    known: dict[str, object] = {
        "id": 1,
        "instrument": "m2-ml",
        "configuration": "bin1x1",
        "window_first_night": date(2022, 9, 19),
        "window_nights": 1,
        "counts": {FrameType.BIAS: 5},
        "last_joined_at": NOON,
        "last_registered_at": NOON,
        "median_interval_s": None,
        "latest_run": None,
    }
    return SetSummary(**{**known, **changes})  # type: ignore[arg-type]


def run(outcome: Outcome | None, *, attempt: int = 1, ended_at: datetime | None = NOON, **changes: object) -> RunRow:
    known: dict[str, object] = {
        "id": 1,
        "set_id": 1,
        "instrument": "m2-ml",
        "configuration": "bin1x1",
        "night": date(2022, 9, 19),
        "digest": "d",
        "attempt": attempt,
        "engine": "local",
        "flow_run_id": None,
        "recipes": {},
        "host": "here",
        "pid": 4711,
        "pid_started": 0.0,
        "began_at": NOON,
        "outcome": outcome,
        "message": None,
        "ended_at": ended_at,
        "superseded": False,
    }
    return RunRow(**{**known, **changes})  # type: ignore[arg-type]


def frame(name: str, kind: FrameType = FrameType.BIAS, **changes: object) -> SeriesFrame:
    known = SeriesFrame(hash_of(name), Path(f"/data/{name}.fits"), (10, 24), on_record.info(kind), (), ())
    return replace(known, **changes)  # type: ignore[arg-type]


FRAMES = [frame("b1"), frame("b2"), frame("f1", FrameType.FLAT), frame("f2", FrameType.FLAT)]
ENTRY = {"name": "m2-ml", "match": {"HEAD": "DU970P_BV"}}


def settings(**changes: object) -> Settings:
    return Settings(home=Path("/home"), **{"instrument": [ENTRY], **changes})  # type: ignore[arg-type]


def digest(own: list[SeriesFrame] = FRAMES, borrowed: list[SeriesFrame] | None = None, **changes: object) -> str:
    return inputs_digest(settings(**changes), "m2-ml", own, borrowed or [])


# When a set is complete


@pytest.mark.parametrize(("interval", "seconds"), [(None, 300), (4.0, 300), (100.0, 300), (101.0, 303), (600.0, 1800)])
def test_a_set_is_complete_after_three_of_its_intervals_or_the_time_set(interval: float | None, seconds: int) -> None:
    at = settles_at(summary(median_interval_s=interval), 300)
    assert at == NOON + timedelta(seconds=seconds)


# Which attempt is due


def test_what_was_never_tried_is_tried() -> None:
    assert next_attempt(None, NOON) == 1


@pytest.mark.parametrize("outcome", [None, Outcome.DONE])
def test_what_is_done_or_under_way_is_left_alone(outcome: Outcome | None) -> None:
    assert next_attempt(run(outcome), LATER) is None


@pytest.mark.parametrize(("attempt", "wait"), [(1, 30), (2, 60)])
def test_a_failed_run_is_tried_again_after_a_while(attempt: int, wait: int) -> None:
    failed = run(Outcome.FAILED, attempt=attempt)
    assert next_attempt(failed, NOON + wait * SECOND - SECOND) is None
    assert next_attempt(failed, NOON + wait * SECOND) == attempt + 1


def test_after_some_failures_somebody_must_look() -> None:
    assert next_attempt(run(Outcome.FAILED, attempt=RUN_ATTEMPTS), LATER) is None


def test_a_run_that_found_the_disk_full_is_made_again_for_ever() -> None:
    failed = run(Outcome.FAILED, attempt=9, message="OSError: [Errno 28] No space left on device")
    assert next_attempt(failed, NOON + 9 * SECOND) is None
    assert next_attempt(failed, NOON + 10 * SECOND) == 10


def test_a_run_that_was_cut_short_or_superseded_is_made_again_at_once() -> None:
    assert next_attempt(run(Outcome.ABANDONED, attempt=4), NOON) == 5
    assert next_attempt(run(Outcome.DONE, attempt=1, superseded=True), NOON) == 2


def test_a_run_that_is_cut_short_each_time_is_made_again_with_growing_pauses() -> None:
    def wait(attempt: int) -> float:
        seconds = range(0, 4000, 30)
        cut_short = run(Outcome.ABANDONED, attempt=attempt)
        return next(s for s in seconds if next_attempt(cut_short, NOON + s * SECOND))

    assert [wait(attempt) for attempt in (5, 6, 7, 1000)] == [0, 30, 60, 3600]


# The digest


@given(st.permutations(FRAMES), st.permutations([frame("x1"), frame("x2")]), st.text(min_size=1))
def test_order_and_place_of_the_frames_do_not_matter(
    own: list[SeriesFrame], borrowed: list[SeriesFrame], folder: str
) -> None:
    moved = [replace(one, path=Path("/", folder) / one.path.name) for one in own]
    assert digest(moved, borrowed) == digest(FRAMES, [frame("x2"), frame("x1")])


@given(st.sets(st.sampled_from(range(4))), st.sets(st.sampled_from(range(4))))
def test_every_frame_matters(one: set[int], two: set[int]) -> None:
    some = digest([FRAMES[i] for i in one]), digest([FRAMES[i] for i in two])
    assert (some[0] == some[1]) == (one == two)


def test_a_borrowed_frame_is_not_one_of_its_own() -> None:
    assert len({digest(FRAMES), digest(FRAMES[1:], FRAMES[:1]), digest(FRAMES[1:])}) == 3


def test_the_type_of_a_frame_matters() -> None:
    assert digest([frame("b1")]) != digest([frame("b1", FrameType.DARK)])


@pytest.mark.parametrize(
    "recipes",
    [
        {"bias": {"clip_sigma": 6.0}},
        {"dark": {"min_frames": 4}},
        {"flat": {"scale": "median"}},
        {"gain": {"method": "pair"}},
        {"gain": {"region": "[1:2,3:4]"}},
    ],
)
def test_every_option_of_a_recipe_matters(recipes: dict[str, object]) -> None:
    assert digest(recipes=recipes) != digest()


def test_the_version_of_the_recipes_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest()
    monkeypatch.setattr("ccdcore.recipe.VERSION", 10_000)
    assert digest() != before


@pytest.mark.parametrize(
    "change",
    [
        {"amplifiers": [{"name": "1", "data": "[1:20,1:10]"}]},
        {"header": {"exposure_time": "EXPO"}},
        {"exposure_time_unit_s": 0.001},
        {"frame_type": {"bias": {"filename": "b*"}}},
        {"configuration": ["HBIN"]},
        {"match": {"HEAD": "*"}},
        {"valid_from": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
)
def test_the_entry_of_the_instrument_matters(change: dict[str, object]) -> None:
    assert digest(instrument=[{**ENTRY, **change}]) != digest()


def test_limits_and_other_instruments_do_not_matter() -> None:
    limited = {**ENTRY, "spec": {"gain_e_per_adu": {"max": 1.1}}}
    assert digest(instrument=[limited]) == digest()
    assert digest(instrument=[ENTRY, {"name": "other"}]) == digest()
    assert digest(watch={"settle_seconds": 5}, nights={"reach_nights": 3}) == digest()


def test_a_request_is_known_by_set_inputs_and_attempt() -> None:
    plan = Plan(3, "m2-ml", date(2022, 9, 19), "bin1x1", "d" * 64, 2)
    assert plan.key == f"3:{'d' * 64}:a2"


# On a record


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ccdwatch.toml").write_text(f'[watch]\nhost = "{on_record.HOST}"\n')
    return open_home(tmp_path / "home")


def record(home: Home, *names: str, kind: FrameType = FrameType.BIAS, **changes: object) -> int:
    with home.write_session() as session:
        return [set_of(session, add_frame(session, name, kind, **changes)) for name in names][-1]


def begin(home: Home, plan: Plan) -> int | None:
    return begin_run(
        home, set_id=plan.set_id, digest=plan.digest, attempt=plan.attempt, engine="local", flow_run_id=None
    )


def end(home: Home, run_id: int | None, how: Callable[..., object] = finish_run, **words: object) -> None:
    assert run_id is not None
    with home.write_session() as session:
        how(session, run_id=run_id, now=LATER, **words)


def test_a_set_waits_until_it_is_complete(home: Home) -> None:
    record(home, "b1", "b2")
    complete_at = NOON + timedelta(seconds=300)
    assert reconcile(home, complete_at - SECOND) == ([], complete_at)
    ((plan,), later) = reconcile(home, complete_at)
    assert (plan.attempt, plan.instrument, plan.night, later) == (1, "m2-ml", on_record.NIGHT, None)


def test_what_is_under_way_or_done_is_not_asked_for_again(home: Home) -> None:
    record(home, "b1", "b2")
    ((plan,), _) = reconcile(home, LATER)
    run_id = begin(home, plan)
    assert begin(home, plan) is None
    assert reconcile(home, LATER) == ([], None)
    end(home, run_id)
    assert reconcile(home, LATER) == ([], None)


def test_a_late_frame_asks_for_another_run(home: Home) -> None:
    record(home, "b1", "b2")
    ((plan,), _) = reconcile(home, LATER)
    end(home, begin(home, plan))
    record(home, "b3", now=LATER + timedelta(days=3650), joined_at=LATER)
    ((other,), _) = reconcile(home, LATER + timedelta(seconds=300))
    assert other.digest != plan.digest
    assert (other.set_id, other.attempt) == (plan.set_id, 1)


def test_a_run_asked_for_before_more_frames_came_is_not_made(home: Home) -> None:
    record(home, "b1", "b2")
    ((plan,), _) = reconcile(home, LATER)
    record(home, "b3")
    assert begin(home, plan) is None


def test_failures_are_tried_again_a_few_times_and_on_request_always(home: Home) -> None:
    set_id = record(home, "b1", "b2")
    for attempt in range(1, RUN_ATTEMPTS + 1):
        at = LATER + attempt * timedelta(hours=1)
        ((plan,), _) = reconcile(home, at)
        assert plan.attempt == attempt
        end(home, begin(home, plan), fail_run, message="no")
        assert reconcile(home, LATER + SECOND) == ([], None)
    assert reconcile(home, LATER + timedelta(days=1)) == ([], None)
    assert [one.attempt for one in plans_of(home, [set_id], LATER)] == [RUN_ATTEMPTS + 1]


def test_a_run_that_was_cut_short_is_asked_for_again(home: Home) -> None:
    record(home, "b1", "b2")
    ((plan,), _) = reconcile(home, LATER)
    end(home, begin(home, plan), abandon_run)
    ((again,), _) = reconcile(home, LATER)
    assert (again.digest, again.attempt) == (plan.digest, 2)


def test_older_sets_made_stale_by_a_recipe_wait_for_a_request(home: Home) -> None:
    set_id = record(home, "b1", "b2")
    ((plan,), _) = reconcile(home, LATER)
    end(home, begin(home, plan))
    recipe = Settings(home=home.path, recipes={"gain": {"method": "pair"}}).recipes  # type: ignore[arg-type]
    other = Home(home.settings.model_copy(update={"recipes": recipe}), home.engine)
    assert reconcile(other, now()) == ([], None)
    assert [one.attempt for one in plans_of(other, [set_id], LATER)] == [1]
    ((now_due,), _) = reconcile(other, NOON + timedelta(days=1))  # while its night is not over
    assert now_due.digest != plan.digest


def test_flats_borrow_biases_only_where_they_need_them(home: Home) -> None:
    near, far = on_record.NIGHT, on_record.NIGHT + timedelta(days=3)
    record(home, "b1", "b2", night=near)
    lone = record(home, "f1", kind=FrameType.FLAT, night=far)
    before = {one.set_id: one.digest for one in plans_of(home, [lone], LATER)}
    record(home, "b3", night=near)
    after = {one.set_id: one.digest for one in plans_of(home, [lone], LATER)}
    assert before != after
    record(home, "b4", night=far)
    own = plans_of(home, [lone], LATER)
    record(home, "b5", night=near)
    assert plans_of(home, [lone], LATER) == own


def test_one_set_that_was_asked_for_leaves_the_others_alone(home: Home) -> None:
    one = record(home, "b1")
    record(home, "b2", night=on_record.NIGHT + timedelta(days=3))
    assert [plan.set_id for plan in plans_of(home, [one], LATER)] == [one]


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CRASHED"])
def test_a_run_that_ended_before_it_began_is_no_attempt_that_failed(home: Home, state: str) -> None:
    """The configuration was edited before it began, the database was away, its process killed."""
    record(home, "b1", "b2")
    for attempt in range(1, RUN_ATTEMPTS + 3):
        ((plan,), _) = reconcile(home, now() + timedelta(hours=1))
        assert plan.attempt == attempt
        record_never_started(home, plan, flow_run_id="f1", state=FlowRunState(state, "no"))


def test_a_run_that_lost_its_database_is_no_attempt_that_failed(home: Home) -> None:
    record(home, "b1", "b2")
    for _ in range(RUN_ATTEMPTS + 1):
        ((plan,), _) = reconcile(home, now() + timedelta(hours=1))
        run_id = begin(home, plan)
        assert run_id is not None
        with pytest.raises(OperationalError), recording_failure(home, run_id), home.read_session() as session:
            session.execute(text("SELECT * FROM what_is_not_there"))
    with home.read_session() as session:
        last = find_run(session, set_id=plan.set_id, digest=plan.digest)
    assert last is not None
    assert (last.outcome, last.attempt) == (Outcome.ABANDONED, RUN_ATTEMPTS + 1)
    assert (last.message or "").startswith("the database went away: OperationalError: ")


def test_the_sets_in_question_are_all_that_may_lack_a_run_and_few_others(session: Session) -> None:
    """One set a night, each in a state of its own; the night is the name of the state."""
    began = LATER - timedelta(days=20)

    def a_set(number: int, *, run: bool = True, came: datetime = NOON) -> tuple[int, int | None]:
        night = on_record.NIGHT + timedelta(days=number)
        made = {"night": night, "now": came, "joined_at": NOON}
        set_id = set_of(session, frame_id := add_frame(session, f"{number}", **made))
        run_id = on_record.begin_run(session, set_id, now=began) if run else None
        if run_id is not None:
            finish_run(session, run_id=run_id, now=began)
        frames[number] = frame_id
        return set_id, run_id

    frames: dict[int, int] = {}
    done, _ = a_set(0)
    no_run, _ = a_set(1, run=False)
    late, _ = a_set(2, came=began + SECOND)
    of_now, _ = a_set((LATER.date() - on_record.NIGHT).days)
    changed, _ = a_set(3)
    mark(session, "frame", frames[3], "bad", why="lamp", who="anna", now=began + SECOND)
    failed, failed_run = a_set(4)
    in_part, run_in_part = a_set(5)
    ahead, run_ahead = a_set(6)
    under_way, run_under_way = a_set(7)
    for key, values in (
        (failed_run, {"outcome": Outcome.FAILED}),
        (run_in_part, {"message": "one product failed"}),
        (run_ahead, {"began_at": LATER + timedelta(days=1)}),
        (run_under_way, {"outcome": None}),
    ):
        session.execute(update(Run).where(Run.id == key).values(values))
    found = sets_in_question(session, at=LATER)
    assert found == {no_run, late, of_now, changed, failed, in_part, ahead, under_way}
    summaries = set_summaries(session, host=on_record.HOST)
    assert {one.id for one in summaries if is_open(one, LATER)} <= found
    assert len(summaries) == len(found | {done})
    assert set_summaries(session, host=on_record.HOST, set_ids=found) == [one for one in summaries if one.id in found]
