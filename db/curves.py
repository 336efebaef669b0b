"""The measurements of one quantity as arrays, and where they change: read from the index alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, String, select, type_coerce
from sqlalchemy.orm import Session

from db.models import CalibrationSet, Instrument, Measurement, Outcome, Run
from db.results import QUANTITIES
from db.rows import Row
from db.statements import batches

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ccdcore.changes import Change, Course

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

# Plain columns: as attributes of a mapped class each row would cost twice the time.
MEASUREMENT, RUN, SET = (one.__table__.c for one in (Measurement, Run, CalibrationSet))

Entries = dict[int, tuple[str, dict[str, Any]]]
"""Name and limits of every entry version, by its id."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """All values of one quantity of one amplifier, oldest first.

    Parameters
    ----------
    instrument, configuration, amplifier, filter, quantity, unit : str
        Of what; the filter is None where it holds for all of them.
    ids, entries : ndarray of int, shape (n,)
        Of the measurements, and of the versions of the instrument's entry.
    times, values, uncertainties, temperatures : ndarray of float, shape (n,)
        Seconds since 1970 (UTC), in `unit`, 1-σ, °C; NaN where unknown.
    specs : mapping
        Limits of each version of the entry.
    """

    instrument: str
    configuration: str
    amplifier: str
    filter: str | None
    quantity: str
    unit: str
    ids: Integers
    entries: Integers
    times: Floats
    values: Floats
    uncertainties: Floats
    temperatures: Floats
    specs: Mapping[int, Mapping[str, Any]]

    def course(self) -> Course:
        """Return what each value was expected to be, the outliers and the changes (`ccdcore.changes`)."""
        from ccdcore.changes import follow

        return follow(self.values, self.uncertainties, self.temperatures)


@dataclass(frozen=True, slots=True)
class TrendChange(Row):
    """A change of level of one quantity of one amplifier.

    Parameters
    ----------
    instrument, configuration, amplifier, filter, quantity, unit : str
        Of what.
    kind : str
        ``step`` or ``drift``.
    since : date
        First night that shows it.
    first_id, found_id : int
        Measurement that shows it first, and the one that made it certain.
    first_at, found_at : datetime
        Their times of observation.
    before, after, uncertainty : float
        The level before and since, and the 1-σ uncertainty of the difference, in `unit`.
    temperature_change_c : float or None
        How much warmer the detector has been since.
    is_new_entry : bool
        Whether a new version of the instrument's entry holds since then, or since a night or two before or after.
    """

    instrument: str
    configuration: str
    amplifier: str
    filter: str | None
    quantity: str
    unit: str
    kind: Literal["step", "drift"]
    since: date
    first_id: int
    found_id: int
    first_at: datetime
    found_at: datetime
    before: float
    after: float
    uncertainty: float
    temperature_change_c: float | None
    is_new_entry: bool


def changes(
    session: Session,
    *,
    quantity: str | None = None,
    instrument: str | None = None,
    amplifier: str | None = None,
    configuration: str | None = None,
    filter_name: str | None = None,
) -> list[TrendChange]:
    """Return the steps and drifts of the standing measurements, oldest first.

    All measurements are looked at, however old: what is expected of a night follows from all before it.

    Parameters
    ----------
    quantity, instrument, amplifier, configuration, filter_name : str or None
        Only those of this; None for any.
    """
    entries = entry_versions(session, instrument)
    which = {"quantity": quantity, "amplifier": amplifier, "configuration": configuration, "filter": filter_name}
    where = conditions(which, entries=entries if instrument else None)
    found = [(curve, change) for curve in curves(session, entries, where) for change in curve.course().changes]
    return changes_on_record(session, found)


def changes_on_record(session: Session, found: Sequence[tuple[Curve, Change]]) -> list[TrendChange]:
    """Return changes of curves as rows, oldest first."""
    ids = {int(curve.ids[at]) for curve, change in found for at in (change.first, change.found)}
    query = select(MEASUREMENT.id, MEASUREMENT.observed_at, SET.window_first_night).join_from(
        Measurement.__table__, Run.__table__, MEASUREMENT.run_id == RUN.id
    )
    query = query.join(CalibrationSet.__table__, RUN.calibration_set_id == SET.id)
    seen = {
        key: (when, night)
        for some in batches(ids)
        for key, when, night in session.connection().execute(query.where(MEASUREMENT.id.in_(some)))
    }
    rows = [_on_record(curve, change, seen) for curve, change in found]
    return sorted(rows, key=lambda row: (row.first_at, row.first_id))


def _on_record(curve: Curve, change: Change, seen: Mapping[int, tuple[datetime, date]]) -> TrendChange:
    first, found = int(curve.ids[change.first]), int(curve.ids[change.found])
    near = curve.entries[max(0, change.first - 2) : change.first + 3]
    warmer = change.temperature_change
    return TrendChange(
        curve.instrument,
        curve.configuration,
        curve.amplifier,
        curve.filter,
        curve.quantity,
        curve.unit,
        change.kind,
        seen[first][1],
        first,
        found,
        seen[first][0],
        seen[found][0],
        change.before,
        change.after,
        change.uncertainty,
        None if math.isnan(warmer) else warmer,
        bool((near != near[0]).any()),
    )


def entry_versions(session: Session, instrument: str | None) -> Entries:
    """Return name and limits of every version of an instrument's entry, or of all instruments', by its id."""
    query = select(Instrument.id, Instrument.name, Instrument.spec)
    if instrument is not None:
        query = query.where(Instrument.name == instrument)
    return {key: (name, spec) for key, name, spec in session.execute(query)}


def conditions(
    which: Mapping[str, str | None],
    *,
    entries: Iterable[int] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    superseded: bool = False,
) -> list[ColumnElement[bool]]:
    """Return what measurements must fulfil, `which` by the name of a column; those that stand, unless superseded."""
    where: list[ColumnElement[bool]] = [RUN.outcome == Outcome.DONE]
    if which.get("quantity") is None:  # all are named, so that the index leads to the amplifier and the time of each
        where.append(MEASUREMENT.quantity.in_(QUANTITIES))
    for name, value in which.items():
        if value is not None:
            where.append((SET if name == "configuration" else MEASUREMENT)[name] == value)
    if entries is not None:
        where.append(MEASUREMENT.instrument_id.in_(list(entries)))
    if since is not None:
        where.append(MEASUREMENT.observed_at >= since)
    if until is not None:
        where.append(MEASUREMENT.observed_at < until)
    if not superseded:
        where.append(RUN.superseded_by_id.is_(None))
    return where


# Nothing but what the index of the table holds: rows are long, and of most points nothing else is asked.
_POINTS = (
    select(
        MEASUREMENT.instrument_id,
        SET.configuration,
        MEASUREMENT.amplifier,
        MEASUREMENT.filter,
        MEASUREMENT.quantity,
        MEASUREMENT.unit,
        MEASUREMENT.id,
        type_coerce(MEASUREMENT.observed_at, String),  # as the database hands it over: see _seconds
        MEASUREMENT.value,
        MEASUREMENT.uncertainty,
        MEASUREMENT.ccd_temperature_c,
    )
    .join_from(Measurement.__table__, Run.__table__, MEASUREMENT.run_id == RUN.id)
    .join(CalibrationSet.__table__, RUN.calibration_set_id == SET.id)
)


def _seconds(times: Sequence[str | datetime]) -> Floats:
    """Return seconds since 1970: SQLite hands over text, which numpy reads ten times as fast as anybody else."""
    import numpy as np

    if isinstance(times[0], str):
        return np.array(times, "datetime64[us]").astype(np.float64) / 1e6
    return np.array([when.timestamp() for when in times if isinstance(when, datetime)])


_AT_A_TIME = 2000
"""Rows that become arrays together: those of a long series would keep the garbage collector busy."""


def curves(session: Session, entries: Entries, where: Sequence[ColumnElement[bool]]) -> list[Curve]:
    """Return the measurements that fulfil these `conditions`, by curve."""
    import numpy as np

    places: dict[tuple[Any, ...], int] = {}
    known: dict[tuple[Any, ...], int] = {}
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    for rows in session.connection().execute(_POINTS.where(*where)).partitions(_AT_A_TIME):
        *parts_of_key, ids, times, values, uncertainties, temperatures = zip(*rows, strict=True)
        of = list(zip(*parts_of_key, strict=True))
        for entry, *rest in (key for key in dict.fromkeys(of) if key not in known):
            known[entry, *rest] = places.setdefault((entries[entry][0], *rest), len(places))
        numbers = (np.array(column, np.int64) for column in (list(map(known.__getitem__, of)), ids, parts_of_key[0]))
        floats = (np.array(column, np.float64) for column in (values, uncertainties, temperatures))
        parts.append((*numbers, _seconds(times), *floats))
    if not parts:
        return []
    place, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((columns[0], columns[2], place))
    ends = np.searchsorted(place[order], np.arange(len(places)), side="right")
    specs = {key: spec for key, (_, spec) in entries.items()}
    result = []
    for key, chosen in zip(places, np.split(order, ends[:-1]), strict=True):
        of_it = [column[chosen] for column in columns]
        used = {int(one): specs[int(one)] for one in np.unique(of_it[1])}
        fields: tuple[Any, ...] = (*key, *of_it, used)
        result.append(Curve(*fields))
    return result
