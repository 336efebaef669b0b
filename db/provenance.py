"""Where a number or a file came from, in the words of W3C PROV and the IVOA.

A result is an entity that ``wasGeneratedBy`` an activity (the run), which
``used`` entities (frames and masters) and ``wasAssociatedWith`` agents (the
software, the instrument is one that frames are attributed to).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.errors import UnknownIdError
from db.schema.base import Base
from db.schema.models import CalibrationSet, File, Frame, Instrument, Master, Measurement, Run, RunInput
from db.schema.rows import plain

_HASH_DIGITS = 8
_SHA256 = re.compile(rf"[0-9a-f]{{{_HASH_DIGITS},64}}")
_INGREDIENTS = {
    "bias": ("bias",),
    "dark": ("bias", "dark"),
    "flat": ("bias", "flat"),
    "mask": ("bias", "dark", "flat"),
}
"""Kind of a master → roles of the inputs it is made of."""


def provenance(session: Session, id_text: str) -> dict[str, Any]:
    """Return the tree of what something on record came from, down to the raw files.

    Parameters
    ----------
    id_text : str
        ``measurement:12`` (or ``12``), ``master:3``, ``run:5``, ``frame:7``, or eight
        or more digits of the SHA-256 of a frame, a raw file or a master.

    Returns
    -------
    dict
        Plain JSON values.

    Raises
    ------
    UnknownIdError
        If it names nothing, or more than one thing.
    """
    text = id_text.strip().lower()
    table, describe, key = _find(session, text)
    row = session.get(table, key)
    if row is None:
        raise UnknownIdError(f"nothing on record is {id_text}: see ccdwatch trends, masters, runs or frames for ids")
    tree: dict[str, Any] = plain(describe(session, row))
    return tree


def _find(session: Session, text: str) -> tuple[type[Base], Callable[[Session, Any], dict[str, Any]], int]:
    kind, _, number = (text if ":" in text or len(text) >= _HASH_DIGITS else f"measurement:{text}").partition(":")
    if kind in _KINDS and number.isdecimal() and len(number) < 10:  # what an id column can hold
        return *_KINDS[kind], int(number)
    if _SHA256.fullmatch(text) is None:
        raise UnknownIdError(
            f"{text} is no id: write measurement:12, master:3, run:5, frame:7, or eight or more digits of a SHA-256"
        )
    return _by_hash(session, text)


def _by_hash(session: Session, prefix: str) -> tuple[type[Base], Callable[[Session, Any], dict[str, Any]], int]:
    of_frame = or_(Frame.sha256.startswith(prefix), File.file_sha256.startswith(prefix))
    frames = select(Frame.id).outerjoin(File, File.frame_id == Frame.id).where(of_frame).distinct().limit(2)
    masters = select(Master.id).where(Master.sha256.startswith(prefix)).limit(2)
    found = [("frame", key) for key in session.scalars(frames)] + [("master", key) for key in session.scalars(masters)]
    if not found:
        raise UnknownIdError(f"no frame, raw file or master on record has a SHA-256 that begins with {prefix}")
    if len(found) > 1:
        raise UnknownIdError(f"several SHA-256 begin with {prefix}: give more digits")
    kind, key = found[0]
    return *_KINDS[kind], key


def _measurement(session: Session, row: Measurement) -> dict[str, Any]:
    return {
        "id": f"measurement:{row.id}",
        "type": "entity",
        "kind": "measurement",
        "quantity": row.quantity,
        "value": row.value,
        "uncertainty": row.uncertainty,
        "unit": row.unit,
        "amplifier": row.amplifier,
        "filter": row.filter,
        "method": row.method,
        "observed_at": row.observed_at,
        "remark": row.remark,
        "details": row.details,
        "wasDerivedFrom": _derived_from(
            session,
            row.run_id,
            roles=("bias", "flat"),
            purpose="gain",
            filters=None if row.filter is None else {row.filter},
        ),
        "wasGeneratedBy": _run(session, session.get_one(Run, row.run_id)),
    }


def _master(session: Session, row: Master) -> dict[str, Any]:
    return {
        "id": f"master:{row.id}",
        "type": "entity",
        "kind": f"master {row.kind}",
        "path": row.path,
        "sha256": row.sha256,
        "filter": row.filter,
        "unit": row.unit,
        "verdict": row.verdict,
        "remark": row.remark,
        "valid_from": row.valid_from,
        "wasDerivedFrom": _derived_from(
            session,
            row.run_id,
            roles=_INGREDIENTS[row.kind],
            purpose=f"master {row.kind}",
            filters=None if row.kind == "mask" else {row.filter},
        ),
        "wasGeneratedBy": _run(session, session.get_one(Run, row.run_id)),
    }


def _derived_from(
    session: Session, run_id: int, *, roles: tuple[str, ...], purpose: str, filters: Collection[str | None] | None
) -> list[str]:
    """Return the ids of those inputs of a run that went into one of its results (flats of these filters only)."""
    inputs = session.execute(
        select(RunInput, Frame.filter).outerjoin(Frame, RunInput.frame_id == Frame.id).where(RunInput.run_id == run_id)
    ).all()
    without = {f"for {purpose}", *(f"for {purpose} {name}" for name in filters or () if name)}
    left_out = {one.frame_id for one, _ in inputs if one.excluded is not None and one.role in without}
    return [
        _input_id(one)
        for one, filter_name in inputs
        if one.role in roles
        and one.excluded is None
        and one.frame_id not in left_out
        and (filters is None or one.role != "flat" or filter_name in filters)
        and not (one.borrowed and purpose == "master bias")
    ]


def _input_id(one: RunInput) -> str:
    return f"frame:{one.frame_id}" if one.master_id is None else f"master:{one.master_id}"


def _run(session: Session, row: Run) -> dict[str, Any]:
    its_set = session.get_one(CalibrationSet, row.calibration_set_id)
    return {
        "id": f"run:{row.id}",
        "type": "activity",
        "kind": "calibration",
        "instrument": its_set.instrument,
        "configuration": its_set.configuration,
        "window_first_night": its_set.window_first_night,
        "window_nights": its_set.window_nights,
        "startedAtTime": row.began_at,
        "endedAtTime": row.ended_at,
        "outcome": row.outcome,
        "message": row.message,
        "superseded_by": row.superseded_by_id and f"run:{row.superseded_by_id}",
        "digest": row.digest,
        "attempt": row.attempt,
        "recipes": row.recipes,
        "wasAssociatedWith": {
            "type": "agent",
            "kind": "software",
            "versions": row.software,
            "engine": row.engine,
            "flow_run_id": row.flow_run_id,
            "host": row.host,
        },
        "instrument_entries": _entries(session, row.id),
        "used": _used(session, row.id),
    }


def _entries(session: Session, run_id: int) -> dict[str, Any]:
    """Return the instrument entries that the frames of a run were read with, by their digest."""
    query = (
        select(Instrument.digest, Instrument.entry)
        .join(Frame, Frame.instrument_id == Instrument.id)
        .join(RunInput, RunInput.frame_id == Frame.id)
        .where(RunInput.run_id == run_id, Instrument.digest != "")
    )
    return dict(session.execute(query).all())


def _used(session: Session, run_id: int) -> list[dict[str, Any]]:
    inputs = session.scalars(select(RunInput).where(RunInput.run_id == run_id).order_by(RunInput.id)).all()
    frames = _frames(session, [one.frame_id for one in inputs if one.frame_id is not None])
    return [
        {
            "role": one.role,
            "excluded": one.excluded,
            "borrowed": one.borrowed,
            "path": one.path,
            "file_sha256": one.file_sha256,
            "entity": frames[one.frame_id]
            if one.frame_id is not None
            else _master(session, session.get_one(Master, one.master_id)),
        }
        for one in inputs
    ]


def _frame(session: Session, row: Frame) -> dict[str, Any]:
    runs = session.scalars(select(RunInput.run_id).where(RunInput.frame_id == row.id).distinct())
    return {**_frames(session, [row.id])[row.id], "wasUsedBy": [f"run:{run_id}" for run_id in sorted(runs)]}


def _frames(session: Session, frame_ids: list[int]) -> dict[int, dict[str, Any]]:
    """Return the entities of frames, with the raw files that hold them now."""
    files: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in session.scalars(select(File).where(File.frame_id.in_(frame_ids)).order_by(File.id)):
        path = Path(one.root) / one.relative_path
        files[one.frame_id or 0].append({"host": one.host, "path": str(path), "file_sha256": one.file_sha256})
    query = select(Frame, Instrument).join(Instrument, Frame.instrument_id == Instrument.id)
    found = session.execute(query.where(Frame.id.in_(frame_ids))).all()
    return {frame.id: _frame_entity(frame, entry, files[frame.id]) for frame, entry in found}


def _frame_entity(row: Frame, entry: Instrument, files: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"frame:{row.id}",
        "type": "entity",
        "kind": f"{row.frame_type} frame",
        "sha256": row.sha256,
        "files": files,
        "date_obs": row.date_obs,
        "exposure_time_s": row.exposure_time_s,
        "ccd_temperature_c": row.ccd_temperature_c,
        "filter": row.filter,
        "frame_type_reason": row.frame_type_reason,
        "instrument_reason": row.instrument_reason,
        "wasAttributedTo": {
            "type": "agent",
            "kind": "instrument",
            "name": entry.name,
            "entry": entry.digest or None,
        },
    }


_KINDS: dict[str, tuple[type[Base], Callable[[Session, Any], dict[str, Any]]]] = {
    "measurement": (Measurement, _measurement),
    "master": (Master, _master),
    "run": (Run, _run),
    "frame": (Frame, _frame),
}
