"""What every table shares: names of constraints, UTC times, paths as text; and the errors of db."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, DateTime, Double, MetaData, Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


class UtcDateTime(TypeDecorator[datetime]):
    """A time-zone aware instant, stored and returned in UTC; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Bring ``value`` to UTC (SQLite keeps no zone)."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"{value.isoformat()} has no time zone: give it as UTC")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Bring what comes back, in whatever zone the server has, to UTC."""
        return None if value is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Read SQLite's text in one step: of rows of a trend, SQLAlchemy's two would take a quarter of the time."""
        return _from_text if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value + "+00:00")


# A file name may be any bytes; Python shows those that are not UTF-8 as lone surrogates, which
# no database takes as text. They travel as private characters (U+EF80 to U+EFFF) and come back whole.
_TO_PRIVATE = {0xDC00 + byte: 0xEF00 + byte for byte in range(0x80, 0x100)}
_FROM_PRIVATE = {private: surrogate for surrogate, private in _TO_PRIVATE.items()}


class PathText(TypeDecorator[str]):
    """A path or a part of one, whatever bytes its name is made of."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace the bytes that are not UTF-8 by private characters."""
        return None if value is None else value.translate(_TO_PRIVATE)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Bring those bytes back; of most paths there are none, and looking for each is long."""
        return value if value is None or value.isascii() else value.translate(_FROM_PRIVATE)


class Base(DeclarativeBase):
    """Base of every table; constraints get names that migrations can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy under this very name
        datetime: UtcDateTime,
        float: Double,
        dict[str, Any]: JSON,
        list[dict[str, Any]]: JSON,
    }
