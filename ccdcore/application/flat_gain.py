"""The gain of pixels that a flat has divided: one for all amplifiers, since the flat holds the ratios of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ccdcore.errors import InsufficientDataError
from ccdcore.masters.build import illuminated_region

if TYPE_CHECKING:
    from ccdcore.cards.sections import Amplifier
    from ccdcore.reduction.master import Master


def flat_gain(flat: Master, amplifiers: Sequence[Amplifier], gains_e_per_adu: Mapping[str, float]) -> float:
    r"""Return how many electrons an ADU of a flattened frame is, the same in all amplifiers.

    Parameters
    ----------
    flat : Master
        The whole flat, also where a frame takes a cut of it.
    amplifiers : sequence of Amplifier
        Of the flat.
    gains_e_per_adu : mapping of str to float
        By amplifier. Those without are passed over.

    Returns
    -------
    float
        In e⁻/ADU; with one amplifier its gain.

    Raises
    ------
    InsufficientDataError
        If the flat has no good pixel in the light of an amplifier whose gain is known.

    Notes
    -----
    A flat is divided by one mean over all amplifiers: with the light :math:`L` of a pixel and the gain :math:`g` of
    its amplifier it is :math:`f = c L/g`. A frame of :math:`S` electrons in a pixel of mean light has
    :math:`S L/g` ADU; divided by the flat that is :math:`S/c` in every amplifier. The mean of :math:`f g` over the
    pixels that are good and lit, where :math:`L` is 1 in the mean, is :math:`c`.
    """
    gains = [gains_e_per_adu.get(one.name) for one in amplifiers]
    if gains and gains[0] is not None and len(set(gains)) == 1:
        return gains[0]
    light = np.full(flat.value.shape, np.nan, np.float32)
    for one, gain in zip(amplifiers, gains, strict=True):
        if gain is not None:
            good = flat.mask[one.data.slices] == 0
            light[one.data.slices] = np.where(good, flat.value[one.data.slices] * gain, np.nan)
    region = illuminated_region(light)  # of electrons: an amplifier of a large gain has few ADU in the same light
    if not region.any():
        raise InsufficientDataError(
            "the master flat has no good pixel in an amplifier whose gain is known: see ccdwatch masters"
        )
    return float(np.mean(light, where=region, dtype=np.float64))
