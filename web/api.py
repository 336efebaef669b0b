"""The JSON API, and downloads in the formats of astronomy."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from db.overview import Standing
from db.overview import overview as standings
from db.tables import FileFormat, written
from db.trends import TrendRow
from db.trends import trends as history
from web.asked import Which
from web.record import Reading

router = APIRouter(prefix="/api")

_TYPES = {"json": "application/json", "csv": "text/csv", "ecsv": "text/csv", "votable": "application/x-votable+xml"}
_ENDINGS = {"votable": "xml"}
_MEASURED = ("gain", "read_noise", "read_noise_adu")


@router.get("/overview", tags=["measurements"], response_model=list[Standing])
def overview(session: Reading) -> Response:
    """How gain and read noise of every amplifier stand: latest values, verdicts, recent history."""
    return JSONResponse([one.as_dict() for one in standings(session, quantities=_MEASURED)])


class _History(Which):
    format: FileFormat = "json"


@router.get(
    "/trends/{quantity}",
    tags=["measurements"],
    response_model=list[TrendRow],
    responses={200: {"content": {kind: {} for kind in _TYPES.values() if kind != "application/json"}}},
)
def trends(session: Reading, quantity: str, which: Annotated[_History, Query()]) -> Response:
    """The measurements of one quantity, oldest first: JSON, or a table that astropy and TOPCAT read."""
    found = history(session, quantity=quantity, **which.asked())
    content = written([row.as_dict() for row in found], which.format)
    name = f"{quantity}.{_ENDINGS.get(which.format, which.format)}"
    headers = {} if which.format == "json" else {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=_TYPES[which.format], headers=headers)
