"""Whether the detector kept its temperature while darks were taken, by its hot pixels.

A level that drifts is that of the bias, or of the dark signal: nobody can say. Hot pixels tell, by the same factor all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ccdcore.consistency.residuals import difference, scale_to
from ccdcore.numerics.robust import median_and_error
from ccdcore.reduction.master import Master
from ccdcore.reduction.reduce import CalibrationFrame, ReducedPixels

_HOT = 20.0
"""Signal of a hot pixel in units of the noise of a usual one in one frame: each tells the factor within 10 %."""

_FEWEST_HOT, _FEWEST = 20, 4
"""Hot pixels, some of which blink; and frames, three of which are in order by chance in one case of three."""

_LEAST_CHANGE, _SIGNIFICANT = 0.05, 6.0
"""Of the dark signal from the first frame to the last: as of 0.5 K; and in σ of it."""

_STRIP = 256


def warming(frames: Sequence[CalibrationFrame], master: Master, *, bias: Master | None) -> str | None:
    """Say in words by how much the dark signal grew or fell from the first of some darks to the last.

    Parameters
    ----------
    frames : sequence of Frame or SeriesFrame
        Inputs of the master in the order of their observation; each is read once.
    master : Master
        Their mean in ADU, shape (rows, columns).
    bias : Master or None
        That was taken off.

    Returns
    -------
    str or None
        None where it was steady within 5 %, or there are too few frames or hot pixels to tell.

    Raises
    ------
    FrameReadError
        If a file cannot be read.
    """
    hot = _hot(master)
    if len(frames) < _FEWEST or np.count_nonzero(hot) < _FEWEST_HOT:
        return None
    factors, errors = np.array([_factor(frame, master, bias, hot) for frame in frames]).T
    order = np.arange(len(frames)) - (len(frames) - 1) / 2
    norm = float(order @ order)
    span = len(frames) - 1
    change, sigma = span * float(order @ factors) / norm, span * float(np.sqrt(order**2 @ errors**2)) / norm
    if abs(change) < max(_LEAST_CHANGE, _SIGNIFICANT * sigma):
        return None
    return (
        f"the signal of its hot pixels {'rose' if change > 0 else 'fell'} by {abs(change):.0%} from the first dark to "
        "the last: the temperature of the detector was not steady, and the dark signal is true of none of them: take "
        "darks once the cooling has settled"
    )


def _hot(master: Master) -> npt.NDArray[np.bool_]:
    """Return the hot pixels, by the noise of usual ones: their own is large where they change."""
    with np.errstate(invalid="ignore"):
        noise = master.uncertainty * np.sqrt(np.maximum(master.n_used, 1))
        usable = (master.mask == 0) & (noise > 0) & np.isfinite(master.value)
        hot = usable & (master.value > _HOT * np.median(noise[usable])) if usable.any() else usable
    return np.asarray(hot)


def _factor(
    frame: CalibrationFrame, master: Master, bias: Master | None, hot: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Return by which part a frame has more signal than the master in hot pixels, and its 1-σ uncertainty."""
    reduced, some = ReducedPixels.opened(frame, bias, None), []
    scale = scale_to(master, reduced)
    for start in range(0, len(hot), _STRIP):
        rows = slice(start, start + _STRIP)
        some.append(difference(reduced, scale, master, rows)[hot[rows]] / master.value[rows][hot[rows]])
    parts = np.concatenate(some)
    parts = parts[np.isfinite(parts)]
    if parts.size == 0:
        return 0.0, np.inf
    return median_and_error(parts)
