"""Reading one run: its set, what it used and left out, what it made."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from db.files.homes import on_disk
from db.runs.current import CURRENT_RUN
from db.schema import models
from db.schema.models import CalibrationSet, Frame, Outcome, Run
from db.schema.rows import Page, Row


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run and the set it works on: all that is worked with.

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
    recipes : dict
        The options it runs with (`ccdcore.recipe.Recipes.describe`).
    host, pid, pid_started : str, int, float
        The process that works on it; its start tells it from a later one of the same pid.
    began_at : datetime
        When it was claimed.
    outcome, message, ended_at : Outcome or None, str or None, datetime or None
        How and when it ended; None while it works.
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
    recipes: dict[str, Any]
    host: str
    pid: int
    pid_started: float
    began_at: datetime
    outcome: Outcome | None
    message: str | None
    ended_at: datetime | None
    superseded: bool

    @property
    def is_done(self) -> bool:
        """Whether it is done, and no product failed."""
        return self.outcome is Outcome.DONE and self.message is None

    @property
    def is_done_in_part(self) -> bool:
        """Whether it is done but for a product that failed: only then the message of what is done says something."""
        return self.outcome is Outcome.DONE and self.message is not None


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
    found = _runs(session, CURRENT_RUN, Run.calibration_set_id.in_(set_ids))
    return sorted(found, key=lambda run: (run.night, run.instrument, run.configuration))


def open_runs(session: Session) -> list[RunRow]:
    """Return the runs that have begun and not ended, oldest first."""
    return _runs(session, Run.outcome.is_(None))[::-1]


def lately_done(session: Session, *, since: datetime) -> list[RunRow]:
    """Return the runs whose results are current and that ended since a time, oldest first.

    Those that lack a product that failed are not among them: they are made again.
    """
    return _runs(session, CURRENT_RUN, Run.ended_at >= since, Run.message.is_(None))[::-1]


def latest_runs(session: Session, *, where: Iterable[ColumnElement[bool]] = ()) -> dict[int, RunRow]:
    """Return the last run that began on each set, or on each that fulfils these, by the set."""
    newest = select(func.max(Run.id)).join(CalibrationSet).where(*where).group_by(Run.calibration_set_id)
    return {run.set_id: run for run in _runs(session, Run.id.in_(newest))}


def failed_runs(session: Session) -> list[RunRow]:
    """Return the runs that failed, if only in a product, and that no other of their set came after, newest first."""
    newest = select(func.max(Run.id)).group_by(Run.calibration_set_id)
    in_part = and_(Run.outcome == Outcome.DONE, Run.message.is_not(None))
    return _runs(session, Run.id.in_(newest), or_(Run.outcome == Outcome.FAILED, in_part))


def runs_cut_short(session: Session, *, before: datetime) -> list[RunRow]:
    """Return the runs that failed, were cancelled or whose process was gone before a time, the newest in front."""
    return _runs(session, Run.outcome.is_not(None), Run.outcome != Outcome.DONE, Run.ended_at <= before)


def cancelled_runs(session: Session) -> list[RunRow]:
    """Return the runs that somebody ended, and that no other of their set came after, newest first."""
    newest = select(func.max(Run.id)).group_by(Run.calibration_set_id)
    return _runs(session, Run.id.in_(newest), Run.outcome == Outcome.CANCELLED)


def made_by_flow_runs(session: Session, flow_run_ids: Collection[str]) -> set[str]:
    """Return those of these flow runs of Prefect that a run on record was claimed by."""
    found = session.scalars(select(Run.flow_run_id).where(Run.flow_run_id.in_(flow_run_ids)))
    return {one for one in found if one is not None}


def often_cut_short(session: Session, *, attempts: int) -> list[RunRow]:
    """Return the runs that were cut short, as so many before them, and that no other run of their set came after."""
    newest = select(func.max(Run.id)).group_by(Run.calibration_set_id)
    return _runs(session, Run.outcome == Outcome.ABANDONED, Run.attempt >= attempts, Run.id.in_(newest))


def made_with(session: Session, *, host: str) -> list[tuple[RunRow, frozenset[str]]]:
    """Return the current runs as far as their frames are on ``host``, by night, and the entries these were read with.

    The entries are known by their digests; empty text where none matched.
    """
    read_with = (
        select(Frame.calibration_set_id, models.Instrument.digest)
        .join(models.Instrument, Frame.instrument_id == models.Instrument.id)
        .where(Frame.calibration_set_id.is_not(None), on_disk(host))
        .distinct()
    )
    entries: dict[int | None, set[str]] = {}
    for set_id, digest in session.execute(read_with):
        entries.setdefault(set_id, set()).add(digest)
    found = sorted(_runs(session, CURRENT_RUN), key=lambda run: (run.night, run.id))
    return [(run, frozenset(entries[run.set_id])) for run in found if run.set_id in entries]


def _runs(session: Session, *where: ColumnElement[bool]) -> list[RunRow]:
    """Return the runs that fulfil these, the newest in front."""
    query = _query_of(RunRow).where(*where).order_by(Run.id.desc())
    return [RunRow(*row) for row in session.execute(query)]


def _query_of(row: type[RunRow | RunOnRecord]) -> Select[Any]:
    """Ask for the fields of such rows, in order."""
    named = {
        "set_id": Run.calibration_set_id,
        "instrument": CalibrationSet.instrument,
        "configuration": CalibrationSet.configuration,
        "night": CalibrationSet.window_first_night,
        "superseded": Run.superseded_by_id.is_not(None),
    }
    columns = [named[name] if name in named else getattr(Run, name) for name in row.__dataclass_fields__]
    return select(*columns).join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)


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
    query = _query_of(RunOnRecord)
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
