"""Reading one run: its set, what it used and left out, what it made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from db.files.homes import on_disk
from db.schema import models
from db.schema.models import CalibrationSet, Frame, Outcome, Run
from db.schema.rows import Page, Row


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run and the set it works on.

    Parameters
    ----------
    id, set_id : int
        Of the run and of its calibration set.
    instrument, configuration : str
        What makes the set's frames comparable.
    night : date
        First night of the set's window, which names it.
    digest, attempt, engine, flow_run_id : str, int, str, str or None
        As they were claimed.
    outcome, message, ended_at : Outcome or None, str or None, datetime or None
        How and when it ended.
    superseded : bool
        Whether a newer run of the set took its place.
    """

    id: int
    set_id: int
    instrument: str
    configuration: str
    night: date
    digest: str
    attempt: int
    engine: str
    flow_run_id: str | None
    outcome: Outcome | None
    message: str | None
    ended_at: datetime | None
    superseded: bool

    @property
    def is_done_in_part(self) -> bool:
        """Whether it is done but for a product that failed: only then the message of what is done says something."""
        return self.outcome is Outcome.DONE and self.message is not None


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """A run whose results are current, and what they were made with.

    Parameters
    ----------
    id, instrument, configuration, night : int, str, str, date
        As in `RunRow`.
    recipes : dict
        The options it ran with (`ccdcore.recipe.Recipes.describe`).
    entries : frozenset of str
        Digests of the instrument entries that the frames of its set were read with; empty text where none matched.
    """

    id: int
    instrument: str
    configuration: str
    night: date
    recipes: dict[str, Any]
    entries: frozenset[str]


def get_run(session: Session, run_id: int) -> RunRow:
    """Return a run by its id."""
    return _runs(session, Run.id == run_id)[0]


def runs_of(session: Session, run_ids: Collection[int]) -> list[RunRow]:
    """Return these runs, as far as there are such."""
    return _runs(session, Run.id.in_(run_ids))


def find_run(session: Session, *, set_id: int, digest: str, attempt: int | None = None) -> RunRow | None:
    """Return the run that was claimed with these, the last attempt where none is given; None where there is none."""
    where = [Run.calibration_set_id == set_id, Run.digest == digest]
    if attempt is not None:
        where.append(Run.attempt == attempt)
    return next(iter(_runs(session, *where)), None)


def attempts_at(session: Session, *, set_id: int, digest: str, before: int) -> list[RunRow]:
    """Return the runs that were claimed with these before a run, the newest in front."""
    return _runs(session, Run.calibration_set_id == set_id, Run.digest == digest, Run.id < before)


def current_runs(session: Session, set_ids: Collection[int]) -> list[RunRow]:
    """Return the runs whose results are current for these sets, by night."""
    where = (Run.calibration_set_id.in_(set_ids), Run.outcome == Outcome.DONE, Run.superseded_by_id.is_(None))
    return sorted(_runs(session, *where), key=lambda run: (run.night, run.instrument, run.configuration))


def unfinished_runs(session: Session) -> list[RunRow]:
    """Return the runs that have begun and not ended, the newest in front."""
    return _runs(session, Run.outcome.is_(None))


def failed_runs(session: Session) -> list[RunRow]:
    """Return the runs that failed, if only in a product, and that no other of their set came after, newest first."""
    newest = select(func.max(Run.id)).group_by(Run.calibration_set_id)
    in_part = and_(Run.outcome == Outcome.DONE, Run.message.is_not(None))
    return _runs(session, Run.id.in_(newest), or_(Run.outcome == Outcome.FAILED, in_part))


def runs_cut_short(session: Session, *, before: datetime) -> list[RunRow]:
    """Return the runs that failed, were cancelled or whose process was gone before a time, the newest in front."""
    return _runs(session, Run.outcome.is_not(None), Run.outcome != Outcome.DONE, Run.ended_at <= before)


def often_cut_short(session: Session, *, attempts: int) -> list[RunRow]:
    """Return the runs that were cut short, as so many before them, and that no other run of their set came after."""
    newest = select(func.max(Run.id)).group_by(Run.calibration_set_id)
    return _runs(session, Run.outcome == Outcome.ABANDONED, Run.attempt >= attempts, Run.id.in_(newest))


def made_with(session: Session, *, host: str) -> list[CurrentRun]:
    """Return what the current results were made with, by night, as far as their frames are on ``host``."""
    read_with = (
        select(Frame.calibration_set_id, models.Instrument.digest)
        .join(models.Instrument, Frame.instrument_id == models.Instrument.id)
        .where(Frame.calibration_set_id.is_not(None), on_disk(host))
        .distinct()
    )
    entries: dict[int | None, set[str]] = {}
    for set_id, digest in session.execute(read_with):
        entries.setdefault(set_id, set()).add(digest)
    runs = (
        select(Run, CalibrationSet)
        .join(CalibrationSet)
        .where(Run.outcome == Outcome.DONE, Run.superseded_by_id.is_(None))
        .order_by(CalibrationSet.window_first_night, Run.id)
    )
    return [
        CurrentRun(
            run.id, of.instrument, of.configuration, of.window_first_night, run.recipes, frozenset(entries[of.id])
        )
        for run, of in session.execute(runs)
        if of.id in entries
    ]


def _runs(session: Session, *where: Any) -> list[RunRow]:
    query = (
        select(
            Run.id,
            Run.calibration_set_id,
            CalibrationSet.instrument,
            CalibrationSet.configuration,
            CalibrationSet.window_first_night,
            Run.digest,
            Run.attempt,
            Run.engine,
            Run.flow_run_id,
            Run.outcome,
            Run.message,
            Run.ended_at,
            Run.superseded_by_id.is_not(None),
        )
        .join(CalibrationSet)
        .where(*where)
        .order_by(Run.id.desc())
    )
    found: Sequence[Any] = session.execute(query).all()
    return [RunRow(*row) for row in found]


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has begun and not ended; `pid_started` tells its process from a later one of the same pid."""

    id: int
    calibration_set_id: int
    digest: str
    attempt: int
    engine: str
    flow_run_id: str | None
    host: str
    pid: int
    pid_started: float
    began_at: datetime


def open_runs(session: Session) -> list[OpenRun]:
    """Return the runs that have begun and not ended, oldest first."""
    columns = [getattr(Run, name) for name in OpenRun.__dataclass_fields__]
    query = select(*columns).where(Run.outcome.is_(None)).order_by(Run.id)
    return [OpenRun(*row) for row in session.execute(query)]


def lately_done(session: Session, *, since: datetime) -> list[OpenRun]:
    """Return the runs whose results are current and that ended since a time, with the processes that worked on them.

    Those that lack a product that failed are not among them: they are made again.
    """
    columns = [getattr(Run, name) for name in OpenRun.__dataclass_fields__]
    current = Run.outcome == Outcome.DONE, Run.superseded_by_id.is_(None), Run.ended_at >= since, Run.message.is_(None)
    return [OpenRun(*row) for row in session.execute(select(*columns).where(*current).order_by(Run.id))]


@dataclass(frozen=True, slots=True)
class RunOnRecord(Row):
    """A run; ``outcome`` is ``running`` until it ends."""

    id: int
    instrument: str
    configuration: str
    night: date
    outcome: str
    message: str | None
    engine: str
    flow_run_id: str | None
    digest: str
    attempt: int
    host: str
    began_at: datetime
    ended_at: datetime | None
    superseded: bool
    calibration_set_id: int


def list_runs(
    session: Session,
    *,
    instrument: str | None = None,
    superseded: bool = False,
    set_id: int | None = None,
    run_id: int | None = None,
    page: Page | None = None,
) -> list[RunOnRecord]:
    """Return the runs on record, oldest first; those that a newer one took the place of on request.

    Parameters
    ----------
    set_id, run_id : int or None
        Only those of this set, only this one.
    page : Page or None
        A part of them, the newest in front.
    """
    query = select(
        Run.id,
        CalibrationSet.instrument,
        CalibrationSet.configuration,
        CalibrationSet.window_first_night,
        Run.outcome,
        Run.message,
        Run.engine,
        Run.flow_run_id,
        Run.digest,
        Run.attempt,
        Run.host,
        Run.began_at,
        Run.ended_at,
        Run.superseded_by_id.is_not(None),
        Run.calibration_set_id,
    ).join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
    if page is None:
        query = query.order_by(Run.began_at, Run.id)
    else:
        query = query.order_by(Run.began_at.desc(), Run.id.desc()).offset(page.offset).limit(page.size)
    if set_id is not None:
        query = query.where(Run.calibration_set_id == set_id)
    if run_id is not None:
        query = query.where(Run.id == run_id)
    if instrument is not None:
        query = query.where(CalibrationSet.instrument == instrument)
    if not superseded:
        query = query.where(Run.superseded_by_id.is_(None))
    return [_run_on_record(*row) for row in session.execute(query)]


def _run_on_record(
    key: int, instrument: str, configuration: str, night: date, outcome: Outcome | None, *rest: object
) -> RunOnRecord:
    return RunOnRecord(key, instrument, configuration, night, str(outcome or "running"), *rest)  # type: ignore[arg-type]
