"""When an instrument's entry began or ceased to hold: nothing that was measured is carried over such a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.schema.models import Frame, Instrument

Boundaries = Mapping[str, Sequence[datetime]]
"""By the name of an instrument, the times at which its entries begin or end, ascending."""


def boundaries(session: Session, instrument: str | None = None) -> Boundaries:
    """Return the boundaries of all instruments, or of one.

    Those count that the configuration holds, also before their first frame comes, and those by which frames were
    identified; one that was mistyped and put right before any frame came does not.
    """
    table = Instrument
    bounded = or_(table.valid_from.is_not(None), table.valid_to.is_not(None))
    query = select(table.id, table.name, table.valid_from, table.valid_to, table.in_force).where(bounded)
    rows = session.execute(query if instrument is None else query.where(table.name == instrument)).all()
    former = [row.id for row in rows if not row.in_force]
    identified = select(Frame.instrument_id).where(Frame.instrument_id.in_(former)).distinct()
    used = set(session.scalars(identified)) if former else set()
    found: dict[str, set[datetime]] = defaultdict(set)
    for row in rows:
        if row.in_force or row.id in used:
            found[row.name] |= {one for one in (row.valid_from, row.valid_to) if one is not None}
    return {name: sorted(times) for name, times in found.items()}


def span_around(times: Sequence[datetime], at: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the boundaries before and after a time; None where there is none. A span begins with its boundary."""
    return (
        max((one for one in times if one <= at), default=None),
        min((one for one in times if one > at), default=None),
    )
