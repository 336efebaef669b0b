"""How values, units and times are written for people."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

UNITS = {"e/ADU": "e⁻/ADU", "e": "e⁻", "adu": "ADU", "adu/s": "ADU/s"}
_QUANTITIES = {"a00": "a₀₀"}
"""What is not the name with spaces."""
_UNIT_AT_THE_END = ("_adu", "_e")


def unit(text: str) -> str:
    """Return a unit as people write it."""
    return UNITS.get(text, text)


def quantity(name: str) -> str:
    """Return the name of a quantity in words."""
    ending = next((one for one in _UNIT_AT_THE_END if name.endswith(one)), "")
    return _QUANTITIES.get(name, name.removesuffix(ending).replace("_", " "))


def measured(value: float | None, uncertainty: float | None = None) -> str:
    """Write a value with two digits of its uncertainty; with five digits where there is none."""
    if value is None:
        return "–"
    if not uncertainty or not math.isfinite(uncertainty):
        return f"{value:.5g}"
    digits = max(0, 1 - math.floor(math.log10(uncertainty)))
    if digits > 6:
        return f"{value:.2e} ± {uncertainty:.1e}"
    return f"{value:.{digits}f} ± {uncertainty:.{digits}f}"


def when(time: datetime | date | str | None) -> str:
    """Write a time in UTC to the minute, a date as it is."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time) if "T" in time else date.fromisoformat(time)
    if time is None:
        return "–"
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}" if isinstance(time, datetime) else time.isoformat()


def limits(low: float | None, high: float | None) -> str:
    """Write limits as a span."""
    if low is None and high is None:
        return "none"
    if low is None:
        return f"≤ {high:g}"
    return f"≥ {low:g}" if high is None else f"{low:g} – {high:g}"
