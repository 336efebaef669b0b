"""Means over blocks of pixels, where a faint, extended fault stands out that is below the noise of every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]

_ENOUGH_PIXELS = 2**20
_SMALLEST, _LARGEST, _BLOCKS = 8, 64, 16
"""Side of a block in pixels; blocks along the shorter axis, as far as that allows."""
_CLIP, _MOST_CLIPPED = 5.0, 0.05
_PASSES, _NEAR = 3, 3.0


def looked_at(shape: tuple[int, ...]) -> slice:
    """Return the rows to look at: all, or every second, third … of a large image."""
    return slice(None, None, max(1, min(_side(shape), shape[0] * shape[1] // _ENOUGH_PIXELS)))


def _side(shape: tuple[int, ...]) -> int:
    return max(1, min(_LARGEST, max(_SMALLEST, min(shape) // _BLOCKS), *shape))


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """The blocks of the rows looked at: the first row and column of each, pixels that are used, and whether enough."""

    starts: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
    sizes: npt.NDArray[np.float64]
    enough: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, shape: tuple[int, ...], usable: npt.NDArray[np.bool_]) -> Blocks:
        """Lay blocks of about the same size over an image of a shape (rows, columns).

        ``usable`` says which pixels are used of the rows looked at.
        """
        side, of_rows = _side(shape), usable.shape
        numbers = [max(1, whole // side) for whole in shape]
        down, right = (np.linspace(0, n, m + 1).astype(np.intp)[:-1] for n, m in zip(of_rows, numbers, strict=True))
        starts = down, right
        sizes = _sums(usable.astype(np.float64), starts)
        whole = _sums(np.ones(of_rows), starts)
        return cls(starts, np.maximum(sizes, 1), sizes > whole / 2)

    @property
    def n(self) -> int:
        """How many there are."""
        return self.sizes.size

    def means(self, values: Image) -> Image:
        """Return the mean of each block of values in units of their noise, shape (blocks,); NaN of too few pixels.

        Cosmic rays and new hot pixels are left out; where more pixels of a block than they take are that far off,
        these count as 5 σ each.
        """
        known = np.isfinite(values)
        far = known & (np.abs(np.where(known, values, 0)) > _CLIP)
        kept = known & ~far
        n_known, n_kept = (_sums(one.astype(np.float64), self.starts) for one in (known, kept))
        near = _sums(np.where(kept, values, 0), self.starts)
        all_clipped = _sums(np.clip(np.where(known, values, 0), -_CLIP, _CLIP), self.starts)
        is_ray = n_known - n_kept <= _MOST_CLIPPED * n_known
        total, n = np.where(is_ray, near, all_clipped), np.where(is_ray, n_kept, n_known)
        return np.where(self.enough & (n > 0), total / np.maximum(n, 1), np.nan)

    def medians(self, values: Image) -> Image:
        """Return the median of each block of values of any unit, shape (blocks,); NaN of too few pixels."""
        found = [
            np.median(finite) if (finite := part[np.isfinite(part)]).size else np.nan
            for band in np.split(values, self.starts[0][1:], axis=0)
            for part in np.split(band, self.starts[1][1:], axis=1)
        ]
        return np.where(self.enough, found, np.nan)

    def plane(self, values: Image) -> Image:
        """Return the plane through values of blocks of any unit, shape (blocks,), that most of them lie near."""
        down, right = (axis.ravel() for axis in np.indices([one.size for one in self.starts]))
        design = np.stack([np.ones(down.size), down - down.mean(), right - right.mean()], axis=1)
        good = np.isfinite(values)
        plane = np.full(values.size, np.median(values[good]) if good.any() else np.nan)
        for _ in range(_PASSES):
            near = good & (np.abs(values - plane) <= _NEAR * sigma_of((values - plane)[good]))
            if np.count_nonzero(near) <= design.shape[1]:
                break
            plane = design @ np.linalg.lstsq(design[near], values[near])[0]
        return plane


def _sums(values: Image, starts: tuple[Image, Image]) -> Image:
    return np.asarray(np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1).ravel())


def sigma_of(values: Image) -> float:
    """Return the scatter of values of any shape, in their unit, by the median distance from the median; 1 for none."""
    if values.size == 0:
        return 1.0
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) or 1.0
