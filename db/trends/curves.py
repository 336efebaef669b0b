"""The measurements of one quantity as arrays, and where they change: read from the index alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, String, select, type_coerce
from sqlalchemy.orm import Session

from ccdcore.quantities import QUANTITIES
from db.judgements.marks import marked_bad
from db.runs.current import is_current
from db.runs.measurements import BORROWED
from db.schema.models import CalibrationSet, Instrument, Measurement, Outcome, Run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ccdcore.trends.control_chart import ControlChart

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

    def chart(self) -> ControlChart:
        """Return what each value was expected to be, the outliers and the changes (`ccdcore.trends.control_chart`)."""
        from ccdcore.trends.control_chart import follow

        return follow(self.values, self.uncertainties, self.temperatures)


def entry_versions(session: Session, instrument: str | None) -> Entries:
    """Return name and limits of every version of an instrument's entry, or of all instruments', by its id."""
    query = select(Instrument.id, Instrument.name, Instrument.spec)
    if instrument is not None:
        query = query.where(Instrument.name == instrument)
    return {key: (name, spec) for key, name, spec in session.execute(query)}


def conditions(
    session: Session,
    which: Mapping[str, str | None],
    *,
    entries: Iterable[int] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    superseded: bool = False,
    marked: bool = True,
) -> list[ColumnElement[bool]]:
    """Return what measurements must fulfil, `which` by the name of a column; the current ones, unless superseded.

    Those that somebody marked bad are shown, but no change and no notice is found by them: without ``marked`` they
    are left out. What was measured on borrowed biases is no point of a trend: it is one of the night they are of.
    """
    where: list[ColumnElement[bool]] = [RUN.outcome == Outcome.DONE if superseded else is_current(session)]
    if not superseded:
        where.append(MEASUREMENT.method != BORROWED)
    if not marked:
        where.append(MEASUREMENT.id.not_in(marked_bad("measurement")))
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
    return where


_PARTS = (SET.configuration, MEASUREMENT.amplifier, MEASUREMENT.filter, MEASUREMENT.quantity, MEASUREMENT.unit)
"""What makes a curve, besides the instrument."""

# Nothing but what the index of the table holds: rows are long, and of most points nothing else is asked.
_POINTS = (
    select(
        MEASUREMENT.instrument_id,
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


def _pieces(session: Session, query: Select[Any]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield rows as plain tuples: SQLAlchemy's own take a third more time, most of it of the garbage collector."""
    cursor = session.connection().execute(query).cursor
    while cursor is not None and (rows := cursor.fetchmany(_AT_A_TIME)):
        yield list(rows)


def curves(
    session: Session,
    entries: Entries,
    where: Sequence[ColumnElement[bool]],
    *,
    known: Mapping[str, str | None] | None = None,
) -> list[Curve]:
    """Return the measurements that fulfil these `conditions`, by curve.

    ``known`` says which parts of a curve they all share, by the name of a column: a hundred thousand points are then
    read in two thirds of the time.
    """
    import numpy as np

    shared = {name: value for name, value in (known or {}).items() if value is not None}
    if its := QUANTITIES.get(shared.get("quantity", "")):
        shared["unit"] = its.unit
    query = _POINTS.add_columns(*(part for part in _PARTS if part.name not in shared)).where(*where)
    places: dict[tuple[Any, ...], int] = {}
    numbers_of: dict[tuple[Any, ...], int] = {}
    pieces: list[tuple[npt.NDArray[Any], ...]] = []
    for rows in _pieces(session, query):
        entry, ids, times, values, uncertainties, temperatures, *told = zip(*rows, strict=True)
        of = list(zip(entry, *told, strict=True))
        for version, *rest in (key for key in dict.fromkeys(of) if key not in numbers_of):
            others = iter(rest)
            parts = (shared[part.name] if part.name in shared else next(others) for part in _PARTS)
            numbers_of[version, *rest] = places.setdefault((entries[version][0], *parts), len(places))
        numbers = (np.array(column, np.int64) for column in (list(map(numbers_of.__getitem__, of)), ids, entry))
        floats = (np.array(column, np.float64) for column in (values, uncertainties, temperatures))
        pieces.append((*numbers, _seconds(times), *floats))
    return _curves(places, entries, pieces)


def _curves(
    places: Iterable[tuple[Any, ...]], entries: Entries, pieces: Sequence[tuple[npt.NDArray[Any], ...]]
) -> list[Curve]:
    """Take points apart by curve: each piece has the number of the curve, id, entry, time and values of some."""
    import numpy as np

    if not pieces:
        return []
    number, *columns = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((columns[0], columns[2], number))
    ends = np.flatnonzero(np.diff(number[order])) + 1
    result = []
    for key, chosen in zip(places, np.split(order, ends), strict=True):
        of_it = [column[chosen] for column in columns]
        used = {int(one): entries[int(one)][1] for one in np.unique(of_it[1])}
        fields: tuple[Any, ...] = (*key, *of_it, used)
        result.append(Curve(*fields))
    return result
