"""Rows that answer a question, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any

from ccdcore.text import readable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def plain(value: Any) -> Any:
    """Return ``value`` as JSON knows it: times as ISO 8601 text, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    return readable(value) if isinstance(value, str) else value


def column_value(value: Any) -> Any:
    """Return ``value`` as a column takes it: databases differ on NaN, and text may quote a file name of any bytes."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return readable(value) if isinstance(value, str) else value


class Row:
    """Base of the dataclasses that questions are answered with."""

    __slots__ = ()

    def as_dict(self: DataclassInstance) -> dict[str, Any]:
        """Return the row by column name, as plain JSON values."""
        return {one.name: plain(getattr(self, one.name)) for one in fields(self)}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a long list: so many rows, after so many others."""

    size: int
    offset: int = 0
