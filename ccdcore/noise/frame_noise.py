"""Whose noise it is that two frames differ by: that of both alike, or of one more than of the other.

The variance of a difference is the sum of both. With noises a and b on the same light, the difference a − b and the
sum a + b have the covariance Var(a) − Var(b). Differences between neighbours free both of the light; the pattern of
the pixels stays in the sum, where it does no harm as long as a lamp that changes leaves none of it in the difference.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from ccdcore.numerics.robust import sum_of_squares

_APART = 2
"""Pixels; beside each other are two colours where there is a mosaic of them."""

_OUTLIER, _STEEPEST = 5.0, 10.0
"""σ of the noise: neighbours that differ by more are left out."""

_FEWEST = 1000
_SHARED = 1.5
"""Of the uncertainty, as each pixel is in two differences; somewhat more than √1.5."""

_UNEQUAL, _SIGMAS = 0.2, 5.0
"""Noise variances of 3 to 2; the average of two frames has half that of one."""

_MOST_PIXELS = 2**19
_LAMP_PIXELS = 33
"""Along a row, over which the flux ratio of two frames is taken to be one."""


def some_rows(shape: tuple[int, int]) -> slice:
    """Return rows that are enough to compare two frames."""
    return slice(None, None, max(1, shape[0] * shape[1] // _MOST_PIXELS))


def at_equal_light(
    first: npt.NDArray[Any], second: npt.NDArray[Any], noise: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return two flats, each times what makes their light the same along the rows.

    Parameters
    ----------
    first, second : ndarray, shape (rows, columns)
        Light in ADU.
    noise : ndarray
        1 σ of their sum in ADU, of a shape that broadcasts to theirs.
    """
    ratio = uniform_filter1d(np.nan_to_num(first - second), _LAMP_PIXELS)
    ratio /= np.maximum(uniform_filter1d(np.nan_to_num(first + second), _LAMP_PIXELS), _OUTLIER * noise)
    return first * (1 - ratio), second * (1 + ratio)


def noise_asymmetry(first: npt.NDArray[Any], second: npt.NDArray[Any], variance: npt.NDArray[Any] | float) -> float:
    """Return the noise variance of the first frame less that of the second, over their sum; 0 where that may be chance.

    Parameters
    ----------
    first, second : ndarray, shape (rows, columns)
        In ADU, of the same mean light; NaN where a pixel is of no use.
    variance : ndarray or float
        Of the difference of the two, in ADU², as all pixels have it.
    """
    one, two = first.astype(np.float64), second.astype(np.float64)
    noise = np.broadcast_to(np.asarray(variance), first.shape)
    difference, total = ((image[:, _APART:] - image[:, :-_APART]) for image in (one - two, one + two))
    noise = noise[:, _APART:] + noise[:, :-_APART]
    with np.errstate(invalid="ignore"):
        squares = difference**2
        kept = (squares < _OUTLIER**2 * noise) & (total**2 < _STEEPEST**2 * noise)
    if np.count_nonzero(kept) < _FEWEST:
        return 0.0
    squares /= noise
    norm = float(squares.sum(where=kept))
    if norm == 0:
        return 0.0
    products = difference * total / noise
    products[~kept] = 0
    found, uncertainty = float(products.sum()) / norm, _SHARED * sqrt(sum_of_squares(products)) / norm
    return found if abs(found) > max(_UNEQUAL, _SIGMAS * uncertainty) else 0.0
