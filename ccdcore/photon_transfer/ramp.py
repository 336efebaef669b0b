"""The photon transfer curve of a ramp of light levels: which pairs belong to it, and the fit to those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ccdcore.flat_pairs.flat_pair import PairPoints
from ccdcore.noise.bias_series import BiasNoise
from ccdcore.photon_transfer.curve_fit import TransferFit, by_noise, fit_bend, noise_of_flats

FEWEST_LEVELS = 3
LEAST_RANGE = 3.0
"""Levels, and the factor that they span at least, for a00 to be told from the gain."""

_SAME_LEVEL = 0.1
_OUTLIER_SIGMA = 5.0
_STEEPEST_BEND = 1e-5
"""Largest −a₀₀ that the brighter-fatter effect may have, in 1/e⁻."""

_LEAST_DEVIATION = 0.02

Array = npt.NDArray[np.float64]


def level_of(points: PairPoints) -> float:
    """Return the mean signal in ADU, weighted by what a group tells of the gain: one without light tells nothing."""
    return float(np.average(points.mean, weights=(points.mean / points.uncertainty) ** 2))


@dataclass(frozen=True, slots=True)
class MeasuredPair:
    """A pair of flats: its points, its name in notes, the numbers of its frames, and what they were exposed with."""

    points: PairPoints
    name: str
    numbers: tuple[int, int]
    filter: str | None = None
    exposure_time_s: float | None = None

    @property
    def level(self) -> float:
        """Light of the pair in ADU, as `level_of` says."""
        return level_of(self.points)


@dataclass(frozen=True, slots=True)
class Ramp:
    """The fit to a ramp.

    Parameters
    ----------
    fit : TransferFit
        Gain and a₀₀.
    used : tuple of MeasuredPair
        The pairs that the fit is of.
    left_out : dict of str
        Name of each other pair → why it does not belong.
    noise : BiasNoise
        Variance at no light: that of the biases, or of the flats where those differ.
    by_noise : float
        How far the gain, in e⁻/ADU, may be off where they perhaps differ.
    turn_off_adu : float or None
        Highest signal before the variance breaks down (full well); None where it does not.
    """

    fit: TransferFit
    used: tuple[MeasuredPair, ...]
    noise: BiasNoise
    by_noise: float = 0.0
    left_out: dict[str, str] = field(default_factory=dict)
    turn_off_adu: float | None = None


def n_levels(levels: Sequence[float]) -> int:
    """Return how many levels there are that differ by more than 10 %."""
    count, last = 0, 0.0
    for level in sorted(levels):
        if count == 0 or level > last * (1 + _SAME_LEVEL):
            count, last = count + 1, level
    return count


def is_ramp(levels: Sequence[float]) -> bool:
    """Whether levels, in ADU, are enough, and far enough apart, for a photon transfer curve."""
    return n_levels(levels) >= FEWEST_LEVELS and max(levels) >= LEAST_RANGE * min(levels)


def fit_ramp(
    pairs: Sequence[MeasuredPair],
    noise: BiasNoise,
    level_uncertainty: float,
    overlap: Callable[[Sequence[tuple[int, int]]], float],
) -> Ramp:
    """Fit eq. 16 of Astier et al. 2019 to the pairs below the turn-off, those that lie off the curve left out.

    Parameters
    ----------
    pairs : sequence of MeasuredPair
        In any order; they make a ramp (`is_ramp`).
    noise : BiasNoise
        Variance at no light.
    level_uncertainty : float
        1-σ prior of the offset of all signals, in ADU.
    overlap : callable
        How much the variance of a mean grows by frames that some pairs share.
    """
    ordered = sorted(pairs, key=lambda pair: pair.level)
    before_drop = _before_drop(ordered, noise)
    noise, kept, off = _of_their_noise(ordered[:before_drop], noise, level_uncertainty, overlap)
    highest = kept[-1].level
    beyond = [
        *(pair for pair, ratio, _ in off if pair.level > highest and ratio < 1),
        *ordered[before_drop:],
    ]
    left_out = {
        pair.name: f"its variance is {100 * abs(ratio - 1):.0f} % {'above' if ratio > 1 else 'below'} the curve of the "
        f"others ({pull:.0f} times its uncertainty)"
        for pair, ratio, pull in off
    }
    left_out |= {
        pair.name: f"at {pair.level:.0f} ADU it lies beyond the turn-off of the curve at {highest:.0f} ADU (full well)"
        for pair in beyond
    }
    about = [pair.points for pair in kept], noise, overlap([pair.numbers for pair in kept]), level_uncertainty
    fit = fit_bend(*about)
    return Ramp(fit, tuple(kept), noise, by_noise(fit, *about), left_out, highest if beyond else None)


def _of_their_noise(
    pairs: Sequence[MeasuredPair],
    noise: BiasNoise,
    level_uncertainty: float,
    overlap: Callable[[Sequence[tuple[int, int]]], float],
) -> tuple[BiasNoise, list[MeasuredPair], list[tuple[MeasuredPair, float, float]]]:
    """Return the noise at no light that pairs agree on, and which of them lie on the curve, and which off it."""
    if (own := own_noise(pairs, noise, level_uncertainty, overlap)) is not None:
        kept, off = _on_curve(pairs, own)
        if own_noise(kept, noise, level_uncertainty, overlap) is not None:  # and not by those that lie off it
            return own, kept, off
    return noise, *_on_curve(pairs, noise)


def own_noise(
    pairs: Sequence[MeasuredPair],
    noise: BiasNoise,
    level_uncertainty: float,
    overlap: Callable[[Sequence[tuple[int, int]]], float],
) -> BiasNoise | None:
    """Return the noise in ADU² that pairs of a ramp have at no light, if not that of biases (`noise_of_flats`)."""
    some = _below_drop(pairs, noise)
    if not is_ramp([pair.level for pair in some]):
        return None
    shared = overlap([pair.numbers for pair in some])
    return noise_of_flats([pair.points for pair in some], noise, shared, level_uncertainty)


def _on_curve(
    pairs: Sequence[MeasuredPair], noise: BiasNoise
) -> tuple[list[MeasuredPair], list[tuple[MeasuredPair, float, float]]]:
    """Leave out the worst pair, again and again, until none is off the curve of the others.

    Returns
    -------
    list of MeasuredPair
        The others, from the faintest up.
    list of tuple
        Each pair left out, its noise of light over that of the curve, and how many σ that is off.
    """
    kept, left_out = list(pairs), list[tuple[MeasuredPair, float, float]]()
    while True:
        curve = _robust_curve(kept, noise)
        ratios, errors = np.array([_against(pair.points, curve, noise) for pair in kept]).T
        scatter = max(1.0, 1.4826 * float(np.median(np.abs(ratios - 1) / errors)))
        pulls = np.abs(ratios - 1) / (errors * scatter)
        off = (pulls > _OUTLIER_SIGMA) & (np.abs(ratios - 1) > _LEAST_DEVIATION)
        worst = int(np.argmax(np.where(off, pulls, 0)))
        others = [pair for pair in kept if pair is not kept[worst]]
        if not off.any() or not is_ramp([pair.level for pair in others]):
            return kept, left_out
        left_out.append((kept[worst], float(ratios[worst]), float(pulls[worst])))
        kept = others


def _robust_curve(pairs: Sequence[MeasuredPair], noise: BiasNoise, steepest: float | None = None) -> TransferFit:
    """Return the curve whose slope, (C − B)/μ = 1/g + a₀₀ μ + …, is the line of Theil and Sen through the pairs.

    With ``steepest`` it bends as brighter-fatter can bend it, from 0 to −``steepest``, and no other way.
    """
    levels = np.array([pair.level for pair in pairs])
    slopes = np.array([_slope(pair.points, noise)[0] for pair in pairs])
    one, two = np.triu_indices(levels.size, 1)
    apart = np.abs(levels[one] / levels[two] - 1) > _SAME_LEVEL
    one, two = one[apart], two[apart]
    a00 = float(np.median((slopes[two] - slopes[one]) / (levels[two] - levels[one]))) if one.size else 0.0
    if steepest is not None:
        a00 = min(max(a00, -steepest), 0.0)
    gain = 1 / float(np.median(slopes - a00 * levels))
    return TransferFit(gain, 0.0, None, (a00, 0.0))


def against_others(
    pairs: Sequence[MeasuredPair], looks: Sequence[PairPoints], noise: BiasNoise, level_uncertainty: float
) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Return the noise of light in each pair, and in each look at two frames, over that of most of the pairs.

    Returns
    -------
    ratios, errors : ndarray, shape (pairs + looks,)
        And their 1-σ uncertainty, for the pairs and then the looks.
    counted : ndarray of bool, shape (pairs + looks,)
        False beyond the turn-off, where noise tells no kinds apart.
    """
    every = [*(pair.points for pair in pairs), *looks]
    curve = majority_curve(pairs, noise)
    ratios, errors = np.array([_against(points, curve, noise, level_uncertainty) for points in every]).T
    highest = _below_drop(pairs, noise)[-1].level
    counted = np.array([level_of(points) <= highest * (1 + _SAME_LEVEL) for points in every])
    return ratios, errors, counted


def majority_curve(pairs: Sequence[MeasuredPair], noise: BiasNoise) -> TransferFit:
    """Return the curve that most pairs below the turn-off lie on, bent no more than brighter-fatter bends it."""
    return _robust_curve(_below_drop(pairs, noise), noise, steepest=_STEEPEST_BEND)


def _below_drop(pairs: Sequence[MeasuredPair], noise: BiasNoise) -> list[MeasuredPair]:
    ordered = sorted(pairs, key=lambda pair: pair.level)
    return ordered[: _before_drop(ordered, noise)]


def nonlinearity(pairs: Sequence[MeasuredPair]) -> float | None:
    """Return by how much, relative, the signal departs from a straight line against the exposure time, end to end.

    Of the filter with most pairs, the delay of the shutter left free. None without three exposure times.
    """
    timed = [pair for pair in pairs if pair.exposure_time_s]
    groups: dict[str | None, list[MeasuredPair]] = {}
    for pair in timed:
        groups.setdefault(pair.filter, []).append(pair)
    of = max(groups.values(), key=len, default=[])
    times, levels = np.array([[pair.exposure_time_s or 0.0, pair.level] for pair in of]).reshape(-1, 2).T
    if n_levels(times.tolist()) < FEWEST_LEVELS:
        return None
    # Relative deviations count, so that each level weighs the same.
    design = np.stack([times, np.ones_like(times)], axis=1) / levels[:, None]
    solution, *_ = np.linalg.lstsq(design, np.ones_like(times), rcond=None)
    return float(np.ptp(1 / (design @ solution)))


def _before_drop(ordered: Sequence[MeasuredPair], noise: BiasNoise) -> int:
    """Return how many pairs, from the faintest up, come before the variance drops for good."""
    slopes = np.array([_slope(pair.points, noise) for pair in ordered])
    variances, errors = (slopes * np.array([[pair.level] for pair in ordered])).T
    for k in range(FEWEST_LEVELS, len(ordered)):
        if (variances + _OUTLIER_SIGMA * errors)[k:].max() < (variances - _OUTLIER_SIGMA * errors)[:k].max():
            return k
    return len(ordered)


def _slope(points: PairPoints, noise: BiasNoise) -> tuple[float, float]:
    """Return variance over signal of a pair, without the read noise, and its uncertainty."""
    weight = points.mean / points.uncertainty**2
    norm = float(weight @ points.mean)
    return float(weight @ (points.variance - noise.variance)) / norm, norm**-0.5


def _against(
    points: PairPoints, curve: TransferFit, noise: BiasNoise, level_uncertainty: float = 0.0
) -> tuple[float, float]:
    """Return the noise of light in a pair over that of the curve, and its uncertainty.

    Where the level of the bias is not known well, faint light tells little.
    """
    light = curve.variance(points.mean, noise.variance) - noise.variance
    sigma = np.hypot(points.uncertainty, level_uncertainty / curve.gain)
    norm = float(np.sum((light / sigma) ** 2))
    return float(np.sum(light * (points.variance - noise.variance) / sigma**2)) / norm, norm**-0.5
