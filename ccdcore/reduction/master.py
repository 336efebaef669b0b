"""What a master is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntFlag
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

MasterKind: TypeAlias = Literal["bias", "dark", "darkrate", "flat", "stack"]
"""What a master corrects for; a stack is one of frames of any kind, made by hand."""


class MaskBit(IntFlag):
    """Meaning of the bits of a mask: the first four of a master's own, the others of the mask of bad pixels."""

    NO_DATA = 1
    """No input had a usable value here."""
    OUTSIDE = 2
    """Not in the data section of any amplifier."""
    UNLIT = 4
    """Too little light for a flat-field response."""
    SATURATED = 8
    """At the limit of its range in one input at least."""
    HOT = 16
    """Far brighter than its surroundings without light."""
    DEAD = 32
    """Sees less than half of the light of its surroundings."""
    NOISY = 64
    """Scatters from frame to frame far more than the others."""
    NONLINEAR = 128
    """Answers bright light otherwise than faint light, in comparison with its surroundings."""


@dataclass(frozen=True, slots=True)
class MasterInput:
    """One input of a master: what was used of it.

    Parameters
    ----------
    path : Path
        Where it was read.
    sha256 : str
        The frame's identity.
    date_obs : datetime or None
        Begin of its exposure.
    scale : float
        What its pixels were multiplied by.
    level_adu : float
        Its level before that: of the illuminated region for a flat scaled by
        it, else the median of the data sections; overscan, bias and dark removed
        where the recipe removes them.
    rejected_fraction : float
        Fraction of its pixels that were clipped.
    exposure_time_s : float or None
        Its exposure time.
    weight : float
        How much it counts in the mean; 1 in the mean of all inputs.
    """

    path: Path
    sha256: str
    date_obs: datetime | None
    scale: float
    level_adu: float
    rejected_fraction: float
    exposure_time_s: float | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Master:
    """A combined calibration image.

    Parameters
    ----------
    kind : {"bias", "dark", "flat", "stack"}
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

    kind: MasterKind
    value: npt.NDArray[Any]
    uncertainty: npt.NDArray[Any]
    mask: npt.NDArray[Any]
    n_used: npt.NDArray[Any]
    unit: str
    clip_sigma: tuple[float, float]
    inputs: tuple[MasterInput, ...]
    exposure_range_s: tuple[float, float] | None = None

    def as_rate(self) -> Master:
        """Return a master dark of one exposure, in ADU, as the dark signal per second, in ADU/s."""
        seconds = self.exposure_s
        if self.unit == "adu/s" or not seconds:
            return self
        value, uncertainty = (image / np.float32(seconds) for image in (self.value, self.uncertainty))
        return replace(self, value=value, uncertainty=uncertainty, unit="adu/s")

    @property
    def exposure_s(self) -> float | None:
        """Mean exposure of the inputs, in seconds; None where one is not known."""
        exposures = [one.exposure_time_s for one in self.inputs]
        known = [one for one in exposures if one is not None]
        return fmean(known) if known and len(known) == len(exposures) else None

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Which pixels have no bit of the mask set, shape (rows, columns)."""
        good: npt.NDArray[np.bool_] = self.mask == 0
        return good


Darks: TypeAlias = Master | tuple[Master, ...]
"""What dark signal is taken off: one master, or some, of which that of a frame's exposure comes before a rate."""
