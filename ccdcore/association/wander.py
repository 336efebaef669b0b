"""How far masters of one purpose wander with the time between them: a structure function, from the record."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt


@dataclass(frozen=True, slots=True)
class Wander:
    r"""A structure function: half the mean square difference of two masters, less their noise.

    .. math:: \gamma(\tau, \Delta T) = a\,\tau^b + c\,\Delta T^2

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

    def half_square(self, days: float, kelvin: float = 0.0) -> float:
        """Return half the mean square difference of masters so far apart, in their unit squared."""
        of_time = self.per_day * days**self.power if days > 0 else 0.0
        return of_time + self.per_kelvin * kelvin**2

    def shift(self, days: float, kelvin: float = 0.0) -> float:
        """Return how far a camera has come from a master, RMS, in its unit: as far as from another one of that age."""
        return sqrt(2 * self.half_square(days, kelvin))

    def days_until(self, shift: float) -> float:
        """Return after how many days a camera has come so far (in the unit of its masters); infinite for never."""
        if self.per_day <= 0:
            return inf
        ratio = shift**2 / 2 / self.per_day
        if self.power == 0:
            return inf if ratio >= 1 else 0.0
        return float(ratio ** (1 / self.power))
