"""What `status` and `doctor` ask the record."""

from datetime import timedelta

from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType
from db.files import ledger
from db.frames.listing import frame_shapes
from db.runs.lifecycle import abandon_run, fail_run, finish_run
from db.runs.runs import cancelled_runs, failed_runs, made_by_flow_runs, made_with, open_runs
from db.schema.models import Frame, Instrument, Run
from tests.support.on_record import HOST, NIGHT, NOON, add_frame, begin_run, set_of, sighting

SECOND = timedelta(seconds=1)


def test_a_failed_run_stands_until_another_one_of_its_set_begins(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "a"))
    first = begin_run(session, set_id)
    assert [run.id for run in open_runs(session)] == [first]
    fail_run(session, run_id=first, message="no light", now=NOON)
    assert [(run.id, run.message) for run in failed_runs(session)] == [(first, "no light")]
    second = begin_run(session, set_id, attempt=2)
    assert failed_runs(session) == []
    assert [run.id for run in open_runs(session)] == [second]


def test_a_cancelled_run_stands_until_another_one_of_its_set_begins(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "a"))
    first = begin_run(session, set_id)
    assert cancelled_runs(session) == []
    abandon_run(session, run_id=first, cancelled="cancelled: in Prefect", now=NOON)
    assert [(run.id, run.message) for run in cancelled_runs(session)] == [(first, "cancelled: in Prefect")]
    assert failed_runs(session) == []
    begin_run(session, set_id, attempt=2)
    assert cancelled_runs(session) == []


def test_flow_runs_that_began_a_run_are_known(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "a"))
    session.get_one(Run, begin_run(session, set_id)).flow_run_id = "f1"
    session.flush()
    assert made_by_flow_runs(session, ["f1", "f2"]) == {"f1"}
    assert made_by_flow_runs(session, []) == set()


def test_results_stand_with_the_recipes_and_entries_they_were_made_with(session: Session) -> None:
    frame_id = add_frame(session, "a")
    add_frame(session, "b", FrameType.FLAT)
    entry = Instrument(name="m2-ml", digest="e1", entry={}, spec={}, recorded_at=NOON)
    session.add(entry)
    session.flush()
    session.get_one(Frame, frame_id).instrument_id = entry.id
    set_id = set_of(session, frame_id)
    elsewhere = set_of(session, add_frame(session, "c", host="elsewhere", configuration="bin2x2"))
    sets = ((set_id, "d1"), (set_id, "d2"), (elsewhere, "d3"))
    done = [begin_run(session, one, digest=digest) for one, digest in sets]
    for run_id in done:
        finish_run(session, run_id=run_id, now=NOON)
    begin_run(session, set_id, digest="d4")
    ((current, entries),) = made_with(session, host=HOST)
    assert (current.instrument, current.night) == ("m2-ml", NIGHT)
    assert current.id == done[1]
    assert current.recipes == {"version": 1}
    assert entries == {"e1", ""}


def test_the_files_quarantined_last_come_first(session: Session) -> None:
    files = ledger.observe(session, [sighting(f"{n}.fits") for n in range(3)], host=HOST, now=NOON)
    for seconds, file in enumerate(files):
        when = NOON + seconds * SECOND
        ledger.quarantine(session, file.id, owner=None, reason=f"reason {seconds}", now=when)
    assert [file.reason for file in ledger.quarantined(session, limit=2)] == ["reason 2", "reason 1"]


def test_shapes_are_counted_within_a_span_of_time(session: Session) -> None:
    for number in range(3):
        add_frame(session, f"small {number}", date_obs=NOON + number * SECOND)
    add_frame(session, "large", shape=(20, 48), date_obs=NOON)
    shapes = frame_shapes(session, instrument="m2-ml", since=None, until=None)
    assert shapes == {(10, 24): 3, (20, 48): 1}
    assert frame_shapes(session, instrument="m2-ml", since=NOON + SECOND, until=NOON + 2 * SECOND) == {(10, 24): 1}
    assert frame_shapes(session, instrument="m3", since=None, until=None) == {}
