"""What is on record: frames and runs, as lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from db.models import CalibrationSet, File, Frame, Outcome, Run, RunInput
from db.rows import Row


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a long list: so many rows, after so many others."""

    size: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class FrameOnRecord(Row):
    """A registered frame and the files that hold it (``paths``; none where they were edited since)."""

    id: int
    sha256: str
    frame_type: str
    frame_type_reason: str
    instrument: str
    configuration: str
    night: date | None
    date_obs: datetime | None
    exposure_time_s: float | None
    ccd_temperature_c: float | None
    filter: str | None
    n_averaged: int
    rows: int
    columns: int
    registered_at: datetime
    calibration_set_id: int | None
    paths: tuple[str, ...]


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


@dataclass(frozen=True, slots=True)
class SetOnRecord(Row):
    """The frames of one instrument and configuration in one window of nights, which begins with ``night``."""

    id: int
    instrument: str
    configuration: str
    night: date
    window_nights: int


def frames(
    session: Session,
    *,
    instrument: str | None = None,
    frame_type: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    set_id: int | None = None,
    page: Page | None = None,
) -> list[FrameOnRecord]:
    """Return the frames on record, oldest first; one without a date counts by its arrival.

    Parameters
    ----------
    since, until : datetime or None
        The half-open span of time of observation.
    set_id : int or None
        Only those of this set.
    page : Page or None
        A part of them, the newest in front.
    """
    taken_at = func.coalesce(Frame.date_obs, Frame.joined_at, type_=Frame.joined_at.type)
    where: list[ColumnElement[bool]] = []
    if instrument is not None:
        where.append(Frame.instrument == instrument)
    if frame_type is not None:
        where.append(Frame.frame_type == frame_type)
    if since is not None:
        where.append(taken_at >= since)
    if until is not None:
        where.append(taken_at < until)
    if set_id is not None:
        where.append(Frame.calibration_set_id == set_id)
    columns = [getattr(Frame, name) for name in FrameOnRecord.__dataclass_fields__ if name != "paths"]
    query = select(*columns).where(*where)
    if page is None:
        query = query.order_by(taken_at, Frame.id)
    else:
        query = query.order_by(taken_at.desc(), Frame.id.desc()).offset(page.offset).limit(page.size)
    found = session.execute(query).mappings().all()
    if page is not None:
        where = [Frame.id.in_([row["id"] for row in found])]
    files = select(File.frame_id, File.root, File.relative_path).join(Frame, File.frame_id == Frame.id).where(*where)
    paths = _paths(session.execute(files.order_by(File.id)))
    return [FrameOnRecord(paths=tuple(paths[row["id"]]), **row) for row in found]


def frame_shapes(
    session: Session, *, instrument: str, since: datetime | None, until: datetime | None
) -> dict[tuple[int, int], int]:
    """Return how many frames of an instrument, observed in a half-open span of time, have (rows, columns)."""
    where = [Frame.instrument == instrument]
    if since is not None:
        where.append(Frame.date_obs >= since)
    if until is not None:
        where.append(Frame.date_obs < until)
    query = select(Frame.rows, Frame.columns, func.count()).where(*where).group_by(Frame.rows, Frame.columns)
    return {(rows, columns): n for rows, columns, n in session.execute(query.order_by(Frame.rows, Frame.columns))}


def exposures(session: Session, *, at_most: int) -> list[tuple[str, datetime | None, float | None]]:
    """Return instrument, time and the header's longitude of the latest calibration frames."""
    query = select(Frame.instrument, Frame.date_obs, Frame.longitude_deg).where(Frame.calibration_set_id.is_not(None))
    return [(name, when, east) for name, when, east in session.execute(query.order_by(Frame.id.desc()).limit(at_most))]


def _paths(files: Iterable[tuple[int | None, str, str]]) -> dict[int | None, list[str]]:
    paths: dict[int | None, list[str]] = defaultdict(list)
    for frame_id, root, below in files:
        paths[frame_id].append(str(Path(root) / below))
    return paths


def runs(
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


def calibration_set(session: Session, set_id: int) -> SetOnRecord | None:
    """Return a set by its id; None where there is none."""
    row = session.get(CalibrationSet, set_id)
    if row is None:
        return None
    return SetOnRecord(row.id, row.instrument, row.configuration, row.window_first_night, row.window_nights)


def frame_statistics(session: Session, frame_id: int) -> list[dict[str, Any]]:
    """Return the statistics of the amplifiers of a frame, in ADU."""
    return list(session.scalars(select(Frame.statistics).where(Frame.id == frame_id)).one())


@dataclass(frozen=True, slots=True)
class LeftOut(Row):
    """A frame that a standing run left out of something (``role``: its type, or ``for`` and a product), and why."""

    night: date
    run_id: int
    frame_id: int
    path: str
    role: str
    reason: str


def left_out(session: Session, *, instrument: str, first: date, last: date) -> list[LeftOut]:
    """Return the frames that the standing runs of some nights, both ends included, left out, in order of time."""
    query = (
        select(CalibrationSet.window_first_night, Run.id, Frame.id, RunInput.path, RunInput.role, RunInput.excluded)
        .join_from(RunInput, Run, RunInput.run_id == Run.id)
        .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
        .join(Frame, RunInput.frame_id == Frame.id)
        .where(
            CalibrationSet.instrument == instrument,
            CalibrationSet.window_first_night.between(first, last),
            RunInput.excluded.is_not(None),
            Run.outcome == Outcome.DONE,
            Run.superseded_by_id.is_(None),
        )
        .order_by(CalibrationSet.window_first_night, Frame.date_obs, RunInput.id)
    )
    return [
        LeftOut(night, run_id, frame_id, path or "", role, reason or "")
        for night, run_id, frame_id, path, role, reason in session.execute(query)
    ]
