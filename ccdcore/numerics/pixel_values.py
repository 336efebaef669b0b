"""What numbers pixels are: the step that they were digitised in, and where their noise was cut off.

Cameras of 10, 12 and 14 bits are often written padded to 16, drivers multiply, programs divide by 65535 or take a
constant off: numbers are then not all whole ADU from 0 on, but they still lie on a grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_RARE = 1e-3
"""So few of the pixels may lie off the grid: those at the limit of the range, repaired ones, marks of the driver."""

_DENSE = 20
"""Pixels for each value, in the middle of the distribution, from which on a missing value is no chance."""

_STRETCHED = 1.2
_FEWEST_VALUES = 3
_TO_THE_GRID = 0.15
"""How far from it, in steps, a value on a grid may lie: numbers were rounded, more than once."""

_FINE, _LEAST_NOISE = 0.25, 0.2
"""Numbers that differ by less than so many ADU, and scatter by less, are none: √(1/12) is the scatter of rounding."""

_AVERAGE_PIXELS = 10_000
_MOST_AVERAGED = 100
_EXACT = 1e-4
_ROUNDING = 1.5

_MULTIPLE, _ON_GRID = 1e-3, 0.75
"""How near two steps are to a whole ratio; the part of honest pixels that lie on the wider grid at least."""

_HIDDEN, _MINDS = 0.3, 2.0
"""Noise in steps that uneven ones matter for: less is hidden by them anyway."""

_OFTEN, _MISSED = 0.02, 2
"""Part of the commonest number that is often; steps from one number to the next but one."""

_SCATTERS, _NO_NUMBER = 16.0, 0.3
"""How much more numbers scatter with their bytes in the wrong order; and part of them that are then absurd."""

_ABSURD = 1e12

_BULK = 0.7
_CUT_PIXELS, _CUT_FRACTION = 30, 1e-3
"""So many pixels, and so large a part of them, must have been cut off to be told."""


def grid_step(values: Values, counts: Counts, rounding: float) -> float:
    """Return the distance of the values that pixels can have.

    Parameters
    ----------
    values, counts : ndarray
        The distinct values, ascending, and how often each occurs.
    rounding : float
        How far numbers are from what they stand for, by the type they are held in; 0 of whole numbers.

    Returns
    -------
    float
        1 of whole numbers that show no other, 0 of continuous ones. That of a grid that was stretched and rounded
        again, so that its steps are two whole numbers in turn, is their mean.
    """
    whole = rounding == 0
    ordered = np.sort(counts)
    common = counts >= ordered[np.searchsorted(np.cumsum(ordered), _RARE * ordered.sum(), side="right")]
    kept = values[common]
    if kept.size < _FEWEST_VALUES:
        return float(whole)
    gaps = np.diff(kept)
    if not whole:
        return _real_step(kept, gaps[gaps > _ROUNDING * rounding], rounding)
    step = float(np.gcd.reduce(gaps.astype(np.int64)))
    return step if step > 1 else max(1.0, _stretched(values, counts))


def _real_step(values: Values, gaps: Values, rounding: float) -> float:
    """Return the step of floating-point numbers; 0 where they are on no grid that is wide against their rounding."""
    if gaps.size < _FEWEST_VALUES - 1:
        return 0.0
    step, span = float(gaps.min()), float(values[-1] - values[0])
    # Rounding is all of the error of one gap, and next to nothing of that of many: from the middle, where values are
    # dense, outwards, so that steps are never miscounted.
    distance = np.abs(values - values[values.size // 2])
    reach, is_all = 8.0, False
    while not is_all:
        some = values[distance <= reach * step]
        is_all = some.size == values.size
        if (extent := float(some[-1] - some[0])) > 0:
            step = extent / max(1, round(extent / step))
        reach *= 4
    if step * _TO_THE_GRID < _ROUNDING * rounding or span == 0:
        return 0.0
    places = (values - values[0]) / step
    off = np.abs(places - np.rint(places)) > _TO_THE_GRID
    return 0.0 if np.mean(off) > _RARE else step


def _stretched(values: Values, counts: Counts) -> float:
    """Return the mean step of whole numbers of which some never occur, though their neighbours often do; else 1."""
    below = np.cumsum(counts)
    low, high = np.searchsorted(below, [0.1 * below[-1], 0.9 * below[-1]])
    middle = values[low : high + 1]
    gaps = np.diff(middle)
    is_wide = gaps.size > 1 and gaps.min() > 1  # no two that are next to each other: few will do
    if middle.size < (_FEWEST_VALUES if is_wide else 2 * _FEWEST_VALUES):
        return 1.0
    if counts[low : high + 1].sum() < _DENSE * middle.size:
        return 1.0
    regular = np.abs(gaps - np.median(gaps)) <= 1  # gaps between two lights are wider
    if np.mean(regular) < 1 - 1 / _DENSE:
        return 1.0
    step = float(gaps[regular].mean())
    return step if step > _STRETCHED else 1.0


def cut_fraction(values: Values, counts: Counts, step: float) -> float:
    """Return which part of pixels without light was cut off at the lowest value; 0 where that is not to be seen.

    Parameters
    ----------
    values, counts : ndarray
        The distinct values, ascending, and how often each occurs.
    step : float
        Their step (`grid_step`).

    Notes
    -----
    What lies below the lowest value that occurs is the end of the distribution, or it was cut off. The part of normal
    noise that is below a limit, Φ((limit − μ)/σ), is not changed by a cut further down: a line through Φ⁻¹ of what is
    seen, up to the bulk, says what there would be below. A pile-up must be there too; at 0, where unsigned numbers
    end, that may be less steep.
    """
    n = int(counts.sum())
    if (
        step == 0
        or values.size < 2
        or values[1] - values[0] > 3 * step
        or counts[0] < max(_CUT_PIXELS, _CUT_FRACTION * n)
    ):
        return 0.0
    below = np.cumsum(counts) / n
    of_flank = int(np.searchsorted(below, _BULK))
    if values[0] != 0 and (counts[0] < counts[1] / 2 or of_flank < 2):
        return 0.0
    last = max(2, of_flank + 1)
    seen = below[:last] < 1
    if np.count_nonzero(seen) < 2:
        return float(below[0]) if values[0] == 0 else 0.0
    edges, normal = values[:last][seen] + step / 2, ndtri(below[:last][seen])
    slope, intercept = np.polyfit(edges - values[0], normal, 1)
    cut = float(ndtr(intercept - slope * step / 2))
    return cut if cut > _CUT_FRACTION and n * cut > _CUT_PIXELS else 0.0


def cut_off(fraction: float, floor: float) -> str | None:
    """Say in words that a fraction of the biases' noise was cut off at ``floor``, in ADU (`cut_fraction`), or None."""
    if fraction == 0:
        return None
    return (
        f"the biases are cut off at {floor:g} ADU, below which {fraction:.1%} of their pixels would be: "
        "read noise is too small and the level too high: raise the camera's offset"
    )


def are_bytes_swapped(pixels: npt.NDArray[Any]) -> bool:
    """Whether the bytes of numbers were written in the wrong order.

    Light is smooth: numbers scatter least from pixel to pixel with their bytes in order, floating-point ones are absurd
    without.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        As read; some rows will do.
    """
    native = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    if native.dtype.kind == "f":
        return bool(_absurd(native) > _NO_NUMBER and _absurd(native.byteswap()) < _RARE)
    if native.dtype.itemsize == 1 or native.dtype.kind not in "iu" or min(native.shape) < 2:
        return False
    bits = native.view(f"u{native.dtype.itemsize}")
    sign = bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    below = bits[bits < bits.max()]
    if below.size == 0 or (bits.itemsize == 2 and np.mean(below % 256 == 0) > 1 / 2):  # 8 bits, multiplied, or as good
        return False
    # As it would be without BZERO, and with it; numbers below zero count as such.
    others = native.byteswap(), ((bits ^ sign).byteswap() ^ sign).view(native.dtype)
    return _scatter(native) > _SCATTERS * min(map(_scatter, others)) > 0


def _absurd(numbers: npt.NDArray[Any]) -> float:
    size = np.abs(numbers)
    return float(np.mean(~(size < _ABSURD) | ((size > 0) & (size < 1 / _ABSURD))))


def _scatter(numbers: npt.NDArray[Any]) -> float:
    return float(np.mean(np.abs(np.diff(numbers.astype(np.float64), axis=1))))


def missing_number(values: Values, counts: Counts, step: float, noise: float) -> str | None:
    """Say in words that numbers amid those that biases often have never occur, where it matters; None where not.

    Parameters
    ----------
    values, counts : ndarray
        The distinct values, ascending, and how often each occurs.
    step : float
        Their step (`grid_step`).
    noise : float
        Scatter of one pixel, in the same unit.

    Notes
    -----
    A converter with missing codes, or numbers that were stretched or bent and rounded again: wider noise does not mind.
    """
    if step <= 0 or not _HIDDEN < noise / step < _MINDS:
        return None
    often = np.flatnonzero(counts >= max(_DENSE, _OFTEN * counts.max()))
    gaps = np.diff(values[often[0] : often[-1] + 1]) / step if often.size else np.empty(0)
    if not gaps.size or gaps.max() != _MISSED or not np.array_equal(gaps, np.rint(gaps)):
        return None
    missing = float(values[often[0] + int(np.argmax(gaps))] + step)
    return (
        f"the biases never have the number {missing:g}, though often those beside it: the converter misses codes, or "
        f"the numbers were changed and rounded again: a read noise of {noise / step:.1f} steps is wrong by it"
    )


def not_adu(step: float, noise: float) -> str | None:
    """Say in words why numbers cannot be ADU of one exposure: they scatter less than rounding to ADU alone would make.

    Parameters
    ----------
    step : float
        Of the values of a frame (`grid_step`).
    noise : float
        Scatter of one pixel, in the same unit.

    Returns
    -------
    str or None
        None where they may be.
    """
    if step > _FINE or not 0 < noise < _LEAST_NOISE:
        return None
    return (
        f"its pixels are no ADU: fractions that scatter by {noise:.2g} only, from a program that scales them (to 0…1, "
        "to per cent): give the camera's own files, or write whole numbers of 16 bits"
    )


def averages_of(pixels: npt.NDArray[Any], step: float) -> int:
    """Return how many raw frames an image of fractional numbers is the mean of; 1 where its pixels do not show it.

    The mean of n whole numbers is a multiple of 1/n, and many of the n fractional parts occur. A constant that was
    taken off does not matter.

    Parameters
    ----------
    pixels : ndarray
        Of any shape.
    step : float
        Their step (`grid_step`).
    """
    if pixels.dtype.kind != "f" or not 0 < step < 1:
        return 1
    n = round(1 / step)
    sample = pixels[np.isfinite(pixels)][:_AVERAGE_PIXELS].astype(np.float64)
    if n > _MOST_AVERAGED or abs(n * step - 1) > _EXACT or sample.size == 0:
        return 1
    parts = np.unique(np.rint((sample - sample[0]) * n).astype(np.int64) % n)
    return n if parts.size > n / 2 else 1


def averaged_to(fine: tuple[Values, Counts, float], wide: float) -> int:
    """Return how many exposures numbers are the mean of that lie on a grid n times finer than their camera's; else 1.

    Not only steps are compared: marks of a driver off the grid, as 65535 for what is saturated, make none finer.

    Parameters
    ----------
    fine : tuple
        The distinct values, ascending, how often each occurs, and their step (`grid_step`).
    wide : float
        Step of the numbers of the same camera in other frames, in the same unit.
    """
    values, counts, step = fine
    if step == 0 or wide == 0:
        return 1
    n = round(wide / step)
    if not 1 < n <= _MOST_AVERAGED or abs(wide / step - n) > _MULTIPLE * n:
        return 1
    parts = np.bincount(np.rint((values - values[0]) / step).astype(np.int64) % n, counts)
    return n if parts.max() < _ON_GRID * counts.sum() else 1
