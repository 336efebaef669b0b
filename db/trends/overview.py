"""How every amplifier stands: its latest values, how they are judged, since when, and what came before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, Select, String, exists, extract, func, literal, select, true, union_all
from sqlalchemy.orm import Session, aliased

from ccdcore.quantities import QUANTITIES, Verdict, judge, limits_of
from ccdcore.text import natural_key
from db.judgements.marks import marked_bad
from db.runs.current import is_current
from db.runs.measurements import BORROWED
from db.schema.models import CalibrationSet, Instrument, Measurement, Outcome, Run
from db.schema.rows import Row

RECENT = 30
"""Windows of nights of each camera and configuration that are looked at."""
LAST = 5
"""Those that say which series there are."""


@dataclass(frozen=True, slots=True)
class AmplifierStatus(Row):
    """How one quantity of one amplifier stands.

    Parameters
    ----------
    instrument, configuration, amplifier, filter : str
        Of what; the filter is None where it holds for all of them.
    quantity, unit : str
        What was measured.
    id, run_id : int
        Of the latest measurement and its run.
    value, uncertainty : float, float or None
        The latest value, in ``unit``, 1-σ.
    night, observed_at : date, datetime
        When that was.
    verdict, remark : str, str or None
        How it is judged by the limits in force, and what is odd about it.
    since : date
        First night of the unbroken row of nights, among the recent ones, that were judged alike.
    limit_min, limit_max : float or None
        Those limits.
    recent : tuple of float
        Values of the recent windows, oldest first, the latest the last.
    """

    instrument: str
    configuration: str
    amplifier: str
    filter: str | None
    quantity: str
    unit: str
    id: int
    run_id: int
    value: float
    uncertainty: float | None
    night: date
    observed_at: datetime
    verdict: Verdict
    remark: str | None
    since: date
    limit_min: float | None
    limit_max: float | None
    recent: tuple[float, ...]


def overview(session: Session, *, quantities: Collection[str], instrument: str | None = None) -> list[AmplifierStatus]:
    """Return how the amplifiers stand that were measured in the recent windows of their camera and configuration.

    What is marked bad tells nothing of that.

    Parameters
    ----------
    quantities : collection of str
        Which quantities to look at.
    instrument : str, optional
        Only this one.

    Returns
    -------
    list of AmplifierStatus
        By instrument, configuration, amplifier, filter and quantity.
    """
    found = session.connection().execute(_query(session, quantities, instrument)).all()
    of_series: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in found:
        of_series[tuple(row[:5])].append(row)
    specs: dict[str, dict[int, Any]] = defaultdict(dict)
    for name, key, spec in session.execute(select(Instrument.name, Instrument.id, Instrument.spec)):
        specs[name][key] = spec
    ordered = sorted(of_series.items(), key=lambda item: tuple(natural_key(str(one)) for one in item[0]))
    return [_status(rows, specs[rows[0].instrument]) for _, rows in ordered]


def _query(session: Session, quantities: Collection[str], instrument: str | None) -> Select[Any]:
    # Plain columns: as attributes of a mapped class each row would cost more.
    of, set_ = Measurement.__table__.c, CalibrationSet.__table__.c
    return (
        select(
            set_.instrument,
            set_.configuration,
            of.amplifier,
            of.filter,
            of.quantity,
            of.unit,
            of.id,
            of.run_id,
            of.instrument_id,
            of.value,
            of.uncertainty,
            set_.window_first_night.label("night"),
            extract("epoch", of.observed_at).label("observed_s"),
            of.remark,
        )
        .select_from(Run)
        .join(CalibrationSet, Run.calibration_set_id == set_.id)
        .join(Measurement, of.run_id == Run.id)
        .where(*_of_recent_sets(session, RECENT, instrument), of.quantity.in_(quantities))
        .where(of.id.not_in(marked_bad("measurement")), of.method != BORROWED)
        .order_by(of.observed_at, of.id)
    )


def _of_recent_sets(session: Session, windows: int, instrument: str | None = None) -> list[ColumnElement[bool]]:
    """Return what the current runs of the newest windows of each camera and configuration fulfil.

    There are few such windows, found without a look at the others; runs are found by them, and measurements by runs.
    Windows count of which something was made: those that wait, as after an outage, say nothing of the camera.
    """
    one, newer = aliased(CalibrationSet), aliased(CalibrationSet)
    oldest = (
        select(newer.window_first_night)
        .where(newer.instrument == one.instrument, newer.configuration == one.configuration)
        .where(exists().where(Run.calibration_set_id == newer.id, Run.outcome == Outcome.DONE))
        .order_by(newer.window_first_night.desc())
        .offset(windows - 1)
        .limit(1)
        .scalar_subquery()
    )
    cameras = select(one.instrument, one.configuration, func.coalesce(oldest, date.min).label("oldest"))
    if instrument is not None:
        cameras = cameras.where(one.instrument == instrument)
    of = cameras.group_by(one.instrument, one.configuration).subquery()
    is_same = (CalibrationSet.instrument == of.c.instrument) & (CalibrationSet.configuration == of.c.configuration)
    recent = select(CalibrationSet.id).join(of, is_same).where(CalibrationSet.window_first_night >= of.c.oldest)
    return [Run.calibration_set_id.in_(recent), is_current(session)]


def _status(rows: Sequence[Any], specs: Mapping[int, Mapping[str, Any]]) -> AmplifierStatus:
    latest = rows[-1]
    limits = {key: limits_of(spec, quantity=latest.quantity, unit=latest.unit) for key, spec in specs.items()}

    def verdict(row: Any) -> Verdict:
        return judge(row.value, limits=limits[row.instrument_id], remark=row.remark)

    now = verdict(latest)
    *_, first_alike = takewhile(lambda row: verdict(row) == now, reversed(rows))
    return AmplifierStatus(
        instrument=latest.instrument,
        configuration=latest.configuration,
        amplifier=latest.amplifier,
        filter=latest.filter,
        quantity=latest.quantity,
        unit=latest.unit,
        id=latest.id,
        run_id=latest.run_id,
        value=latest.value,
        uncertainty=latest.uncertainty,
        night=latest.night,
        observed_at=datetime.fromtimestamp(float(latest.observed_s), UTC),
        verdict=now,
        remark=latest.remark,
        since=first_alike.night,
        limit_min=limits[latest.instrument_id].min,
        limit_max=limits[latest.instrument_id].max,
        recent=tuple(row.value for row in rows),
    )


@dataclass(frozen=True, slots=True)
class Series:
    """What one series of measurements is of."""

    instrument: str
    configuration: str
    amplifier: str
    filter: str | None
    quantity: str


def series(session: Session) -> list[Series]:
    """Return the series that the last windows of each camera and configuration added to, in order."""
    columns = CalibrationSet.instrument, CalibrationSet.configuration, Measurement.amplifier, Measurement.filter
    query = (
        select(*columns, Measurement.quantity)
        .select_from(Run)
        .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
        .join(Measurement, Measurement.run_id == Run.id)
        .where(*_of_recent_sets(session, LAST))
        .distinct()
    )
    found = [Series(*row) for row in session.execute(query)]
    return sorted(
        found,
        key=lambda one: (one.instrument, one.configuration, natural_key(one.amplifier), one.filter or "", one.quantity),
    )


def measured(session: Session) -> list[tuple[str, str]]:
    """Return of which cameras which quantities were ever measured, in order; each is one look into an index."""
    names = union_all(*(select(literal(name, String).label("quantity")) for name in QUANTITIES)).subquery()
    of = Measurement.instrument_id == Instrument.id, Measurement.quantity == names.c.quantity
    query = select(Instrument.name, names.c.quantity).join(names, true()).where(exists().where(*of)).distinct()
    return sorted((camera, quantity) for camera, quantity in session.execute(query))
