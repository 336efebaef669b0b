"""How the dark current rises with the temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log, sqrt

import numpy as np

_SIGNIFICANT = 3.0
_APART_K = 1.0


@dataclass(frozen=True, slots=True)
class Doubling:
    """By how many kelvin the detector warms until its dark current is doubled, with the 1-σ uncertainty."""

    kelvin: float
    uncertainty: float


def doubling_temperature(currents: Sequence[tuple[float, float, float]]) -> Doubling | None:
    r"""Return the doubling temperature of the dark current.

    Parameters
    ----------
    currents : sequence of (float, float, float)
        Temperature in °C, and dark current with its 1-σ uncertainty, of each group of darks.

    Returns
    -------
    Doubling or None
        None where there are no two temperatures 1 K apart with a dark current of 3 σ, or it does not rise.

    Notes
    -----
    The inverse of the slope of :math:`\log_2` of the current against temperature, weighted by its uncertainty.
    """
    found = [one for one in currents if one[1] > _SIGNIFICANT * one[2] > 0]
    if len(found) < 2 or max(one[0] for one in found) - min(one[0] for one in found) < _APART_K:
        return None
    at, current, uncertainty = np.array(found).T
    weights = np.square(current / uncertainty * log(2))
    centred = at - np.average(at, weights=weights)
    squares = float(weights @ centred**2)
    slope = float(weights @ (centred * np.log2(current))) / squares
    if not slope > 0 or not isfinite(slope):
        return None
    return Doubling(1 / slope, 1 / (sqrt(squares) * slope**2))
