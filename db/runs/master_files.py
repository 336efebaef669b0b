"""Masters that are looked for often: one file, where files are, and the last ones of each product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from db.runs.current import CURRENT_RUN, kept_masters
from db.runs.masters import MasterOnRecord, masters_of_ids
from db.schema.models import CalibrationSet, Master, Outcome, Run


@dataclass(frozen=True, slots=True)
class MasterFile:
    """Where the file of a master lies, relative to the home, and what is on record of it."""

    kind: str
    path: str
    sha256: str


def master_file(session: Session, master_id: int) -> MasterFile | None:
    """Return the file of a master; None where there is no such master, or its run came to no end."""
    query = select(Master.kind, Master.path, Master.sha256).join(Run, Master.run_id == Run.id)
    row = session.execute(query.where(Master.id == master_id, Run.outcome == Outcome.DONE)).one_or_none()
    return None if row is None else MasterFile(*row)


@dataclass(frozen=True, slots=True)
class MasterInPlace(MasterFile):
    """A master's file, and what it is for."""

    instrument: str
    configuration: str
    filter: str | None
    exposure_s: float | None
    group_c: float | None


_AT_ONCE = 100


def masters_in_place(session: Session) -> Iterator[MasterInPlace]:
    """Give all masters, superseded ones too, the last one first; few are read ahead."""
    of_set = CalibrationSet.instrument, CalibrationSet.configuration
    of_master = Master.kind, Master.path, Master.sha256
    query = (
        select(*of_master, *of_set, Master.filter, Master.exposure_s, Master.group_c)
        .join(Run, Master.run_id == Run.id)
        .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
        .where(Run.outcome == Outcome.DONE)
        .order_by(Master.id.desc())
        .execution_options(yield_per=_AT_ONCE)
    )
    return (MasterInPlace(*row) for row in session.execute(query))


@dataclass(frozen=True, slots=True)
class HotPixels:
    """A master dark or mask, which shows hot pixels."""

    id: int
    kind: str
    path: str
    temperature_c: float | None


def hot_pixels_on_record(session: Session, instrument: str, configuration: str) -> list[HotPixels]:
    """Return the current darks and masks of a camera whose verdict is not bad, in no order."""
    query = (
        select(Master.id, Master.kind, Master.path, Master.temperature_c)
        .join(Run, Master.run_id == Run.id)
        .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
        .where(CalibrationSet.instrument == instrument, CalibrationSet.configuration == configuration)
        .where(Master.kind.in_(("dark", "mask")), Master.verdict != "bad")
        .where(Run.outcome == Outcome.DONE, or_(CURRENT_RUN, Master.id.in_(kept_masters(session))))
    )
    return [HotPixels(*row) for row in session.execute(query)]


SERIES = "kind", "product", "filter", "group_c"
"""What masters agree in, besides their camera, that `last_masters` counts together: they are of one purpose."""


def last_masters(
    session: Session,
    most: int,
    *,
    instrument: str | None = None,
    kind: str | None = None,
    before: datetime | None = None,
) -> list[MasterOnRecord]:
    """Return of what `list_masters` does the last of each product, at most so many: in years most are of the past.

    Of those observed ``before`` a time, if given; they are then valid as if no later ones were there.
    """
    which = [Run.outcome == Outcome.DONE, or_(CURRENT_RUN, Master.id.in_(kept_masters(session)))]
    which += [] if kind is None else [Master.kind == kind]
    which += [] if instrument is None else [CalibrationSet.instrument == instrument]
    which += [] if before is None else [Master.valid_from < before]
    series = CalibrationSet.instrument, CalibrationSet.configuration, *(getattr(Master, name) for name in SERIES)
    place = func.row_number().over(partition_by=series, order_by=(Master.valid_from.desc(), Master.id.desc()))
    placed = select(Master.id, place.label("place")).join(Run, Master.run_id == Run.id)
    window = placed.join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id).where(*which).subquery()
    return masters_of_ids(session, set(session.scalars(select(window.c.id).where(window.c.place <= most))))
