"""What people are told of trends: each thing once, and when it is well again."""

from datetime import datetime, timedelta
from threading import Thread

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from ccdcore.headers.instrument import Instrument
from ccdcore.quantities import Limits
from db.runs.lifecycle import finish_run
from db.runs.measurements import record_measurements
from db.trends.notices import NoticeOnRecord, due_notices, notices, record_told
from flows.runs.news import NEWS_FOR, raise_notices
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, gain, set_of
from web.formatting import sentence

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
SIGMA = 0.005
LIMITED = Instrument("m2-ml", spec={"gain_e_per_adu": Limits(0.9, 1.1)})


class Nights:
    """One gain a night; each run is judged on its night."""

    def __init__(self, session: Session, entry: Instrument | None = None) -> None:
        self.session = session
        self.entry = entry
        self.rng = np.random.default_rng(11)
        self.n = 0

    def add(self, *levels: float, again: str = "", quantity: str = "gain") -> list[str]:
        """Measure these levels, a night each; return what was put on record."""
        before = len(notices(self.session))
        for level in levels:
            night = self.n - (again != "")
            self.n = night + 1
            frame = add_frame(self.session, f"n{night}", entry=self.entry, night=NIGHT + night * DAY)
            run_id = begin_run(self.session, set_of(self.session, frame), digest=again or "d")
            at = NOON + night * DAY
            value = level + self.rng.normal(0, SIGMA)
            measured = gain(value, uncertainty=SIGMA, observed_at=at, quantity=quantity)
            record_measurements(self.session, run_id=run_id, measurements=[measured])
            finish_run(self.session, run_id=run_id, now=NOON)
            for _ in range(2):  # a step that is done again changes nothing
                raise_notices(self.session, run_id=run_id, instrument="m2-ml", configuration="bin1x1", now=at)
        return [one.kind for one in notices(self.session)[before:]]


def due(session: Session, at: datetime, *, believed_until: datetime = NOON + 1000 * DAY) -> list[NoticeOnRecord]:
    return due_notices(session, at=at, believed_until=believed_until, raised_since=at - NEWS_FOR)


def test_a_healthy_camera_is_no_news(session: Session) -> None:
    assert Nights(session, LIMITED).add(*[1.0] * 40) == []


def test_a_step_is_told_once_and_so_is_its_end(session: Session) -> None:
    nights = Nights(session)
    assert nights.add(*[1.0] * 20, *[1.03] * 3) == ["step"]
    assert nights.add(1.03, again="measured again") == []
    assert nights.add(*[1.03] * 15) == []
    assert nights.add(*[1.0] * 20) == ["back"]
    first, last = notices(session)
    assert (first.since, first.observed_at) == (NOON + 20 * DAY, NOON + 22 * DAY)
    assert first.before == pytest.approx(1.0, abs=0.01)
    assert first.after == pytest.approx(1.03, abs=0.01)
    assert last.after == pytest.approx(1.0, abs=0.01)
    assert nights.add(*[1.05] * 5) == ["step"]


def test_outside_its_limits_is_told_once_and_so_is_inside_again(session: Session) -> None:
    nights = Nights(session, LIMITED)
    assert nights.add(*[1.0] * 12, 1.2) == ["outside"]
    assert nights.add(1.2, again="measured again") == []
    assert nights.add(1.0) == ["inside"]
    assert nights.add(1.0, 1.0) == []
    assert nights.add(*[1.2] * 6) == ["outside"]  # and no step besides
    assert [one.details for one in notices(session)] == [{"limit_min": 0.9, "limit_max": 1.1}] * 3


def test_what_nobody_set_limits_for_and_few_watch_is_left_alone(session: Session) -> None:
    assert Nights(session).add(*[1.0] * 15, *[2.0] * 5, quantity="noise_tail_fraction") == []


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 1, 3]])
def test_a_step_that_crosses_its_limits_is_told_with_its_size(session: Session, order: list[int]) -> None:
    nights = Nights(session, LIMITED)
    nights.add(*[1.0] * 15)
    assert at_once(nights, [1.2] * 5, order) == ["outside"]
    (told,) = notices(session)
    change = told.details["change"]
    assert (change["kind"], change["since"]) == ("step", (NOON + 15 * DAY).isoformat())
    assert change["after"] == pytest.approx(1.2, abs=0.01)
    words = sentence(told)
    assert "is outside its limits (0.9 – 1.1): 1.2" in words
    assert f"; it stepped since {NIGHT + 15 * DAY:%Y-%m-%d}: +19.86 ± 0.26 %, 1.0025 → 1.2016 e⁻/ADU." in words
    assert nights.add(*[1.2] * 5) == []


def test_history_is_on_record_and_told_to_nobody(session: Session) -> None:
    nights = Nights(session, LIMITED)
    nights.add(*[1.0] * 3)
    frame = add_frame(session, "late", entry=LIMITED, night=NIGHT + 5 * DAY)
    run_id = begin_run(session, set_of(session, frame))
    record_measurements(session, run_id=run_id, measurements=[gain(2.0, observed_at=NOON + 5 * DAY)])
    finish_run(session, run_id=run_id, now=NOON)
    long_after = NOON + 6 * DAY + NEWS_FOR
    assert raise_notices(session, run_id=run_id, instrument="m2-ml", configuration="bin1x1", now=long_after) == 1
    assert due(session, long_after) == []
    assert [one.kind for one in notices(session, instrument="m2-ml")] == ["outside"]
    assert notices(session, instrument="nobody") == []


def test_what_could_not_be_told_is_tried_again_at_its_time(session: Session) -> None:
    Nights(session, LIMITED).add(2.0)
    (one,) = due(session, NOON)
    for _ in range(2):
        record_told(session, one.id, told={"a": "x"}, next_try_at=NOON + HOUR)
    assert due(session, NOON + HOUR - SECOND) == []
    (one,) = due(session, NOON + HOUR)
    assert (one.told, one.tries) == ({"a": "x"}, 2)
    record_told(session, one.id, told={"a": "x"}, next_try_at=None)
    assert due(session, NOON + DAY) == []


def test_a_time_told_by_a_clock_that_was_ahead_is_not_waited_for(session: Session) -> None:
    Nights(session, LIMITED).add(2.0)
    (one,) = due(session, NOON)
    record_told(session, one.id, told={}, next_try_at=NOON + DAY)
    assert due(session, NOON, believed_until=NOON + DAY) == []
    assert len(due(session, NOON, believed_until=NOON + HOUR)) == 1


def at_once(nights: Nights, levels: list[float], order: list[int], now: datetime | None = None) -> list[str]:
    """Measure several nights, all on record before any is judged, and judge their runs in an order."""
    session, first = nights.session, nights.n
    before, runs = len(notices(session)), []
    for place, level in enumerate(levels):
        night = first + place
        frame = add_frame(session, f"n{night}", entry=nights.entry, night=NIGHT + night * DAY)
        run_id = begin_run(session, set_of(session, frame))
        at = NOON + night * DAY
        measured = gain(level + nights.rng.normal(0, SIGMA), uncertainty=SIGMA, observed_at=at)
        record_measurements(session, run_id=run_id, measurements=[measured])
        finish_run(session, run_id=run_id, now=NOON)
        runs.append(run_id)
    nights.n = first + len(levels)
    now = now or NOON + nights.n * DAY
    for place in order:
        raise_notices(session, run_id=runs[place], instrument="m2-ml", configuration="bin1x1", now=now)
    return [one.kind for one in notices(session)[before:]]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2], [1, 4, 0, 3, 2]])
def test_a_step_of_several_nights_at_once_is_told_once(session: Session, order: list[int]) -> None:
    nights = Nights(session)
    nights.add(*[1.0] * 20)
    assert at_once(nights, [1.03] * 5, order) == ["step"]
    assert nights.add(1.03, 1.03) == []
    assert len(due(session, NOON + nights.n * DAY)) == 1


def test_nights_that_come_late_and_in_front_do_not_tell_their_step_again(session: Session) -> None:
    nights = Nights(session)
    nights.add(*[1.0] * 20)
    nights.n = 25
    assert at_once(nights, [1.03] * 4, [0, 1, 2, 3]) == ["step"]
    nights.n = 20
    assert at_once(nights, [1.03] * 5, [4, 1, 3, 0, 2]) == []  # the step is five nights older than it seemed


def test_a_step_that_a_backfill_brings_to_light_is_told_while_it_is_in_force(session: Session) -> None:
    nights = Nights(session)
    nights.add(*[1.0] * 20)
    nights.n = 80
    assert nights.add(1.03, 1.03) == []  # two are no step yet
    now, nights.n = NOON + 82 * DAY, 21
    assert at_once(nights, [1.03] * 5, [4, 2, 0, 1, 3], now) == ["step"]
    (one,) = due(session, now)
    assert one.observed_at < now - NEWS_FOR
    nights.n = 82
    nights.add(*[1.0] * 10)  # it is back
    again = notices(session)
    assert [one.kind for one in again] == ["step", "back"]


def test_a_bad_night_between_good_ones_that_came_before_is_told_with_its_end(session: Session) -> None:
    nights = Nights(session, LIMITED)
    nights.add(*[1.0] * 5)
    assert at_once(nights, [1.2, 1.0, 1.0], [2, 1, 0]) == ["outside", "inside"]
    assert nights.add(1.0) == []
    assert nights.add(1.2) == ["outside"]
    assert nights.add(1.0) == ["inside"]


def test_a_step_that_two_runs_find_at_once_is_told_once(sessions: sessionmaker[Session]) -> None:
    """A night that is late makes the step certain by another measurement than the run beside it, which sees it not."""

    def measure(session: Session, night: int) -> int:
        frame = add_frame(session, f"n{night}", night=NIGHT + night * DAY)
        run_id = begin_run(session, set_of(session, frame))
        record_measurements(
            session, run_id=run_id, measurements=[gain(1.05, uncertainty=SIGMA, observed_at=NOON + night * DAY)]
        )
        finish_run(session, run_id=run_id, now=NOON)
        return run_id

    def judge(session: Session, run_id: int) -> int:
        at = NOON + 24 * DAY
        return raise_notices(session, run_id=run_id, instrument="m2-ml", configuration="bin1x1", now=at)

    def late() -> None:
        with sessions.begin() as session:
            told.append(judge(session, measure(session, 22)))

    told: list[int] = []
    with sessions.begin() as session:
        assert Nights(session).add(*[1.0] * 20, 1.05, 1.05) == []
        run_id = measure(session, 23)
    beside = Thread(target=late)
    with sessions.begin() as session:
        told.append(judge(session, run_id))
        beside.start()
        beside.join(timeout=1.0)
        assert beside.is_alive(), "it waits for this transaction"
    beside.join(timeout=60.0)
    assert told == [1, 0]
    with sessions() as session:
        assert [one.kind for one in notices(session)] == ["step"]
