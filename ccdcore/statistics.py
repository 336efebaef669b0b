"""Statistics of images: histograms, and what is recorded of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.errors import InsufficientDataError, SectionError
from ccdcore.geometry import Amplifier, Section
from ccdcore.pixel_values import averaged_to, averages_of, cut_fraction, grid_step

QUANTISATION_VARIANCE = 1 / 12
"""Variance that rounding adds, in units of the square of its step."""

_TRIM = 0.01
_PILE_UP = 10
_NOISE_PIXELS = 2**19
_LARGEST_COUNTED = 2**20


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """Statistics of one amplifier of one frame, in ADU; recorded when the frame is registered.

    Parameters
    ----------
    amplifier : str
        Name of the amplifier.
    n_pixels : int
        Pixels of its data section.
    minimum, maximum, median : float
        Of the finite pixels of the data section.
    level : float
        Mean of the pixels between the 1st and the 99th percentile: it follows
        the flux even where most of the image is dark (a spectrum), and cosmic
        rays do not move it.
    noise : float
        Robust scatter between neighbouring columns divided by √2, so that
        smooth structure does not count.
    saturated_fraction : float
        Fraction of pixels that share the maximum value, where that is a
        pile-up (more than 10 pixels, and more than share the next lower
        value) and not just the end of the distribution; else 0.
    overscan_level : float or None
        Level of the overscan section, where the amplifier has one.
    overscan_noise : float or None
        Read noise of the overscan section (`overscan_noise`), where it has two rows.
    n_averaged : int
        Exposures that its pixels show to be averages of (`ccdcore.pixel_values.averages_of`); 1 of a raw frame.
    step : float
        Distance of the values that pixels can have (`ccdcore.pixel_values.grid_step`); 0 of continuous ones.
    cut_fraction : float
        Part of the pixels that the noise puts below the lowest value, where it was cut off.
    negative_fraction : float
        Part of the pixels below 0.
    """

    amplifier: str
    n_pixels: int
    minimum: float
    maximum: float
    median: float
    level: float
    noise: float
    saturated_fraction: float
    overscan_level: float | None = None
    overscan_noise: float | None = None
    n_averaged: int = 1
    step: float = 1.0
    cut_fraction: float = 0.0
    negative_fraction: float = 0.0


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
        Their distance (`ccdcore.pixel_values.grid_step`): a value stands for
        all that are rounded to it; 0 for continuous data.
    """

    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    step: float

    @classmethod
    def of(cls, data: npt.NDArray[Any]) -> Histogram:
        """Count the finite values of an array of any shape; at least one is needed."""
        if not np.issubdtype(data.dtype, np.integer):
            data = data[np.isfinite(data)]
            if not is_whole(data):
                values, counts = np.unique(data, return_counts=True)
                values = values.astype(np.float64)
                rounding = float(np.abs(values[[0, -1]]).max() * np.finfo(data.dtype).eps)
                return cls(values, counts, grid_step(values, counts, rounding))
        from ccdcore._count_kernel import count_whole

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
        """The median, exactly: the mean of the two middle values where their number is even."""
        ranks = np.array([(self.n - 1) // 2, self.n // 2])
        return float(self.values[np.searchsorted(np.cumsum(self.counts), ranks, side="right")].mean())

    def quantile(self, fraction: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return quantiles, each value spread evenly over those that are rounded to it."""
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
        """Variance that the rounding to the values adds."""
        return self.step**2 * QUANTISATION_VARIANCE

    @property
    def cut_fraction(self) -> float:
        """Part that the noise puts below the lowest value, where it was cut off (`ccdcore.pixel_values`)."""
        return cut_fraction(self.values, self.counts, self.step)

    def averaged_to(self, step: float) -> int:
        """Return how many exposures these are the mean of, where those of one lie on ``step`` (`averaged_to`)."""
        return averaged_to((self.values, self.counts, self.step), step)

    @property
    def pile_up(self) -> float | None:
        """The largest value, where so many pixels share it that it must be a limit (saturation); else None."""
        piled = self.counts[-1] > _PILE_UP and (self.counts.size == 1 or self.counts[-1] > self.counts[-2])
        return float(self.values[-1]) if piled else None

    def clipped(self, sigma: float) -> ClippedMoments:
        """Return mean and variance without outliers.

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
    """Whether every value is a whole number (an integer type, or floats that were digitised)."""
    return bool(np.issubdtype(data.dtype, np.integer) or (data == np.rint(data)).all())


def signed_difference(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``first`` − ``second`` in a type that holds it exactly."""
    whole = all(np.issubdtype(each.dtype, np.integer) for each in (first, second))
    wide = np.result_type(first, second, np.int32) if whole else np.dtype(np.float64)
    difference: npt.NDArray[Any] = np.subtract(first, second, dtype=wide)
    return difference


def summable(frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of a frame in a type that holds the sum of a series exactly."""
    if frame.dtype.kind not in "iu":
        return frame.astype(np.float64)
    return frame.astype(np.int32 if frame.dtype.itemsize <= 2 else np.int64)


def median(values: npt.NDArray[Any]) -> float:
    """Return the median of values of one dimension without NaN, at least one: that of `numpy.median`, far sooner.

    NumPy looks for one rank with vector instructions, and for two at a time without.
    """
    half = values.size // 2
    parted = np.partition(values, half)
    return float(parted[half] if values.size % 2 else np.mean([parted[:half].max(), parted[half]]))


def frame_statistics(data: npt.NDArray[Any], amplifiers: Sequence[Amplifier]) -> tuple[FrameStatistics, ...]:
    """Measure each amplifier of a frame.

    Parameters
    ----------
    data : ndarray, shape (rows, columns)
        Pixel values in ADU; non-finite ones are left out.
    amplifiers : sequence of Amplifier
        The read-out channels.

    Returns
    -------
    tuple of FrameStatistics
        One for each amplifier, in the same order. Order statistics are exact;
        the noise of a large amplifier is taken from evenly spaced rows, about
        half a million pixels.

    Raises
    ------
    SectionError
        If a section lies outside the image.
    InsufficientDataError
        If a section has no finite pixel.
    """
    return tuple(_amplifier_statistics(data, amplifier) for amplifier in amplifiers)


def _amplifier_statistics(data: npt.NDArray[Any], amplifier: Amplifier) -> FrameStatistics:
    pixels = cut(data, amplifier.data)
    histogram = _histogram(pixels, f"amplifier {amplifier.name}")
    stride = -(-pixels.size // _NOISE_PIXELS)
    rows = pixels[::stride]
    with np.errstate(invalid="ignore"):
        steps = signed_difference(rows[:, 1:], rows[:, :-1])
    if steps.dtype.kind == "f":
        steps = steps[np.isfinite(steps)]
    return FrameStatistics(
        amplifier=amplifier.name,
        n_pixels=pixels.size,
        minimum=float(histogram.values[0]),
        maximum=float(histogram.values[-1]),
        median=histogram.median,
        level=histogram.trimmed_mean(_TRIM),
        noise=Histogram.of(steps).sigma / 2**0.5 if steps.size else 0.0,
        saturated_fraction=0.0 if histogram.pile_up is None else float(histogram.counts[-1] / histogram.n),
        overscan_level=None if amplifier.overscan is None else overscan_level(data, amplifier.overscan),
        overscan_noise=None if amplifier.overscan is None else overscan_noise(data, amplifier.overscan),
        n_averaged=averages_of(pixels, histogram.step),
        step=histogram.step,
        cut_fraction=histogram.cut_fraction,
        negative_fraction=float(histogram.counts[histogram.values < 0].sum() / histogram.n),
    )


def overscan_level(data: npt.NDArray[Any], section: Section) -> float:
    """Return the level of an overscan section: its mean without the outer 5 % at each end.

    The median of whole numbers would be known to half an ADU only.
    """
    return _histogram(cut(data, section), f"overscan section {section}").trimmed_mean(0.05)


def overscan_noise(data: npt.NDArray[Any], section: Section) -> float | None:
    """Return the read noise in one frame's overscan section, in ADU RMS, without that of rounding.

    It is the scatter of the differences between rows next to each other, over √2, without what is beyond 6 σ:
    neither slopes of the bias level nor the pattern of the columns count. None where there are no two rows.
    """
    pixels = cut(data, section)
    steps = signed_difference(pixels[1:], pixels[:-1])
    if not np.isfinite(steps).any():
        return None
    histogram = Histogram.of(steps)
    variance = histogram.clipped(6.0).variance / 2 - histogram.rounding_variance
    return float(max(variance, 0.0) ** 0.5)


def cut(data: npt.NDArray[Any], section: Section) -> npt.NDArray[Any]:
    """Return the pixels of a section, or raise SectionError where it does not fit the image."""
    rows, columns = data.shape
    if not section.fits((rows, columns)):
        raise SectionError(f"section {section} lies outside the image of {columns} columns and {rows} rows")
    return data[section.slices]


def _histogram(pixels: npt.NDArray[Any], name: str) -> Histogram:
    if not np.isfinite(pixels).any():
        raise InsufficientDataError(f"{name} has no finite pixel: look at the frame")
    return Histogram.of(pixels)
