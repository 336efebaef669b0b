"""Steps and drifts in a series of measurements, by a control chart that knows their uncertainties.

Night after night a value is compared with what the nights before lead to expect: a level that may wander a little
and follows the detector's temperature in a line (Kalman's filter; the pulls of a healthy series are then independent).
The pull, z = (value − expected) / σ, goes into a two-sided cumulative sum (Page 1954, Biometrika 41, 100),

    S⁺ ← max(0, S⁺ + min(z, 3) − 1),  and S⁻ likewise with −z,

which tells a change when it exceeds 4, by three nights at least. A single pull counts up to 3 only, so that a bad
night or two are no step (robust as in Lucas & Crosier 1982, Commun. Stat. 11, 2689). In σ² are the uncertainty of the
value, that of the expectation, and the scatter beyond both that the series has shown. `python -m benchmarks.changes`
prints how often it errs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ccdcore.trends.control_chart_kernel import LEARNING, MEMORY, MOST_LEARNT_FROM, follow_series

Floats = npt.NDArray[np.float64]

OUTLYING = 5.0
"""A value with a larger pull is an outlier."""

_SUDDEN = 4
"""A change that took more values than this to be found is no jump."""
_DISTINCT = 9.0
"""By so much χ² a ramp must be better than a step."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of level.

    Parameters
    ----------
    kind : str
        ``step``, or ``drift`` where a ramp fits distinctly better, or it went on later.
    first : int
        Index of the first value that shows it.
    found : int
        Index of the value that made it certain.
    before, after : float
        The level expected without it, and that of all values since, up to the next change; both at
        the temperature of the value at `found`.
    uncertainty : float
        1-σ, of ``after − before``.
    temperature_change : float
        Of the mean since, against that of as many values before, in kelvin; NaN where none is known.
    """

    kind: Literal["step", "drift"]
    first: int
    found: int
    before: float
    after: float
    uncertainty: float
    temperature_change: float

    @property
    def size(self) -> float:
        """What it changed by, in the unit of the values."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class ControlChart:
    """What a series was expected to be, and where it was not.

    Parameters
    ----------
    expected : ndarray, shape (n,)
        What the values before led to expect; the median for those that were learnt from.
    scatter : ndarray, shape (n,)
        1-σ of value − expected.
    pulls : ndarray, shape (n,)
        (value − expected) / scatter.
    changes : tuple of Change
        Oldest first.
    outliers : tuple of int
        Indices of single values that are far off.
    slope, slope_uncertainty : float
        How the level follows the temperature, per kelvin, at the end; 0 and NaN where no temperature is known.
    """

    expected: Floats
    scatter: Floats
    pulls: Floats
    changes: tuple[Change, ...]
    outliers: tuple[int, ...]
    slope: float
    slope_uncertainty: float


def follow(values: Floats, uncertainties: Floats, temperatures: Floats | None = None) -> ControlChart:
    """Follow a series in order of time, and find where it changes.

    Parameters
    ----------
    values, uncertainties : ndarray, shape (n,)
        1-σ uncertainties, NaN where unknown: the scatter of the series alone counts then.
    temperatures : ndarray, shape (n,), optional
        Of the detector, in °C or K; NaN where unknown, taken as the last known one.

    Returns
    -------
    ControlChart

    Notes
    -----
    What is said of a value, and which change is found when, depends on no later value: a series that grows is not
    judged otherwise in hindsight. Only `Change.after` becomes more precise, and a step may turn out to be a drift.
    """
    n = values.size
    known = np.full(n, np.nan) if temperatures is None else temperatures
    warmth = _last_known(known)
    warmth = warmth - np.median(warmth[:LEARNING]) if n else warmth
    expected, scatter, slopes, found, state = follow_series(values, np.nan_to_num(uncertainties, nan=0.0), warmth)
    with np.errstate(divide="ignore", invalid="ignore"):
        pulls = np.nan_to_num((values - expected) / scatter, nan=0.0)
    firsts = [0, *found[:, 0].tolist(), n]
    changes: list[Change] = []
    in_change = np.zeros(n, bool)
    for number, (first, at) in enumerate(found.tolist()):
        level = values - slopes[at] * (warmth - warmth[at])
        change = _change(level, scatter, known, expected[at], first, at, begin=firsts[number], end=firsts[number + 2])
        if changes and _goes_on(changes[-1], change, int(found[number - 1, 1])):
            before = changes.pop()
            change = replace(change, kind="drift", first=before.first, found=before.found, before=before.before)
        changes.append(change)
        in_change[first : at + 1] = True
    outliers = np.flatnonzero((np.abs(pulls) > OUTLYING) & ~in_change)
    slope = (float(state[1]), float(np.sqrt(state[4]))) if np.isfinite(known).any() else (0.0, float("nan"))
    return ControlChart(expected, scatter, pulls, tuple(changes), tuple(outliers.tolist()), *slope)


def warm_up() -> None:
    """Compile the loop, or load what was compiled, so that the first series need not wait."""
    follow(np.zeros(LEARNING + 1), np.ones(LEARNING + 1))


def _last_known(temperatures: Floats) -> Floats:
    """Fill gaps with the last known temperature, the first known one before it; all 0 where none is known."""
    known = np.isfinite(temperatures)
    if not known.any():
        return np.zeros_like(temperatures)
    places = np.maximum.accumulate(np.where(known, np.arange(known.size), -1))
    return temperatures[np.where(places < 0, known.argmax(), places)]


def _change(
    level: Floats, scatter: Floats, temperatures: Floats, before: float, first: int, found: int, *, begin: int, end: int
) -> Change:
    """Describe a change by the values, at one temperature, from the last change (`begin`) to the next (`end`)."""
    since = slice(first, min(end, first + MEMORY))
    ago = slice(max(begin, first - (since.stop - first)), first)
    distance = np.abs(level[since] - np.median(level[since]))
    near = distance <= max(MOST_LEARNT_FROM * float(scatter[first]), float(np.median(distance)))
    window = slice(max(begin, first - 3 * (found - first + 1)), found + 1)
    return Change(
        "drift" if _is_ramp(level[window], scatter[window]) else "step",
        first,
        found,
        float(before),
        float(level[since][near].mean()),
        float(scatter[first] * np.sqrt(1 / near.sum() + 1 / min(first - begin + 1, MEMORY))),
        _mean(temperatures[since]) - _mean(temperatures[ago]),
    )


def _goes_on(before: Change, change: Change, found_before: int) -> bool:
    """Whether a change is the one before that goes on: slowly, and the same way soon after."""
    is_slow = change.found - change.first >= _SUDDEN
    return is_slow and change.size * before.size > 0 and change.first - found_before < MEMORY // 2


def _mean(temperatures: Floats) -> float:
    known = temperatures[np.isfinite(temperatures)]
    return float(known.mean()) if known.size else float("nan")


def _is_ramp(values: Floats, scatter: Floats) -> bool:
    """Whether a level that ramps from some point on fits distinctly better than one that steps there."""
    places = np.arange(1, values.size)
    ramp = np.maximum(0.0, np.arange(values.size) - places[:, None] + 1.0)
    return bool(_least_chi2(values, scatter, ramp) < _least_chi2(values, scatter, np.sign(ramp)) - _DISTINCT)


def _least_chi2(values: Floats, scatter: Floats, shapes: Floats) -> float:
    """Return the least χ² of a constant plus a multiple of one of these shapes, a row each."""
    weights = 1 / scatter**2
    shapes = shapes - (shapes @ weights / weights.sum())[:, None]
    rest = values - values @ weights / weights.sum()
    explained = (shapes @ (weights * rest)) ** 2 / np.maximum(shapes**2 @ weights, 1e-300)
    return float(np.sum(rest**2 * weights) - np.max(explained))
