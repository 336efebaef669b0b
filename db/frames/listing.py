"""What is on record: frames and runs, as lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from db.judgements.marks import Mark, Said, marked_bad, marks, told
from db.schema.models import File, Frame
from db.schema.rows import Page, Row


@dataclass(frozen=True, slots=True)
class FrameOnRecord(Row):
    """A registered frame and the files that hold it (``paths``; none where they were edited since).

    ``mark`` is what somebody marked it, ``bad`` or ``good``, and ``mark_reason`` says why, who and when.
    """

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
    mark: Said | None
    mark_reason: str | None


def list_frames(
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
    columns = [getattr(Frame, name) for name in FrameOnRecord.__dataclass_fields__ if hasattr(Frame, name)]
    query = select(*columns).where(*where)
    if page is None:
        query = query.order_by(taken_at, Frame.id)
    else:
        query = query.order_by(taken_at.desc(), Frame.id.desc()).offset(page.offset).limit(page.size)
    found = session.execute(query).mappings().all()
    if page is not None:
        where = [Frame.id.in_([row["id"] for row in found])]
    files = select(File.frame_id, File.root, File.relative_path).join(Frame, File.frame_id == Frame.id).where(*where)
    paths, marked = _paths(session.execute(files.order_by(File.id)).tuples()), marks(session, "frame")
    return [_on_record({**row}, paths[row["id"]], marked.get(row["id"])) for row in found]


def _on_record(row: Mapping[str, Any], paths: Iterable[str], mark: Mark | None) -> FrameOnRecord:
    said, reason = told(mark)
    return FrameOnRecord(paths=tuple(paths), mark=said, mark_reason=reason, **row)


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


def sample_of_frames(session: Session, *, host: str) -> list[tuple[datetime | None, Path]]:
    """Return one frame of each entry, configuration and type, the latest: when it was observed, and its file."""
    kinds = (Frame.instrument, Frame.instrument_id, Frame.configuration, Frame.frame_type)
    latest = select(func.max(File.id)).join(Frame, File.frame_id == Frame.id).where(File.host == host).group_by(*kinds)
    query = select(Frame.date_obs, File.root, File.relative_path).join(Frame, File.frame_id == Frame.id)
    found = session.execute(query.where(File.id.in_(latest)).order_by(File.id))
    return [(when, Path(root) / below) for when, root, below in found]


def _paths(files: Iterable[tuple[int | None, str, str]]) -> dict[int | None, list[str]]:
    paths: dict[int | None, list[str]] = defaultdict(list)
    for frame_id, root, below in files:
        paths[frame_id].append(str(Path(root) / below))
    return paths


def frame_statistics(session: Session, frame_id: int) -> list[dict[str, Any]]:
    """Return the statistics of the amplifiers of a frame, in ADU."""
    return list(session.scalars(select(Frame.statistics).where(Frame.id == frame_id)).one())


def set_of_frame(session: Session, frame_id: int) -> int | None:
    """Return the set of a frame; None where it is in none."""
    return session.scalars(select(Frame.calibration_set_id).where(Frame.id == frame_id)).one()


def frames_since(session: Session, *, since: datetime) -> list[tuple[str, str, int]]:
    """Return how many frames were registered since a time, by instrument and type."""
    what = Frame.instrument, Frame.frame_type
    query = select(*what, func.count()).where(Frame.registered_at >= since).group_by(*what).order_by(*what)
    return [(instrument, kind, n) for instrument, kind, n in session.execute(query)]


@dataclass(frozen=True, slots=True)
class OtherFrame:
    """A frame that is no calibration frame: its night on record, and why it is none."""

    frame_id: int
    night: date | None
    reason: str


def science_frames(session: Session, *, night: date | None = None, since: datetime | None = None) -> list[OtherFrame]:
    """Return the frames that are no calibration frames, nor averages, nor marked bad, oldest first.

    Only those of a night, or those that were registered from a time on, where it is given.
    """
    where = [Frame.frame_type == "other", Frame.n_averaged == 1, Frame.date_obs.is_not(None)]
    where.append(Frame.id.not_in(marked_bad("frame")))
    if night is not None:
        where.append(Frame.night == night)
    if since is not None:
        where.append(Frame.registered_at >= since)
    query = select(Frame.id, Frame.night, Frame.frame_type_reason).where(*where).order_by(Frame.date_obs, Frame.id)
    return [OtherFrame(*row) for row in session.execute(query).tuples()]
