"""Scaled, clipped means of stacks of frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ccdcore.combining.arguments import (
    PerFrame,
    check_choice,
    check_count,
    check_sources,
    per_frame,
    thresholds,
)
from ccdcore.combining.combine_kernel import MAD_TO_SIGMA, combine_floats, combine_integers
from ccdcore.combining.noise_model import PRIOR_DEGREES_OF_FREEDOM, QUANTISATION_VARIANCE, NoiseModel, Result, Rule
from ccdcore.combining.pixel_stack import Pixels, Source, open_stack
from ccdcore.combining.sorting_network import network
from ccdcore.combining.weigh_kernel import weigh
from ccdcore.errors import InsufficientDataError

__all__ = [
    "MAD_TO_SIGMA",
    "PRIOR_DEGREES_OF_FREEDOM",
    "QUANTISATION_VARIANCE",
    "CombinedImage",
    "Progress",
    "Source",
    "combine",
    "warm_up",
]

Image = npt.NDArray[Any]
Method = Literal["mean", "median"]
Progress = Callable[[float], None]
"""Called with the fraction done, from 0 to 1."""

_STRIP_BYTES, _READ_BYTES = 2**24, 2**17
_LEAST_STRIP = 2**12
"""A strip is as many pixels of all frames as fit in so many bytes, but not so few that calls outweigh the work: what is
read of a file at a time is so much at least, as far as memory allows."""

_CACHE_LINE = 32
"""Pixels of 16 bits in a line of the processor's caches."""


@dataclass(frozen=True, slots=True, eq=False)
class CombinedImage:
    """The mean, or median, of a stack.

    Parameters
    ----------
    value : ndarray of float64 (or as asked for), shape (rows, columns)
        Mean or median of the kept values, in the unit of the scaled input; NaN where
        no frame has a value.
    uncertainty : ndarray of float32
        1-σ uncertainty of `value`, never NaN; infinite where nothing tells the
        scatter: no value at all, or a single one and no noise given.
    n_used : ndarray of uint16
        Frames used in each pixel.
    rejected_fraction : tuple of float
        For each frame the fraction of its values that were clipped.
    """

    value: npt.NDArray[np.floating]
    uncertainty: npt.NDArray[np.float32]
    n_used: npt.NDArray[np.uint16]
    rejected_fraction: tuple[float, ...]


def combine(
    sources: Sequence[Source],
    *,
    clip_sigma: float | tuple[float, float] = 7.0,
    passes: int = 1,
    method: Method = "mean",
    zero: PerFrame | None = None,
    scale: PerFrame | None = None,
    weights: PerFrame | None = None,
    noise: npt.ArrayLike | None = None,
    scale_noise: bool = False,
    gain_e_per_adu: npt.ArrayLike | None = None,
    memory_limit: int = 512 * 2**20,
    threads: int | None = None,
    progress: Progress | None = None,
    dtype: type[np.floating] = np.float64,
) -> CombinedImage:
    r"""Combine frames into their mean, or median, free of outliers.

    Frames are shifted and scaled first, then clipped about the median of each
    pixel, so that a dim flat is no outlier among bright ones.

    Parameters
    ----------
    sources : sequence
        Files, frames, arrays, masked arrays, CCDData, or functions without
        argument that return an array; one or more, all of one shape and, as
        far as it is known, of one unit. NaN, infinite and masked pixels are
        left out, and so are numbers beyond ±1e37.
    clip_sigma : float or (float, float)
        Values farther from the median than this many times the scatter are
        left out, those exactly so far are kept; a pair is (below, above).
        Infinity keeps all that are left in.
    passes : int
        How often values are clipped at most; each pass begins with the median
        and scatter of those kept by the one before.
    method : {"mean", "median"}
        What is made of the kept values.
    zero, scale : sequence of float, or callable
        A number added to each frame, and the positive factor that the sum is
        multiplied by; or a function of an image that returns it (such as
        ``scale=lambda image: 1 / np.median(image)``).
    weights : sequence of float, or callable
        A positive number for each frame: how much it counts in the mean, after the clip. Best is the inverse of the
        variance of its scaled values. All count the same if not given.
    noise : array_like
        Expected noise of one frame in units of the *scaled* values: a number,
        one for each pixel, or anything that broadcasts to (frames, rows,
        columns). It keeps the clip from rejecting good values of small stacks
        of integers, whose MAD is often zero; give 0 where nothing but their
        rounding is known. Without it the clip is that of `ccdproc.combine`
        with ``sigma_clip_func="median"`` and ``sigma_clip_dev_func="mad_std"``,
        pixel for pixel.
    scale_noise : bool
        The noise is that of unscaled frames, and is to be scaled as they are.
    gain_e_per_adu : array_like
        Gain in e⁻/ADU, a number or one for each pixel, for frames free of
        bias: the photon noise of the pixel's median joins `noise`.
    memory_limit : int
        Bytes to work in. Plain files are read strip by strip; what must be
        decoded first is held in memory up to half of this, then in a temporary file.
    threads : int
        Strips that are worked on at the same time; all processors if not given.
    progress : callable
        Called with the fraction done.
    dtype : type
        Of the values that are returned, rounded to it: ``numpy.float32`` takes half of the room.

    Returns
    -------
    CombinedImage

    Raises
    ------
    InsufficientDataError
        If there is no frame, shapes or units differ, pixels are no real numbers, or a scale or weight is not positive.
    FrameReadError
        If a file cannot be read, or changes while it is read.
    TypeError
        If the sources are no sequence.
    ValueError
        If an option is none of those named here.

    Notes
    -----
    With the median :math:`m` of the values :math:`x_i = s_i (d_i + z_i)`, those are kept for which

    .. math:: -k_\mathrm{low} S \le x_i - m \le k_\mathrm{high} S, \qquad S = 1.4826\,\mathrm{MAD},

    so that where most values are equal all others are left out. Where `noise` or `gain_e_per_adu` is given,

    .. math:: S = \max(1.4826\,\mathrm{MAD},\ \max_i \sigma_i,\ \max_i s_i / \sqrt{12}),

    the last term for integer input only, :math:`\sigma_i^2 = \mathrm{noise}_i^2 + s_i m/g`, and of integers
    1 ADU more is allowed: the value and the median are both rounded.
    The uncertainty is that of the mean of the :math:`n` kept values, pooled with the noise
    model as :math:`\nu_0 = 4` degrees of freedom where one is given (else :math:`\nu_0 = 0`):

    .. math:: u^2 = \frac{\nu_0 \overline{\sigma_i^2} + \sum (x_i - \bar x)^2}{(\nu_0 + n - 1)\, n}.

    With weights :math:`w_i`, 1 in the mean of all frames, :math:`\bar x = \sum w_i x_i / \sum w_i`. The weighted
    scatter shows the variance of a value of weight 1, :math:`e^2`, and the mean has :math:`q^2` in place of it:

    .. math::

        u^2 = \frac{q^2}{e^2} \frac{\nu_0 e^2 + \sum w_i (x_i - \bar x)^2}{(\nu_0 + n - 1) \sum w_i}, \qquad
        e^2 = \frac{\sum (w_i - w_i^2 / N)\, \sigma_i^2}{N - 1}, \qquad q^2 = \frac{\sum w_i^2 \sigma_i^2}{N}

    of all :math:`N` frames; both are the same where weights suit the noise, or where there is no model of it. Where
    there is one, values that the clip has kept are left out, the farthest first, as long as they are farther from the
    weighted mean than :math:`k` times the noise of their own frame: what is lost in the noise of faint frames may be
    far beyond that of the bright one that it is in, which counts most.

    Three values alone give a scatter of 2 degrees of freedom, which on integers is often zero; there it is taken to be
    that of the rounding at least.
    The variance of a median is larger by :math:`\frac{\pi}{2} n / (n + c)`, with c = π/2 − 1 for odd and
    π − 2 for even :math:`n`: exact for one and two Gaussian values and in the limit, within 3 % between.

    16-bit integers without scale are sorted as such; other input is compared in single precision, 32-bit integers
    and double precision in that. Means are exact to double precision. The result does not depend on `memory_limit`
    and `threads`.
    """
    check_sources(sources)
    check_choice("method", method, Method)
    if weights is not None and method != "mean":
        raise ValueError('weights are those of a mean: leave them out, or write method = "mean"')
    check_count("passes", passes, 0)
    clip = thresholds(clip_sigma)
    stack = open_stack(sources, memory_limit // 2)
    job = _Job.of(stack, zero, scale, weights)
    model = NoiseModel.of(
        noise, gain_e_per_adu, stack[0].shape, job.factors, job.weights, quantum=job.quantum, is_scaled=scale_noise
    )
    rule = model.rule(clip, passes, method, job.origin)
    shape, n_pixels = stack[0].shape, int(np.prod(stack[0].shape))
    value, uncertainty = np.empty(n_pixels, dtype), np.empty(n_pixels, np.float32)
    n_used = np.empty(n_pixels, np.uint16)
    n_rejected, n_valid = np.zeros(len(stack), np.int64), np.zeros(len(stack), np.int64)

    threads = threads or os.cpu_count() or 1
    strips = _strips(n_pixels, len(stack), job.kind.itemsize, memory_limit // (4 * threads))
    spare: SimpleQueue[Image] = SimpleQueue()  # one buffer a thread, taken again for the next strip
    for _ in range(min(threads, len(strips))):
        spare.put(np.empty(len(stack) * (strips[0].stop - strips[0].start), job.kind))

    def work(strip: slice) -> tuple[Image, Image]:
        counts = np.zeros(len(stack), np.int64), np.zeros(len(stack), np.int64)
        exact = value[strip] if value.dtype == np.float64 else np.empty(strip.stop - strip.start)
        to = Result(exact, uncertainty[strip], n_used[strip], *counts)
        buffer = spare.get()
        try:
            job.combine(strip, buffer, rule, model.at(strip), to, weights=model.weights)
        finally:
            spare.put(buffer)
        value[strip] = exact
        return counts

    for number, counts in enumerate(_in_threads(work, strips, threads), start=1):
        n_rejected += counts[0]
        n_valid += counts[1]
        if progress is not None:
            progress(number / len(strips))
    return CombinedImage(
        value.reshape(shape),
        uncertainty.reshape(shape),
        n_used.reshape(shape),
        tuple((n_rejected / np.maximum(n_valid, 1)).tolist()),
    )


def warm_up() -> None:
    """Compile what combines frames, or load it from the cache, so that no later call waits for it."""
    for kind, weights in ((np.uint16, None), (np.float32, [1, 2])):
        combine([np.zeros((1, 1), kind)] * 2, weights=weights, threads=1)


def _in_threads(work: Callable[[slice], Any], strips: Sequence[slice], threads: int) -> Iterator[Any]:
    """Yield the results of strips as they are done; what goes wrong, or an interrupt, stops the others."""
    with ThreadPoolExecutor(threads, thread_name_prefix="combine") as pool:
        futures = [pool.submit(work, strip) for strip in strips]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _strips(n_pixels: int, n_frames: int, itemsize: int, memory_limit: int) -> list[slice]:
    good_size = max(_STRIP_BYTES, n_frames * _READ_BYTES)
    size = max(_LEAST_STRIP, min(good_size, memory_limit) // (n_frames * itemsize))
    # Frames an odd number of lines apart: were it a power of two, caches could hold a pixel of eight frames at a time.
    size = (size // _CACHE_LINE - 1 | 1) * _CACHE_LINE
    return [slice(start, min(start + size, n_pixels)) for start in range(0, n_pixels, size)]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A stack, in which type its values are compared, and how they come about.

    ``kind`` is uint16 for integers of 16 bits, which then differ from their values by ``origin``. ``weights`` are 1 in
    the mean; there are none where all are the same.
    """

    stack: list[Pixels]
    kind: np.dtype[Any]
    origin: int
    zeros: Image
    factors: Image
    weights: Image
    quantum: float
    pairs: Image

    @classmethod
    def of(cls, stack: list[Pixels], zero: PerFrame | None, scale: PerFrame | None, weights: PerFrame | None) -> _Job:
        zeros = per_frame(zero, stack, 0.0, "zeros")
        factors = per_frame(scale, stack, 1.0, "scales", zeros)
        shares = per_frame(weights, stack, 1.0, "weights", zeros)
        for pixels, factor, share in zip(stack, factors, shares, strict=True):
            if not 0 < factor < np.inf:
                raise InsufficientDataError(
                    f"{pixels.name}: cannot be scaled by {factor:g}: a scale is a positive number; "
                    "leave the frame out, or scale by a lit region"
                )
            if not 0 < share < np.inf:
                raise InsufficientDataError(
                    f"{pixels.name}: its weight is {share:g}, which is no positive number: leave the frame out"
                )
        shares = shares[:0] if (shares == shares[0]).all() else shares / shares.mean()
        lowest = {_lowest(pixels) for pixels in stack}
        whole = any(pixels.stored.kind in "iu" for pixels in stack)
        as_stored = not zeros.any() and (factors == 1).all() and not shares.size
        origin = lowest.pop() if len(lowest) == 1 and as_stored else None
        wide = any(pixels.stored.itemsize > (2 if pixels.stored.kind in "iu" else 4) for pixels in stack)
        kind = np.dtype(np.uint16 if origin is not None else np.float64 if wide else np.float32)
        quantum = float(factors.max()) if whole else 0.0
        return cls(stack, kind, origin or 0, zeros, factors, shares, quantum, network(len(stack)))

    def combine(self, strip: slice, buffer: Image, rule: Rule, model: Image, to: Result, *, weights: Image) -> None:
        """Combine a strip of pixels, whose values are read into ``buffer``."""
        n_pixels = strip.stop - strip.start
        values = buffer[: len(self.stack) * n_pixels].reshape(len(self.stack), n_pixels)
        if self.kind == np.uint16:
            for pixels, row in zip(self.stack, values, strict=True):
                pixels.read(strip.start, row.view(pixels.stored))
            swap = np.array([not pixels.stored.isnative for pixels in self.stack])
            flip = np.array([0x8000 if pixels.stored.kind == "i" else 0 for pixels in self.stack], np.uint16)
            combine_integers(values, swap, flip, self.pairs, rule, model, to)
            return
        for number, pixels in enumerate(self.stack):
            self._fill(values[number], pixels, strip, self.zeros[number], self.factors[number])
        kept = np.empty((3, n_pixels if self.weights.size else 0))
        combine_floats(values, self.pairs, rule, model, to, kept)
        if self.weights.size:
            weigh(values, weights, kept, rule, model, to)

    def _fill(self, row: Image, pixels: Pixels, strip: slice, zero: float, factor: float) -> None:
        """Turn stored pixels into values; NaN where one is not to be used."""
        stored = np.empty(row.size, pixels.stored)
        pixels.read(strip.start, stored)
        np.add(stored, row.dtype.type(pixels.zero + zero), out=row, casting="unsafe", dtype=row.dtype)
        if factor != 1:
            row *= row.dtype.type(factor)
        if pixels.mask is not None:
            row[pixels.mask[strip]] = np.nan


def _lowest(pixels: Pixels) -> int | None:
    """Return the value whose code is zero among 16-bit integers; None of other pixels, and where some are masked."""
    if pixels.stored.kind not in "iu" or pixels.stored.itemsize != 2 or pixels.mask is not None:
        return None
    return pixels.zero - (0x8000 if pixels.stored.kind == "i" else 0)
