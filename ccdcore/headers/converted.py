"""What cards say that a camera or a program made of the numbers of its converter: other units, other noise."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ccdcore.cards.values import Cards, find, number

A_RATE = "a rate"
NO_ADU = ("BUNIT is", "DATATYPE is", "CNTCVTMD is", "COUNTCONVERTMODE is")
"""How the reason of a frame's type tells of pixels in another unit than raw ones have: Andor converts counts."""
_COUNT_CONVERSION = NO_ADU[2:]
FILTERED = "changed by the camera before it was written"
"""… and of noise that is not that of the read-out."""
_FILTERS: Mapping[str, str] = {
    **dict.fromkeys(("SPSNFLTR", "SPURIOUSNOISEFILTER"), "spurious noise was filtered out"),
    **dict.fromkeys(("PCNTENLD", "PHOTONCOUNTINGENABLED"), "photons were counted above a threshold"),
}
"""Andor's switches, in both spellings."""
_RATE = re.compile(r"(/|\bper\b)\s*\(?\s*s(ec(onds?)?)?\b|\bs(ec)?\s*(\^|\*\*)?\s*\(?-1", re.IGNORECASE)
_CALIBRATED = re.compile(r"^\W*(e|(photo-?)?electrons?|photons?|[mun]?jy|mjy|mag|erg|flam|fnu)\b", re.IGNORECASE)


def other_unit(cards: Cards) -> str | None:
    """Say in words that pixels are in a unit of calibrated images, or converted by the camera; None where not."""
    unit = str(cards.get("BUNIT", "")).strip()
    if _RATE.search(unit):
        said = "already calibrated, or divided by the exposure time"
        return f"BUNIT is {unit!r}, {A_RATE}: {said}, raw frames are in ADU"
    if _CALIBRATED.search(unit):
        return f"BUNIT is {unit!r}: already calibrated, raw frames are in ADU"
    if _CALIBRATED.search(kind := str(cards.get("DATATYPE", ""))):
        return f"DATATYPE is {kind.strip()!r}: the camera converted its counts, raw frames are in ADU"
    for keyword in (said.split()[0] for said in _COUNT_CONVERSION):
        if (mode := number(cards.get(keyword))) is not None and mode > 0:
            return f"{keyword} is {mode:g}: the camera converted its counts (electrons? photons?), raw ones are in ADU"
    return None


def changed_noise(cards: Cards) -> str | None:
    """Say in words which filter of the camera was on, so that the noise is not the detector's; None where none was."""
    on = find(cards, _FILTERS, _switched_on)
    return on and f"{FILTERED} ({on[0]} = {on[1]:g}: {_FILTERS[on[0]]}): its noise is not the detector's"


def _switched_on(value: object) -> float | None:
    mode = number(value)
    return mode if mode is not None and mode > 0 else None
