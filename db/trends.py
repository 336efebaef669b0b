"""The history of what was measured, judged by the limits in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, select
from sqlalchemy.orm import Session

from ccdcore.instrument import Limits
from db.models import CalibrationSet, Instrument, Measurement, Outcome, Run
from db.results import Verdict
from db.rows import Row


@dataclass(frozen=True, slots=True)
class TrendRow(Row):
    """One value of one quantity for one amplifier.

    Parameters
    ----------
    id : int
        Of the measurement.
    quantity, value, uncertainty, unit : str, float, float or None, str
        What was measured; the uncertainty is 1-σ.
    instrument, configuration, amplifier, filter : str
        Of what; the filter is None where it holds for all of them.
    night : date
        First night of the window.
    observed_at : datetime
        Mean time of the frames used.
    method : str
        How it was measured.
    n_bias, n_flat, n_flat_pairs : int or None
        Frames and pairs used.
    ccd_temperature_c : float or None
        Mean detector temperature.
    verdict : str
        ``bad`` (outside the limits in force), ``suspect`` (something is odd),
        ``ok`` (inside the limits) or ``unjudged`` (there are none).
    remark : str or None
        What is odd.
    limit_min, limit_max : float or None
        The limits in force.
    run_id, flow_run_id, engine : int, str or None, str
        Where it came from.
    superseded : bool
        Whether a newer run of the same set took its place.
    """

    id: int
    quantity: str
    value: float
    uncertainty: float | None
    unit: str
    instrument: str
    configuration: str
    night: date
    observed_at: datetime
    amplifier: str
    filter: str | None
    method: str
    n_bias: int | None
    n_flat: int | None
    n_flat_pairs: int | None
    ccd_temperature_c: float | None
    verdict: Verdict
    remark: str | None
    limit_min: float | None
    limit_max: float | None
    run_id: int
    flow_run_id: str | None
    engine: str
    superseded: bool


def trends(
    session: Session,
    *,
    quantity: str | None = None,
    instrument: str | None = None,
    amplifier: str | None = None,
    configuration: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    superseded: bool = False,
) -> list[TrendRow]:
    """Return the measurements on record, oldest first.

    Parameters
    ----------
    since, until : datetime or None
        The half-open span of time of observation.
    superseded : bool
        Whether to show also what newer runs took the place of.
    """
    entries = _entries(session, instrument)
    where: list[ColumnElement[bool]] = [Run.outcome == Outcome.DONE]
    for column, wanted in (
        (Measurement.quantity, quantity),
        (Measurement.amplifier, amplifier),
        (CalibrationSet.configuration, configuration),
    ):
        if wanted is not None:
            where.append(column == wanted)
    if instrument is not None:
        where.append(Measurement.instrument_id.in_(entries))
    if since is not None:
        where.append(Measurement.observed_at >= since)
    if until is not None:
        where.append(Measurement.observed_at < until)
    if not superseded:
        where.append(Run.superseded_by_id.is_(None))
    found = session.execute(_QUERY.where(*where)).mappings()
    return [_trend_row(row, *entries[row["instrument_id"]]) for row in found]


_QUERY = (
    select(
        Measurement.id,
        Measurement.instrument_id,
        Measurement.quantity,
        Measurement.value,
        Measurement.uncertainty,
        Measurement.unit,
        CalibrationSet.configuration,
        CalibrationSet.window_first_night.label("night"),
        Measurement.observed_at,
        Measurement.amplifier,
        Measurement.filter,
        Measurement.method,
        # Picked out by the database: the details may carry a whole photon transfer curve.
        *(Measurement.details[name].as_integer().label(name) for name in ("n_bias", "n_flat", "n_flat_pairs")),
        Measurement.ccd_temperature_c,
        Measurement.remark,
        Measurement.run_id,
        Run.flow_run_id,
        Run.engine,
        Run.superseded_by_id.is_not(None).label("superseded"),
    )
    .join(Run, Measurement.run_id == Run.id)
    .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
    .order_by(Measurement.observed_at, Measurement.id)
)


def _entries(session: Session, instrument: str | None) -> dict[int, tuple[str, dict[str, Any]]]:
    """Return name and limits of every entry version, by its id."""
    query = select(Instrument.id, Instrument.name, Instrument.spec)
    if instrument is not None:
        query = query.where(Instrument.name == instrument)
    return {key: (name, spec) for key, name, spec in session.execute(query)}


def _trend_row(row: RowMapping, instrument: str, spec: Mapping[str, Any]) -> TrendRow:
    limits = limits_of(spec, quantity=row["quantity"], unit=row["unit"])
    return TrendRow(
        **{name: row[name] for name in _STORED},
        instrument=instrument,
        verdict=judge(row["value"], limits=limits, remark=row["remark"]),
        limit_min=limits.min,
        limit_max=limits.max,
    )


_STORED = tuple(name for name in TrendRow.__dataclass_fields__ if name in _QUERY.selected_columns)
"""The columns of a row that are stored; the others follow from the entry in force."""


def limits_of(spec: Mapping[str, Any], *, quantity: str, unit: str) -> Limits:
    """Return the limits of a quantity; the specification names it with its unit (``gain_e_per_adu``)."""
    suffix = "_" + unit.lower().replace("/", "_per_")
    return Limits(**spec.get(quantity if quantity.endswith(suffix) else quantity + suffix, {}))


def judge(value: float, *, limits: Limits, remark: str | None) -> Verdict:
    """Return the verdict on a value."""
    if not limits.admit(value):
        return "bad"
    if remark is not None:
        return "suspect"
    return "unjudged" if limits == Limits() else "ok"
