"""Frames whose dates somebody should look at, as far as the record can tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType
from db.schema.models import File, Frame


@dataclass(frozen=True, slots=True)
class DatedFrame:
    """A calibration frame: its instrument, one of its files, when it says it was taken, and when it arrived."""

    instrument: str
    path: Path
    date_obs: datetime
    joined_at: datetime


def oddly_dated(session: Session, *, host: str, days: Iterable[date]) -> list[DatedFrame]:
    """Return the frames on ``host`` that are in no set though they say when they were taken, and those of some days."""
    begins = [datetime.combine(day, time(), UTC) for day in days]
    of_days = [and_(Frame.date_obs >= begin, Frame.date_obs < begin + timedelta(days=1)) for begin in begins]
    query = (
        select(Frame.id, Frame.instrument, File.root, File.relative_path, Frame.date_obs, Frame.joined_at)
        .join(File, File.frame_id == Frame.id)
        .where(File.host == host, Frame.frame_type != FrameType.OTHER, Frame.date_obs.is_not(None))
        .where(or_(Frame.calibration_set_id.is_(None), *of_days))
        .order_by(Frame.id, File.id.desc())
    )
    found = {
        key: DatedFrame(instrument, Path(root) / below, date_obs, joined_at)
        for key, instrument, root, below, date_obs, joined_at in session.execute(query)
        if date_obs is not None
    }
    return list(found.values())
