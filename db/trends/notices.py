"""What people are to be told of trends: once when something changes, once when it is well again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from ccdcore.quantities import limits_of
from db.schema.models import Measurement, Notice
from db.schema.rows import Row
from db.schema.upsert import insert
from db.trends.changes import TrendChange, changes_on_record
from db.trends.curves import Curve, conditions, curves, entry_versions

OFTEN_WATCHED = ("gain", "read_noise")
"""Quantities whose steps and drifts are told; besides all that have limits."""
NEWS_FOR = timedelta(days=30)
"""What was observed longer ago is put on record and told to nobody: it is history."""
_SAME = 3.0
"""A level is where it was before, within so many σ."""


@dataclass(frozen=True, slots=True)
class NoticeOnRecord(Row):
    """A notice.

    Parameters
    ----------
    id, kind : int, str
        Its number, and what it is: ``outside`` its limits, ``inside`` again, ``step``, ``drift``, or ``back``
        where it was before.
    instrument, configuration, amplifier, filter, quantity, unit : str
        Of what; the filter is None where it holds for all of them.
    measurement_id : int
        The measurement that made it certain.
    since, observed_at : datetime
        Times of observation of the first measurement that shows it, and of that one.
    before, after : float or None, float
        The level before, and the level since or the value outside the limits, in `unit`.
    details : dict
        ``limit_min``, ``limit_max``; or ``uncertainty`` of the change, ``temperature_change_c``, ``is_new_entry``.
    raised_at : datetime
        When it was put on record.
    told : dict
        When each receiver, by the digest of its address, was told.
    tries : int
        How often telling failed.
    next_try_at : datetime or None
        When it is to be told; None where there is nothing more to tell.
    """

    id: int
    kind: str
    instrument: str
    configuration: str
    amplifier: str
    filter: str | None
    quantity: str
    unit: str
    measurement_id: int
    since: datetime
    observed_at: datetime
    before: float | None
    after: float
    details: dict[str, Any]
    raised_at: datetime
    told: dict[str, Any]
    tries: int
    next_try_at: datetime | None


def notices(
    session: Session,
    *,
    instrument: str | None = None,
    due_at: datetime | None = None,
    believed_until: datetime | None = None,
) -> list[NoticeOnRecord]:
    """Return the notices, oldest first: all, or the news that is to be told by a time.

    One that is to be told after ``believed_until`` is told now: a clock that was ahead said so.
    """
    columns = [getattr(Notice, name) for name in NoticeOnRecord.__dataclass_fields__]
    query = select(*columns).order_by(Notice.id)
    if instrument is not None:
        query = query.where(Notice.instrument == instrument)
    if due_at is not None:
        is_due = Notice.next_try_at <= due_at
        if believed_until is not None:
            is_due = or_(is_due, Notice.next_try_at > believed_until)
        query = query.where(is_due, Notice.raised_at > due_at - NEWS_FOR)
    return [NoticeOnRecord(*row) for row in session.execute(query)]


def raise_notices(session: Session, *, run_id: int, instrument: str, configuration: str, now: datetime) -> int:
    """Put on record what people are to be told of the trends that a run added to; return how many notices that is.

    Only the newest measurement of a trend is news, and each thing is put on record once, whatever is done again.
    """
    own = set(session.scalars(select(Measurement.id).where(Measurement.run_id == run_id)))
    entries = entry_versions(session, instrument)
    where = conditions(session, {"configuration": configuration}, entries=entries)
    told = notices(session, instrument=instrument)
    n = 0
    for curve in curves(session, entries, where):
        if int(curve.ids[-1]) not in own:
            continue
        earlier = [one for one in told if _curve_of(one) == _curve_of(curve)]
        limits = limits_of(curve.specs[int(curve.entries[-1])], quantity=curve.quantity, unit=curve.unit)
        has_limits = limits.min is not None or limits.max is not None
        found = [_about_limits(session, curve, limits.min, limits.max, earlier)] if has_limits else []
        if has_limits or curve.quantity in OFTEN_WATCHED:
            found.append(_about_changes(session, curve, earlier, is_outside=_is_open(earlier, "outside", "inside")))
        for values in filter(None, found):
            n += _put(session, curve, values, now=now)
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
    at = session.scalars(select(Measurement.observed_at).where(Measurement.id == int(curve.ids[-1]))).one()
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


def _put(session: Session, curve: Curve, values: dict[str, Any], *, now: datetime) -> int:
    is_news = values["observed_at"] > now - NEWS_FOR
    statement = insert(session, Notice).values(
        **values,
        **{name: getattr(curve, name) for name in ("instrument", "configuration", "amplifier", "filter")},
        quantity=curve.quantity,
        unit=curve.unit,
        measurement_id=int(curve.ids[-1]),
        raised_at=now,
        told={},
        tries=0,
        next_try_at=now if is_news else None,
    )
    return len(session.scalars(statement.on_conflict_do_nothing().returning(Notice.id)).all())


def record_told(session: Session, notice_id: int, *, told: dict[str, Any], next_try_at: datetime | None) -> None:
    """Record who was told of a notice, and when it is tried again where somebody could not be; None where all were."""
    tries = Notice.tries + int(next_try_at is not None)
    values = {"told": told, "next_try_at": next_try_at, "tries": tries}
    session.execute(update(Notice).where(Notice.id == notice_id).values(**values))
