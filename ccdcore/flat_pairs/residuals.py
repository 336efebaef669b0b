"""What two flats differ by, beyond the changes of their light, strip by strip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ccdcore.flat_pairs.faint_cosmic_rays import TOLD_FROM_NOISE
from ccdcore.flat_pairs.flat_pair_kernel import (
    NEIGHBOURS,
    derivatives,
    fit_templates,
    neighbour_mean,
    neighbour_sums,
    weighted_products,
)
from ccdcore.numerics.parts import Parts
from ccdcore.numerics.threads import of_parts

Array = npt.NDArray[np.floating[Any]]
T = TypeVar("T")

BOX = 16
"""Side of the boxes, in pixels, within which changes of the lamp's pattern are fitted."""

CLIP_SIGMA = 3.5
"""Cosmic rays are left out beyond this many σ; a wider limit lets more faint ones hide in bright light."""

_WIDE_CLIP_SIGMA = 5.0
_MAYBE_HIT = 9.0
"""(3 σ)², of noise that the light of the cosmic ray itself is in."""
_LEAST_LEFT = 0.5
"""Of the variance of a pixel, after the fit."""
_BOXES_PER_STRIP = 4
_PIXELS_PER_STRIP = 2**16
_MARGIN = 2
"""Rows around a strip that derivatives and means of neighbours reach into."""
_FIRST_LOOK_PIXELS = 2**19
_NEIGHBOUR_PIXELS = 2**21


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """The light of a flat, made of some of its rows when they are asked for: that of all takes twice their room.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns)
        Raw pixels.
    offset : callable
        Gives of some rows the bias, without that of the overscan.
    level : float
        Level of the overscan in ADU.
    limit : float
        Value from which on pixels are saturated.
    """

    frame: npt.NDArray[Any]
    offset: Callable[[slice], Array]
    level: float
    limit: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.frame.shape
        return rows, columns

    def __getitem__(self, rows: slice) -> Array:
        """Return the signal of some rows in ADU, as float32 mostly; NaN where a pixel is saturated."""
        frame = self.frame[rows]
        signal: Array = frame - self.offset(rows)
        signal -= np.float32(self.level)
        signal[~(frame < self.limit)] = np.nan
        return signal


@dataclass(frozen=True, slots=True, eq=False)
class FlatPair:
    """Two flats of one amplifier, ready to be compared.

    Parameters
    ----------
    first, second : Light
        Their signals in ADU, bias subtracted; NaN where a pixel is saturated.
    flux_ratio : float
        μ₁/μ₂.
    ordered_sample : ndarray of float32
        `neighbourhood` of evenly spaced pixels, in ascending order.
    bias_variance : float
        Variance of one bias frame in ADU², rounding included.
    saturation : float
        Signal at which pixels saturate, so that those just below are left out too; infinite where none does.
    """

    first: Light
    second: Light
    flux_ratio: float
    ordered_sample: Array
    bias_variance: float
    saturation: float

    @property
    def factors(self) -> tuple[float, float]:
        """The scale factors f₁, f₂ of the two flats, without unit; they add up to 2."""
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
    parts: Parts


def stride(light: Light) -> int:
    """Every how many strips or pixels to look at, where a look at part of them is enough."""
    return max(1, light.frame.size // _FIRST_LOOK_PIXELS)


def lower(first: Array, second: Array) -> Array:
    """Return the lower of both values, free of cosmic rays, which are in one of the two only; 0 where there is none."""
    least: Array = np.minimum(first, second)
    least[~np.isfinite(least)] = 0
    return least


def with_margin(rows: slice, n_rows: int, margin: int) -> tuple[slice, slice]:
    """Return some rows with those around them as far as there are, and where the former are among the latter."""
    start = max(rows.start - margin, 0)
    return slice(start, min(rows.stop + margin, n_rows)), slice(rows.start - start, rows.stop - start)


def neighbourhood(first: Array, second: Array, rows: slice) -> Array:
    """Return the mean light of the eight neighbours of the pixels of some rows, which have others around them.

    It is free of the pixel's own noise: pixels may be grouped by it without bias.
    """
    means: Array = neighbour_mean(lower(first, second))
    return means[rows]


def strips(
    pair: FlatPair, gain: float, make: Callable[[Residuals], T], *, quick: bool, clip: bool = True
) -> Iterator[T]:
    """Yield what is made of the residuals of strips of boxes, small enough for the cache, all processors at work.

    A quick look is one at evenly spaced strips, without covariances. The gain is in e⁻/ADU.
    """
    rows, columns = (np.linspace(0, n, max(1, round(n / BOX)) + 1).astype(int) for n in pair.first.shape)
    every = max(1, pair.first.frame.size // _NEIGHBOUR_PIXELS)
    n_boxes = max(_BOXES_PER_STRIP, _PIXELS_PER_STRIP // (BOX * pair.first.shape[1]))

    def work(k: int) -> T:
        bounds = rows[k : k + n_boxes + 1]
        boxes = Boxes(bounds - bounds[0], columns)
        neighbours = not quick and k % (n_boxes * every) == 0
        return make(_strip_residuals(pair, gain, slice(bounds[0], bounds[-1]), boxes, clip, neighbours))

    step = n_boxes * (stride(pair.first) if quick else 1)
    yield from of_parts(work, range(0, rows.size - 1, step), n_pixels=pair.first.frame.size)


def _strip_residuals(pair: FlatPair, gain: float, rows: slice, boxes: Boxes, clip: bool, neighbours: bool) -> Residuals:
    f1, f2 = pair.factors
    around, inside = with_margin(rows, pair.first.shape[0], _MARGIN)
    both = pair.first[around], pair.second[around]
    first, second = (image[inside] for image in both)
    difference: Array = f1 * first - f2 * second
    level: Array = (first + second) / 2
    variance: Array = np.maximum(level, 0) * (2 * f1 * f2 / gain) + (f1**2 + f2**2) * pair.bias_variance
    # At a given sum of both, neither reaches saturation within 5 σ of their difference.
    usable = np.isfinite(difference) & (level + 2.5 * np.sqrt(variance) < pair.saturation)
    for image, harmless in ((difference, 0), (level, 0), (variance, 1)):
        image[~usable] = harmless

    flat_fit = fit_boxes(difference, np.ones((1, *level.shape), level.dtype), usable / variance, boxes)
    good = usable & ~_grown(_outliers(flat_fit, variance, _WIDE_CLIP_SIGMA))
    templates = np.stack([np.ones_like(level), level, *_slopes(*both, inside.start, usable)])
    fit = fit_boxes(difference, templates, good / variance, boxes)
    good &= fit[1] < 1 - _LEAST_LEFT
    if clip:
        good &= ~_grown(good & _outliers(fit, variance, CLIP_SIGMA))
    residual, leverage = fit
    # Only where light makes most of the noise: that of the read-out may correlate for reasons of its own.
    lit = level > gain * pair.bias_variance
    weight = (lit & good) / variance
    pull = residual * np.sqrt(weight)
    sums, parts = np.zeros((3, len(NEIGHBOURS))), Parts.none()
    if neighbours:
        squares = residual**2 / (variance * np.maximum(1 - leverage, _LEAST_LEFT))
        parts = Parts.of(squares, level, lit & good, np.arange(rows.start, rows.stop), pair.first.shape[0])
        sums = neighbour_sums(pull, weight, templates, boxes.rows, boxes.columns)
    bias_share = np.sum((f1**2 + f2**2) * pair.bias_variance * weight)
    return Residuals(
        residual[good],
        level[good],
        variance[good],
        1 - leverage[good],
        neighbourhood(*both, inside)[good],
        int(np.count_nonzero(usable)),
        _hits(pair, gain, (first, second), residual, usable & (residual**2 > _MAYBE_HIT * variance)),
        np.vstack([sums, np.full(5, bias_share)]),
        weighted_products(templates[2:], np.stack([difference, *templates[2:]]), good / variance),
        parts,
    )


def _slopes(first: Array, second: Array, start: int, usable: npt.NDArray[np.bool_]) -> Array:
    """Return the derivatives of the light along columns and rows: what a pattern that moved a little leaves.

    They are those of the rows from ``start`` on, in images that have others around them.
    """
    light = (first + second) / 2
    light[~np.isfinite(light)] = 0
    return derivatives(light, start, usable)


def _hits(
    pair: FlatPair, gain: float, both: tuple[Array, Array], residual: Array, maybe: npt.NDArray[np.bool_]
) -> Array:
    """Return the absolute residuals of cosmic rays, and whether each has one beside it; shape (2, hits)."""
    f1, f2 = pair.factors
    index = np.flatnonzero(maybe)
    # Their own light is not in the noise they stand out of.
    least = np.minimum(*(image.flat[index] for image in both))
    variance = np.maximum(least, 0) * (2 * f1 * f2 / gain) + (f1**2 + f2**2) * pair.bias_variance
    charge = np.abs(residual.flat[index])
    hit = charge > TOLD_FROM_NOISE * np.sqrt(variance)
    width = maybe.shape[1]
    index, around = index[hit], width + 1
    is_hit = np.zeros(maybe.size + 2 * around, bool)
    is_hit[index + around] = True
    beside = [is_hit[index + around + side * step] for step in (1, width - 1, width, around) for side in (-1, 1)]
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
