"""The inner loops of combining, compiled to machine code.

The values of each pixel are sorted by a network of compare-exchanges of whole rows, which the compiler turns
into vector instructions. Of sorted values the median is a row, and the median absolute deviation costs one more
pass: deviations fall, then rise, so that the smaller half of them is ``min(d[k], d[k + n/2])``. All of this is done
for blocks that stay in the processor's cache. Pixels where a value is missing or was rejected are then done
again, one by one. Everything is in this one module, because the cache of compiled code is renewed by module.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccdcore._compiled import compiled, inner

Array = npt.NDArray[Any]

MAD_TO_SIGMA = 1.482602218505602
"""1/Φ⁻¹(3/4): the standard deviation of a Gaussian in units of its median absolute deviation."""

_BLOCK_BYTES = 2**16
_LEAST_BLOCK, _MOST_BLOCK = 128, 1024


class Rule(NamedTuple):
    """What is kept, and how its uncertainty is reckoned; all in units of the combined values.

    Parameters
    ----------
    low, high : float
        Thresholds in units of the scatter.
    margin_low, margin_high : float
        What is allowed beyond them.
    quantisation : float
        Least variance of a value.
    degrees_of_freedom : float
        Those that the noise model counts for.
    passes : int
        How often values are clipped at most.
    median : bool
        The result is the median of the kept values, not their mean.
    origin : float
        Added to the result.
    """

    low: float
    high: float
    margin_low: float
    margin_high: float
    quantisation: float
    degrees_of_freedom: float
    passes: int
    median: bool
    origin: float


class Result(NamedTuple):
    """Where the results of some pixels go, and the counts of each frame."""

    value: Array
    uncertainty: Array
    n_used: Array
    n_rejected: Array
    n_valid: Array


def network(n: int) -> npt.NDArray[np.int64]:
    """Return the compare-exchanges that sort ``n`` values: Batcher's merge exchange (Knuth 5.2.2, algorithm M)."""
    pairs: list[tuple[int, int]] = []
    top = 1 << max(n - 1, 0).bit_length() >> 1
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while d > 0:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


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
        The `network` for as many frames.
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
    here = np.empty((4, size))
    ordered, scratch = np.empty((n_frames, size), np.uint16), np.empty((4, size), np.uint16)
    total, squares = np.empty(size, np.int32), np.empty(size, np.float32)
    hit, kept = np.empty(size, np.int64), np.empty((2, size), np.uint16)
    for start in range(0, n_pixels, size):
        width = min(size, n_pixels - start)
        _spread(model, start, width, here)
        for k in range(n_frames):
            _decode(raw[k, start : start + width], swap[k], flip[k], ordered[k])
        _sort(ordered, pairs, width)
        _half_deviations(ordered, width, scratch)
        lower = ordered[(n_frames - 1) // 2]
        total[:width] = 0
        squares[:width] = 0
        for k in range(n_frames):
            row = ordered[k]
            for j in range(width):
                d = np.int32(row[j]) - np.int32(lower[j])
                total[j] += d
                squares[j] += np.float32(d) * np.float32(d)
        n_hit = _finish(ordered, start, width, scratch, total, squares, rule, here, to, hit, kept)
        for i in range(n_hit):
            j = hit[i]
            for k in range(n_frames):
                x = raw[k, start + j]
                x = np.uint16(np.uint16((x << 8) | (x >> 8)) if swap[k] else x) ^ flip[k]
                to.n_rejected[k] += x < kept[0, i] or x > kept[1, i]


@compiled
def combine_floats(values: Array, pairs: Array, rule: Rule, model: Array, to: Result) -> None:
    """Combine floating-point numbers, of shape (frames, pixels); those that are not finite are missing.

    Other parameters are those of `combine_integers`.
    """
    n_frames, n_pixels = values.shape
    size = _block_size(n_frames, values.itemsize)
    here = np.empty((4, size))
    ordered, scratch = np.empty((n_frames, size), values.dtype), np.empty((4, size), values.dtype)
    total, squares = np.empty(size, np.float64), np.empty(size, np.float64)
    hit, kept = np.empty(size, np.int64), np.empty((2, size), values.dtype)
    for start in range(0, n_pixels, size):
        width = min(size, n_pixels - start)
        _spread(model, start, width, here)
        for k in range(n_frames):
            source, row = values[k, start : start + width], ordered[k]
            n_valid = 0
            for j in range(width):
                x = source[j]
                finite = x - x == 0
                n_valid += finite
                row[j] = x if finite else np.inf
            to.n_valid[k] += n_valid
        _sort(ordered, pairs, width)
        _half_deviations(ordered, width, scratch)
        lower = ordered[(n_frames - 1) // 2]
        total[:width] = 0
        squares[:width] = 0
        for k in range(n_frames):
            row = ordered[k]
            for j in range(width):
                d = np.float64(row[j]) - np.float64(lower[j])
                total[j] += d
                squares[j] += d * d
        n_hit = _finish(ordered, start, width, scratch, total, squares, rule, here, to, hit, kept)
        for i in range(n_hit):
            for k in range(n_frames):
                x = values[k, start + hit[i]]
                to.n_rejected[k] += x - x == 0 and (x < kept[0, i] or x > kept[1, i])


@inner
def _block_size(n_frames: int, item_size: int) -> int:
    return min(max(_BLOCK_BYTES // (item_size * n_frames), _LEAST_BLOCK), _MOST_BLOCK)


@inner
def _spread(model: Array, start: int, width: int, here: Array) -> None:
    """Copy what the noise model says of a block, one value for all pixels or one for each."""
    step = 0 if model.shape[1] == 1 else 1
    for i in range(4):
        for j in range(width):
            here[i, j] = model[i, (start + j) * step]


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
def _half_deviations(ordered: Array, width: int, scratch: Array) -> None:
    """Find the two deviations in the middle, less half of the gap between the two values in the middle.

    They are left in the first two rows of ``scratch``; the first is the median deviation of an odd number of values.
    """
    n = ordered.shape[0]
    half = (n + 1) // 2
    near, far, down, up = scratch[0], scratch[1], scratch[2], scratch[3]
    lower, upper = ordered[half - 1], ordered[n - half]
    near[:width] = 0
    far[:width] = 0
    for k in range(n - half):
        below, above = ordered[k], ordered[k + half]
        for j in range(width):
            down[j] = lower[j] - below[j]
            up[j] = above[j] - upper[j]
        if k == 0:
            for j in range(width):
                far[j] = np.maximum(down[j], up[j])
        for j in range(width):
            near[j] = np.maximum(near[j], np.minimum(down[j], up[j]))
            far[j] = np.minimum(far[j], np.maximum(down[j], up[j]))


@inner
def _finish(
    ordered: Array,
    start: int,
    width: int,
    scratch: Array,
    total: Array,
    squares: Array,
    rule: Rule,
    model: Array,
    to: Result,
    hit: Array,
    kept: Array,
) -> int:
    """Turn sums into results; return in how many pixels values were rejected: ``hit`` says where, ``kept`` what not."""
    n = ordered.shape[0]
    near, far, again = scratch[0], scratch[1], scratch[2]
    least, most, lower, upper = ordered[0], ordered[n - 1], ordered[(n - 1) // 2], ordered[n // 2]
    value, uncertainty = to.value[start : start + width], to.uncertainty[start : start + width]
    constant, photon, mean_constant, mean_photon = model[0], model[1], model[2], model[3]
    even = 1.0 - n % 2
    freedom = rule.degrees_of_freedom + n - 1
    shrink = (_efficiency(n) if rule.median else 1.0) / n
    to.n_used[start : start + width] = n
    for j in range(width):
        low, high = np.float64(lower[j]), np.float64(upper[j])
        centre = (low + high) / 2
        half = (np.float64(far[j]) - np.float64(near[j])) / 2 + centre - low
        deviation = np.float64(near[j]) + even * half
        light = np.maximum(centre + rule.origin, 0.0)
        floor = np.maximum(constant[j] + photon[j] * light, rule.quantisation)
        scatter = np.maximum(MAD_TO_SIGMA * deviation, np.sqrt(floor))
        below = centre - np.float64(least[j]) - rule.low * scatter
        above = np.float64(most[j]) - centre - rule.high * scatter
        again[j] = (not below <= rule.margin_low) | (not above <= rule.margin_high)
        offset = np.float64(total[j]) / n
        spread = np.maximum(np.float64(squares[j]) - np.float64(total[j]) * offset, 0.0)
        prior = mean_constant[j] + mean_photon[j] * light
        variance = np.maximum((rule.degrees_of_freedom * prior + spread) / freedom, rule.quantisation)
        value[j] = rule.origin + (centre if rule.median else low + offset)
        uncertainty[j] = np.sqrt(variance * shrink)
    if freedom == 0:
        uncertainty[:] = np.inf
    n_hit = 0
    for j in range(width):
        if again[j]:
            first, last, n_valid = _redo(ordered, j, start + j, rule, model, to)
            if last - first < n_valid:
                hit[n_hit], kept[0, n_hit], kept[1, n_hit] = j, ordered[first, j], ordered[last - 1, j]
                n_hit += 1
    return n_hit


@inner
def _redo(ordered: Array, j: int, pixel: int, rule: Rule, model: Array, to: Result) -> tuple[int, int, int]:
    """Combine one pixel value by value; return the range of the sorted values that was kept, and how many there are."""
    n_valid = ordered.shape[0]
    while n_valid > 0 and ordered[n_valid - 1, j] == np.inf:
        n_valid -= 1
    first, last = 0, n_valid
    centre = np.nan
    light = 0.0
    for number in range(rule.passes + 1):
        if first == last:
            break
        centre = _middle(ordered, j, first, last)
        light = max(centre + rule.origin, 0.0) if number == 0 else light
        if number == rule.passes:
            break
        floor = model[0, j] + model[1, j] * light
        deviation = _median_deviation(ordered, j, first, last, centre)
        scatter = max(MAD_TO_SIGMA * deviation, np.sqrt(max(floor, rule.quantisation)))
        n = last - first
        while first < last and centre - np.float64(ordered[first, j]) > rule.low * scatter + rule.margin_low:
            first += 1
        while first < last and np.float64(ordered[last - 1, j]) - centre > rule.high * scatter + rule.margin_high:
            last -= 1
        if last - first == n:
            break
    _result_of(ordered, j, first, last, centre, light, pixel, rule, model, to)
    return first, last, n_valid


@inner
def _result_of(
    ordered: Array,
    j: int,
    first: int,
    last: int,
    centre: float,
    light: float,
    pixel: int,
    rule: Rule,
    model: Array,
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
    prior = model[2, j] + model[3, j] * light
    spread = max(squares - total * offset, 0.0)
    variance = max((rule.degrees_of_freedom * prior + spread) / freedom, rule.quantisation) if freedom > 0 else np.inf
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
