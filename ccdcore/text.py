"""How values and text of unknown origin are written for people."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

_UNITS: Mapping[str, str] = {"e/ADU": "e⁻/ADU", "e": "e⁻", "adu": "ADU", "adu/s": "ADU/s", "e/s": "e⁻/s"}
"""Units as they are on record → as people write them, where that is not the same."""
_UNIT_AT_THE_END = ("_adu", "_e")
_DIGITS = re.compile(r"([0-9]+)")
_MOST_DECIMALS = 6
"""Smaller uncertainties are written as powers of ten."""


def unit_text(unit: str) -> str:
    """Return a unit of the record as people write it."""
    return _UNITS.get(unit, unit)


def name_in_words(name: str) -> str:
    """Return a name of the record in words, without a unit at its end."""
    ending = next((one for one in _UNIT_AT_THE_END if name.endswith(one)), "")
    return name.removesuffix(ending).replace("_", " ")


def listing(words: Sequence[str]) -> str:
    """Return for example ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return what names are sorted by so that people find them: N2 before N10.

    Parameters
    ----------
    name : str
        Of a detector, an amplifier, a file.
    """
    parts = filter(None, _DIGITS.split(name))
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def value_text(value: float | None, uncertainty: float | None = None, *, is_change: bool = False) -> str:
    """Write a value with two digits of its uncertainty; with five digits where there is none.

    Parameters
    ----------
    value, uncertainty : float or None
        In the same unit; the uncertainty is 1-σ.
    is_change : bool
        Whether it is a difference, which has a sign.
    """
    if value is None:
        return "–"
    sign = "+" if is_change else ""
    if not uncertainty or not math.isfinite(uncertainty):
        return f"{value:{sign}.5g}"
    decimals = max(0, 1 - math.floor(math.log10(uncertainty)))
    if decimals > _MOST_DECIMALS:
        return f"{f'{value:{sign}.2e}' if value else '0'} ± {uncertainty:.1e}"
    return f"{value:{sign}.{decimals}f} ± {uncertainty:.{decimals}f}"


def with_systematic(value: float | None, uncertainty: float | None, systematic: float | None) -> str:
    """Write a value with both parts of its uncertainty, each named; as `value_text` where no systematic one is known.

    Parameters
    ----------
    value, uncertainty, systematic : float or None
        In the same unit; the uncertainties are 1-σ, the first of them statistical.
    """
    text = value_text(value, uncertainty)
    if value is None or not systematic or not uncertainty:
        return text
    return f"{text} (statistical) ± {uncertainty_text(systematic)} (systematic)"


def uncertainty_text(uncertainty: float) -> str:
    """Write an uncertainty, 1-σ, with two digits."""
    return value_text(0.0, uncertainty).partition(" ± ")[2]


def one_line(text: object) -> str:
    """Return a header value, path or message as text that a terminal or a comment can bear: one line, no controls."""
    return "".join(c if c.isprintable() else " " for c in readable(str(text)))


def number_of(n: int, thing: str) -> str:
    """Return for example ``1 file``, ``2 files``."""
    return f"{n} {thing}{'s'[: n != 1]}"


def readable(text: str) -> str:
    """Return ``text`` with the bytes of a file name that are no UTF-8 shown as escapes."""
    return text.encode(errors="backslashreplace").decode()
