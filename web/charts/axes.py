"""Ranges and ticks of an axis, of numbers and of times."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, dropwhile, takewhile

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MANY_SPANS = 4.0
"""A range is widened to single far values up to so many times; beyond, they are drawn at its edge."""
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240)
_HOURS = (1, 3, 6, 12, 24, 48, 120, 240)


def value_range(
    values: Floats, uncertainties: Floats, limits: Sequence[float | None] = (), *, whole: bool = False
) -> tuple[float, float]:
    """Return what an axis of values should span.

    Parameters
    ----------
    values, uncertainties : ndarray
        At least one value; an unknown uncertainty is 0.
    limits : sequence of float or None
        Limits; one is included where that does not flatten the values.
    whole : bool
        Whether to span all values, even if a few lie so far out that the rest becomes a line.
    """
    low, high = _typical_range(values, uncertainties)
    widest = _MANY_SPANS * (high - low)
    farthest = [*limits, float((values - uncertainties).min()), float((values + uncertainties).max())]
    nearest_first = sorted((one for one in farthest if one is not None), key=lambda one: max(low - one, one - high))
    for one in nearest_first:
        if max(high, one) - min(low, one) <= widest:
            low, high = min(low, one), max(high, one)
    if whole:
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def _typical_range(values: Floats, uncertainties: Floats) -> tuple[float, float]:
    """Return a range that nine in ten values leave half empty, and never one narrower than their uncertainty."""
    ordered, last = np.sort(values), len(values) - 1
    low, high = float(ordered[math.floor(0.05 * last)]), float(ordered[math.ceil(0.95 * last)])
    middle = (low + high) / 2
    typical = float(np.sort(uncertainties)[last // 2])
    half = max(high - low, 3 * typical, 1e-3 * abs(middle), 1e-12)
    return middle - half, middle + half


def value_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Return round values between two, at least one and at most so many (two or more), and how each is written."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (factor * power for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < most:
            break
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(n * step, f"{n * step:.{digits}f}") for n in range(first, last + 1)]


def decade_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Return round values between two powers of ten, at least one and about so many at most, and how each is written.

    Parameters
    ----------
    low, high : float
        Logarithms to the base of ten of what the axis spans.
    most : int
        Values; two or more.

    Returns
    -------
    list of tuple
        Logarithm and text of each; 1, 2, 5 of each power of ten, powers alone or some of them where that is too many.
    """
    for factors, step in (((1, 2, 5), 1), *(((1,), step) for step in (1, 2, 3, 5, 10, 20))):
        powers = [power for power in range(math.floor(low), math.ceil(high) + 1) if power % step == 0]
        found = [(math.log10(factor) + power, f"{factor * 10.0**power:g}") for power in powers for factor in factors]
        inside = [tick for tick in found if low <= tick[0] <= high]
        if len(inside) <= most:
            break
    if len(inside) >= 2:
        return inside
    return [(math.log10(value), text) for value, text in value_ticks(10**low, 10**high, most) if value > 0]


def time_range(times: Sequence[datetime]) -> tuple[datetime, datetime]:
    """Return what an axis of times should span: all of them and a little more, at least two days."""
    first, last = min(times), max(times)
    margin = max(0.015 * (last - first), timedelta(hours=6) if last > first else timedelta(days=1))
    return first - margin, last + margin


def time_ticks(first: datetime, last: datetime, most: int) -> list[tuple[datetime, str]]:
    """Return round times (UTC) between two, and how each is written."""
    days = (last - first) / timedelta(days=1)
    months = next((step for step in _MONTHS if days / 30.4 / step <= most), _MONTHS[-1])
    hours = next((step for step in _HOURS if days * 24 / step <= most), None)
    if hours is not None and hours < 720 * months:
        steps, written = _by_hours(first, hours), ("%b {day}" if hours >= 24 else "%b {day} %H:%M")
    else:
        steps, written = _by_months(first, months), ("%Y" if months >= 12 else "%Y-%m")
    inside = takewhile(lambda when: when <= last, dropwhile(lambda when: when < first, steps))
    return [(when, when.strftime(written).format(day=when.day)) for when in inside]


def _by_months(first: datetime, step: int) -> Iterator[datetime]:
    for index in range((first.year * 12 + first.month - 1) // step * step, 9999 * 12, step):
        yield datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def _by_hours(first: datetime, step: int) -> Iterator[datetime]:
    width = timedelta(hours=step)
    begin = datetime(first.year, 1, 1, tzinfo=UTC)
    return (begin + n * width for n in count((first - begin) // width))
