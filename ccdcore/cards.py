"""Values out of header cards, however they are written."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import SupportsFloat, TypeVar

from ccdcore.dialects import TIME_SCALES

Cards = Mapping[str, object]
"""Keyword in capitals (ESO's without ``HIERARCH``) → value, as astropy gives it, or `Several`."""

_T = TypeVar("_T")
_SLUG_LENGTH = 48
_MJD_ZERO = datetime.fromisoformat("1858-11-17")
_JD_OF_MJD_ZERO = 2_400_000.5
_FIRST_CCD_YEAR = 70


@dataclass(frozen=True, slots=True)
class Several:
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
        if keyword not in cards or isinstance(cards[keyword], Several):
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

    ISO 8601 text with or without a zone, a Julian Date or Modified Julian Date
    where the keyword begins with ``JD`` or ``MJD``, or a bare date completed by
    the first time of ``time_keywords``. Dates before the year 2000 may be
    written ``24/01/92`` (day, month, year of the last century). Without a zone
    the scale is that of TIMESYS, UTC where there is none; a time of unknown
    scale (local time) is no time.
    """
    for keyword in keywords:
        value = cards.get(keyword)
        if keyword.startswith(("MJD", "JD")):
            found = _from_julian(number(value), modified=keyword.startswith("MJD"))
        elif isinstance(value, str):
            found = _from_text(value.strip(), value_of(cards, time_keywords, _clock_time))
        else:
            found = None
        if found is not None:
            return found if found.utcoffset() is not None else _to_utc(found, cards.get("TIMESYS"))
    return None


def _clock_time(value: object) -> str | None:
    match = re.fullmatch(r"(\d\d?):(\d\d):(\d\d(?:\.\d*)?)", value.strip()) if isinstance(value, str) else None
    return f"{match[1]:0>2}:{match[2]}:{match[3].rstrip('.')}" if match else None


def _from_text(date: str, time: str | None) -> datetime | None:
    if old := re.fullmatch(r"(\d\d)[/-](\d\d)[/-](\d\d)", date):
        day, month, year = old.groups()
        date = f"19{year}-{month}-{day}" if int(year) >= _FIRST_CCD_YEAR else ""
    elif slashed := re.fullmatch(r"(\d{4})/(\d\d)/(\d\d)(.*)", date):
        date = "{}-{}-{}{}".format(*slashed.groups())
    if re.fullmatch(r"\d{4}-\d\d-\d\d", date) and time:
        date = f"{date}T{time}"
    try:
        return datetime.fromisoformat(date) if re.match(r"\d{4}-", date) else None
    except ValueError:
        return None


def _from_julian(days: float | None, *, modified: bool) -> datetime | None:
    mjd = days if modified or days is None else days - _JD_OF_MJD_ZERO
    return None if mjd is None or not 0 < mjd < 100_000 else _MJD_ZERO + timedelta(days=mjd)


def _to_utc(naive: datetime, timesys: object) -> datetime | None:
    if timesys is None or not str(timesys).strip():
        return naive.replace(tzinfo=UTC)
    first_word = re.match(r"[a-z]+\d?", str(timesys).strip().lower())  # "UTC approximate", "UTC(NIST)"
    scale = TIME_SCALES.get(first_word[0]) if first_word else None
    if scale in {None, "utc"}:
        return naive.replace(tzinfo=UTC) if scale else None
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
