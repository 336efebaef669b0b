"""Values out of header cards, however they are written."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import SupportsFloat, TypeVar

Cards = Mapping[str, object]
"""Keyword in capitals (ESO's without ``HIERARCH``) → value, as astropy gives it."""

_T = TypeVar("_T")
_SLUG_LENGTH = 48
_MJD_ZERO = datetime.fromisoformat("1858-11-17")


def key(keyword: str) -> str:
    """Return a keyword as `Cards` has it, however a person wrote it."""
    return keyword.strip().upper().removeprefix("HIERARCH ")


def find(cards: Cards, keywords: Iterable[str], convert: Callable[[object], _T | None]) -> tuple[str, _T] | None:
    """Return the first keyword whose value ``convert`` accepts, with the converted value."""
    for keyword in keywords:
        if keyword in cards and (value := convert(cards[keyword])) is not None:
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
    """Return a finite number, also from a string and with a decimal comma; None where it is none."""
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


def angle(value: object) -> float | None:
    """Return an angle in degrees between -180 and 180, from a number or sexagesimal text."""
    degrees = number(value)
    if degrees is None and isinstance(value, str):
        degrees = _sexagesimal(value)
    return None if degrees is None else (degrees + 180) % 360 - 180


def _sexagesimal(value: str) -> float | None:
    from astropy.coordinates import Angle

    try:
        return float(Angle(value.strip(), unit="deg").degree)
    except ValueError:
        return None


def moment(cards: Cards, keywords: Iterable[str], time_keywords: Iterable[str] = ()) -> datetime | None:
    """Return the first date and time among ``keywords``, in UTC.

    ISO 8601 text with or without a zone, a Modified Julian Date where the
    keyword begins with ``MJD``, or a bare date completed by the first time of
    ``time_keywords``. Without a zone and without TIMESYS it is UTC.
    """
    for keyword in keywords:
        value = cards.get(keyword)
        if keyword.startswith("MJD"):
            found = _from_mjd(number(value))
        elif isinstance(value, str):
            found = _from_iso(value.strip(), value_of(cards, time_keywords, _clock_time))
        else:
            found = None
        if found is not None:
            return found if found.utcoffset() is not None else _to_utc(found, cards.get("TIMESYS"))
    return None


def _clock_time(value: object) -> str | None:
    return value.strip() if isinstance(value, str) and re.fullmatch(r"\s*\d\d:\d\d:\d\d(\.\d*)?\s*", value) else None


def _from_iso(date: str, time: str | None) -> datetime | None:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", date) and time:
        date = f"{date}T{time.rstrip('.')}"
    try:
        return datetime.fromisoformat(date) if re.match(r"\d{4}-", date) else None
    except ValueError:
        return None


def _from_mjd(mjd: float | None) -> datetime | None:
    return None if mjd is None or not 0 < mjd < 100_000 else _MJD_ZERO + timedelta(days=mjd)


def _to_utc(naive: datetime, timesys: object) -> datetime:
    scale = str(timesys).strip().lower()
    if scale not in {"tai", "tt", "tdb"}:
        return naive.replace(tzinfo=UTC)
    from astropy.time import Time

    converted: datetime = Time(naive, scale=scale).utc.to_datetime(timezone=UTC)
    return converted


def slug(value: object) -> str:
    """Return ``value`` as a name that is safe in a path: ``[A-Za-z0-9._+-]``, at most 48 characters.

    A longer one is cut and ended by a digest, so that different values stay different.
    """
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", str(value)).strip("-.")
    if len(name) > _SLUG_LENGTH:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: _SLUG_LENGTH - 9]}-{digest}"
    return name
