"""What called for attention: who has looked at it, and who was told. By keys, so that no clock decides on it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema.models import Seen, Told
from db.schema.upsert import insert


def seen_keys(session: Session) -> frozenset[str]:
    """Return the keys of all that was looked at."""
    return frozenset(session.scalars(select(Seen.key)))


def record_seen(session: Session, keys: Iterable[str], *, who: str, now: datetime) -> None:
    """Record that somebody looked at these; who was the first stays on record."""
    rows = [{"key": key, "who": who, "seen_at": now} for key in dict.fromkeys(keys)]
    if rows:
        session.execute(insert(session, Seen).on_conflict_do_nothing(), rows)


def told_keys(session: Session, receiver: str) -> frozenset[str]:
    """Return the keys of all that a receiver, known by the digest of its address, was told of."""
    return frozenset(session.scalars(select(Told.key).where(Told.receiver == receiver)))


def record_told_of(session: Session, keys: Iterable[str], *, receiver: str, now: datetime) -> None:
    """Record that a receiver was told of these."""
    rows = [{"key": key, "receiver": receiver, "told_at": now} for key in dict.fromkeys(keys)]
    if rows:
        session.execute(insert(session, Told).on_conflict_do_nothing(), rows)
