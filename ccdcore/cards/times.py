"""When an exposure began, by its date and time cards however they are spelt; what is doubtful is said, not guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from ccdcore.cards.dialects import MID_EXPOSURE, TIME_SCALES, UTC_KEYWORDS
from ccdcore.cards.values import Cards, RepeatedCard, number

_MJD_ZERO = datetime.fromisoformat("1858-11-17")
_JD_OF_MJD_ZERO = 2_400_000.5
_FIRST_YEAR, _FIRST_CCD_YEAR, _LAST_YEAR = 1900, 1970, 2199
_OF_THE_FILE = "DATE"
_SLACK_S = 1800.0
"""Within this, and the exposure, cards of the begin, the middle and the end of an exposure say the same."""
_UNSET = re.compile(r"1980-01-0[16]|1999-11-30|2000-01-01|19(?:00|04|70)-01-01")
"""Days that clocks begin with which were never set."""

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_NAME = r"(?P<name>[A-Za-z]{3,9})\.?"
_DAY = r"(?P<d>\d\d?)(?:st|nd|rd|th)?"
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)",
        r"(?P<y>\d{4})[-/.:](?P<m>\d\d?)[-/.:](?P<d>\d\d?)",
        rf"(?P<y>\d{{4}})[-/. ]{_NAME}[-/. ]{_DAY}",
        rf"{_DAY}[-/. ]*{_NAME}[-/., ]+(?P<y>\d{{4}})",
        rf"{_NAME}[-/. ]+{_DAY},?[ -]+(?P<y>\d{{4}})",
        r"(?P<a>\d\d?)(?P<sep>[-/.])(?P<b>\d\d?)(?P=sep)(?P<y>\d{4})",
        r"(?P<d>\d\d)[-/](?P<m>\d\d)[-/](?P<yy>\d\d)",
    )
)
_CLOCK = (
    r"(?P<H>\d\d?)(?P<in>[:h._-])(?P<M>\d\d?)(?:[:m._-](?P<S>\d\d?)(?P<f>[.,]\d*)?s?)?m?"
    r"|(?P<H2>\d\d)(?P<M2>\d\d)(?P<S2>\d\d)(?P<f2>[.,]\d*)?"
)
_TIME = re.compile(rf"(?:{_CLOCK})(?: *(?P<half>[ap])\.?m\.?)?(?: *(?P<zone>z|ut|utc|ut1|gmt|[+-]\d\d(?::?\d\d)?))?")
_WEEKDAY = re.compile(r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[,.]? +", re.IGNORECASE)
_CTIME = re.compile(r"([A-Za-z]{3,9} +\d\d?) +(\d\d?:.*?) +(\d{4})")
_SPLIT = re.compile(r"(?<=\d)(?:[Tt_]|, ?| +T? *)(?=\d)")


@dataclass(frozen=True, slots=True)
class Moment:
    """When an exposure began, in UTC, None where that is not known; and what is odd about that, in words."""

    when: datetime | None
    words: tuple[str, ...] = ()


class _UnreadableError(ValueError):
    """A date or time that cannot be used; the text says why, where there is more to say than that."""


def moment(
    cards: Cards, keywords: Sequence[str], time_keywords: Iterable[str] = (), *, exposure_s: float = 0.0
) -> Moment:
    """Return the first date and time among ``keywords``, in UTC.

    Text with or without a zone in any usual spelling, a Julian Date or Modified
    Julian Date where the keyword begins with ``JD`` or ``MJD``; a bare date is
    completed by the first time of ``time_keywords``. Dates before the year 2000
    may be written ``24/01/92`` (day, month, year of the last century). Without
    a zone the scale is that of TIMESYS, UTC where there is none; a time of
    unknown scale (local time) is no time.

    A card that cannot be used gives way to a weaker one with a word, never to DATE, when the file was written
    (unless that is the first keyword, named by an entry). Where day and month may be taken one for the other,
    the date is not known.

    Parameters
    ----------
    cards : mapping
        The header.
    keywords, time_keywords : sequence of str
        In order of preference.
    exposure_s : float
        Exposure time in seconds.
    """
    words: list[str] = []
    is_spoilt = False
    times = tuple(time_keywords)
    for index, keyword in enumerate(keywords):
        if not _says_something(keyword, cards.get(keyword)):
            continue
        is_of_file = index > 0 and keyword == _OF_THE_FILE
        if is_of_file and is_spoilt:
            break
        said = f"{keyword} = {cards[keyword]!r}"
        try:
            when, odd = _read(cards, keyword, times)
        except _UnreadableError as error:
            is_spoilt = True
            if not isinstance(cards[keyword], RepeatedCard):  # which is said of any card
                words.append(f"{said}{_scale(cards)} cannot be used{error}")
            continue
        if is_of_file:
            words.append(f"{said}: only the date of the file is known")
        elif is_spoilt:
            words.append(f"{keyword} is used in its place")
        when, clocks = _against_clocks(cards, keyword, when, times, _SLACK_S + exposure_s)
        odd = [*odd, *clocks]
        better, against = _contradiction(cards, keywords[index + 1 :], when, said, times, _SLACK_S + exposure_s)
        return Moment(better, (*words, *odd, *against))
    return Moment(None, tuple(words))


def _says_something(keyword: str, value: object) -> bool:
    """Whether a card ought to hold a date: one with figures; FRAME is a frame type elsewhere, or a number."""
    if keyword == "FRAME":
        return re.match(r"\d{4}-", str(value)) is not None
    return value is not None and any(map(str.isdigit, str(value)))


def _scale(cards: Cards) -> str:
    return f" (TIMESYS = {cards['TIMESYS']!r})" if "TIMESYS" in cards else ""


def _read(cards: Cards, keyword: str, times: Sequence[str]) -> tuple[datetime, list[str]]:
    value, odd = cards[keyword], list[str]()
    if isinstance(value, RepeatedCard):
        raise _UnreadableError
    if keyword.startswith(("MJD", "JD")):
        found = _from_julian(number(value), modified=keyword.startswith("MJD"))
    else:
        found, odd = _from_text(str(value).strip(), cards, times)
    if found.utcoffset() is None:
        found = found.replace(tzinfo=UTC) if keyword in UTC_KEYWORDS else _to_utc(found, cards.get("TIMESYS"))
    if found.year <= _FIRST_CCD_YEAR or found.year > _LAST_YEAR:
        raise _UnreadableError(": its clock was not set" if found.year <= _FIRST_CCD_YEAR else "")
    if _UNSET.match(found.date().isoformat()):
        odd = [*odd, f"{keyword} = {value!r}: a clock that was never set begins with that day"]
    if keyword in MID_EXPOSURE:
        odd = [*odd, f"{keyword} = {value!r} is the middle of the exposure"]
    return found, odd


def _against_clocks(
    cards: Cards, keyword: str, when: datetime, times: Sequence[str], slack_s: float
) -> tuple[datetime, list[str]]:
    """Hold a date with its time against a card of the time alone; a time of exactly 0:00 may be none."""
    value = cards[keyword]
    if keyword in MID_EXPOSURE or not (isinstance(value, str) and _says_a_time("", value)):
        return when, []
    midnight = when.replace(hour=0, minute=0, second=0, microsecond=0)
    for other in times:
        try:
            clock = _at(midnight, _clock_text(cards.get(other, "")))
        except _UnreadableError:
            continue
        hours = abs(((when - clock) / timedelta(hours=1) + 12) % 24 - 12)
        said = f"{keyword} = {value!r} and {other} = {cards[other]!r} are {hours:.1f} h apart"
        if hours * 3600 <= slack_s:
            return when, []
        return (clock, [f"{said}, {other} is used"]) if when == midnight else (when, [said])
    return when, []


def _contradiction(
    cards: Cards, weaker: Iterable[str], when: datetime, said: str, times: Sequence[str], slack_s: float
) -> tuple[datetime, list[str]]:
    """Hold a time against those of weaker cards; one that is of UTC by its name outranks it."""
    for keyword in weaker:
        value = cards.get(keyword)
        if keyword == _OF_THE_FILE or keyword in MID_EXPOSURE or not _says_a_time(keyword, value):
            continue
        try:
            other, _ = _read(cards, keyword, times)
        except _UnreadableError:
            continue
        hours = (when - other) / timedelta(hours=1)
        if abs(hours) * 3600 > slack_s:
            is_utc = keyword in UTC_KEYWORDS
            end = f", {keyword} is used" if is_utc else ""
            return (other if is_utc else when), [f"{said} and {keyword} = {value!r} are {abs(hours):.1f} h apart{end}"]
    return when, []


def _says_a_time(keyword: str, value: object) -> bool:
    """Whether a card tells the time of day too."""
    if keyword.startswith(("MJD", "JD")):
        days = number(value)
        return days is not None and days % 1 != 0
    return isinstance(value, str) and value.count(":") > 1 and _says_something(keyword, value)


def _from_text(text: str, cards: Cards, times: Sequence[str]) -> tuple[datetime, list[str]]:
    text = _WEEKDAY.sub("", text, count=1)
    if written := _CTIME.fullmatch(text):
        text = f"{written[1]} {written[3]} {written[2]}"
    text = re.sub(r"^(\d{8})(\d{6})$", r"\1T\2", re.sub(r"(?<=\d)[Tt ]+$", "", text))
    date, *clock = _split(text)
    day = _day(date)
    if clock:
        return _at(day, clock[0]), []
    odd: list[str] = []
    for keyword in times:
        if not _says_something("", cards.get(keyword)):
            continue
        try:
            return _at(day, _clock_text(cards[keyword])), odd
        except _UnreadableError:
            odd.append(f"{keyword} = {cards[keyword]!r} cannot be used")
    return day, [*odd, "no card tells the time of day: 0:00 is taken"] if times else []


def _split(text: str) -> list[str]:
    """Part date and time; the date may hold blanks itself, and what stands for seconds ends the time."""
    for match in reversed(list(_SPLIT.finditer(text))):
        date, clock = text[: match.start()], text[match.end() :]
        if _TIME.fullmatch(clock.lower()) and any(pattern.fullmatch(date) for pattern in _DATES):
            return [date, clock]
    return [text]


def _clock_text(value: object) -> str:
    """Return a time card as text; a number below 24 with a fraction is in hours."""
    hours = number(value)
    if hours is not None and 0 <= hours < 24 and hours % 1:
        return str(timedelta(hours=hours)).rjust(8, "0")
    return re.sub(r"(?<=\d) +(?=\d)", ":", str(value).strip())


def _day(text: str) -> datetime:
    match = next((found for pattern in _DATES if (found := pattern.fullmatch(text))), None)
    if match is None:
        raise _UnreadableError
    of = match.groupdict()
    year = int(of["y"]) if of.get("y") else 1900 + int(of["yy"])
    if not _FIRST_YEAR <= year <= _LAST_YEAR or (of.get("yy") and year < _FIRST_CCD_YEAR):
        raise _UnreadableError
    if of.get("a"):
        month, day = _month_and_day(int(of["a"]), int(of["b"]), of["sep"])
    else:
        month = _month(of["name"]) if of.get("name") else int(of["m"])
        day = int(of["d"])
    try:
        return datetime(year, month, day)  # noqa: DTZ001 - its zone is found later
    except ValueError:
        raise _UnreadableError from None


def _month_and_day(first: int, second: int, separator: str) -> tuple[int, int]:
    """Tell day and month apart: only with points is the order the same everywhere."""
    if first > 12 or separator == "." or first == second:
        return second, first
    if second > 12:
        return first, second
    raise _UnreadableError(": day or month may stand first")


def _month(name: str) -> int:
    found = [number for number, month in enumerate(_MONTHS, start=1) if month.startswith(name.lower())]
    if len(found) != 1:
        raise _UnreadableError
    return found[0]


def _at(day: datetime, clock: str) -> datetime:
    match = _TIME.fullmatch(clock.strip().lower())
    if match is None:
        raise _UnreadableError
    of = match.groupdict()
    hour, minute, second = (int(of[name] or of[f"{name}2"] or 0) for name in "HMS")
    microsecond = int((of["f"] or of["f2"] or ".")[1:7].ljust(6, "0"))
    if of["half"]:
        if not 1 <= hour <= 12:
            raise _UnreadableError
        hour = hour % 12 + (12 if of["half"] == "p" else 0)
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute, second) != (0, 0)):
        raise _UnreadableError
    # A leap second, and 24 o'clock, are the begin of what follows.
    found = day + timedelta(hours=hour, minutes=minute, seconds=second, microseconds=microsecond)
    zone = of["zone"]
    return found if zone is None else found.replace(tzinfo=_zone(zone)).astimezone(UTC)


def _zone(text: str) -> timezone:
    if text[0] not in "+-":
        return UTC
    hours, minutes = int(text[1:3]), int(text[3:].strip(":") or 0)
    if hours > 14 or minutes > 59:
        raise _UnreadableError
    return timezone((1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))


def _from_julian(days: float | None, *, modified: bool) -> datetime:
    mjd = days if modified or days is None else days - _JD_OF_MJD_ZERO
    if mjd is None or not 0 < mjd < 130_000:
        raise _UnreadableError
    return _MJD_ZERO + timedelta(days=mjd)


def _to_utc(naive: datetime, timesys: object) -> datetime:
    said = str(timesys or "").strip().lower()
    if offset := re.fullmatch(r"(?:utc?|gmt) ?([+-])(\d\d?)(?::?(\d\d))?", said):
        return naive.replace(tzinfo=_zone(f"{offset[1]}{offset[2]:0>2}{offset[3] or ''}")).astimezone(UTC)
    first_word = re.match(r"[a-z]+\d?", said)  # "UTC approximate", "UTC(NIST)"
    scale = TIME_SCALES.get(first_word[0]) if first_word else ("" if said else "utc")
    if not scale:
        raise _UnreadableError
    if scale == "utc":
        return naive.replace(tzinfo=UTC)
    from astropy.time import Time

    converted: datetime = Time(naive, scale=scale).utc.to_datetime(timezone=UTC)
    return converted
