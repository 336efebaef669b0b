"""Science frames that landed, as the service that calibrates them sees them: what became of each, and what is new."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, func, or_, select

from ccdcore.application.ingredients import not_raw
from db.files.homes import on_disk
from db.judgements.marks import marked_bad
from db.runs.current import CURRENT_RUN
from db.schema.calibrated import Calibrated, ScienceTry
from db.schema.models import CalibrationSet, Frame, HeaderRevision, Judgement, Master, Measurement, Run
from db.schema.rows import column_value
from db.schema.upsert import insert

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Try:
    """What became of a science frame when it was last tried to calibrate it: see `db.schema.calibrated.ScienceTry`."""

    reason: str | None
    is_failure: bool
    tries: int
    tried_at: datetime


@dataclass(frozen=True, slots=True)
class ScienceFrame:
    """A raw science frame on record.

    Parameters
    ----------
    frame_id : int
        Which it is.
    instrument : str
        Its camera.
    joined_at : datetime
        When it landed.
    last : Try or None
        What became of it, from the same choices as now; None where it was not tried from these.
    """

    frame_id: int
    instrument: str
    joined_at: datetime
    last: Try | None


def choices_of(session: Session, instrument: str, *, rules: str) -> str:
    """Return a digest of all that the choice of masters for frames of a camera depends on.

    Parameters
    ----------
    instrument : str
        The camera.
    rules : str
        What the configuration says of that.
    """
    masters = (
        select(Master.id)
        .join(Run, Master.run_id == Run.id)
        .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
        .where(CalibrationSet.instrument == instrument)
    )
    in_force = masters.where(CURRENT_RUN).subquery()
    told = select(func.count(), func.max(in_force.c.id), func.sum(in_force.c.id))
    said = select(func.max(Judgement.id)).where(Judgement.master_id.in_(masters))
    # Judgements are few, measurements are not: the former lead to the latter.
    said_of_values = (
        select(func.max(Judgement.id))
        .join(Measurement, Judgement.measurement_id == Measurement.id)
        .join(Run, Measurement.run_id == Run.id)
        .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
        .where(CalibrationSet.instrument == instrument)
    )
    marks = session.scalar(said), session.scalar(said_of_values)
    found = [*map(int, (one or 0 for one in session.execute(told).one())), *marks, rules]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def cameras_with_science(session: Session, *, since: datetime) -> set[str]:
    """Return the cameras of which science frames landed since a time, or could not be calibrated yet."""
    query = select(Frame.instrument).distinct().outerjoin(ScienceTry, ScienceTry.frame_id == Frame.id)
    landed = and_(Frame.frame_type == "other", Frame.registered_at >= since)
    waiting = Frame.id.in_(select(ScienceTry.frame_id).where(ScienceTry.reason.is_not(None)))
    return set(session.scalars(query.where(or_(landed, waiting))))


def science_to_do(session: Session, instrument: str, *, choices: str, host: str, since: datetime) -> list[ScienceFrame]:
    """Return the raw science frames of a camera that something may be to be done to, oldest first.

    That are those that landed since a time, and those that could not be calibrated before, without those that were
    tried from the same choices and what came of it was foreseen.

    Parameters
    ----------
    instrument : str
        The camera.
    choices : str
        Of `choices_of`.
    host : str
        Whose files are read.
    since : datetime
        Those that were registered from this time on.
    """
    is_revised = exists().where(HeaderRevision.frame_id == Frame.id, HeaderRevision.seen_at > ScienceTry.tried_at)
    is_open = or_(ScienceTry.frame_id.is_(None), ScienceTry.choices != choices, ScienceTry.is_failure, is_revised)
    waits = Frame.id.in_(select(ScienceTry.frame_id).where(ScienceTry.reason.is_not(None)))
    columns = Frame.id, Frame.instrument, Frame.joined_at, Frame.frame_type_reason, ScienceTry
    query = (
        select(*columns)
        .outerjoin(ScienceTry, ScienceTry.frame_id == Frame.id)
        .where(*_RAW, Frame.instrument == instrument, on_disk(host), is_open)
        .where(or_(Frame.registered_at >= since, waits))
        .where(Frame.id.not_in(marked_bad("frame")))
        .order_by(Frame.date_obs, Frame.id)
    )
    return [
        ScienceFrame(key, camera, joined_at, _try_of(row, choices))
        for key, camera, joined_at, reason, row in session.execute(query)
        if not_raw(reason) is None
    ]


_RAW = Frame.frame_type == "other", Frame.n_averaged == 1
"""What a science frame fulfils on record, beside that no program has worked on it."""


def _try_of(row: ScienceTry | None, choices: str) -> Try | None:
    if row is None or row.choices != choices or not row.is_failure:
        return None
    return Try(row.reason, row.is_failure, row.tries, row.tried_at)


def record_try(
    session: Session, frame_id: int, *, choices: str, reason: str | None, is_failure: bool, now: datetime
) -> None:
    """Put on record what became of a science frame.

    Parameters
    ----------
    frame_id : int
        Which it is.
    choices : str
        Of `choices_of`, before its masters were chosen.
    reason : str or None
        Why it is not calibrated; None where it is.
    is_failure : bool
        Whether nobody foresaw that.
    now : datetime
        When.
    """
    before = session.get(ScienceTry, frame_id)
    tries = before.tries + 1 if before is not None and before.choices == choices and before.is_failure else 1
    values = {
        "choices": choices,
        "reason": column_value(reason),
        "is_failure": is_failure,
        "tries": tries,
        "tried_at": now,
    }
    statement = insert(session, ScienceTry).values(frame_id=frame_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["frame_id"], set_=values))


@dataclass(frozen=True, slots=True)
class Uncalibrated:
    """Science frames of a camera and a night that could not be calibrated for one reason, the oldest in front."""

    instrument: str
    night: date | None
    reason: str
    frame_ids: tuple[int, ...]
    tries: int
    is_failure: bool


def uncalibrated(session: Session, *, host: str) -> list[Uncalibrated]:
    """Return the science frames that could not be calibrated, and were not since by somebody."""
    made_since = exists().where(Calibrated.frame_id == Frame.id, Calibrated.made_at >= ScienceTry.tried_at)
    columns = Frame.instrument, Frame.night, ScienceTry.reason, ScienceTry.is_failure, Frame.id, ScienceTry.tries
    query = (
        select(*columns)
        .join(ScienceTry, ScienceTry.frame_id == Frame.id)
        .where(ScienceTry.reason.is_not(None), *_RAW, on_disk(host), ~made_since)
        .where(Frame.id.not_in(marked_bad("frame")))
        .order_by(Frame.date_obs, Frame.id)
    )
    alike: dict[tuple[str, date | None, str, bool], list[tuple[int, int]]] = defaultdict(list)
    for instrument, night, reason, is_failure, *which in session.execute(query):
        alike[instrument, night, reason or "", is_failure].append((which[0], which[1]))
    return [
        Uncalibrated(instrument, night, reason, tuple(key for key, _ in some), max(n for _, n in some), is_failure)
        for (instrument, night, reason, is_failure), some in alike.items()
    ]
