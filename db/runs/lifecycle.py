"""Writing what was found: runs, and their results with provenance.

A session comes in and the caller owns the transaction; times come in too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from db.runs.current import CURRENT_RUN
from db.runs.lacks import failures_in_words
from db.schema import models
from db.schema.models import Outcome
from db.schema.rows import column_value
from db.schema.upsert import insert

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


PROCESS_GONE = "the process that worked on it is gone"


def retire_runs_of(session: Session, frame_id: int) -> None:
    """Retire the results of this frame where it, like all others of its former set, is in none any more.

    They are superseded by none but themselves, and are made again when frames are in their set again.
    """
    run, used, frame = models.Run, models.RunInput, models.Frame
    is_used = select(used.id).where(used.run_id == run.id, used.frame_id == frame_id, used.borrowed.is_(False))
    left = select(frame.id).where(frame.calibration_set_id == run.calibration_set_id)
    in_none = select(frame.id).where(frame.id == frame_id, frame.calibration_set_id.is_(None))
    session.execute(
        update(run)
        .where(CURRENT_RUN, is_used.exists(), in_none.exists(), ~left.exists())
        .values(superseded_by_id=run.id)
        .execution_options(synchronize_session=False)
    )


def claim_run(
    session: Session,
    *,
    set_id: int,
    digest: str,
    attempt: int,
    engine: Literal["prefect", "local"],
    flow_run_id: str | None,
    recipes: Mapping[str, Any],
    software: Mapping[str, Any],
    host: str,
    pid: int,
    pid_started: float,
    now: datetime,
) -> int | None:
    """Begin a run; return its id, or None where this (set, digest, attempt) has been claimed before.

    Parameters
    ----------
    pid_started : float
        Start of the process, as a number that tells it from a later one of the same pid.
    """
    statement = insert(session, models.Run).values(
        calibration_set_id=set_id,
        digest=digest,
        attempt=attempt,
        engine=engine,
        flow_run_id=flow_run_id,
        recipes=dict(recipes),
        software=dict(software),
        host=host,
        pid=pid,
        pid_started=pid_started,
        began_at=now,
    )
    return session.scalar(statement.on_conflict_do_nothing().returning(models.Run.id))


def finish_run(session: Session, *, run_id: int, now: datetime) -> bool:
    """Show a run's results to users, in place of those of older runs of its set.

    A run that a newer one has overtaken is superseded by it from the start. Results of a set that has lost all
    its frames, because other rules identified them anew, give way to those of the set that took some of them in.

    Returns
    -------
    bool
        False where the run had ended already, and nothing was changed.
    """
    run, sets = models.Run, models.CalibrationSet
    # Two runs of one set that end at the same time must see each other.
    of_run = select(sets.id).join(run, run.calibration_set_id == sets.id).where(run.id == run_id)
    set_id = session.scalars(of_run.with_for_update(of=sets)).one()
    if not _end(session, run_id=run_id, outcome=Outcome.DONE, message=failures_in_words(session, run_id), now=now):
        return False
    done = select(run.id).where(run.calibration_set_id == set_id, run.outcome == Outcome.DONE)
    newest = session.scalars(done.order_by(run.id.desc()).limit(1)).one()
    of_set = or_(run.calibration_set_id == set_id, _moved_to(set_id))
    older = CURRENT_RUN, run.id < newest, of_set
    session.execute(
        update(run).where(*older).values(superseded_by_id=newest).execution_options(synchronize_session=False)
    )
    return True


def _moved_to(set_id: int) -> ColumnElement[bool]:
    """Whether a run is one of a set without frames, and used some that are now in the set ``set_id``."""
    run, used, frame = models.Run, models.RunInput, models.Frame
    left = select(frame.id).where(frame.calibration_set_id == run.calibration_set_id)
    moved = (
        select(used.id)
        .join(frame, used.frame_id == frame.id)
        .where(used.run_id == run.id, used.borrowed.is_(False), frame.calibration_set_id == set_id)
    )
    return and_(~left.exists(), moved.exists())


def fail_run(session: Session, *, run_id: int, message: str, now: datetime) -> bool:
    """End a run that could not do its work; return False where it had ended already."""
    return _end(session, run_id=run_id, outcome=Outcome.FAILED, message=message, now=now)


def abandon_run(
    session: Session,
    *,
    run_id: int,
    now: datetime,
    cancelled: str | None = None,
    why: str = PROCESS_GONE,
) -> bool:
    """End a run cut short by no fault of its own, and forget what it measured; return False where it had ended already.

    What it says of its masters stays, unseen, as long as their files do: by it they are known to be its own.

    Parameters
    ----------
    cancelled : str or None
        Where somebody ended it on purpose, so that it is not made again: a message that says so.
    why : str
        What cut it short, else.
    """
    outcome = Outcome.ABANDONED if cancelled is None else Outcome.CANCELLED
    if not _end(session, run_id=run_id, outcome=outcome, message=cancelled or why, now=now):
        return False
    for unfinished in (models.Measurement, models.Lack):
        session.execute(delete(unfinished).where(unfinished.run_id == run_id))
    return True


def _end(session: Session, *, run_id: int, outcome: Outcome, message: str | None, now: datetime) -> bool:
    run = models.Run
    ended = (
        update(run)
        .where(run.id == run_id, run.outcome.is_(None))
        .values(outcome=outcome, message=column_value(message), ended_at=now)
        .returning(run.id)
    )
    return session.scalar(ended) is not None
