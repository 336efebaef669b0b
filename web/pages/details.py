"""Pages of single things on record: measurement, run, master, frame, set, instrument."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from sqlalchemy.orm import Session

from ccdcore.quantities import label_of, shown_in
from ccdcore.text import natural_key, value_text, with_systematic
from db.association.best import in_use
from db.errors import UnknownIdError
from db.frames.listing import list_frames
from db.judgements.notes import lines_of_run, lines_on, notes_that_hold
from db.provenance import provenance
from db.runs.lacks import run_lacks
from db.runs.masters import MasterOnRecord, list_masters
from db.runs.runs import RunOnRecord, list_runs
from db.runs.sets import calibration_set
from db.schema.rows import Page
from db.trends.history import TrendRow, measured_by, measurement, systematic_uncertainties
from web import formatting
from web.charts.provenance_graph import Node, provenance_graph, result_node
from web.dependencies import OfRecord, Reading, Record
from web.files.opening import place_of_master
from web.instrument_status import COLUMNS, by_instrument
from web.parameters import Id, Word
from web.templating import link, page

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
        value=with_systematic(row.value, row.uncertainty, tree["details"].get("systematic_uncertainty")),
        said=lines_on(session, "measurement", [key]).get(key, []),
        run=run_on_record(session, row.run_id),
        notes=tree["details"].get("notes", []),
        details=details,
        graph=provenance_graph(tree),
        pictures=_pictures(record, row.run_id, only=["Photon transfer"]),
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
    run, rows = run_on_record(session, key), measured_by(session, key)
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
        rows=sorted(rows, key=lambda row: natural_key(row.amplifier)),
        systematic=systematic_uncertainties(session, [row.id for row in rows]),
        masters=made,
        later=_later(session, run),
        lacks=lacks,
        said=lines_of_run(session, key),
        left_out=[one for one in used if one["excluded"] and one["role"] not in told],
        series=[one for one in used if not one["role"].startswith("for ")],
        graph=provenance_graph(tree, _made(rows, made)),
        pictures=_pictures(record, key),
    )


def _later(session: Session, run: RunOnRecord) -> RunOnRecord | None:
    """Return the last run of the same set, where it began after this one."""
    runs = list_runs(session, set_id=run.calibration_set_id, superseded=True)
    return runs[-1] if runs[-1].id > run.id else None


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
    title = f"{master.product[0].upper()}{master.product[1:]}"
    return page(
        request,
        "master.html",
        master=master,
        said=lines_on(session, "master", [key]).get(key, []),
        run=run_on_record(session, master.run_id),
        on_disk=place_of_master(record.home, master.path, master.sha256).is_there,
        graph=provenance_graph(tree),
        pictures=_pictures(record, master.run_id, only=[f"{title} frames", f"{title} histogram"]),
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
def one_instrument(request: Request, session: Reading, record: OfRecord, name: Word) -> Response:
    """An instrument: how its amplifiers stand, its masters in force, what would be used now, its latest runs."""
    latest = list_runs(session, instrument=name, page=Page(LATEST))
    if not latest:
        raise HTTPException(404, f"no instrument {name} is on record")
    known = [one for one in list_masters(session, instrument=name) if one.is_good]
    in_force = [one for one in known if _is_in_force(one)]
    return page(
        request,
        "instrument.html",
        name=name,
        notes=notes_that_hold(session, name)[::-1],
        instruments=by_instrument(session, instrument=name),
        columns=COLUMNS,
        links=shown_in("links"),
        masters=in_force,
        in_use=in_use(session, name, at=datetime.now(UTC), recipes=record.recipes),
        valid_to={one.master_id: one.valid_to for one in known},
        now=datetime.now(UTC),
        runs=latest,
    )


def _is_in_force(one: MasterOnRecord) -> bool:
    return one.valid_to is None or one.valid_to > datetime.now(UTC)


def run_on_record(session: Session, run_id: int) -> RunOnRecord:
    """Return a run that is on record."""
    (run,) = list_runs(session, run_id=run_id, superseded=True)
    return run


def _masters_of(session: Session, run_id: int) -> list[MasterOnRecord]:
    return [one for one in list_masters(session, superseded=True) if one.run_id == run_id]


def _pictures(record: Record, run_id: int, *, only: Collection[str] = ()) -> list[tuple[str, str]] | None:
    """Return title and address of the pictures of a run: all, or those of some titles; None while they are drawn."""
    found = record.pictures(run_id)
    if found is None:
        return None
    return [(title, link("/runs", run_id, "pictures", path.name)) for title, path in found if not only or title in only]


def _prefect_run(record: Record, run: RunOnRecord) -> str | None:
    """Return the address of a run's page in the Prefect UI."""
    address = record.prefect_ui_url()
    return f"{address}/runs/flow-run/{run.flow_run_id}" if address and run.flow_run_id else None
