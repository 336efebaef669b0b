"""The pixels of a calibration frame with overscan, bias and dark removed: all of them, or some rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Section, cut
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import Frame, SeriesFrame
from ccdcore.frames.groups import same_exposure
from ccdcore.frames.statistics import overscan_level
from ccdcore.headers.instrument import FrameType
from ccdcore.mosaics.detectors import image_of, pixels_in_file
from ccdcore.numerics.histogram import Histogram
from ccdcore.reduction.master import Darks, Master

if TYPE_CHECKING:
    from ccdcore.io.stored_pixels import StoredPixels

Image = npt.NDArray[Any]
CalibrationFrame: TypeAlias = Frame | SeriesFrame
"""A frame with its pixels, or one whose pixels are read from its path when they are needed."""


def reduce_frame(frame: CalibrationFrame, *, bias: Master | None = None, dark: Darks | None = None) -> Image:
    """Return a frame's pixels with overscan, bias and dark removed, as far as they are there.

    Pixels of a flat or a dark that are at the limit of their range (`saturation_limits`) become NaN.

    Parameters
    ----------
    frame : Frame or SeriesFrame
        A raw frame; the pixels of a SeriesFrame are read from its path.
    bias, dark : Master, optional
        Subtracted.

    Returns
    -------
    ndarray, shape (rows, columns)
        ADU: the raw integers where nothing was to remove, else float32, 0 outside the amplifiers' data sections.

    Raises
    ------
    InsufficientDataError
        If a master has another shape, or a dark is to be removed from a frame of unknown exposure.
    FrameReadError
        If the file cannot be read.
    """
    raw = frame.data if isinstance(frame, Frame) else image_of(frame)
    return ReducedPixels.of(frame, raw, bias, dark)[:]


@dataclass(frozen=True, slots=True, eq=False)
class ReducedPixels:
    """A frame of which any rows are reduced when they are asked for: whole ones in float32 take twice its room.

    It is one of `ccdcore.combining.pixel_stack.Pixels`.
    """

    frame: CalibrationFrame
    raw: Image | StoredPixels
    bias: Master | None
    dark: Master | None
    limits: tuple[float, ...]
    overscans: tuple[float | None, ...]

    @classmethod
    def of(
        cls, frame: CalibrationFrame, raw: Image | StoredPixels, bias: Master | None = None, dark: Darks | None = None
    ) -> ReducedPixels:
        """Look at the overscans of a frame in ADU, shape (rows, columns).

        Raises
        ------
        InsufficientDataError
            If a master has another shape.
        """
        own_dark = None if dark is None else dark_of(dark, frame)
        for master in filter(None, (bias, own_dark)):
            if master.value.shape != raw.shape:
                raise InsufficientDataError(
                    f"{frame.path}: its shape is {raw.shape}, that of the master {master.kind} {master.value.shape}: "
                    f"use a {master.kind} of the same window and binning"
                )
        overscans = tuple(None if one.overscan is None else _level(raw, one.overscan) for one in frame.amplifiers)
        return cls(frame, raw, bias, own_dark, saturation_limits(frame), overscans)

    @classmethod
    def opened(cls, frame: CalibrationFrame, bias: Master | None, dark: Darks | None) -> ReducedPixels:
        """Open a frame in ADU, shape (rows, columns): plain files are not read before some rows are asked for.

        Raises
        ------
        FrameReadError
            If it cannot be read.
        InsufficientDataError
            If a master has another shape.
        """
        if isinstance(frame, Frame):
            return cls.of(frame, frame.data, bias, dark)
        stored = pixels_in_file(frame)
        return cls.of(frame, image_of(frame) if stored is None else stored, bias, dark)

    @property
    def name(self) -> str:
        """How messages call the frame."""
        return str(self.frame.path)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.raw.shape

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self[:0].dtype

    @property
    def zero(self) -> int:
        """Nothing is to be added."""
        return 0

    @property
    def unit(self) -> None:
        """It is not known."""
        return

    @property
    def mask(self) -> None:
        """What is not to be used is NaN."""
        return

    def read(self, start: int, into: Image) -> None:
        """Fill an array of shape (n,) with the pixels from number ``start`` on, of rows that are reduced for it."""
        columns = self.shape[1]
        first, last = start // columns, -(-(start + into.size) // columns)
        into[:] = self[first:last].reshape(-1)[start - first * columns :][: into.size]

    def image(self) -> Image:
        """Return the whole image, shape (rows, columns), in ADU."""
        return self[:]

    def __getitem__(self, rows: slice) -> Image:
        """Return some rows, reduced."""
        raw = self.raw[rows]
        sections = [_within(one.data, rows, self.shape[0]) for one in self.frame.amplifiers]
        pixels = raw
        for section, level in zip(sections, self.overscans, strict=True):
            if level is not None:
                pixels = raw.astype(np.float32) if pixels is raw else pixels
                pixels[section] -= np.float32(level)
        if self.bias is not None:
            pixels = np.subtract(pixels, self.bias.value[rows], dtype=np.float32, casting="unsafe")
        if self.dark is not None:
            pixels = pixels - np.float32(dark_factor(self.dark, self.frame)) * self.dark.value[rows]
        for section, limit in zip(sections, self.limits, strict=True):
            if limit < np.inf:
                pixels = raw.astype(np.float32) if pixels is raw else pixels
                pixels[section][raw[section] >= limit] = np.nan
        if pixels is not raw:
            # What is scaled like light without being light would be clipped, and tell against its frame.
            inside = data_sections(self.frame, rows)
            if not inside.all():
                pixels[~inside] = 0
        return pixels


def data_sections(frame: CalibrationFrame, rows: slice = slice(None)) -> npt.NDArray[np.bool_]:
    """Return which pixels, of some rows, are in the data section of an amplifier, shape (rows, columns)."""
    n_rows, columns = frame.shape
    inside = np.zeros((len(range(n_rows)[rows]), columns), dtype=bool)
    for amplifier in frame.amplifiers:
        inside[_within(amplifier.data, rows, n_rows)] = True
    return inside


def saturation_limits(frame: CalibrationFrame) -> tuple[float, ...]:
    """Return the value at which the pixels of each amplifier saturate; infinite where none of the frame's does.

    It is found from the frame: many pixels share its largest value
    (`ccdcore.numerics.histogram.Histogram.pile_up`). A bias has none.
    """
    if frame.info.frame_type is FrameType.BIAS:
        return (np.inf,) * len(frame.amplifiers)
    if isinstance(frame, Frame):
        found = (Histogram.of(cut(frame.data, amplifier.data)).pile_up for amplifier in frame.amplifiers)
        return tuple(np.inf if limit is None else limit for limit in found)
    return tuple(one.maximum if one.saturated_fraction > 0 else np.inf for one in frame.statistics)


def exposure_time(frame: CalibrationFrame) -> float:
    """Return the exposure time of a frame, in seconds.

    Raises
    ------
    InsufficientDataError
        If its header gives none, or one that is not above 0.
    """
    exposure = frame.info.exposure_time_s
    if exposure is None or not exposure > 0:
        raise InsufficientDataError(
            f"{frame.path}: its exposure time is {exposure}, a dark signal per second cannot be told: "
            "name the header card of the exposure time in the instrument's entry"
        )
    return exposure


def dark_of(darks: Darks, frame: CalibrationFrame) -> Master | None:
    """Return the master dark to take off a frame: of several that of its exposure, else a rate; None of neither."""
    return darks if isinstance(darks, Master) else dark_for(darks, frame.info.exposure_time_s)


def dark_for(darks: Sequence[Master], seconds: float | None) -> Master | None:
    """Return that of some master darks that suits an exposure in seconds: of the same, else a rate; None of neither."""
    if seconds is None:
        return None
    same = (one for one in darks if one.unit != "adu/s" and same_exposure(seconds, one.exposure_s))
    return next(same, next((one for one in darks if one.unit == "adu/s"), None))


def dark_factor(dark: Master, frame: CalibrationFrame) -> float:
    """Return what a master dark is multiplied by before it is subtracted from a frame: seconds, if it is a rate.

    Raises
    ------
    InsufficientDataError
        If the exposure of the frame is not known, or another than that of a dark which is no rate.
    """
    seconds = exposure_time(frame)
    if dark.unit == "adu/s":
        return seconds
    if dark.exposure_s is None or not same_exposure(seconds, dark.exposure_s):
        raise InsufficientDataError(
            f"{frame.path}: its exposure is {seconds:g} s, that of the master dark {dark.exposure_s or 0:g} s: "
            "use one of the same exposure, or a dark rate"
        )
    return seconds / dark.exposure_s


def _level(raw: Image | StoredPixels, section: Section) -> float:
    """Return the level of an overscan section, of whose rows only are read."""
    pixels = raw[section.slices[0]]
    return overscan_level(pixels, Section(section.x1, section.x2, 1, len(pixels)))


def _within(section: Section, rows: slice, n_rows: int) -> tuple[slice, slice]:
    """Return where a section is among some rows."""
    chosen, (own, columns) = range(n_rows)[rows], section.slices
    first, last = (max(0, -(-(edge - chosen.start) // chosen.step)) for edge in (own.start, own.stop))
    return slice(first, last), columns
