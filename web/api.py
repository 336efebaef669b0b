"""The JSON API, and downloads in the formats of astronomy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from ccdcore.quantities import shown_in
from db.association.rows import answer_row
from db.errors import UnknownIdError
from db.export import FileFormat, written
from db.frames.listing import FrameOnRecord, list_frames
from db.provenance import provenance as origin
from db.runs.masters import MasterOnRecord, list_masters
from db.runs.runs import RunOnRecord, list_runs
from db.runs.sets import SetOnRecord, calibration_set
from db.schema.rows import Page, Row, plain
from db.trends.changes import TrendChange, changes
from db.trends.history import TrendRow, measurement
from db.trends.history import trends as history
from db.trends.overview import AmplifierStatus
from db.trends.overview import overview as status_of_amplifiers
from web.association import Asked, answer_to
from web.dependencies import OfRecord, Reading
from web.parameters import Id, Instant, MasterKind, Name, Which

_TYPES = {"json": "application/json", "csv": "text/csv", "ecsv": "text/csv", "votable": "application/x-votable+xml"}
_ENDINGS = {"votable": "xml"}


class Problem(BaseModel):
    """What could not be answered."""

    detail: str


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that somebody should look at."""

    kind: str
    key: str
    words: str
    n: int
    may_pass: bool


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the service does its work (``status``), and what needs attention: the first hundred, and how many."""

    status: Literal["ok", "degraded"]
    healthy: bool
    words: str
    findings: list[str]
    attention: list[Concern]
    n_attention: int
    ages_s: dict[str, float | None]


_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "Nothing on record has this id"}}
_AS_TABLE: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in _TYPES.values() if kind != "application/json"}}
}

router = APIRouter(prefix="/api")

Quantity = Annotated[str, Field(max_length=32, pattern=r"^[^\x00]+$")]


class _Listed(BaseModel):
    """A part of a long list, the newest in front."""

    instrument: Name = None
    superseded: bool = False
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: Annotated[int, Field(ge=0, lt=2**31)] = 0


class _ListedFrames(_Listed):
    type: Literal["bias", "dark", "flat", "other"] | None = None
    since: Instant = None
    until: Instant = None


class _ListedMasters(_Listed):
    kind: MasterKind | None = None


class _History(Which):
    format: FileFormat = "json"


@router.get("/overview", tags=["measurements"], response_model=list[AmplifierStatus])
def overview(session: Reading) -> Response:
    """How gain and read noise of every amplifier stand: latest values, verdicts, recent history."""
    return _rows(status_of_amplifiers(session, quantities=[one.name for one in shown_in("overview")]))


@router.get("/trends/{quantity}", tags=["measurements"], response_model=list[TrendRow], responses=_AS_TABLE)
def trends(session: Reading, quantity: Quantity, which: Annotated[_History, Query()]) -> Response:
    """The measurements of one quantity, oldest first: JSON, or a table that astropy and TOPCAT read."""
    found = history(session, quantity=quantity, **which.asked())
    content = written([row.as_dict() for row in found], which.format)
    name = f"trend.{_ENDINGS.get(which.format, which.format)}"
    headers = {} if which.format == "json" else {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=_TYPES[which.format], headers=headers)


@router.get("/changes/{quantity}", tags=["measurements"], response_model=list[TrendChange])
def steps(session: Reading, quantity: Quantity, instrument: Name = None, amplifier: Name = None) -> Response:
    """Where the trends of a quantity step or drift, oldest first."""
    return _rows(changes(session, quantity=quantity, instrument=instrument or None, amplifier=amplifier or None))


@router.get("/measurements/{key}", tags=["measurements"], response_model=TrendRow, responses=_MISSING)
def one_measurement(session: Reading, key: Id) -> Response:
    """One measurement."""
    return _row(measurement(session, key), f"measurement {key}")


@router.get("/frames", tags=["record"], response_model=list[FrameOnRecord])
def frames(session: Reading, asked: Annotated[_ListedFrames, Query()]) -> Response:
    """The frames on record, the newest in front."""
    found = list_frames(
        session,
        instrument=asked.instrument,
        frame_type=asked.type,
        since=asked.since,
        until=asked.until,
        page=Page(asked.limit, asked.after),
    )
    return _rows(found)


@router.get("/masters", tags=["record"], response_model=list[MasterOnRecord])
def masters(session: Reading, asked: Annotated[_ListedMasters, Query()]) -> Response:
    """The masters on record, the newest in front."""
    found = list_masters(session, instrument=asked.instrument, kind=asked.kind, superseded=asked.superseded)
    return _rows(found[::-1][asked.after : asked.after + asked.limit])


@router.get("/runs", tags=["record"], response_model=list[RunOnRecord])
def runs(session: Reading, asked: Annotated[_Listed, Query()]) -> Response:
    """The runs on record, the newest in front."""
    part = Page(asked.limit, asked.after)
    return _rows(list_runs(session, instrument=asked.instrument, superseded=asked.superseded, page=part))


@router.get("/masters/{key}", tags=["record"], response_model=MasterOnRecord, responses=_MISSING)
def one_master(session: Reading, key: Id) -> Response:
    """One master."""
    found = (one for one in list_masters(session, superseded=True) if one.master_id == key)
    return _row(next(found, None), f"master {key}")


@router.get("/runs/{key}", tags=["record"], response_model=RunOnRecord, responses=_MISSING)
def one_run(session: Reading, key: Id) -> Response:
    """One run."""
    return _row(next(iter(list_runs(session, run_id=key, superseded=True)), None), f"run {key}")


@router.get("/sets/{key}", tags=["record"], response_model=SetOnRecord, responses=_MISSING)
def one_set(session: Reading, key: Id) -> Response:
    """One calibration set."""
    return _row(calibration_set(session, key), f"set {key}")


@router.get("/sets/{key}/frames", tags=["record"], response_model=list[FrameOnRecord])
def frames_of_set(session: Reading, key: Id) -> Response:
    """The frames of a calibration set, oldest first."""
    return _rows(list_frames(session, set_id=key))


@router.get("/provenance/{identifier}", tags=["record"], response_model=dict[str, Any], responses=_MISSING)
def provenance(session: Reading, identifier: Annotated[str, Field(max_length=80)]) -> Response:
    """Where ``measurement:12``, ``master:3``, ``run:5``, ``frame:7`` or a SHA-256 came from, down to the raw files."""
    try:
        return JSONResponse(origin(session, identifier))
    except UnknownIdError as error:
        raise HTTPException(404, str(error)) from error


@router.get("/best", tags=["record"], response_model=dict[str, Any], responses=_MISSING)
def masters_for_frame(session: Reading, record: OfRecord, asked: Annotated[Asked, Query()]) -> Response:
    """Which masters suit a frame on record, or frames of some settings: choices, candidates with every rule, lacks."""
    return JSONResponse(answer_row(answer_to(session, record, asked), record.home))


@router.get("/health", tags=["service"], response_model=Health)
def health(record: OfRecord) -> Response:
    """How the service does, and what needs attention; ``/health`` tells the same, with status 503 where it fails."""
    return JSONResponse(dict(record.health()))


def _rows(found: list[Any]) -> Response:
    return JSONResponse([one.as_dict() for one in found])


def _row(found: Row | None, what: str) -> Response:
    if found is None:
        raise HTTPException(404, f"{what} is not on record")
    return JSONResponse(plain(asdict(found)))  # type: ignore[call-overload]
