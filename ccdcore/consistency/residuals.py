"""What is left of a frame when a master is taken off it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.reduction.master import Darks, Master
from ccdcore.reduction.reduce import CalibrationFrame, ReducedPixels, exposure_time

Image = npt.NDArray[Any]

_ROWS_AT_A_TIME = 64
_ENOUGH_PIXELS = 2**22


def residual(
    frame: CalibrationFrame, master: Master, *, bias: Master | None = None, dark: Darks | None = None
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
    reduced = ReducedPixels.opened(frame, bias, dark)
    scale = scale_to(master, reduced)
    left: Image = np.empty(master.value.shape, np.float32)
    for start in range(0, len(left), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        left[rows] = difference(reduced, scale, master, rows)
    return left


def difference(reduced: ReducedPixels, scale: float, master: Master, rows: slice) -> Image:
    """Return some rows of the `residual`, shape (rows, columns), in the master's unit; NaN where it is masked."""
    left: Image = np.multiply(reduced[rows], scale, dtype=np.float32, casting="unsafe")
    left -= master.value[rows]
    left[master.mask[rows] != 0] = np.nan
    return left


def scale_to(master: Master, frame: ReducedPixels) -> float:
    """Return what brings a frame, shape (rows, columns), from ADU to the master's unit.

    A flat's own level is found on the master.
    """
    if master.kind == "bias":
        return 1.0
    if master.kind == "dark":
        return (1 if master.unit == "adu/s" else master.exposure_s or 1) / exposure_time(frame.frame)
    rows = slice(None, None, max(1, frame.shape[0] * frame.shape[1] // _ENOUGH_PIXELS))
    good = master.mask[rows] == 0
    ratio = frame[rows][good] / master.value[rows][good]
    ratio = ratio[np.isfinite(ratio)]
    level = float(np.median(ratio)) if ratio.size else np.nan
    return 1 / level if level > 0 else np.nan
