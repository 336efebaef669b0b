"""How Siril finds masters: by names that it makes of the header of a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ccdcore.io.stream import value_of

_STEMS = {"bias": "bias", "dark": "dark_without_bias", "flat": "flat"}
"""A dark of Siril's own making holds the bias: who takes this one for such a dark is to see that it is none."""
_KEYS = (
    ("flat", "FILTER", "", ""),
    ("dark", "EXPTIME", "", "s"),
    ("", "GAIN", "G", ""),
    ("", "OFFSET", "O", ""),
    ("", "SET-TEMP", "T", "C"),
    ("", "XBINNING", "B", ""),
)
"""Cards of a frame that tell its master: of which kind only, the card, and what stands before and after its value."""
_REPLACED = str.maketrans(dict.fromkeys(" /\\\"'?%*:|<>;=", "_"))
_MOST_DECIMALS = 3
_NEAR = 1e-3
"""Part of a value that its decimals may leave out."""


def siril_names(kind: str, headers: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """Return the pattern by which Siril finds the masters of a kind, and the name of each.

    Siril reads what stands between dollar signs from the header of the frame that it calibrates (path parsing, from
    version 1.2 on), and prints it as C does. So the pattern has the cards that all of the masters have.

    Parameters
    ----------
    kind : str
        ``bias``, ``dark`` or ``flat``.
    headers : sequence of mapping
        The primary header of each: keyword → value.
    """
    pattern, names = [_STEMS[kind]], [[_STEMS[kind]] for _ in headers]
    for only, keyword, before, after in _KEYS:
        values = [value_of(header, keyword) for header in headers]
        if only not in ("", kind) or (form := _form(values)) is None:
            continue
        pattern.append(f"{before}${keyword}:{form}${after}")
        for parts, value in zip(names, values, strict=True):
            parts.append(f"{before}{_printed(form, value)}{after}")
    return f"{'_'.join(pattern)}.fit", [f"{'_'.join(parts)}.fit" for parts in names]


def _form(values: Sequence[Any]) -> str | None:
    """Return how C prints values so that they can be told; None where there are none, or not all are of one kind."""
    if all(isinstance(one, str) and one.strip() for one in values):
        return "%s"
    numbers = [float(one) for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) != len(values) or not all(map(math.isfinite, numbers)):
        return None
    enough = (n for n in range(_MOST_DECIMALS) if all(abs(round(one, n) - one) <= _NEAR * abs(one) for one in numbers))
    return f"%.{next(enough, _MOST_DECIMALS)}f"


def _printed(form: str, value: Any) -> str:
    return _plain(value) if form == "%s" else form % value


def _plain(text: str) -> str:
    return text.strip().translate(_REPLACED)
