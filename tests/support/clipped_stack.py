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
    quantum: float = 0.0,
) -> ClippedStack:
    """Combine values of shape (frames, …); those that are not finite are missing.

    ``noise`` is that of a value, ``photon`` the variance for each unit of the median, ``quantum`` the step of whole
    numbers.
    """
    values = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    given = np.isfinite(values)
    freedom, constant = (0, 0.0) if noise is None else (4, noise**2)
    margin = quantum if freedom else 0.0
    light = np.fmax(middle(values), 0)
    expected = constant + photon * light
    for _ in range(passes):
        centre = middle(values)
        deviation = values - centre
        floor = np.sqrt(np.maximum(expected, quantum**2 / 12)) if freedom else 0.0
        scatter = np.maximum(MAD_TO_SIGMA * middle(np.abs(deviation)), floor)
        below, above = (np.inf if np.isinf(sigma) else sigma * scatter + margin for sigma in (low, high))
        with np.errstate(invalid="ignore"):
            outlier = (deviation < -below) | (deviation > above)
        if not outlier.any():
            break
        values = np.where(outlier, np.nan, values)
    n = np.isfinite(values).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=0) / n
        squares = np.nansum((values - mean) ** 2, axis=0)
        variance = np.maximum((freedom * expected + squares) / (freedom + n - 1), quantum**2 / 12)
        inflation = np.pi / 2 * n / (n + np.where(n % 2, np.pi / 2 - 1, np.pi - 2)) if method == "median" else 1.0
        uncertainty = np.sqrt(np.where((n + freedom > 1) & (n > 0), variance * inflation / n, np.inf))
    rejected = (given & ~np.isfinite(values)).reshape(len(values), -1).sum(axis=1)
    return ClippedStack(middle(values) if method == "median" else mean, uncertainty, n, rejected)


def middle(values: Image) -> Image:
    """Return the median over the first axis without NaN; NaN where there is nothing else."""
    ordered = np.sort(values, axis=0)  # NaN come last
    n = np.isfinite(ordered).sum(axis=0)
    middle = np.stack([np.maximum(n - 1, 0) // 2, np.minimum(n // 2, len(values) - 1)])
    median: Image = np.take_along_axis(ordered, middle, axis=0).mean(axis=0)
    return median
