"""Which flats of a series are off the trend of their lamp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_NEAR = 0.15

_TOLERANCE = 0.036
"""Of 11 flats of a lamp with 1 % scatter this costs none in 99 % of series."""

_LAMP = 0.01
"""Relative scatter of an ordinary lamp; that found from n flats may by chance be higher by the factor 1 + 2/√n."""

_SET_SCATTER, _SET_TREND = 0.03, 0.1
"""Scatter and change that only levels set on purpose, or the sky, have."""

_FEWEST_FOR_A_LINE = 5
_CLEARLY_LESS = 0.7


def off_trend(flux: Array, floor_adu: float = 0.0) -> Array:
    """Return how far each flat of a series is off the trend of a stable lamp.

    The lamp is stable where at least half of the flats are within 15 % of
    the median, and these scatter about their trend, and change with it, no
    more than a lamp does; else (a ramp, a twilight) nobody is judged. The
    trend is their median, or the straight line of Theil and Sen through five
    or more of them if it leaves clearly less scatter. A flat is off where it
    deviates from the trend by more than 3.6 %, more than 1.5 times what the
    trend changes (short ramps), more than 4 σ of a lamp that is plainly less
    steady than 1 %, and more than the floor.

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
    near = np.abs(flux / usual - 1) <= _NEAR
    if near.sum() < flux.size / 2:
        return nobody
    trend, scatter = _trend(flux, near)
    change, count = float(np.ptp(trend[near])) / usual, int(near.sum())
    if change > _SET_TREND or scatter > (_SET_SCATTER if count >= _FEWEST_FOR_A_LINE else _LAMP):
        return nobody
    tolerance = 4 * scatter if scatter > _LAMP * (1 + 2 / count**0.5) else _TOLERANCE
    limit = max(tolerance * usual, 1.5 * change * usual, floor_adu)
    return np.where(np.abs(flux - trend) > limit, (flux - trend) / usual, 0.0)


def robust_scatter(residuals: Array) -> Array:
    """Return the 68th percentile of the absolute residuals along the first axis: σ, unmoved by a third of outliers."""
    scatter: Array = np.percentile(np.abs(residuals), 68.27, axis=0, method="lower")
    return scatter


def _trend(flux: Array, near: npt.NDArray[np.bool_]) -> tuple[Array, float]:
    """Return the trend of the flats ``near`` the median, and their scatter about it relative to the median."""
    from scipy.stats import theilslopes

    # The order stands for the time: a straggler after a pause would be a lever on the slope.
    order = np.arange(flux.size)
    usual = float(np.median(flux[near]))
    scatter = float(robust_scatter(flux[near] / usual - 1))
    if near.sum() >= _FEWEST_FOR_A_LINE:
        slope, intercept, _, _ = theilslopes(flux[near], order[near])
        line = intercept + slope * order
        line_scatter = float(robust_scatter((flux - line)[near] / usual))
        if line_scatter < _CLEARLY_LESS * scatter:
            return line, line_scatter
    return np.full(flux.size, usual), scatter
