"""Gain from photon transfer points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, inf, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from ccdcore.flat_pairs.flat_pair import PairPoints
from ccdcore.noise.bias_series import BiasNoise
from ccdcore.numerics.robust import widening

SMALLEST_SLOPE = 1e-4
"""Variance per signal, in ADU, below which there is no shot noise (a gain of 10 000 e⁻/ADU)."""

OTHER_OFFSET = "the flats have another offset than the biases"
"""Stands in the reason why flats give no gain."""

Array = npt.NDArray[np.float64]

_NOISE_SIGMA, _UNSURE_SIGMA, _LOOSE = 3.0, 2.0, 10.0
"""σ by which the noise of flats at no light is surely, and perhaps, not that of the biases; and how little those are
believed then, in terms of their variance."""

_MOST_TIMES = 2.5
"""Variance of flats at no light over that of biases, or the inverse, at most: more than that is another offset."""

_BEND_SIGMA = 3.0
_BEND_RANGE = 5.0
_PARAMETERS = 2

_SIGMAS_OF_OFFSET, _LEAST_OFFSET = 5.0, 0.05
"""σ, and part of the most light, that the begin of the light is off the level of the biases by, at least."""

_LEAST_BY_OFFSET, _FARTHEST = 0.03, 3.0
"""Part of the noise that another offset explains on average, at least: a few pixels, or light that is even, tell of
none; and how far off it is at most, in ranges of the light."""

_MOST_CHARGE_PUSHES = 5e-6
"""−a₀₀ in 1/e⁻ that the brighter-fatter effect has at most."""

_COLLAPSES, _LOST, _SURELY = -2.0, 0.1, 4.0
"""Growth of noise over light with the light, what part of the noise is lost by it, and σ of the growth, that only
signals which bunch up at a limit make."""

_BROKEN, _FEWEST_BROKEN, _OF_THE_BRIGHTEST = 0.5, 3, 20
"""Noise over light of the brightest over that of the others: of as many groups of pixels, and one in twenty."""


@dataclass(frozen=True, slots=True)
class Line:
    """Slope of C = (μ + c) · slope + B in 1/gain, its 1-σ uncertainty with B known exactly, ∂slope/∂B, and χ²."""

    slope: float
    uncertainty: float
    by_bias: float
    chi2: float


@dataclass(frozen=True, slots=True)
class TransferFit:
    """Gain in e⁻/ADU, its 1-σ uncertainty and reduced χ²; a₀₀ in 1/e⁻ and its uncertainty where the curve bends.

    The strain is how far the fit had to move the level of the biases, over what that is known to; the excess by how
    much the variance at no light is above that of the biases, in ADU², and its uncertainty.
    """

    gain: float
    uncertainty: float
    chi2_per_dof: float | None
    bend: tuple[float, float] | None = None
    strain: float = 0.0
    excess: tuple[float, float] = (0.0, 0.0)

    def variance(self, signal: Array, bias_variance: float) -> Array:
        """Return the variance of one frame in ADU² at some signals in ADU."""
        return bias_variance + signal * curvature(signal * self.gain, self.bend[0] if self.bend else 0.0) / self.gain


def straight_line(points: Sequence[PairPoints], bias_variance: float, level_uncertainty: float = 0.0) -> Line:
    """Fit a straight line through the bias variance, weighted by the variance the noise model predicts.

    Parameters
    ----------
    points : sequence of PairPoints
        Of all pairs. Without any point the slope is 0 with infinite uncertainty.
    bias_variance : float
        Variance at no light, in ADU².
    level_uncertainty : float
        1-σ prior, in ADU, of the offset c of all signals: the bias level under a
        flat is not that of a bias. 0 for no offset.
    """
    mean, variance, sigma = joined(points)
    excess = variance - bias_variance
    design = np.stack([mean, np.ones_like(mean)]) / sigma
    normal = design @ design.T
    if normal[0, 0] == 0:
        return Line(0.0, inf, 0.0, 0.0)
    slope = float(design[0] @ (excess / sigma)) / float(normal[0, 0])
    if level_uncertainty > 0:
        normal[1, 1] += 1 / (level_uncertainty * slope) ** 2  # the fit's second parameter is c · slope
        covariance = np.linalg.inv(normal)
    else:
        covariance = np.diag([1 / normal[0, 0], 0.0])
    slope, rise = covariance @ design @ (excess / sigma)
    chi2 = float(np.sum(((excess - slope * mean - rise) / sigma) ** 2))
    by_bias = -float(covariance[0] @ design @ (1 / sigma))
    return Line(float(slope), float(np.sqrt(covariance[0, 0])), by_bias, chi2)


def other_offset(points: Sequence[PairPoints], noise: BiasNoise, overlap: float = 1.0) -> float | None:
    """Return how far, in ADU, the light of flats begins below the level of the biases; None where it may begin there.

    Noise tells: that of light grows from none, C = (μ + c)/g + B, whatever level was taken off. Brighter-fatter bends
    the curve so that it seems to begin lower, by −a₀₀ g μ² at most. Without a range of light nothing is known.

    Parameters
    ----------
    points, noise, overlap
        As in `fit_curve`.
    """
    mean, variance, sigma = joined(points)
    if mean.size <= _PARAMETERS:
        return None
    design = np.stack([mean, np.ones_like(mean)]) / sigma
    excess = (variance - noise.variance) / sigma
    normal = design @ design.T
    if np.linalg.cond(normal) > 1 / np.finfo(float).eps:
        return None
    covariance = np.linalg.inv(normal)
    slope, rise = covariance @ design @ excess
    covariance *= overlap * widening(float(np.sum((excess - np.array([slope, rise]) @ design) ** 2)), mean.size - 2)
    covariance[1, 1] += noise.uncertainty**2
    if slope < _SIGMAS_OF_OFFSET * sqrt(float(covariance[0, 0])) or slope < SMALLEST_SLOPE:
        return None
    seen = np.maximum(slope * mean + rise, 0) + noise.variance
    through_level = mean * float(design[0] @ excess / normal[0, 0])
    by_offset = (slope * mean + rise - through_level) / seen
    if np.average(by_offset**2, weights=(seen / sigma) ** 2) < _LEAST_BY_OFFSET**2:
        return None
    below = float(rise / slope)
    by = np.array([-below, 1.0]) / slope
    highest = float(mean.max())
    of_charge = _MOST_CHARGE_PUSHES * highest**2 / slope if below > 0 else 0.0
    least = max(_LEAST_OFFSET * highest, _SIGMAS_OF_OFFSET * sqrt(float(by @ covariance @ by)))
    farthest = _FARTHEST * (highest - float(mean.min()))
    return below if least + of_charge < abs(below) <= farthest else None


def begins_elsewhere(below: float) -> str:
    """Say in words that the light of flats begins so many ADU below the level of the biases, by its noise."""
    side = "below" if below > 0 else "above"
    return (
        f"the noise of the light begins about {abs(below):.0f} ADU {side} the level of the biases: {OTHER_OFFSET} (a "
        "dark or constant taken off by the camera, a setting of the driver), or the response is not linear: the gain "
        "is off"
    )


def fit_curve(points: Sequence[PairPoints], noise: BiasNoise, overlap: float, level_uncertainty: float) -> TransferFit:
    """Fit a straight line, or eq. 16 of Astier et al. 2019 where the curve bends down significantly.

    A bend is told from a slope only where the signals span a factor of five.
    A bend upwards is no brighter-fatter effect, so it stays a misfit.

    Parameters
    ----------
    points : sequence of PairPoints
        Of all pairs.
    noise : BiasNoise
        Variance at no light.
    overlap : float
        How much the variance of a mean grows by pairs that share a frame.
    level_uncertainty : float
        1-σ prior of the offset of all signals, in ADU.
    """
    line = straight_line(points, noise.variance, level_uncertainty)
    n = sum(p.mean.size for p in points)
    if wide(points):
        curve = fit_bend(points, noise, overlap, level_uncertainty)
        if curve.bend is not None and curve.bend[0] < -_BEND_SIGMA * curve.bend[1]:
            return curve
    statistical = line.uncertainty**2 * overlap * widening(line.chi2, n - 2)
    of_slope = sqrt(statistical + (line.by_bias * noise.uncertainty) ** 2)
    return TransferFit(1 / line.slope, of_slope / line.slope**2, line.chi2 / (n - 2) if n > 2 else None)


def wide(points: Sequence[PairPoints]) -> bool:
    """Whether the signals span so much that a bend can be told from a slope."""
    signals = np.concatenate([p.mean for p in points])
    return bool(np.quantile(signals, 0.1) * _BEND_RANGE < signals.max())


def fit_bend(
    points: Sequence[PairPoints],
    noise: BiasNoise,
    overlap: float,
    level_uncertainty: float,
) -> TransferFit:
    """Fit eq. 16 of Astier et al. 2019: gain, a₀₀, the variance at no light, and the offset of all signals.

    The last two are known beforehand, from the biases: they are observations like the others.

    Parameters
    ----------
    points, noise, overlap, level_uncertainty
        As in `fit_curve`.

    Returns
    -------
    TransferFit
        Gain in e⁻/ADU, a₀₀ per e⁻.
    """
    mean, variance, sigma = joined(points)
    model_variance = np.concatenate([p.model_variance for p in points])
    start = 1 / max(straight_line(points, noise.variance).slope, SMALLEST_SLOPE)
    scale = float(np.abs(mean).max())

    # All parameters near one: slope · gain, the bend a₀₀ μ g at the highest signal, the deviations from what is known.
    def curve(parameters: Array) -> Array:
        slope, bend, offset, base = parameters
        light = mean + offset * level_uncertainty
        growth = curvature(light, bend / scale)
        return np.asarray(light * slope / start * growth + noise.variance + base * noise.uncertainty)

    def deviations(parameters: Array) -> Array:
        predicted = curve(parameters)
        # The scatter of a variance is in proportion to the variance that there is, not to that of a straight line.
        return np.append((variance - predicted) / (sigma * spread), parameters[2:])

    spread: Any = 1.0
    solution = np.array([1.0, -0.01, 0.0, 0.0])
    for _ in range(2):
        found = least_squares(deviations, solution, method="lm")
        solution = found.x
        spread = np.clip(curve(solution) / model_variance, 0.3, 3.0)
    found = least_squares(deviations, solution, method="lm")
    covariance = np.linalg.pinv(found.jac.T @ found.jac)
    slope, bend = found.x[:2]
    chi2, dof = float(np.sum(deviations(found.x) ** 2)), mean.size - 2
    of_slope, of_bend, _, of_base = np.sqrt(np.diag(covariance) * overlap * widening(chi2, dof))
    to_a00 = slope / (start * scale)
    return TransferFit(
        gain=float(start / slope),
        uncertainty=float(start / slope**2 * of_slope),
        chi2_per_dof=chi2 / dof if dof > 0 else None,
        bend=(float(bend * to_a00), float(of_bend * abs(to_a00))),
        strain=float(abs(found.x[2])),
        excess=(float(found.x[3]) * noise.uncertainty, float(of_base) * noise.uncertainty),
    )


def noise_of_flats(
    points: Sequence[PairPoints], noise: BiasNoise, overlap: float, level_uncertainty: float
) -> BiasNoise | None:
    """Return the noise in ADU² that flats have at no light, by their curve, where it is not that of biases; else None.

    Cameras read out after an exposure with other noise than before, and what draws power then is another. Where the
    curve tells so, what the biases say of it would bend the curve, and take the gain with it. What is returned is so
    uncertain that it holds a fit (`fit_bend`) to nothing.

    Parameters
    ----------
    points, noise, overlap, level_uncertainty
        As in `fit_curve`; the signals span a factor of some.
    """
    fit = fit_loose(points, noise, overlap, level_uncertainty)
    more = fit.excess[0]
    times = (noise.variance + more) / noise.variance
    if _sigmas(fit, noise) < _NOISE_SIGMA or not 1 / _MOST_TIMES < times < _MOST_TIMES:
        return None
    return replace(noise, variance=noise.variance + more, uncertainty=_LOOSE * noise.variance)


def fit_loose(points: Sequence[PairPoints], noise: BiasNoise, overlap: float, level_uncertainty: float) -> TransferFit:
    """Fit eq. 16 as `fit_bend` does, with the variance at no light, in ADU², left free."""
    loose = replace(noise, uncertainty=_LOOSE * noise.variance)
    return fit_bend(points, loose, overlap, level_uncertainty)


def _sigmas(fit: TransferFit, noise: BiasNoise) -> float:
    excess, uncertainty = fit.excess
    return abs(excess) / hypot(uncertainty, noise.uncertainty)


def by_noise(
    fit: TransferFit, points: Sequence[PairPoints], noise: BiasNoise, overlap: float, level_uncertainty: float
) -> float:
    """Return by how much a gain in e⁻/ADU may be off by a noise of flats at no light that is not that of the biases.

    It is what the gain would change where a fit that leaves that noise free finds another by more than two σ: too
    little to be sure of, too much to be silent about. 0 where it does not, or where the gain is of that fit already.
    """
    loose = fit_loose(points, noise, overlap, level_uncertainty)
    return abs(loose.gain - fit.gain) if _sigmas(loose, noise) > _UNSURE_SIGMA else 0.0


def misfit(points: Sequence[PairPoints], fit: TransferFit, noise: BiasNoise, level_uncertainty: float) -> float:
    """Return by how much, relative, the noise of light scatters about a curve beyond what chance makes; 0 where it may.

    Where the fit has no bend, that of the best bent curve counts: brighter-fatter is no misfit.
    """
    mean, variance, sigma = joined(points)
    # Where light makes the noise: elsewhere that of the read-out, and the level of the bias, are in it.
    sigma = np.hypot(sigma, level_uncertainty / fit.gain)
    lit = mean > noise.variance * fit.gain
    if lit.sum() <= _PARAMETERS:
        return 0.0
    bent = fit if fit.bend else fit_bend(points, noise, 1.0, 1.0)
    chi2, weight = inf, 1.0
    for curve in (fit, bent):
        light = curve.variance(mean, noise.variance) - noise.variance
        of_curve = float(np.sum((((variance - noise.variance - light) / sigma)[lit]) ** 2))
        if of_curve < chi2:
            chi2, weight = of_curve, float(np.sum((light / sigma)[lit] ** 2))
    dof = int(lit.sum()) - _PARAMETERS
    return 0.0 if widening(chi2, dof) == 1 else sqrt((chi2 - dof) / weight)


def collapses(points: Sequence[PairPoints], fit: TransferFit, noise: BiasNoise, overlap: float) -> bool:
    """Whether noise collapses where there is most light, in ADU, as that of signals which bunch up at full well.

    Parameters
    ----------
    points, fit, noise, overlap
        As in `fit_curve`, and what it gave.
    """
    mean, variance, sigma = joined(points)
    lit = mean > noise.variance * fit.gain
    order = np.argsort(mean[lit])
    mean, variance, sigma = (values[lit][order] for values in (mean, variance, sigma))
    if mean.size <= _PARAMETERS:
        return False
    share, error = ((variance - noise.variance) * fit.gain / mean, sigma * fit.gain / mean)
    slope, uncertainty = _growth(mean, share, error)
    lost = -slope * float(np.log(mean[-1] / mean[0]))
    if lost > _LOST and slope < min(_COLLAPSES, -_SURELY * sqrt(overlap) * uncertainty):
        return True
    return _breaks_down(share, error)


def _growth(mean: Array, share: Array, error: Array) -> tuple[float, float]:
    """Return d ln(V/μ)/d ln μ of the noise of light V from pixels to pixels of other light μ, and its uncertainty.

    0 of photons; −0.3 at most by brighter-fatter. At full well signals bunch up, and noise collapses over a few per
    cent of light. The uncertainty is infinite where there is no range of light.
    """
    weight = error**-2
    steps = np.log(mean) - np.average(np.log(mean), weights=weight)
    norm = float(weight @ steps**2)
    return (0.0, inf) if norm == 0 else (float((weight * steps) @ share) / norm, norm**-0.5)


def _breaks_down(share: Array, error: Array) -> bool:
    """Whether all of the brightest pixels have a small part of the noise over light of the others."""
    usual = float(np.median(share[: max(share.size // 2, 1)]))
    low = share + _SURELY * error < _BROKEN * usual
    return bool(low.size >= _FEWEST_BROKEN and low[-max(_FEWEST_BROKEN, low.size // _OF_THE_BRIGHTEST) :].all())


def curvature(electrons: Array, a00: float) -> Array:
    """Return [exp(2 a₀₀ N) − 1]/(2 a₀₀ N), the variance over that of photons alone; 1 for a₀₀ = 0.

    The signals N are in e⁻, of any shape, a₀₀ is per e⁻.
    """
    exponent = np.clip(2 * a00 * electrons, -50, 50)
    straight = np.abs(exponent) < 1e-9
    return np.where(straight, 1.0, np.expm1(exponent) / np.where(straight, 1.0, exponent))


def joined(points: Sequence[PairPoints]) -> tuple[Array, ...]:
    """Return mean, variance and uncertainty of the points of all pairs."""
    return tuple(np.concatenate([getattr(p, name) for p in points]) for name in ("mean", "variance", "uncertainty"))
