"""Finding things: one box for instruments, nights, runs, masters and files of frames; and the page of a night."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, BeforeValidator
from sqlalchemy.orm import Session

from db.errors import UnknownIdError
from db.frames.finding import frames_in_files, instruments_named, night_on_record
from db.frames.listing import list_frames
from db.identifiers import TABLES, find
from db.runs.masters import list_masters
from db.runs.runs import list_runs
from db.runs.sets import calibration_set
from web.dependencies import Reading
from web.parameters import Text, or_none
from web.templating import page

router = APIRouter()

MOST_FILES = 50


class _AskedNight(BaseModel):
    night: Annotated[date | None, BeforeValidator(or_none)] = None


@router.get("/search")
def search(request: Request, session: Reading, q: Text = None) -> Response:
    """What the words may mean; a night, or what one id names, is shown at once."""
    words = (q or "").strip()
    if (night := _night(words)) is not None:
        return RedirectResponse(f"/nights/{night}", status_code=303)
    things = _things(session, words)
    if len(things) == 1 and not words.isdecimal():
        kind, key = things[0]
        return RedirectResponse(f"/{kind}s/{key}", status_code=303)
    return page(
        request,
        "search.html",
        words=words,
        things=things,
        instruments=instruments_named(session, words) if words else [],
        files=frames_in_files(session, words, at_most=MOST_FILES) if words else [],
        most_files=MOST_FILES,
    )


@router.get("/nights")
def nights(request: Request, session: Reading, asked: Annotated[_AskedNight, Query()]) -> Response:
    """The night that was chosen; the latest where none was."""
    night = asked.night or night_on_record(session, date.max).before
    return page(request, "night.html", night=None) if night is None else one_night(request, session, night)


@router.get("/nights/{night}")
def one_night(request: Request, session: Reading, night: date) -> Response:
    """A night: its sets, with their frames, runs and masters."""
    found = night_on_record(session, night)
    masters = [one for one in list_masters(session) if one.calibration_set_id in found.set_ids]
    sets = [one for key in found.set_ids if (one := calibration_set(session, key)) is not None]
    return page(
        request,
        "night.html",
        night=night,
        before=found.before,
        after=found.after,
        sets=[(one, list_runs(session, set_id=one.id)[::-1], list_frames(session, set_id=one.id)) for one in sets],
        masters=masters,
    )


def _night(words: str) -> date | None:
    try:
        return date.fromisoformat(words)
    except ValueError:
        return None


def _things(session: Session, words: str) -> list[tuple[str, int]]:
    """Return what an id names; a number alone may be that of anything."""
    asked = [f"{kind}:{words}" for kind in TABLES] if words.isdecimal() else [words.replace(" ", ":", 1)]
    found = []
    for one in asked:
        try:
            found.append(find(session, one))
        except UnknownIdError:
            continue
    return found
