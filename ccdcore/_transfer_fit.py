"""Gain from photon transfer points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
import numpy.typing as npt

from ccdcore._flat_pair import PairPoints
from ccdcore.statistics import QUANTISATION_VARIANCE

SMALLEST_SLOPE = 1e-4
"""Variance per signal, in ADU, below which there is no shot noise (a gain of 10 000 e⁻/ADU)."""

_BEND_SIGMA = 3.0
_BEND_RANGE = 5.0


@dataclass(frozen=True, slots=True)
class BiasNoise:
    """Variance of one bias in ADU², rounding included, its 1-σ uncertainty, and whether there was rounding."""

    variance: float
    uncertainty: float
    whole: bool

    @property
    def read_noise(self) -> tuple[float, float]:
        """Read noise in ADU RMS without the rounding, and its uncertainty."""
        value = sqrt(max(self.variance - self.whole * QUANTISATION_VARIANCE, 0.0))
        # Where rounding hides the noise the uncertainty of the variance bounds it.
        return value, self.uncertainty / (2 * max(value, sqrt(self.uncertainty)))


@dataclass(frozen=True, slots=True)
class Line:
    """Slope of C = (μ + c) · slope + B in 1/gain, its 1-σ uncertainty with B known exactly, ∂slope/∂B, and χ²."""

    slope: float
    uncertainty: float
    by_bias: float
    chi2: float


@dataclass(frozen=True, slots=True)
class TransferFit:
    """Gain in e⁻/ADU, its 1-σ uncertainty and reduced χ²; a₀₀ in 1/e⁻ and its uncertainty where the curve bends."""

    gain: float
    uncertainty: float
    chi2_per_dof: float | None
    bend: tuple[float, float] | None = None


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
    mean, variance, sigma = _joined(points)
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
    signals = np.concatenate([p.mean for p in points])
    n = signals.size
    if np.quantile(signals, 0.1) * _BEND_RANGE < signals.max():
        curve = _bent(points, noise, overlap, 1 / line.slope, level_uncertainty)
        if curve.bend is not None and curve.bend[0] < -_BEND_SIGMA * curve.bend[1]:
            return curve
    chi2_per_dof = line.chi2 / (n - 2) if n > 2 else None
    statistical = line.uncertainty**2 * overlap * max(1.0, chi2_per_dof or 1.0)
    of_slope = sqrt(statistical + (line.by_bias * noise.uncertainty) ** 2)
    return TransferFit(1 / line.slope, of_slope / line.slope**2, chi2_per_dof)


def _bent(
    points: Sequence[PairPoints], noise: BiasNoise, overlap: float, gain: float, level_uncertainty: float
) -> TransferFit:
    from scipy.optimize import curve_fit

    mean, variance, sigma = _joined(points)
    scale = float(np.abs(mean).max())

    # All parameters near one: slope · gain, the bend a₀₀ μ g at the highest signal, the offset over its prior,
    # which is one more observation: of 0 ± 1.
    def model(signal: npt.NDArray[np.float64], slope: float, bend: float, offset: float) -> npt.NDArray[np.float64]:
        light = signal + offset * level_uncertainty
        exponent = np.clip(2 * bend * light / scale, -50, 50)
        growth = np.expm1(exponent) / np.where(exponent == 0, 1, exponent)
        curved = light * slope / gain * np.where(exponent == 0, 1, growth) + noise.variance
        return np.append(curved, offset)

    observed, errors = np.append(variance, 0.0), np.append(sigma, 1.0)
    (slope, bend, offset), covariance = curve_fit(
        model, mean, observed, (1.0, -0.01, 0.0), sigma=errors, absolute_sigma=True
    )
    chi2_per_dof = float(np.sum(((observed - model(mean, slope, bend, offset)) / errors) ** 2)) / (mean.size - 2)
    of_slope, of_bend, _ = np.sqrt(np.diag(covariance) * overlap * max(1.0, chi2_per_dof))
    to_a00 = slope / (gain * scale)
    return TransferFit(
        gain=float(gain / slope),
        uncertainty=float(gain / slope**2 * of_slope),
        chi2_per_dof=chi2_per_dof,
        bend=(float(bend * to_a00), float(of_bend * to_a00)),
    )


def _joined(points: Sequence[PairPoints]) -> tuple[npt.NDArray[np.float64], ...]:
    return tuple(np.concatenate([getattr(p, name) for p in points]) for name in ("mean", "variance", "uncertainty"))
