"""The definition of the clipped mean in plain numpy, one pass a loop, to hold the compiled one against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]

MAD_TO_SIGMA = 1.482602218505602


@dataclass(frozen=True)
class ClippedStack:
    """What `ccdcore.combine` is to give of the same values, in double precision."""

    value: Image
    uncertainty: Image
    n_used: Image
    rejected: Image


def clipped_stack(
    values: Image,
    *,
    low: float,
    high: float,
    passes: int = 1,
    method: str = "mean",
    noise: float | None = None,
    photon: float = 0.0,
    scales: Image | None = None,
    weights: Image | None = None,
    quantum: float = 0.0,
) -> ClippedStack:
    """Combine values of shape (frames, …), scaled; those that are not finite are missing.

    ``noise`` is that of an unscaled value, ``photon`` the variance for each unit of the median, ``quantum`` the step of
    whole numbers.
    """
    each = (len(values), *[1] * (values.ndim - 1))
    scales, weights = (np.ones(each) if given is None else np.reshape(given, each) for given in (scales, weights))
    weights = weights / weights.mean()
    values = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    given = np.isfinite(values)
    freedom, constant = (0, 0.0) if noise is None else (4, noise**2)
    margin = quantum * scales.max() if freedom else 0.0
    light = np.fmax(middle(values), 0)
    variances = constant * scales**2 + photon * scales * light
    of_mean = np.mean(weights**2 * variances, axis=0)
    shown = np.sum((weights - weights**2 / len(values)) * variances, axis=0) / max(len(values) - 1, 1)
    shown = of_mean if (weights == 1).all() else shown
    rounded = quantum**2 / 12 * (np.max(scales**2) if (weights == 1).all() else np.mean(weights * scales**2))
    for _ in range(passes):
        centre = middle(values)
        deviation = values - centre
        floor = np.sqrt(np.maximum(variances.max(axis=0), (quantum * scales.max()) ** 2 / 12)) if freedom else 0.0
        scatter = np.maximum(MAD_TO_SIGMA * middle(np.abs(deviation)), floor)
        below, above = (np.inf if np.isinf(sigma) else sigma * scatter + margin for sigma in (low, high))
        with np.errstate(invalid="ignore"):
            outlier = (deviation < -below) | (deviation > above)
        if not outlier.any():
            break
        values = np.where(outlier, np.nan, values)
    if freedom and passes and not (weights == 1).all():
        values = _without_the_far(values, weights, variances, (low, high), margin)
    n = np.isfinite(values).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.sum(weights * np.isfinite(values), axis=0)
        mean = np.nansum(weights * values, axis=0) / weight
        squares = np.nansum(weights * (values - mean) ** 2, axis=0)
        variance = np.maximum((freedom * shown + squares) / (freedom + n - 1), rounded)
        variance = np.where(shown > 0, variance * of_mean / np.where(shown > 0, shown, 1), variance)
        inflation = np.pi / 2 * n / (n + np.where(n % 2, np.pi / 2 - 1, np.pi - 2)) if method == "median" else 1.0
        uncertainty = np.sqrt(np.where((n + freedom > 1) & (n > 0), variance * inflation / weight, np.inf))
    rejected = (given & ~np.isfinite(values)).reshape(len(values), -1).sum(axis=1)
    return ClippedStack(middle(values) if method == "median" else mean, uncertainty, n, rejected)


def _without_the_far(
    values: Image, weights: Image, variances: Image, clip: tuple[float, float], margin: float
) -> Image:
    """Leave out of each pixel, one by one, what is far from the weighted mean for the noise of its own frame."""
    flat, variances = values.reshape(len(values), -1).copy(), np.broadcast_to(variances, values.shape)
    variances, weights = variances.reshape(flat.shape), weights.reshape(-1)
    for pixel, variance in zip(flat.T, variances.T, strict=True):
        # Of equal values none is far, though their mean may differ from them by rounding.
        while np.isfinite(pixel).sum() > 2 and (variance > 0).all() and np.nanmin(pixel) < np.nanmax(pixel):
            off, sigma = _from_mean(pixel, weights, variance)
            far = np.nanargmax(np.abs(off) / sigma)
            others = pixel.copy()
            others[far] = np.nan
            pulls = np.divide(*_from_mean(others, weights, variance))
            n = np.isfinite(others).sum()
            stretch = max(1.0, MAD_TO_SIGMA * np.nanmedian(np.abs(pulls)) * (1 - 1 / np.sqrt(n)))
            threshold = clip[1] if off[far] > 0 else clip[0]
            if np.isinf(threshold) or abs(off[far]) <= threshold * stretch * sigma[far] + margin:
                break
            pixel[far] = np.nan
    return flat.reshape(values.shape)


def _from_mean(pixel: Image, weights: Image, variance: Image) -> tuple[Image, Image]:
    """Return how far values are from their weighted mean, and what they are to be; NaN where there are none."""
    weights = np.where(np.isfinite(pixel), weights, np.nan)
    mean = np.nansum(weights * pixel) / np.nansum(weights)
    return pixel - mean, np.sqrt(variance * (1 - weights / np.nansum(weights)))


def middle(values: Image) -> Image:
    """Return the median over the first axis without NaN; NaN where there is nothing else."""
    ordered = np.sort(values, axis=0)  # NaN come last
    n = np.isfinite(ordered).sum(axis=0)
    middle = np.stack([np.maximum(n - 1, 0) // 2, np.minimum(n // 2, len(values) - 1)])
    median: Image = np.take_along_axis(ordered, middle, axis=0).mean(axis=0)
    return median
