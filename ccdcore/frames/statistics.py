"""Statistics of images: histograms, and what is recorded of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Amplifier, Section, cut
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import FrameStatistics
from ccdcore.numerics.histogram import Histogram
from ccdcore.numerics.pixel_values import averages_of
from ccdcore.numerics.robust import signed_difference

_TRIM = 0.01
_NOISE_PIXELS = 2**19


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
    """Return the level of an overscan section of an image of shape (rows, columns), in the image's unit.

    It is the mean without the outer 5 % at each end: the median of whole numbers would be known to half an ADU only.

    Raises
    ------
    SectionError
        If the section does not fit the image.
    InsufficientDataError
        If it has no finite pixel.
    """
    return _histogram(cut(data, section), f"overscan section {section}").trimmed_mean(0.05)


def overscan_noise(data: npt.NDArray[Any], section: Section) -> float | None:
    """Return the read noise in one frame's overscan section, in ADU RMS, without that of rounding.

    It is the scatter of the differences between rows next to each other, over √2, without what is beyond 6 σ:
    neither slopes of the bias level nor the pattern of the columns count. None where there are no two rows. The image
    has shape (rows, columns).

    Raises
    ------
    SectionError
        If the section does not fit the image.
    """
    pixels = cut(data, section)
    steps = signed_difference(pixels[1:], pixels[:-1])
    if not np.isfinite(steps).any():
        return None
    histogram = Histogram.of(steps)
    variance = histogram.clipped(6.0).variance / 2 - histogram.rounding_variance
    return float(max(variance, 0.0) ** 0.5)


def _histogram(pixels: npt.NDArray[Any], name: str) -> Histogram:
    if not np.isfinite(pixels).any():
        raise InsufficientDataError(f"{name} has no finite pixel: look at the frame")
    return Histogram.of(pixels)
