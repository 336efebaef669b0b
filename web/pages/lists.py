"""Pages of long lists: frames, masters, runs; and how the service is doing."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, Field

from db.frames.listing import list_frames
from db.runs.masters import list_masters
from db.runs.runs import list_runs
from db.schema.rows import Page
from web.dependencies import OfRecord, Reading
from web.parameters import Instant, MasterKind, Name, field, or_none
from web.templating import page

router = APIRouter()

PAGE_SIZE = 100
Start = Annotated[int, Field(ge=0, lt=2**31)]


class Listed(BaseModel):
    """Which rows of a list, from the newest on."""

    instrument: Name = None
    superseded: bool = False
    after: Start = 0

    @property
    def page(self) -> Page:
        """One row more than are shown, which tells whether there are more."""
        return Page(PAGE_SIZE + 1, self.after)

    @property
    def given(self) -> dict[str, str]:
        """What was asked for, but for the place in the list, as fields of a form."""
        return {name: field(one) for name, one in self.model_dump(exclude={"after"}, exclude_none=True).items()}


class ListedFrames(Listed):
    """Which frames."""

    type: Annotated[Literal["bias", "dark", "flat", "other"] | None, BeforeValidator(or_none)] = None
    since: Instant = None
    until: Instant = None


class ListedMasters(Listed):
    """Which masters."""

    kind: Annotated[MasterKind | None, BeforeValidator(or_none)] = None


@router.get("/frames")
def frames(request: Request, session: Reading, asked: Annotated[ListedFrames, Query()]) -> Response:
    """The frames on record, the newest in front."""
    found = list_frames(
        session,
        instrument=asked.instrument,
        frame_type=asked.type,
        since=asked.since,
        until=asked.until,
        page=asked.page,
    )
    return page(request, "frames.html", asked=asked, rows=found[:PAGE_SIZE], more=len(found) > PAGE_SIZE)


@router.get("/masters")
def masters(request: Request, session: Reading, asked: Annotated[ListedMasters, Query()]) -> Response:
    """The masters on record, the newest in front."""
    found = list_masters(session, instrument=asked.instrument, kind=asked.kind, superseded=asked.superseded)[::-1]
    rows, more = found[asked.after : asked.after + PAGE_SIZE], len(found) > asked.after + PAGE_SIZE
    return page(request, "masters.html", asked=asked, kinds=get_args(MasterKind), rows=rows, more=more)


@router.get("/runs")
def runs(request: Request, session: Reading, asked: Annotated[Listed, Query()]) -> Response:
    """The runs on record, the newest in front."""
    found = list_runs(session, instrument=asked.instrument, superseded=asked.superseded, page=asked.page)
    return page(request, "runs.html", asked=asked, rows=found[:PAGE_SIZE], more=len(found) > PAGE_SIZE)


@router.get("/health")
def health(request: Request, record: OfRecord, level: Literal["working", "attention"] = "working") -> Response:
    """How the service does: a page for browsers, JSON for monitors, which see 503 where it does not do its work.

    Monitors that ask for the level ``attention`` get only what needs attention; its status goes by the service, too.
    """
    found = record.health()
    if "text/html" in request.headers.get("accept", ""):
        return page(request, "health.html", health=found, prefect=record.prefect_ui_url())
    told = {name: found[name] for name in ("attention", "n_attention")} if level == "attention" else dict(found)
    return JSONResponse(told, status_code=200 if found["status"] == "ok" else 503)
