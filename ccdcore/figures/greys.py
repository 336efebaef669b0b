"""Images in shades of grey, whole or in parts, whatever their size: what a viewer shows."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from ccdcore.figures.thumbnails import reduced, zscale

Image = npt.NDArray[Any]
Scale = Literal["zscale", "linear", "log"]
TILE = 512
"""Rows and columns of a part that a viewer asks for."""
_SAMPLE = 2**20
"""Pixels, about, that the limits of a scale are found from."""
_STRIP_ROWS = 64
_MOST_LINEAR = 0.1, 99.9
"""Percentiles between which the scales ``linear`` and ``log`` lie: not what a few hot pixels say."""
_UNKNOWN = 255
_PALETTE = bytes(channel for shade in range(_UNKNOWN) for channel in (round(shade * 255 / 254),) * 3) + b"\xe0\x8a\x1e"
_GOOD = 40
"""Shade of what is not masked."""


class Rows(Protocol):
    """An image of which some rows can be had without the others."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    def __getitem__(self, rows: slice, /) -> Image:
        """Return some rows, shape (rows, columns), in the unit of the image."""


@dataclass(frozen=True, slots=True)
class Shades:
    """What values become black and white, in the unit of the image, and how those between become grey.

    ``log`` is log(1 + 1000 x) / log(1001) of the place x between the two, as ds9 has it.
    """

    scale: Scale
    low: float
    high: float

    def of(self, values: Image) -> Image:
        """Return the shades of values of any shape, in the unit of the image: 0 to 254, 255 where not finite."""
        with np.errstate(invalid="ignore"):
            place = np.clip((values - self.low) / ((self.high - self.low) or 1.0), 0.0, 1.0)
            if self.scale == "log":
                place = np.log1p(1000 * place) / math.log(1001)
        return np.where(np.isfinite(values), np.rint((_UNKNOWN - 1) * np.nan_to_num(place)), _UNKNOWN).astype(np.uint8)


def shades(image: Rows, scale: Scale, mask: Rows | None = None) -> Shades:
    """Find the limits of a scale for an image, shape (rows, columns), in its unit, from about a million of its pixels.

    Parameters
    ----------
    image : Rows
        The image.
    scale : str
        ``zscale``: IRAF's ZScale; ``linear`` and ``log``: from the 0.1th to the 99.9th percentile.
    mask : Rows, optional
        Of the same shape; what is not 0 in it does not count.
    """
    rows, columns = image.shape
    step = max(1, math.isqrt(rows * columns // _SAMPLE))
    strips = [slice(row, row + 1) for row in range(step // 2, rows, step)]
    sample = np.concatenate([image[row][0, ::step] for row in strips]).astype(np.float64)
    counts = np.isfinite(sample)
    if mask is not None:
        counts &= np.concatenate([mask[row][0, ::step] for row in strips]) == 0
    known = sample[counts] if counts.any() else sample[np.isfinite(sample)]
    if scale == "zscale" or known.size == 0:
        return Shades(scale, *zscale(known))
    low, high = np.percentile(known, _MOST_LINEAR)
    return Shades(scale, float(low), float(high))


def level_of(shape: tuple[int, ...], most: int) -> int:
    """Return the least level at which an image of so many rows and columns has at most so many cells a side.

    A cell of level n is the mean of 2ⁿ × 2ⁿ pixels.
    """
    return max(0, math.ceil(math.log2(max(shape) / most)))


def picture(image: Rows, of: Shades | None, level: int, part: tuple[int, int] | None = None) -> bytes:
    """Return an image, shape (rows, columns), or a part of it in shades of grey, as PNG; the first row is the lowest.

    Parameters
    ----------
    image : Rows
        In any unit; of masks, its bits.
    of : Shades or None
        None for a mask: bright is every cell in which a pixel is masked.
    level : int
        Of `level_of`.
    part : tuple of int, optional
        Which tile of `TILE` cells, counted from the first row and column on.
    """
    size = 2**level
    (top, rows), (left, columns) = (
        (0, length) if part is None else (index * TILE * size, min((index + 1) * TILE * size, length))
        for index, length in zip(part or (0, 0), image.shape, strict=True)
    )
    strip = max(size, _STRIP_ROWS // size * size)
    parts = (image[start : min(start + strip, rows)][:, left:columns] for start in range(top, rows, strip))
    if of is None:
        cells = np.where(np.vstack([_any(one, size) for one in parts]), _UNKNOWN, _GOOD).astype(np.uint8)
    else:
        cells = np.vstack([of.of(reduced(one, (size, size))) for one in parts])
    drawn = PillowImage.fromarray(np.ascontiguousarray(cells[::-1]))
    drawn.putpalette(_PALETTE)
    stream = io.BytesIO()
    drawn.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def n_tiles(shape: tuple[int, ...], level: int) -> tuple[int, ...]:
    """Return how many tiles, in rows and columns, an image of a shape has at a level."""
    return tuple(-(-length // (TILE * 2**level)) for length in shape)


def _any(mask: Image, size: int) -> Image:
    """Tell the cells of a mask in which anything is set."""
    rows, columns = (np.arange(0, length, size) for length in mask.shape)
    return np.logical_or.reduceat(np.logical_or.reduceat(mask != 0, rows, axis=0), columns, axis=1)
