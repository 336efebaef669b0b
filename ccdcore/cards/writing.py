"""Cards as FITS can hold them."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from astropy.io import fits

_LONGEST_KEYWORD = 8


def set_card(header: fits.Header, keyword: str, value: Any) -> None:
    """Set a card to what FITS can hold of a value; None, NaN and infinity set none.

    Parameters
    ----------
    header : Header
        Gets the card.
    keyword : str
        As in `ccdcore.cards.values.Cards`, without ``HIERARCH``.
    value : object or (object, str)
        The value, or value and comment. Times are written in UTC; text in printable ASCII.
    """
    value, comment = value if isinstance(value, tuple) else (value, None)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(tzinfo=None).isoformat()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return
    if not isinstance(value, bool | int | float):
        value = plain_ascii(str(value))
    name = f"HIERARCH {keyword}" if is_hierarch(keyword) else keyword  # astropy warns of one that it has to add
    header[name] = (value, None if comment is None else plain_ascii(str(comment)))


def is_hierarch(keyword: str) -> bool:
    """Whether a keyword can only be written by ESO's convention."""
    return len(keyword) > _LONGEST_KEYWORD or " " in keyword


def plain_ascii(text: str) -> str:
    """Return ``text`` in printable ASCII: accents dropped, what has no likeness as a question mark."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in plain)
