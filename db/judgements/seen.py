"""What called for attention and was looked at: by keys, so that no clock decides what was seen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema.models import Seen
from db.schema.upsert import insert


def seen_keys(session: Session) -> frozenset[str]:
    """Return the keys of all that was looked at."""
    return frozenset(session.scalars(select(Seen.key)))


def record_seen(session: Session, keys: Iterable[str], *, who: str, now: datetime) -> None:
    """Record that somebody looked at these; who was the first stays on record."""
    rows = [{"key": key, "who": who, "seen_at": now} for key in dict.fromkeys(keys)]
    if rows:
        session.execute(insert(session, Seen).on_conflict_do_nothing(), rows)
