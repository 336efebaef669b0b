"""Robust statistics, and differences of integers that do not overflow."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

QUANTISATION_VARIANCE = 1 / 12
"""Variance that rounding adds, in units of the square of its step."""


def signed_difference(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``first`` − ``second``, of their shape and unit, in a type that holds it exactly."""
    whole = all(np.issubdtype(each.dtype, np.integer) for each in (first, second))
    wide = np.result_type(first, second, np.int32) if whole else np.dtype(np.float64)
    difference: npt.NDArray[Any] = np.subtract(first, second, dtype=wide)
    return difference


def summable(frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of a frame, of its shape and unit, in a type that holds the sum of a series exactly."""
    if frame.dtype.kind not in "iu":
        return frame.astype(np.float64)
    return frame.astype(np.int32 if frame.dtype.itemsize <= 2 else np.int64)


def median(values: npt.NDArray[Any]) -> float:
    """Return the median of values without NaN, at least one, shape (n,), in their unit: `numpy.median`, far sooner.

    NumPy looks for one rank with vector instructions, and for two at a time without.
    """
    half = values.size // 2
    parted = np.partition(values, half)
    return float(parted[half] if values.size % 2 else np.mean([parted[:half].max(), parted[half]]))


_MEDIAN_OVER_MEAN = 1.2533
"""The uncertainty of a median over that of a mean, of normal values."""


def median_and_error(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the median of values without NaN, at least one, shape (n,), and its 1-σ uncertainty, in their unit.

    The scatter is half the width of the central 68 %, which outliers do not widen.
    """
    low, middle, high = np.quantile(values, [0.158655, 0.5, 0.841345]).tolist()
    return middle, _MEDIAN_OVER_MEAN * (high - low) / 2 / float(values.size) ** 0.5


def sum_of_squares(values: npt.NDArray[Any]) -> float:
    """Return the sum of squares of values of any shape, in the square of their unit, added up in double precision.

    `numpy.dot` would start threads for a few thousand of them, and its last digits depend on the processor.
    """
    flat = values.reshape(-1)
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))


_SCATTER_SIGMA = 3.0


def widening(chi2: float, dof: int) -> float:
    """Return by what factor, without unit, a variance grows as points scatter more than their noise; 1 if by chance."""
    if dof <= 0 or chi2 / dof < 1 + _SCATTER_SIGMA * sqrt(2 / dof):
        return 1.0
    return chi2 / dof
