"""What people are told of trends: each thing once, and when it is well again."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import Instrument
from ccdcore.quantities import Limits
from db.runs.lifecycle import finish_run
from db.runs.measurements import record_measurements
from db.trends.notices import NoticeOnRecord, due_notices, notices, record_told
from flows.runs.news import NEWS_FOR, raise_notices
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, gain, set_of

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
