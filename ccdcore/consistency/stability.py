"""Whether what frames of a master see was steady, in their order: spots that fade, dust that moves, turning light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from ccdcore.consistency.blocks import BlockResiduals
from ccdcore.consistency.culprits import SIGNIFICANT, Place, about_levels, boxes, place, tolerance

Array = npt.NDArray[np.float64]

_OF_NOISE, _OF_LIGHT = 0.5, 0.01
"""From the first frame to the last: in units of the noise of one pixel, and of the light, where it is a flat."""

_FEWEST = 4
"""Three frames are in order by chance in one case of three."""

_IN_ORDER = 0.7
"""Least rank correlation with the order of the frames of what drifts."""

_WIDE = 4
"""Boxes of so many blocks each way: stars that move are lost in them."""


@dataclass(frozen=True, slots=True)
class Change:
    """Where frames changed most.

    Parameters
    ----------
    where : Place
        Its ``off`` is the change from the first frame to the last, or the RMS over the frames, in the master's unit.
    of_frames : tuple of float, shape (frames,)
        What each frame differs by there from the mean of all, in the master's unit.
    is_drift : bool
        Whether it goes with the order of the frames.
    """

    where: Place
    of_frames: tuple[float, ...]
    is_drift: bool


def largest_change(blocks: BlockResiduals, kind: str) -> Change | None:
    """Find where frames changed in their order, or from one to the other, so much that their mean is that of none.

    Parameters
    ----------
    blocks : BlockResiduals
        Of frames in the order of their observation, those that are not like the others left out.
    kind : {"bias", "dark", "flat"}
        Of their master.

    Returns
    -------
    Change or None
        None where they changed by less than 1 % of the light (flats) or half the noise of one pixel (from the first to
        the last, or from one to the other), or by chance, as fewer than four may.
    """
    n = len(blocks.mean)
    if n < _FEWEST:
        return None
    off = _about_their_levels(blocks)
    drift = _largest_drift(blocks, off, kind)
    return drift if drift is not None else _largest_wander(blocks, off, kind)


def _about_their_levels(blocks: BlockResiduals) -> Array:
    """Return what each frame differs by from the mean of all, less what all of it differs by."""
    weight = blocks.weight
    total = weight.sum(axis=0)
    mean = np.divide((weight * blocks.mean).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    return about_levels(np.where(weight > 0, blocks.mean - mean, 0.0), weight)[1]


def _largest_drift(blocks: BlockResiduals, off: Array, kind: str) -> Change | None:
    order = np.arange(len(off)) - (len(off) - 1) / 2
    worst, found = 1.0, None
    for high, wide, mean, sigma in boxes(off, blocks.weight):
        known = np.isfinite(sigma).all(axis=0)
        slope = np.tensordot(order, mean, 1) / np.sum(order**2)
        variance = np.tensordot(order**2, np.where(known, sigma, 1.0) ** 2, 1) / np.sum(order**2) ** 2
        allowed = tolerance(blocks, (high, wide), _OF_NOISE, _OF_LIGHT if kind == "flat" else 0.0)
        limit = np.hypot(SIGNIFICANT * np.sqrt(variance), allowed / (len(off) - 1))
        beyond = np.where(known, np.abs(slope) / limit, 0.0)
        for index in np.flatnonzero(beyond > worst).tolist():
            down, across = divmod(index, beyond.shape[1])
            values = mean[:, down, across]
            in_order = abs(np.corrcoef(rankdata(values), order)[0, 1]) >= _IN_ORDER
            if in_order and beyond[down, across] > worst:
                worst = float(beyond[down, across])
                both = float(np.hypot(sigma[0, down, across], sigma[-1, down, across]))
                here = place(blocks, (down, across), (high, wide), float(values[-1] - values[0]), both)
                found = Change(here, tuple(values.tolist()), is_drift=True)
    return found


def _largest_wander(blocks: BlockResiduals, off: Array, kind: str) -> Change | None:
    worst, found = 1.0, None
    of_noise, of_light = (0.0, _OF_LIGHT) if kind == "flat" else (_OF_NOISE / 2, 0.0)  # ± as much from the mean
    for high, wide, mean, sigma in boxes(off, blocks.weight):
        if kind == "flat" and wide < _WIDE and high < _WIDE:
            continue
        known = np.isfinite(sigma).all(axis=0)
        noise2 = np.mean(np.where(known, sigma, 1.0) ** 2, axis=0)
        rms = np.sqrt(np.mean(mean**2, axis=0))
        limit = np.hypot(SIGNIFICANT * np.sqrt(noise2), tolerance(blocks, (high, wide), of_noise, of_light))
        beyond = np.where(known, rms / limit, 0.0)
        down, across = divmod(int(np.argmax(beyond)), beyond.shape[1])
        if beyond[down, across] > worst:
            worst = float(beyond[down, across])
            sigma_here = float(np.sqrt(noise2[down, across]))
            here = place(blocks, (down, across), (high, wide), float(rms[down, across]), sigma_here)
            found = Change(here, tuple(mean[:, down, across].tolist()), is_drift=False)
    return found
