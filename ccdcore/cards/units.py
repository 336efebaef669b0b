"""Values with a unit: ``'30.0 s'``, ``'1/60'``, ``'-20.1 C'``, or a number whose unit stands in its card's comment."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ccdcore.cards.values import number

_SECONDS: Mapping[str, float] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisec", "millisecs", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "usec", "usecs", "microsec", "microsecs", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
}
_KELVIN_ZERO_C = -273.15
_ZEROS_C: Mapping[str, float] = {
    **dict.fromkeys(
        ("c", "degc", "deg c", "celsius", "deg celsius", "degrees c", "degrees celsius", "centigrade"), 0.0
    ),
    **dict.fromkeys(("k", "kelvin", "kelvins", "degk", "deg k"), _KELVIN_ZERO_C),
}
"""Unit in small letters → seconds, and → its zero in °C."""

_USUAL: Mapping[str, frozenset[str]] = {
    "exposure_time": frozenset(unit for unit, seconds in _SECONDS.items() if seconds == 1),
    **dict.fromkeys(
        ("ccd_temperature", "set_temperature"), frozenset(unit for unit, zero in _ZEROS_C.items() if zero == 0)
    ),
}
"""Field → units that go without saying."""

_NUMBER = r"[-+]?\d*[.,]?\d+\.?(?:e[-+]?\d+)?"
_WITH_UNIT = re.compile(rf"({_NUMBER})(?: ?/ ?(\d+))? ?([a-zµ ]*)")
_IN_BRACKETS = re.compile(r"[\[(] *([a-zµ ]+?) *[\])]")
_IN_WORDS = re.compile(r"(?:\bin |, ?)(\w+)\s*$|\b((?:milli|micro)sec\w*|kelvins?)\b")


def seconds(value: object) -> tuple[float, bool] | None:
    """Return a time in seconds, or in its card's unit where none is said, and whether one is; None if unread.

    A fraction, ``1/60``, is one of seconds.
    """
    found = _parted(value, _SECONDS)
    if found is None:
        return None
    amount, unit, is_fraction = found
    return amount * _SECONDS.get(unit, 1.0), bool(unit) or is_fraction


def celsius(value: object) -> tuple[float, bool] | None:
    """Return a temperature in °C, or in its card's unit where none is said, and whether one is; None if unread."""
    found = _parted(value, _ZEROS_C)
    if found is None or found[2]:
        return None
    amount, unit, _ = found
    return amount + _ZEROS_C.get(unit, 0.0), bool(unit)


def with_unit_of_comment(name: str, value: object, comment: str) -> object:
    """Return a card's number with the unit that its comment names, as text; as it is where that goes without saying.

    Parameters
    ----------
    name : str
        What the card says: ``exposure_time``, ``ccd_temperature`` or ``set_temperature``.
    value : object
        Its value.
    comment : str
        Its comment: ``[ms] exposure time``.
    """
    if number(value) is None:
        return value
    said = comment.lower()
    named = [match[1] for match in _IN_BRACKETS.finditer(said)]
    named += [match[1] or match[2] for match in _IN_WORDS.finditer(said)]
    known = _SECONDS if name == "exposure_time" else _ZEROS_C
    unit = next((one for one in named if one in known), None)
    return value if unit is None or unit in _USUAL[name] else f"{str(value).strip()} {unit}"


def _parted(value: object, known: Mapping[str, float]) -> tuple[float, str, bool] | None:
    """Return number, unit in small letters, and whether it is a fraction; None where it is none or the unit unknown."""
    plain = number(value)
    if plain is not None:
        return plain, "", False
    match = _WITH_UNIT.fullmatch(" ".join(value.lower().replace("°", "").split())) if isinstance(value, str) else None
    amount = number(match[1]) if match else None
    if match is None or amount is None or (match[3] and match[3] not in known):
        return None
    divisor = number(match[2]) if match[2] else 1.0
    return (amount / divisor, match[3], bool(match[2])) if divisor else None
