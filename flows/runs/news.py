"""What is news of trends: told once when something changes, once when it is well again.

Nights come in any order, and several at once: after an outage, in a backfill. So all of a trend is looked at whenever
a run has added to it, and what is on record already tells what is no news any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from ccdcore.quantities import WATCHED, Limits, limits_of
from db.runs.measurements import observed_at, run_measurements
from db.trends.changes import TrendChange, changes_on_record
from db.trends.curves import Curve, conditions, curves, entry_versions
from db.trends.notices import NoticeOnRecord, hold_notices_of, notices, put_notice

NEWS_FOR = timedelta(days=30)
"""What was observed longer ago, and is so no longer, is put on record and told to nobody: it is history."""
_SAME = 3.0
"""A level is where it was before, within so many σ."""
_NIGHT = timedelta(hours=12)
"""By less than this the time of a measurement may differ when its night is measured again."""

Values = dict[str, Any]


def raise_notices(session: Session, *, run_id: int, instrument: str, configuration: str, now: datetime) -> int:
    """Put on record what people are to be told of the trends that a run added to; return how many notices that is.

    Each thing is put on record once, whatever is done again, and however many nights came at once.
    """
    own = frozenset(row.id for row in run_measurements(session, run_id))
    hold_notices_of(session, instrument)  # another run that is done just now looks at the same nights
    entries = entry_versions(session, instrument)
    where = conditions(session, {"configuration": configuration}, entries=entries, marked=False)
    told = notices(session, instrument=instrument)
    n = 0
    for curve in curves(session, entries, where):
        if own.isdisjoint(curve.ids.tolist()):
            continue
        earlier = [one for one in told if _curve_of(one) == _curve_of(curve)]
        for values in _news_of(session, curve, earlier, own, now):
            is_history = not values.pop("is_in_force") and values["observed_at"] <= now - NEWS_FOR
            del values["begins_at"]
            n += put_notice(session, curve, values, now=now, next_try_at=None if is_history else now)
    return n


def _curve_of(one: NoticeOnRecord | Curve) -> tuple[str, str, str | None, str]:
    return one.configuration, one.amplifier, one.filter, one.quantity


def _news_of(
    session: Session, curve: Curve, earlier: Sequence[NoticeOnRecord], own: frozenset[int], now: datetime
) -> Iterator[Values]:
    """Yield what is not on record of a curve: the columns of a notice, whether it is in force today, when it began."""
    limits = limits_of(curve.specs[int(curve.entries[-1])], quantity=curve.quantity, unit=curve.unit)
    has_limits = limits != Limits()
    found = list(_about_limits(session, curve, limits, earlier, own, now)) if has_limits else []
    changes = []
    if has_limits or curve.quantity in WATCHED:
        is_fresh = float(curve.times[-1]) > (now - NEWS_FOR).timestamp()
        changes = list(_about_changes(session, curve, earlier, found, is_fresh=is_fresh))
    yield from found
    yield from changes


def _about_limits(
    session: Session,
    curve: Curve,
    limits: Limits,
    earlier: Sequence[NoticeOnRecord],
    own: frozenset[int],
    now: datetime,
) -> Iterator[Values]:
    """Yield excursions that are over and were never told, and how the last value stands if that is not on record."""

    def values(kind: str, index: int, before: float | None, begins: int | None = None) -> Values:
        at = observed_at(session, int(curve.ids[index]))
        return {
            "kind": kind,
            "measurement_id": int(curve.ids[index]),
            "since": at,
            "observed_at": at,
            "before": before,
            "after": float(curve.values[index]),
            "details": {"limit_min": limits.min, "limit_max": limits.max},
            "is_in_force": False,
            "begins_at": at if begins is None else observed_at(session, int(curve.ids[begins])),
        }

    told = [one for one in earlier if one.kind in {"outside", "inside"}]
    spans = list(_excursions([not limits.admit(value) for value in curve.values.tolist()]))
    ids, last = curve.ids.tolist(), curve.ids.size - 1
    for first, end in spans:
        is_new = curve.times[first] > (now - NEWS_FOR).timestamp() and not own.isdisjoint(ids[first:end])
        if end <= last and is_new and not _is_told(told, curve, first, end):
            yield values("outside", first, None)
            yield values("inside", end, float(curve.values[first]))
    is_open = _open(told)
    is_outside = bool(spans) and spans[-1][1] > last
    if is_outside and is_open is None:
        first = spans[-1][0]
        yield values("outside", first if ids[first] in own else last, None, first)
    elif is_open is not None and not is_outside:
        yield values("inside", last, is_open.after)


def _excursions(outside: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield where rows of values outside their limits begin and end, the end not included."""
    first = None
    for index, is_outside in enumerate((*outside, False)):
        if is_outside and first is None:
            first = index
        elif not is_outside and first is not None:
            yield first, index
            first = None


def _is_told(told: Sequence[NoticeOnRecord], curve: Curve, first: int, end: int) -> bool:
    """Whether it is on record that values were outside their limits then, as they were or as they are measured now."""
    since, until = curve.times[first] - _NIGHT.total_seconds(), curve.times[end - 1] + _NIGHT.total_seconds()
    return any(one.kind == "outside" and since <= one.observed_at.timestamp() <= until for one in told)


def _open(told: Sequence[NoticeOnRecord]) -> NoticeOnRecord | None:
    """Return the last notice of values outside their limits, where the end of that was not told.

    What came to light later and was before it says nothing of how things stand.
    """
    last: NoticeOnRecord | None = None
    for one in told:
        if last is None or one.observed_at >= last.observed_at - _NIGHT:
            last = one
    return last if last is not None and last.kind == "outside" else None


@dataclass(frozen=True, slots=True)
class _Level:
    """A change of level that is on record: when it was certain, what the level was before, and by how much it errs."""

    kind: str
    observed_at: datetime
    before: float | None
    uncertainty: float


def _about_changes(
    session: Session,
    curve: Curve,
    earlier: Sequence[NoticeOnRecord],
    crossings: Sequence[Values],
    *,
    is_fresh: bool,
) -> Iterator[Values]:
    """Yield the steps and drifts that are not on record.

    One that was told is that change of now in whose time it was certain: which value shows a change first, and which
    one makes it certain, may be others once more nights have come. What was told as a value that crossed its limits is
    told; ``crossings``, of which it is told now, get the change among their details.
    """
    found = curve.chart().changes
    if not found:
        return
    rows = sorted(changes_on_record(session, [(curve, one) for one in found]), key=lambda row: row.first_at)
    levels = [
        _Level(one.kind, one.observed_at, one.before, one.details["uncertainty"])
        for one in earlier
        if one.kind in {"step", "drift", "back"}
    ]
    with_limits = [one.details["change"] for one in earlier if "change" in one.details]
    levels += [
        _Level(one["kind"], datetime.fromisoformat(one["since"]), one["before"], one["uncertainty"])
        for one in with_limits
    ]
    told = {_in_whose_time(rows, one.observed_at) for one in levels}
    crossed = [one.since for one in earlier if one.kind in {"outside", "inside"}]
    for place, change in enumerate(rows):
        together = [one for one in crossings if change.first_at <= one["begins_at"] <= change.found_at]
        if place not in told and together:
            levels_of = {name: getattr(change, name) for name in ("kind", "before", "after")}
            together[0]["details"]["change"] = {**levels_of, "since": change.first_at.isoformat(), **_about(change)}
        if place in told or together or any(change.first_at <= one <= change.found_at for one in crossed):
            continue
        before = max(
            (one for one in levels if one.observed_at < change.found_at), key=lambda one: one.observed_at, default=None
        )
        kind = "back" if before and _is_back(before, change) else change.kind
        levels.append(_Level(kind, change.found_at, change.before, change.uncertainty))
        yield {
            "kind": kind,
            "measurement_id": change.found_id,
            "since": change.first_at,
            "observed_at": change.found_at,
            "before": change.before,
            "after": change.after,
            "details": _about(change),
            "is_in_force": is_fresh and place == len(rows) - 1,
            "begins_at": change.first_at,
        }


def _about(change: TrendChange) -> Values:
    """Return what is told of a change beside its levels."""
    names = "uncertainty", "temperature_change_c", "is_new_entry"
    return {name: getattr(change, name) for name in names}


def _in_whose_time(rows: Sequence[TrendChange], at: datetime) -> int | None:
    """Return the last change that had begun by a time; None where none had."""
    return max((place for place, row in enumerate(rows) if row.first_at <= at + _NIGHT), default=None)


def _is_back(last: _Level, change: TrendChange) -> bool:
    """Whether the level is again what it was before the last change."""
    if last.kind == "back" or last.before is None:
        return False
    near = _SAME * math.hypot(change.uncertainty, last.uncertainty)
    return abs(change.after - last.before) <= near
