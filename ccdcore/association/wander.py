"""How far masters of one purpose wander with the time between them: a structure function, from the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]

FEWEST_MASTERS = 5
"""Fewer do not tell how they wander."""

_POWERS = np.arange(0.0, 2.01, 0.25)
_PASSES = 4
_FLAT_PER_DAY, _NOISE_PER_DAY = 5e-4, 0.03
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Wander:
    r"""A structure function: half the mean square difference of two masters, less their noise.

    .. math:: \gamma(\tau, \Delta T) = a\,\tau^b + c\,\Delta T^2

    with the time in days. Within the first day it grows from nothing, at least in proportion to the time.

    Parameters
    ----------
    per_day : float
        :math:`a`, at one day, in the unit of the masters squared.
    power : float
        :math:`b`: 0 of masters that differ from day to day but no more from year to year, 1 of a random walk, 2 of a
        steady drift.
    per_kelvin : float
        :math:`c`, at a difference of 1 K.
    n_masters : int
        Masters that it was found from; 0 where it is that of all cameras.
    """

    per_day: float = 0.0
    power: float = 1.0
    per_kelvin: float = 0.0
    n_masters: int = 0

    def half_square(self, days: float | Numbers, kelvin: float = 0.0) -> Any:
        """Return half the mean square difference of masters so far apart, in their unit squared, for each age."""
        return self.per_day * growth(days, self.power) + self.per_kelvin * kelvin**2

    def shift(self, days: float | Numbers, kelvin: float = 0.0) -> Any:
        """Return how far a camera has come from a master, RMS, in its unit: as far as from another one of that age."""
        return np.sqrt(2 * self.half_square(days, kelvin))

    def times(self, variance: float) -> Wander:
        """Return that of masters whose unit squared is this many times as large."""
        return replace(self, per_day=self.per_day * variance, per_kelvin=self.per_kelvin * variance)

    def days_until(self, shift: float) -> float:
        """Return after how many days a camera has come so far (in the unit of its masters); infinite for never."""
        if self.per_day <= 0:
            return inf
        ratio = shift**2 / 2 / self.per_day
        if ratio <= 1:
            return float(ratio ** (1 / max(self.power, 1.0)))
        return float(ratio ** (1 / self.power)) if self.power > 0 else inf


class Pair(NamedTuple):
    """Two masters of one purpose.

    Parameters
    ----------
    days, kelvin : float
        The time between them, and the difference of their temperatures.
    half_square, error : float
        Half their mean square difference less their noise, and its 1-σ uncertainty, in any unit squared.
    """

    days: float
    kelvin: float
    half_square: float
    error: float


def fit_wander(pairs: Sequence[Pair], *, n_masters: int) -> Wander:
    r"""Return the structure function that pairs of masters show, in the square root of the unit that they are in.

    Parameters
    ----------
    pairs : sequence of Pair
        At least one.
    n_masters : int
        That they are of.

    Notes
    -----
    For each :math:`b` of 0 to 2 in steps of a quarter, :math:`a` and :math:`c`, not below 0, by least squares, each
    pair weighted by its uncertainty and by the scatter that one realisation of a random process has about its mean,
    which is of the size of that mean; in some passes, since the weights follow from the result. The :math:`b` is taken
    under which the pairs are most likely.
    """
    days, kelvin, values, errors = np.ascontiguousarray(np.array(pairs, np.float64).T)
    found = [_fit_of_power(float(power), days, kelvin, values, errors) for power in _POWERS]
    (per_day, per_kelvin), power, _ = min(found, key=lambda one: one[2])
    return Wander(per_day, power, per_kelvin, n_masters)


def growth(days: float | Image, power: float) -> Any:
    """Return how masters wander with the time between them, of any shape, in units of what they do in one day."""
    return np.minimum(days, 1.0) ** max(power, 1.0) * np.maximum(days, 1.0) ** power


def _fit_of_power(
    power: float, days: Image, kelvin: Image, values: Image, errors: Image
) -> tuple[tuple[float, float], float, float]:
    """Return what is measured for one power, the power, and how unlikely the pairs are under it."""
    terms = np.stack([growth(days, power), np.square(kelvin)], axis=1)
    model = np.full(values.shape, max(float(np.mean(values)), 0.0))
    scale, variance = (0.0, 0.0), np.square(errors)
    for _ in range(_PASSES):
        variance = np.square(errors) + np.square(model)
        variance = np.maximum(variance, np.finfo(float).tiny)
        scale = _not_negative(terms, values, 1 / variance)
        model = terms @ np.array(scale)
    unlikely = float(np.sum(np.square(values - model) / variance + np.log(variance)))
    return scale, power, unlikely


def _not_negative(terms: Image, values: Image, weights: Image) -> tuple[float, float]:
    """Return the least-squares factors of two terms, neither below 0."""
    (aa, ab), (_, bb) = (terms.T * weights) @ terms
    av, bv = (terms.T * weights) @ values
    determinant = aa * bb - ab * ab
    if determinant > _EPSILON * aa * bb:
        both = (bb * av - ab * bv) / determinant, (aa * bv - ab * av) / determinant
        if min(both) >= 0:
            return both
    alone = [(max(0.0, av / aa) if aa > 0 else 0.0, 0.0), (0.0, max(0.0, bv / bb) if bb > 0 else 0.0)]
    return min(alone, key=lambda one: float(np.sum(weights * np.square(values - terms @ np.array(one)))))


def prior(kind: str, *, frame_noise: float) -> Wander:
    """Return what is taken of masters of a kind, in their unit, before any camera has shown how they wander.

    Biases and darks of two days after each other differ by 3 % of the noise of one frame (``frame_noise``, in
    their unit), flats by 1 in 2000, and from then on as in a random walk: by a good half of the noise, and 1 %, after
    a year.
    """
    shift = _FLAT_PER_DAY if kind == "flat" else _NOISE_PER_DAY * frame_noise
    return Wander(shift**2 / 2, 1.0)
