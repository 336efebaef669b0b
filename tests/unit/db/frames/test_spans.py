"""Across which times nothing is lent: those at which an entry of the configuration begins or ends."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy.orm import Session

from ccdcore.headers.instrument import Instrument
from db.frames.entries import sync_instruments
from db.frames.spans import boundaries
from tests.support.on_record import NOON, add_frame

DAY = timedelta(days=1)
ENTRY = Instrument("m2-ml", match={"HEAD": "ML"})
OLD = replace(ENTRY, valid_to=NOON + DAY)
NEW = replace(ENTRY, valid_from=NOON + DAY)
NEXT = replace(ENTRY, valid_from=NOON + 5 * DAY)


def open_with(session: Session, *entries: Instrument, day: int) -> None:
    sync_instruments(session, entries, now=NOON + day * DAY)


def test_an_entry_without_frames_counts_also_when_another_is_added(session: Session) -> None:
    open_with(session, ENTRY, NEW, day=2)
    add_frame(session, "a", entry=ENTRY)
    open_with(session, ENTRY, NEW, NEXT, day=3)
    assert boundaries(session) == {ENTRY.name: [NEW.valid_from, NEXT.valid_from]}


def test_an_entry_that_was_removed_before_any_frame_came_does_not(session: Session) -> None:
    open_with(session, ENTRY, NEW, NEXT, day=2)
    add_frame(session, "a", entry=ENTRY)
    open_with(session, ENTRY, NEW, day=3)
    assert boundaries(session) == {ENTRY.name: [NEW.valid_from]}
    open_with(session, ENTRY, day=4)
    assert boundaries(session, ENTRY.name) == {}


def test_an_entry_that_was_removed_after_frames_came_does(session: Session) -> None:
    open_with(session, OLD, NEW, day=2)
    add_frame(session, "a", entry=NEW)
    open_with(session, ENTRY, day=3)
    assert boundaries(session) == {ENTRY.name: [NEW.valid_from]}


def test_a_clock_that_was_ahead_makes_no_difference(session: Session) -> None:
    open_with(session, ENTRY, NEXT, day=900)
    open_with(session, ENTRY, NEW, day=2)
    assert boundaries(session) == {ENTRY.name: [NEW.valid_from]}
