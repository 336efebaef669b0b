"""Finding things on record by part of a name, and nights that have something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.schema.models import CalibrationSet, File, Frame

_LONGEST_WINDOW = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class FrameInFile:
    """A frame whose file was found by its name."""

    frame_id: int
    frame_type: str
    instrument: str
    night: date | None
    path: Path


def frames_in_files(session: Session, words: str, *, at_most: int) -> list[FrameInFile]:
    """Return the frames in files whose path below the watched folder contains some words, the newest in front."""
    query = (
        select(Frame.id, Frame.frame_type, Frame.instrument, Frame.night, File.root, File.relative_path)
        .join(File, File.frame_id == Frame.id)
        .where(File.relative_path.icontains(words, autoescape=True))
        .order_by(Frame.id.desc(), File.id)
        .limit(at_most)
    )
    return [
        FrameInFile(key, kind, instrument, night, Path(root) / below)
        for key, kind, instrument, night, root, below in session.execute(query)
    ]


def instruments_named(session: Session, words: str = "") -> list[str]:
    """Return the instruments with calibration frames whose name contains some words, by name."""
    query = select(CalibrationSet.instrument).where(CalibrationSet.instrument.icontains(words, autoescape=True))
    return sorted(session.scalars(query.distinct()))


@dataclass(frozen=True, slots=True)
class Night:
    """The sets whose window of nights has a night in it, by their ids; and the nearest others that begin a window."""

    set_ids: tuple[int, ...]
    before: date | None
    after: date | None


def night_on_record(session: Session, night: date) -> Night:
    """Return what is on record of a night."""
    first, n_nights = CalibrationSet.window_first_night, CalibrationSet.window_nights
    of = select(CalibrationSet.id, first, n_nights).where(first.between(night - _LONGEST_WINDOW, night))
    near = session.execute(of.order_by(CalibrationSet.instrument, CalibrationSet.configuration, first)).all()
    return Night(
        tuple(key for key, begins, length in near if (night - begins).days < length),
        session.scalar(select(func.max(first)).where(first < night)),
        session.scalar(select(func.min(first)).where(first > night)),
    )


def frame_of_hash(session: Session, sha256: str) -> int | None:
    """Return the frame on record of whose pixels this is the SHA-256; None where there is none."""
    return session.scalar(select(Frame.id).where(Frame.sha256 == sha256))
