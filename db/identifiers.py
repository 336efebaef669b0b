"""Ids as people type them: ``measurement:12``, ``master:3``, ``run:5``, ``frame:7``, or digits of a SHA-256."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from db.errors import UnknownIdError
from db.schema.models import File, Frame, Master, Measurement, Run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.schema.base import Base

_HASH_DIGITS = 8
_SHA256 = re.compile(rf"[0-9a-f]{{{_HASH_DIGITS},64}}")
TABLES: Mapping[str, type[Base]] = {"measurement": Measurement, "master": Master, "run": Run, "frame": Frame}
"""What has an id that people type, by the word in front of it."""


def find(session: Session, id_text: str) -> tuple[str, int]:
    """Return the kind and the number of what an id names; a number alone is that of a measurement.

    Raises
    ------
    UnknownIdError
        If it names nothing, or more than one thing.
    """
    text = id_text.strip().lower()
    kind, _, number = (text if ":" in text or len(text) >= _HASH_DIGITS else f"measurement:{text}").partition(":")
    if kind in TABLES and number.isdecimal() and len(number) < 10:  # what an id column can hold
        if session.get(TABLES[kind], int(number)) is None:
            where = "see ccdwatch trends, masters, runs or frames for ids"
            raise UnknownIdError(f"nothing on record is {id_text}: {where}")
        return kind, int(number)
    if _SHA256.fullmatch(text) is None:
        raise UnknownIdError(
            f"{text} is no id: write measurement:12, master:3, run:5, frame:7, or eight or more digits of a SHA-256"
        )
    return _by_hash(session, text)


def _by_hash(session: Session, prefix: str) -> tuple[str, int]:
    of_frame = or_(Frame.sha256.startswith(prefix), File.file_sha256.startswith(prefix))
    frames = select(Frame.id).outerjoin(File, File.frame_id == Frame.id).where(of_frame).distinct().limit(2)
    masters = select(Master.id).where(Master.sha256.startswith(prefix)).limit(2)
    found = [("frame", key) for key in session.scalars(frames)] + [("master", key) for key in session.scalars(masters)]
    if not found:
        raise UnknownIdError(f"no frame, raw file or master on record has a SHA-256 that begins with {prefix}")
    if len(found) > 1:
        raise UnknownIdError(f"several SHA-256 begin with {prefix}: give more digits")
    return found[0]
