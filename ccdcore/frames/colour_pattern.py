"""The 2 × 2 pattern that the filters of a colour camera (Bayer) leave in a flat."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]

PLANES = tuple((slice(row, None, 2), slice(column, None, 2)) for row, column in product((0, 1), (0, 1)))
"""The four planes of an image, each of every second row and column."""

_CONTRAST = 0.02
"""Relative difference of the planes, at least: those of a camera without filters, of even and odd columns, are less."""

_FEWEST_PIXELS = 64


def plane_levels(flat: Image) -> npt.NDArray[np.float64]:
    """Return the light in each of the `PLANES`, relative to that of the brightest; ones where there is no pattern.

    Parameters
    ----------
    flat : ndarray, shape (rows, columns)
        A flat, free of bias. It has a pattern where the planes differ by more than 2 %, and alike in all its quarters.
    """
    rows, columns = (n // 4 * 2 for n in flat.shape)
    quarters = [flat[some, others] for some in _halves(rows) for others in _halves(columns)]
    levels = np.array([[_level(quarter[plane]) for plane in PLANES] for quarter in quarters])
    if rows * columns < _FEWEST_PIXELS or not (levels > 0).all():
        return np.ones(len(PLANES))
    relative = levels / levels.max(axis=1, keepdims=True)
    mean = relative.mean(axis=0)
    contrast = 1 - mean.min()
    alike = np.abs(relative - mean).max() < contrast / 2
    return mean / mean.max() if alike and contrast > _CONTRAST else np.ones(len(PLANES))


def by_plane(judge: Callable[..., Image | None], levels: npt.NDArray[np.float64], *images: Image) -> Image | None:
    """Judge the planes of images apart where they have different light, else the images as they are.

    None where no plane can be judged.

    Parameters
    ----------
    judge : callable
        Gives a boolean image for images of the same shape, or None.
    levels : ndarray, shape (4,)
        The light in each of the `PLANES`, relative to that of the brightest (`plane_levels`).
    *images : ndarray, shape (rows, columns)
        What to judge, in the unit that ``judge`` wants.
    """
    if (levels == 1).all():
        return judge(*images)
    joined = np.zeros(images[0].shape, bool)
    found = [judge(*(image[plane] for image in images)) for plane in PLANES]
    for plane, where in zip(PLANES, found, strict=True):
        if where is not None:
            joined[plane] = where
    return None if all(where is None for where in found) else joined


def _halves(n: int) -> tuple[slice, slice]:
    return slice(0, n), slice(n, 2 * n)


def _level(pixels: Image) -> float:
    """Return the 90th percentile: where only part of the image is lit, it is the lit part that shows the filters."""
    finite = pixels[np.isfinite(pixels)]
    return float(np.percentile(finite, 90)) if finite.size else 0.0
