"""Some pixels of a master: its noise, its level, and how far it is from another one of its purpose."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.masters.file import read_master

Image = npt.NDArray[Any]

_ROWS = 64
"""As many rows, spread over a master, tell a shift of a hundredth of the noise of its pixels."""
_COLUMNS = 16_384
"""Of the rows of a mosaic no more pixels than these are taken, spread over all of its detectors."""
_FAR = 8.0
"""Pixels whose difference is this many times its robust scatter from the median are other than most: left out."""
_DOUBT = 0.05
"""Uncertainties are no better than that."""
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some rows of a master, of very long ones some pixels.

    Parameters
    ----------
    kind : str
        Of the master.
    value, uncertainty : ndarray of float64, shape (rows, columns)
        In the unit of the master; NaN where its mask says that a pixel is not good.
    """

    kind: str
    value: Image
    uncertainty: Image

    @property
    def noise(self) -> float | None:
        """Return the 1-σ uncertainty of a normal pixel, in the unit of the master; None where no pixel is good."""
        return _median(self.uncertainty)

    @property
    def level(self) -> float | None:
        """Return the median of its pixels, in the unit of the master; None where no pixel is good."""
        return _median(self.value)


@dataclass(frozen=True, slots=True)
class Shift:
    """Half the mean square difference of two masters less their noise, and its 1-σ uncertainty, in their unit squared.

    It may be below 0, by chance.
    """

    half_square: float
    error: float


def read_sample(path: str | PathLike[str]) -> Sample:
    """Read some pixels of the file of a master, in its unit, shape (rows, columns); the others are left in the file.

    Raises
    ------
    FrameReadError
        If it is no file of a master.
    """
    master = read_master(path, mapped=True)
    n_rows, n_columns = master.value.shape
    step = max(1, -(-n_rows // _ROWS))
    # An odd step: where two amplifiers take turns both are seen.
    some = slice(step // 2, None, step), slice(None, None, -(-n_columns // _COLUMNS) | 1)
    good = np.asarray(master.mask[some]) == 0
    value, uncertainty = (
        np.where(good, np.asarray(image[some], np.float64), np.nan) for image in (master.value, master.uncertainty)
    )
    return Sample(master.kind, value, uncertainty)


def shift_between(one: Sample, other: Sample) -> Shift | None:
    """Return how far two masters of one purpose are apart beyond their noise; None where that cannot be told.

    Flats are brought to one level: only their shape matters.
    """
    if one.value.shape != other.value.shape:
        return None
    scale = (one.level or 0.0) / (other.level or np.inf) if one.kind == "flat" else 1.0
    difference = one.value - scale * other.value
    variance = np.square(one.uncertainty) + np.square(scale * other.uncertainty)
    usable = np.isfinite(difference) & np.isfinite(variance)
    if scale <= 0 or usable.sum() < _ROWS:
        return None
    difference, variance = difference[usable], variance[usable]
    middle = np.median(difference)
    scatter = _MAD_TO_SIGMA * np.median(np.abs(difference - middle))
    alike = np.abs(difference - middle) <= _FAR * scatter
    square, noise = float(np.mean(np.square(difference[alike]))), float(np.mean(variance[alike]))
    by_chance = square * np.sqrt(2 / alike.sum())
    return Shift((square - noise) / 2, hypot(by_chance, _DOUBT * noise) / 2)


def _median(values: Image) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None
