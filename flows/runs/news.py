"""What is news of trends: told once when something changes, once when it is well again."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from ccdcore.quantities import WATCHED, limits_of
from db.runs.measurements import observed_at, run_measurements
from db.trends.changes import TrendChange, changes_on_record
from db.trends.curves import Curve, conditions, curves, entry_versions
from db.trends.notices import NoticeOnRecord, notices, put_notice

NEWS_FOR = timedelta(days=30)
"""What was observed longer ago is put on record and told to nobody: it is history."""
_SAME = 3.0
"""A level is where it was before, within so many σ."""


def is_news(observed_at: datetime, at: datetime) -> bool:
    """Whether what was observed then is to be told to people, as of a time."""
    return observed_at > at - NEWS_FOR


def raise_notices(session: Session, *, run_id: int, instrument: str, configuration: str, now: datetime) -> int:
    """Put on record what people are to be told of the trends that a run added to; return how many notices that is.

    Only the newest measurement of a trend is news, and each thing is put on record once, whatever is done again.
    """
    own = {row.id for row in run_measurements(session, run_id)}
    entries = entry_versions(session, instrument)
    where = conditions(session, {"configuration": configuration}, entries=entries, marked=False)
    told = notices(session, instrument=instrument)
    n = 0
    for curve in curves(session, entries, where):
        if int(curve.ids[-1]) not in own:
            continue
        earlier = [one for one in told if _curve_of(one) == _curve_of(curve)]
        limits = limits_of(curve.specs[int(curve.entries[-1])], quantity=curve.quantity, unit=curve.unit)
        has_limits = limits.min is not None or limits.max is not None
        found = [_about_limits(session, curve, limits.min, limits.max, earlier)] if has_limits else []
        if has_limits or curve.quantity in WATCHED:
            found.append(_about_changes(session, curve, earlier, is_outside=_is_open(earlier, "outside", "inside")))
        for values in filter(None, found):
            next_try_at = now if is_news(values["observed_at"], now) else None
            n += put_notice(session, curve, values, now=now, next_try_at=next_try_at)
    return n


def _curve_of(one: NoticeOnRecord | Curve) -> tuple[str, str, str | None, str]:
    return one.configuration, one.amplifier, one.filter, one.quantity


def _is_open(earlier: list[NoticeOnRecord], kind: str, end: str) -> NoticeOnRecord | None:
    """Return the last notice of a kind, where its end has not been told."""
    last = next((one for one in reversed(earlier) if one.kind in {kind, end}), None)
    return last if last and last.kind == kind else None


def _about_limits(
    session: Session, curve: Curve, low: float | None, high: float | None, earlier: list[NoticeOnRecord]
) -> dict[str, Any] | None:
    value = float(curve.values[-1])
    is_outside = (low is not None and value < low) or (high is not None and value > high)
    is_open = _is_open(earlier, "outside", "inside")
    if is_outside == (is_open is not None):
        return None
    at = observed_at(session, int(curve.ids[-1]))
    return {
        "kind": "outside" if is_outside else "inside",
        "since": at,
        "observed_at": at,
        "before": is_open and is_open.after,
        "after": value,
        "details": {"limit_min": low, "limit_max": high},
    }


def _about_changes(
    session: Session, curve: Curve, earlier: list[NoticeOnRecord], *, is_outside: NoticeOnRecord | None
) -> dict[str, Any] | None:
    found = curve.chart().changes
    if not found or found[-1].found != curve.ids.size - 1:
        return None
    (change,) = changes_on_record(session, [(curve, found[-1])])
    told = [one for one in earlier if one.kind in {"step", "drift", "back"}]
    if told and told[-1].observed_at >= change.first_at:
        return None  # the same change, measured again
    if is_outside and is_outside.since >= change.first_at:
        return None  # told already, as a value outside its limits
    return {
        "kind": "back" if told and _is_back(told[-1], change) else change.kind,
        "since": change.first_at,
        "observed_at": change.found_at,
        "before": change.before,
        "after": change.after,
        "details": {
            "uncertainty": change.uncertainty,
            "temperature_change_c": change.temperature_change_c,
            "is_new_entry": change.is_new_entry,
        },
    }


def _is_back(last: NoticeOnRecord, change: TrendChange) -> bool:
    """Whether the level is again what it was before the last change."""
    if last.kind == "back" or last.before is None:
        return False
    near = _SAME * math.hypot(change.uncertainty, last.details["uncertainty"])
    return abs(change.after - last.before) <= near
