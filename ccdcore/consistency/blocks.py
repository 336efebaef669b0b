"""What is left of the frames of a master, averaged over blocks: there a faint, extended fault shows.

A spot of one percent of the pixels, off by the noise of one of them, is lost among pixels, and many times the noise of
a block. A table of blocks is small: any number of ways to leave frames out cost no second look at pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import binary_dilation, uniform_filter

from ccdcore.consistency.residuals import difference, scale_to
from ccdcore.reduction.master import Darks, Master
from ccdcore.reduction.reduce import CalibrationFrame, ReducedPixels

Image = npt.NDArray[Any]

_MOST_BLOCKS, _LEAST_SIDE = 32, 8
"""Along an axis; rows or columns of a block."""

_MOST_PIXELS = 2**22
"""Of a larger frame so many are looked at: some neighbouring rows of each block."""

_LEAST_SHARE = 0.25
"""Of the pixels of a block that must be usable."""

_CLIP = 5.0, 7.0
"""Least and most σ of a pixel from which on it is off, whatever the clip of the master."""

_LEAST_OWN = 0.1
"""Of a frame that is nearly all of the mean little is left to look at."""

_COMPANY, _SURROUNDINGS = 7, 3
"""So many pixels of a square of nine must be off, where one is part of a spot; how far a star reaches beyond it."""


_DEAD = 1e-3
"""Variance of a block, over that of most, below which it is that of rounding errors: a dead amplifier."""

_SAME_LIGHT, _ENOUGH_BLOCKS, _LARGER = 0.25, 8, 1.3
"""How far blocks of one light are apart, relative; so many around one limit its noise, to so many times theirs."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockResiduals:
    """What is left of frames when a master is taken off, averaged over blocks.

    Parameters
    ----------
    mean : ndarray of float64, shape (frames, blocks down, blocks across)
        In the master's unit; 0 where a block tells nothing.
    weight : ndarray of float64, shape (frames, blocks down, blocks across)
        One over the variance of `mean` by the noise of its frame alone, in the master's unit to the power of −2;
        0 where a block tells nothing.
    pixel_variance : ndarray of float64, shape (frames,)
        Variance of one pixel of each frame, over that of a typical one of the others in the same place: 1 where all
        are alike.
    pixel_noise : ndarray of float64, shape (blocks down, blocks across)
        Noise of one pixel of a typical frame, in the master's unit.
    response : ndarray of float64, shape (blocks down, blocks across)
        Mean of the master, in its unit.
    rows, columns : ndarray of int, shape (blocks + 1,)
        Where blocks begin, and where the last one ends.
    """

    mean: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    pixel_variance: npt.NDArray[np.float64]
    pixel_noise: npt.NDArray[np.float64]
    response: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


def block_residuals(
    frames: Sequence[CalibrationFrame],
    master: Master,
    *,
    bias: Master | None = None,
    dark: Darks | None = None,
) -> BlockResiduals:
    """Average over blocks what is left of frames when a master is taken off.

    A lone pixel that is farther off than the master's clip allows, 5 to 7 σ, counts for nothing: a cosmic ray. One in
    company, as of a spot of dust, counts as far off as the clip; but in flats those brighter than all around are
    stars, and left out with what surrounds them. The noise of a block is found from the scatter within it; no model
    of it is needed.

    Parameters
    ----------
    frames : sequence of Frame or SeriesFrame
        Inputs of the master, or others of its kind and light; each is read once.
    master : Master
        What is taken off. As it is the same for all frames, it has no part in how they differ from one another.
    bias, dark : Master, optional
        Those that the master was made with.

    Returns
    -------
    BlockResiduals
        Of each frame, in the order given.

    Raises
    ------
    FrameReadError
        If a file cannot be read.
    InsufficientDataError
        If a frame has another shape than the masters that are taken off.
    """
    rows, columns = (_edges(size) for size in master.value.shape)
    bands = list(_bands(master, rows, columns))
    scales = {entry.sha256: entry.scale for entry in master.inputs}
    tables = []
    for frame in frames:
        reduced = ReducedPixels.opened(frame, bias, dark)
        scale = scales.get(frame.sha256) or scale_to(master, reduced)
        share = np.sqrt(_variance_share(scale, master))
        tables.append([_of_band(difference(reduced, scale, master, one.rows), one, share, columns) for one in bands])
    sums: Image = np.array(tables).reshape(len(tables), len(bands), 3, -1)
    n, total, squares = (sums[:, :, k] for k in range(3))
    enough = n > _LEAST_SHARE * np.stack([one.size * np.diff(columns) for one in bands])
    mean = np.divide(total, n, out=np.zeros_like(n), where=enough)
    variance = np.divide(squares, n, out=np.full_like(n, np.nan), where=enough) - mean**2
    variance = np.maximum(variance, 0)
    usual, of_frame = _parted(variance, has_spots=master.kind == "flat")
    weights = {entry.sha256: entry.weight for entry in master.inputs}
    of_frame = _of_frames_alone(of_frame, np.array([weights.get(one.sha256, 0.0) for one in frames]), len(scales))
    response = np.stack([_averages(one.value, one.usable, columns) for one in bands])
    usual = np.where(usual > _DEAD * np.median(usual), usual, 0.0)
    if master.kind == "flat":
        usual = _without_spots(usual, response)
    expected = of_frame[:, None, None] * usual
    weight = np.divide(n, expected, out=np.zeros_like(n), where=enough & (expected > 0))
    return BlockResiduals(mean, weight, of_frame, np.sqrt(usual), response, rows, columns)


class _Band(NamedTuple):
    """The rows of a line of blocks that are looked at, and what the master says of them."""

    rows: slice
    size: int
    value: Image
    usable: Image
    limit: Image
    around: Image
    is_flat: bool


def _edges(size: int) -> npt.NDArray[np.int64]:
    n_blocks = min(_MOST_BLOCKS, max(1, size // _LEAST_SIDE))
    return np.linspace(0, size, n_blocks + 1).astype(np.int64)


def _bands(master: Master, edges: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Iterator[_Band]:
    most = max(_LEAST_SIDE, _MOST_PIXELS // (master.value.shape[1] * (len(edges) - 1)))
    for first, last in pairwise(edges.tolist()):
        size = min(last - first, most)
        start = first + (last - first - size) // 2
        rows = slice(start, start + size)
        # With the uncertainty u of the mean of n values, that of one of them is u √n.
        usable = (master.mask[rows] == 0) & np.isfinite(master.uncertainty[rows]) & (master.n_used[rows] > 1)
        noise = np.where(usable, master.uncertainty[rows], 0) * np.sqrt(master.n_used[rows], dtype=np.float32)
        usable &= noise > 0
        limit = noise * np.float32(np.clip(max(master.clip_sigma), *_CLIP))
        value, is_flat = master.value[rows], master.kind == "flat"
        around = _surroundings(value, usable, columns) if is_flat else limit
        yield _Band(rows, size, value, usable, limit, around, is_flat)


def _variance_share(scale: float, master: Master) -> float:
    """Return the variance of scaled values over what the mean has of the inputs': s of photons, s² of read noise."""
    power = {"bias": 0, "dark": 2, "flat": 1}.get(master.kind, 0)
    return float(scale**power / np.mean([entry.weight**2 * entry.scale**power for entry in master.inputs]))


def _of_band(left: Image, band: _Band, share: float, columns: npt.NDArray[np.int64]) -> Image:
    """Return the number of the usable pixels of each block, their sum and that of their squares; shape (3, blocks)."""
    left[~band.usable] = np.nan
    limit = band.limit * np.float32(share)
    with np.errstate(invalid="ignore"):
        off = np.abs(left) > limit
    if off.any():
        in_company = off & (uniform_filter(off.astype(np.float32), 3) > (_COMPANY - 0.5) / 9)
        counts = in_company & ~_are_stars(left, limit, band) if band.is_flat else in_company
        left[off & ~counts] = np.nan
        left[counts] = np.copysign(limit[counts], left[counts])
        if band.is_flat and (stars := in_company & ~counts).any():
            left[binary_dilation(stars, np.ones((3, 3)), _SURROUNDINGS)] = np.nan
    usable = np.isfinite(left)
    left[~usable] = 0
    return np.stack([_sums(one, columns) for one in (usable, left, np.square(left))])


def _are_stars(left: Image, limit: Image, band: _Band) -> Image:
    """Return where a flat is brighter than around: a spot of dust that is gone makes it as bright as that."""
    with np.errstate(invalid="ignore"):
        return np.asarray((left > 0) & (band.value + left > band.around + limit / 2))


def _surroundings(value: Image, usable: Image, columns: npt.NDArray[np.int64]) -> Image:
    """Return the third quartile of the usable pixels of each block, for each column of it."""
    parts = (value[:, first:last][usable[:, first:last]] for first, last in pairwise(columns.tolist()))
    quartiles = [np.partition(part, 3 * part.size // 4)[3 * part.size // 4] if part.size else 0 for part in parts]
    return np.repeat(np.array(quartiles, np.float32), np.diff(columns))


def _sums(values: Image, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.add.reduceat(values.sum(axis=0, dtype=np.float64), columns[:-1]))


def _averages(values: Image, usable: Image, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return _sums(np.where(usable, values, 0), columns) / np.maximum(_sums(usable, columns), 1)


def _parted(variance: Image, *, has_spots: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Part variances of a pixel into that of each block, and a factor of each frame.

    A spot of flats that changes adds to the variance of its block in most frames, but not in the one that is like the
    mean. In darks the least variance would be that of a frame whose hot pixels are by chance like the mean.
    """
    of_frame = np.ones(len(variance))
    for _ in range(2):
        usual = median_of_known(variance / of_frame[:, None, None], (0,))
        of_frame = of_frame * median_of_known(
            variance / of_frame[:, None, None] / np.where(usual > 0, usual, np.nan), (1, 2)
        )
        of_frame = np.where(of_frame > 0, of_frame, 1.0)
    if not has_spots:
        return usual, of_frame
    least = np.nan_to_num(np.fmin.reduce(variance / of_frame[:, None, None], axis=0))
    return least * median_of_known(usual / np.where(least > 0, least, np.nan), (0, 1)), of_frame


def _without_spots(variance: npt.NDArray[np.float64], response: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Limit the variance of each block by that of those of its light around it: of dust that moved all frames know."""
    padded = (np.pad(one, 2, constant_values=np.nan) for one in (np.where(variance > 0, variance, np.nan), response))
    variances, responses = (sliding_window_view(one, (5, 5)).reshape(*variance.shape, 25) for one in padded)
    with np.errstate(invalid="ignore"):
        alike = np.abs(responses - response[..., None]) < _SAME_LIGHT * np.abs(response[..., None])
    usual = median_of_known(np.where(alike, variances, np.nan), (2,))
    return np.where(np.count_nonzero(alike, axis=2) >= _ENOUGH_BLOCKS, np.fmin(variance, _LARGER * usual), variance)


def _of_frames_alone(
    of_residuals: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], n_inputs: int
) -> npt.NDArray[np.float64]:
    r"""Return the variances of frames, from those of frames less a mean that some of them are part of.

    With :math:`V_i = \sigma_i^2 (1 - 2 w_i/n) + S`, where :math:`S = \sum w_j^2 \sigma_j^2 / n^2` is the variance of
    the mean, and the weight of a frame that is no input is 0.
    """
    own, is_input = 1 - 2 * weights / n_inputs, weights > 0
    if n_inputs < 3 or not is_input.any():
        return np.asarray(of_residuals * n_inputs / (n_inputs + np.where(is_input, -1, 1)))
    own = np.fmax(own, _LEAST_OWN)
    shares = np.where(is_input, np.square(weights), 0.0) / own / (n_inputs * is_input.sum())
    of_mean = (shares * of_residuals).sum() / (1 + shares.sum())
    return np.asarray(np.fmax((of_residuals - of_mean) / own, of_residuals / 4))


def median_of_known(values: Image, axes: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the median of the finite values along axes, in their unit; 0 where there are none.

    Parameters
    ----------
    values : ndarray
        Of any shape; the result has that of the other axes.
    axes : sequence of int
        The axes that go.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of blocks without a usable pixel
        return np.asarray(np.nan_to_num(np.nanmedian(values, axis=tuple(axes))), dtype=np.float64)
