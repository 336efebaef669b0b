"""The longitude of the site, by cards that count it to the east or to the west, in degrees or in hours."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ccdcore.cards.dialects import (
    EAST_LONGITUDES,
    GEOCENTRIC,
    SIDEREAL_TIMES,
    SITE_NAMES,
    SITES,
)
from ccdcore.cards.values import Cards, find, number, value_of

_SAME_DEG = 3.0
"""Within this two sources mean the same site; a sidereal time is that of begin, middle or end of an exposure."""
_LEAST_FROM_AXIS_M = 1e6
_REST_H = 4.0
"""How long a camera rests in a day, at least."""
_J2000 = datetime.fromisoformat("2000-01-01T12:00:00+00:00")
_HOUR_DEG = 15.0
_MEANINGS = {"counts to the west": -1.0, "is in hours": _HOUR_DEG, "is in hours to the west": -_HOUR_DEG}
_ANGLE = re.compile(
    r"(?P<sign>[+-]?) *(?P<d>\d+(?:\.\d*)?)"
    r"(?:[:dh° ]+(?P<m>\d+(?:\.\d*)?)(?:[:m'′ ]+(?P<s>\d+(?:\.\d*)?)[s\"″]?)?[m'′]?)?[d°]?"
)
_MAY_BE_HOURS = re.compile(r"-?(?:0?\d|1[01]):\d\d?:\d\d?(?:\.\d*)?")
_LETTER = re.compile(r"^(?P<first>east|west|e|w)(?![a-z])|(?<![a-z])(?P<last>east|west|e|w)$", re.IGNORECASE)


class Longitude(NamedTuple):
    """East longitude in degrees from -180 to 180, None where it is not known; and what is odd about it, in words."""

    degrees: float | None
    words: tuple[str, ...] = ()


def site_longitude(cards: Cards, keywords: Sequence[str], when: datetime | None) -> Longitude:
    """Read the longitude of the site.

    Many observatories count it to the west. A card's comment or a letter tells; else it is held against what else says
    where the site is: cards that count to the east by standard, the sidereal time, the name of the observatory. Where
    one of them means the same place by the other sign, or by hours in place of degrees, that is used and told.

    Parameters
    ----------
    cards : mapping
        The header.
    keywords : sequence of str
        Cards with a longitude, in order of preference.
    when : datetime or None
        Time of the exposure.
    """
    found = find(cards, keywords, east_longitude)
    stronger = keywords[: len(keywords) if found is None else keywords.index(found[0])]
    unread = [f"{word} = {cards[word]!r} cannot be used" for word in stronger if _has_figures(cards, word)]
    sources = [*_by_standard(cards), *_by_sidereal_time(cards, when), *_by_name(cards)]
    if found is None:
        usable = [(said, degrees) for said, degrees in sources if said not in keywords and not _is_sidereal(said)]
        if unread or not usable:
            return Longitude(None, tuple(unread))
        said, degrees = usable[0]
        by_name = [f"no card gives a longitude: that of {said} is used"] if said != " and ".join(GEOCENTRIC) else []
        return Longitude(degrees, tuple(by_name))
    keyword, degrees = found
    others = [(said, there) for said, there in sources if said != keyword]
    if any(_apart(degrees, there) <= _SAME_DEG for _, there in others):
        return Longitude(degrees, tuple(unread))
    claim = f"{keyword} = {cards[keyword]!r}"
    for said, there in others:
        for meaning, factor in _MEANINGS.items():
            if _apart(factor * degrees, there) <= _SAME_DEG:
                return Longitude(_wrapped(factor * degrees), (*unread, f"{claim} {meaning}, by {said}"))
    against = [
        f"{claim}, but {said} means a longitude of {there:.1f}" for said, there in others if not _is_sidereal(said)
    ]
    if not against and _MAY_BE_HOURS.fullmatch(str(cards[keyword]).strip()):
        against = [f"{claim} is taken for degrees: if it is in hours, give [nights] longitude_deg"]
    return Longitude(degrees, (*unread, *against[:1]))


def east_longitude(value: object) -> float | None:
    """Return an angle in degrees between -180 and 180, from a number, or text with or without a letter E or W."""
    degrees, sign = number(value), 1
    if degrees is None and isinstance(value, str):
        text = value.strip()
        if letter := _LETTER.search(text):
            sign = -1 if (letter["first"] or letter["last"]).lower().startswith("w") else 1
            text = _LETTER.sub("", text).strip(" ,;")
        degrees = _sexagesimal(text)
    if degrees is None or abs(degrees) > 360:
        return None
    return _wrapped(-abs(degrees) if sign < 0 else degrees)


def counts_to_the_west(comment: str, value: object) -> bool:
    """Whether the comment of a card says that its longitude is one to the west, and the value itself says nothing."""
    said = comment.lower()
    if isinstance(value, str) and re.search(r"[ew]", value, re.IGNORECASE):
        return False
    if re.search(r"\bwest(?:ern)?\b[^a-z+-]*(?:is |are |= ?)?(?:neg|-|\bminus)|\beast|\+ ?e\b|\(e\b", said):
        return False
    return re.search(r"\bwest(?:ern|ward)?\b|\bdeg(?:rees)? ?w\b|\+ ?w\b|\[w\]|\(w\)", said) is not None


def doubtful_nights(times: Iterable[datetime], longitude_deg: float) -> str | None:
    """Say that nights are cut amid the frames of one, so that the longitude may be wrong; None where they are not.

    A night begins and ends at local noon. Cameras that rest at some time of the day rest then: where frames lie close
    on both sides of the cut, but there are hours without any, the site is elsewhere.

    Parameters
    ----------
    times : iterable of datetime
        Of the exposures of one camera.
    longitude_deg : float
        East longitude that their nights are cut by.
    """
    hours = sorted({(one.hour * 60 + one.minute) / 60 for one in times})
    cut = (12 - longitude_deg / _HOUR_DEG) % 24
    if not hours:
        return None
    pauses = [(begin, (end - begin) % 24 or 24) for begin, end in zip(hours, [*hours[1:], hours[0]], strict=True)]
    longest_from, longest = max(pauses, key=lambda pause: pause[1])
    begin, around = next(one for one in pauses if (cut - one[0]) % 24 < one[1])
    if begin == longest_from or longest < _REST_H or around > longest / 2:
        return None
    pause = f"{_clock(longest_from)} to {_clock(longest_from + longest)}"
    return (
        f"by a longitude of {longitude_deg:g} nights are cut at {_clock(cut)} UTC, between frames at {_clock(begin)} "
        f"and {_clock(begin + around)}, while there are none from {pause}: "
        "if that is wrong, give [nights] longitude_deg, positive to the east"
    )


def _has_figures(cards: Cards, keyword: str) -> bool:
    return any(map(str.isdigit, str(cards.get(keyword, ""))))


def _by_standard(cards: Cards) -> Iterator[tuple[str, float]]:
    x, y = (value_of(cards, (keyword,), number) for keyword in GEOCENTRIC)
    if x is not None and y is not None and math.hypot(x, y) > _LEAST_FROM_AXIS_M:
        yield " and ".join(GEOCENTRIC), math.degrees(math.atan2(y, x))
    if found := find(cards, EAST_LONGITUDES, east_longitude):
        yield found


def _by_sidereal_time(cards: Cards, when: datetime | None) -> Iterator[tuple[str, float]]:
    found = find(cards, SIDEREAL_TIMES, _hours)
    if found is not None and when is not None:
        yield f"{found[0]} = {cards[found[0]]!r}", _wrapped((found[1] - _greenwich_hours(when)) * _HOUR_DEG)


def _is_sidereal(said: str) -> bool:
    return said.startswith(tuple(f"{keyword} = " for keyword in SIDEREAL_TIMES))


def _by_name(cards: Cards) -> Iterator[tuple[str, float]]:
    for keyword in SITE_NAMES:
        name = re.sub(r"[^a-z]+", "", str(cards.get(keyword, "")).lower())
        yield from ((f"{keyword} = {cards[keyword]!r}", degrees) for site, degrees in SITES.items() if site in name)


def _greenwich_hours(when: datetime) -> float:
    """Return mean sidereal time at Greenwich in hours, to a second in this century (Meeus 1998, eq. 12.4)."""
    days = (when - _J2000) / timedelta(days=1)
    return (18.697374558 + 24.06570982441908 * days) % 24


def _hours(value: object) -> float | None:
    hours = number(value)
    if hours is None and isinstance(value, str):
        hours = _sexagesimal(value.strip().lower().replace("h", ":"))
    return hours if hours is not None and 0 <= hours < 24 else None


def _sexagesimal(text: str) -> float | None:
    match = _ANGLE.fullmatch(text.lower())
    if match is None or float(match["m"] or 0) >= 60 or float(match["s"] or 0) >= 60:
        return None
    size = float(match["d"]) + float(match["m"] or 0) / 60 + float(match["s"] or 0) / 3600
    return (-1 if match["sign"] == "-" else 1) * size * (_HOUR_DEG if "h" in text.lower() else 1)


def _apart(one: float, other: float) -> float:
    return abs(_wrapped(one - other))


def _wrapped(degrees: float) -> float:
    return (degrees + 180) % 360 - 180


def _clock(hours: float) -> str:
    minutes = round(hours * 60) % 1440
    return f"{minutes // 60}:{minutes % 60:02}"
