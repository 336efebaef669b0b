"""The independent check of a master before it is released."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.consistency.pattern_check import pattern_remarks
from ccdcore.consistency.residuals import difference, scale_to
from ccdcore.frames.series_health import BIAS_DRIFT_ADU
from ccdcore.masters.stack import common_variance, rounding_variance, some_rows
from ccdcore.numerics.histogram import Histogram
from ccdcore.reduction.master import Darks, MaskBit, Master
from ccdcore.reduction.reduce import CalibrationFrame, ReducedPixels

Image = npt.NDArray[Any]

MOST_WITHOUT_DATA = 0.01
"""Fraction of the data sections that may have no value."""

MOST_REJECTED = 0.02
"""Fraction of one frame's pixels that may be clipped: cosmic rays take less than a tenth of it."""

STARS, MOST_STARS = 3.0, 0.1
"""A flat may lose this many times what most flats of its series lose to stars that move; but no more than so much."""

WIDTH_RANGE = 0.7, 1.4
"""How far a scatter may be from the expected one."""

MUCH_ROUNDED = 3.0
"""Variance of the read noise over that of rounding, below which pixels may well repeat one value: there is no least
scatter."""

LARGEST_OFFSET = 0.5
"""How far a frame may lie from the master, in units of its noise in one pixel."""

_LEAST_OWN = 0.1
"""Of a frame that is nearly all of the mean little is left to look at; in units of the variance of the mean."""

_ENOUGH_PIXELS = 2**20
"""For the scatter of a master and of a frame: some tens of bytes are held for each."""


def check_master(
    master: Master,
    frame: CalibrationFrame,
    *,
    bias: Master | None = None,
    dark: Darks | None = None,
    noise_adu: float | None = None,
    gain_e_per_adu: float | None = None,
) -> tuple[str, ...]:
    """Judge a master by its mask, its rejections, its noise and one frame.

    The frame is held out: where it is one of the master's inputs, its own share
    is taken out of the residual, whose scatter must be that of one frame.

    Parameters
    ----------
    master : Master
        The master.
    frame : Frame or SeriesFrame
        One of its inputs, or another frame of the same light.
    bias, dark : Master, optional
        Those that the master was made with.
    noise_adu, gain_e_per_adu : float, optional
        Read noise (ADU) and gain (e⁻/ADU), when the master's uncertainty is to be compared with them.

    Returns
    -------
    tuple of str
        What is wrong, in words; empty when nothing is.
    """
    rejected = rejected_too_often(master)
    of_rejected = (f"{one.path}: {rejected[one.sha256]}" for one in master.inputs if one.sha256 in rejected)
    remarks = [*_mask_remarks(master), *of_rejected, *_less_than_none(master)]
    (rows,) = some_rows(master.value.shape, _ENOUGH_PIXELS)
    reduced = ReducedPixels.opened(frame, bias, dark)
    left = difference(reduced, scale_to(master, reduced), master, rows)
    whole, master = master, _part(master, rows)
    variance, usable = _variance(master, bias, dark, rows)
    if not usable.any():
        return (f"no pixel of this master {master.kind} has a usable value",)
    rounding = rounding_variance([frame])
    is_hidden = noise_adu is not None and noise_adu**2 < MUCH_ROUNDED * rounding
    least = 0.0 if is_hidden and master.kind == "bias" else WIDTH_RANGE[0]
    expected = None
    if noise_adu is not None and (gain_e_per_adu is not None or master.kind == "bias"):
        expected = _expected_variance(master, noise_adu**2 + rounding, gain_e_per_adu)
        remarks += _noise_remarks(master, variance, usable, expected, noise_adu, least)
    if master.kind == "flat":
        remarks += pattern_remarks(whole, lambda band: _variance(_part(whole, band), bias, dark, band), expected)
    return (*remarks, *_frame_remarks(master, variance, usable, frame, left, least))


def _variance(
    master: Master, bias: Master | None, dark: Darks | None, rows: slice
) -> tuple[Image, npt.NDArray[np.bool_]]:
    """Return the variance of some rows of a master, less that of what was subtracted, and where it tells."""
    variance = np.square(master.uncertainty, dtype=np.float64)
    variance -= common_variance(master.inputs, bias, dark, rows)
    usable = master.good & np.isfinite(variance) & (variance > 0) & (master.n_used > 1)
    return variance, usable


def _less_than_none(master: Master) -> list[str]:
    """Say that a master dark is negative by more than a bias level drifts."""
    good = master.good & np.isfinite(master.value)
    level = float(np.median(master.value[good])) if master.kind == "dark" and good.any() else 0.0
    if level >= -BIAS_DRIFT_ADU:
        return []
    return [
        f"its level is {level:.0f} ADU, less than none: the darks are of another offset than the biases, or a program "
        "took a bias or a dark off them already"
    ]


def _part(master: Master, rows: slice) -> Master:
    """Return some rows of a master."""
    images = {name: getattr(master, name)[rows] for name in ("value", "uncertainty", "mask", "n_used")}
    return replace(master, **images)


def _mask_remarks(master: Master) -> list[str]:
    found = Histogram.of(master.mask)
    bits, counts = found.values.astype(int), found.counts
    inside = (bits & MaskBit.OUTSIDE) == 0
    empty = counts[inside & ((bits & MaskBit.NO_DATA) != 0)].sum() / max(counts[inside].sum(), 1)
    return [f"{empty:.1%} of the pixels have no value in any frame"] if empty > MOST_WITHOUT_DATA else []


def rejected_too_often(master: Master) -> dict[str, str]:
    """Tell the frames that lost more pixels than cosmic rays take, and than most of the others.

    Stars that move between the flats of a twilight are in all of them; nothing is left of them in the master.

    Parameters
    ----------
    master : Master
        Of shape (rows, columns), in any unit.

    Returns
    -------
    dict of str to str
        SHA-256 of each such input → what is wrong with it, in words.
    """
    rejected = [entry.rejected_fraction for entry in master.inputs]
    stars = STARS * median(rejected) if master.kind == "flat" else 0.0
    changed = ", or the pattern changed (condensation that dried, dust that moved)" if master.kind == "flat" else ""
    return {
        entry.sha256: f"{entry.rejected_fraction:.1%} of its pixels were rejected: it does not belong to this "
        f"series{changed}"
        for entry in master.inputs
        if entry.rejected_fraction > min(max(MOST_REJECTED, stars), MOST_STARS)
    }


def _expected_variance(master: Master, dark_variance: float, gain_e_per_adu: float | None) -> tuple[float, float]:
    """Return the variance that the noise model gives one value without light, and for each unit of the value."""
    scales, weights = (np.array([getattr(one, name) for one in master.inputs]) for name in ("scale", "weight"))
    light = 0.0 if master.kind == "bias" or gain_e_per_adu is None else 1 / gain_e_per_adu
    return dark_variance * float(np.mean(weights**2 * scales**2)), light * float(np.mean(weights**2 * scales))


def _noise_remarks(
    master: Master, variance: Image, usable: Image, expected: tuple[float, float], noise_adu: float, least: float
) -> list[str]:
    """Compare the scatter with σ/√N of the noise model."""
    model = expected[0] + expected[1] * np.fmax(master.value[usable], 0)
    ratio = float(np.median(np.sqrt(variance[usable] * master.n_used[usable] / model)))
    if least < ratio < WIDTH_RANGE[1]:
        return []
    return [
        f"its uncertainty is {ratio:.2f} times what a read noise of {noise_adu:.2f} ADU and "
        f"{len(master.inputs)} frames give"
    ]


def _frame_remarks(
    master: Master, variance: Image, usable: Image, frame: CalibrationFrame, difference: Image, least: float
) -> list[str]:
    """Compare one frame with the others: its residual in units of the noise expected of it."""
    n, share = master.n_used[usable].astype(np.float64), _variance_share(frame, master)
    # With the variance u² of the mean, that of one value of this frame is ρnu²; an input is w/n of the mean.
    part = next((entry.weight for entry in master.inputs if entry.sha256 == frame.sha256), 0.0)
    pulls = difference[usable] / np.sqrt(variance[usable] * np.fmax(share * (n - 2 * part) + 1, _LEAST_OWN))
    pulls = pulls[np.isfinite(pulls)]
    if pulls.size == 0:
        return [f"{frame.path}: it has no pixel to compare the master with"]
    centre = float(np.median(pulls))
    near = pulls[np.abs(pulls - centre) < 5]
    # Fewer than half lie near the middle where a frame is of two kinds, as one whose every second pixel is spoilt.
    width = float(np.std(near if 2 * near.size > pulls.size else pulls))
    remarks = []
    if abs(centre) > LARGEST_OFFSET:
        level = float(np.nanmedian(difference[usable]))
        remarks.append(
            f"{frame.path}: it lies {level:+.3g} {master.unit} from the master, {centre:+.1f} σ of one pixel"
        )
    if not least < width < WIDTH_RANGE[1]:
        remarks.append(f"{frame.path}: its residual scatters {width:.2f} times as much as the others' noise allows")
    return remarks


def _variance_share(frame: CalibrationFrame, master: Master) -> float:
    """Return the variance of this frame's scaled values over what the master's mean has of all, as is theirs.

    It is s for photon noise, s² for read noise.
    """
    scales, weights = (np.array([getattr(one, name) for one in master.inputs]) for name in ("scale", "weight"))
    own = next((entry.scale for entry in master.inputs if entry.sha256 == frame.sha256), float(scales.mean()))
    power = {"bias": 0, "dark": 2, "flat": 1}[master.kind]
    return float(own**power / np.mean(weights**2 * scales**power))
