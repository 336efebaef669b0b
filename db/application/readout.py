"""Gain and read noise of each amplifier, for the noise of a frame that masters calibrate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from ccdcore.application.ingredients import Readout
from ccdcore.association.facts import Kind, Subject, amplifiers_of
from db.association.detectors import OUTSIDE, Detectors, Measured, OnRecord, doubt_of
from db.schema.models import CalibrationSet, Master, Run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

READ_FROM: tuple[Kind, ...] = "flat", "bias", "dark"
"""The masters whose runs tell gain and read noise, the first that has them."""


@dataclass(frozen=True, slots=True)
class ReadoutOnRecord:
    """Gain and read noise by amplifier, and which of them are doubtful, in words."""

    of: Mapping[str, Readout]
    doubts: tuple[str, ...] = ()


def readout_of(session: Session, subject: Subject, master_ids: Sequence[int]) -> ReadoutOnRecord:
    """Return gain and read noise by amplifier: of the runs that made these masters, the first in front.

    Of an amplifier of which these measured none it is what was measured nearest to the frame in time. What is odd or
    outside the limits of the camera is taken only where nothing else is on record. So the same masters go with the
    same numbers as long as they have their own.
    """
    runs = [session.scalar(select(Master.run_id).where(Master.id == key)) for key in master_ids]
    return _readout(OnRecord(session, subject.instrument), subject, runs)


class Readouts:
    """Gain and read noise for many frames of one camera; its answers are those of `readout_of`."""

    def __init__(self, session: Session, instrument: str, detectors: Detectors) -> None:
        self._detectors = detectors
        masters = select(Master.id, Master.run_id).join(Run, Master.run_id == Run.id).join(CalibrationSet)
        self._runs = dict(session.execute(masters.where(CalibrationSet.instrument == instrument)).tuples().all())

    def of(self, subject: Subject, master_ids: Sequence[int]) -> ReadoutOnRecord:
        """Return gain and read noise by amplifier."""
        return _readout(self._detectors, subject, [self._runs.get(key) for key in master_ids])


@dataclass(frozen=True, slots=True)
class _Value:
    value: float
    doubt: str | None = None


def _readout(measured: Measured, subject: Subject, run_ids: Sequence[int | None]) -> ReadoutOnRecord:
    some = _Runs(measured, subject, [one for one in run_ids if one is not None])
    gains, electrons, adu = (some.values(quantity) for quantity in ("gain", "read_noise", "read_noise_adu"))
    of, doubts = {}, []
    for name, gain in gains.items():
        own = electrons.get(name)
        noise = own or adu.get(name)
        if noise is not None:
            of[name] = Readout(gain.value, noise.value * (1.0 if own else gain.value))
            told = ("gain", gain), ("read_noise", noise)
            doubts += [doubt_of(quantity, one.doubt, name) for quantity, one in told if one.doubt]
    return ReadoutOnRecord(of, tuple(doubts))


@dataclass(frozen=True, slots=True)
class _Runs:
    """Where gain and read noise of a frame are looked for: in some runs, then in those that are nearest to it."""

    measured: Measured
    subject: Subject
    run_ids: Sequence[int]

    def values(self, quantity: str) -> dict[str, _Value]:
        """Return values of a quantity by amplifier, the good ones first."""
        text = self.subject.amplifiers
        wanted = [one.name for one in amplifiers_of(text)] if text else []
        found: dict[str, _Value] = {}
        for is_good in (True, False):
            for run_id in self._runs(quantity, wanted, found, is_good=is_good):
                for name, value, remark in self.measured.of_run(run_id, quantity, is_good=is_good):
                    found.setdefault(name, _Value(value, None if is_good else remark or OUTSIDE))
        return found

    def _runs(
        self, quantity: str, wanted: Sequence[str], found: Mapping[str, object], *, is_good: bool
    ) -> Iterator[int]:
        """Yield runs as long as an amplifier is wanted that was not found in those before."""
        for run_id in self.run_ids:
            if not (set(wanted) <= found.keys() if wanted else found):
                yield run_id
        names: Sequence[str | None] = wanted or ([] if found else [None])
        for name in names:
            if name not in found:
                nearest = self.measured.nearest_run(self.subject, quantity, is_good=is_good, amplifier=name)
                yield from [] if nearest is None else [nearest]
