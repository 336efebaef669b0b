"""The dark signal in flats: whether it matters, and which pixels it spoils where it is not taken off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.frames.colour_pattern import PLANES, by_plane, plane_levels
from ccdcore.masters.bad_pixels import bands, light_around
from ccdcore.numerics.robust import median_and_error
from ccdcore.reduction.master import MaskBit, Master
from ccdcore.reduction.reduce import dark_for

Image = npt.NDArray[Any]

SIGNAL, SHARE = 1e-3, 1e-4
"""Dark signal matters where it is more than so much of the light in more than this part of the pixels."""

SPOILT = 0.005
"""A pixel whose dark signal is more than this part of the light is spoilt."""

_FROM_NOISE, _BRIGHTER = 6.0, 0.02
"""A pixel is far too bright by this many times the scatter around it, and by so much relatively."""

_SMOOTH = 0.1
"""Surroundings whose pixels scatter by more than this fraction are structured light, where no pixel is judged."""

LEAST_LEFT, _SIGNIFICANT, _FEWEST_HOT = 0.05, 5.0, 20
"""Less of the dark signal than this part may be left: half a kelvin changes it by so much; by so many σ, of so many hot
pixels at least."""


@dataclass(frozen=True, slots=True, eq=False)
class DarkLeft:
    """What a master flat still holds of the dark signal that was taken off: another one than it had.

    Parameters
    ----------
    share, sigma : float
        The part of it that is left, negative where too much was taken off, and its 1-σ uncertainty.
    spoilt : ndarray of bool, shape (rows, columns)
        The pixels in which that is more than 0.5 % of the light.
    """

    share: float
    sigma: float
    spoilt: npt.NDArray[np.bool_]


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
    inside = (rate.mask & MaskBit.OUTSIDE.value) == 0
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


def dark_left(flat: Master, darks: Sequence[Master]) -> DarkLeft | None:
    """Tell by its hot pixels whether the dark signal that was taken off a master flat was that which it had.

    It was not where the darks are of another temperature, gain or exposure than their headers say. A hot pixel sees as
    much light as those around it, so that what it shows beyond them is dark signal that is left.

    Parameters
    ----------
    flat : Master
        The master flat, shape (rows, columns).
    darks : sequence of Master
        What was taken off each of its frames: of its exposure in ADU, or a rate in ADU/s.

    Returns
    -------
    DarkLeft or None
        None where less than 5 % is left, or fewer than 20 hot pixels tell.
    """
    signal = _taken_off(flat, darks)
    # Where too much is taken off a pixel it looks unlit.
    value = np.where((flat.mask & ~np.uint8(MaskBit.UNLIT)) == 0, flat.value, np.nan)
    planes = PLANES if (plane_levels(flat.value) != 1).any() else [(slice(None), slice(None))]
    shares = np.concatenate([_shares(value[plane], signal[plane]) for plane in planes])
    if shares.size < _FEWEST_HOT:
        return None
    share, sigma = median_and_error(shares)
    if abs(share) < max(LEAST_LEFT, _SIGNIFICANT * sigma):
        return None
    return DarkLeft(share, sigma, np.asarray(abs(share) * signal > SPOILT * flat.value))


def _taken_off(flat: Master, darks: Sequence[Master]) -> Image:
    """Return the dark signal that was taken off a master flat, shape (rows, columns), in its unit."""
    signal = np.zeros(flat.value.shape, np.float32)
    for dark in darks:
        taken = [one for one in flat.inputs if dark_for(darks, one.exposure_time_s) is dark]
        seconds = sum(one.weight * one.scale * (one.exposure_time_s or 0.0) for one in taken) / len(flat.inputs)
        factor = seconds if dark.unit == "adu/s" else seconds / (dark.exposure_s or 1.0)
        for rows in bands(signal):
            signal[rows] += np.float32(factor) * dark.value[rows]
    return signal


def _shares(flat: Image, signal: Image) -> Image:
    """Return what hot pixels show beyond those around them, over their dark signal, shape (hot pixels,)."""
    found = []
    for (rows, middle, scatter), (_, usual, _) in zip(light_around(flat), light_around(signal), strict=True):
        hot = signal[rows] - usual
        tells = (middle > 0) & (scatter < _SMOOTH * middle) & (hot > _FROM_NOISE * scatter) & np.isfinite(flat[rows])
        found.append((flat[rows] - middle)[tells] / hot[tells])
    return np.concatenate(found)
