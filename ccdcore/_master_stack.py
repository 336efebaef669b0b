"""The frames of one master: their reduced pixels, levels and noise, and the master made of their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ccdcore._pixel_stack import Pixels, Source, open_stack
from ccdcore.colour_pattern import PLANES, plane_levels
from ccdcore.combining import QUANTISATION_VARIANCE, CombinedImage
from ccdcore.errors import InsufficientDataError
from ccdcore.frame import Frame
from ccdcore.instrument import FrameType
from ccdcore.master import MaskBit, Master, MasterInput, MasterKind
from ccdcore.series import SeriesFrame
from ccdcore.statistics import FrameStatistics, Histogram, cut, frame_statistics, median, signed_difference

Image = npt.NDArray[Any]
CalibrationFrame: TypeAlias = Frame | SeriesFrame
"""A frame with its pixels, or one whose pixels are read from its path when they are needed."""
PerAmplifier: TypeAlias = float | Mapping[str, float]
"""One number for the whole frame, or one for each amplifier by name."""

UNLIT_FRACTION = 0.05
"""Below this response a flat shows scattered light rather than the pixel's response."""

_FEWEST_FOR_NOISE = 100
_LEAST_NOISE = 1e-3
"""Variance over signal in ADU, below which light has no noise worth a model."""

_MEMORY_LIMIT = 256 * 2**20
"""Reduced frames are kept in memory when they fit in this many bytes, the same as in `combine`."""


def reduce_frame(frame: CalibrationFrame, *, bias: Master | None = None, dark: Master | None = None) -> Image:
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
    from ccdcore.fits_io import read_image
    from ccdcore.overscan import subtract_overscan

    raw: Image = frame.data if isinstance(frame, Frame) else read_image(frame.path)
    pixels, limits = raw, saturation_limits(frame)
    if any(amplifier.overscan is not None for amplifier in frame.amplifiers):
        pixels = subtract_overscan(pixels, frame.amplifiers)
    for master in filter(None, (bias, dark)):
        if master.value.shape != pixels.shape:
            raise InsufficientDataError(
                f"{frame.path}: its shape is {pixels.shape}, that of the master {master.kind} {master.value.shape}: "
                f"use a {master.kind} of the same window and binning"
            )
        factor = np.float32(1 if master.kind == "bias" else exposure_time(frame))
        pixels = pixels - factor * master.value
    for amplifier, limit in zip(frame.amplifiers, limits, strict=True):
        if limit < np.inf:
            if pixels is raw:
                pixels = raw.astype(np.float32)
            section = amplifier.data.slices
            pixels[section][raw[section] >= limit] = np.nan
    if pixels is not raw:
        # What is scaled like light without being light would be clipped, and tell against its frame.
        pixels[~data_sections(frame)] = 0
    return pixels


def statistics_of(frame: CalibrationFrame) -> tuple[FrameStatistics, ...]:
    """Return the statistics of a frame's amplifiers: those on record, else measured."""
    return frame_statistics(frame.data, frame.amplifiers) if isinstance(frame, Frame) else frame.statistics


def rounding_variance(frames: Sequence[CalibrationFrame]) -> float:
    """Return the variance in ADU² that the rounding to the values that pixels can have adds."""
    return QUANTISATION_VARIANCE * max(one.step for one in statistics_of(frames[0])) ** 2


def data_sections(frame: CalibrationFrame) -> npt.NDArray[np.bool_]:
    """Return which pixels are in the data section of an amplifier."""
    inside = np.zeros(frame.shape, dtype=bool)
    for amplifier in frame.amplifiers:
        inside[amplifier.data.slices] = True
    return inside


def saturation_limits(frame: CalibrationFrame) -> tuple[float, ...]:
    """Return the value at which the pixels of each amplifier saturate; infinite where none of the frame's does.

    It is found from the frame: many pixels share its largest value (`ccdcore.statistics.Histogram.pile_up`). A bias
    has none.
    """
    if frame.info.frame_type is FrameType.BIAS:
        return (np.inf,) * len(frame.amplifiers)
    if isinstance(frame, Frame):
        found = (Histogram.of(cut(frame.data, amplifier.data)).pile_up for amplifier in frame.amplifiers)
        return tuple(np.inf if limit is None else limit for limit in found)
    return tuple(one.maximum if one.saturated_fraction > 0 else np.inf for one in frame.statistics)


@dataclass(frozen=True, slots=True, eq=False)
class MasterStack:
    """The frames of one master, and how to get their reduced pixels."""

    kind: MasterKind
    frames: Sequence[CalibrationFrame]
    images: list[Pixels]
    inside: npt.NDArray[np.bool_]
    bias: Master | None
    dark: Master | None

    @classmethod
    def of(
        cls,
        kind: MasterKind,
        frames: Sequence[CalibrationFrame],
        min_frames: int,
        *,
        bias: Master | None = None,
        dark: Master | None = None,
    ) -> MasterStack:
        """Open a stack: too few frames and different shapes are refused before anything is read."""
        if len(frames) < max(1, min_frames):
            raise InsufficientDataError(
                f"a master {kind} needs {max(1, min_frames)} frames, there are {len(frames)}: take more, "
                f"or lower min_frames in [recipes.{kind}]"
            )
        for frame in frames:
            if frame.shape != frames[0].shape:
                raise InsufficientDataError(
                    f"{frame.path}: its shape is {frame.shape}, that of {frames[0].path} is {frames[0].shape}: "
                    "combine frames of one window and binning"
                )
        images = open_stack([_source(frame, bias, dark) for frame in frames], _MEMORY_LIMIT)
        return cls(kind, frames, images, data_sections(frames[0]), bias, dark)

    def per_pixel(self, values: PerAmplifier | None) -> Image | None:
        """Spread one value for each amplifier over its pixels."""
        if not isinstance(values, Mapping):
            return None if values is None else np.array([[values]], dtype=np.float64)
        spread = np.full(self.inside.shape, np.mean(list(values.values())))
        for amplifier in self.frames[0].amplifiers:
            if amplifier.name in values:
                spread[amplifier.data.slices] = values[amplifier.name]
        return spread

    def pixel_noise(self, noise_adu: PerAmplifier | None) -> Image:
        """Return the noise of one frame without light, quantisation included: as given, else as the bias has it."""
        noise = self.per_pixel(noise_adu)
        if noise is not None:
            return np.asarray(np.sqrt(noise**2 + rounding_variance(self.frames)))
        variances = np.array([rounding_variance(self.frames)])
        if self.bias is not None:
            known = self.bias.good & np.isfinite(self.bias.uncertainty)
            variances = np.append(variances, np.square(self.bias.uncertainty[known]) * self.bias.n_used[known])
        return np.array([[np.sqrt(variances.mean())]])

    def difference_noise(self) -> Image | None:
        """Return the noise of one frame from the difference of the first two, by amplifier; None for one frame."""
        if len(self.images) < 2:
            return None
        first, second = (pixels.image() for pixels in self.images[:2])
        noise = np.zeros(self.inside.shape)
        for amplifier in self.frames[0].amplifiers:
            section = amplifier.data.slices
            difference = signed_difference(first[section], second[section])
            noise[section] = Histogram.of(difference).sigma / np.sqrt(2) if np.isfinite(difference).any() else 0.0
        return noise

    def medians(self) -> npt.NDArray[np.float64]:
        """Return the median of each frame's data sections."""
        return np.array([_median(self._inside(pixels.image())) for pixels in self.images])

    def _inside(self, image: Image) -> Image:
        return image if self.inside.all() else image[self.inside]

    def typical(self) -> Image:
        """Return the mean of the frames without the highest value of each pixel, which may be a cosmic ray."""
        total, highest = np.zeros(self.inside.shape), np.full(self.inside.shape, -np.inf)
        for pixels in self.images:
            image = pixels.image()
            total += image
            np.maximum(highest, image, out=highest)
        n = len(self.images)
        return total if n == 1 else (total - highest) / (n - 1)

    def levels(self, reference: Image, region: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return each frame's level in ``region``: the mean of ``reference`` there times the median ratio to it.

        The light has structure; a ratio has not, so that its median is exact and knows no cosmic rays.
        """
        lit = reference[region]
        if lit.size == 0:
            return np.zeros(len(self.images))
        return np.array([lit.mean() * _median(pixels.image()[region] / lit) for pixels in self.images])

    def _of_colours(self, flat: Image) -> Image:
        """Return the light of each pixel's colour over that of the brightest; 1 of a camera without such filters."""
        light = np.ones(flat.shape)
        if self.kind == "flat":
            for plane, level in zip(PLANES, plane_levels(flat), strict=True):
                light[plane] = level
        return light

    def apparent_gain(
        self, levels: npt.NDArray[np.float64], reference: Image, region: npt.NDArray[np.bool_], noise: Image
    ) -> dict[str, float] | None:
        """Return the gain (e⁻/ADU) of each amplifier that the scatter between two flats looks like; None of one flat.

        It serves as a noise model where no gain is known: whatever makes flats differ is in it.
        """
        if len(self.images) < 2:
            return None
        middle = len(self.images) // 2
        first, second = (self.images[number].image() for number in (middle - 1, middle))
        level, noise = float(levels[middle - 1 : middle + 1].mean()), np.broadcast_to(noise, self.inside.shape)
        found = {}
        for amplifier in self.frames[0].amplifiers:
            section = amplifier.data.slices
            lit = region[section]
            difference = level * (first[section] / levels[middle - 1] - second[section] / levels[middle])[lit]
            difference = difference[np.isfinite(difference)]
            if difference.size < _FEWEST_FOR_NOISE:
                continue
            low, high = np.quantile(difference, [0.158655, 0.841345])  # half the width of 68 %: robust
            of_light = ((high - low) / 2) ** 2 / 2 - float(np.mean(np.square(noise[section]), dtype=np.float64))
            signal = float(np.nanmean(reference[section][lit]))
            found[amplifier.name] = signal / max(of_light, _LEAST_NOISE * signal)
        return found or None

    def master(
        self,
        image: CombinedImage,
        clip_sigma: float,
        *,
        unit: str,
        scales: npt.NDArray[np.float64],
        levels: npt.NDArray[np.float64],
        saturated: npt.NDArray[np.bool_] | None = None,
    ) -> Master:
        """Finish a combined image: mask, neutral values outside the amplifiers, what the bias and dark add."""
        unlit = self.inside & (image.value < UNLIT_FRACTION * self._of_colours(image.value)) & (self.kind == "flat")
        bits = {MaskBit.NO_DATA: image.n_used == 0, MaskBit.OUTSIDE: ~self.inside, MaskBit.UNLIT: unlit}
        if saturated is not None:
            bits[MaskBit.SATURATED] = saturated
        mask = np.zeros(self.inside.shape, np.uint8)
        for bit, where in bits.items():
            mask[where] |= np.uint8(bit)
        inputs = tuple(
            MasterInput(
                frame.path, frame.sha256, frame.info.date_obs, scale, level, rejected, frame.info.exposure_time_s
            )
            for frame, scale, level, rejected in zip(
                self.frames, scales.tolist(), levels.tolist(), image.rejected_fraction, strict=True
            )
        )
        value = np.where(self.inside, image.value, self.kind == "flat").astype(np.float32)
        uncertainty = np.where(
            self.inside, np.sqrt(image.uncertainty**2 + common_variance(inputs, self.bias, self.dark)), 0
        )
        exposures = [entry.exposure_time_s for entry in inputs if entry.exposure_time_s is not None]
        return Master(
            kind=self.kind,
            value=value,
            uncertainty=uncertainty.astype(np.float32),
            mask=mask,
            n_used=image.n_used,
            unit=unit,
            clip_sigma=(clip_sigma, clip_sigma),
            inputs=inputs,
            exposure_range_s=(min(exposures), max(exposures)) if exposures else None,
        )


def common_variance(inputs: Sequence[MasterInput], bias: Master | None, dark: Master | None) -> Image:
    """Return the variance that the subtracted masters add: the same in every frame, so the scatter misses it."""
    variance: Image = np.zeros((1, 1))
    if bias is not None:
        variance = variance + (np.mean([entry.scale for entry in inputs]) * bias.uncertainty) ** 2
    if dark is not None:
        seconds = np.mean([entry.scale * (entry.exposure_time_s or 0) for entry in inputs])
        variance = variance + (seconds * dark.uncertainty) ** 2
    return variance


def _median(values: Image) -> float:
    """Return the median of the finite values; 0 where there are none."""
    if values.dtype.kind in "iu" and values.size:
        return Histogram.of(values).median
    finite = values[np.isfinite(values)]
    return median(finite) if finite.size else 0.0


def _source(frame: CalibrationFrame, bias: Master | None, dark: Master | None) -> Source:
    """Return what gives a frame's reduced pixels: itself or its file, where nothing is to be removed."""
    if bias is None and dark is None and all(amplifier.overscan is None for amplifier in frame.amplifiers):
        return frame if isinstance(frame, Frame) else frame.path
    return lambda: reduce_frame(frame, bias=bias, dark=dark)


def exposure_time(frame: CalibrationFrame) -> float:
    exposure = frame.info.exposure_time_s
    if exposure is None or not exposure > 0:
        raise InsufficientDataError(
            f"{frame.path}: its exposure time is {exposure}, a dark signal per second cannot be told: "
            "name the header card of the exposure time in the instrument's entry"
        )
    return exposure
