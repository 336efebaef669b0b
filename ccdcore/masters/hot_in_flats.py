"""The dark signal in flats: whether it matters, and which pixels it spoils where it is not taken off."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.frames.colour_pattern import by_plane, plane_levels
from ccdcore.masters.bad_pixels import light_around
from ccdcore.reduction.master import MaskBit, Master

Image = npt.NDArray[Any]

SIGNAL, SHARE = 1e-3, 1e-4
"""Dark signal matters where it is more than so much of the light in more than this part of the pixels."""

SPOILT = 0.005
"""A pixel whose dark signal is more than this part of the light is spoilt."""

_FROM_NOISE, _BRIGHTER = 6.0, 0.02
"""A pixel is far too bright by this many times the scatter around it, and by so much relatively."""

_SMOOTH = 0.1
"""Surroundings whose pixels scatter by more than this fraction are structured light, where no pixel is judged."""


def dark_matters(rate: Master, *, seconds: float, light_adu: float) -> bool:
    """Whether dark signal is to be taken off flats: it is more than 0.1 % of the light in more than 1 in 10⁴ pixels.

    Parameters
    ----------
    rate : Master
        The dark signal in ADU/s, shape (rows, columns).
    seconds : float
        Exposure of the flats.
    light_adu : float
        Their level above the bias.
    """
    inside = (rate.mask & MaskBit.OUTSIDE) == 0
    return bool(np.mean(rate.value[inside] * seconds > SIGNAL * light_adu) > SHARE)


def spoilt_by_dark(rate: Master, *, seconds: float, light_adu: float) -> npt.NDArray[np.bool_]:
    """Return the pixels, shape (rows, columns), whose dark signal is more than 0.5 % of the light.

    Parameters are as of `dark_matters`: ADU/s, seconds, ADU.
    """
    return np.asarray(rate.value * seconds > SPOILT * light_adu)


def too_bright(flat: Master) -> npt.NDArray[np.bool_]:
    """Return the pixels of a master flat, shape (rows, columns), that are far brighter than those around them.

    By 6 σ of their scatter and 2 %, where the light is smooth: no pixel sees more light than its neighbours, so that
    these are hot, or seen by a star.
    """
    found = by_plane(_too_bright, plane_levels(flat.value), flat.value)
    return np.zeros(flat.value.shape, bool) if found is None else found & (flat.mask == 0)


def _too_bright(flat: Image) -> Image | None:
    bright = np.zeros(flat.shape, bool)
    for rows, middle, scatter in light_around(flat):
        smooth = (middle > 0) & (scatter < _SMOOTH * middle)
        bright[rows] = smooth & (flat[rows] - middle > np.maximum(_FROM_NOISE * scatter, _BRIGHTER * middle))
    return bright
