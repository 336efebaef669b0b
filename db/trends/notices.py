"""Notices on record: what people are told of trends, and who was told. What is news is for the floor above."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from db.judgements.marks import marked_bad
from db.schema.models import Instrument, Notice
from db.schema.rows import Row
from db.schema.upsert import insert
from db.trends.curves import Curve


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
        ``limit_min``, ``limit_max``, and ``change`` where one is told with it, which has all of that and its kind,
        levels and time; or ``uncertainty`` of the change, ``temperature_change_c``, ``is_new_entry``.
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


def notices(session: Session, *, instrument: str | None = None) -> list[NoticeOnRecord]:
    """Return the notices, oldest first."""
    return _notices(session, *([Notice.instrument == instrument] if instrument is not None else []))


def due_notices(
    session: Session, *, at: datetime, believed_until: datetime, raised_since: datetime
) -> list[NoticeOnRecord]:
    """Return those raised since a time that are to be told by now, oldest first.

    One that is to be told after ``believed_until`` is told now: a clock that was ahead said so. Of a measurement that
    is marked bad nothing is told.
    """
    is_due = or_(Notice.next_try_at <= at, Notice.next_try_at > believed_until)
    is_marked = Notice.measurement_id.in_(marked_bad("measurement"))
    return _notices(session, is_due, Notice.raised_at > raised_since, ~is_marked)


def standing_notices(session: Session) -> list[NoticeOnRecord]:
    """Return the notices of what has not ended, oldest first: the last value outside limits, the last step or drift.

    None of a measurement that is marked bad.
    """
    last: dict[tuple[object, ...], NoticeOnRecord] = {}
    for one in _notices(session, Notice.measurement_id.not_in(marked_bad("measurement"))):
        is_of_limits = one.kind in {"outside", "inside"}
        last[one.instrument, one.configuration, one.amplifier, one.filter, one.quantity, is_of_limits] = one
    return sorted((one for one in last.values() if one.kind not in {"inside", "back"}), key=lambda one: one.id)


def _notices(session: Session, *where: ColumnElement[bool]) -> list[NoticeOnRecord]:
    columns = [getattr(Notice, name) for name in NoticeOnRecord.__dataclass_fields__]
    return [NoticeOnRecord(*row) for row in session.execute(select(*columns).where(*where).order_by(Notice.id))]


def hold_notices_of(session: Session, instrument: str) -> None:
    """Let no other transaction that does the same put notices of an instrument on record before this one ends.

    SQLite has one writer at a time anyhow.
    """
    session.execute(select(Instrument.id).where(Instrument.name == instrument).with_for_update()).all()


def put_notice(
    session: Session, curve: Curve, values: dict[str, Any], *, now: datetime, next_try_at: datetime | None
) -> bool:
    """Put a notice about a point of a curve on record; return whether it was not there yet.

    Parameters
    ----------
    session : Session
        Of the record.
    curve : Curve
        What it is about.
    values : dict
        ``kind``, ``measurement_id``, ``since``, ``observed_at``, ``before``, ``after`` and ``details``, as in
        `NoticeOnRecord`.
    now : datetime
        When it is raised.
    next_try_at : datetime or None
        When it is to be told; None to tell nobody.
    """
    statement = insert(session, Notice).values(
        **values,
        **{name: getattr(curve, name) for name in ("instrument", "configuration", "amplifier", "filter")},
        quantity=curve.quantity,
        unit=curve.unit,
        raised_at=now,
        told={},
        tries=0,
        next_try_at=next_try_at,
    )
    return session.scalar(statement.on_conflict_do_nothing().returning(Notice.id)) is not None


def record_told(session: Session, notice_id: int, *, told: dict[str, Any], next_try_at: datetime | None) -> None:
    """Record who was told of a notice, and when it is tried again where somebody could not be; None where all were."""
    tries = Notice.tries + int(next_try_at is not None)
    values = {"told": told, "next_try_at": next_try_at, "tries": tries}
    session.execute(update(Notice).where(Notice.id == notice_id).values(**values))
