"""Where a number or a file came from, in the words of W3C PROV and the IVOA.

A result is an entity that ``wasGeneratedBy`` an activity (the run), which
``used`` entities (frames and masters) and ``wasAssociatedWith`` agents (the
software, the instrument is one that frames are attributed to).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ccdcore.frames.groups import deciding_temperature, distance_k, same_exposure
from ccdcore.quantities import is_of_darks
from db.certification import certification_of
from db.identifiers import TABLES, find
from db.judgements.marks import Markable
from db.judgements.notes import JudgementLine, lines_on
from db.schema.models import CalibrationSet, File, Frame, Instrument, Master, Measurement, Run, RunInput
from db.schema.rows import plain

_INGREDIENTS = {
    "bias": ("bias",),
    "dark": ("bias", "dark"),
    "darkrate": ("bias", "dark"),
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
    kind, key = find(session, id_text)
    tree: dict[str, Any] = plain(_DESCRIBED[kind](session, session.get_one(TABLES[kind], key)))
    return tree


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
        "judgements": _judgements(session, "measurement", row.id),
        "wasDerivedFrom": _derived_from(
            session,
            row.run_id,
            roles=("bias", "dark" if is_of_darks(row.quantity) else "flat"),
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
        "exposure_s": row.exposure_s,
        "temperature_c": row.temperature_c,
        "unit": row.unit,
        "verdict": row.verdict,
        "remark": row.remark,
        "valid_from": row.valid_from,
        "judgements": _judgements(session, "master", row.id),
        "certification": certification_of(session, row.id),
        "wasDerivedFrom": _made_of(session, row),
        "wasGeneratedBy": _run(session, session.get_one(Run, row.run_id)),
    }


def masters_of_frame(session: Session, frame_id: int) -> list[int]:
    """Return the ids of the masters that a frame went into, the newest in front."""
    query = select(Master).join(RunInput, RunInput.run_id == Master.run_id).where(RunInput.frame_id == frame_id)
    rows = session.scalars(query.distinct().order_by(Master.id.desc()))
    return [row.id for row in rows if f"frame:{frame_id}" in _made_of(session, row)]


def _made_of(session: Session, row: Master) -> list[str]:
    return _derived_from(
        session,
        row.run_id,
        roles=_INGREDIENTS[row.kind],
        purpose=row.product,
        filters=None if row.kind == "mask" else {row.filter},
        of_group=_group_of(session, row),
    )


def _derived_from(
    session: Session,
    run_id: int,
    *,
    roles: tuple[str, ...],
    purpose: str,
    filters: Collection[str | None] | None,
    of_group: Callable[[RunInput, Frame], bool] = lambda _, __: True,
) -> list[str]:
    """Return the ids of those inputs of a run that went into one of its results (flats of these filters only)."""
    inputs = session.execute(
        select(RunInput, Frame).outerjoin(Frame, RunInput.frame_id == Frame.id).where(RunInput.run_id == run_id)
    ).all()
    without = {f"for {purpose}", *(f"for {purpose} {name}" for name in filters or () if name)}
    left_out = {one.frame_id for one, _ in inputs if one.excluded is not None and one.role in without}
    return [
        _input_id(one)
        for one, frame in inputs
        if one.role in roles
        and one.excluded is None
        and one.frame_id not in left_out
        and (filters is None or one.role != "flat" or frame.filter in filters)
        and not (one.borrowed and purpose.startswith("master bias"))
        and of_group(one, frame)
    ]


def _group_of(session: Session, row: Master) -> Callable[[RunInput, Frame], bool]:
    """Return what tells the frames of a master's group: of its exposure, and nearest to its temperature of all."""
    of_run = select(Master.group_c).where(Master.run_id == row.run_id, Master.kind == row.kind)
    labels = set(session.scalars(of_run))
    by_exposure = row.kind == "dark" and row.exposure_s is not None

    def is_in_it(one: RunInput, frame: Frame) -> bool:
        if one.role != row.kind or one.frame_id is None:
            return True
        at = deciding_temperature(frame)
        is_near = min(labels, key=lambda label: distance_k(label, at)) == row.group_c
        return is_near and (not by_exposure or same_exposure(frame.exposure_time_s, row.exposure_s))

    return is_in_it


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
    return dict(session.execute(query).tuples().all())


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
    said = lines_on(session, "frame", frame_ids)
    return {frame.id: _frame_entity(frame, entry, files[frame.id], said.get(frame.id, [])) for frame, entry in found}


def _frame_entity(
    row: Frame, entry: Instrument, files: list[dict[str, Any]], said: Sequence[JudgementLine]
) -> dict[str, Any]:
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
        "judgements": [line.as_dict() for line in said],
        "wasAttributedTo": {
            "type": "agent",
            "kind": "instrument",
            "name": entry.name,
            "entry": entry.digest or None,
        },
    }


def _judgements(session: Session, kind: Markable, key: int) -> list[dict[str, Any]]:
    """Return what people said of something, oldest first, with what was taken back."""
    return [line.as_dict() for line in lines_on(session, kind, [key]).get(key, [])]


_DESCRIBED: dict[str, Callable[[Session, Any], dict[str, Any]]] = {
    "measurement": _measurement,
    "master": _master,
    "run": _run,
    "frame": _frame,
}
