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
    """Slope of C = μ · slope + B in 1/gain, its 1-σ uncertainty with B known exactly, ∂slope/∂B, and χ²."""

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


def straight_line(points: Sequence[PairPoints], bias_variance: float) -> Line:
    """Fit a straight line through the bias variance, weighted by the variance the noise model predicts.

    Without any point the slope is 0 with infinite uncertainty.
    """
    mean, variance, sigma = _joined(points)
    weight = mean / sigma**2
    norm = float(weight @ mean)
    if norm == 0:
        return Line(0.0, inf, 0.0, 0.0)
    slope = float(weight @ (variance - bias_variance)) / norm
    chi2 = float(np.sum(((variance - bias_variance - slope * mean) / sigma) ** 2))
    return Line(slope, 1 / sqrt(norm), -float(weight.sum()) / norm, chi2)


def fit_curve(points: Sequence[PairPoints], noise: BiasNoise, overlap: float) -> TransferFit:
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
    """
    line = straight_line(points, noise.variance)
    signals = np.concatenate([p.mean for p in points])
    n = signals.size
    if np.quantile(signals, 0.1) * _BEND_RANGE < signals.max():
        curve = _bent(points, noise, overlap, 1 / line.slope)
        if curve.bend is not None and curve.bend[0] < -_BEND_SIGMA * curve.bend[1]:
            return curve
    chi2_per_dof = line.chi2 / (n - 1) if n > 1 else None
    statistical = line.uncertainty**2 * overlap * max(1.0, chi2_per_dof or 1.0)
    of_slope = sqrt(statistical + (line.by_bias * noise.uncertainty) ** 2)
    return TransferFit(1 / line.slope, of_slope / line.slope**2, chi2_per_dof)


def _bent(points: Sequence[PairPoints], noise: BiasNoise, overlap: float, gain: float) -> TransferFit:
    from scipy.optimize import curve_fit

    mean, variance, sigma = _joined(points)
    scale = float(np.abs(mean).max())

    # Both parameters near one: slope · gain, and the bend a₀₀ μ g at the highest signal.
    def model(signal: npt.NDArray[np.float64], slope: float, bend: float) -> npt.NDArray[np.float64]:
        exponent = np.clip(2 * bend * signal / scale, -50, 50)
        growth = np.expm1(exponent) / np.where(exponent == 0, 1, exponent)
        curved: npt.NDArray[np.float64] = signal * slope / gain * np.where(exponent == 0, 1, growth) + noise.variance
        return curved

    (slope, bend), covariance = curve_fit(model, mean, variance, (1.0, -0.01), sigma=sigma, absolute_sigma=True)
    chi2_per_dof = float(np.sum(((variance - model(mean, slope, bend)) / sigma) ** 2)) / (mean.size - 2)
    of_slope, of_bend = np.sqrt(np.diag(covariance) * overlap * max(1.0, chi2_per_dof))
    to_a00 = slope / (gain * scale)
    return TransferFit(
        gain=float(gain / slope),
        uncertainty=float(gain / slope**2 * of_slope),
        chi2_per_dof=chi2_per_dof,
        bend=(float(bend * to_a00), float(of_bend * to_a00)),
    )


def _joined(points: Sequence[PairPoints]) -> tuple[npt.NDArray[np.float64], ...]:
    return tuple(np.concatenate([getattr(p, name) for p in points]) for name in ("mean", "variance", "uncertainty"))
