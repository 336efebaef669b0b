"""What changed between two nights."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ccdcore.text import listing
from db.schema.models import Instrument, Measurement
from db.schema.rows import Row
from db.schema.upsert import batches
from db.trends.curves import MEASUREMENT
from db.trends.history import TrendRow, trends


@dataclass(frozen=True, slots=True)
class Difference(Row):
    """One quantity of one amplifier on two nights.

    Parameters
    ----------
    instrument, configuration, amplifier, filter, quantity, unit : str
        Of what.
    first_night, second_night : date
        The nights.
    first, second : float
        Their values.
    first_uncertainty, second_uncertainty : float or None
        Statistical, 1-σ.
    difference, uncertainty : float, float or None
        Second less first, and its statistical 1-σ uncertainty: both in quadrature. What is systematic is in both
        nights alike, and is not in it.
    sigmas : float or None
        The difference in units of its uncertainty.
    first_entry, second_entry : str
        Which version of the instrument's entry the frames were read with, in words.
    first_id, second_id : int
        The measurements.
    """

    instrument: str
    configuration: str
    amplifier: str
    filter: str | None
    quantity: str
    unit: str
    first_night: date
    second_night: date
    first: float
    first_uncertainty: float | None
    second: float
    second_uncertainty: float | None
    difference: float
    uncertainty: float | None
    sigmas: float | None
    first_entry: str
    second_entry: str
    first_id: int
    second_id: int


def compare(session: Session, first: date, second: date, **which: Any) -> list[Difference]:
    """Return what was measured on both of two nights, and what it differs by.

    Parameters
    ----------
    first, second : date
        First nights of their windows.
    **which
        As for `db.trends.history.trends`: quantity, instrument, amplifier, configuration, filter_name.
    """
    ours, theirs = ({_curve_of(row): row for row in trends(session, night=night, **which)} for night in (first, second))
    both = [(ours[key], theirs[key]) for key in ours if key in theirs]
    entries = _entries(session, [row.id for pair in both for row in pair])
    return [_difference(one, other, entries) for one, other in both]


def _curve_of(row: TrendRow) -> tuple[str, str, str, str, str, str]:
    return row.instrument, row.configuration, row.amplifier, row.filter or "", row.quantity, row.unit


def _difference(one: TrendRow, other: TrendRow, entries: Mapping[int, str]) -> Difference:
    known = [row.uncertainty for row in (one, other) if row.uncertainty is not None]
    uncertainty = math.hypot(*known) if len(known) == 2 else None
    size = other.value - one.value
    return Difference(
        one.instrument,
        one.configuration,
        one.amplifier,
        one.filter,
        one.quantity,
        one.unit,
        one.night,
        other.night,
        one.value,
        one.uncertainty,
        other.value,
        other.uncertainty,
        size,
        uncertainty,
        size / uncertainty if uncertainty else None,
        entries[one.id],
        entries[other.id],
        one.id,
        other.id,
    )


def _entries(session: Session, measurement_ids: Collection[int]) -> dict[int, str]:
    """Return by which version of an entry the frames of measurements were read, in words."""
    columns = MEASUREMENT.id, Instrument.id, Instrument.digest, Instrument.valid_from, Instrument.valid_to
    query = select(*columns).join_from(Measurement.__table__, Instrument, MEASUREMENT.instrument_id == Instrument.id)
    return {
        key: _in_words(*entry)
        for ids in batches(measurement_ids)
        for key, *entry in session.execute(query.where(MEASUREMENT.id.in_(ids)))
    }


def _in_words(number: int, digest: str, since: datetime | None, until: datetime | None) -> str:
    if not digest:
        return "no entry"
    span = [f"from {since:%Y-%m-%d}"] if since else []
    span += [f"until {until:%Y-%m-%d}"] if until else []
    return f"entry {number}" + (f" ({listing(span)})" if span else "")
