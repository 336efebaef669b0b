"""Parts of an image whose noise of light is not that of the others: amplifiers that no card names, scaled colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Light = npt.NDArray[np.floating[Any]]

_SIGMAS = 5.0
_LEAST, _BY_CHARGE = 0.06, 0.15
"""How much more noise, relative, one part has than another, at least; and what charge that pushes charge may make of
it where one part has all of the light and the other none."""

MOSAIC = ("odd columns, odd rows", "even columns, odd rows", "odd columns, even rows", "even columns, even rows")
QUARTERS = ("left, first rows", "right, first rows", "left, last rows", "right, last rows")


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Sums over the lit pixels of each part of a pair: ``n``, squares in units of the noise model, light in ADU.

    Parameters
    ----------
    mosaic, quarters : ndarray, shape (4, 3)
        Of every second pixel of every second row; of the quarters of the image.
    """

    mosaic: Array
    quarters: Array

    @classmethod
    def none(cls) -> Parts:
        """Return sums of nothing."""
        return cls(np.zeros((4, 3)), np.zeros((4, 3)))

    @classmethod
    def of(cls, squares: Light, level: Light, lit: npt.NDArray[np.bool_], first_row: int, n_rows: int) -> Parts:
        """Sum over some rows of a pair, from number ``first_row`` of ``n_rows`` on.

        Squares are in units of the noise model, levels in ADU; they and what is lit of shape (rows, columns).
        """
        images = (lit.astype(np.float64), np.where(lit, squares, 0.0), np.where(lit, level, 0.0))
        middle, across = np.clip(n_rows // 2 - first_row, 0, len(lit)), lit.shape[1] // 2
        even, odd = slice(first_row % 2, None, 2), slice(1 - first_row % 2, None, 2)
        places = [(rows, slice(start, None, 2)) for rows in (even, odd) for start in (0, 1)]
        halves = (slice(0, across), slice(across, None))
        areas = [(rows, columns) for rows in (slice(0, middle), slice(middle, None)) for columns in halves]
        return cls(*(np.array([[image[at].sum() for image in images] for at in some]) for some in (places, areas)))

    def __add__(self, other: Parts) -> Parts:
        """Return the sums of both."""
        return Parts(self.mosaic + other.mosaic, self.quarters + other.quarters)


def uneven(pairs: Sequence[Parts]) -> str | None:
    """Say in words that parts of the image have other gains; None where all have one.

    The median of the pairs counts, so that what moves from one flat to the next makes no part.
    """
    for name, names in (("mosaic", MOSAIC), ("quarters", QUARTERS)):
        sums = np.array([getattr(of, name) for of in pairs])
        if sums.size == 0 or sums[..., 0].min() < 1:
            continue
        n, squares, light = np.moveaxis(sums, -1, 0)
        noise = np.median(squares / n / (squares.sum(axis=1) / n.sum(axis=1))[:, None], axis=0)
        level = np.median(light / n, axis=0)
        most, least = int(np.argmax(noise)), int(np.argmin(noise))
        error = np.sqrt(2 / n.sum(axis=0)[[most, least]]).max() * 2
        apart = 1 - float(min(level[most], level[least]) / max(level[most], level[least], 1e-9))
        more = float(noise[most] / max(noise[least], 1e-9)) - 1
        if more > max(_LEAST + _BY_CHARGE * apart, _SIGMAS * error):
            of = "; ".join(f"{share:.2f} ({where})" for share, where in zip(noise, names, strict=True))
            return (
                f"parts of the image have other gains: the variance of light over its mean is {of} of that of all: "
                "amplifiers that no card names (name them in the instrument's entry), or colours that the camera "
                "scaled: the gain is that of none of them"
            )
    return None
