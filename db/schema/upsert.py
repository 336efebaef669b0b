"""An INSERT that may meet what is there already, and lists too long for one statement."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.orm import Session

    from db.schema.base import Base


def insert(session: Session, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT in the session's dialect, which has the ``on_conflict_…`` methods.

    So the database itself finds what is there already: looking first would leave a gap.
    """
    if session.get_bind().dialect.name == "postgresql":
        return postgresql_insert(table)

    return sqlite_insert(table)


def batches(ids: Collection[int], size: int = 10_000) -> Iterator[list[int]]:
    """Cut a list of ids, since a statement takes only so many parameters."""
    ordered = sorted(ids)
    return (ordered[start : start + size] for start in range(0, len(ordered), size))
