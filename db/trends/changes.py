"""Where the measurements of a quantity change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema.models import CalibrationSet, Measurement, Run
from db.schema.rows import Row
from db.schema.upsert import batches
from db.trends.curves import MEASUREMENT, RUN, SET, Curve, conditions, curves, entry_versions

if TYPE_CHECKING:
    from ccdcore.trends.control_chart import Change


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
    """Return the steps and drifts of the current measurements, oldest first.

    All measurements are looked at, however old: what is expected of a night follows from all before it. What is marked
    bad is not.

    Parameters
    ----------
    quantity, instrument, amplifier, configuration, filter_name : str or None
        Only those of this; None for any.
    """
    entries = entry_versions(session, instrument)
    which = {"quantity": quantity, "amplifier": amplifier, "configuration": configuration, "filter": filter_name}
    where = conditions(session, which, entries=entries if instrument else None, marked=False)
    of = curves(session, entries, where, known=which)
    found = [(curve, change) for curve in of for change in curve.chart().changes]
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
