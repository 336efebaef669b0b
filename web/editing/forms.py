"""The forms: what is asked, and how what is filled in is looked at before anything is done.

Nothing of a form is told again: no password comes to a page, a message or a log.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from ccdcore.errors import ExpectedError
from db.errors import UnknownIdError
from db.identifiers import find
from db.judgements.notes import notes_that_hold
from web.dependencies import Editing, OfRecord, Reading
from web.editing.attempts import Attempts
from web.editing.tokens import COOKIE, Tokens
from web.parameters import Id, Word
from web.templating import link, page

router = APIRouter(prefix="/edit")

_MOST_BYTES = 16_384
"""Of a form that is filled in."""

Kind = Literal["frame", "master", "measurement"]
Filled = Mapping[str, str]


@dataclass(frozen=True)
class Desk:
    """Where forms are taken."""

    tokens: Tokens = field(default_factory=Tokens)
    attempts: Attempts = field(default_factory=Attempts)


def _editing(record: OfRecord) -> Editing:
    if record.editing is None:
        raise HTTPException(404, "these pages are read-only")
    return record.editing


async def _filled(request: Request) -> Filled:
    """Return the fields of a form as they were filled in."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "this is no form")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise HTTPException(413, "so much cannot be said at a time")
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=20))


OfEditing = Annotated[Editing, Depends(_editing)]
Form = Annotated[Filled, Depends(_filled)]


@router.get("/notes/{name:path}")
def note_form(request: Request, editing: OfEditing, session: Reading, name: Word) -> Response:
    """Ask for a note on an instrument."""
    return _form(request, "edit_note.html", name=name, notes=notes_that_hold(session, name)[::-1])


@router.post("/notes/{name:path}")
def take_note(request: Request, editing: OfEditing, form: Form, name: Word) -> Response:
    """Note something about an instrument, or take a note back."""
    who = _who(request, editing, form)
    at, undo = _time(form.get("at", "")), form.get("do") == "undo"
    _do(lambda: editing.note(name, form.get("words", ""), who=who, at=at, undo=undo))
    return RedirectResponse(link("/instruments", name), status_code=303)


@router.get("/{kind}/{key}")
def mark_form(request: Request, editing: OfEditing, session: Reading, kind: Kind, key: Id) -> Response:
    """Ask how something is to be marked, and why."""
    try:
        find(session, f"{kind}:{key}")
    except UnknownIdError as error:
        raise HTTPException(404, f"{kind} {key} is not on record") from error
    return _form(request, "edit_mark.html", kind=kind, key=key)


@router.post("/{kind}/{key}")
def take_mark(request: Request, editing: OfEditing, form: Form, kind: Kind, key: Id) -> Response:
    """Mark something, or take a mark back."""
    who = _who(request, editing, form)
    said = form.get("said", "")
    if said not in {"bad", "good"}:
        raise HTTPException(400, "say whether it is bad or good")
    undo = form.get("do") == "undo"
    _do(lambda: editing.mark(f"{kind}:{key}", said, why=form.get("why", ""), who=who, undo=undo))
    return RedirectResponse(f"/{kind}s/{key}", status_code=303)


def _form(request: Request, template: str, **values: Any) -> Response:
    """Return the page of a form, good for the browser that it is sent to."""
    browser = request.cookies.get(COOKIE) or secrets.token_urlsafe(24)
    response = page(request, template, token=_desk(request).tokens.new(request.url.path, browser), **values)
    is_https = any(origin.startswith("https://") for origin in request.app.state.record.editing.origins)
    response.set_cookie(COOKIE, browser, path="/edit", httponly=True, samesite="strict", secure=is_https)
    response.headers["Cache-Control"] = "no-store"
    return response


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _who(request: Request, editing: Editing, form: Filled) -> str:
    """Return who filled in a form: an editor, in a form of ours, on a page of ours."""
    is_own = request.headers.get("origin") in editing.origins
    if not is_own or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "this form comes from another site: nothing is done")
    desk = _desk(request)
    if not desk.tokens.is_valid(form.get("token", ""), request.url.path, request.cookies.get(COOKIE, "")):
        raise HTTPException(403, "this form is too old, or not one of ours: load it again")
    name, password = form.get("name", ""), form.get("password", "")
    with desk.attempts.lock:
        if seconds := desk.attempts.seconds_to_wait(name):
            wait = str(math.ceil(seconds))
            raise HTTPException(429, f"too many attempts: try again in {wait} s", headers={"Retry-After": wait})
        is_editor = _do(lambda: editing.is_editor(name, password))
        desk.attempts.count(name, succeeded=is_editor)
    if not is_editor:
        raise HTTPException(403, "no editor has this name and password: nothing is done")
    return name


def _do(what: Callable[[], Any]) -> Any:
    """Do something; what cannot be done is said in words."""
    try:
        return what()
    except UnknownIdError as error:
        raise HTTPException(404, str(error)) from None
    except ExpectedError as error:
        raise HTTPException(400, str(error)) from None


def _time(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise HTTPException(400, "the time should be like 2026-10-03 or 2026-10-03 14:00 (UTC)") from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
