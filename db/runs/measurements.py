"""Measurements of runs, written and read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ccdcore.quantities import QUANTITIES
from ccdcore.text import natural_key
from db.judgements.marks import marked_bad
from db.runs.current import is_current
from db.runs.sets import _span
from db.schema import models
from db.schema.models import CalibrationSet, Measurement, Run
from db.schema.rows import column_value, plain

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class NewMeasurement:
    """One value of one quantity for one amplifier.

    Parameters
    ----------
    quantity : str
        One of `QUANTITIES`.
    amplifier : str
        Its name.
    value, uncertainty : float, float or None
        In the unit of the quantity; the uncertainty is 1-σ.
    method : str
        How it was measured.
    observed_at : datetime
        Mean time of its inputs.
    filter : str or None
        Where it holds for one filter only.
    ccd_temperature_c : float or None
        Mean temperature of its inputs.
    details : mapping
        Level range, n_bias, n_flat, n_flat_pairs, n_pixels, chi2_per_dof, notes: plain JSON values.
    remark : str or None
        What is odd about it.

    Raises
    ------
    ValueError
        If the value is not finite, or there is no such quantity.
    """

    quantity: str
    amplifier: str
    value: float
    uncertainty: float | None
    method: str
    observed_at: datetime
    filter: str | None = None
    ccd_temperature_c: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    remark: str | None = None

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:  # whoever asks for all of them asks for these
            raise ValueError(f"there is no quantity {self.quantity!r}: add it to QUANTITIES")
        if not math.isfinite(self.value):
            raise ValueError(
                f"{self.quantity} of amplifier {self.amplifier} is {self.value}: record finite values only"
            )


BORROWED = "borrowed biases"
"""Method of what was measured on biases of another set: it is a point of that set's night, and of no other."""

LONGEST_REMARK = 600
"""Characters: the remark is in an index, and PostgreSQL takes no entry of an index above 2.7 kB."""


def record_measurements(session: Session, *, run_id: int, measurements: Sequence[NewMeasurement]) -> list[int]:
    """Record the values a run measured; return their ids, in order.

    They are tied to the version of the instrument's entry that the set's frames were read with.
    """
    frame, run = models.Frame, models.Run
    entry_version = (
        select(frame.instrument_id)
        .join(run, run.calibration_set_id == frame.calibration_set_id)
        .where(run.id == run_id)
        .order_by(frame.id.desc())
        .limit(1)
    )
    instrument_id = session.scalars(entry_version).one()
    rows = []
    for one in measurements:
        fields = {name: column_value(getattr(one, name)) for name in one.__dataclass_fields__}
        fields["unit"] = QUANTITIES[one.quantity].unit
        fields["details"] = plain(one.details)
        fields["remark"] = fields["remark"] and fields["remark"][:LONGEST_REMARK]
        fields |= {name: one.details.get(name) for name in ("n_bias", "n_flat", "n_flat_pairs")}
        rows.append(models.Measurement(run_id=run_id, instrument_id=instrument_id, **fields))
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """One value that a run measured."""

    id: int
    quantity: str
    unit: str
    amplifier: str
    value: float
    uncertainty: float | None
    method: str
    observed_at: datetime
    details: dict[str, Any]
    remark: str | None


def run_of_measurement(session: Session, measurement_id: int) -> int:
    """Return the run that made a measurement."""
    return session.scalars(select(Measurement.run_id).where(Measurement.id == measurement_id)).one()


def observed_at(session: Session, measurement_id: int) -> datetime:
    """Return when what was measured was observed."""
    return session.scalars(select(Measurement.observed_at).where(Measurement.id == measurement_id)).one()


def run_measurements(session: Session, run_id: int) -> list[MeasurementRow]:
    """Return what a run measured, in the order it was recorded."""
    columns = [getattr(Measurement, name) for name in MeasurementRow.__dataclass_fields__]
    query = select(*columns).where(Measurement.run_id == run_id).order_by(Measurement.id)
    return [MeasurementRow(*row) for row in session.execute(query)]


def by_amplifier(rows: Iterable[MeasurementRow]) -> dict[str, dict[str, MeasurementRow]]:
    """Return measurements by amplifier, in the natural order of their names, and quantity; of several the last."""
    found: dict[str, dict[str, MeasurementRow]] = {}
    for row in rows:
        found.setdefault(row.amplifier, {})[row.quantity] = row
    return {name: found[name] for name in sorted(found, key=natural_key)}


@dataclass(frozen=True, slots=True)
class ValueOnRecord:
    """A value measured before, in the unit of its quantity."""

    measurement_id: int
    value: float
    uncertainty: float | None
    observed_at: datetime


def earlier_values(
    session: Session,
    *,
    quantity: str,
    instrument: str,
    configuration: str,
    amplifier: str,
    before: datetime,
    most: int,
    only_good: bool = False,
) -> list[ValueOnRecord]:
    """Return the last values on record that were observed before a time, with the entry that holds then, last first.

    None that is marked bad is among them; of those that are ``only_good`` nothing odd was found.
    """
    since, _ = _span(session, instrument, before)
    query = (
        select(Measurement.id, Measurement.value, Measurement.uncertainty, Measurement.observed_at)
        .join(Run, Measurement.run_id == Run.id)
        .join(CalibrationSet)
        .where(
            Measurement.quantity == quantity,
            Measurement.amplifier == amplifier,
            Measurement.observed_at < before,
            *([] if since is None else [Measurement.observed_at >= since]),
            *([Measurement.remark.is_(None)] if only_good else []),
            is_current(session),
            Measurement.id.not_in(marked_bad("measurement")),
            CalibrationSet.instrument == instrument,
            CalibrationSet.configuration == configuration,
        )
        .order_by(Measurement.observed_at.desc(), Measurement.id.desc())
        .limit(most)
    )
    return [ValueOnRecord(*row) for row in session.execute(query)]
