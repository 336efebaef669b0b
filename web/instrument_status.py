"""How instruments stand, as the overview shows it: one line an amplifier, its quantities beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from sqlalchemy.orm import Session

from ccdcore.quantities import gravest
from db.trends.overview import AmplifierStatus, overview

_GAIN, _NOISE = ("gain",), ("read_noise", "read_noise_adu")


@dataclass(frozen=True, slots=True)
class AmplifierLine:
    """One amplifier in one configuration; a quantity is None where it was not measured."""

    instrument: str
    configuration: str
    amplifier: str
    gain: AmplifierStatus | None
    read_noise: AmplifierStatus | None

    @property
    def known(self) -> list[AmplifierStatus]:
        """What was measured."""
        return [one for one in (self.gain, self.read_noise) if one is not None]

    @property
    def verdict(self) -> str:
        """The gravest of them."""
        return gravest(one.verdict for one in self.known)

    @property
    def night(self) -> date:
        """Of the latest measurement."""
        return max(one.night for one in self.known)

    @property
    def since(self) -> date:
        """Since which night it stands as it does."""
        return min(one.since for one in self.known if one.verdict == self.verdict)


@dataclass(frozen=True, slots=True)
class InstrumentStatus:
    """One instrument and its amplifiers."""

    name: str
    lines: Sequence[AmplifierLine]

    @property
    def verdict(self) -> str:
        """The gravest of its amplifiers."""
        return gravest(line.verdict for line in self.lines)

    @property
    def night(self) -> date:
        """Of the latest measurement."""
        return max(line.night for line in self.lines)


def by_instrument(session: Session, *, instrument: str | None = None) -> list[InstrumentStatus]:
    """Return how the instruments stand, by name."""
    found = overview(session, quantities=(*_GAIN, *_NOISE), instrument=instrument)
    lines = [
        AmplifierLine(*key, gain=_newest(group, _GAIN), read_noise=_newest(group, _NOISE))
        for key, group in (
            (key, list(rows))
            for key, rows in groupby(found, key=lambda one: (one.instrument, one.configuration, one.amplifier))
        )
    ]
    return [InstrumentStatus(name, list(group)) for name, group in groupby(lines, key=lambda line: line.instrument)]


def _newest(rows: Sequence[AmplifierStatus], quantities: Sequence[str]) -> AmplifierStatus | None:
    """Return the newest of some quantities, the first named where several are as new."""
    found = [one for name in quantities for one in rows if one.quantity == name]
    return max(found, key=lambda one: one.observed_at, default=None)
