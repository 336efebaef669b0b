"""Whether a camera's electron multiplication was on, by the cards of its headers."""

from __future__ import annotations

import re

from ccdcore.cards.values import Cards, RepeatedCard, number

_GAIN = re.compile(
    r"(^|[ ._-])(EM[ ._-]?(CCD|REAL|CAL)?[ ._-]?(GAIN|GAI|GN)|EMREALGN|EMCALGN|GAIN[ ._-]?EM"
    r"|(MULT|AVALANCHE|AVAL)[A-Z]*[ ._-]?(GAIN|GAI))[A-Z]{0,4}$"
)
"""EMREALGN (Andor), EMGAIN (Hamamatsu, Princeton, Nüvü), EM-GAIN, DET EMGAIN, DET EM GAIN (ESO), GAINEM, MULTGAIN."""

_OUTPUT = ("OUTPTAMP", "OUTAMP", "OUTPUTAM", "AMPTYPE", "READPORT", "DET READ PORT", "ADCPORT")
_MULTIPLIES = re.compile(r"(^|\W)(EM|EMCCD|electron multipl\w+|multiplication gain)(\W|$)", re.IGNORECASE)
_CONVENTIONAL = re.compile(r"conventional|low[ _-]?noise|traditional|non[ _-]?em", re.IGNORECASE)


def multiplication(cards: Cards) -> str | None:
    """Return the card that says that electrons were multiplied, in words; None where none does.

    Of an output that multiplies, a gain of 0 or 1 says that it did not; of a conventional one no gain counts.
    """
    output = next((str(cards[name]) for name in _OUTPUT if isinstance(cards.get(name), str)), "")
    if _CONVENTIONAL.search(output):
        return None
    gains = {
        name: gain
        for name, value in cards.items()
        if _GAIN.search(name) and not isinstance(value, RepeatedCard) and (gain := number(value)) is not None
    }
    for name, gain in gains.items():
        if gain > 1:
            return f"{name} = {gain:g}"
    if gains or not _MULTIPLIES.search(output):
        return None
    setting = number(cards.get("GAIN"))  # Andor's is that of the multiplication, where that output is read
    return None if setting is not None and setting <= 1 else f"the output is {output.strip()!r}"


def excess_noise(cards: Cards) -> str | None:
    """Say in words what electron multiplication does to a gain; None where it was off."""
    said = multiplication(cards)
    return said and (
        f"electron multiplication was on ({said}): its excess noise doubles the photon noise, so that a gain from "
        "noise is half of the true one, in photo-electrons: measure with the multiplication off, or double it"
    )
