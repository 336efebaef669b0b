"""Gain and read noise of the detector of a frame: those measured nearest to it in time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sqlalchemy import and_, or_, select

from ccdcore.association.facts import Detector, Subject
from ccdcore.quantities import QUANTITIES, label_of, limits_of
from db.judgements.marks import marked_bad
from db.runs.current import is_current
from db.schema.models import CalibrationSet, Instrument, Measurement, Run

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

OUTSIDE = "outside its limits"
"""Why a value is doubtful about which nothing else is odd."""
_QUANTITIES = "gain", "read_noise", "read_noise_adu"


class Value(NamedTuple):
    """A value of an amplifier, and what is odd about it."""

    amplifier: str
    value: float
    remark: str | None


class Measured(Protocol):
    """What was measured of the detector of a camera: what is good, or what is doubtful, by ``is_good``."""

    def nearest_run(
        self, subject: Subject, quantity: str, *, is_good: bool, amplifier: str | None = None
    ) -> int | None:
        """Return the run that measured a quantity, of an amplifier or any, last before a frame, else first after it."""

    def of_run(self, run_id: int, quantity: str, *, is_good: bool) -> Sequence[Value]:
        """Return what a run measured and nobody marked bad."""


def detector_of(session: Session, subject: Subject) -> Detector:
    """Return what was measured of the detector of a frame last before it, else first after it.

    It is of its configuration, and with the entry of its instrument that holds at its time. What is doubtful is taken
    only where nothing else is on record.
    """
    return _of(OnRecord(session, subject.instrument), subject)


def _of(measured: Measured, subject: Subject) -> Detector:
    found = {quantity: _nearest_mean(measured, subject, quantity) for quantity in _QUANTITIES}
    used = "gain", "read_noise" if found["read_noise"][0] is not None else "read_noise_adu"
    doubts = [doubt_of(quantity, doubt) for quantity in used if (doubt := found[quantity][1])]
    return replace(_detector(*(value for value, _ in found.values())), doubts=tuple(doubts))


def _nearest_mean(measured: Measured, subject: Subject, quantity: str) -> tuple[float | None, str | None]:
    """Return the mean over the amplifiers of what the nearest run measured, and what is doubtful about it."""
    for is_good in (True, False):
        if (run_id := measured.nearest_run(subject, quantity, is_good=is_good)) is not None:
            rows = measured.of_run(run_id, quantity, is_good=is_good)
            return fmean(row.value for row in rows), None if is_good else rows[0].remark or OUTSIDE
    return None, None


def _detector(gain: float | None, read_noise_e: float | None, read_noise_adu: float | None) -> Detector:
    if read_noise_e is None and None not in (gain, read_noise_adu):
        read_noise_e = (gain or 0.0) * (read_noise_adu or 0.0)
    return Detector(gain, read_noise_e)


def doubt_of(quantity: str, why: str, amplifier: str | None = None) -> str:
    """Say that a doubtful value is taken."""
    of = "" if amplifier is None else f" of amplifier {amplifier}"
    return f"no {label_of(quantity)}{of} is on record but a doubtful one: {why}"


def _is_doubtful(session: Session, instrument: str) -> ColumnElement[bool]:
    """Return what measurements of a camera fulfil that are odd, or outside the limits of its entry."""
    outside = []
    for key, spec in session.execute(select(Instrument.id, Instrument.spec).where(Instrument.name == instrument)):
        for quantity in _QUANTITIES:
            limits = limits_of(spec, quantity=quantity, unit=QUANTITIES[quantity].unit)
            of_it = Measurement.instrument_id == key, Measurement.quantity == quantity
            outside += [] if limits.min is None else [and_(*of_it, Measurement.value < limits.min)]
            outside += [] if limits.max is None else [and_(*of_it, Measurement.value > limits.max)]
    return or_(Measurement.remark.is_not(None), *outside)


class OnRecord:
    """What was measured of a camera, asked of the record each time: for few frames."""

    def __init__(self, session: Session, instrument: str) -> None:
        self._session = session
        doubtful = _is_doubtful(session, instrument)
        self._where = {True: ~doubtful, False: doubtful}

    def nearest_run(
        self, subject: Subject, quantity: str, *, is_good: bool, amplifier: str | None = None
    ) -> int | None:
        """Return the run that measured a quantity, of an amplifier or any, last before a frame, else first after it."""
        begin, end = subject.entry
        query = (
            select(Measurement.run_id)
            .join(Run, Measurement.run_id == Run.id)
            .join(CalibrationSet)
            .where(
                Measurement.quantity == quantity,
                CalibrationSet.instrument == subject.instrument,
                CalibrationSet.configuration.in_([one for one in (subject.configuration, subject.whole) if one]),
                *([] if amplifier is None else [Measurement.amplifier == amplifier]),
                *([] if begin is None else [Measurement.observed_at >= begin]),
                *([] if end is None else [Measurement.observed_at < end]),
                is_current(self._session),
                Measurement.id.not_in(marked_bad("measurement")),
                self._where[is_good],
            )
            .limit(1)
        )
        at = Measurement.observed_at
        before = [] if subject.at is None else [at <= subject.at]
        last, first = query.where(*before).order_by(at.desc()), query.order_by(at)
        return self._session.scalar(last) or self._session.scalar(first)

    def of_run(self, run_id: int, quantity: str, *, is_good: bool) -> Sequence[Value]:
        """Return what a run measured and nobody marked bad."""
        query = select(Measurement.amplifier, Measurement.value, Measurement.remark).where(
            Measurement.run_id == run_id,
            Measurement.quantity == quantity,
            Measurement.id.not_in(marked_bad("measurement")),
            self._where[is_good],
        )
        return [Value(*row) for row in self._session.execute(query.order_by(Measurement.id))]


class Detectors:
    """What was measured of a camera, all read at once: for many frames.

    Its answers are those of `OnRecord` and `detector_of`.
    """

    def __init__(self, session: Session, instrument: str) -> None:
        query = (
            select(
                CalibrationSet.configuration,
                Measurement.quantity,
                Measurement.observed_at,
                Measurement.run_id,
                Measurement.amplifier,
                Measurement.value,
                Measurement.remark,
                _is_doubtful(session, instrument),
                is_current(session),
            )
            .join(Run, Measurement.run_id == Run.id)
            .join(CalibrationSet)
            .where(
                Measurement.quantity.in_(_QUANTITIES),
                CalibrationSet.instrument == instrument,
                Measurement.id.not_in(marked_bad("measurement")),
            )
            .order_by(Measurement.observed_at, Measurement.id)
        )
        self._times: dict[tuple[bool, str, str, str | None], list[tuple[datetime, int]]] = defaultdict(list)
        self._values: dict[tuple[bool, str, int], list[Value]] = defaultdict(list)
        for configuration, quantity, at, run_id, name, value, remark, is_odd, counts in session.execute(query):
            self._values[not is_odd, quantity, run_id].append(Value(name, value, remark))
            for amplifier in (None, name) if counts else ():
                self._times[not is_odd, configuration, quantity, amplifier].append((at, run_id))

    def of(self, subject: Subject) -> Detector:
        """Return what was measured of the detector of a frame last before it, else first after it."""
        return _of(self, subject)

    def of_run(self, run_id: int, quantity: str, *, is_good: bool) -> Sequence[Value]:
        """Return what a run measured and nobody marked bad."""
        return self._values.get((is_good, quantity, run_id), [])

    def nearest_run(
        self, subject: Subject, quantity: str, *, is_good: bool, amplifier: str | None = None
    ) -> int | None:
        """Return the run that measured a quantity, of an amplifier or any, last before a frame, else first after it."""
        begin, end = subject.entry
        names = {one for one in (subject.configuration, subject.whole) if one}
        some = [self._times.get((is_good, one, quantity, amplifier), []) for one in names]
        found: list[tuple[datetime, int]] = []
        for times in some:
            first = 0 if begin is None else bisect_left(times, (begin, 0))
            last = len(times) if end is None else bisect_left(times, (end, 0))
            before = last if subject.at is None else min(last, bisect_right(times, subject.at, key=_time))
            found += times[before - 1 : before] if before > first else times[first : min(last, first + 1)]
        before_it = [one for one in found if subject.at is None or one[0] <= subject.at]
        nearest = max(before_it, key=_time) if before_it else min(found, key=_time, default=None)
        return None if nearest is None else nearest[1]


def _time(one: tuple[datetime, int]) -> datetime:
    return one[0]
