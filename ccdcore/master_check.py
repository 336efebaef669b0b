"""The independent check of a master before it is released."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore._master_stack import CalibrationFrame, exposure_time, reduce_frame
from ccdcore.combine import QUANTISATION_VARIANCE
from ccdcore.master import MaskBit, Master

Image = npt.NDArray[Any]

MOST_WITHOUT_DATA = 0.01
"""Fraction of the data sections that may have no value."""

MOST_REJECTED = 0.02
"""Fraction of one frame's pixels that may be clipped: cosmic rays take less than a tenth of it."""

WIDTH_RANGE = 0.7, 1.4
"""How far a scatter may be from the expected one."""

LARGEST_OFFSET = 0.5
"""How far a frame may lie from the master, in units of its noise in one pixel."""


def residual(
    frame: CalibrationFrame, master: Master, *, bias: Master | None = None, dark: Master | None = None
) -> Image:
    """Return a frame, reduced and scaled as the master's inputs are, minus the master.

    Parameters
    ----------
    frame : Frame or SeriesFrame
        A raw frame of the master's kind.
    master : Master
        What is subtracted.
    bias, dark : Master, optional
        Removed from the frame first: those that the master was made with.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        In the master's unit; NaN where the master is masked.
    """
    pixels = reduce_frame(frame, bias=bias, dark=dark)
    difference: Image = (pixels * _scale(frame, pixels, master) - master.value).astype(np.float32)
    difference[~master.good] = np.nan
    return difference


def check_master(
    master: Master,
    frame: CalibrationFrame,
    *,
    bias: Master | None = None,
    dark: Master | None = None,
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
    usable = master.good & np.isfinite(master.uncertainty)
    if not usable.any():
        return (f"no pixel of this master {master.kind} has a usable value",)
    remarks = [*_mask_remarks(master), *_rejection_remarks(master)]
    if noise_adu is not None:
        remarks += _noise_remarks(master, usable, noise_adu, gain_e_per_adu)
    return (*remarks, *_frame_remarks(master, usable, frame, residual(frame, master, bias=bias, dark=dark)))


def _mask_remarks(master: Master) -> list[str]:
    inside = (master.mask & MaskBit.OUTSIDE) == 0
    empty = np.mean((master.mask[inside] & MaskBit.NO_DATA) != 0)
    return [f"{empty:.1%} of the pixels have no value in any frame"] if empty > MOST_WITHOUT_DATA else []


def _rejection_remarks(master: Master) -> list[str]:
    return [
        f"{entry.path}: {entry.rejected_fraction:.1%} of its pixels were rejected: it does not belong to this series"
        for entry in master.inputs
        if entry.rejected_fraction > MOST_REJECTED
    ]


def _noise_remarks(master: Master, usable: Image, noise_adu: float, gain_e_per_adu: float | None) -> list[str]:
    """Compare the uncertainty with σ/√N of the noise model."""
    scales = np.array([entry.scale for entry in master.inputs])
    variance = np.full(master.value.shape, (noise_adu**2 + QUANTISATION_VARIANCE) * np.mean(scales**2))
    if gain_e_per_adu is not None and master.kind != "bias":
        variance += scales.mean() * np.fmax(master.value, 0) / gain_e_per_adu
    expected = np.sqrt(variance[usable] / master.n_used[usable])
    ratio = float(np.median(master.uncertainty[usable] / expected))
    if WIDTH_RANGE[0] < ratio < WIDTH_RANGE[1]:
        return []
    return [
        f"its uncertainty is {ratio:.2f} times what a read noise of {noise_adu:.2f} ADU and "
        f"{len(master.inputs)} frames give"
    ]


def _frame_remarks(master: Master, usable: Image, frame: CalibrationFrame, difference: Image) -> list[str]:
    """Compare one frame with the others: its residual in units of the noise of one frame."""
    n = master.n_used.astype(np.float64)
    # The mean of the others is m + (m − x)/(n − 1): the residual to it has the variance n²u² / (n − 1).
    # A frame that is no input is free of that: its residual has the variance (n + 1) u².
    held = any(entry.sha256 == frame.sha256 for entry in master.inputs)
    usable = usable & (n > 1)
    n = n[usable]
    expected = master.uncertainty[usable] * np.sqrt(n - 1 if held else n + 1)
    pulls = difference[usable] / expected
    pulls = pulls[np.isfinite(pulls)]
    if pulls.size == 0:
        return [f"{frame.path}: it has no pixel to compare the master with"]
    centre = float(np.median(pulls))
    width = float(np.std(pulls[np.abs(pulls - centre) < 5]))
    remarks = []
    if abs(centre) > LARGEST_OFFSET:
        level = float(np.median(difference[usable]))
        remarks.append(
            f"{frame.path}: it lies {level:+.3g} {master.unit} from the master, {centre:+.1f} σ of one pixel"
        )
    if not WIDTH_RANGE[0] < width < WIDTH_RANGE[1]:
        remarks.append(f"{frame.path}: its residual to the others scatters {width:.2f} times as much as their noise")
    return remarks


def _scale(frame: CalibrationFrame, pixels: Image, master: Master) -> float:
    """Return what brings a frame to the master's unit; a flat's own level is found on the master."""
    if master.kind == "bias":
        return 1.0
    if master.kind == "dark":
        return 1 / exposure_time(frame)
    ratio = pixels[master.good] / master.value[master.good]
    ratio = ratio[np.isfinite(ratio)]
    level = float(np.median(ratio)) if ratio.size else np.nan
    return 1 / level if level > 0 else np.nan
