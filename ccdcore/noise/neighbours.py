"""What neighbouring pixels share of the noise, and what it lacks: signs of pick-up, patterns, and of programs.

Charges are read one by one: the noise of raw pixels is their own. It is not where colours were interpolated, frames
smoothed, enlarged or turned; nor does raw noise stop short of its tails, as it does where outliers were smoothed away.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt

from ccdcore.numerics.robust import sum_of_squares

_FAR = slice(4, 21)
"""Pixels apart from which on nothing is shared of what programs spread, though it is of what was picked up."""

_SHARED = 0.2
"""Part of the noise shared with a neighbour alone that no amplifier makes: slow ones share 0.1."""

_NO_TAILS, _SURELY = -0.12, 6.0
"""Excess of the fourth moment of noise that was cut off at 2.5 σ; and in σ of it."""

_LEAST_NOISE = 0.7
"""In steps: the difference of narrower noise has few values, and no shape."""


def correlation(image: npt.NDArray[np.float64]) -> float:
    """Return the correlation of a pixel with its eight neighbours, added up, of an image of mean 0.

    The image is of shape (rows, columns), in any unit.
    """
    pairs = [
        (image[:, 1:], image[:, :-1]),
        (image[1:], image[:-1]),
        (image[1:, 1:], image[:-1, :-1]),
        (image[1:, :-1], image[:-1, 1:]),
    ]
    covariance = sum(float(np.einsum("ij,ij->", one, two)) / one.size for one, two in pairs if one.size)
    return 2 * covariance / _variance(image)


def smooth_share(image: npt.NDArray[np.float64]) -> float:
    """Return which part of an image of mean 0, shape (rows, columns), is smooth.

    It is what pixels share across a corner, as noise of rows is not.
    """
    covariances = [
        float(np.mean(one * two))
        for one, two in ((image[1:, 1:], image[:-1, :-1]), (image[1:, :-1], image[:-1, 1:]))
        if one.size
    ]
    return min(covariances, default=0.0) / _variance(image)


def spread(image: npt.NDArray[np.float64]) -> float:
    """Return which part of the noise of an image of mean 0 a pixel shares with the next, and with none farther on.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        A difference of two exposures without light, without outliers.

    Returns
    -------
    float
        Along rows or columns, whichever is more: about 0 of raw frames, pick-up and noise of whole rows included,
        which is shared farther on as well.
    """
    return max(_spread(image), _spread(image.T))


def _spread(image: npt.NDArray[np.float64]) -> float:
    columns = image.shape[1]
    if columns <= 2 * _FAR.start:
        return 0.0
    shared = [float(np.mean(image[:, n:] * image[:, :-n])) for n in (1, *range(*_FAR.indices(columns // 2)))]
    return (shared[0] - max(map(abs, shared[1:]))) / _variance(image)


def _variance(image: npt.NDArray[np.float64]) -> float:
    return max(sum_of_squares(image) / image.size, 1e-12)


def resampled(share: float) -> str | None:
    """Say in words that frames without light were interpolated or smoothed, by the fraction of `spread`, if so."""
    if share < _SHARED:
        return None
    return (
        f"neighbouring pixels of the biases share {share:.0%} of their noise: frames that were interpolated (colours, "
        "a turn, another size) or smoothed, whose noise is too small and gain too high: give the camera's own files"
    )


def without_tails(image: npt.NDArray[np.float64], step: float) -> str | None:
    """Say in words that the noise of biases stops short of its tails; None where it does not.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        A difference of two biases in ADU, of mean 0, without outliers.
    step : float
        Of its values, in ADU.

    Notes
    -----
    It is the excess ⟨x⁴⟩/⟨x²⟩² − 3 of what rows and columns do not share, less that of rounding two frames,
    −step⁴/(60 ⟨x²⟩²), known to √(24/n). Noise that steps hide has no shape.
    """
    own = image - image.mean(axis=1, keepdims=True)
    own -= own.mean(axis=0)
    second = sum_of_squares(own) / own.size
    if second < 2 * (_LEAST_NOISE * step) ** 2 or second == 0:
        return None
    excess = sum_of_squares(own**2) / own.size / second**2 - 3 + step**4 / (60 * second**2)
    if excess > min(_NO_TAILS, -_SURELY * sqrt(24 / own.size)):
        return None
    return (
        "the noise of the biases stops short, as that of frames whose outliers a camera or program has smoothed away "
        "(noise or hot pixel filter): read noise is too small: switch the filter off"
    )
