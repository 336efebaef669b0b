"""Which frames of a master are not like the others; a majority rules, whatever the order of the frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ccdcore.consistency.blocks import BlockResiduals, median_of_known

Array = npt.NDArray[np.float64]
Kept = npt.NDArray[np.bool_]

FEWEST = 3
"""Of fewer frames nobody can say which is the odd one."""

_WIDTHS = 1, 2, 4, 8, 16
"""Boxes of so many blocks each way are looked at, wherever they fit."""

SIGNIFICANT = 6.5
"""σ that the mean of a box must be off: of some ten thousand boxes none is by chance."""
_OF_NOISE_ALONE = 5.5
"""σ that the largest of all boxes of one frame has by chance."""

_BEYOND_OTHERS = 6.0
"""So many times what the others differ by, where they differ by more than noise."""

_END_OVER_RMS = 3**0.5
"""Of a gradient."""

_LEAST_OF_NOISE, _LEAST_OF_LIGHT = 0.05, 5e-4
"""A frame that is off by less does no harm: in units of its noise in one pixel; and of the light of a flat."""

_LARGEST_OFFSET = 0.5
"""How far the level of a bias or dark may lie from that of the others, in units of the noise of one pixel."""

_SCATTER = 1.2
"""How many times the scatter of others of its light a frame may have, or they its."""
_SAME_LIGHT = 0.1
_AS_SENSITIVE = 1.5
_MOST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Place:
    """A box of blocks, and what is found there.

    Parameters
    ----------
    rows, columns : slice
        Of pixels.
    off : float
        Mean of what is left of a frame there when the others are taken off, in the unit of the master.
    response : float
        Mean of the master there, in its unit.
    sigma : float
        Uncertainty of ``off``.
    """

    rows: slice
    columns: slice
    off: float
    response: float
    sigma: float

    def __str__(self) -> str:
        """Say where it is, as people count: rows and columns from 1."""
        return (
            f"rows {self.rows.start + 1} to {self.rows.stop}, columns {self.columns.start + 1} to {self.columns.stop}"
        )


@dataclass(frozen=True, slots=True)
class Culprits:
    """Which frames are not like the others.

    Parameters
    ----------
    pattern : dict of int to Place
        Number of each frame whose pattern is another one → where it is off most.
    level : dict of int to float
        Number of each frame whose level is another one → by how much, in the unit of the master.
    scatter : dict of int to float
        Number of each frame whose pixels scatter more, or less, → how many times as much as those of the others.
    """

    pattern: dict[int, Place]
    level: dict[int, float]
    scatter: dict[int, float]

    @property
    def numbers(self) -> list[int]:
        """The numbers of all of them, in order."""
        return sorted({*self.pattern, *self.level, *self.scatter})


_NOWHERE = Place(slice(0, 0), slice(0, 0), 0.0, 0.0, 0.0)


def find_culprits(blocks: BlockResiduals, scales: Sequence[float], kind: str) -> Culprits:
    """Tell the frames that are not like most of the others.

    Each frame is compared with the mean of the others that are alike (leave-one-out), in boxes of many sizes: the
    largest deviation must be beyond noise, and far beyond what the others differ by. First of all, the median of the
    frames stands for the others, so that several culprits do not hide each other.

    Parameters
    ----------
    blocks : BlockResiduals
        Of the frames of a master; the unit of the master.
    scales : sequence of float, shape (frames,)
        What each frame was multiplied by.
    kind : {"bias", "dark", "flat"}
        Of the master. Levels of flats are scaled away, and tell nothing.

    Returns
    -------
    Culprits
        None of fewer than three frames.
    """
    n = len(blocks.mean)
    if n < FEWEST:
        return Culprits({}, {}, {})
    found, _ = _judged(blocks, _from_the_median(blocks), np.ones(n, bool), scales, kind)
    found, doubts = _settled(blocks, found, scales, kind)
    # What one frame does to the mean of few hides it a little: the one most in doubt is left out on trial.
    while 2 * (len(found.numbers) + 1) < n and doubts.max() > 0:
        most = int(np.argmax(doubts))
        on_trial = replace(found, pattern=found.pattern | {most: _NOWHERE})
        tried, doubts = _settled(blocks, on_trial, scales, kind)
        if most not in tried.numbers or len(tried.numbers) <= len(found.numbers):
            break
        found = tried
    return found


def _settled(blocks: BlockResiduals, found: Culprits, scales: Sequence[float], kind: str) -> tuple[Culprits, Array]:
    """Judge frames by the others until these are the same as before; return how doubtful the others are, too."""
    n = len(blocks.mean)
    doubts = np.zeros(n)
    for _ in range(_MOST_ROUNDS):
        kept = np.ones(n, bool)
        kept[found.numbers] = False
        if 2 * np.count_nonzero(kept) <= n:
            break
        before = found
        found, beyond = _judged(blocks, from_the_others(blocks, kept), kept, scales, kind)
        doubts = np.where(kept, beyond, 0.0)
        doubts[found.numbers] = 0.0
        if found.numbers == before.numbers:
            break
    return found, doubts


def from_the_others(blocks: BlockResiduals, kept: Kept) -> tuple[Array, Array]:
    """Return what each frame differs by from the mean of the other frames that are kept, and one over its variance.

    Parameters
    ----------
    blocks : BlockResiduals
        Of the frames; the unit is that of their master.
    kept : ndarray of bool, shape (frames,)
        Which of them make the mean. One of these is compared with the rest.

    Returns
    -------
    off, weight : ndarray, shape (frames, blocks down, blocks across)
        In the unit of the master, and to the power of −2; the weight is 0 where nothing can be told.
    """
    weight = np.where(kept[:, None, None], blocks.weight, 0.0)
    rest = weight.sum(axis=0) - weight
    of_rest = (weight * blocks.mean).sum(axis=0) - weight * blocks.mean
    told = (rest > 1e-9 * weight.sum(axis=0)) & (blocks.weight > 0)
    off = np.where(told, blocks.mean - np.divide(of_rest, rest, out=np.zeros_like(rest), where=told), 0.0)
    both = np.divide(blocks.weight * rest, blocks.weight + rest, out=np.zeros_like(rest), where=told)
    return off, both


def about_levels(off: Array, weight: Array) -> tuple[Array, Array]:
    """Part values of blocks into the median of each frame, shape (frames,), and what is left, in the unit they have.

    Parameters
    ----------
    off, weight : ndarray, shape (frames, blocks down, blocks across)
        Blocks of weight 0 tell nothing.
    """
    levels = median_of_known(np.where(weight > 0, off, np.nan), (1, 2))
    return levels, np.where(weight > 0, off - levels[:, None, None], 0.0)


def chi_square(blocks: BlockResiduals, kept: Kept) -> float:
    """Return χ² per degree of freedom of the blocks of frames about their mean, of frames that are kept.

    Parameters
    ----------
    blocks : BlockResiduals
        Of the frames.
    kept : ndarray of bool, shape (frames,)
        Which of them; the unit of the result is 1.
    """
    weight = blocks.weight[kept]
    total = weight.sum(axis=0)
    mean = np.divide((weight * blocks.mean[kept]).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    freedom = np.fmax((weight > 0).sum(axis=0) - 1, 0).sum()
    return float((weight * (blocks.mean[kept] - mean) ** 2).sum() / max(freedom, 1))


def boxes(off: Array, weight: Array) -> Iterator[tuple[int, int, Array, Array]]:
    """Yield the means of boxes of blocks: height and width in blocks, weighted means, and their uncertainties.

    Parameters
    ----------
    off, weight : ndarray, shape (frames, blocks down, blocks across)
        Values in any unit, and one over their variances. Means have the shape (frames, places down, places across);
        uncertainties are infinite where nothing is known.
    """
    _, rows, columns = off.shape
    for width in _WIDTHS:
        if width > 1 and 2 * width > max(rows, columns):
            return
        high, wide = min(width, rows), min(width, columns)
        total = _in_boxes(weight, high, wide)
        known = total > 0.5 * np.median(total, axis=(1, 2), keepdims=True)
        known &= total > 0
        mean = np.divide(_in_boxes(weight * off, high, wide), total, out=np.zeros_like(total), where=known)
        yield high, wide, mean, np.sqrt(np.divide(1, total, out=np.full_like(total, np.inf), where=known))


def place(blocks: BlockResiduals, at: tuple[int, int], size: tuple[int, int], off: float, sigma: float) -> Place:
    """Return a box of blocks as a place among the pixels; ``off`` and ``sigma`` are in the unit of the master.

    ``at`` and ``size`` are blocks down and across, shape (2,) each.
    """
    (down, across), (high, wide) = at, size
    response = float(blocks.response[down : down + high, across : across + wide].mean())
    rows, columns = (
        slice(int(edges[start]), int(edges[start + length]))
        for edges, start, length in ((blocks.rows, down, high), (blocks.columns, across, wide))
    )
    return Place(rows, columns, off, response, sigma)


def tolerance(blocks: BlockResiduals, size: tuple[int, int], of_noise: float, of_light: float) -> Array:
    """Return what boxes of a size may be off by: so many times the noise of one pixel, or parts of the light if more.

    Parameters
    ----------
    blocks : BlockResiduals
        Of the frames; the result, shape (places down, places across), is in the unit of their master.
    size : tuple of int
        Blocks down and across.
    of_noise, of_light : float
        How much of either.
    """
    cells = size[0] * size[1]
    noise, light = (_in_boxes(one[None], *size)[0] / cells for one in (blocks.pixel_noise, blocks.response))
    return np.asarray(np.fmax(of_noise * noise, of_light * np.abs(light)))


def _from_the_median(blocks: BlockResiduals) -> tuple[Array, Array]:
    known = blocks.weight > 0
    middle = median_of_known(np.where(known, blocks.mean, np.nan), (0,))
    return np.where(known, blocks.mean - middle, 0.0), blocks.weight


def _judged(
    blocks: BlockResiduals, compared: tuple[Array, Array], kept: Kept, scales: Sequence[float], kind: str
) -> tuple[Culprits, Array]:
    """Judge every frame by what it differs by from the others; return how far its pattern is beyond what is allowed."""
    off, weight = compared
    levels, shape = about_levels(off, weight)
    pattern, beyond = _of_other_pattern(blocks, shape, weight, kept, kind)
    noise = float(np.median(blocks.pixel_noise[blocks.pixel_noise > 0])) if blocks.pixel_noise.any() else 0.0
    level = {} if kind == "flat" else _of_other_level(levels, noise * np.sqrt(blocks.pixel_variance), kept)
    return Culprits(pattern, level, _of_other_scatter(blocks.pixel_variance, np.asarray(scales), kept)), beyond


def _of_other_pattern(
    blocks: BlockResiduals, off: Array, weight: Array, kept: Kept, kind: str
) -> tuple[dict[int, Place], Array]:
    worst, where = np.zeros(len(off)), dict[int, Place]()
    noises, of_light = np.sqrt(blocks.pixel_variance)[:, None, None], _LEAST_OF_LIGHT if kind == "flat" else 0.0
    for high, wide, mean, sigma in boxes(off, weight):
        usual = _of_others(mean, sigma, kept)
        least = tolerance(blocks, (high, wide), _LEAST_OF_NOISE, of_light) * noises
        limit = np.sqrt((SIGNIFICANT * sigma) ** 2 + (_BEYOND_OTHERS * usual[:, None, None]) ** 2 + least**2)
        beyond = np.abs(mean) / limit
        for n, here in enumerate(beyond):
            at = np.unravel_index(int(np.argmax(here)), here.shape)
            if here[at] > worst[n]:
                worst[n], corner = here[at], (int(at[0]), int(at[1]))
                where[n] = place(blocks, corner, (high, wide), float(mean[n][at]), float(sigma[n][at]))
    return {n: one for n, one in sorted(where.items()) if worst[n] > 1}, worst


def _of_others(mean: Array, sigma: Array, kept: Kept) -> Array:
    """Return what the others of each frame differ by, beyond noise: the median of them.

    Of each, in its worst box, or as a gradient from end to end that is as large as its RMS over all boxes. What a
    frame of more noise might hide counts.
    """
    squares, noise2 = np.square(mean), np.where(np.isfinite(sigma), sigma, 0.0) ** 2
    in_worst = (squares - _OF_NOISE_ALONE**2 * noise2).max(axis=(1, 2))
    of_gradient = _END_OVER_RMS**2 * (squares.mean(axis=(1, 2)) - noise2.mean(axis=(1, 2)))
    beyond = np.sqrt(np.fmax(np.fmax(in_worst, of_gradient), 0))
    largest, typical = np.sqrt(squares.max(axis=(1, 2))), np.sqrt(np.median(noise2, axis=(1, 2)))
    usual = np.zeros(len(mean))
    for n in range(len(mean)):
        others = kept & (np.arange(len(mean)) != n)
        seen = np.where(typical <= _AS_SENSITIVE * typical[n], beyond, largest)
        usual[n] = np.median(seen[others]) if others.any() else np.inf
    return usual


def _of_other_level(levels: Array, noises: Array, kept: Kept) -> dict[int, float]:
    found = {}
    for n, (level, noise) in enumerate(zip(levels.tolist(), noises.tolist(), strict=True)):
        others = levels[kept & (np.arange(len(levels)) != n)]
        usual = float(np.median(np.abs(others - np.median(others)))) if others.size else np.inf
        if abs(level) > np.hypot(_LARGEST_OFFSET * noise, _BEYOND_OTHERS * usual):
            found[n] = level
    return found


def _of_other_scatter(variances: Array, scales: Array, kept: Kept) -> dict[int, float]:
    """Compare the scatter of pixels with that of others of the same light."""
    found, widths = {}, np.log(np.sqrt(variances))
    for n, width in enumerate(widths.tolist()):
        others = kept & (np.arange(len(widths)) != n) & (np.abs(scales / scales[n] - 1) < _SAME_LIGHT)
        if np.count_nonzero(others) < FEWEST - 1:
            continue
        usual = float(np.median(widths[others]))
        spread = float(np.median(np.abs(widths[others] - usual)))
        if abs(width - usual) > np.hypot(np.log(_SCATTER), _BEYOND_OTHERS * spread):
            found[n] = float(np.exp(width - usual))
    return found


def _in_boxes(values: Array, high: int, wide: int) -> Array:
    """Return the sums in all boxes of a size, shape (frames, places down, places across)."""
    inner = values.cumsum(axis=1).cumsum(axis=2)
    sums = np.zeros((len(inner), inner.shape[1] + 1, inner.shape[2] + 1), inner.dtype)
    sums[:, 1:, 1:] = inner
    return np.asarray(sums[:, high:, wide:] - sums[:, :-high, wide:] - sums[:, high:, :-wide] + sums[:, :-high, :-wide])
