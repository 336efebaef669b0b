"""Gain and read noise of the detector of a frame: those measured nearest to it in time."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from sqlalchemy import select

from ccdcore.association.facts import Detector, Subject
from db.judgements.marks import marked_bad
from db.runs.current import is_current
from db.schema.models import CalibrationSet, Measurement, Run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def detector_of(session: Session, subject: Subject) -> Detector:
    """Return what was measured of the detector of a frame last before it, else first after it.

    It is of its configuration, and with the entry of its instrument that holds at its time.
    """
    gain, read_noise_e, read_noise_adu = (
        _nearest(session, subject, quantity) for quantity in ("gain", "read_noise", "read_noise_adu")
    )
    if read_noise_e is None and None not in (gain, read_noise_adu):
        read_noise_e = (gain or 0.0) * (read_noise_adu or 0.0)
    return Detector(gain, read_noise_e)


def _nearest(session: Session, subject: Subject, quantity: str) -> float | None:
    """Return the mean over the amplifiers of what one run measured."""
    begin, end = subject.entry
    query = (
        select(Measurement.run_id)
        .join(Run, Measurement.run_id == Run.id)
        .join(CalibrationSet)
        .where(
            Measurement.quantity == quantity,
            CalibrationSet.instrument == subject.instrument,
            CalibrationSet.configuration.in_([one for one in (subject.configuration, subject.whole) if one]),
            *([] if begin is None else [Measurement.observed_at >= begin]),
            *([] if end is None else [Measurement.observed_at < end]),
            is_current(session),
            Measurement.id.not_in(marked_bad("measurement")),
        )
        .limit(1)
    )
    at = Measurement.observed_at
    before = [] if subject.at is None else [at <= subject.at]
    last, first = query.where(*before).order_by(at.desc()), query.order_by(at)
    run_id = session.scalar(last) or session.scalar(first)
    return None if run_id is None else _mean_of_run(session, run_id, quantity)


def _mean_of_run(session: Session, run_id: int, quantity: str) -> float | None:
    of_run = select(Measurement.value).where(Measurement.run_id == run_id, Measurement.quantity == quantity)
    values = list(session.scalars(of_run.where(Measurement.id.not_in(marked_bad("measurement")))))
    return fmean(values) if values else None
