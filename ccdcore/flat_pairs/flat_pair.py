"""Noise of one pair of flats against their light: the kernel of the ``binned`` photon transfer method.

For flats with signals S₁, S₂ (bias subtracted) and mean fluxes μ₁, μ₂ the
symmetric difference Δ = f₁S₁ − f₂S₂, with f₁ = μ₂/μ, f₂ = μ₁/μ and
μ = (μ₁ + μ₂)/2, has mean zero and, at a pixel of mean signal λ, the variance

    V = 2 f₁f₂ λ/g + (f₁² + f₂²) B

with g the gain and B the variance of one bias. It does not correlate with
the sum S₁ + S₂ (exactly so for Poisson noise, whatever μ₁/μ₂), so weights,
limits and templates made of the sum leave the variance of Δ unbiased.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from ccdcore.flat_pairs.faint_cosmic_rays import faint_cosmic_rays
from ccdcore.flat_pairs.flat_pair_kernel import group_sums
from ccdcore.flat_pairs.residuals import (
    CLIP_SIGMA,
    FlatPair,
    Light,
    Residuals,
    lower,
    neighbourhood,
    stride,
    strips,
    with_margin,
)
from ccdcore.numerics.parts import Parts
from ccdcore.numerics.robust import median
from ccdcore.numerics.threads import of_parts

Array = npt.NDArray[np.floating[Any]]

WIDENED_BY_CUT = 1.021
"""σ of a variance from normal data cut at `CLIP_SIGMA`, the cut undone, over that from all data: √(1.919/2) / 0.960."""

_SHIFT_SIGMA = 5.0
_CHI2_MEDIAN = 0.454936
_BINS = 48
_ENOUGH_PIXELS = 2**22
_PIXELS_PER_BIN = 100
_BAND_ROWS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Covariances of the noise of neighbours, of the pixels that light makes noisy.

    Parameters
    ----------
    covariance : ndarray, shape (5,)
        Of a pixel with itself, and with one of each two of its eight neighbours that lie opposite
        (`ccdcore.flat_pairs.flat_pair_kernel.NEIGHBOURS`), in units of the variance of the noise model.
    uncertainty : ndarray, shape (5,)
        1 σ.
    bias_share : float
        Part of the bias noise in the variance.
    """

    covariance: npt.NDArray[np.float64]
    uncertainty: npt.NDArray[np.float64]
    bias_share: float

    @classmethod
    def of(cls, sums: npt.NDArray[np.float64]) -> Neighbours:
        """Return covariances, in units of the model variance, of `neighbour_sums` and bias noise, shape (4, 5)."""
        n, products, taken, bias = sums
        n = np.maximum(n, 1)
        return cls((products + taken) / n, n**-0.5, float(bias[0] / n[0]))


@dataclass(frozen=True, slots=True, eq=False)
class PairPoints:
    """Photon transfer points of one pair, an entry for each group of pixels.

    Parameters
    ----------
    mean, variance, uncertainty : ndarray of float64
        Signal in ADU, variance of one frame in ADU² (with the bias variance in
        it), and the 1-σ uncertainty the noise model predicts for the variance.
    model_variance : ndarray of float64
        Variance that the noise model predicts, which the uncertainty is in proportion to.
    n_pixels : ndarray of int64
        Pixels in each group.
    rejected_fraction : float
        Fraction of the lit pixels left out as outliers or their neighbours.
    faint_cosmic_rays : float
        Part of the variance that was taken out of it for cosmic rays too faint to be told from noise.
    neighbours : Neighbours
        Covariances of the noise of neighbours.
    shift : float
        How far the pattern of the light moved from one to the other, in pixels; 0 where that may be noise.
    parts : Parts
        Noise of light by parts of the image.
    """

    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]
    uncertainty: npt.NDArray[np.float64]
    model_variance: npt.NDArray[np.float64]
    n_pixels: npt.NDArray[np.int64]
    rejected_fraction: float
    faint_cosmic_rays: float
    neighbours: Neighbours
    shift: float
    parts: Parts


def prepare(first: Light, second: Light, bias_variance: float, saturation: float) -> FlatPair | None:
    """Compare the light of two flats; None where there is none between noise and saturation.

    Parameters
    ----------
    first, second : Light
        Their light: shape (rows, columns), in ADU.
    bias_variance : float
        Of one pixel of one frame, in ADU².
    saturation : float
        In ADU; pixels above it are left out.
    """
    every = max(1, first.frame.size // _ENOUGH_PIXELS)  # rows that tell a median as well as all
    light, sample = _means_of_neighbours(first, second, every)
    n_brightest = max(light.size // 100, min(light.size, 100))
    reference = float(np.partition(light, -n_brightest, axis=None)[-n_brightest])
    if reference < 5 * sqrt(bias_variance):
        return None
    some = slice(None, None, every)
    one, two = first[some], second[some]
    lit = (light > reference / 3) & (lower(one, two) > reference / 6)
    if np.count_nonzero(lit) < _PIXELS_PER_BIN:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = median(one[lit] / two[lit])
    return FlatPair(first, second, ratio, sample, bias_variance, saturation)


def _means_of_neighbours(first: Light, second: Light, every: int) -> tuple[Array, Array]:
    """Return the mean light around the pixels of every so many rows, and in order that around evenly spaced pixels."""
    rows, columns = first.shape
    step = stride(first)

    def work(start: int) -> tuple[Array, Array]:
        band = slice(start, min(start + _BAND_ROWS, rows))
        around, inside = with_margin(band, rows, 1)
        means = neighbourhood(first[around], second[around], inside)
        return means[-start % every :: every].copy(), means.ravel()[-start * columns % step :: step].copy()

    parts = of_parts(work, range(0, rows, _BAND_ROWS), n_pixels=rows * columns)
    light, sample = zip(*parts, strict=True)
    return np.concatenate(light), np.sort(np.concatenate(sample))


def first_gain(pair: FlatPair) -> float | None:
    """Return a rough gain from the median of Δ² in the brightest pixels, which outliers hardly move.

    None where too few pixels are safe from saturation.
    """
    parts = list(strips(pair, min(1.0, _guessed_gain(pair)), lambda part: part, quick=True, clip=False))
    value, level, dof = (np.concatenate([getattr(p, name) for p in parts]) for name in ("value", "level", "dof"))
    if level.size < _PIXELS_PER_BIN:
        return None
    bright = level > np.quantile(np.sort(level), 0.99) / 3
    f1, f2 = pair.factors
    noise = _CHI2_MEDIAN * (f1**2 + f2**2) * pair.bias_variance
    slope = median((value[bright] ** 2 / dof[bright] - noise) / (2 * f1 * f2 * level[bright])) / _CHI2_MEDIAN
    return 1 / max(slope, 1e-6)


def _guessed_gain(pair: FlatPair) -> float:
    """Guess the gain from the steps of Δ between neighbours: good to a factor of two, whatever the unit of the pixels.

    Against a noise model that is far too small all pixels would be outliers.
    """
    f1, f2 = pair.factors
    first, second = (light[:: stride(light)].astype(np.float64) for light in (pair.first, pair.second))
    squares, level = np.diff(f1 * first - f2 * second, axis=1) ** 2, (first + second)[:, 1:] / 2
    lit = np.isfinite(squares) & (level > float(pair.ordered_sample[-1]) / 3)
    if not lit.any():
        return 1.0
    noise = median(squares[lit]) / (2 * _CHI2_MEDIAN) - (f1**2 + f2**2) * pair.bias_variance
    return 2 * f1 * f2 * median(level[lit]) / noise if noise > 0 else 1.0


def measure(pair: FlatPair, gain: float, *, quick: bool = False) -> PairPoints:
    """Group the pixels by their light and return the variance of each group.

    Parameters
    ----------
    pair : FlatPair
        The flats.
    gain : float
        Gain of the noise model, in e⁻/ADU, good to some 10 %.
    quick : bool
        Only evenly spaced strips of a large frame.
    """
    edges = _group_edges(pair, gain)
    sums = np.zeros((6, edges.size + 1))
    n_candidates, neighbour_sums, shift_sums = 0, np.zeros((4, 5)), np.zeros((2, 3))
    hits: list[Array] = []
    parts = Parts.none()

    def group(part: Residuals) -> tuple[Array, Residuals]:
        return group_sums(part.neighbourhood, edges, part.value, part.level, part.variance, part.dof), part

    for some, part in strips(pair, gain, group, quick=quick):
        sums += some
        n_candidates += part.n_candidates
        hits.append(part.hits)
        neighbour_sums += part.neighbour_sums
        shift_sums += part.shift_sums
        parts += part.parts
    n, dof, squares, levels, variances, variances2 = sums[:, sums[1] > 1]
    f1, f2 = pair.factors
    measured = untruncated_groups(squares / variances, dof, CLIP_SIGMA) * variances / dof
    faint = faint_cosmic_rays(np.hstack(hits).astype(np.float64), n, np.sqrt(measured), CLIP_SIGMA)
    measured /= 1 + faint
    unequal = ((f1**2 + f2**2) / 2 - 1) * pair.bias_variance
    return PairPoints(
        mean=f1 * f2 * levels / dof,
        variance=measured / 2 - unequal,
        # Var(Σe²) = 2 Σ V²(1 − h) for normal residuals with h of their degrees of freedom fitted away.
        uncertainty=WIDENED_BY_CUT * np.sqrt(2 * variances2) / dof / 2,
        model_variance=variances / dof / 2 - unequal,
        n_pixels=n.astype(np.int64),
        rejected_fraction=1 - float(n.sum()) / max(n_candidates, 1),
        faint_cosmic_rays=float(faint @ n) / max(float(n.sum()), 1.0),
        neighbours=Neighbours.of(neighbour_sums),
        shift=_shift(shift_sums),
        parts=parts,
    )


def untruncated(ratio: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.float64]:
    """Return true over model variance, of any shape, from that of normal data cut at ``limit`` times the model's σ.

    A normal distribution cut at ±k of its own σ keeps the fraction
    1 − 2 k φ(k) / (2 Φ(k) − 1) of its variance, 0.99389 at k = 3.5; k itself
    depends on the true variance, so this is repeated.
    """
    true = ratio
    for _ in range(5):
        k = limit / np.sqrt(np.maximum(true, 1e-6))
        true = ratio / (1 - k * np.sqrt(2 / np.pi) * np.exp(-(k**2) / 2) / erf(k / np.sqrt(2)))
    return true


def untruncated_groups(ratios: npt.NDArray[np.float64], dof: npt.NDArray[np.float64], limit: float) -> Any:
    """Undo the cut of groups of pixels, to the first order about what it is for all of them.

    `untruncated` curves upwards, so that the scatter of small groups would make their mean too large: by 0.2 % in
    groups of 100 pixels cut at 3.5 σ. Ratios and degrees of freedom have shape (groups,), as what is returned.
    """
    if ratios.size == 0:
        return ratios
    step = 0.01
    mean = np.average(ratios, weights=dof)
    low, middle, high = untruncated(mean * np.array([1 - step, 1, 1 + step]), limit)
    true = middle + (high - low) / (2 * step) * (ratios / mean - 1)
    return np.maximum(true, 0.1 * ratios)  # far from the model, where all are rejected, a line leads to below nothing


def _group_edges(pair: FlatPair, gain: float) -> npt.NDArray[np.float64]:
    """Return the bounds of the groups: one where read noise dominates, the lit pixels in equal numbers."""
    dark, sample = gain * pair.bias_variance, pair.ordered_sample
    lit = sample[np.searchsorted(sample, sample.dtype.type(dark), side="right") :]
    n_groups = min(lit.size // _PIXELS_PER_BIN, _BINS)
    inner = np.quantile(lit, np.arange(1, n_groups) / n_groups) if n_groups > 1 else np.empty(0)
    return np.unique(np.concatenate([[dark], inner]))


def _shift(sums: Array) -> float:
    """Return by how much one light is the other moved along its slopes, in pixels, where that is not noise.

    ``sums`` are, a row for each slope, those of slope · other / variance for the difference and both slopes.
    """
    products, squares = sums[:, 0], sums[:, 1:]
    covariance = np.linalg.pinv(squares)
    shifts = covariance @ products
    shifts = np.where(shifts**2 > _SHIFT_SIGMA**2 * np.diag(covariance), shifts, 0)
    return float(np.abs(shifts).max())
