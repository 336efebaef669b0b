"""The history of what was measured, judged by the limits in force."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, extract, select
from sqlalchemy.orm import Session

from ccdcore.instrument import Limits
from db.models import CalibrationSet, Instrument, Measurement, Outcome, Run
from db.results import Verdict
from db.rows import Row
from db.statements import batches

if TYPE_CHECKING:
    import numpy.typing as npt


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
    filter_name: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    superseded: bool = False,
    at_most: int | None = None,
) -> list[TrendRow]:
    """Return the measurements on record, oldest first.

    Parameters
    ----------
    quantity, instrument, amplifier, configuration, filter_name : str or None
        Only those of this; None for any.
    since, until : datetime or None
        The half-open span of time of observation.
    superseded : bool
        Whether to show also what newer runs took the place of.
    at_most : int or None
        For a plot: about how many points of each curve (instrument, configuration, amplifier, filter, quantity) to
        return. Every outlier and all that is ``bad`` is among them, whatever their number (`ccdcore.thinning`).
    """
    entries = _entries(session, instrument)
    where: list[ColumnElement[bool]] = [Run.outcome == Outcome.DONE]
    for column, wanted in (
        (Measurement.quantity, quantity),
        (Measurement.amplifier, amplifier),
        (CalibrationSet.configuration, configuration),
        (Measurement.filter, filter_name),
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
    if at_most is None:
        return _rows(session, entries, *where)
    shown = _thinned(session, entries, where, at_most)
    found = [row for ids in batches(shown) for row in _rows(session, entries, Measurement.id.in_(ids))]
    return sorted(found, key=lambda row: (row.observed_at, row.id))


Entries = dict[int, tuple[str, dict[str, Any]]]
"""Name and limits of every entry version, by its id."""

# Plain columns: as attributes of a mapped class each row would cost twice the time.
_tables = [one.__table__ for one in (Measurement, Run, CalibrationSet)]
_of, _runs, _sets = (table.c for table in _tables)

_QUERY = (
    select(
        _of.instrument_id,
        _of.id,
        _of.quantity,
        _of.value,
        _of.uncertainty,
        _of.unit,
        _sets.configuration,
        _sets.window_first_night,
        _of.observed_at,
        _of.amplifier,
        _of.filter,
        _of.method,
        # Picked out by the database: the details may carry a whole photon transfer curve.
        *(_of.details[name].as_integer() for name in ("n_bias", "n_flat", "n_flat_pairs")),
        _of.ccd_temperature_c,
        _of.remark,
        _of.run_id,
        _runs.flow_run_id,
        _runs.engine,
        _runs.superseded_by_id,
    )
    .join_from(_tables[0], _tables[1], _of.run_id == _runs.id)
    .join(_tables[2], _runs.calibration_set_id == _sets.id)
    .order_by(_of.observed_at, _of.id)
)

# Nothing but what the index of the table holds: rows are long, and of most points nothing else is asked.
_POINTS = (
    select(
        _of.instrument_id,
        _sets.configuration,
        _of.amplifier,
        _of.filter,
        _of.quantity,
        _of.unit,
        _of.id,
        extract("epoch", _of.observed_at),
        _of.value,
        _of.uncertainty,
    )
    .join_from(_tables[0], _tables[1], _of.run_id == _runs.id)
    .join(_tables[2], _runs.calibration_set_id == _sets.id)
)


def _entries(session: Session, instrument: str | None) -> Entries:
    query = select(Instrument.id, Instrument.name, Instrument.spec)
    if instrument is not None:
        query = query.where(Instrument.name == instrument)
    return {key: (name, spec) for key, name, spec in session.execute(query)}


def _rows(session: Session, entries: Entries, *where: ColumnElement[bool]) -> list[TrendRow]:
    """Return rows in full. Written for speed: a plot may ask for many thousands."""

    @cache
    def limits(entry: int, quantity: str, unit: str) -> Limits:
        return limits_of(entries[entry][1], quantity=quantity, unit=unit)

    rows = []
    found = session.connection().execute(_QUERY.where(*where))
    for entry, key, quantity, value, uncertainty, unit, configuration, night, observed_at, *rest in found:
        amplifier, filter_name, method, n_bias, n_flat, n_pairs, temperature, remark, run_id, flow_run_id, *last = rest
        inside = limits(entry, quantity, unit)
        rows.append(
            TrendRow(
                key,
                quantity,
                value,
                uncertainty,
                unit,
                entries[entry][0],
                configuration,
                night,
                observed_at,
                amplifier,
                filter_name,
                method,
                n_bias,
                n_flat,
                n_pairs,
                temperature,
                judge(value, limits=inside, remark=remark),
                remark,
                inside.min,
                inside.max,
                run_id,
                flow_run_id,
                last[0],
                last[1] is not None,
            )
        )
    return rows


def _thinned(session: Session, entries: Entries, where: Sequence[ColumnElement[bool]], at_most: int) -> list[int]:
    """Return the ids of the measurements that a plot must show."""
    import numpy as np

    from ccdcore.thinning import thinned

    found = session.connection().execute(_POINTS.where(*where)).all()
    if not found:
        return []
    *parts, ids, times, values, uncertainties = zip(*found, strict=True)
    time, value, uncertainty = (np.array(column, float) for column in (times, values, uncertainties))
    is_bad = np.zeros(len(found), bool)
    curves: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for (entry, *curve), places in _places(zip(*parts, strict=True)).items():
        name, spec = entries[entry]
        curves[name, *curve] += places
        is_bad[places] = _outside(value[places], limits_of(spec, quantity=curve[-2], unit=curve[-1]))
    shown: list[int] = []
    for of in map(np.array, curves.values()):
        picked = thinned(time[of], value[of], at_most=at_most, uncertainties=uncertainty[of], keep=is_bad[of])
        shown += [ids[place] for place in of[picked]]
    return shown


def _places(keys: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], list[int]]:
    """Return where in a list each key stands."""
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return places


def _outside(values: npt.NDArray[Any], limits: Limits) -> npt.NDArray[Any]:
    low = -math.inf if limits.min is None else limits.min
    high = math.inf if limits.max is None else limits.max
    return (values < low) | (values > high)


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
