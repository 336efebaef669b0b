"""Reading one run: its set, what it used and left out, what it made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from ccdcore.series import SeriesFrame
from db import models
from db.models import CalibrationSet, Frame, Measurement, Outcome, Run
from db.sets import on_disk, series_frame


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
class StandingRun:
    """A run whose results stand, and what they were made with.

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


@dataclass(frozen=True, slots=True)
class UsedFrame:
    """A frame that a run used, or left out for a reason; ``role`` is its type, or ``for`` and a product."""

    frame: SeriesFrame
    role: str
    excluded: str | None
    borrowed: bool


@dataclass(frozen=True, slots=True)
class LackRow:
    """A product that a run did not make, and why; ``is_failure`` where nobody foresaw that."""

    id: int
    product: str
    reason: str
    is_failure: bool


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """One value that a run measured."""

    id: int
    quantity: str
    unit: str
    amplifier: str
    value: float
    uncertainty: float | None
    method: str
    observed_at: datetime
    details: dict[str, Any]
    remark: str | None


@dataclass(frozen=True, slots=True)
class MasterRow:
    """One master that a run made; ``path`` is relative to the home."""

    id: int
    kind: str
    filter: str | None
    path: str
    sha256: str
    unit: str
    n_combined: int
    n_excluded: int
    verdict: str
    remark: str | None
    statistics: dict[str, Any]


def get_run(session: Session, run_id: int) -> RunRow:
    """Return a run by its id."""
    return _runs(session, Run.id == run_id)[0]


def runs_of(session: Session, run_ids: Collection[int]) -> list[RunRow]:
    """Return these runs, as far as there are such."""
    return _runs(session, Run.id.in_(run_ids))


def run_of_measurement(session: Session, measurement_id: int) -> int:
    """Return the run that made a measurement."""
    return session.scalars(select(Measurement.run_id).where(Measurement.id == measurement_id)).one()


def find_run(session: Session, *, set_id: int, digest: str, attempt: int | None = None) -> RunRow | None:
    """Return the run that was claimed with these, the last attempt where none is given; None where there is none."""
    where = [Run.calibration_set_id == set_id, Run.digest == digest]
    if attempt is not None:
        where.append(Run.attempt == attempt)
    return next(iter(_runs(session, *where)), None)


def attempts_at(session: Session, *, set_id: int, digest: str, before: int) -> list[RunRow]:
    """Return the runs that were claimed with these before a run, the newest in front."""
    return _runs(session, Run.calibration_set_id == set_id, Run.digest == digest, Run.id < before)


def standing_runs(session: Session, set_ids: Collection[int]) -> list[RunRow]:
    """Return the runs whose results stand for these sets, by night."""
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


def made_with(session: Session, *, host: str) -> list[StandingRun]:
    """Return what the standing results were made with, by night, as far as their frames are on ``host``."""
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
        StandingRun(
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


def run_inputs(session: Session, run_id: int) -> list[UsedFrame]:
    """Return what a run used and left out, with the path each frame was read from, in order of observation."""
    used = models.RunInput
    query = (
        select(Frame, used.path, used.role, used.excluded, used.borrowed)
        .join(Frame, used.frame_id == Frame.id)
        .where(used.run_id == run_id)
        .order_by(Frame.date_obs, Frame.id, used.id)
    )
    return [
        UsedFrame(series_frame(frame, Path(path or "")), role, excluded, borrowed)
        for frame, path, role, excluded, borrowed in session.execute(query)
    ]


def run_measurements(session: Session, run_id: int) -> list[MeasurementRow]:
    """Return what a run measured, in the order it was recorded."""
    columns = [getattr(Measurement, name) for name in MeasurementRow.__dataclass_fields__]
    query = select(*columns).where(Measurement.run_id == run_id).order_by(Measurement.id)
    return [MeasurementRow(*row) for row in session.execute(query)]


def run_masters(session: Session, run_id: int) -> list[MasterRow]:
    """Return the masters that a run made, in the order they were recorded."""
    columns = [getattr(models.Master, name) for name in MasterRow.__dataclass_fields__]
    query = select(*columns).where(models.Master.run_id == run_id).order_by(models.Master.id)
    return [MasterRow(*row) for row in session.execute(query)]


def run_lacks(session: Session, run_id: int) -> list[LackRow]:
    """Return the products that a run did not make, in the order they were recorded."""
    columns = [getattr(models.Lack, name) for name in LackRow.__dataclass_fields__]
    query = select(*columns).where(models.Lack.run_id == run_id).order_by(models.Lack.id)
    return [LackRow(*row) for row in session.execute(query)]


def master_paths(session: Session) -> set[str]:
    """Return the paths of all masters on record, whatever became of their runs."""
    return set(session.scalars(select(models.Master.path)))
