"""Masters at full size: a page that shows a plane between limits, its parts as they are asked for, its pixels."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from db.runs.master_files import MasterFile, master_file
from db.runs.masters import list_masters
from web.dependencies import OfRecord, Reading, Record
from web.files.opening import place_of_master
from web.files.shown import OfShown, Shown, decoding
from web.parameters import Id, Plane, Scale
from web.templating import page

if TYPE_CHECKING:
    from web.files.master_planes import Planes

router = APIRouter(prefix="/masters/{key}")

_WHOLE_CELLS = 1024
"""Of a side of the picture of a whole plane."""
_KEEP = {"Cache-Control": "private, max-age=86400, immutable"}
"""Addresses of parts name the hash of the file that they are of."""

Index = Annotated[int, Path(ge=0, lt=100_000)]
Hash = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]


@router.get("/view")
def view(
    request: Request,
    session: Reading,
    record: OfRecord,
    shown: OfShown,
    key: Id,
    plane: Plane = "value",
    scale: Scale = "zscale",
) -> Response:
    """A plane of a master, whole; with JavaScript it can be moved, enlarged, and read pixel by pixel."""
    file, planes = _planes(session, record, shown, key)
    plane = plane if plane in planes.shown else planes.shown[0]  # of a mask of bad pixels there is but one
    with decoding():
        shades = planes.shades(plane, scale)
    return page(
        request,
        "view.html",
        master=next(one for one in list_masters(session, superseded=True) if one.master_id == key),
        planes=planes.shown,
        plane=plane,
        scale=scale,
        shades=shades,
        shape=planes.shape,
        cell=planes.size_of_cell(_WHOLE_CELLS),
        tile=planes.tile[0],
        most_level=planes.tile[1],
        tiles=f"/masters/{key}/parts/{file.sha256[:12]}/{plane}/{scale}",
    )


@router.get("/parts/{sha256}/{plane}/{scale}/whole.png")
def whole(
    session: Reading, record: OfRecord, shown: OfShown, key: Id, sha256: Hash, plane: Plane, scale: Scale
) -> Response:
    """A plane as one picture, in cells of so many pixels that it fits a page."""
    planes = _asked(session, record, shown, key, sha256, plane)
    return _drawn(shown, (sha256, plane, scale, "whole"), lambda: planes.whole(plane, scale, _WHOLE_CELLS))


@router.get("/parts/{sha256}/{plane}/{scale}/{level}/{row}/{column}.png")
def part(
    session: Reading,
    record: OfRecord,
    shown: OfShown,
    key: Id,
    sha256: Hash,
    plane: Plane,
    scale: Scale,
    level: Annotated[int, Path(ge=0, le=20)],
    row: Index,
    column: Index,
) -> Response:
    """A part of a plane in cells of 2 to the power of ``level`` pixels a side, counted from the first row."""
    planes = _asked(session, record, shown, key, sha256, plane)
    which = (sha256, plane, scale, level, row, column)
    return _drawn(shown, which, lambda: planes.part(plane, scale, level, (row, column)))


@router.get("/pixel")
def pixel(
    session: Reading,
    record: OfRecord,
    shown: OfShown,
    key: Id,
    x: Annotated[int, Query(ge=1)],
    y: Annotated[int, Query(ge=1)],
) -> Response:
    """What the planes of a master have at a pixel; as in FITS, the first is (1, 1)."""
    _, planes = _planes(session, record, shown, key)
    rows, columns = planes.shape
    if x > columns or y > rows:
        raise HTTPException(404, f"master {key} has {columns} columns and {rows} rows")
    return JSONResponse({"x": x, "y": y, **planes.pixel(y - 1, x - 1)})


def _planes(session: Session, record: Record, shown: Shown, key: int) -> tuple[MasterFile, Planes]:
    """Return a master and its images, if its file is as on record, which is looked for at each request."""
    master = master_file(session, key)
    if master is None:
        raise HTTPException(404, f"master {key} is not on record, or of a run that came to no end")
    place = place_of_master(record.home, master.path, master.sha256)
    is_mask, residual = master.kind == "mask", partial(record.residual, key)
    return master, shown.planes(place, f"master {key}", is_mask=is_mask, residual=residual)


def _asked(session: Session, record: Record, shown: Shown, key: int, sha256: str, plane: Plane) -> Planes:
    master, planes = _planes(session, record, shown, key)
    if master.sha256[: len(sha256)] != sha256:
        raise HTTPException(404, f"master {key} is another than this: load its page again")
    if plane not in planes.shown:
        raise HTTPException(404, f"master {key} has no {plane}")
    return planes


def _drawn(shown: Shown, which: Hashable, draw: Callable[[], bytes | None]) -> Response:
    content = shown.tile(which, draw)
    if not content:
        raise HTTPException(404, "a master has no such part")
    return Response(content, media_type="image/png", headers=_KEEP)
