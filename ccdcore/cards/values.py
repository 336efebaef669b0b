"""Values out of header cards, however they are written."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import SupportsFloat, TypeVar

Cards = Mapping[str, object]
"""Keyword in capitals (ESO's without ``HIERARCH``) → value, as astropy gives it, or `RepeatedCard`."""

_T = TypeVar("_T")
_SLUG_LENGTH = 48


@dataclass(frozen=True, slots=True)
class RepeatedCard:
    """Different values of a keyword that stands in one header more than once: nobody can say which holds."""

    values: tuple[object, ...]

    def __str__(self) -> str:
        return " and ".join(repr(value) for value in self.values)


def key(keyword: str) -> str:
    """Return a keyword as `Cards` has it, however a person wrote it."""
    return keyword.strip().upper().removeprefix("HIERARCH ")


def find(cards: Cards, keywords: Iterable[str], convert: Callable[[object], _T | None]) -> tuple[str, _T] | None:
    """Return the first keyword whose value is one, and accepted by ``convert``, with the converted value."""
    for keyword in keywords:
        if keyword not in cards or isinstance(cards[keyword], RepeatedCard):
            continue
        if (value := convert(cards[keyword])) is not None:
            return keyword, value
    return None


def value_of(cards: Cards, keywords: Iterable[str], convert: Callable[[object], _T | None]) -> _T | None:
    """Return the first value that ``convert`` accepts, or None."""
    found = find(cards, keywords, convert)
    return found and found[1]


def text(value: object) -> str | None:
    """Return a card's text without surrounding blanks; None where there is none."""
    return str(value).strip() or None


def number(value: object) -> float | None:
    """Return a finite number, also from a string and with a decimal comma, in its own unit; None where it is none."""
    if isinstance(value, str):
        value = value.strip()
        value = value if "." in value else value.replace(",", ".")
    elif isinstance(value, bool) or not isinstance(value, SupportsFloat):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def count(value: object) -> int | None:
    """Return a whole number from 1 up; None where it is none."""
    result = number(value)
    return int(result) if result is not None and result >= 1 else None


def slug(value: object) -> str:
    """Return ``value`` as a name that is safe in a path: ``[A-Za-z0-9._+-]``, at most 48 characters.

    A longer one, and one with letters beyond ASCII, is ended by a digest, so that different values stay different.
    """
    said = str(value)
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", said).strip("-.")
    marked = "" if said.isascii() else said
    if len(name) > _SLUG_LENGTH or marked:
        digest = hashlib.sha256((marked or name).encode(errors="backslashreplace")).hexdigest()[:8]
        name = f"{name[: _SLUG_LENGTH - 9]}-{digest}".lstrip("-")
    return name
