"""The images in the file of a master, in parts, whatever their size."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from ccdcore.errors import FrameReadError
from ccdcore.figures.greys import TILE, Rows, Shades, level_of, n_tiles, picture, shades
from ccdcore.io.stored_pixels import stored_planes
from ccdcore.reduction.master import MaskBit
from web.parameters import Plane, Scale

_UNITS = {"value": "", "uncertainty": "UNCERT", "mask": "MASK", "combined": "NCOMBINE"}
"""Plane → name of its unit of the file."""


@dataclass(frozen=True)
class Planes:
    """The images of a master by name: ``value``, ``residual``, ``uncertainty``, ``mask``; of ``combined`` pixels only.

    Of a mask of bad pixels there is the ``mask`` only.
    """

    images: Mapping[str, Rows]
    _shades: dict[tuple[str, Scale], Shades] = field(default_factory=dict)

    @property
    def shown(self) -> list[Plane]:
        """Those that can be looked at, in the order to offer them."""
        return [name for name in get_args(Plane) if name in self.images]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of each."""
        return next(iter(self.images.values())).shape

    def shades(self, plane: str, scale: Scale) -> Shades | None:
        """Return how a plane is shown; None for a mask. What is masked does not count."""
        if plane == "mask":
            return None
        if (plane, scale) not in self._shades:
            self._shades[plane, scale] = shades(self.images[plane], scale, self.images.get("mask"))
        return self._shades[plane, scale]

    @property
    def bytes_in_memory(self) -> int:
        """About what is kept of them, besides what stays in files."""
        return 1 + int(getattr(self.images.get("residual"), "nbytes", 0))

    def size_of_cell(self, most: int) -> int:
        """Return how many pixels a side a cell has where a whole plane is to have at most so many cells a side."""
        return 1 << level_of(self.shape, most)

    @property
    def tile(self) -> tuple[int, int]:
        """Cells a side of a part, and the level at which one part is the whole."""
        return TILE, level_of(self.shape, TILE)

    def whole(self, plane: Plane, scale: Scale, most: int) -> bytes:
        """Return a plane as PNG, with at most so many cells a side."""
        return picture(self.images[plane], self.shades(plane, scale), level_of(self.shape, most))

    def part(self, plane: Plane, scale: Scale, level: int, place: tuple[int, int]) -> bytes | None:
        """Return a part as PNG; None where there is no such part."""
        if level > self.tile[1] or any(one >= n for one, n in zip(place, n_tiles(self.shape, level), strict=True)):
            return None
        return picture(self.images[plane], self.shades(plane, scale), level, place)

    def pixel(self, row: int, column: int) -> dict[str, Any]:
        """Return what the planes have at a place, counted from 0, as plain JSON values."""
        found = {name: _at(one, row, column) for name, one in self.images.items()}
        bits = int(found.pop("mask", None) or 0)
        return {**found, "mask": [str(bit.name).lower() for bit in MaskBit if bits & bit]}


def _at(image: Rows, row: int, column: int) -> float | None:
    """Return a pixel; None where it is not known, if only because the raw frame of a residual is gone by now."""
    try:
        value: float = image[row : row + 1][0, column].item()
    except FrameReadError:
        return None
    return value if math.isfinite(value) else None


def planes_of(path: Path, file: io.BufferedReader, *, is_mask: bool, residual: Rows | None) -> Planes:
    """Find the images of a master whose file is open; the file is closed.

    Raises
    ------
    FrameReadError
        If it is no plain FITS file.
    """
    units = stored_planes(path, file)
    if is_mask:
        return Planes({"mask": units[""]})
    images: dict[str, Rows] = {name: units[unit] for name, unit in _UNITS.items() if unit in units}
    return Planes(images | ({"residual": residual} if residual is not None else {}))
