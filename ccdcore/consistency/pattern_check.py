"""Whether the pattern of the light was the same in all flats of a master: condensation dries, dust moves, stars stay.

A pixel that scatters more than its noise from frame to frame may have been hit by a cosmic ray; a whole spot of such
pixels has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from ccdcore.reduction.master import Master

Image = npt.NDArray[Any]

_FEWEST_FRAMES = 4
_FALSE_ALARMS = 1e-6
"""So rare that what a clip at 5 σ leaves of one star, or cosmic ray, is below the limit."""

_NEIGHBOURS = 4
"""So many of its eight neighbours must scatter too, where a pixel is to be part of a spot."""

_LARGEST_SHARE, _FEWEST_PIXELS = 1e-3, 25
"""So large a part of the pixels, and so many of them, may be in spots."""

_MODEL_MAY_BE_OFF = 1.3
_PIXELS_AT_A_TIME, _LEAST_ROWS = 2**20, 64
_LEVELS = 24
_PRIOR = 4
"""Degrees of freedom of the noise model in a master's uncertainty.

As `ccdcore.combining.combine.PRIOR_DEGREES_OF_FREEDOM`.
"""


def pattern_remarks(
    master: Master, variance_of: Callable[[slice], tuple[Image, Image]], expected: tuple[float, float] | None
) -> list[str]:
    """Say in words that the pattern changed between the flats of a master; nothing where it did not.

    Parameters
    ----------
    master : Master
        A master flat.
    variance_of : callable
        Gives of some rows the variance of their values, without what the masters subtracted from all frames add, and
        the pixels to look at; both of shape (rows, columns).
    expected : tuple of float or None
        Variance of one value without light, and for each unit of it, by read noise and gain where these are known;
        else pixels are compared with those of the same light.
    """
    n_looked_at = n_spots = 0
    rows, columns = master.value.shape
    for start in range(0, rows, height := max(_LEAST_ROWS, _PIXELS_AT_A_TIME // columns)):
        band = slice(start, start + height)
        n_used, value = master.n_used[band], master.value[band]
        variance, usable = variance_of(band)
        looked_at = usable & (2 * n_used > len(master.inputs)) & (n_used >= _FEWEST_FRAMES)
        if looked_at.any():
            n_looked_at += int(np.count_nonzero(looked_at))
            n_spots += int(np.count_nonzero(_in_spots(_scatters(variance, n_used, value, looked_at, expected))))
    if n_spots < max(_FEWEST_PIXELS, _LARGEST_SHARE * n_looked_at):
        return []
    return [
        f"{n_spots / n_looked_at:.1%} of its pixels are in spots that changed from frame to frame by more than noise: "
        "condensation that dried, dust or a gradient that moved, or stars that stood still while the sky faded"
    ]


def _scatters(
    variance: Image, n_used: Image, value: Image, looked_at: Image, expected: tuple[float, float] | None
) -> Image:
    """Return which pixels scatter more than noise and those of the same light do, too much for chance."""
    n, light = n_used[looked_at].astype(np.float64), value[looked_at]
    # u² = [4σ² + Σ(x − x̄)²]/[(n + 3) n], with a sum of squares that is χ² of n − 1 degrees of freedom times σ².
    squares = variance[looked_at] * n * (n + _PRIOR - 1)
    freedoms = np.arange(n.max() + 1)
    middle, limit = (np.append(0, chdtri(freedoms[1:], share)) for share in (0.5, _FALSE_ALARMS))
    freedom = n.astype(int) - 1
    sigma2 = _usual(squares / (_PRIOR + middle[freedom]), light)
    if expected is not None:
        sigma2 = np.minimum(sigma2, _MODEL_MAY_BE_OFF * (expected[0] + expected[1] * np.fmax(light, 0)))
    scatters = np.zeros(looked_at.shape, bool)
    scatters[looked_at] = squares - _PRIOR * sigma2 > limit[freedom] * sigma2
    return scatters


def _usual(values: Image, light: Image) -> Image:
    """Return the median of values of pixels of about the same light."""
    bounds = np.quantile(light, np.linspace(0, 1, _LEVELS + 1)[1:-1])
    group = np.searchsorted(bounds, light)
    medians = np.array([np.median(values[group == k]) if (group == k).any() else np.nan for k in range(_LEVELS)])
    return np.asarray(medians[group])


def _in_spots(scatters: Image) -> Image:
    """Return the pixels that have company."""
    rows, columns = scatters.shape
    padded = np.pad(scatters.astype(np.int8), 1)
    around = sum(
        padded[1 + down : rows + 1 + down, 1 + right : columns + 1 + right]
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
        if (down, right) != (0, 0)
    )
    return np.asarray(scatters & (around >= _NEIGHBOURS))
