"""The loop of the control chart of `ccdcore.trends.control_chart`, compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ccdcore.numerics.compiled import compiled, inner

Floats = npt.NDArray[np.float64]

LEARNING = 10
"""So many values are taken as they are, before anything is expected."""
MEMORY = 120
"""Residuals that tell the scatter."""
MOST_LEARNT_FROM = 2.5
"""No value moves the expectation by more than this pull."""

_ALLOWANCE, _DECISION, _MOST_PULL, _FEWEST = 1.0, 4.0, 3.0, 3
_FAR, _STILL = 1.5, 0.3
"""Least of the three largest pulls of a change; of the last one, as a fraction of their median."""
_KEPT_VARIANCE = 0.911
"""Of a normal distribution that is cut at `MOST_LEARNT_FROM`."""
_WANDER = 0.01
"""By how much of the scatter the level may wander from one value to the next: what is slower is no change."""
_SLOPE = 0.01
"""How far the level may be expected to follow the temperature at first, per kelvin."""


@inner
def _scatter_beyond(residuals: Floats, variances: Floats, n: int) -> float:
    """Return the variance that the last residuals show beyond their own, on the safe side where they are few."""
    few = min(n, MEMORY)
    seen = residuals[:few]
    spread = 1.4826 * np.median(np.abs(seen))
    near = np.abs(seen) <= MOST_LEARNT_FROM * spread
    if near.any():
        spread = np.sqrt(np.mean(seen[near] ** 2) / _KEPT_VARIANCE)
    return float(max(0.0, (spread * (1 + 1 / few)) ** 2 - np.median(variances[:few])))


@inner
def _learn(state: Floats, value: float, x: float, variance: float) -> None:
    """Bring a value into the state: level, slope, and their covariance (Kalman's filter)."""
    level, slope, aa, ab, bb = state
    gain_a, gain_b = aa + ab * x, ab + bb * x
    total = gain_a + gain_b * x + variance
    residual = value - level - slope * x
    state[0] += gain_a / total * residual
    state[1] += gain_b / total * residual
    state[2] -= gain_a**2 / total
    state[3] -= gain_a * gain_b / total
    state[4] -= gain_b**2 / total


@inner
def _relearn(state: Floats, values: Floats, x: Floats, variances: Floats, floor: float) -> None:
    """Forget the level, not the slope, and learn from some values, the far ones of which count less."""
    middle = np.median(values - state[1] * x)
    state[0], state[2], state[3], state[4] = middle, 1e6 * variances.max(), 0.0, max(state[4], floor)
    expected = middle + state[1] * x
    for j in range(values.size):
        most = MOST_LEARNT_FROM * np.sqrt(variances[j])
        _learn(state, expected[j] + min(max(values[j] - expected[j], -most), most), x[j], variances[j])


@inner
def _likeliest(values: Floats, expected: Floats, scatter: Floats, earliest: int, last: int) -> int:
    """Return from where on a level that is another one explains the values best."""
    total, most, first = 0.0, 0.0, last
    for j in range(last, earliest - 1, -1):
        total += (values[j] - expected[j]) / scatter[j]
        if total**2 / (last - j + 1) > most:
            most, first = total**2 / (last - j + 1), j
    return first


@inner
def _lasts(values: Floats, expected: Floats, scatter: Floats, first: int, last: int) -> bool:
    """Whether three values are far off, the last about as far as the others: bad nights come alone and are over."""
    pulls = np.abs(values[first : last + 1] - expected[first : last + 1]) / scatter[first : last + 1]
    return bool(pulls.size >= _FEWEST and np.sort(pulls)[-_FEWEST] > _FAR and pulls[-1] / np.median(pulls) > _STILL)


@compiled
def follow_series(
    values: Floats, own: Floats, x: Floats
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.int64], Floats]:
    """Follow a series, as `ccdcore.trends.control_chart.follow` says.

    Parameters
    ----------
    values, own : ndarray, shape (n,)
        The values, and their 1-σ uncertainties in the same unit; 0 where unknown.
    x : ndarray, shape (n,)
        What the values may follow in a straight line: the temperature, in kelvin.

    Returns
    -------
    expected, scatter : ndarray, shape (n,)
        Expectation and its scatter, in the unit of the values.
    slopes : ndarray, shape (n,)
        How the values follow ``x``, per kelvin, as known at each value.
    found : ndarray of int, shape (changes, 2)
        Indices of the first value after each change, and of that by which it was found.
    state : ndarray, shape (5,)
        Level, slope, variance of the level, covariance of both, variance of the slope, at the end.
    """
    n = values.size
    expected, scatter, slopes = np.zeros(n), np.zeros(n), np.zeros(n)
    found, n_found = np.zeros((n, 2), np.int64), 0
    state = np.zeros(5)
    if n == 0:
        return expected, scatter, slopes, found[:0], state
    learnt = min(n, LEARNING)
    middle = np.median(values[:learnt])
    residuals, variances = np.zeros(MEMORY), np.zeros(MEMORY)
    residuals[:learnt], variances[:learnt] = values[:learnt] - middle, own[:learnt] ** 2
    n_seen = learnt
    beyond = _scatter_beyond(residuals, variances, n_seen)
    floor = (1e-9 * max(abs(middle), 1e-300)) ** 2
    typical = np.median(own[:learnt]) ** 2 + beyond + floor
    state[4] = max(typical, (_SLOPE * middle) ** 2)
    _relearn(state, values[:learnt], x[:learnt], own[:learnt] ** 2 + beyond + floor, floor)
    expected[:learnt] = middle
    scatter[:learnt] = np.sqrt(own[:learnt] ** 2 + beyond + floor)
    up, down, up_from, down_from = 0.0, 0.0, learnt, learnt
    for i in range(learnt, n):
        variance = own[i] ** 2 + beyond + floor
        state[2] += _WANDER**2 * typical
        level, slope, aa, ab, bb = state
        expected[i], slopes[i] = level + slope * x[i], slope
        scatter[i] = np.sqrt(variance + aa + 2 * ab * x[i] + bb * x[i] ** 2)
        pull = (values[i] - expected[i]) / scatter[i]
        up = max(0.0, up + min(pull, _MOST_PULL) - _ALLOWANCE)
        down = max(0.0, down + min(-pull, _MOST_PULL) - _ALLOWANCE)
        if up == 0.0:
            up_from = i + 1
        if down == 0.0:
            down_from = i + 1
        first = i
        if max(up, down) > _DECISION:
            first = _likeliest(values, expected, scatter, up_from if up > down else down_from, i)
        if first < i and _lasts(values, expected, scatter, first, i):
            found[n_found] = first, i
            n_found += 1
            _relearn(state, values[first : i + 1], x[first : i + 1], own[first : i + 1] ** 2 + beyond + floor, floor)
            up, down, up_from, down_from = 0.0, 0.0, i + 1, i + 1
            continue
        residual, most = values[i] - expected[i], MOST_LEARNT_FROM * scatter[i]
        _learn(state, expected[i] + min(max(residual, -most), most), x[i], variance)
        residuals[n_seen % MEMORY], variances[n_seen % MEMORY] = residual, scatter[i] ** 2 - beyond
        n_seen += 1
        beyond = _scatter_beyond(residuals, variances, n_seen)
        typical = np.median(variances[: min(n_seen, MEMORY)]) + beyond
    return expected, scatter, slopes, found[:n_found], state
