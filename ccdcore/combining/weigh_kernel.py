"""The inner loops of weighted means, compiled to machine code: what follows the clip, which knows no weights.

Frames of which some have far less noise than others need a second look: what the clip of all keeps may be far beyond
the noise of the frame that it is in, and count most.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.combining.noise_model import Result, Rule
from ccdcore.numerics.compiled import compiled, inner

Array = npt.NDArray[Any]

_MAD_TO_SIGMA = 1.482602218505602
_BLOCK = 512
"""Pixels that are worked on at a time."""

_TOO_FEW_TO_TELL = 2
"""Of so many values that are far from each other nobody knows which is wrong."""


@compiled
def weigh(values: Array, weights: Array, kept: Array, rule: Rule, model: Array, to: Result) -> None:
    """Turn means of values into weighted ones.

    Parameters
    ----------
    values : ndarray of float, shape (frames, pixels)
        As of `ccdcore.combining.combine_kernel.combine_floats`, which comes first and gives ``kept``, too.
    weights : ndarray of float64, shape (3, frames)
        Weight of each frame, 1 in the mean; constant and photon term of its variance over the third and fourth row of
        the model.
    kept : ndarray of float64, shape (3, pixels)
        Least and most value that is kept of each pixel, and its median.
    rule : Rule
        What is kept.
    model : ndarray of float64, shape (6, 1) or (6, pixels)
        The third and fourth row are constant and photon term of what the weighted scatter shows of a value of weight 1,
        the last two what the weighted mean has of it.
    to : Result
        The results, which are renewed.
    """
    n_frames, n_pixels = values.shape
    clips = rule.degrees_of_freedom > 0 and rule.passes > 0
    sums, is_far = np.empty((3, _BLOCK)), np.empty(_BLOCK, np.bool_)
    usable, pulls = np.empty(n_frames, np.bool_), np.empty(n_frames)
    for start in range(0, n_pixels, _BLOCK):
        width = min(_BLOCK, n_pixels - start)
        sums[:] = 0
        is_far[:] = False
        for k in range(n_frames):
            _add(values[k, start : start + width], weights[0, k], start, kept, rule, to, sums)
        if clips:
            for k in range(n_frames):
                _look(values[k, start : start + width], weights[:, k], start, kept, rule, model, to, sums, is_far)
        for j in range(width):
            if to.n_used[start + j] > 0:
                if is_far[j]:
                    _leave_out(values, weights, start + j, kept, rule, model, to, sums[:, j], usable, pulls)
                _finish(start + j, kept[2, start + j], rule, model, to, sums[:, j])


@inner
def _add(row: Array, weight: float, start: int, kept: Array, rule: Rule, to: Result, sums: Array) -> None:
    for j in range(row.size):
        i = start + j
        if kept[0, i] <= row[j] <= kept[1, i]:
            d = np.float64(row[j]) - (to.value[i] - rule.origin)
            sums[0, j] += weight
            sums[1, j] += weight * d
            sums[2, j] += weight * d * d


@inner
def _own_variance(i: int, frame: Array, light: float, total_weight: float, model: Array) -> float:
    """Return the variance of a value of a frame less the mean that it is part of."""
    at = i * (0 if model.shape[1] == 1 else 1)
    own: float = (frame[1] * model[2, at] + frame[2] * model[3, at] * light) * (1 - frame[0] / total_weight)
    return own


@inner
def _limit(off: float, sigma: float, rule: Rule) -> float:
    return rule.margin_high + rule.high * sigma if off > 0 else rule.margin_low + rule.low * sigma


@inner
def _look(
    row: Array,
    frame: Array,
    start: int,
    kept: Array,
    rule: Rule,
    model: Array,
    to: Result,
    sums: Array,
    is_far: Array,
) -> None:
    """Find the pixels where a value is far from the mean for the noise of its own frame."""
    for j in range(row.size):
        i = start + j
        if kept[0, i] <= row[j] <= kept[1, i]:
            off = np.float64(row[j]) - (to.value[i] - rule.origin) - sums[1, j] / sums[0, j]
            sigma = np.sqrt(_own_variance(i, frame, kept[2, i], sums[0, j], model))
            is_far[j] |= sigma > 0 and abs(off) > _limit(off, sigma, rule)


@inner
def _leave_out(
    values: Array,
    weights: Array,
    i: int,
    kept: Array,
    rule: Rule,
    model: Array,
    to: Result,
    sums: Array,
    usable: Array,
    pulls: Array,
) -> None:
    """Leave out, one by one, the value of a pixel that is the farthest, until none is far any more.

    Where the others scatter more than their noise is, by more than such a scatter is uncertain, so may each.
    """
    n, centre = to.n_used[i], to.value[i] - rule.origin
    for k in range(usable.size):
        usable[k] = kept[0, i] <= values[k, i] <= kept[1, i]
    while n > _TOO_FEW_TO_TELL:
        left = values[:, i][usable]
        if left.min() == left.max():  # nothing is far of equal values, from which their mean may differ by rounding
            break
        _pulls_of(values, weights, i, centre, kept[2, i], model, sums, usable, pulls)
        far = int(np.argmax(pulls))
        d, weight, pull = np.float64(values[far, i]) - centre, weights[0, far], pulls[far]
        without = sums - np.array([weight, weight * d, weight * d * d])
        usable[far] = False
        _pulls_of(values, weights, i, centre, kept[2, i], model, without, usable, pulls)
        stretch = max(1.0, _MAD_TO_SIGMA * np.median(pulls[usable]) * (1 - 1 / np.sqrt(n - 1)))
        off = d - sums[1] / sums[0]
        if not (pull > 0 and abs(off) > _limit(off, stretch * abs(off) / pull, rule)):
            break
        sums[:] = without
        to.n_rejected[far] += 1
        n -= 1
    to.n_used[i] = n


@inner
def _pulls_of(
    values: Array,
    weights: Array,
    i: int,
    centre: float,
    light: float,
    model: Array,
    sums: Array,
    usable: Array,
    pulls: Array,
) -> None:
    """Reckon how far the values of a pixel are from their weighted mean, in units of their own noise."""
    pulls[:] = 0
    for k in range(usable.size):
        if usable[k]:
            off = np.float64(values[k, i]) - centre - sums[1] / sums[0]
            pulls[k] = abs(off) / np.sqrt(_own_variance(i, weights[:, k], light, sums[0], model))


@inner
def _finish(i: int, light: float, rule: Rule, model: Array, to: Result, sums: Array) -> None:
    weight, total, squares = sums
    at = i * (0 if model.shape[1] == 1 else 1)
    freedom, shown = rule.degrees_of_freedom + to.n_used[i] - 1, model[2, at] + model[3, at] * light
    spread = max(squares - total * total / weight, 0.0)
    variance = max((rule.degrees_of_freedom * shown + spread) / freedom, rule.least_variance) if freedom > 0 else np.inf
    of_mean = (model[4, at] + model[5, at] * light) / shown if shown > 0 else 1.0
    to.value[i] += total / weight
    to.uncertainty[i] = np.sqrt(variance * of_mean / weight)
