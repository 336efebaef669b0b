"""Images small enough for a picture, and the limits between which they show best."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.visualization import ZScaleInterval

Image = npt.NDArray[Any]

_MOST_CELLS = 24_000
"""Cells that an image is reduced to: noise does not compress, so they make the size of the file."""


def block_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the block (rows, columns) that brings an image to at most `_MOST_CELLS` cells, square if it can be."""
    rows, columns = shape
    size = max(1.0, math.sqrt(rows * columns / _MOST_CELLS))
    height = min(math.ceil(size), max(1, rows // 48))
    width = min(columns, math.ceil(math.ceil(rows / height) * columns / _MOST_CELLS))
    return math.ceil(rows * math.ceil(columns / width) / _MOST_CELLS), width


def reduced(image: Image, block: tuple[int, int]) -> Image:
    """Average an image, shape (rows, columns), in blocks of so many rows and columns, NaN left out, in its unit.

    A last block that is not full is averaged over what there is.
    """
    rows, columns = (np.arange(0, size, step) for size, step in zip(image.shape, block, strict=True))
    cells = np.empty((rows.size, columns.size))
    for cell, start in zip(cells, rows.tolist(), strict=True):
        part = image[start : start + block[0]].astype(np.float64)
        known = np.isfinite(part)
        part[~known] = 0.0
        total, n = (np.add.reduceat(each.sum(axis=0), columns) for each in (part, known))
        with np.errstate(invalid="ignore"):
            cell[:] = total / n
    return cells


def shown_cells(frame: Image, master: Image, residual: Image) -> list[tuple[Image, float, float]]:
    """Return each averaged in blocks, with ZScale limits of the cells whose residual is known: no overscan, no mask.

    All have the same shape (rows, columns); limits are in the unit of the image.
    """
    cells = [reduced(image, block_of(frame.shape)) for image in (frame, master, residual)]
    counts = np.isfinite(cells[-1])
    return [(one, *zscale(one[counts])) for one in cells]


def zscale(image: Image) -> tuple[float, float]:
    """Return the limits, in its unit, between which an image of any shape shows best, as IRAF's ZScale finds them."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = ZScaleInterval().get_limits(finite)
    return float(low), float(high)
