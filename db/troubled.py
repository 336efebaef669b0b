"""What runs left behind that somebody should look at: masters that may not be used, cameras without a result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from db.certification import CERTIFIED
from db.files.homes import on_disk
from db.runs.current import CURRENT_RUN
from db.runs.lacks import run_lacks
from db.runs.masters import MasterOnRecord, list_masters
from db.runs.runs import latest_runs
from db.schema.models import CalibrationSet, Certification, Frame, Master, Measurement, Outcome, Run


def masters_in_trouble(session: Session, *, but: Collection[int] = ()) -> list[MasterOnRecord]:
    """Return the last master of each purpose where it may not be used, and nobody has marked it, oldest first.

    Parameters
    ----------
    but : collection of int
        Masters that are not asked for.
    """
    purpose = CalibrationSet.instrument, CalibrationSet.configuration, Master.product
    place = func.row_number().over(partition_by=purpose, order_by=(Master.valid_from.desc(), Master.id.desc()))
    current = (
        select(Master.id, CalibrationSet.instrument, Master.kind, Master.verdict, place.label("place"))
        .join(Run, Master.run_id == Run.id)
        .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
        .where(CURRENT_RUN, Master.kind != "mask")
        .subquery()
    )
    doubtful = (
        select(current.c.id, current.c.instrument, current.c.kind)
        .outerjoin(Certification, Certification.master_id == current.c.id)
        .where(
            current.c.place == 1,
            or_(current.c.verdict == "bad", func.coalesce(Certification.outcome, "") != CERTIFIED),
        )
    )
    found = {key: (instrument, kind) for key, instrument, kind in session.execute(doubtful) if key not in but}
    # Whether one is certified after all depends on the others of its purpose, and on what people said of them.
    listed = [one for of in sorted(set(found.values())) for one in list_masters(session, instrument=of[0], kind=of[1])]
    bad = [one for one in listed if one.master_id in found and not one.is_good and one.mark is None]
    return sorted(bad, key=lambda one: one.master_id)


@dataclass(frozen=True, slots=True)
class FruitlessCamera:
    """A camera whose runs are done and have left nothing: its frames, its last run, and what that says of it."""

    instrument: str
    n_frames: int
    run_id: int
    reason: str


def fruitless_cameras(session: Session, *, host: str) -> list[FruitlessCamera]:
    """Return the cameras of which there are frames on ``host`` and runs that are done, but no result at all."""
    of_set = Run.calibration_set_id == CalibrationSet.id
    made = or_(exists().where(Measurement.run_id == Run.id), exists().where(Master.run_id == Run.id))
    fruitful = select(CalibrationSet.instrument).join(Run, of_set).where(Run.outcome == Outcome.DONE, made)
    frames = (
        select(CalibrationSet.instrument, CalibrationSet.id, func.count())
        .join(Frame, Frame.calibration_set_id == CalibrationSet.id)
        .where(on_disk(host), CalibrationSet.instrument.not_in(fruitful))
        .group_by(CalibrationSet.instrument, CalibrationSet.id)
    )
    counted = list(session.execute(frames))
    runs = latest_runs(session) if counted else {}
    found = []
    for instrument in sorted({name for name, _, _ in counted}):
        sets = {key: n for name, key, n in counted if name == instrument}
        last = [runs.get(key) for key in sets]
        if any(run is None or run.outcome is not Outcome.DONE for run in last):
            continue  # what waits, runs or failed is told as such
        run = max((run for run in last if run is not None), key=lambda one: one.id)
        lacks = [f"{lack.product}: {lack.reason}" for lack in run_lacks(session, run.id)]
        found.append(FruitlessCamera(instrument, sum(sets.values()), run.id, "; ".join(lacks) or "nothing is said"))
    return found


def longitude_of_set(session: Session, set_id: int) -> float | None:
    """Return the longitude that the headers of a set's frames name, in degrees; None where they name none."""
    return session.scalar(select(func.max(Frame.longitude_deg)).where(Frame.calibration_set_id == set_id))
