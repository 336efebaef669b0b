"""What makes frames comparable: binning, read-out settings, window."""

from __future__ import annotations

import re
from functools import partial

from ccdcore.cards.dialects import (
    BINNING,
    BINNING_PAIR,
    GAIN_IS_A_SETTING_BESIDE,
    GAIN_IS_A_SETTING_OF,
    KEYWORDS,
    MOST_E_PER_ADU,
    READ_SETTINGS,
    SERIAL_NUMBERS,
    WINDOW_ORIGINS,
    WINDOW_RECTANGLES,
)
from ccdcore.cards.values import Cards, count, find, key, number, slug, text, value_of
from ccdcore.headers.instrument import Instrument


def gain_is_a_setting(cards: Cards) -> bool:
    """Whether the card GAIN is a camera's setting (a word, or a number of its own) instead of electrons per ADU."""
    beside = any(keyword in cards for keyword in GAIN_IS_A_SETTING_BESIDE) or number(cards.get("READMODE")) is not None
    camera = " ".join(str(cards.get(keyword, "")) for keyword in KEYWORDS["instrument"])
    if "GAIN" not in cards or beside or GAIN_IS_A_SETTING_OF.search(camera):
        return "GAIN" in cards
    gain = number(cards["GAIN"])
    return not 0 < gain <= MOST_E_PER_ADU if gain is not None else bool(str(cards["GAIN"]).strip())


def configuration_slug(cards: Cards, shape: tuple[int, int], entry: Instrument | None) -> str:
    """Name what makes frames comparable, for example ``bin2x2_readtime1e-06``.

    The entry's keywords and their values where it has any; else binning, then
    read mode, gain and offset setting as far as the header has them, then the
    window where the header says that only a part of the detector was read.

    Parameters
    ----------
    cards : mapping
        The header.
    shape : tuple of int
        Rows and columns of the image.
    entry : Instrument or None
        The matching entry of the configuration.
    """
    if entry is not None and entry.configuration:
        values = ((keyword.lower(), cards.get(key(keyword), "none")) for keyword in entry.configuration)
        return slug("_".join(f"{keyword}{_setting(value)}" for keyword, value in values))
    parts = ["bin{}x{}".format(*_binning(cards))]
    for prefix, keywords, usual in READ_SETTINGS:
        found = find(cards, keywords, partial(_unless, usual))
        if found is not None and (found[0] != "GAIN" or gain_is_a_setting(cards)):
            parts.append(f"{prefix}{_setting(found[1])}")
    return slug("_".join(parts + _window(cards, shape)))


def serial_numbers(cards: Cards) -> str | None:
    """Return which of the cameras, detectors or controllers of one name it was: ``CAMSERNO=A-001, DETSER=7``."""
    values = {keyword: value_of(cards, (keyword,), text) for keyword in SERIAL_NUMBERS}
    return ", ".join(f"{keyword}={slug(value)}" for keyword, value in values.items() if value) or None


def _unless(usual: frozenset[str], value: object) -> str | None:
    return None if _setting(value).lower() in usual else text(value)


def _setting(value: object) -> str:
    """Return a setting as text, the same however its number is written."""
    numeric = number(value)
    return f"{numeric:g}" if numeric is not None else str(value).strip().replace("_", "-")


def _binning(cards: Cards) -> tuple[int, int]:
    for keywords in BINNING:
        x, y = (value_of(cards, (keyword,), count) for keyword in keywords)
        if x is not None:
            return x, y or x
    for keyword in BINNING_PAIR:
        factors = re.fullmatch(
            r"\s*(\d+)(?:\.0*)?(?:[\sx,]+(\d+)(?:\.0*)?)?\s*", str(cards.get(keyword, "")), re.IGNORECASE
        )
        if factors is not None:
            return int(factors[1]), int(factors[2] or factors[1])
    return 1, 1


def _window(cards: Cards, shape: tuple[int, int]) -> list[str]:
    """Name the window where the header says that it is not the whole detector; no two windows mix."""
    for *keywords, first in WINDOW_ORIGINS:
        origin = [value_of(cards, (str(keyword),), number) for keyword in keywords]
        offsets = [0.0 if value is None else value - float(first) for value in origin]
        if any(offsets):
            return ["{}x{}+{:g}+{:g}".format(shape[1], shape[0], *offsets)]
    whole, part = (re.findall(r"\d+", str(cards.get(keyword, ""))) for keyword in WINDOW_RECTANGLES)
    return ["-".join(["window", *part])] if whole and part and whole != part else []
