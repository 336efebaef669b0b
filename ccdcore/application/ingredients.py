"""What a frame is calibrated with, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ccdcore.headers.converted import NO_ADU
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType

if TYPE_CHECKING:
    from ccdcore.cards.sections import Section
    from ccdcore.reduction.master import Master

Unit: TypeAlias = Literal["adu", "electron"]
"""Of calibrated pixels."""

_NOT_RAW = re.compile(rf"[^;]*(?:not a raw (?:frame|one)|{'|'.join(NO_ADU)})[^;]*")


def why_not(info: ExposureInfo) -> str | None:
    """Say in words why a frame is none to be calibrated; None of a raw science frame."""
    if info.frame_type is not FrameType.OTHER:
        return f"is a {info.frame_type} ({info.frame_type_reason}), not a science frame"
    if info.n_averaged > 1:
        return f"is an average of {info.n_averaged} exposures, whose noise is not that of one"
    said = not_raw(info.frame_type_reason)
    return said and f"is not raw: {said}"


def not_raw(frame_type_reason: str) -> str | None:
    """Return which part of the evidence for a frame's type says that a program has worked on it; None of a raw one."""
    said = _NOT_RAW.search(frame_type_reason)
    return said and said[0].strip()


@dataclass(frozen=True, slots=True)
class Readout:
    """How an amplifier turns light into numbers: gain in e⁻/ADU, and read noise in electrons RMS."""

    gain_e_per_adu: float
    read_noise_e: float


@dataclass(frozen=True, slots=True, eq=False)
class Masters:
    """The masters that a frame is calibrated with; None where it goes without.

    Parameters
    ----------
    bias, dark, flat : Master or None
        In ADU; a dark of the frame's exposure or a rate in ADU/s; a flat of mean 1.
    bad_pixels : ndarray of uint8, shape (rows, columns), or None
        Bits of `ccdcore.reduction.master.MaskBit`.
    """

    bias: Master | None = None
    dark: Master | None = None
    flat: Master | None = None
    bad_pixels: npt.NDArray[Any] | None = None

    def images(self) -> Iterator[Master]:
        """Give those that are there, in the order in which they are applied."""
        yield from (one for one in (self.bias, self.dark, self.flat) if one is not None)

    def masks(self) -> Iterator[npt.NDArray[Any]]:
        """Give the masks of all, shape (rows, columns), not 0 at bad pixels."""
        yield from (one.mask for one in self.images())
        if self.bad_pixels is not None:
            yield self.bad_pixels

    def cut(self, window: Section) -> Masters:
        """Return what suits a frame that holds this section of theirs only; the pixels are views."""
        bias, dark, flat = (one and _cut(one, window) for one in (self.bias, self.dark, self.flat))
        bad_pixels = None if self.bad_pixels is None else self.bad_pixels[window.slices]
        return Masters(bias, dark, flat, bad_pixels)


def _cut(master: Master, window: Section) -> Master:
    images = {name: getattr(master, name)[window.slices] for name in ("value", "uncertainty", "mask", "n_used")}
    return replace(master, **images)


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedFrame:
    """A calibrated image; it has all pixels of the raw frame, so that its sections and coordinates hold.

    Parameters
    ----------
    value : ndarray of float32, shape (rows, columns)
        In `unit`; 0 outside the amplifiers' data sections, NaN where nothing can be told.
    uncertainty : ndarray of float32, shape (rows, columns)
        1-σ uncertainty of each pixel, in `unit`.
    mask : ndarray of uint8, shape (rows, columns)
        Bits of `ccdcore.reduction.master.MaskBit`; 0 where the pixel is good.
    unit : {"adu", "electron"}
        Of value and uncertainty.
    flat_gain_e_per_adu : float or None
        Gain that the flat left, the same in all amplifiers; None without a flat: each amplifier has its own.
    """

    value: npt.NDArray[Any]
    uncertainty: npt.NDArray[Any]
    mask: npt.NDArray[Any]
    unit: Unit
    flat_gain_e_per_adu: float | None = None

    def gain_of(self, readout: Readout) -> float:
        """Return how many electrons an ADU of an amplifier is, by how its raw pixels were read out."""
        return readout.gain_e_per_adu if self.flat_gain_e_per_adu is None else self.flat_gain_e_per_adu

    @classmethod
    def empty(
        cls, shape: tuple[int, int], unit: Unit, outside: int, flat_gain_e_per_adu: float | None = None
    ) -> CalibratedFrame:
        """Return an image without a pixel of light, all masked by ``outside``, in the byte order of FITS."""
        value, uncertainty = (np.zeros(shape, np.dtype(">f4")) for _ in range(2))
        return cls(value, uncertainty, np.full(shape, outside, np.uint8), unit, flat_gain_e_per_adu)
