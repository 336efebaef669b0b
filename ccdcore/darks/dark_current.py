"""What is measured of the dark signal: dark current, its scatter from pixel to pixel, hot pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, hypot, pi, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from ccdcore.cards.sections import Amplifier
from ccdcore.errors import InsufficientDataError
from ccdcore.reduction.master import Master

Image = npt.NDArray[Any]

HOT_SIGMA = 5.0
"""A hot pixel has more dark current than the median by this many times the scatter of the pixels."""
_ENOUGH_PIXELS = 2**22
_BINS_OF_SIGMA = 50
_REACH = 8.0
"""Values within so many times the scatter about the median are looked at for median and mode."""
_SMOOTH_MEDIAN, _SMOOTH_MODE = 1 / 3, 1 / 2
"""Width of the Gaussian, in units of the scatter, that smooths the steps of whole ADU away."""
_ROUNDS = 20
_BELOW_NONE = 5.0
"""So many σ below 0 a dark current is none of any detector."""


@dataclass(frozen=True, slots=True)
class DarkCurrent:
    """The dark signal of an amplifier in e⁻/s/pixel, with 1-σ uncertainties.

    Parameters
    ----------
    amplifier : str
        Its name.
    median, median_uncertainty, mode, mode_uncertainty : float
        Of the dark current of its pixels.
    dsnu, dsnu_uncertainty : float
        Standard deviation from pixel to pixel without hot ones, the noise of the master taken out.
    hot_fraction, hot_fraction_uncertainty : float
        Part of the pixels that are hot.
    n_pixels : int
        Pixels that were looked at.
    """

    amplifier: str
    median: float
    median_uncertainty: float
    mode: float
    mode_uncertainty: float
    dsnu: float
    dsnu_uncertainty: float
    hot_fraction: float
    hot_fraction_uncertainty: float
    n_pixels: int


def measure_dark_current(
    rate: Master, amplifier: Amplifier, *, gain_e_per_adu: float, gain_uncertainty: float = 0.0
) -> DarkCurrent:
    r"""Measure the dark signal of an amplifier.

    Parameters
    ----------
    rate : Master
        In ADU/s, of shape (rows, columns).
    amplifier : Amplifier
        Which part of it.
    gain_e_per_adu, gain_uncertainty : float
        With its 1-σ uncertainty.

    Returns
    -------
    DarkCurrent

    Raises
    ------
    InsufficientDataError
        If no pixel has a value.

    Notes
    -----
    With the variance :math:`\sigma^2` of the pixels' values :math:`x` and that of their noise :math:`u^2`, without
    values more than 5 σ from the median,

    .. math:: D^2 = \sigma^2 - \overline{u^2}.

    The median is that of the density of the values, smoothed by a third of their scatter against the steps of whole
    ADU; with the variance :math:`V` of what is smoothed its own, about the median of what the pixels are, is for
    Gaussian ones

    .. math:: \frac{1}{N} \left[V \arcsin\frac{\sigma^2}{V} + \frac{\pi}{2} D^2
        - 2 D \sqrt{V} \arcsin\frac{D}{\sqrt{V}}\right].

    The mode is where the density, smoothed by half of the scatter, is highest.
    """
    rows = slice(None, None, max(1, rate.value.size // _ENOUGH_PIXELS))
    section = amplifier.data.slices
    value, uncertainty = (np.asarray(one[section][rows], np.float64) for one in (rate.value, rate.uncertainty))
    good = (rate.mask[section][rows] == 0) & np.isfinite(value) & np.isfinite(uncertainty)
    if not good.any():
        raise InsufficientDataError(f"no dark current of amplifier {amplifier.name}: no pixel has a value")
    frames = float(np.mean(rate.n_used[section][rows][good]))
    exposure_s = sum(one.exposure_time_s or 0.0 for one in rate.inputs)
    of_light = 1 / (gain_e_per_adu * exposure_s) if exposure_s else 0.0
    pixels = value[good], uncertainty[good]
    return _of_pixels(amplifier.name, *pixels, frames, of_light, gain_e_per_adu, gain_uncertainty)


def less_than_none(current: DarkCurrent, *, exposure_s: float, gain_e_per_adu: float) -> str | None:
    """Say in words what makes a dark current negative; None where it is not, beyond its uncertainty.

    Parameters
    ----------
    current : DarkCurrent
        In e⁻/s/pixel.
    exposure_s : float
        How much longer the longest darks were exposed than what was taken off them, in seconds.
    gain_e_per_adu : float
        In e⁻/ADU.
    """
    below = -current.median / current.median_uncertainty if current.median_uncertainty else 0.0
    if below <= _BELOW_NONE:
        return None
    return (
        f"less than none, by {below:.0f} σ: the bias level fell by {-current.median * exposure_s / gain_e_per_adu:.3g} "
        "ADU or more from what was taken off the darks to the darks themselves (it drifts with time and temperature); "
        "take biases right before or after the darks, or longer darks"
    )


def _of_pixels(
    name: str,
    value: Image,
    uncertainty: Image,
    n_frames: float,
    of_light: float,
    gain: float,
    gain_uncertainty: float,
) -> DarkCurrent:
    """Measure values in ADU/s, shape (n,); ``of_light`` is the variance of their shot noise over the value."""
    low, middle, high = np.quantile(value, [0.158655, 0.5, 0.841345])
    sigma = float(high - low) / 2 or float(np.sqrt(np.mean(uncertainty**2))) or 1.0
    hot = value > middle + HOT_SIGMA * sigma
    kept = np.abs(value - middle) <= HOT_SIGMA * sigma
    median, mode = _median_and_mode(value[kept], float(middle), sigma)
    n, noise = int(kept.sum()), np.square(uncertainty[kept])
    total = float(np.var(value[kept], ddof=1)) if n > 1 else 0.0
    square = total - float(noise.mean())
    # Of noise about what the pixels are, and of what is known of the noise: its variance has 2u⁴/ν of its own.
    of_noise = 2 * (n_frames - 1) / (n_frames + 3) ** 2
    variance = float(np.mean(4 * max(square, 0.0) * noise + (2 + of_noise) * noise**2)) / n
    dsnu = sqrt(max(square, 0.0))
    dsnu_error = sqrt(variance) / (2 * dsnu) if square > sqrt(variance) else sqrt(sqrt(variance))
    fraction = float(hot.mean())
    # Shot noise is larger where there is more signal, and skew: it draws median and mode towards less.
    skew = 3 * max(square, 0.0) * of_light + max(median, 0.0) * of_light**2
    median += skew / (6 * (total + (_SMOOTH_MEDIAN * sigma) ** 2 or 1.0))
    mode += skew / (2 * (total + (_SMOOTH_MODE * sigma) ** 2 or 1.0))
    median += fraction / 2 * sqrt(2 * pi) * dsnu  # that of all has so many more above it
    median_error = sqrt(_median_variance(total, min(square, total), (_SMOOTH_MEDIAN * sigma) ** 2) / n)
    mode_error = _MODE_ERROR * sqrt(total / n)
    relative = gain_uncertainty / gain
    return DarkCurrent(
        name,
        gain * median,
        hypot(gain * median_error, gain * median * relative),
        gain * mode,
        hypot(gain * mode_error, gain * mode * relative),
        gain * dsnu,
        hypot(gain * dsnu_error, gain * dsnu * relative),
        fraction,
        sqrt(fraction * (1 - fraction) / value.size),
        int(value.size),
    )


def _median_variance(total: float, square: float, smoothing: float) -> float:
    """Return the variance of the smoothed median about that of what the pixels are, times their number.

    All are variances: of the values, of what the pixels are, and of the Gaussian that they are smoothed with.
    """
    smooth, true = total + smoothing, max(square, 0.0)
    if smooth <= 0:
        return 0.0
    together = asin(sqrt(true / smooth)) * sqrt(true * smooth)
    return max(asin(total / smooth) * smooth + pi / 2 * true - 2 * together, 0.0)


def _mode_error() -> float:
    """Return the uncertainty of the mode of N Gaussian values, smoothed as here, in units of their σ / √N."""
    total = 1 + _SMOOTH_MODE**2
    density = 1 / sqrt(2 * pi * total)
    return sqrt(total**2 / (density * _SMOOTH_MODE**3 * 4 * sqrt(pi)))


_MODE_ERROR = _mode_error()


def _median_and_mode(value: Image, middle: float, sigma: float) -> tuple[float, float]:
    """Return median and mode of values, free of the steps that means of whole numbers make."""
    reach = _REACH * sigma
    counts, edges = np.histogram(value, int(2 * _REACH * _BINS_OF_SIGMA), (middle - reach, middle + reach))
    centres, below = (edges[1:] + edges[:-1]) / 2, int(np.count_nonzero(value < edges[0]))
    low, high = middle - sigma, middle + sigma
    for _ in range(_ROUNDS):
        at = (low + high) / 2
        share = below + counts @ ndtr((at - centres) / (_SMOOTH_MEDIAN * sigma))
        low, high = (at, high) if share < value.size / 2 else (low, at)
    width = _SMOOTH_MODE * sigma
    # Newton's method for the root of the derivative of the density; it begins at the median.
    mode = at
    for _ in range(_ROUNDS):
        x = (mode - centres) / width
        weights = counts * np.exp(-(x**2) / 2)
        first, second = -(weights @ x), weights @ (x**2 - 1)
        if second >= 0:
            break
        mode -= float(np.clip(first / second, -1, 1)) * width
    return at, mode
