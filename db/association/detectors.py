"""Gain and read noise of the detector of a frame: those measured nearest to it in time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING

from sqlalchemy import select

from ccdcore.association.facts import Detector, Subject
from db.judgements.marks import marked_bad
from db.runs.current import is_current
from db.schema.models import CalibrationSet, Measurement, Run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


_QUANTITIES = "gain", "read_noise", "read_noise_adu"


def detector_of(session: Session, subject: Subject) -> Detector:
    """Return what was measured of the detector of a frame last before it, else first after it.

    It is of its configuration, and with the entry of its instrument that holds at its time.
    """
    runs = {quantity: nearest_run(session, subject, quantity) for quantity in _QUANTITIES}
    return _detector(*(_mean_of_run(session, run_id, quantity) for quantity, run_id in runs.items()))


def _detector(gain: float | None, read_noise_e: float | None, read_noise_adu: float | None) -> Detector:
    if read_noise_e is None and None not in (gain, read_noise_adu):
        read_noise_e = (gain or 0.0) * (read_noise_adu or 0.0)
    return Detector(gain, read_noise_e)


def nearest_run(session: Session, subject: Subject, quantity: str) -> int | None:
    """Return the run that measured a quantity of the detector of a frame last before it, else first after it."""
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
    return session.scalar(last) or session.scalar(first)


def _mean_of_run(session: Session, run_id: int | None, quantity: str) -> float | None:
    """Return the mean over the amplifiers of what one run measured."""
    of_run = select(Measurement.value).where(Measurement.run_id == run_id, Measurement.quantity == quantity)
    values = list(session.scalars(of_run.where(Measurement.id.not_in(marked_bad("measurement")))))
    return fmean(values) if values else None


class Detectors:
    """The detectors of many frames of one camera: all that was measured of them is read once.

    Its answers are those of `detector_of`.
    """

    def __init__(self, session: Session, instrument: str) -> None:
        query = (
            select(
                CalibrationSet.configuration,
                Measurement.quantity,
                Measurement.observed_at,
                Measurement.run_id,
                Measurement.value,
            )
            .join(Run, Measurement.run_id == Run.id)
            .join(CalibrationSet)
            .where(
                Measurement.quantity.in_(_QUANTITIES),
                CalibrationSet.instrument == instrument,
                is_current(session),
                Measurement.id.not_in(marked_bad("measurement")),
            )
            .order_by(Measurement.observed_at)
        )
        self._times: dict[tuple[str, str], list[tuple[datetime, int]]] = defaultdict(list)
        self._values: dict[tuple[str, int], list[float]] = defaultdict(list)
        for configuration, quantity, at, run_id, value in session.execute(query):
            self._times[configuration, quantity].append((at, run_id))
            self._values[quantity, run_id].append(value)

    def of(self, subject: Subject) -> Detector:
        """Return what was measured of the detector of a frame last before it, else first after it."""
        return _detector(*(self._nearest(subject, quantity) for quantity in _QUANTITIES))

    def _nearest(self, subject: Subject, quantity: str) -> float | None:
        begin, end = subject.entry
        some = [self._times.get((one, quantity), []) for one in {subject.configuration, subject.whole} if one]
        found: list[tuple[datetime, int]] = []
        for times in some:
            first = 0 if begin is None else bisect_left(times, (begin, 0))
            last = len(times) if end is None else bisect_left(times, (end, 0))
            before = last if subject.at is None else min(last, bisect_right(times, subject.at, key=_time))
            found += times[before - 1 : before] if before > first else times[first : min(last, first + 1)]
        before_it = [one for one in found if subject.at is None or one[0] <= subject.at]
        nearest = max(before_it, key=_time) if before_it else min(found, key=_time, default=None)
        return None if nearest is None else fmean(self._values[quantity, nearest[1]])


def _time(one: tuple[datetime, int]) -> datetime:
    return one[0]
