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

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import sqrt
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from ccdcore._cosmic_rays import TOLD_FROM_NOISE, faint_cosmic_rays
from ccdcore._pair_kernel import (
    NEIGHBOURS,
    derivatives,
    fit_templates,
    group_sums,
    neighbour_mean,
    neighbour_sums,
    weighted_products,
)
from ccdcore.statistics import median

Array = npt.NDArray[np.floating[Any]]
T = TypeVar("T")

BOX = 16
"""Side of the boxes, in pixels, within which changes of the lamp's pattern are fitted."""

CLIP_SIGMA = 3.5
"""Cosmic rays are left out beyond this many σ; a wider limit lets more faint ones hide in bright light."""

WIDENED_BY_CUT = 1.021
"""σ of a variance from normal data cut at `CLIP_SIGMA`, the cut undone, over that from all data: √(1.919/2) / 0.960."""

_WIDE_CLIP_SIGMA = 5.0
_SHIFT_SIGMA = 5.0
_MAYBE_HIT = 9.0
"""(3 σ)², of noise that the light of the cosmic ray itself is in."""
_CHI2_MEDIAN = 0.454936
_BINS = 48
_PIXELS_PER_BIN = 100
_BOXES_PER_STRIP = 4
_FIRST_LOOK_PIXELS = 2**19
_NEIGHBOUR_PIXELS = 2**21


@dataclass(frozen=True, slots=True, eq=False)
class FlatPair:
    """Two flats of one amplifier, ready to be compared.

    Parameters
    ----------
    first, second : ndarray of float32, shape (rows, columns)
        Signals in ADU, bias subtracted; NaN where a pixel is saturated.
    flux_ratio : float
        μ₁/μ₂.
    neighbourhood : ndarray of float32
        Mean light of the eight neighbours of each pixel, free of the pixel's
        own noise: pixels may be grouped by it without bias.
    ordered_sample : ndarray of float32
        The same of evenly spaced pixels, in ascending order.
    bias_variance : float
        Variance of one bias frame in ADU², rounding included.
    saturation : float
        Signal at which pixels saturate, so that those just below are left out too; infinite where none does.
    """

    first: Array
    second: Array
    flux_ratio: float
    neighbourhood: Array
    ordered_sample: Array
    bias_variance: float
    saturation: float

    @property
    def factors(self) -> tuple[float, float]:
        """The scale factors f₁, f₂ of the two flats; they add up to 2."""
        return 2 / (1 + self.flux_ratio), 2 * self.flux_ratio / (1 + self.flux_ratio)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Covariances of the noise of neighbours, of the pixels that light makes noisy.

    Parameters
    ----------
    covariance : ndarray, shape (5,)
        Of a pixel with itself, and with one of each two of its eight neighbours that lie opposite
        (`ccdcore._pair_kernel.NEIGHBOURS`), in units of the variance of the noise model.
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
        """Make covariances of the sums of `neighbour_sums` and of bias noise over model variance."""
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


@dataclass(frozen=True, slots=True, eq=False)
class _Residuals:
    """Residuals of some pixels, the variance V of Δ, what the fit leaves of it (dof = 1 − h), and their light."""

    value: Array
    level: Array
    variance: Array
    dof: Array
    neighbourhood: Array
    n_candidates: int
    hits: Array
    neighbour_sums: Array
    shift_sums: Array


def prepare(first: Array, second: Array, bias_variance: float, saturation: float) -> FlatPair | None:
    """Compare the light of two flats; None where there is none between noise and saturation."""
    # Cosmic rays are in one of the two only, so the lower value is free of them.
    lower = np.minimum(first, second)
    lower[~np.isfinite(lower)] = 0
    neighbourhood = neighbour_mean(lower)
    n_brightest = max(neighbourhood.size // 100, min(neighbourhood.size, 100))
    reference = float(np.partition(neighbourhood, -n_brightest, axis=None)[-n_brightest])
    if reference < 5 * sqrt(bias_variance):
        return None
    lit = (neighbourhood > reference / 3) & (lower > reference / 6)
    if np.count_nonzero(lit) < _PIXELS_PER_BIN:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # of pixels that are not lit
        ratio = median((first / second)[lit])
    sample = np.sort(neighbourhood.ravel()[:: _stride(first)])
    return FlatPair(first, second, ratio, neighbourhood, sample, bias_variance, saturation)


def first_gain(pair: FlatPair) -> float | None:
    """Return a rough gain from the median of Δ² in the brightest pixels, which outliers hardly move.

    None where too few pixels are safe from saturation.
    """
    parts = list(_strips(pair, 1.0, lambda part: part, quick=True, clip=False))
    value, level, dof = (np.concatenate([getattr(p, name) for p in parts]) for name in ("value", "level", "dof"))
    if level.size < _PIXELS_PER_BIN:
        return None
    bright = level > np.quantile(np.sort(level), 0.99) / 3
    f1, f2 = pair.factors
    noise = _CHI2_MEDIAN * (f1**2 + f2**2) * pair.bias_variance
    slope = median((value[bright] ** 2 / dof[bright] - noise) / (2 * f1 * f2 * level[bright])) / _CHI2_MEDIAN
    return 1 / max(slope, 1e-6)


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

    def group(part: _Residuals) -> tuple[Array, _Residuals]:
        return group_sums(part.neighbourhood, edges, part.value, part.level, part.variance, part.dof), part

    for some, part in _strips(pair, gain, group, quick=quick):
        sums += some
        n_candidates += part.n_candidates
        hits.append(part.hits)
        neighbour_sums += part.neighbour_sums
        shift_sums += part.shift_sums
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
    )


def untruncated(ratio: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.float64]:
    """Return true over model variance, from that of normal data cut at ``limit`` times the model's σ.

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
    groups of 100 pixels cut at 3.5 σ.
    """
    if ratios.size == 0:
        return ratios
    step = 0.01
    mean = np.average(ratios, weights=dof)
    low, middle, high = untruncated(mean * np.array([1 - step, 1, 1 + step]), limit)
    true = middle + (high - low) / (2 * step) * (ratios / mean - 1)
    return np.maximum(true, 0.1 * ratios)  # far from the model, where all are rejected, a line leads to below nothing


def _stride(image: Array) -> int:
    """Every how many strips or pixels to look at, where a look at part of them is enough."""
    return max(1, image.size // _FIRST_LOOK_PIXELS)


def _group_edges(pair: FlatPair, gain: float) -> npt.NDArray[np.float64]:
    """Return the bounds of the groups: one where read noise dominates, the lit pixels in equal numbers."""
    dark, sample = gain * pair.bias_variance, pair.ordered_sample
    lit = sample[np.searchsorted(sample, sample.dtype.type(dark), side="right") :]
    n_groups = min(lit.size // _PIXELS_PER_BIN, _BINS)
    inner = np.quantile(lit, np.arange(1, n_groups) / n_groups) if n_groups > 1 else np.empty(0)
    return np.unique(np.concatenate([[dark], inner]))


def _strips(
    pair: FlatPair, gain: float, make: Callable[[_Residuals], T], *, quick: bool, clip: bool = True
) -> Iterator[T]:
    """Yield what is made of the residuals of strips of boxes, small enough for the cache, all processors at work.

    A quick look is one at evenly spaced strips, without covariances.
    """
    rows, columns = (np.linspace(0, n, max(1, round(n / BOX)) + 1).astype(int) for n in pair.first.shape)
    every = max(1, pair.first.size // _NEIGHBOUR_PIXELS)

    def work(k: int) -> T:
        bounds = rows[k : k + _BOXES_PER_STRIP + 1]
        boxes = Boxes(bounds - bounds[0], columns)
        neighbours = not quick and k % (_BOXES_PER_STRIP * every) == 0
        return make(_strip_residuals(pair, gain, slice(bounds[0], bounds[-1]), boxes, clip, neighbours))

    with ThreadPoolExecutor() as pool:
        yield from pool.map(work, range(0, rows.size - 1, _BOXES_PER_STRIP * (_stride(pair.first) if quick else 1)))


def _strip_residuals(
    pair: FlatPair, gain: float, rows: slice, boxes: Boxes, clip: bool, neighbours: bool
) -> _Residuals:
    f1, f2 = pair.factors
    first, second = pair.first[rows], pair.second[rows]
    difference: Array = f1 * first - f2 * second
    level: Array = (first + second) / 2
    variance: Array = np.maximum(level, 0) * (2 * f1 * f2 / gain) + (f1**2 + f2**2) * pair.bias_variance
    # At a given sum of both, neither reaches saturation within 5 σ of their difference.
    usable = np.isfinite(difference) & (level + 2.5 * np.sqrt(variance) < pair.saturation)
    for image, harmless in ((difference, 0), (level, 0), (variance, 1)):
        image[~usable] = harmless

    flat_fit = fit_boxes(difference, np.ones((1, *level.shape), level.dtype), usable / variance, boxes)
    good = usable & ~_grown(_outliers(flat_fit, variance, _WIDE_CLIP_SIGMA))
    templates = np.stack([np.ones_like(level), level, *_slopes(pair, rows, usable)])
    fit = fit_boxes(difference, templates, good / variance, boxes)
    good &= fit[1] < 0.5
    if clip:
        good &= ~_grown(good & _outliers(fit, variance, CLIP_SIGMA))
    residual, leverage = fit
    # Only where light makes most of the noise: that of the read-out may correlate for reasons of its own.
    lit = level > gain * pair.bias_variance
    weight = (lit & good) / variance
    pull = residual * np.sqrt(weight)
    sums = np.zeros((3, len(NEIGHBOURS)))
    if neighbours:
        sums = neighbour_sums(pull, weight, templates, boxes.rows, boxes.columns)
    bias_share = np.sum((f1**2 + f2**2) * pair.bias_variance * weight)
    return _Residuals(
        residual[good],
        level[good],
        variance[good],
        1 - leverage[good],
        pair.neighbourhood[rows][good],
        int(np.count_nonzero(usable)),
        _hits(pair, gain, rows, residual, usable & (residual**2 > _MAYBE_HIT * variance)),
        np.vstack([sums, np.full(5, bias_share)]),
        weighted_products(templates[2:], np.stack([difference, *templates[2:]]), good / variance),
    )


def _shift(sums: Array) -> float:
    """Return by how much one light is the other moved along its slopes, in pixels, where that is not noise.

    ``sums`` are, a row for each slope, those of slope · other / variance for the difference and both slopes.
    """
    products, squares = sums[:, 0], sums[:, 1:]
    covariance = np.linalg.pinv(squares)
    shifts = covariance @ products
    shifts = np.where(shifts**2 > _SHIFT_SIGMA**2 * np.diag(covariance), shifts, 0)
    return float(np.abs(shifts).max())


def _slopes(pair: FlatPair, rows: slice, usable: npt.NDArray[np.bool_]) -> Array:
    """Return the derivatives of the light along columns and rows: what a pattern that moved a little leaves."""
    first, last = max(rows.start - 2, 0), min(rows.stop + 2, pair.first.shape[0])
    light = (pair.first[first:last] + pair.second[first:last]) / 2
    light[~np.isfinite(light)] = 0
    return derivatives(light, rows.start - first, usable)


def _hits(pair: FlatPair, gain: float, rows: slice, residual: Array, maybe: npt.NDArray[np.bool_]) -> Array:
    """Return the absolute residuals of cosmic rays, and whether each has one beside it; shape (2, hits)."""
    f1, f2 = pair.factors
    index = np.flatnonzero(maybe)
    # Their own light is not in the noise they stand out of.
    lower = np.minimum(pair.first[rows].flat[index], pair.second[rows].flat[index])
    variance = np.maximum(lower, 0) * (2 * f1 * f2 / gain) + (f1**2 + f2**2) * pair.bias_variance
    charge = np.abs(residual.flat[index])
    hit = charge > TOLD_FROM_NOISE * np.sqrt(variance)
    index, width = index[hit], maybe.shape[1]
    beside = [np.isin(index + side * step, index) for step in (1, width - 1, width, width + 1) for side in (-1, 1)]
    return np.stack([charge[hit], np.any(beside, axis=0)])


def _outliers(fit: tuple[Array, Array], variance: Array, sigma: float) -> npt.NDArray[np.bool_]:
    residual, leverage = fit
    return residual**2 > sigma**2 * variance * (1 - leverage)


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Add the neighbours, where the wings of a cosmic ray are; chosen without a look at their own noise."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    across = grown.copy()
    across[:, 1:] |= grown[:, :-1]
    across[:, :-1] |= grown[:, 1:]
    return across


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """A division of an image into boxes, by the bounds of their rows and columns."""

    rows: npt.NDArray[np.int_]
    columns: npt.NDArray[np.int_]


def fit_boxes(difference: Array, templates: Array, weight: Array, boxes: Boxes) -> tuple[Array, Array]:
    """Fit templates to an image by weighted least squares, box by box.

    Parameters
    ----------
    difference : ndarray, shape (rows, columns)
        The image.
    templates : ndarray, shape (templates, rows, columns)
        What may be in it: a constant takes up an offset, the level a change of
        the local flux ratio, its gradients a shift of the light pattern.
    weight : ndarray
        1/variance of each pixel; 0 where it is not to be used.
    boxes : Boxes
        The boxes.

    Returns
    -------
    residual, leverage : ndarray
        Image minus fit, and h such that Var(residual) = (1 − h)/weight.
    """
    residual, leverage = fit_templates(difference, templates, weight, boxes.rows, boxes.columns)
    return residual, leverage
