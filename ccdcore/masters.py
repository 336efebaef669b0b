"""Master bias, dark and flat."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt


class MaskBit(IntFlag):
    """Meaning of the bits of a master's mask."""

    NO_DATA = 1
    """No input had a usable value here."""
    OUTSIDE = 2
    """Not in the data section of any amplifier."""
    UNLIT = 4
    """Too little light for a flat-field response."""


@dataclass(frozen=True, slots=True)
class MasterInput:
    """One input of a master: what was used of it."""

    path: Path
    sha256: str
    date_obs: datetime | None
    scale: float
    level_adu: float
    rejected_fraction: float


@dataclass(frozen=True, slots=True, eq=False)
class Master:
    """A combined calibration image.

    Parameters
    ----------
    kind : {"bias", "dark", "flat"}
        What it corrects for.
    value : ndarray of float32, shape (rows, columns)
        In `unit`.
    uncertainty : ndarray of float32
        1-σ uncertainty of each pixel, in `unit`.
    mask : ndarray of uint8
        Bits of `MaskBit`; 0 where the pixel is good.
    n_used : ndarray of uint16
        Frames used in each pixel.
    unit : str
        ``"adu"``, ``"adu/s"``, or ``""`` for a flat.
    clip_sigma : tuple of float
        Lower and upper clipping threshold, in units of the scatter.
    inputs : tuple of MasterInput
        What it was made of.
    exposure_range_s : tuple of float or None
        Shortest and longest exposure of the inputs.
    """

    kind: Literal["bias", "dark", "flat"]
    value: npt.NDArray[Any]
    uncertainty: npt.NDArray[Any]
    mask: npt.NDArray[Any]
    n_used: npt.NDArray[Any]
    unit: str
    clip_sigma: tuple[float, float]
    inputs: tuple[MasterInput, ...]
    exposure_range_s: tuple[float, float] | None = None
