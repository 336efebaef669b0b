"""The frames of one master: their reduced pixels, levels and noise, and the master made of their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ccdcore.combining.combine import QUANTISATION_VARIANCE, CombinedImage
from ccdcore.combining.pixel_stack import Pixels, Source, open_stack
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.colour_pattern import PLANES, plane_levels
from ccdcore.frames.frame import Frame, FrameStatistics, SeriesFrame
from ccdcore.frames.statistics import frame_statistics
from ccdcore.io.stored_pixels import StoredPixels
from ccdcore.mosaics.detectors import image_of, pixels_in_file
from ccdcore.numerics.histogram import Histogram
from ccdcore.numerics.robust import median, signed_difference
from ccdcore.reduction.master import Darks, MaskBit, Master, MasterInput, MasterKind
from ccdcore.reduction.reduce import CalibrationFrame, ReducedPixels, dark_for, data_sections, reduce_frame

Image = npt.NDArray[Any]
PerAmplifier: TypeAlias = float | Mapping[str, float]
"""One number for the whole frame, or one for each amplifier by name."""

UNLIT_FRACTION = 0.05
"""Below this response a flat shows scattered light rather than the pixel's response."""

_FEWEST_FOR_NOISE = 100
_LEAST_NOISE = 1e-3
"""Variance over signal in ADU, below which light has no noise worth a model."""

_STRIP_PIXELS = 2**20
_ENOUGH_PIXELS = 2**22

_MEMORY_LIMIT = 256 * 2**20
"""Reduced frames are kept in memory when they fit in this many bytes, the same as in `combine`."""
_REDUCED_BYTES = 4
"""Of a reduced pixel."""


def statistics_of(frame: CalibrationFrame) -> tuple[FrameStatistics, ...]:
    """Return the statistics of a frame's amplifiers: those on record, else measured."""
    return frame_statistics(frame.data, frame.amplifiers) if isinstance(frame, Frame) else frame.statistics


def rounding_variance(frames: Sequence[CalibrationFrame]) -> float:
    """Return the variance in ADU² that the rounding to the values that pixels can have adds."""
    return QUANTISATION_VARIANCE * max(one.step for one in statistics_of(frames[0])) ** 2


@dataclass(frozen=True, slots=True, eq=False)
class MasterStack:
    """The frames of one master, and how to get their reduced pixels."""

    kind: MasterKind
    frames: Sequence[CalibrationFrame]
    images: list[Pixels]
    inside: npt.NDArray[np.bool_]
    bias: Master | None
    dark: Darks | None

    @classmethod
    def of(
        cls,
        kind: MasterKind,
        frames: Sequence[CalibrationFrame],
        min_frames: int,
        *,
        bias: Master | None = None,
        dark: Darks | None = None,
    ) -> MasterStack:
        """Open a stack of frames of one shape (rows, columns), in ADU, before anything is read.

        Raises
        ------
        InsufficientDataError
            If they are too few, or differ in shape.
        """
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
        held = len(frames) * frames[0].shape[0] * frames[0].shape[1] * _REDUCED_BYTES <= _MEMORY_LIMIT
        images = open_stack([_source(frame, bias, dark, held=held) for frame in frames], _MEMORY_LIMIT)
        return cls(kind, frames, images, data_sections(frames[0]), bias, dark)

    def per_pixel(self, values: PerAmplifier | None) -> Image | None:
        """Spread one value for each amplifier over its pixels, shape (rows, columns); one for all has shape (1, 1)."""
        if not isinstance(values, Mapping):
            return None if values is None else np.array([[values]], dtype=np.float64)
        if values.keys() == {one.name for one in self.frames[0].amplifiers} and len(values) == 1:
            return np.array([list(values.values())], dtype=np.float64)
        spread = np.full(self.inside.shape, np.mean(list(values.values())), np.float32)
        for amplifier in self.frames[0].amplifiers:
            if amplifier.name in values:
                spread[amplifier.data.slices] = values[amplifier.name]
        return spread

    def pixel_noise(self, noise_adu: PerAmplifier | None) -> Image:
        """Return the noise of one frame without light in ADU, quantisation included: as given, else as the bias has it.

        Its shape is (rows, columns), or (1, 1) where it is the same for all pixels.
        """
        noise = self.per_pixel(noise_adu)
        if noise is not None:
            return np.asarray(np.sqrt(noise**2 + rounding_variance(self.frames)))
        variances = np.array([rounding_variance(self.frames)])
        if self.bias is not None:
            some = some_rows(self.inside.shape)
            known = self.bias.good[some] & np.isfinite(self.bias.uncertainty[some])
            of_bias = np.square(self.bias.uncertainty[some][known]) * self.bias.n_used[some][known]
            variances = np.append(variances, of_bias)
        return np.array([[np.sqrt(variances.mean())]])

    def difference_noise(self) -> Image | None:
        """Return the noise of one frame in ADU from the difference of the first two; None for one frame.

        It is that of the amplifier in each pixel, shape (rows, columns).
        """
        if len(self.images) < 2:
            return None
        first, second = (pixels.image() for pixels in self.images[:2])
        noise = np.zeros(self.inside.shape, np.float32)
        for amplifier in self.frames[0].amplifiers:
            section = amplifier.data.slices
            difference = signed_difference(first[section], second[section])
            noise[section] = Histogram.of(difference).sigma / np.sqrt(2) if np.isfinite(difference).any() else 0.0
        return noise

    def medians(self) -> npt.NDArray[np.float64]:
        """Return the median of each frame's data sections in ADU, shape (frames,)."""
        some = some_rows(self.inside.shape)
        inside = self.inside[some]
        images = (rows_of(pixels, some[0]) for pixels in self.images)
        return np.array([_median(image if inside.all() else image[inside]) for image in images])

    def typical(self) -> Image:
        """Return the mean of the frames without the highest value of each pixel, which may be a cosmic ray.

        Its shape is (rows, columns), its unit ADU.
        """
        typical, n = np.empty(self.inside.size, np.float32), len(self.images)
        for start in range(0, typical.size, _STRIP_PIXELS):
            strip = typical[start : start + _STRIP_PIXELS]
            total, highest = np.zeros(strip.size), np.full(strip.size, -np.inf)
            for pixels in self.images:
                values = _values(pixels, start, strip.size)
                total += values
                np.maximum(highest, values, out=highest)
            strip[:] = total if n == 1 else (total - highest) / (n - 1)
        return typical.reshape(self.inside.shape)

    def levels(self, reference: Image, region: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return each frame's level in ``region``: the mean of ``reference`` there times the median ratio to it.

        The light has structure; a ratio has not, so that its median is exact and knows no cosmic rays. Images have
        shape (rows, columns), the levels shape (frames,); all are in ADU.
        """
        if not region.any():
            return np.zeros(len(self.images))
        some = some_rows(region.shape)
        mean, lit = float(reference.mean(where=region, dtype=np.float64)), reference[some][region[some]]
        return np.array([mean * _median(rows_of(pixels, some[0])[region[some]] / lit) for pixels in self.images])

    def _unlit(self, flat: Image) -> npt.NDArray[np.bool_]:
        """Return where a flat has too little light, by that of the pixels of the same colour filter."""
        unlit = np.zeros(flat.shape, dtype=bool)
        if self.kind == "flat":
            for plane, level in zip(PLANES, plane_levels(flat), strict=True):
                unlit[plane] = flat[plane] < UNLIT_FRACTION * level
        return unlit & self.inside

    def apparent_gain(
        self, levels: npt.NDArray[np.float64], reference: Image, region: npt.NDArray[np.bool_], noise: Image
    ) -> dict[str, float] | None:
        """Return the gain (e⁻/ADU) of each amplifier that the scatter between two flats looks like; None of one flat.

        It serves as a noise model where no gain is known: whatever makes flats differ is in it.

        Parameters
        ----------
        levels : ndarray, shape (frames,)
            Of the light, in ADU (`levels`).
        reference : ndarray, shape (rows, columns)
            A flat in ADU, free of bias and cosmic rays.
        region : ndarray of bool, shape (rows, columns)
            Where there is light.
        noise : ndarray
            Of one frame without light, in ADU, of a shape that broadcasts to the image.
        """
        if len(self.images) < 2:
            return None
        middle = len(self.images) // 2
        pair = self.images[middle - 1 : middle + 1]
        level, noise = float(levels[middle - 1 : middle + 1].mean()), np.broadcast_to(noise, self.inside.shape)
        found = {}
        for amplifier in self.frames[0].amplifiers:
            rows, columns = amplifier.data.slices
            section = slice(rows.start, rows.stop, some_rows(amplifier.data.shape)[0].step), columns
            lit = region[section]
            first, second = (rows_of(pixels, section[0])[:, columns] for pixels in pair)
            difference = level * (first / levels[middle - 1] - second / levels[middle])[lit]
            difference = difference[np.isfinite(difference)]
            if difference.size < _FEWEST_FOR_NOISE:
                continue
            low, high = np.quantile(difference, [0.158655, 0.841345])  # half the width of 68 %: robust
            of_light = ((high - low) / 2) ** 2 / 2 - float(np.mean(np.square(noise[section]), dtype=np.float64))
            signal = float(np.nanmean(reference[section][lit]))
            if signal > 0:
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
        weights: npt.NDArray[np.float64] | None = None,
        saturated: npt.NDArray[np.bool_] | None = None,
    ) -> Master:
        """Finish a combined image: mask, neutral values outside the amplifiers, what the bias and dark add.

        Parameters
        ----------
        image : CombinedImage
            Of shape (rows, columns), in ``unit``.
        clip_sigma : float
            Values further off were clipped, in σ.
        unit : str
            Of the master.
        scales, levels : ndarray, shape (frames,)
            What each frame was multiplied by, and its level in ADU.
        weights : ndarray, shape (frames,), optional
            How much it counts, 1 in the mean; all the same if not given.
        saturated : ndarray of bool, shape (rows, columns), optional
            Where all frames are saturated.
        """
        value = image.value.astype(np.float32, copy=False)
        mask = np.where(image.n_used == 0, np.uint8(MaskBit.NO_DATA), np.uint8(0))
        mask[~self.inside] |= np.uint8(MaskBit.OUTSIDE)
        mask[self._unlit(value)] |= np.uint8(MaskBit.UNLIT)
        if saturated is not None:
            mask[saturated] |= np.uint8(MaskBit.SATURATED)
        weights = np.ones(len(self.frames)) if weights is None else weights
        numbers = scales.tolist(), levels.tolist(), image.rejected_fraction, weights.tolist()
        inputs = tuple(
            MasterInput(
                frame.path,
                frame.sha256,
                frame.info.date_obs,
                scale,
                level,
                rejected,
                frame.info.exposure_time_s,
                weight,
            )
            for frame, scale, level, rejected, weight in zip(self.frames, *numbers, strict=True)
        )
        value[~self.inside] = self.kind == "flat"
        uncertainty = image.uncertainty
        for start in range(0, len(value), rows := max(1, _STRIP_PIXELS // value.shape[1])):
            part = slice(start, start + rows)
            common = common_variance(inputs, self.bias, self.dark, part)
            uncertainty[part] = np.sqrt(np.square(uncertainty[part], dtype=np.float64) + common)
        uncertainty[~self.inside] = 0
        exposures = [entry.exposure_time_s for entry in inputs if entry.exposure_time_s is not None]
        return Master(
            kind=self.kind,
            value=value,
            uncertainty=uncertainty,
            mask=mask,
            n_used=image.n_used,
            unit=unit,
            clip_sigma=(clip_sigma, clip_sigma),
            inputs=inputs,
            exposure_range_s=(min(exposures), max(exposures)) if exposures else None,
        )


def common_variance(
    inputs: Sequence[MasterInput], bias: Master | None, dark: Darks | None, rows: slice = slice(None)
) -> Image:
    """Return the variance that the subtracted masters add: the same in every frame, so the scatter misses it.

    Its shape is that of the rows, or (1, 1) where there are no masters; its unit that of the combined image, squared.
    """
    variance: Image = np.zeros((1, 1))
    if bias is not None:
        variance = variance + (np.mean([entry.weight * entry.scale for entry in inputs]) * bias.uncertainty[rows]) ** 2
    darks = (dark,) if isinstance(dark, Master) else dark or ()
    for master in darks:
        taken = (one for one in inputs if isinstance(dark, Master) or dark_for(darks, one.exposure_time_s) is master)
        seconds = sum(_factor(one, master) for one in taken) / len(inputs)
        variance = variance + (seconds * master.uncertainty[rows]) ** 2
    return variance


def _factor(entry: MasterInput, dark: Master) -> float:
    """Return what a master dark is multiplied by before it is taken off an input, and with that."""
    return entry.weight * entry.scale * ((entry.exposure_time_s or 0.0) if dark.unit == "adu/s" else 1.0)


def some_rows(shape: tuple[int, ...], n_pixels: int | None = None) -> tuple[slice]:
    """Return which rows to look at where so many pixels tell a median or a scatter as well as all."""
    return (slice(None, None, max(1, shape[0] * shape[1] // (n_pixels or _ENOUGH_PIXELS))),)


def rows_of(pixels: Pixels, rows: slice) -> Image:
    """Return some rows of a frame, shape (rows, columns), in its unit; of plain files no others are read."""
    return pixels[rows] if isinstance(pixels, ReducedPixels | StoredPixels) else pixels.image()[rows]


def _values(pixels: Pixels, start: int, size: int) -> Image:
    """Return a run of the pixels of a frame as numbers; NaN where they are masked."""
    stored = np.empty(size, pixels.stored)
    pixels.read(start, stored)
    values = stored.astype(np.float64)
    values += pixels.zero
    if pixels.mask is not None:
        values[pixels.mask[start : start + size]] = np.nan
    return values


def _median(values: Image) -> float:
    """Return the median of the finite values; 0 where there are none."""
    if values.dtype.kind in "iu" and values.size:
        return Histogram.of(values).median
    finite = values[np.isfinite(values)]
    return median(finite) if finite.size else 0.0


def _source(frame: CalibrationFrame, bias: Master | None, dark: Darks | None, *, held: bool) -> Source:
    """Return what gives a frame's reduced pixels: itself or its file, where nothing is to be removed.

    Those of plain files are ``held`` in memory, or made again whenever they are asked for.
    """
    if bias is None and dark is None and all(amplifier.overscan is None for amplifier in frame.amplifiers):
        if isinstance(frame, SeriesFrame) and frame.detector is not None:
            return pixels_in_file(frame) or (lambda: image_of(frame))
        return frame if isinstance(frame, Frame) else frame.path
    if held or (isinstance(frame, SeriesFrame) and pixels_in_file(frame) is None):
        return lambda: reduce_frame(frame, bias=bias, dark=dark)
    return ReducedPixels.opened(frame, bias, dark)
