"""What two flats differ by, beyond the changes of their light, strip by strip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ccdcore._cosmic_rays import TOLD_FROM_NOISE
from ccdcore._pair_kernel import NEIGHBOURS, derivatives, fit_templates, neighbour_sums, weighted_products

Array = npt.NDArray[np.floating[Any]]
T = TypeVar("T")

BOX = 16
"""Side of the boxes, in pixels, within which changes of the lamp's pattern are fitted."""

CLIP_SIGMA = 3.5
"""Cosmic rays are left out beyond this many σ; a wider limit lets more faint ones hide in bright light."""

_WIDE_CLIP_SIGMA = 5.0
_MAYBE_HIT = 9.0
"""(3 σ)², of noise that the light of the cosmic ray itself is in."""
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
class Residuals:
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


def stride(image: Array) -> int:
    """Every how many strips or pixels to look at, where a look at part of them is enough."""
    return max(1, image.size // _FIRST_LOOK_PIXELS)


def strips(
    pair: FlatPair, gain: float, make: Callable[[Residuals], T], *, quick: bool, clip: bool = True
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
        yield from pool.map(work, range(0, rows.size - 1, _BOXES_PER_STRIP * (stride(pair.first) if quick else 1)))


def _strip_residuals(pair: FlatPair, gain: float, rows: slice, boxes: Boxes, clip: bool, neighbours: bool) -> Residuals:
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
    return Residuals(
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
