"""Writing what people say, and taking it back: one more line each, which nothing changes later.

A session comes in and the caller owns the transaction; times come in too.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, union, update

from ccdcore.text import one_line
from db.errors import NotSaidError, UnknownIdError
from db.judgements.marks import Markable, Said, lines_that_hold
from db.judgements.notes import notes_that_hold
from db.schema.models import (
    CalibrationSet,
    Frame,
    Instrument,
    Judgement,
    Master,
    Measurement,
    Outcome,
    Run,
    RunInput,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def mark(session: Session, kind: Markable, key: int, said: Said, *, why: str, who: str, now: datetime) -> None:
    """Mark something, whatever was said of it before.

    Raises
    ------
    UnknownIdError
        If it is of a run that is not done: such results may go, and nobody was shown them.
    """
    if kind != "frame":
        made = Master if kind == "master" else Measurement
        run = select(Run.outcome).join(made, made.run_id == Run.id).where(made.id == key)
        if session.scalar(run) is not Outcome.DONE:
            raise UnknownIdError(f"{kind}:{key} is of a run that is not done: nothing of it is shown or marked")
    _write(session, kind, key, said, why=why, who=who, now=now)


def take_back(session: Session, kind: Markable, key: int, said: Said, *, why: str, who: str, now: datetime) -> None:
    """Take back the last such mark that holds.

    Raises
    ------
    NotSaidError
        If there is none.
    """
    lines = lines_that_hold(kind).subquery()
    of, judgement_id = lines.c
    query = select(judgement_id).join(Judgement, Judgement.id == judgement_id)
    query = query.where(of == key, Judgement.said == said).order_by(judgement_id.desc())
    last = session.scalars(query.limit(1)).first()
    if last is None:
        raise NotSaidError(f"{kind}:{key} is not marked {said}: nothing to take back")
    _write(session, kind, key, said, why=why, who=who, now=now, takes_back_id=last)


def note(session: Session, instrument: str, words: str, *, at: datetime, who: str, now: datetime) -> None:
    """Note something about an instrument at a time.

    Raises
    ------
    UnknownIdError
        If nothing of this instrument is on record.
    """
    _require_instrument(session, instrument)
    _add(session, said="note", instrument=instrument, at=at, words=one_line(words), who=who, said_at=now)


def take_note_back(session: Session, instrument: str, words: str, *, who: str, now: datetime) -> None:
    """Take back the last note of these words.

    Raises
    ------
    UnknownIdError
        If nothing of this instrument is on record.
    NotSaidError
        If no note on it that holds has these words.
    """
    _require_instrument(session, instrument)
    said = [one for one in notes_that_hold(session, instrument) if one.words == one_line(words)]
    if not said:
        raise NotSaidError(f"no note on {instrument} says {one_line(words)!r}: nothing to take back")
    last = max(said, key=lambda one: one.id)
    takes_back = {"at": last.at, "words": last.words, "takes_back_id": last.id}
    _add(session, said="note", instrument=instrument, who=who, said_at=now, **takes_back)


def _require_instrument(session: Session, name: str) -> None:
    known = sorted(set(session.scalars(select(Instrument.name))))
    if name not in known:
        raise UnknownIdError(f"no instrument {one_line(name)} is on record: there is {', '.join(known) or 'none yet'}")


def _write(
    session: Session,
    kind: Markable,
    key: int,
    said: Said,
    *,
    why: str,
    who: str,
    now: datetime,
    takes_back_id: int | None = None,
) -> None:
    of = {f"{kind}_id": key}
    _add(session, said=said, words=one_line(why), who=who, said_at=now, takes_back_id=takes_back_id, **of)
    if kind == "frame":
        _tell_sets(session, key, now)


def _add(session: Session, **values: Any) -> None:
    session.add(Judgement(**values))
    session.flush()


def _tell_sets(session: Session, frame_id: int, now: datetime) -> None:
    """Put on record that the sets became others that a frame is in, or that ever used it: they are looked at anew."""
    used = select(Run.calibration_set_id).join(RunInput, RunInput.run_id == Run.id)
    own = select(Frame.calibration_set_id).where(Frame.id == frame_id)
    which = CalibrationSet.id.in_(union(own, used.where(RunInput.frame_id == frame_id)))
    session.execute(
        update(CalibrationSet).where(which).values(changed_at=now).execution_options(synchronize_session=False)
    )
