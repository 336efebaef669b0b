"""How instruments stand, as the overview shows it: one line an amplifier, its quantities beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from sqlalchemy.orm import Session

from ccdcore.quantities import QUANTITIES, Quantity, gravest, shown_in
from db.trends.overview import AmplifierStatus, overview

COLUMNS = [one for one in shown_in("overview") if one.stands_in_for is None]
"""Quantities that have a column."""


@dataclass(frozen=True, slots=True)
class AmplifierLine:
    """One amplifier in one configuration; a quantity of `COLUMNS` is None where it was not measured."""

    instrument: str
    configuration: str
    amplifier: str
    statuses: Mapping[str, AmplifierStatus | None]

    @property
    def known(self) -> list[AmplifierStatus]:
        """What was measured."""
        return [one for one in self.statuses.values() if one is not None]

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
    found = overview(session, quantities=[one.name for one in shown_in("overview")], instrument=instrument)
    lines = [
        AmplifierLine(*key, {column.name: _newest(group, column) for column in COLUMNS})
        for key, group in (
            (key, list(rows))
            for key, rows in groupby(found, key=lambda one: (one.instrument, one.configuration, one.amplifier))
        )
    ]
    return [InstrumentStatus(name, list(group)) for name, group in groupby(lines, key=lambda line: line.instrument)]


def _newest(rows: Sequence[AmplifierStatus], column: Quantity) -> AmplifierStatus | None:
    """Return the newest of what stands in a column, the quantity itself where another is as new."""
    found = [one for one in rows if one.quantity == column.name]
    found += [one for one in rows if QUANTITIES[one.quantity].stands_in_for == column.name]
    return max(found, key=lambda one: one.observed_at, default=None)
