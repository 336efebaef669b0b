"""Pages of single things on record: measurement, run, master, frame, set, instrument."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from sqlalchemy.orm import Session

from ccdcore.quantities import label_of, shown_in
from ccdcore.text import value_text
from db.errors import UnknownIdError
from db.frames.listing import frame_statistics, list_frames
from db.frames.revisions import Disagreement, disagreements
from db.judgements.notes import lines_of_run, lines_on, notes_that_hold
from db.provenance import provenance
from db.runs.lacks import run_lacks
from db.runs.masters import MasterOnRecord, list_masters
from db.runs.runs import RunOnRecord, list_runs
from db.runs.sets import calibration_set
from db.schema.rows import Page
from db.trends.history import TrendRow, measured_by, measurement
from web import formatting
from web.charts.provenance_graph import Node, provenance_graph, result_node
from web.dependencies import OfRecord, Reading, Record
from web.instrument_status import COLUMNS, by_instrument
from web.pages.downloads import frame_is_there, master_is_there
from web.parameters import Id
from web.templating import page

router = APIRouter()

LATEST = 10
_HIDDEN = {"curve", "notes"}
"""Details of a measurement that are no single value."""


def of_record(session: Session, identifier: str) -> dict[str, Any]:
    """Return where something came from; raise what becomes a page that says it is not there."""
    try:
        return provenance(session, identifier)
    except UnknownIdError as error:
        raise HTTPException(404, f"{identifier.replace(':', ' ')} is not on record") from error


@router.get("/measurements/{key}")
def one_measurement(request: Request, session: Reading, record: OfRecord, key: Id) -> Response:
    """A value: how it was measured, how it is judged, what it came from."""
    row = measurement(session, key)
    tree = of_record(session, f"measurement:{key}")
    assert row is not None  # what has a provenance is on record
    details = {
        formatting.detail(name, row.unit): _in_words(one)
        for name, one in tree["details"].items()
        if name not in _HIDDEN and _is_plain(one)
    }
    return page(
        request,
        "measurement.html",
        row=row,
        said=lines_on(session, "measurement", [key]).get(key, []),
        run=_run(session, row.run_id),
        notes=tree["details"].get("notes", []),
        details=details,
        graph=provenance_graph(tree),
        pictures=_pictures(record, row.run_id, only="photon"),
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str) or (isinstance(value, list) and 0 < len(value) <= 4)


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return " – ".join(map(_in_words, value))
    return value_text(value) if isinstance(value, float) else str(value)


@router.get("/runs/{key}")
def one_run(request: Request, session: Reading, record: OfRecord, key: Id) -> Response:
    """A run: what it measured and made, of what, and what it left out."""
    tree = of_record(session, f"run:{key}")
    run, rows = _run(session, key), measured_by(session, key)
    made = _masters_of(session, key)
    used = [one for one in tree["used"] if one["entity"]["id"].startswith("frame:")]
    lacks = run_lacks(session, key)
    told = {f"for {lack.product}" for lack in lacks}
    return page(
        request,
        "run.html",
        run=run,
        tree=tree,
        prefect=_prefect_run(record, run),
        rows=rows,
        masters=made,
        lacks=lacks,
        said=lines_of_run(session, key),
        left_out=[one for one in used if one["excluded"] and one["role"] not in told],
        series=[one for one in used if not one["role"].startswith("for ")],
        graph=provenance_graph(tree, _made(rows, made)),
        pictures=_pictures(record, key),
    )


def _made(rows: Sequence[TrendRow], made: Sequence[MasterOnRecord]) -> list[Node]:
    """Return what a run made, its measurements together."""
    by_quantity = dict.fromkeys(row.quantity for row in rows)
    names = [label_of(name) for name in by_quantity]
    detail = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    nodes = [Node("measured", "measurement", f"{len(rows)} measurements", detail, "#measured")] if rows else []
    return nodes + [result_node("master", one.master_id, one.product, one.verdict) for one in made]


@router.get("/masters/{key}")
def one_master(request: Request, session: Reading, record: OfRecord, key: Id) -> Response:
    """A master: its statistics, its validity, what it was made of."""
    tree = of_record(session, f"master:{key}")
    master = next((one for one in list_masters(session, superseded=True) if one.master_id == key), None)
    if master is None:
        raise HTTPException(404, f"master {key} is of a run that came to no end: it is not shown")
    return page(
        request,
        "master.html",
        master=master,
        said=lines_on(session, "master", [key]).get(key, []),
        run=_run(session, master.run_id),
        on_disk=master_is_there(record, master.path),
        graph=provenance_graph(tree),
        pictures=_pictures(record, master.run_id, only=master.product),
    )


def _disagreement(session: Session, record: Record, key: int) -> Disagreement | None:
    """Return what the files of a frame say otherwise than is in force, going by files that are there."""
    found = disagreements(session, [key])
    sayings = [saying for one in found for saying in one.sayings]
    there = {one.file_id: one.host != record.host or one.path.exists() for one in sayings}
    return next(filter(None, (one.among(there) for one in found)), None)


@router.get("/frames/{key}")
def one_frame(request: Request, session: Reading, record: OfRecord, key: Id) -> Response:
    """A frame: what it was taken for and why, its statistics, its files, the runs that used it."""
    tree = of_record(session, f"frame:{key}")
    return page(
        request,
        "frame.html",
        disagreement=_disagreement(session, record, key),
        key=key,
        frame=tree,
        said=lines_on(session, "frame", [key]).get(key, []),
        statistics=frame_statistics(session, key),
        on_disk=frame_is_there(session, record, key),
        runs=[_run(session, int(one.partition(":")[2])) for one in tree["wasUsedBy"]],
    )


@router.get("/sets/{key}")
def one_set(request: Request, session: Reading, key: Id) -> Response:
    """A calibration set: its frames and its runs."""
    found = calibration_set(session, key)
    if found is None:
        raise HTTPException(404, f"set {key} is not on record")
    return page(
        request,
        "set.html",
        set=found,
        frames=list_frames(session, set_id=key),
        runs=list_runs(session, set_id=key, superseded=True)[::-1],
    )


@router.get("/instruments/{name:path}")
def one_instrument(request: Request, session: Reading, name: str) -> Response:
    """An instrument: how its amplifiers stand, its masters in force, its latest runs."""
    latest = list_runs(session, instrument=name, page=Page(LATEST))
    if not latest:
        raise HTTPException(404, f"no instrument {name} is on record")
    return page(
        request,
        "instrument.html",
        name=name,
        notes=notes_that_hold(session, name)[::-1],
        instruments=by_instrument(session, instrument=name),
        columns=COLUMNS,
        links=shown_in("links"),
        masters=[one for one in list_masters(session, instrument=name) if one.is_good and _is_in_force(one)],
        runs=latest,
    )


def _is_in_force(one: MasterOnRecord) -> bool:
    return one.valid_to is None or one.valid_to > datetime.now(UTC)


def _run(session: Session, run_id: int) -> RunOnRecord:
    (run,) = list_runs(session, run_id=run_id, superseded=True)
    return run


def _masters_of(session: Session, run_id: int) -> list[MasterOnRecord]:
    return [one for one in list_masters(session, superseded=True) if one.run_id == run_id]


def _pictures(record: Record, run_id: int, *, only: str = "") -> list[tuple[str, str]]:
    """Return title and address of the pictures of a run, of those whose title begins with some words."""
    found = ((path.stem.replace("-", " "), path.name) for path in record.pictures(run_id))
    begin = _plain(only)
    chosen = ((title, name) for title, name in found if _plain(title).startswith(begin))
    return [(title, f"/runs/{run_id}/pictures/{name}") for title, name in chosen]


def _plain(title: str) -> str:
    """Return a title as names of files have it, in small letters."""
    return re.sub(r"[^a-z0-9._+]+", " ", title.lower()).strip()


def _prefect_run(record: Record, run: RunOnRecord) -> str | None:
    """Return the address of a run's page in the Prefect UI."""
    address = record.prefect_ui_url()
    return f"{address}/runs/flow-run/{run.flow_run_id}" if address and run.flow_run_id else None
