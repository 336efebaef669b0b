"""The table of calibrated frames: which frame, by which masters, and where its file lies."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import Base, PathText


class Calibrated(Base):
    """A calibrated frame that was written; what another took the place of stays on record."""

    __tablename__ = "calibrated"

    id: Mapped[int] = mapped_column(primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), index=True)
    frame_sha256: Mapped[str] = mapped_column(String(64))
    """Of the pixels that were calibrated."""
    subject: Mapped[dict[str, Any]]
    """The frame as the choice saw it: see `ccdcore.association.facts.Subject`."""
    bias_id: Mapped[int | None] = mapped_column(ForeignKey("master.id"), index=True)
    dark_id: Mapped[int | None] = mapped_column(ForeignKey("master.id"), index=True)
    flat_id: Mapped[int | None] = mapped_column(ForeignKey("master.id"), index=True)
    mask_id: Mapped[int | None] = mapped_column(ForeignKey("master.id"), index=True)
    prices: Mapped[dict[str, Any]]
    """Kind of a master → what it adds to the noise, in electrons per pixel."""
    readout: Mapped[dict[str, Any] | None]
    """Amplifier → gain and read noise that were used; None of what was calibrated before these were on record."""
    unit: Mapped[str] = mapped_column(String(16))
    path: Mapped[str] = mapped_column(PathText, index=True)
    """Relative to the home, if below it."""
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    """Of the file."""
    software: Mapped[dict[str, Any]]
    engine: Mapped[str] = mapped_column(String(16))
    flow_run_id: Mapped[str | None]
    made_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None] = mapped_column(index=True)
    """When another file took its place."""


class ScienceTry(Base):
    """What became of a science frame that landed when the service last tried to calibrate it."""

    __tablename__ = "science_try"

    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True, autoincrement=False)
    choices: Mapped[str] = mapped_column(String(64))
    """Digest of what its masters were chosen from."""
    reason: Mapped[str | None]
    """Why it is not calibrated; None where it is."""
    is_failure: Mapped[bool]
    """Whether nobody foresaw it, so that it is tried again."""
    tries: Mapped[int]
    """One after the other from the same choices."""
    tried_at: Mapped[datetime]
