"""Histograms of whole and of continuous values, and their clipped moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.numerics.pixel_values import averaged_to, cut_fraction, grid_step
from ccdcore.numerics.robust import QUANTISATION_VARIANCE

_PILE_UP = 10


_LARGEST_COUNTED = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How often each value occurs: order statistics of whole-number data at the price of counting.

    Parameters
    ----------
    values : ndarray of float64
        The distinct values, ascending.
    counts : ndarray of int64
        How often each occurs, never zero.
    step : float
        Their distance (`ccdcore.numerics.pixel_values.grid_step`): a value stands for
        all that are rounded to it; 0 for continuous data.
    """

    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    step: float

    @classmethod
    def of(cls, data: npt.NDArray[Any]) -> Histogram:
        """Count the finite values of an array of any shape and unit; at least one is needed."""
        if not np.issubdtype(data.dtype, np.integer):
            data = data[np.isfinite(data)]
            if not is_whole(data):
                values, counts = np.unique(data, return_counts=True)
                values = values.astype(np.float64)
                rounding = float(np.abs(values[[0, -1]]).max() * np.finfo(data.dtype).eps)
                return cls(values, counts, grid_step(values, counts, rounding))
        from ccdcore.numerics.histogram_kernel import count_whole

        low, high = int(data.min()), int(data.max())
        if high - low > _LARGEST_COUNTED:
            values, counts = np.unique(data, return_counts=True)
        else:
            values, counts = count_whole(data, low, high)
        values = values.astype(np.float64)
        return cls(values, counts, grid_step(values, counts, 0.0))

    @property
    def n(self) -> int:
        """Number of values counted."""
        return int(self.counts.sum())

    @property
    def median(self) -> float:
        """The median, exactly, in the unit of the values: the mean of the two middle ones of an even number."""
        ranks = np.array([(self.n - 1) // 2, self.n // 2])
        return float(self.values[np.searchsorted(np.cumsum(self.counts), ranks, side="right")].mean())

    def quantile(self, fraction: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return quantiles, of the shape of ``fraction``, in the unit of the values.

        Each value is spread evenly over those that are rounded to it.
        """
        above = np.cumsum(self.counts)
        edges = np.stack([self.values - self.step / 2, self.values + self.step / 2], axis=1)
        ranks = np.stack([above - self.counts, above], axis=1)
        interpolated: npt.NDArray[np.float64] = np.interp(np.asarray(fraction) * self.n, ranks.ravel(), edges.ravel())
        return interpolated

    @property
    def sigma(self) -> float:
        """Robust scatter: half the width of the central 68.27 %.

        Unlike the median absolute deviation it does not jump in steps of
        0.741 ADU on whole numbers; nor does it fall below 0.34 of their step,
        so that limits made of it do not reject what is only a digit away.
        """
        low, high = self.quantile([0.158655, 0.841345])
        return float(high - low) / 2

    def trimmed_mean(self, fraction: float) -> float:
        """Return the mean of what is left when ``fraction`` of the values is cut off at each end."""
        cut = fraction * self.n
        above = np.clip(np.cumsum(self.counts), cut, self.n - cut)
        weights = np.diff(above, prepend=cut)
        return float(self.values @ weights / weights.sum())

    @property
    def rounding_variance(self) -> float:
        """Variance that the rounding to the values adds, in their unit squared."""
        return self.step**2 * QUANTISATION_VARIANCE

    @property
    def cut_fraction(self) -> float:
        """The fraction that the noise puts below the lowest value, where it was cut off there (see `pixel_values`)."""
        return cut_fraction(self.values, self.counts, self.step)

    def averaged_to(self, step: float) -> int:
        """Return how many exposures these are the mean of, where those of one lie on ``step``, in their unit."""
        return averaged_to((self.values, self.counts, self.step), step)

    @property
    def pile_up(self) -> float | None:
        """The largest value, where so many pixels share it that it must be a limit (saturation); else None."""
        piled = self.counts[-1] > _PILE_UP and (self.counts.size == 1 or self.counts[-1] > self.counts[-2])
        return float(self.values[-1]) if piled else None

    def clipped(self, sigma: float) -> ClippedMoments:
        """Return mean and variance without outliers, in the unit of the values and its square.

        Values further than ``sigma`` standard deviations from the mean are
        left out, repeated until nothing changes, beginning with median and
        robust scatter. With ``sigma`` ≥ 5 the loss of variance by truncation
        is below 2e-5 for normal data, so none is corrected for.
        """
        centre, limit = self.median, sigma * self.sigma
        kept = np.zeros(self.values.size, dtype=bool)
        for _ in range(20):
            inside = np.abs(self.values - centre) <= limit
            if np.array_equal(inside, kept):
                break
            kept = inside
            weights = np.where(kept, self.counts, 0)
            n = int(weights.sum())
            centre = float(self.values @ weights) / n
            variance = float((self.values - centre) ** 2 @ weights) / max(n - 1, 1)
            limit = sigma * max(variance, self.rounding_variance) ** 0.5
        return ClippedMoments(centre, variance, n, limit)


@dataclass(frozen=True, slots=True)
class ClippedMoments:
    """Mean, variance and number of the values that lie within ``limit`` of the mean."""

    mean: float
    variance: float
    n: int
    limit: float


def is_whole(data: npt.NDArray[Any]) -> bool:
    """Whether all values, of any shape and unit, are whole numbers (an integer type, or floats that were digitised)."""
    return bool(np.issubdtype(data.dtype, np.integer) or (data == np.rint(data)).all())


def warm_up() -> None:
    """Compile what counts whole numbers, or load it from the cache, so that no later call waits for it."""
    for kind in (np.uint16, np.int16, np.int32, np.int64):  # all that counting is compiled for
        Histogram.of(np.zeros(2, kind))
