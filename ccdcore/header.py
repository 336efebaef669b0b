"""From header cards of any dialect to one `ExposureInfo`, with the reason for each decision."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from ccdcore.cards import Cards, angle, find, moment, number, slug, text, value_of
from ccdcore.dialects import (
    BINNING,
    BINNING_PAIR,
    FILTER_WHEELS,
    GAIN_IS_A_SETTING_BESIDE,
    KEYWORDS,
    OPEN_FILTERS,
    READ_SETTINGS,
    WINDOW_ORIGIN,
    WINDOW_RECTANGLES,
)
from ccdcore.frame_type import classify, holds
from ccdcore.instrument import FrameRule, FrameType, Instrument

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ExposureInfo:
    """What the header and the configuration say of one frame.

    Parameters
    ----------
    frame_type : FrameType
        Bias, dark, flat or other.
    frame_type_reason : str
        The evidence it was taken from, in words.
    instrument : str
        Name of the matching entry, else taken from the header.
    instrument_reason : str
        The evidence for it.
    configuration : str
        Slug of what makes frames comparable, for example ``bin1x1``.
    date_obs : datetime or None
        Begin of the exposure, UTC-aware; None where it is not known.
    exposure_time_s : float or None
        Exposure time in seconds.
    ccd_temperature_c : float or None
        Detector temperature in °C.
    filter : str or None
        Filter name.
    longitude_deg : float or None
        East longitude of the site, in degrees, where the header has it.
    header_gain_e_per_adu, header_read_noise_e : float or None
        What the header claims; never used as a measurement.
    n_averaged : int
        Number of exposures averaged into this frame; 1 for a raw frame.
    """

    frame_type: FrameType
    frame_type_reason: str
    instrument: str
    instrument_reason: str
    configuration: str
    date_obs: datetime | None = None
    exposure_time_s: float | None = None
    ccd_temperature_c: float | None = None
    filter: str | None = None
    longitude_deg: float | None = None
    header_gain_e_per_adu: float | None = None
    header_read_noise_e: float | None = None
    n_averaged: int = 1

    def __post_init__(self) -> None:
        if self.date_obs is not None and self.date_obs.utcoffset() is None:
            raise ValueError("date_obs has no time zone: give it as UTC")


def find_instrument(cards: Cards, instruments: Sequence[Instrument]) -> Instrument | None:
    """Return the first entry that the header matches and that is valid at its time, or None."""
    return next((entry for entry in instruments if _belongs(cards, entry)), None)


def identify(
    cards: Cards, *, filename: str, shape: tuple[int, int], instruments: Sequence[Instrument] = ()
) -> ExposureInfo:
    """Read one frame's header.

    Parameters
    ----------
    cards : mapping of str to value
        Keyword in capitals (ESO's without ``HIERARCH``) → value. Numbers may
        be strings, with a decimal comma too.
    filename : str
        The file's name, without its directory.
    shape : tuple of int
        Rows and columns of the image.
    instruments : sequence of Instrument
        Entries of the configuration; the first that matches is used.

    Returns
    -------
    ExposureInfo
        With None for what the header does not say.
    """
    entry = find_instrument(cards, instruments)
    instrument, instrument_reason = _instrument_name(cards, entry)
    exposure_time_s = _exposure_time(cards, entry)
    frame_type, frame_type_reason = classify(cards, filename=filename, exposure_time_s=exposure_time_s, entry=entry)
    return ExposureInfo(
        frame_type=frame_type,
        frame_type_reason=frame_type_reason,
        instrument=instrument,
        instrument_reason=instrument_reason,
        configuration=_configuration(cards, shape, entry),
        date_obs=_date_obs(cards, entry),
        exposure_time_s=exposure_time_s,
        ccd_temperature_c=_value(cards, "ccd_temperature", _celsius, entry),
        filter=_filter(cards, entry),
        longitude_deg=_value(cards, "longitude", angle, entry),
        header_gain_e_per_adu=_header_gain(cards, entry),
        header_read_noise_e=_value(cards, "header_read_noise", _positive, entry),
        n_averaged=int(_value(cards, "n_averaged", _count, entry) or 1),
    )


def _keywords(name: str, entry: Instrument | None) -> tuple[str, ...]:
    """Keywords for a field: the entry's, then those of the dialects."""
    own = entry.header.get(name) if entry is not None else None
    return (own.upper(), *KEYWORDS[name]) if own else KEYWORDS[name]


def _value(cards: Cards, name: str, convert: Callable[[object], _T | None], entry: Instrument | None) -> _T | None:
    return value_of(cards, _keywords(name, entry), convert)


def _belongs(cards: Cards, entry: Instrument) -> bool:
    if not holds(cards, FrameRule(cards=entry.match)):
        return False
    if entry.valid_from is None and entry.valid_to is None:
        return True
    date = _date_obs(cards, entry)
    return (
        date is not None
        and (entry.valid_from is None or entry.valid_from <= date)
        and (entry.valid_to is None or date < entry.valid_to)
    )


def _instrument_name(cards: Cards, entry: Instrument | None) -> tuple[str, str]:
    if entry is not None:
        matched = ", ".join(f"{keyword} = {cards[keyword.upper()]!r}" for keyword in entry.match)
        return entry.name, f"entry {entry.name}: {matched or 'it matches every frame'}"
    found = find(cards, KEYWORDS["instrument"], lambda value: slug(value) or None)
    if found is None:
        return "unknown", "no header card names it"
    keyword, name = found
    return name, f"{keyword} = {cards[keyword]!r}"


def _date_obs(cards: Cards, entry: Instrument | None) -> datetime | None:
    return moment(cards, _keywords("date_obs", entry), KEYWORDS["time_obs"])


def _exposure_time(cards: Cards, entry: Instrument | None) -> float | None:
    exposure = _value(cards, "exposure_time", _not_negative, entry)
    return None if exposure is None else exposure * (entry.exposure_time_unit_s if entry is not None else 1.0)


def _filter(cards: Cards, entry: Instrument | None) -> str | None:
    name = _value(cards, "filter", text, entry)
    if name is not None:
        return name
    for wheels in FILTER_WHEELS:
        names = [str(cards[wheel]).strip() for wheel in wheels if wheel in cards]
        if names:
            return "+".join(name for name in names if name.lower() not in OPEN_FILTERS) or "open"
    return None


def _gain_is_a_setting(cards: Cards) -> bool:
    return any(keyword in cards for keyword in GAIN_IS_A_SETTING_BESIDE)


def _header_gain(cards: Cards, entry: Instrument | None) -> float | None:
    keywords = _keywords("header_gain", entry)
    if _gain_is_a_setting(cards):
        keywords = tuple(keyword for keyword in keywords if keyword != "GAIN")
    return value_of(cards, keywords, _positive)


def _configuration(cards: Cards, shape: tuple[int, int], entry: Instrument | None) -> str:
    if entry is not None and entry.configuration:
        values = ((keyword.lower(), cards.get(keyword.upper())) for keyword in entry.configuration)
        return slug("_".join(f"{keyword}{_setting(value)}" for keyword, value in values))
    parts = ["bin{}x{}".format(*_binning(cards))]
    for prefix, keywords in READ_SETTINGS:
        found = find(cards, keywords, text)
        if found is not None and (found[0] != "GAIN" or _gain_is_a_setting(cards)):
            parts.append(f"{prefix}{_setting(found[1])}")
    return slug("_".join(parts + _window(cards, shape)))


def _setting(value: object) -> str:
    """Return a setting as text, the same however its number is written."""
    numeric = number(value)
    return f"{numeric:g}" if numeric is not None else str(value).strip().replace("_", "-")


def _binning(cards: Cards) -> tuple[int, int]:
    for keywords in BINNING:
        x, y = (value_of(cards, (keyword,), _count) for keyword in keywords)
        if x is not None:
            return x, y or x
    for keyword in BINNING_PAIR:
        factors = re.fullmatch(r"\s*(\d+)[\sx,]+(\d+)\s*", str(cards.get(keyword, "")), re.IGNORECASE)
        if factors is not None:
            return int(factors[1]), int(factors[2])
    return 1, 1


def _window(cards: Cards, shape: tuple[int, int]) -> list[str]:
    """Name the window where the header says that it is not the whole detector; no two windows mix."""
    origin = [value_of(cards, (keyword,), number) or 0 for keyword in WINDOW_ORIGIN]
    if any(origin):
        return ["{}x{}+{:g}+{:g}".format(shape[1], shape[0], *origin)]
    whole, part = (re.findall(r"\d+", str(cards.get(keyword, ""))) for keyword in WINDOW_RECTANGLES)
    return ["-".join(["window", *part])] if whole and part and whole != part else []


def _not_negative(value: object) -> float | None:
    result = number(value)
    return result if result is not None and result >= 0 else None


def _positive(value: object) -> float | None:
    return _not_negative(value) or None


def _count(value: object) -> int | None:
    result = number(value)
    return int(result) if result is not None and result >= 1 else None


def _celsius(value: object) -> float | None:
    """Return a temperature in °C; None for the numbers that drivers write when they do not know it."""
    result = number(value)
    return result if result is not None and -273.15 < result < 100 else None
