"""Scaled, clipped means of stacks of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from astropy.nddata import NDData

from ccdcore.errors import InsufficientDataError
from ccdcore.frame import Frame

Image = npt.NDArray[Any]
Source: TypeAlias = str | PathLike[str] | Frame | NDData | npt.ArrayLike | Callable[[], Image]
"""A frame to combine: a file, a frame, an array (masked or not), or a function that returns an array."""
Scale: TypeAlias = Sequence[float] | npt.NDArray[np.floating] | Callable[[Image], float]
Progress = Callable[[float], None]
"""Called with the fraction done, from 0 to 1."""

MAD_TO_SIGMA = 1.482602218505602
"""1/Φ⁻¹(3/4): the standard deviation of a Gaussian in units of its median absolute deviation."""

QUANTISATION_VARIANCE = 1 / 12
"""Variance of the rounding to whole ADU, in ADU²."""

PRIOR_DEGREES_OF_FREEDOM = 4
"""How many degrees of freedom the noise model counts for when the scatter of a pixel is pooled with it."""

_BYTES_PER_VALUE = 48
"""Working memory for each value of a strip: the float64 itself, its order, its deviation, and temporaries."""


@dataclass(frozen=True, slots=True, eq=False)
class CombinedImage:
    """The mean of a stack.

    Parameters
    ----------
    value : ndarray of float32, shape (rows, columns)
        Mean of the kept values, in the unit of the scaled input; NaN where
        no frame has a value.
    uncertainty : ndarray of float32
        1-σ uncertainty of `value`, never NaN; infinite where nothing tells the
        scatter: no value at all, or a single one and no noise given.
    n_used : ndarray of uint16
        Frames used in each pixel.
    rejected_fraction : tuple of float
        For each frame the fraction of its values that were clipped.
    """

    value: npt.NDArray[np.float32]
    uncertainty: npt.NDArray[np.float32]
    n_used: npt.NDArray[np.uint16]
    rejected_fraction: tuple[float, ...]


def combine(
    sources: Sequence[Source],
    *,
    clip_sigma: float | tuple[float, float] = 7.0,
    scale: Scale | None = None,
    noise: npt.ArrayLike | None = None,
    gain_e_per_adu: npt.ArrayLike | None = None,
    memory_limit: int = 512 * 2**20,
    progress: Progress | None = None,
) -> CombinedImage:
    r"""Combine frames into their mean, free of outliers.

    Frames are scaled first, then clipped once about the median of each pixel,
    so that a dim flat is no outlier among bright ones.

    Parameters
    ----------
    sources : sequence
        Files, frames, arrays, masked arrays, CCDData, or functions without
        argument that return an array; one or more, all of one shape. NaN,
        infinite and masked pixels are left out.
    clip_sigma : float or (float, float)
        Values farther from the median than this many times the scatter are
        left out; a pair is (below, above).
    scale : sequence of float, or callable
        A positive factor for each frame, or a function of an image that
        returns it (such as ``lambda image: 1 / np.median(image)``).
    noise : array_like
        Expected noise of one frame in units of the *scaled* values: a number,
        one for each pixel, or anything that broadcasts to (frames, rows,
        columns). It keeps the clip from rejecting good values of small stacks
        of integers, whose MAD is often zero.
    gain_e_per_adu : array_like
        Gain in e⁻/ADU, a number or one for each pixel, for frames free of
        bias: the photon noise of the pixel's median joins `noise`.
    memory_limit : int
        Bytes to work in. Frames that fill less than half of it are read once
        and kept; otherwise they are read again for each strip of rows.
    progress : callable
        Called with the fraction done.

    Returns
    -------
    CombinedImage

    Raises
    ------
    InsufficientDataError
        If there is no frame, the shapes differ, or a scale is not a positive number.
    FrameReadError
        If a file cannot be read.

    Notes
    -----
    With the median :math:`m` of the scaled values :math:`x_i = s_i d_i`, those are kept for which

    .. math:: -k_\mathrm{low} S \le x_i - m \le k_\mathrm{high} S, \qquad
        S = \max(1.4826\,\mathrm{MAD},\ \max_i \sigma_i,\ \max_i s_i / \sqrt{12}),

    the last term for integer input only, :math:`\sigma_i^2 = \mathrm{noise}_i^2 + s_i m/g`. Where the
    noise of integers is given, 1 ADU more is allowed: the value and the median are both rounded.
    The uncertainty is that of the mean of the :math:`n` kept values, pooled with the noise
    model as :math:`\nu_0 = 4` degrees of freedom where one is given (else :math:`\nu_0 = 0`):

    .. math:: u^2 = \frac{\nu_0 \overline{\sigma_i^2} + \sum (x_i - \bar x)^2}{(\nu_0 + n - 1)\, n}.

    Three values alone give a scatter of 2 degrees of freedom, which on integers is often zero.
    The result does not depend on `memory_limit`.
    """
    if len(sources) == 0:
        raise InsufficientDataError("there is nothing to combine: give at least one frame")
    low, high = np.broadcast_to(np.asarray(clip_sigma, dtype=float), 2)
    images = hold(sources, memory_limit // 2)
    shape, integers = _common_shape(sources, images)
    factors = _factors(scale, sources, images)
    model = _NoiseModel.of(noise, gain_e_per_adu, factors, integers)

    value, uncertainty = np.empty(shape, np.float32), np.empty(shape, np.float32)
    n_used = np.empty(shape, np.uint16)
    n_rejected, n_valid = np.zeros(len(images), np.int64), np.zeros(len(images), np.int64)
    for rows in _strips(shape, len(images), memory_limit // 2):
        values = np.stack([_float64(image()[rows]) * factor for image, factor in zip(images, factors, strict=True)])
        n_valid += np.count_nonzero(np.isfinite(values), axis=(1, 2))
        value[rows], uncertainty[rows], n_used[rows], rejected = _combine_strip(
            values, low, high, model.at(rows, shape)
        )
        n_rejected += rejected
        if progress is not None:
            progress(rows.stop / shape[0])
    return CombinedImage(value, uncertainty, n_used, tuple((n_rejected / np.maximum(n_valid, 1)).tolist()))


def hold(sources: Sequence[Source], memory_limit: int) -> list[Callable[[], Image]]:
    """Return a function for each source that gives its pixels, reading a file once if all fit in ``memory_limit``.

    Parameters
    ----------
    sources : sequence
        As for `combine`.
    memory_limit : int
        Bytes that may be kept; when the sources need more, each call reads again.

    Returns
    -------
    list of callable
        Each returns a two-dimensional array.
    """
    loaders = [_loader(source) for source in sources]
    if len(loaders) * loaders[0]().nbytes > memory_limit:
        return loaders
    return [_loader(load()) for load in loaders]


def _loader(source: Source) -> Callable[[], Image]:
    if isinstance(source, str | PathLike):
        from ccdcore.fits_io import read_image

        return lambda: read_image(source)
    if isinstance(source, Frame):
        return lambda: source.data
    if isinstance(source, NDData):
        return lambda: np.ma.MaskedArray(source.data, mask=np.ma.nomask if source.mask is None else source.mask)
    if callable(source):
        return source
    array = np.ma.asanyarray(source) if np.ma.isMaskedArray(source) else np.asarray(source)
    return lambda: array


def _name(source: Source, index: int) -> str:
    if isinstance(source, Frame):
        return str(source.path)
    return str(source) if isinstance(source, str | PathLike) else f"image {index + 1}"


def _common_shape(sources: Sequence[Source], images: list[Callable[[], Image]]) -> tuple[tuple[int, int], bool]:
    """Return the shape that all images share, and whether any of them has integers."""
    first = np.shape(images[0]())
    integers = False
    for index, (source, image) in enumerate(zip(sources, images, strict=True)):
        pixels = image()
        if pixels.shape != first or len(first) != 2:
            raise InsufficientDataError(
                f"{_name(source, index)}: its shape is {pixels.shape}, that of {_name(sources[0], 0)} is {first}: "
                "combine two-dimensional frames of one size"
            )
        integers |= pixels.dtype.kind in "iu"
    rows, columns = first
    return (rows, columns), integers


def _factors(scale: Scale | None, sources: Sequence[Source], images: list[Callable[[], Image]]) -> Image:
    if scale is None:
        return np.ones(len(images))
    factors = np.array([scale(image()) for image in images] if callable(scale) else scale, dtype=np.float64)
    if factors.shape != (len(images),):
        raise InsufficientDataError(f"{factors.size} scales for {len(images)} frames: give one for each")
    for index, (source, factor) in enumerate(zip(sources, factors, strict=True)):
        if not 0 < factor < np.inf:
            raise InsufficientDataError(
                f"{_name(source, index)}: cannot be scaled by {factor:g}: a scale is a positive number; "
                "leave the frame out, or scale by a lit region"
            )
    return factors


def _strips(shape: tuple[int, int], n_frames: int, memory_limit: int) -> Iterator[slice]:
    rows, columns = shape
    height = max(1, memory_limit // (_BYTES_PER_VALUE * n_frames * columns))
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))


def _float64(image: Image) -> Image:
    """Return the pixels as float64, NaN where they are masked or not finite."""
    pixels: Image = np.ma.filled(image.astype(np.float64), np.nan)
    pixels[np.isinf(pixels)] = np.nan
    return pixels


@dataclass(frozen=True, slots=True, eq=False)
class _NoiseModel:
    """Variance expected of one scaled value: ``constant + photon · median``.

    The noisiest frame sets the floor of the clip, the mean over the frames is the prior of the uncertainty.
    """

    highest: tuple[Image, Image]
    mean: tuple[Image, Image]
    quantum: float
    degrees_of_freedom: int

    @classmethod
    def of(
        cls, noise: npt.ArrayLike | None, gain_e_per_adu: npt.ArrayLike | None, factors: Image, integers: bool
    ) -> _NoiseModel:
        variance = np.square(np.asarray(0.0 if noise is None else noise, dtype=np.float64))
        variance = variance.reshape((1,) * (3 - variance.ndim) + variance.shape)
        per_adu = 1 / np.atleast_2d(np.asarray(np.inf if gain_e_per_adu is None else gain_e_per_adu, dtype=np.float64))
        return cls(
            highest=(variance.max(axis=0), factors.max() * per_adu),
            mean=(variance.mean(axis=0), factors.mean() * per_adu),
            quantum=float(factors.max()) if integers else 0.0,
            degrees_of_freedom=0 if noise is None and gain_e_per_adu is None else PRIOR_DEGREES_OF_FREEDOM,
        )

    def at(self, rows: slice, shape: tuple[int, int]) -> _NoiseModel:
        """Return the model of a strip of rows."""

        def cut(pair: tuple[Image, Image]) -> tuple[Image, Image]:
            constant, photon = (np.broadcast_to(part, shape)[rows] for part in pair)
            return constant, photon

        return _NoiseModel(cut(self.highest), cut(self.mean), self.quantum, self.degrees_of_freedom)

    def floor(self, median: Image) -> Image:
        """Return the least scatter that the clip may assume."""
        constant, photon = self.highest
        floor: Image = np.sqrt(np.maximum(constant + photon * np.fmax(median, 0), self._quantisation))
        return floor

    @property
    def margin(self) -> float:
        """What rounding may add to a deviation from the median."""
        return self.quantum if self.degrees_of_freedom else 0.0

    @property
    def _quantisation(self) -> float:
        return QUANTISATION_VARIANCE * self.quantum**2

    def pooled_variance(self, median: Image, squares: Image, n: Image) -> Image:
        """Return the variance of one value, from ``n`` values whose squared deviations sum to ``squares``."""
        constant, photon = self.mean
        prior = constant + photon * np.fmax(median, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = (self.degrees_of_freedom * prior + squares) / (self.degrees_of_freedom + n - 1.0)
        known = n + self.degrees_of_freedom > 1
        return np.where(known & (n > 0), np.maximum(variance, self._quantisation), np.inf)


def _combine_strip(values: Image, low: float, high: float, model: _NoiseModel) -> tuple[Image, Image, Image, Image]:
    """Return mean, uncertainty, number used, and the number rejected of each frame; ``values`` is overwritten."""
    median = _median(values)
    values -= median
    scatter = np.maximum(MAD_TO_SIGMA * _median(np.abs(values)), model.floor(median))
    outliers = (values < -low * scatter - model.margin) | (values > high * scatter + model.margin)
    values[outliers] = np.nan
    n = np.count_nonzero(np.isfinite(values), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = np.nansum(values, axis=0) / n
        values -= offset
        squares = np.nansum(np.square(values, out=values), axis=0)
        uncertainty = np.sqrt(model.pooled_variance(median, squares, n) / n)
    return median + offset, uncertainty, n, np.count_nonzero(outliers, axis=(1, 2))


def _median(values: Image) -> Image:
    """Return the median over the first axis without NaN; NaN where there is nothing else."""
    ordered = np.sort(values, axis=0)  # NaN come last
    n = np.count_nonzero(np.isfinite(ordered), axis=0)
    middle = np.stack([np.maximum(n - 1, 0) // 2, n // 2])
    median: Image = np.take_along_axis(ordered, np.minimum(middle, len(values) - 1), axis=0).mean(axis=0)
    return median
