"""The history of what was measured, judged by the limits in force."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from ccdcore.quantities import Limits, Verdict, judge, limits_of
from db.engine import make_engine, require_schema, session_factory
from db.errors import DatabaseError
from db.export import to_table
from db.judgements.marks import Said, marked_bad, marks, told
from db.runs.current import kept_measurements
from db.schema.models import CalibrationSet, Measurement, Run
from db.schema.rows import Row
from db.schema.upsert import batches
from db.trends.curves import MEASUREMENT, RUN, SET, Curve, Entries, conditions, curves, entry_versions

if TYPE_CHECKING:
    from astropy.table import QTable


@dataclass(slots=True)  # not frozen, for that would take seven times as long to fill in
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
    mark, mark_reason : str or None
        What somebody marked it, ``bad`` or ``good``; why, who and when. One that is marked bad counts in no trend.
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
    mark: Said | None
    mark_reason: str | None

    @property
    def counts(self) -> bool:
        """Whether it says something of its amplifier: it is not marked bad."""
        return self.mark != "bad"


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
    night: date | None = None,
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
    night : date or None
        Only those of the window that begins with this night.
    superseded : bool
        Whether to show also what newer runs took the place of.
    at_most : int or None
        For a plot: about how many points of each curve (instrument, configuration, amplifier, filter, quantity) to
        return. Every outlier and all that is ``bad`` or marked so is among them, whatever their number
        (`ccdcore.trends.thinning`).
    """
    entries = entry_versions(session, instrument)
    which = {"quantity": quantity, "amplifier": amplifier, "configuration": configuration, "filter": filter_name}
    asked_of = entries if instrument else None
    where = conditions(session, which, entries=asked_of, since=since, until=until, superseded=superseded)
    if night is not None:
        where.append(SET.window_first_night == night)
    if at_most is None:
        return _rows(session, entries, *where)
    marked = list(session.scalars(marked_bad("measurement")))
    shown = [key for curve in curves(session, entries, where, known=which) for key in _thinned(curve, at_most, marked)]
    return _in_order(row for ids in batches(shown) for row in _rows(session, entries, MEASUREMENT.id.in_(ids)))


def read_trends(database: str | Path, quantity: str, **which: Any) -> QTable:
    """Return the history of a quantity as a table with units: for notebooks.

    Parameters
    ----------
    database : str or Path
        The home of a service, ``~/ccdwatch`` for example, or the address of its database.
    quantity : str
        ``gain``, ``read_noise``, …
    **which
        As for `trends`: instrument, amplifier, configuration, filter_name, since, until, superseded.

    Returns
    -------
    QTable
        The columns of `TrendRow`, one row a measurement, oldest first. ``value``, ``uncertainty`` and the limits have
        their unit, ``observed_at`` is a `~astropy.time.Time`; what is not known is masked.

    Raises
    ------
    DatabaseError
        If there is no database, or it needs ``ccdwatch db upgrade``.
    """
    from astropy.table import QTable
    from astropy.time import Time

    address = str(database)
    if "://" not in address:
        path = Path(address).expanduser() / "ccdwatch.db"
        if not path.exists():
            raise DatabaseError(f"{path}: no such database: give the home of a service, or an address as in [database]")
        address = f"sqlite:///{path}"
    engine = make_engine(address, make=False)
    try:
        require_schema(engine)
        with session_factory(engine, read_only=True)() as session:
            rows = trends(session, quantity=quantity, **which)
    finally:
        engine.dispose()
    table = QTable(to_table([row.as_dict() for row in rows]) if rows else None)
    if rows:
        table["observed_at"] = Time([row.observed_at for row in rows])
    return table


# All of a measurement that the index of the table holds: its details, which are long, are left alone.
_QUERY = (
    select(
        MEASUREMENT.instrument_id,
        MEASUREMENT.id,
        MEASUREMENT.quantity,
        MEASUREMENT.value,
        MEASUREMENT.uncertainty,
        MEASUREMENT.unit,
        SET.configuration,
        SET.window_first_night,
        MEASUREMENT.observed_at,
        MEASUREMENT.amplifier,
        MEASUREMENT.filter,
        MEASUREMENT.method,
        MEASUREMENT.n_bias,
        MEASUREMENT.n_flat,
        MEASUREMENT.n_flat_pairs,
        MEASUREMENT.ccd_temperature_c,
        MEASUREMENT.remark,
        MEASUREMENT.run_id,
        RUN.flow_run_id,
        RUN.engine,
        RUN.superseded_by_id,
    )
    .join_from(Measurement.__table__, Run.__table__, MEASUREMENT.run_id == RUN.id)
    .join(CalibrationSet.__table__, RUN.calibration_set_id == SET.id)
)


def measurement(session: Session, measurement_id: int) -> TrendRow | None:
    """Return a measurement by its id; None where there is none."""
    return next(iter(_rows(session, entry_versions(session, None), MEASUREMENT.id == measurement_id)), None)


def systematic_uncertainties(session: Session, ids: Iterable[int]) -> dict[int, float]:
    """Return the systematic 1-σ uncertainty of the measurements that have one, by id, in their unit."""
    query = select(Measurement.id, Measurement.details).where(Measurement.id.in_(ids))
    known = {key: details.get("systematic_uncertainty") for key, details in session.execute(query)}
    return {key: one for key, one in known.items() if one}


def measured_by(session: Session, run_id: int) -> list[TrendRow]:
    """Return what a run measured."""
    return _rows(session, entry_versions(session, None), MEASUREMENT.run_id == run_id)


def _rows(session: Session, entries: Entries, *where: ColumnElement[bool]) -> list[TrendRow]:
    """Return rows in full, oldest first. Written for speed: a plot may ask for many thousands."""

    @cache
    def limits(entry: int, quantity: str, unit: str) -> Limits:
        return limits_of(entries[entry][1], quantity=quantity, unit=unit)

    rows, kept, marked = [], kept_measurements(session), marks(session, "measurement")
    found = session.connection().execute(_QUERY.where(*where)).all()
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
                last[1] is not None and key not in kept,
                *told(marked.get(key)),
            )
        )
    return _in_order(rows)


def _in_order(rows: Iterable[TrendRow]) -> list[TrendRow]:
    """Return rows oldest first: sorted here, for the database would sort long rows."""
    return sorted(rows, key=attrgetter("observed_at", "id"))


def _thinned(curve: Curve, at_most: int, marked: Collection[int]) -> list[int]:
    """Return the ids of the measurements of a curve that a plot must show, the marked ones among them."""
    import numpy as np

    from ccdcore.trends.thinning import thinned

    is_bad = np.isin(curve.ids, np.array(marked, np.int64))
    for entry, spec in curve.specs.items():
        limits = limits_of(spec, quantity=curve.quantity, unit=curve.unit)
        low = -math.inf if limits.min is None else limits.min
        high = math.inf if limits.max is None else limits.max
        is_bad |= (curve.entries == entry) & ((curve.values < low) | (curve.values > high))
    shown = thinned(curve.times, curve.values, at_most=at_most, uncertainties=curve.uncertainties, keep=is_bad)
    return [int(key) for key in curve.ids[shown]]
