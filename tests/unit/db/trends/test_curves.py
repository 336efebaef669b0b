"""Where trends change, as the record has it."""

import json
from datetime import timedelta

import numpy as np
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import Instrument
from db.runs.lifecycle import finish_run
from db.runs.measurements import record_measurements
from db.trends.changes import changes
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, gain, set_of

DAY = timedelta(days=1)


def nights(
    session: Session, n: int, *, step_at: int, name: str = "a", entry_at: int = 10**6, **changes: object
) -> None:
    """A run a night, of one gain that steps by 2 %; a new version of the entry from one night on."""
    rng = np.random.default_rng(1)
    for night in range(n):
        entry = Instrument("m2-ml", header={} if night < entry_at else {"filter": "FILT"})
        frame = add_frame(session, f"{name}{night}", entry=entry, night=NIGHT + night * DAY)
        run_id = begin_run(session, set_of(session, frame), digest=name)
        value = (1.0 if night < step_at else 1.02) + rng.normal(0, 0.005)
        record_measurements(
            session,
            run_id=run_id,
            measurements=[gain(value, uncertainty=0.005, observed_at=NOON + night * DAY, **changes)],
        )
        finish_run(session, run_id=run_id, now=NOON)


def test_a_step_is_on_record_with_its_night_and_what_changed_then(session: Session) -> None:
    nights(session, 40, step_at=25, entry_at=25, ccd_temperature_c=-80.0)
    (found,) = changes(session, instrument="m2-ml", quantity="gain", amplifier="1")
    assert (found.kind, found.since, found.first_at) == ("step", NIGHT + 25 * DAY, NOON + 25 * DAY)
    assert found.found_at <= NOON + 28 * DAY
    assert found.is_new_entry
    assert abs(found.after - found.before - 0.02) < 5 * found.uncertainty
    assert (found.unit, found.configuration, found.temperature_change_c) == ("e/ADU", "bin1x1", 0.0)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["since"] == "2022-10-14"


def test_what_was_superseded_and_what_is_of_others_changes_nothing(session: Session) -> None:
    nights(session, 30, step_at=15)
    nights(session, 30, step_at=99, name="b")  # the same sets again
    assert changes(session) == []
    assert changes(session, instrument="nobody") == []


def test_an_unknown_temperature_is_none(session: Session) -> None:
    nights(session, 30, step_at=15)
    (found,) = changes(session)
    assert found.temperature_change_c is None
    assert not found.is_new_entry
