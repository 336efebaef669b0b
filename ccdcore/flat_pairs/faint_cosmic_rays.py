"""Cosmic rays too faint to be told from noise: what they add to the variance, by those that can be told."""

from __future__ import annotations

from math import log

import numpy as np
import numpy.typing as npt
from scipy.special import erf

Array = npt.NDArray[np.float64]

TOLD_FROM_NOISE = 5.0
"""Residuals of so many σ are cosmic rays."""

_STEP = 2**0.5
_FAINTEST = 0.1
_FIRST_LOOK = 3.0
_PRIOR_HITS = 5.0
_TAKEN_OF_TRACKS = 0.5


def faint_cosmic_rays(hits: Array, n_pixels: Array, sigma: Array, clip: float) -> Array:
    """Return what cosmic rays below the clip add to the variance of groups of pixels, relative.

    The number of cosmic rays per pixel and unit of ln(charge) is counted where they stand out: in dark pixels to
    fainter charges than in bright ones. Below the faintest charge that any pixel shows it is taken to go on as it
    is there (the wings of a round image have equal areas in equal ratios of charge). Pixels beside a clipped one are
    left out too: of charges that lie side by side, in a track, half as much is left in.

    Parameters
    ----------
    hits : ndarray, shape (2, hits)
        Absolute residuals above `TOLD_FROM_NOISE` σ, of all groups, and 1 for those beside another.
    n_pixels, sigma : ndarray, shape (groups,)
        Number of pixels of each group, and σ of their residuals.
    clip : float
        The clip in units of σ.

    Returns
    -------
    ndarray, shape (groups,)
        Variance with faint cosmic rays over that without, minus 1.
    """
    charges, beside = hits
    lit = n_pixels > 0
    top = TOLD_FROM_NOISE * float(np.max(sigma[lit], initial=0.0))
    first = np.count_nonzero((charges > top) & (charges < _FIRST_LOOK * top))
    if first == 0:
        return np.zeros(sigma.size)
    density = first / (float(n_pixels.sum()) * log(_FIRST_LOOK))
    share, charge = np.zeros(sigma.size), top
    while charge > _FAINTEST * float(np.min(sigma[lit])):
        charge /= _STEP
        shows = float(n_pixels[TOLD_FROM_NOISE * sigma <= charge].sum())
        count = np.count_nonzero((charges >= charge) & (charges < charge * _STEP))
        # The density changes slowly with the charge: where few pixels show such charges, that of greater ones goes on.
        density = (count + _PRIOR_HITS) / (shows * log(_STEP) + _PRIOR_HITS / density) if shows else density
        share += density * log(_STEP) * _excess(charge * _STEP**0.5 / np.where(lit, sigma, np.inf), clip)
    return share * (1 - _TAKEN_OF_TRACKS * float(beside.mean()))


def _excess(charge: Array, clip: float) -> Array:
    """Return what one charge in a pixel, in units of σ, adds to the variance of residuals cut at ``clip`` σ.

    With x normal about the charge, E[x²; |x| < k] / E₀ − P(|x| < k) / P₀, where E₀ and P₀ are those without charge;
    and more by what undoing the cut makes of it.
    """
    inside, second = _moments(charge, clip)
    none, second_none = _moments(np.zeros(1), clip)
    kept = 1 - second_none / none
    undone = 1 / (1 - kept * (clip**2 - 1 + kept) / (2 * (1 - kept)))
    return np.asarray((second / second_none - inside / none) * undone)


def _moments(mean: Array, clip: float) -> tuple[Array, Array]:
    """Return P(|x| < k) and E[x²; |x| < k] of a normal x with variance 1."""
    low, high = clip + mean, clip - mean
    inside = (erf(high / 2**0.5) + erf(low / 2**0.5)) / 2
    second = (1 + mean**2) * inside - (low * _density(high) + high * _density(low))
    return np.asarray(inside), np.asarray(second)


def _density(x: Array) -> Array:
    return np.asarray(np.exp(-(x**2) / 2) / (2 * np.pi) ** 0.5)
