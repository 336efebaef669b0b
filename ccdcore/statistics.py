"""Statistics of images: the notebook's imstat table, and what is recorded of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ccdcore.errors import InsufficientDataError, SectionError
from ccdcore.frame import Frame
from ccdcore.geometry import Amplifier, Section

if TYPE_CHECKING:
    from astropy.table import QTable

QUANTISATION_VARIANCE = 1 / 12
"""Variance, in ADU², that rounding to whole numbers adds."""

MAD_TO_SIGMA = 1.482602218505602
"""σ of a normal distribution over its median absolute deviation, 1/Φ⁻¹(3/4)."""

_TRIM = 0.01
_PILE_UP = 10
_NOISE_PIXELS = 2**19
_LARGEST_COUNTED = 2**20
_AVERAGE_PIXELS, _FEWEST_TO_TELL = 10_000, 100
_MOST_AVERAGED = 100
_CLEARLY_WHOLE = 0.1


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
        Exposures that its pixels show to be averages of (`averages_of`); 1 of a raw frame.
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
        1 for whole numbers, which stand for all values that round to them;
        0 for continuous data.
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
                return cls(values.astype(np.float64), counts, 0.0)
        from ccdcore._count_kernel import count_whole

        low, high = int(data.min()), int(data.max())
        if high - low > _LARGEST_COUNTED:
            values, counts = np.unique(data, return_counts=True)
        else:
            values, counts = count_whole(data, low, high)
        return cls(values.astype(np.float64), counts, 1.0)

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
        """Return quantiles, whole numbers spread evenly over the values that round to them."""
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
            limit = sigma * max(variance, self.step * QUANTISATION_VARIANCE) ** 0.5
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
    wide = np.result_type(first, np.int32) if np.issubdtype(first.dtype, np.integer) else np.dtype(np.float64)
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


def half_sample_mode(ordered: npt.NDArray[Any]) -> float:
    """Return the half-sample mode of ascending values.

    The shortest interval that holds half of the values is taken again and
    again until two are left, or all are equal; of several equally short ones
    (the rule with whole numbers) the middle one. It needs no bin width, and
    neither cosmic rays nor a bright minority of pixels move it.

    References
    ----------
    Bickel & Frühwirth 2006, Computational Statistics & Data Analysis 50, 3500.
    """
    while ordered.size > 2 and ordered[0] != ordered[-1]:
        half = (ordered.size + 1) // 2
        width = ordered[half - 1 :] - ordered[: ordered.size - half + 1]
        shortest = np.flatnonzero(width == width.min())
        start = shortest[shortest.size // 2]
        ordered = ordered[start : start + half]
    return float(ordered.mean(dtype=np.float64))


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
        n_averaged=averages_of(pixels),
    )


def averages_of(pixels: npt.NDArray[Any]) -> int:
    """Return how many raw frames an image of fractional numbers is the mean of; 1 where its pixels do not show it.

    The mean of n whole numbers is a multiple of 1/n.
    """
    if pixels.dtype.kind != "f":
        return 1
    sample = pixels[np.isfinite(pixels)][:_AVERAGE_PIXELS].astype(np.float64)
    if sample.size < _FEWEST_TO_TELL or is_whole(sample):
        return 1
    rounding = 2 * float(np.abs(sample).max()) * float(np.finfo(pixels.dtype).eps)
    for n in range(2, _MOST_AVERAGED + 1):
        if n * rounding < _CLEARLY_WHOLE and np.abs(n * sample - np.rint(n * sample)).max() < _CLEARLY_WHOLE:
            return n
    return 1


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
    variance = histogram.clipped(6.0).variance / 2 - histogram.step * QUANTISATION_VARIANCE
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


def imstat(
    images: Sequence[Any],
    *,
    names: Sequence[str] | None = None,
    fmt: str = ".3f",
    region: str | Section | None = None,
) -> QTable:
    """Tabulate statistics of images.

    Parameters
    ----------
    images : sequence of Frame, CCDData or array_like
        Two-dimensional images; plain arrays are taken to be in ADU. Non-finite
        pixels, and those masked in a CCDData, are left out.
    names : sequence of str, optional
        One for each image; the file's name or the running number otherwise.
    fmt : str
        Display format of the float columns; the values keep full precision.
    region : str or Section, optional
        Only these pixels, ``"[x1:x2,y1:y2]"``.

    Returns
    -------
    QTable
        Columns name, npix, min, max, mean, median, mode (`half_sample_mode`),
        std (population), mad (1.4826 × the median absolute deviation from the
        median: σ for normal data), unit.

    Raises
    ------
    SectionError
        If the region does not fit an image.
    InsufficientDataError
        If an image is not two-dimensional or has no finite pixel.
    """
    from astropy.table import QTable

    if names is None:
        names = [image.path.name if isinstance(image, Frame) else str(i + 1) for i, image in enumerate(images)]
    section = Section.parse(region) if isinstance(region, str) else region
    rows = [_image_statistics(image, name, section) for image, name in zip(images, names, strict=True)]
    table = QTable(rows=rows, names=("name", "npix", "min", "max", "mean", "median", "mode", "std", "mad", "unit"))
    for column in ("min", "max", "mean", "median", "mode", "std", "mad"):
        table[column].info.format = fmt
    return table


def _image_statistics(image: Any, name: str, section: Section | None) -> tuple[Any, ...]:
    data = np.asarray(image if isinstance(image, np.ndarray) else getattr(image, "data", image))
    if data.ndim != 2:
        raise InsufficientDataError(f"{name} has shape {data.shape}: give images of two dimensions")
    good = np.isfinite(data)
    if (mask := getattr(image, "mask", None)) is not None:
        good &= ~np.asarray(mask)
    if section is not None:
        data, good = cut(data, section), cut(good, section)
    if not good.any():
        raise InsufficientDataError(f"{name} has no finite pixel: look at the image, its mask and the region")
    # A stable sort of 16-bit integers is a radix sort, many times faster than the default.
    values = np.sort(data[good], kind="stable").astype(np.float64)
    median = np.median(values)
    mad = MAD_TO_SIGMA * np.median(np.abs(values - median))
    mode = half_sample_mode(values)
    unit = getattr(image, "unit", None)
    unit = "adu" if unit is None else str(unit)
    return (name, values.size, values[0], values[-1], values.mean(), median, mode, values.std(), mad, unit)
