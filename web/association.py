"""Which masters suit a frame, or frames of some settings, as pages and the API ask it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import HTTPException
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from ccdcore.association.choice import Answer
from ccdcore.association.facts import KINDS, Kind, Subject
from db.association.best import best
from db.association.subjects import subjects_on_record
from db.errors import UnknownIdError
from db.identifiers import find
from web.dependencies import Record
from web.parameters import Instant, Name


class Asked(BaseModel):
    """A frame on record, or else the settings of one: its camera at least."""

    frame: Annotated[Name, Field(description="frame:7, 7, or digits of a SHA-256")] = None
    instrument: Name = None
    configuration: Name = None
    exposure: Annotated[float | None, Field(ge=0, le=1e6, description="seconds")] = None
    filter: Name = None
    temperature: Annotated[float | None, Field(ge=-273.15, le=100, description="°C")] = None
    at: Instant = None
    kind: Kind | None = None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What it is to be corrected for."""
        return KINDS if self.kind is None else (self.kind,)

    def subject(self) -> Subject:
        """Return a frame of these settings, of which no more is known."""
        return Subject(
            name=self.instrument or "",
            instrument=self.instrument or "",
            configuration=self.configuration or "bin1x1",
            at=self.at,
            exposure_s=self.exposure,
            filter=self.filter,
            temperature_c=self.temperature,
        )


def answer_to(session: Session, record: Record, asked: Asked) -> Answer:
    """Return which masters suit a frame; raise what tells that it is not on record, or that none was named."""
    if asked.frame is None and asked.instrument is None:
        raise HTTPException(404, "name a frame (frame=7) or the settings of one (instrument=…&exposure=…&filter=…)")
    subject = asked.subject() if asked.frame is None else _on_record(session, asked.frame, asked.at)
    (answer,) = best(session, [subject], recipes=record.recipes, kinds=asked.kinds, limits=record.quality)
    return answer


def _on_record(session: Session, name: str, at: datetime | None) -> Subject:
    try:
        kind, key = find(session, f"frame:{name}" if name.isdecimal() else name)
    except UnknownIdError as error:
        raise HTTPException(404, str(error)) from error
    if kind != "frame":
        raise HTTPException(404, f"{name} is no frame")
    subject = subjects_on_record(session, [key])[key]
    return subject if at is None else replace(subject, at=at)
