"""All that was said: notes on instruments, and every line about a thing, with those that were taken back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, get_args

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import aliased

from db.judgements.marks import Markable, marks
from db.schema.models import Judgement, Master, Measurement, RunInput
from db.schema.rows import Row
from db.schema.upsert import batches

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class JudgementLine(Row):
    """A line of what people said.

    Parameters
    ----------
    id : int
        Its number.
    said : str
        ``bad``, ``good`` or ``note``.
    of : str
        What it is on, as people type it: ``frame:7``; the name of an instrument of a note.
    words, who, said_at : str, str, datetime
        In whose words, and when.
    at : datetime or None
        What time a note is about.
    takes_back, taken_back : bool
        Whether it takes back an earlier line, and whether a later one takes it back.
    """

    id: int
    said: str
    of: str
    words: str
    who: str
    said_at: datetime
    at: datetime | None
    takes_back: bool
    taken_back: bool


def lines_on(session: Session, kind: Markable, keys: Collection[int]) -> dict[int, list[JudgementLine]]:
    """Return all that was said of some frames, masters or measurements, oldest first, by their ids."""
    column = getattr(Judgement, f"{kind}_id")
    found: dict[int, list[JudgementLine]] = defaultdict(list)
    for some in batches(keys):
        for line in _lines(session, column.in_(some)):
            found[int(line.of.partition(":")[2])].append(line)
    return found


def all_lines(session: Session, *, are_notes: bool) -> list[tuple[JudgementLine, bool]]:
    """Return all notes, or all marks, oldest first, and whether each holds."""
    is_note = Judgement.said == "note"
    lines = _lines(session, is_note if are_notes else ~is_note)
    if are_notes:
        return [(line, not (line.takes_back or line.taken_back)) for line in lines]
    held = {mark.judgement_id for kind in get_args(Markable) for mark in marks(session, kind).values()}
    return [(line, line.id in held) for line in lines]


def lines_of_run(session: Session, run_id: int) -> list[JudgementLine]:
    """Return all that was said of the frames that a run used or left out and of what it made, oldest first."""
    frames = select(RunInput.frame_id).where(RunInput.run_id == run_id, RunInput.frame_id.is_not(None))
    masters = select(Master.id).where(Master.run_id == run_id)
    measurements = select(Measurement.id).where(Measurement.run_id == run_id)
    return _lines(
        session,
        or_(
            Judgement.frame_id.in_(frames),
            Judgement.master_id.in_(masters),
            Judgement.measurement_id.in_(measurements),
        ),
    )


def notes_that_hold(
    session: Session,
    instrument: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[JudgementLine]:
    """Return the notes on an instrument, or on all, that were not taken back, by the time that they are about.

    ``since`` and ``until`` are the half-open span of that time.
    """
    where = [Judgement.said == "note"]
    if instrument is not None:
        where.append(Judgement.instrument == instrument)
    if since is not None:
        where.append(Judgement.at >= since)
    if until is not None:
        where.append(Judgement.at < until)
    found = [line for line in _lines(session, *where) if not (line.takes_back or line.taken_back)]
    return sorted(found, key=lambda line: (line.at or line.said_at, line.id))


def _lines(session: Session, *where: ColumnElement[bool]) -> list[JudgementLine]:
    later = aliased(Judgement)
    taken_back = select(later.id).where(later.takes_back_id == Judgement.id).exists()
    query = select(Judgement, taken_back).where(*where).order_by(Judgement.id)
    return [_line(one, is_taken_back=bool(is_so)) for one, is_so in session.execute(query)]


def _line(one: Judgement, *, is_taken_back: bool) -> JudgementLine:
    ids = {"frame": one.frame_id, "master": one.master_id, "measurement": one.measurement_id}
    of = next((f"{kind}:{key}" for kind, key in ids.items() if key is not None), one.instrument or "")
    takes_back = one.takes_back_id is not None
    return JudgementLine(one.id, one.said, of, one.words, one.who, one.said_at, one.at, takes_back, is_taken_back)
