"""Which flats of a series are off the trend of their lamp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_STABLE = 0.15
"""At least half of the flats are this near the median, and the trend is less than this, where the lamp is stable."""

_FLUX_TOLERANCE = 0.035
"""Relative deviation that a flat may have: of 11 flats of a lamp with 1 % scatter it costs none in 99 % of series."""

_UNSTEADY = 0.018
"""Scatter beyond what a 1 % lamp shows by chance: such a lamp is judged by its own scatter, to 4 σ."""


def off_trend(flux: Array, floor_adu: float = 0.0) -> Array:
    """Return how far each flat of a series is off the trend of a stable lamp.

    The lamp is stable where at least half of the flats are within 15 % of
    the median and their trend changes by less than that over the series;
    else nobody is judged. The trend is the median of these flats or, from
    five of them on, the straight line of Theil and Sen, whichever leaves
    less scatter. A flat is off where it deviates by more than 3.5 % (or 4 σ
    of the scatter, where the lamp is less steady than about 1 %).

    Parameters
    ----------
    flux : ndarray, shape (n,)
        Level above bias of each flat in ADU, in time order.
    floor_adu : float
        Deviation that is never a fault, for the bias level is not known better.

    Returns
    -------
    ndarray, shape (n,)
        Relative deviation from the trend of the flats that are off; 0 for the others.
    """
    nobody = np.zeros(flux.size)
    usual = float(np.median(flux))
    if usual <= 0:
        return nobody
    near = np.abs(flux / usual - 1) <= _STABLE
    if near.sum() < flux.size / 2:
        return nobody
    trend, scatter = _trend(flux, near)
    if trend.min() <= 0 or np.ptp(trend) > _STABLE * usual:
        return nobody
    deviations = flux / trend - 1
    tolerance = 4 * scatter if scatter > _UNSTEADY else _FLUX_TOLERANCE
    return np.where(np.abs(deviations) > np.maximum(tolerance, floor_adu / trend), deviations, 0.0)


def _trend(flux: Array, near: npt.NDArray[np.bool_]) -> tuple[Array, float]:
    """Return the trend of the flats ``near`` the median, and their relative scatter about it."""
    from scipy.stats import theilslopes

    # The order stands for the time: a straggler after a pause would be a lever on the slope.
    order = np.arange(flux.size)
    trends = [np.full(flux.size, np.median(flux[near]))]
    if near.sum() >= 5:
        slope, intercept, _, _ = theilslopes(flux[near], order[near])
        trends.append(intercept + slope * order)
    scatters = [_scatter(flux[near] / trend[near] - 1) for trend in trends]
    best = int(np.argmin(scatters))
    return trends[best], scatters[best]


def _scatter(residuals: Array) -> float:
    """Return the 68th percentile of the absolute residuals: σ, unmoved by up to a third of outliers."""
    return float(np.percentile(np.abs(residuals), 68.27, method="lower"))
