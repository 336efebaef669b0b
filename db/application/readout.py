"""Gain and read noise of each amplifier, for the noise of a frame that masters calibrate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from ccdcore.application.ingredients import Readout
from ccdcore.association.facts import Subject, amplifiers_of
from db.association.detectors import OUTSIDE, doubt_of, is_doubtful, nearest_run, values_of_run
from db.schema.models import Master

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class ReadoutOnRecord:
    """Gain and read noise by amplifier, and which of them are doubtful, in words."""

    of: Mapping[str, Readout]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Value:
    value: float
    doubt: str | None = None


def readout_of(session: Session, subject: Subject, master_ids: Sequence[int]) -> ReadoutOnRecord:
    """Return gain and read noise by amplifier: of the runs that made these masters, the first in front.

    Of an amplifier of which these measured none it is what was measured nearest to the frame in time. What is odd or
    outside the limits of the camera is taken only where nothing else is on record. So the same masters go with the
    same numbers as long as they have their own.
    """
    runs = [session.scalar(select(Master.run_id).where(Master.id == key)) for key in master_ids]
    some = _Runs(session, subject, [one for one in runs if one is not None], is_doubtful(session, subject.instrument))
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

    session: Session
    subject: Subject
    run_ids: Sequence[int]
    doubtful: ColumnElement[bool]

    def values(self, quantity: str) -> dict[str, _Value]:
        """Return values of a quantity by amplifier, the good ones first."""
        text = self.subject.amplifiers
        wanted = [one.name for one in amplifiers_of(text)] if text else []
        found: dict[str, _Value] = {}
        for where, is_good in ((~self.doubtful, True), (self.doubtful, False)):
            for run_id in self._runs(quantity, wanted, found, where):
                for name, value, remark in values_of_run(self.session, run_id, quantity, where):
                    found.setdefault(name, _Value(value, None if is_good else remark or OUTSIDE))
        return found

    def _runs(
        self, quantity: str, wanted: Sequence[str], found: Mapping[str, object], where: ColumnElement[bool]
    ) -> Iterator[int]:
        """Yield runs as long as an amplifier is wanted that was not found in those before."""
        for run_id in self.run_ids:
            if not (set(wanted) <= found.keys() if wanted else found):
                yield run_id
        names: Sequence[str | None] = wanted or ([] if found else [None])
        for name in names:
            if name not in found:
                nearest = nearest_run(self.session, self.subject, quantity, amplifier=name, where=where)
                yield from [] if nearest is None else [nearest]
