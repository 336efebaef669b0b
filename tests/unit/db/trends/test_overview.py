"""How every amplifier stands, by its recent windows."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.schema.models import CalibrationSet, Measurement, Outcome, Run
from db.trends.overview import LAST, RECENT, measured, overview, series
from tests.support.long_history import FIRST, LIMITS, put_history

MANY, CAMERAS, AMPLIFIERS = RECENT + 15, ("blue", "red"), ("A", "B")


@pytest.fixture
def history(session: Session) -> Session:
    put_history(session, instruments=CAMERAS, amplifiers=AMPLIFIERS, nights=MANY)
    return session


def gains(session: Session, instrument: str, amplifier: str) -> list[float]:
    query = select(Measurement.value).join(Run).join(CalibrationSet).order_by(Measurement.observed_at)
    of = CalibrationSet.instrument == instrument, Measurement.amplifier == amplifier, Measurement.quantity == "gain"
    return list(session.scalars(query.where(*of)))


def test_each_amplifier_stands_as_its_latest_value_and_shows_the_recent_ones(history: Session) -> None:
    found = overview(history, quantities=("gain", "read_noise"))
    keys = [(one.instrument, one.amplifier, one.quantity) for one in found]
    assert keys == [(camera, one, name) for camera in CAMERAS for one in AMPLIFIERS for name in ("gain", "read_noise")]
    for one in (one for one in found if one.quantity == "gain"):
        values = gains(history, one.instrument, one.amplifier)
        assert len(values) == MANY
        assert one.recent == tuple(values[-RECENT:])
        assert one.value == values[-1]
        assert (one.limit_min, one.limit_max) == tuple(LIMITS["gain_e_per_adu"].values())
        assert one.night == FIRST + timedelta(days=MANY - 1)
        assert (one.observed_at.date(), one.observed_at.tzinfo) == (one.night, UTC)


def test_it_is_said_since_when_an_amplifier_stands_as_it_does(history: Session) -> None:
    since = datetime.combine(FIRST + timedelta(days=MANY - 3), datetime.min.time(), UTC)
    late = Measurement.observed_at >= since, Measurement.quantity == "gain", Measurement.amplifier == "A"
    history.execute(update(Measurement).where(*late).values(value=2.0))
    (bad, *others) = overview(history, quantities=("gain",), instrument="red")
    assert (bad.verdict, bad.since) == ("bad", since.date())
    assert [one.verdict for one in others] == ["ok"]


def test_cameras_with_few_windows_and_results_that_do_not_stand(session: Session) -> None:
    put_history(session, nights=3)
    (one,) = overview(session, quantities=("gain",))
    assert one.recent == tuple(gains(session, "red", "1"))
    last = session.scalars(select(Run).order_by(Run.id.desc()).limit(1)).one()
    last.outcome = Outcome.FAILED
    session.flush()
    (earlier,) = overview(session, quantities=("gain",))
    assert earlier.recent == one.recent[:-1]
    assert overview(session, quantities=("gain",), instrument="blue") == []


def test_what_the_last_windows_added_to_can_be_chosen(history: Session) -> None:
    history.execute(update(Measurement).where(Measurement.amplifier == "B").values(amplifier="gone"))
    runs = select(Run.id).join(CalibrationSet).where(CalibrationSet.instrument == "red")
    newest = history.scalars(runs.order_by(CalibrationSet.window_first_night.desc()).limit(LAST)).all()
    renamed = Measurement.run_id.in_(newest), Measurement.amplifier == "gone"
    history.execute(update(Measurement).where(*renamed).values(amplifier="C"))
    found = {(one.amplifier, one.quantity) for one in series(history) if one.instrument == "red"}
    assert found == {(amplifier, name) for amplifier in ("A", "C") for name in ("gain", "read_noise")}


def test_windows_that_wait_or_lack_a_quantity_hide_nothing(history: Session) -> None:
    known, standing = series(history), overview(history, quantities=("gain",))
    pairs = [(camera, name) for camera in CAMERAS for name in ("gain", "read_noise")]
    assert measured(history) == pairs
    newest = select(CalibrationSet).order_by(CalibrationSet.window_first_night.desc())
    last = history.scalars(newest.limit(1)).one()
    number = history.scalars(select(func.max(CalibrationSet.id))).one()
    for camera in CAMERAS:
        for night in range(1, RECENT + 5):
            at = last.window_first_night + timedelta(days=night)
            of = {"instrument": camera, "configuration": last.configuration, "window_nights": 1}
            # The history's ids were given, so that PostgreSQL does not know of them.
            number += 1
            history.add(CalibrationSet(id=number, window_first_night=at, **of))
    history.flush()
    assert series(history) == known
    assert overview(history, quantities=("gain",)) == standing
    runs = select(Run.id).join(CalibrationSet).where(CalibrationSet.instrument == "red")
    recent = history.scalars(runs.order_by(CalibrationSet.window_first_night.desc()).limit(LAST)).all()
    only_bias = Measurement.run_id.in_(recent), Measurement.quantity == "gain"
    history.execute(update(Measurement).where(*only_bias).values(quantity="dark_current"))
    assert not any(one.quantity == "gain" for one in series(history) if one.instrument == "red")
    assert measured(history) == sorted([*pairs, ("red", "dark_current")])


def test_amplifiers_are_listed_as_people_count(session: Session) -> None:
    put_history(session, amplifiers=("N1", "N10", "N11", "N2"), nights=2)
    assert [one.amplifier for one in overview(session, quantities=("gain",))] == ["N1", "N2", "N10", "N11"]
    assert list(dict.fromkeys(one.amplifier for one in series(session))) == ["N1", "N2", "N10", "N11"]
