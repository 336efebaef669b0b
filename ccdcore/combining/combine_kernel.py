"""The inner loops of combining, compiled to machine code.

The values of each pixel are sorted by a network of compare-exchanges of whole rows, which the compiler turns
into vector instructions. Of sorted values the median is a row, and the median absolute deviation costs one more
pass: deviations fall, then rise, so that the smaller half of them is ``min(d[k], d[k + n/2])``. All of this is done
for blocks that stay in the processor's cache. Pixels where a value is missing or was rejected are then done
again, one by one. Everything is in this one module, because the cache of compiled code is renewed by module.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.combining.noise_model import Result, Rule
from ccdcore.numerics.compiled import compiled, inner

Array = npt.NDArray[Any]

MAD_TO_SIGMA = 1.482602218505602
"""1/Φ⁻¹(3/4): the standard deviation of a Gaussian in units of its median absolute deviation."""

_NEAR, _NEARBY = 2**15, 2**18
"""Bytes that stay in the first, and in the second cache of a processor."""

_LEAST_BLOCK, _GOOD_BLOCK, _MOST_BLOCK = 128, 512, 1024
"""Pixels of a block."""

_LARGEST = 1e37
"""Larger numbers count as infinite, that is as missing: sums of those that are left stay within single precision."""

_MOST = 3e38
"""A margin that no difference of numbers reaches, and infinity does."""

_SLACK = 1e-5
"""A value this near a threshold, relatively, is told in double precision on which side it lies."""


@compiled
def combine_integers(raw: Array, swap: Array, flip: Array, pairs: Array, rule: Rule, model: Array, to: Result) -> None:
    """Combine 16-bit integers.

    Parameters
    ----------
    raw : ndarray of uint16, shape (frames, pixels)
        As stored. Those of a frame become numbers by a swap of their bytes where ``swap`` says so, then an
        exclusive or with ``flip``.
    swap : ndarray of bool
        One for each frame.
    flip : ndarray of uint16
        One for each frame.
    pairs : ndarray of int, shape (exchanges, 2)
        The `ccdcore.combining.sorting_network.network` for as many frames.
    rule : Rule
        What is kept.
    model : ndarray of float64, shape (4, 1) or (4, pixels)
        Variance of a value, ``constant + photon · median``: constant and photon term of the noisiest frame, then
        of the mean over all frames.
    to : Result
        Where results go; counts are added to those that are there.
    """
    n_frames, n_pixels = raw.shape
    to.n_valid[:] += n_pixels
    size = _block_size(n_frames, 2)
    ordered, middle = np.empty((n_frames, size), np.uint16), np.empty((2, size), np.uint16)
    expected, total, squares = np.zeros((2, size), np.float32), np.empty(size, np.int32), np.empty(size, np.float32)
    doubt, hits = np.empty(size, np.bool_), np.empty(size, np.int64)
    for start in range(0, n_pixels, size):
        width = min(size, n_pixels - start)
        for k in range(n_frames):
            _decode(raw[k, start : start + width], swap[k], flip[k], ordered[k])
        _sort(ordered, pairs, width)
        _half_deviations(ordered, width, middle)
        lower, upper = ordered[(n_frames - 1) // 2], ordered[n_frames // 2]
        total[:width] = 0
        squares[:width] = 0
        for k in range(n_frames):
            row = ordered[k]
            for j in range(width):
                d = np.int32(row[j]) - np.int32(lower[j])
                total[j] += d
                squares[j] += np.float32(d) * np.float32(d)
        _expect(ordered, start, width, rule, model, expected)
        _finish(ordered, start, width, total, squares, rule, expected[1], to)
        for j in hits[: _outlying(ordered, width, middle, rule, expected[0], doubt, hits)]:
            deviation = (np.float64(upper[j]) - lower[j] + middle[0, j] + middle[1, j]) / 2
            least, most, n_rejected, _ = _redo(ordered, j, start + j, deviation, rule, model, to)
            if n_rejected > 0:
                for k in range(n_frames):
                    x = raw[k, start + j]
                    x = np.uint16(np.uint16((x << 8) | (x >> 8)) if swap[k] else x) ^ flip[k]
                    to.n_rejected[k] += x < least or x > most


@compiled
def combine_floats(values: Array, pairs: Array, rule: Rule, model: Array, to: Result, kept: Array) -> None:
    """Combine floating-point numbers, of shape (frames, pixels); those that are not finite are missing.

    Least and most value that is kept of each pixel, and its median, go to ``kept``, of shape (3, pixels), unless that
    has none. Other parameters are those of `combine_integers`.
    """
    n_frames, n_pixels = values.shape
    size = _block_size(n_frames, values.itemsize)
    ordered, middle = np.empty((n_frames, size), values.dtype), np.empty((2, size), values.dtype)
    expected, total, squares = np.zeros((2, size), values.dtype), np.empty(size), np.empty(size)
    largest = values.dtype.type(_LARGEST)
    doubt, hits = np.empty(size, np.bool_), np.empty(size, np.int64)
    for start in range(0, n_pixels, size):
        width = min(size, n_pixels - start)
        for k in range(n_frames):
            source, row = values[k, start : start + width], ordered[k]
            n_valid = 0
            for j in range(width):
                x = source[j]
                finite = abs(x) <= largest  # not so of NaN
                n_valid += finite
                row[j] = x if finite else np.inf
            to.n_valid[k] += n_valid
        _sort(ordered, pairs, width)
        _half_deviations(ordered, width, middle)
        lower = ordered[(n_frames - 1) // 2]
        total[:width] = 0
        squares[:width] = 0
        for k in range(n_frames):
            row = ordered[k]
            for j in range(width):
                d = np.float64(row[j]) - np.float64(lower[j])
                total[j] += d
                squares[j] += d * d
        _expect(ordered, start, width, rule, model, expected)
        _finish(ordered, start, width, total, squares, rule, expected[1], to)
        _keep_all(ordered, rule, kept[:, start : start + width])
        for j in hits[: _outlying(ordered, width, middle, rule, expected[0], doubt, hits)]:
            least, most, n_rejected, light = _redo(ordered, j, start + j, np.nan, rule, model, to)
            if kept.size > 0:
                kept[0, start + j], kept[1, start + j], kept[2, start + j] = least, most, light
            if n_rejected > 0:
                for k in range(n_frames):
                    x = values[k, start + j]
                    to.n_rejected[k] += abs(x) <= largest and (x < least or x > most)


@inner
def _block_size(n_frames: int, item_size: int) -> int:
    """Return how many pixels to sort at once: few enough for the nearest cache, but not so few that loops are short."""
    row = n_frames * item_size
    return min(max(_NEAR // row, min(_NEARBY // row, _GOOD_BLOCK), _LEAST_BLOCK), _MOST_BLOCK)


@inner
def _decode(source: Array, swap: bool, flip: int, row: Array) -> None:
    if swap:
        for j in range(source.size):
            x = source[j]
            row[j] = np.uint16((x << 8) | (x >> 8)) ^ flip
    else:
        for j in range(source.size):
            row[j] = source[j] ^ flip


@inner
def _sort(rows: Array, pairs: Array, width: int) -> None:
    for p in range(pairs.shape[0]):
        one, two = rows[pairs[p, 0]], rows[pairs[p, 1]]
        for j in range(width):
            x, y = one[j], two[j]
            one[j] = np.minimum(x, y)  # for floats the built-in min does not become a vector instruction
            two[j] = np.maximum(x, y)


@inner
def _half_deviations(ordered: Array, width: int, middle: Array) -> None:
    """Find the two deviations in the middle, less half of the gap between the two values in the middle.

    Of an odd number of values they are the same, the median deviation.
    """
    n = ordered.shape[0]
    half = (n + 1) // 2
    near, far, kind = middle[0], middle[1], middle.dtype.type
    lower, upper = ordered[half - 1], ordered[n - half]
    for j in range(width):
        near[j] = 0
        far[j] = ordered[n - 1, j] - ordered[0, j]
    for k in range(n - half):
        below, above = ordered[k], ordered[k + half]
        for j in range(width):
            down, up = kind(lower[j] - below[j]), kind(above[j] - upper[j])
            near[j] = np.maximum(near[j], np.minimum(down, up))
            far[j] = np.minimum(far[j], np.maximum(down, up))
    if n % 2:
        far[:width] = near[:width]


@inner
def _expect(ordered: Array, start: int, width: int, rule: Rule, model: Array, expected: Array) -> None:
    """Reckon what the noise model expects: the least scatter for the clip, and the variance of a value."""
    if rule.degrees_of_freedom == 0:
        return
    n, step = ordered.shape[0], 0 if model.shape[1] == 1 else 1
    lower, upper = ordered[(n - 1) // 2], ordered[n // 2]
    for j in range(width):
        light = max((np.float64(lower[j]) + np.float64(upper[j])) / 2 + rule.origin, 0.0)
        i = (start + j) * step
        expected[0, j] = np.sqrt(max(model[0, i] + model[1, i] * light, rule.quantisation))
        expected[1, j] = model[2, i] + model[3, i] * light


@inner
def _finish(
    ordered: Array, start: int, width: int, total: Array, squares: Array, rule: Rule, prior: Array, to: Result
) -> None:
    """Turn the sums of a block into the results of pixels that keep all of their values."""
    n = ordered.shape[0]
    lower, upper = ordered[(n - 1) // 2], ordered[n // 2]
    value, uncertainty = to.value[start : start + width], to.uncertainty[start : start + width]
    to.n_used[start : start + width] = n
    if rule.median:
        for j in range(width):
            value[j] = rule.origin + (np.float64(lower[j]) + np.float64(upper[j])) / 2
    else:
        for j in range(width):
            value[j] = rule.origin + np.float64(lower[j]) + np.float64(total[j]) / n
    freedom = rule.degrees_of_freedom + n - 1
    if freedom == 0:
        uncertainty[:] = np.inf
        return
    kind = squares.dtype.type
    per_value, per_freedom, weight = kind(1 / n), kind(1 / freedom), kind(rule.degrees_of_freedom)
    least, shrink = kind(rule.least_variance), kind((_efficiency(n) if rule.median else 1.0) / n)
    for j in range(width):
        t = kind(total[j])
        spread = np.maximum(squares[j] - t * t * per_value, kind(0))
        uncertainty[j] = np.sqrt(np.maximum((weight * prior[j] + spread) * per_freedom, least) * shrink)


@inner
def _keep_all(ordered: Array, rule: Rule, kept: Array) -> None:
    n = ordered.shape[0]
    for j in range(kept.shape[1]):
        kept[0, j], kept[1, j] = ordered[0, j], ordered[n - 1, j]
        kept[2, j] = max(_middle(ordered, j, 0, n) + rule.origin, 0.0)


@inner
def _outlying(ordered: Array, width: int, middle: Array, rule: Rule, floor: Array, doubt: Array, hits: Array) -> int:
    """List the pixels where a value may lie too far from the median, or is missing; return how many there are."""
    n, kind = ordered.shape[0], floor.dtype.type
    least, most, lower, upper = ordered[0], ordered[n - 1], ordered[(n - 1) // 2], ordered[n // 2]
    near, far = middle[0], middle[1]
    low, high, to_sigma = kind(rule.low), kind(rule.high), kind(MAD_TO_SIGMA)
    # An infinite margin keeps all values, but not what stands for those that are missing.
    margin_low, margin_high = kind(min(rule.margin_low, _MOST)), kind(min(rule.margin_high, _MOST))
    half, more = kind(0.5), kind(1 + _SLACK)
    for j in range(width):
        gap = half * (kind(upper[j]) - kind(lower[j]))
        scatter = np.maximum(to_sigma * (gap + half * (kind(near[j]) + kind(far[j]))), floor[j])
        below = more * (gap + (kind(lower[j]) - kind(least[j]))) - low * scatter
        above = more * (gap + (kind(most[j]) - kind(upper[j]))) - high * scatter
        doubt[j] = not (below <= margin_low and above <= margin_high)
    n_hits = 0
    for j in range(width):
        hits[n_hits] = j
        n_hits += doubt[j]
    return n_hits


@inner
def _redo(
    ordered: Array, j: int, pixel: int, known: float, rule: Rule, model: Array, to: Result
) -> tuple[Any, Any, int, float]:
    """Combine one pixel value by value; return the least and the most kept, how many are rejected, and the light.

    ``known`` is the median deviation of all values, exactly, or NaN.
    """
    n_valid = ordered.shape[0]
    while n_valid > 0 and ordered[n_valid - 1, j] == np.inf:
        n_valid -= 1
    first, last = 0, n_valid
    centre = np.nan
    step = 0 if model.shape[1] == 1 else 1
    constant, photon, mean_constant, mean_photon = model[:4, pixel * step]
    light = 0.0
    for number in range(rule.passes + 1):
        if first == last:
            break
        centre = _middle(ordered, j, first, last)
        light = max(centre + rule.origin, 0.0) if number == 0 else light
        if number == rule.passes:
            break
        floor = max(constant + photon * light, rule.quantisation) if rule.degrees_of_freedom > 0 else 0.0
        deviation = _median_deviation(ordered, j, first, last, centre) if np.isnan(known) else known
        known = np.nan  # it was that of all values
        scatter = max(MAD_TO_SIGMA * deviation, np.sqrt(floor))
        n = last - first
        while first < last and centre - np.float64(ordered[first, j]) > rule.low * scatter + rule.margin_low:
            first += 1
        while first < last and np.float64(ordered[last - 1, j]) - centre > rule.high * scatter + rule.margin_high:
            last -= 1
        if last - first == n:
            break
    _result_of(ordered, j, first, last, centre, mean_constant + mean_photon * light, pixel, rule, to)
    return ordered[first, j], ordered[last - 1, j], n_valid - (last - first), light


@inner
def _result_of(
    ordered: Array,
    j: int,
    first: int,
    last: int,
    centre: float,
    prior: float,
    pixel: int,
    rule: Rule,
    to: Result,
) -> None:
    n = last - first
    to.n_used[pixel] = n
    if n == 0:
        to.value[pixel], to.uncertainty[pixel] = np.nan, np.inf
        return
    total, squares = 0.0, 0.0
    for i in range(first, last):
        d = np.float64(ordered[i, j]) - centre
        total += d
        squares += d * d
    offset = total / n
    freedom = rule.degrees_of_freedom + n - 1
    spread = max(squares - total * offset, 0.0)
    variance = max((rule.degrees_of_freedom * prior + spread) / freedom, rule.least_variance) if freedom > 0 else np.inf
    to.value[pixel] = rule.origin + centre + (0.0 if rule.median else offset)
    to.uncertainty[pixel] = np.sqrt(variance * (_efficiency(n) if rule.median else 1.0) / n)


@inner
def _middle(ordered: Array, j: int, first: int, last: int) -> float:
    n = last - first
    return (np.float64(ordered[first + (n - 1) // 2, j]) + np.float64(ordered[first + n // 2, j])) / 2


@inner
def _median_deviation(ordered: Array, j: int, first: int, last: int, centre: float) -> float:
    """Take the largest deviation off, at one end or the other, until the middle ones are left."""
    n = last - first
    deviation = 0.0
    above = 0.0
    for rank in range(n - 1, (n - 1) // 2 - 1, -1):
        below_centre = centre - np.float64(ordered[first, j])
        above_centre = np.float64(ordered[last - 1, j]) - centre
        deviation = max(below_centre, above_centre)
        if below_centre > above_centre:
            first += 1
        else:
            last -= 1
        if rank == n // 2:
            above = deviation
    return (deviation + above) / 2


@inner
def _efficiency(n: int) -> float:
    """Return the variance of the median of ``n`` Gaussian values over that of their mean, within 3 %."""
    return np.pi / 2 * n / (n + (np.pi / 2 - 1 if n % 2 else np.pi - 2))
