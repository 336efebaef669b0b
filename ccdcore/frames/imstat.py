"""The notebook's imstat table: statistics of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from ccdcore.cards.sections import Section, cut
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import Frame

MAD_TO_SIGMA = 1.482602218505602
"""σ of a normal distribution over its median absolute deviation, 1/Φ⁻¹(3/4)."""


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


def half_sample_mode(ordered: npt.NDArray[Any]) -> float:
    """Return the half-sample mode of ascending values of shape (n,), in their unit.

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
