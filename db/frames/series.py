"""Frames of sets and files, as what measures them takes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import nan
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.frames.frame import FrameStatistics, SeriesFrame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from db.schema.models import File, FileState, Frame
from db.schema.upsert import batches


def set_frames(session: Session, set_id: int, *, host: str) -> list[SeriesFrame]:
    """Return the frames of a set whose pixels can be read on ``host``, in order of observation."""
    query = (
        select(Frame, File.root, File.relative_path)
        .join(File, File.frame_id == Frame.id)
        .where(Frame.calibration_set_id == set_id, File.host == host)
        .order_by(Frame.date_obs, Frame.id, File.id.desc())
        .execution_options(populate_existing=True)
    )
    held: dict[int, tuple[Frame, list[Path]]] = {}
    for frame, root, below in session.execute(query):
        held.setdefault(frame.id, (frame, []))[1].append(Path(root) / below)
    return [series_frame(frame, _one_of(paths)) for frame, paths in held.values()]


def frames_on_disk(session: Session, frame_ids: Collection[int], *, host: str) -> dict[int, SeriesFrame]:
    """Return frames by id, those whose pixels can be read on ``host``."""
    query = select(Frame, File.root, File.relative_path).join(File, File.frame_id == Frame.id)
    held: dict[int, tuple[Frame, list[Path]]] = {}
    for ids in batches(frame_ids):
        for frame, root, below in session.execute(
            query.where(Frame.id.in_(ids), File.host == host).order_by(File.id.desc())
        ):
            held.setdefault(frame.id, (frame, []))[1].append(Path(root) / below)
    return {key: series_frame(frame, _one_of(paths)) for key, (frame, paths) in held.items()}


def _one_of(paths: Sequence[Path]) -> Path:
    """Return the file to read a frame from: of several, the one seen last that is still there."""
    return paths[0] if len(paths) == 1 else next((path for path in paths if path.exists()), paths[0])


def series_frame(frame: Frame, path: Path) -> SeriesFrame:
    """Return a frame on record as ccdcore sees it, with its pixels at ``path``."""
    known = {name: getattr(frame, name) for name in ExposureInfo.__dataclass_fields__}
    return SeriesFrame(
        sha256=frame.sha256,
        path=path,
        shape=(frame.rows, frame.columns),
        info=ExposureInfo(**{**known, "frame_type": FrameType(frame.frame_type)}),
        amplifiers=tuple(_amplifier(one) for one in frame.amplifiers),
        statistics=tuple(_statistics(one) for one in frame.statistics),
    )


def _amplifier(stored: Mapping[str, Any]) -> Amplifier:
    overscan = stored["overscan"]
    return Amplifier(stored["name"], Section.parse(stored["data"]), overscan and Section.parse(overscan))


def _statistics(stored: Mapping[str, Any]) -> FrameStatistics:
    """Bring back NaN, which is stored as null, wherever null is no value of the field."""
    values: dict[str, Any] = {
        name: nan if value is None and not name.startswith("overscan") else value for name, value in stored.items()
    }
    return FrameStatistics(**values)


@dataclass(frozen=True, slots=True)
class FileFrame:
    """A file and, once it has been read, what its frame was taken for and the set it went to."""

    file_id: int
    path: Path
    state: FileState
    reason: str | None
    frame_type: FrameType | None
    frame_type_reason: str | None
    set_id: int | None
    date_obs: datetime | None
    joined_at: datetime | None
    frame_id: int | None

    @property
    def is_calibration(self) -> bool:
        """Whether it holds a bias, dark or flat."""
        return self.frame_type not in {None, FrameType.OTHER}


def frames_of_files(session: Session, file_ids: Collection[int]) -> list[FileFrame]:
    """Return what these files hold, in the order of their paths."""
    query = select(
        File.id,
        File.root,
        File.relative_path,
        File.state,
        File.reason,
        Frame.frame_type,
        Frame.frame_type_reason,
        Frame.calibration_set_id,
        Frame.date_obs,
        Frame.joined_at,
        Frame.id,
    ).outerjoin(Frame, File.frame_id == Frame.id)
    found = [row for ids in batches(file_ids) for row in session.execute(query.where(File.id.in_(ids)))]
    held = [
        FileFrame(key, Path(root) / below, state, reason, None if kind is None else FrameType(kind), *rest)
        for key, root, below, state, reason, kind, *rest in found
    ]
    return sorted(held, key=lambda one: one.path)
