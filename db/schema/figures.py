"""Tables of what the price of a master is reckoned from: read once from its file, when it is on record."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import Base


class MasterFigures(Base):
    """What the frames and the file of a master say of it; None for what they do not, or where the file is gone."""

    __tablename__ = "master_figures"

    master_id: Mapped[int] = mapped_column(ForeignKey("master.id"), primary_key=True, autoincrement=False)
    rows: Mapped[int | None]
    columns: Mapped[int | None]
    amplifiers: Mapped[str | None]
    """Name and data section of each (`ccdcore.association.facts.amplifiers_text`)."""
    uncertainty: Mapped[float | None]
    """1-σ of a normal pixel, in the unit of the master."""
    level: Mapped[float | None]
    """Median of its pixels, in its unit."""


class MasterShift(Base):
    """How far a master is from an earlier one of its purpose."""

    __tablename__ = "master_shift"
    __table_args__ = (Index(None, "kind", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    master_id: Mapped[int] = mapped_column(ForeignKey("master.id"), index=True)
    earlier_id: Mapped[int] = mapped_column(ForeignKey("master.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    days: Mapped[float]
    kelvin: Mapped[float]
    half_square: Mapped[float]
    """Half their mean square difference less their noise, in the unit of the masters squared."""
    error: Mapped[float]
    """Its 1-σ uncertainty."""
    frame_variance: Mapped[float]
    """That of one frame of the master, in the same unit: what cameras are compared by."""
