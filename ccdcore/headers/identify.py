"""From header cards of any dialect to one `ExposureInfo`, with the reason for each decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from ccdcore.cards.dialects import AVERAGE_WORDS, FILTER_WHEELS, KEYWORDS, NO_SECTION, OPEN_FILTERS, UNIT_S
from ccdcore.cards.longitude import site_longitude
from ccdcore.cards.times import Moment, moment
from ccdcore.cards.units import celsius, seconds
from ccdcore.cards.values import Cards, RepeatedCard, count, find, key, number, slug, text, value_of
from ccdcore.headers.converted import changed_noise, other_unit
from ccdcore.headers.frame_type import classify, holds
from ccdcore.headers.instrument import FrameRule, FrameType, Instrument
from ccdcore.headers.readout_configuration import configuration_slug, gain_is_a_setting, serial_numbers

_T = TypeVar("_T")
_Reading = Callable[[object], object | None]
_KELVIN = 273.15
_ONE_EXPOSURE = ("EXPTIME", "EXPOSURE")
"""Cards that say the same of a frame, where a program writes both."""
_WARMEST_C = 60.0
"""No detector works above this; a larger number is in kelvin."""

UNUSABLE = "cannot be used"
"""How the reason of a frame's type tells of a card that does not say what it is to say."""


@dataclass(frozen=True, slots=True)
class ExposureInfo:
    """What the header and the configuration say of one frame.

    Parameters
    ----------
    frame_type : FrameType
        Bias, dark, flat or other.
    frame_type_reason : str
        The evidence it was taken from, in words; which cards of time, exposure
        and the like cannot be used; and what is odd about the file.
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
    set_temperature_c : float or None
        The temperature in °C that its cooler is set to.
    filter : str or None
        Filter name.
    longitude_deg : float or None
        East longitude of the site, in degrees, where the header has it.
    header_gain_e_per_adu, header_read_noise_e : float or None
        What the header claims; never used as a measurement.
    n_averaged : int
        Number of exposures averaged into this frame; 1 for a raw frame.
    serial : str or None
        Serial numbers of camera, detector and controller, as ``KEYWORD=value``, separated by commas.
    lossy : str or None
        The compression that changed the pixels, in words; None where none did.
    """

    frame_type: FrameType
    frame_type_reason: str
    instrument: str
    instrument_reason: str
    configuration: str
    date_obs: datetime | None = None
    exposure_time_s: float | None = None
    ccd_temperature_c: float | None = None
    set_temperature_c: float | None = None
    filter: str | None = None
    longitude_deg: float | None = None
    header_gain_e_per_adu: float | None = None
    header_read_noise_e: float | None = None
    n_averaged: int = 1
    serial: str | None = None
    lossy: str | None = None

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
        With None for what the header does not say, or says twice in different
        ways.
    """
    entry = find_instrument(cards, instruments)
    instrument, instrument_reason = _instrument_name(cards, entry)
    exposure_time_s = _exposure_time(cards, entry)
    ccd_temperature_c = _value(cards, "ccd_temperature", _celsius, entry)
    frame_type, frame_type_reason = classify(
        cards,
        filename=filename,
        object_card=find(cards, _keywords("object", entry), text),
        exposure_time_s=exposure_time_s,
        entry=entry,
    )
    began = _began(cards, entry)
    site = site_longitude(cards, _keywords("longitude", entry), began.when)
    numbers = {"exposure_time": (exposure_time_s, _figures), "ccd_temperature": (ccd_temperature_c, _words)}
    unusable = _doubts(cards, numbers, entry)
    odd = [_lost_exposure(cards, exposure_time_s), other_unit(cards), changed_noise(cards)]
    doubts = [*unusable, *filter(None, odd), *began.words, *site.words]
    return ExposureInfo(
        frame_type=frame_type,
        frame_type_reason="; ".join([frame_type_reason, *doubts]),
        instrument=instrument,
        instrument_reason=instrument_reason,
        configuration=configuration_slug(cards, shape, entry),
        date_obs=began.when,
        exposure_time_s=exposure_time_s,
        ccd_temperature_c=ccd_temperature_c,
        set_temperature_c=_value(cards, "set_temperature", _celsius, entry),
        filter=_filter(cards, entry),
        longitude_deg=site.degrees,
        header_gain_e_per_adu=_header_gain(cards, entry),
        header_read_noise_e=_value(cards, "read_noise", _positive, entry),
        n_averaged=_value(cards, "n_averaged", count, entry) or _average_in_words(cards, filename),
        serial=serial_numbers(cards),
    )


def says_type(info: ExposureInfo, cards: Cards, *, shape: tuple[int, int], instruments: Sequence[Instrument]) -> bool:
    """Whether header or name say what a frame is; else a copy of it under another name may be taken for something."""
    if info.frame_type is not FrameType.OTHER:
        return True
    named = identify(cards, filename="bias.fits", shape=shape, instruments=instruments)
    return named.frame_type is FrameType.OTHER


def _average_in_words(cards: Cards, filename: str) -> int:
    """Return the number in words like "ave of 5", in any card or in the file's name; 1 where there are none."""
    texts = (value for value in (*cards.values(), filename) if isinstance(value, str))
    said = (AVERAGE_WORDS.search(value.replace("_", " ")) for value in texts)
    return next((int(match[1]) for match in said if match), 1)


def _keywords(name: str, entry: Instrument | None) -> tuple[str, ...]:
    """Keywords for a field: the entry's, then those of the dialects."""
    own = entry.header.get(name) if entry is not None else None
    return (key(own), *KEYWORDS[name]) if own else KEYWORDS[name]


def _value(cards: Cards, name: str, convert: Callable[[object], _T | None], entry: Instrument | None) -> _T | None:
    return value_of(cards, _keywords(name, entry), convert)


def _doubts(cards: Cards, found: Mapping[str, tuple[object, _Reading]], entry: Instrument | None) -> Iterator[str]:
    """Say which cards could not be used, in words: of fields without a value, those that seem to mean one."""
    repeated = {
        word for name in KEYWORDS for word in _keywords(name, entry) if isinstance(cards.get(word), RepeatedCard)
    }
    for keyword in sorted(repeated):
        yield f"{keyword} stands more than once, as {cards[keyword]}"
    for name, (value, is_meant) in found.items():
        said = find(cards, _keywords(name, entry), is_meant)
        if value is None and said is not None:
            yield f"{said[0]} = {said[1]!r} {UNUSABLE}"


def _words(value: object) -> object | None:
    """Return a text that is no number, nor one of the words that say nothing; numbers may say that nobody knows."""
    is_text = isinstance(value, str) and number(value) is None
    return value if is_text and str(value).strip().lower() not in NO_SECTION else None


def _figures(value: object) -> object | None:
    """Return a value that has figures in it, and so ought to have been read."""
    return value if any(map(str.isdigit, str(value))) else None


def _belongs(cards: Cards, entry: Instrument) -> bool:
    if not holds(cards, FrameRule(cards=entry.match)):
        return False
    return entry.is_valid_at(_began(cards, entry).when)


def _instrument_name(cards: Cards, entry: Instrument | None) -> tuple[str, str]:
    if entry is not None:
        matched = ", ".join(f"{keyword} = {cards[key(keyword)]!r}" for keyword in entry.match)
        return entry.name, f"entry {entry.name}: {matched or 'it matches every frame'}"
    found = find(cards, KEYWORDS["instrument"], lambda value: slug(value) or None)
    if found is None:
        return "unknown", "no header card names it"
    keyword, name = found
    return name, f"{keyword} = {cards[keyword]!r}"


def _began(cards: Cards, entry: Instrument | None) -> Moment:
    exposure_s = _exposure_time(cards, entry) or 0.0
    return moment(cards, _keywords("date_obs", entry), KEYWORDS["time_obs"], exposure_s=exposure_s)


def _exposure_time(cards: Cards, entry: Instrument | None) -> float | None:
    found = find(cards, _keywords("exposure_time", entry), _duration)
    if found is not None and found[1][0] == 0 and found[0] in _ONE_EXPOSURE:
        found = find(cards, _ONE_EXPOSURE, _lasting) or found
    if found is None:
        return None
    keyword, (duration, is_in_seconds) = found
    unit = entry.exposure_time_unit_s if entry is not None else 1.0
    return duration if is_in_seconds else duration * UNIT_S.get(keyword, unit)


def _lost_exposure(cards: Cards, exposure_time_s: float | None) -> str | None:
    """Say that one card of the exposure is 0, as drivers write that lost it, where another is not; None where not."""
    zero = find(cards, _ONE_EXPOSURE, lambda value: None if _lasting(value) else _duration(value))
    if zero is None or not exposure_time_s or find(cards, _ONE_EXPOSURE, _lasting) is None:
        return None
    return f"{zero[0]} = {cards[zero[0]]!r}, but another card says {exposure_time_s:g} s, which is used"


def _filter(cards: Cards, entry: Instrument | None) -> str | None:
    """Return the filter in the beam; where the first card says that there is none, another wheel may hold one."""
    name = _value(cards, "filter", text, entry)
    if name is not None and not _is_open(name):
        return name
    for wheels in FILTER_WHEELS:
        names = [str(cards[wheel]).strip() for wheel in wheels if wheel in cards]
        if names and (name is None or any(map(str.isalpha, "".join(names)))):
            in_the_beam = "+".join(one for one in names if not _is_open(one))
            return in_the_beam or name or (names[0] if len(names) == 1 else "open")
    return name


def _is_open(name: str) -> bool:
    return name.lower().rstrip("0123456789-_ ") in OPEN_FILTERS


def _header_gain(cards: Cards, entry: Instrument | None) -> float | None:
    configured = entry is not None and "gain" in entry.header
    if gain_is_a_setting(cards) and not configured:
        cards = {keyword: value for keyword, value in cards.items() if keyword != "GAIN"}
    return _value(cards, "gain", _positive, entry)


def _duration(value: object) -> tuple[float, bool] | None:
    """Return a time that may be one of an exposure, as `ccdcore.cards.units.seconds` does."""
    found = seconds(value)
    return found if found is not None and found[0] >= 0 else None


def _lasting(value: object) -> tuple[float, bool] | None:
    found = _duration(value)
    return found if found is not None and found[0] > 0 else None


def _not_negative(value: object) -> float | None:
    result = number(value)
    return result if result is not None and result >= 0 else None


def _positive(value: object) -> float | None:
    return _not_negative(value) or None


def _celsius(value: object) -> float | None:
    """Return a temperature in °C, also from kelvin; None for numbers that drivers write when they do not know it."""
    found = celsius(value)
    if found is None:
        return None
    result, is_in_celsius = found
    if not is_in_celsius and _WARMEST_C < result < _KELVIN + _WARMEST_C:
        return result - _KELVIN
    return result if -_KELVIN < result <= _WARMEST_C else None
