"""What a master would add to the noise of a frame, in electrons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ccdcore.association.facts import QUALITY, Detector, MasterFacts, Subject
from ccdcore.association.wander import Wander
from ccdcore.darks.rate import OFF

USUAL_SIGNAL_E = 1000.0
"""Electrons per pixel that a frame is taken to have whose level is not known."""

_SECONDS_PER_DAY = 86_400.0
Floats = TypeVar("Floats", float, npt.NDArray[np.float64])
"""Of one frame, or of many."""
_KIND_OF_RATE = "darkrate"


@dataclass(frozen=True, slots=True)
class Light:
    """What a normal pixel of a frame holds, in electrons: signal above the bias, and noise, 1 σ."""

    signal_e: float
    noise_e: float

    @classmethod
    def of(cls, subject: Subject, detector: Detector, bias_adu: float | None) -> Light:
        """Return that of a frame whose bias has a level in ADU; None for one that is not known.

        Without it the lowest pixel stands for it: then the signal may be a little less than told, and never more.
        """
        gain = detector.gain_e_per_adu or 1.0
        dark = subject.lowest_adu if bias_adu is None else bias_adu
        if subject.level_adu is None or dark is None:
            signal = USUAL_SIGNAL_E
        else:
            signal = max(0.0, gain * (subject.level_adu - dark))
        return cls(signal, sqrt((detector.read_noise_e or 0.0) ** 2 + signal))


@dataclass(frozen=True, slots=True)
class Price:
    """What a master adds to a frame, in electrons per pixel, 1 σ.

    Parameters
    ----------
    random_e : float
        By its own noise.
    systematic_e : float
        By what the camera has changed since, or before.
    doubles_after_days : float
        The age at which the price is twice that of a new master of this noise; infinite for never.
    """

    random_e: float
    systematic_e: float
    doubles_after_days: float

    @property
    def total_e(self) -> float:
        """Both together, in electrons per pixel, 1 σ."""
        return hypot(self.random_e, self.systematic_e)


def price_of(subject: Subject, master: MasterFacts, light: Light, detector: Detector, wander: Wander) -> Price | None:
    r"""Return what a master would add to a frame; None where its noise is not on record.

    Notes
    -----
    With the uncertainty :math:`\sigma` of a normal pixel of the master, the gain :math:`g`, the exposure :math:`t` of
    the frame and its signal :math:`s` in electrons, what it adds is :math:`g\sigma` (bias; dark of that exposure),
    :math:`g t \sigma` (dark rate), and :math:`s\,\sigma/f` (flat, whose response :math:`f` is 1 in a normal pixel).
    The shift that masters of this purpose show over its age (`Wander.shift`) enters in the same way. A rate may be off
    what the exposure would show by what the test of scaling lets pass (`ccdcore.darks.rate.OFF`).
    """
    if master.kind == "mask":
        return Price(0.0, 0.0, float("inf"))
    if master.uncertainty is None:
        return None
    electrons = electrons_per_unit(master.kind, detector.gain_e_per_adu or 1.0, light.signal_e, subject.exposure_s)
    kelvin = kelvin_between(subject, master)
    parts = added_e(master, electrons, age_days(subject, master), kelvin, wander)
    random, shift, unscaled = map(float, parts)
    new = hypot(random, unscaled)
    doubles = wander.days_until(sqrt(3) * new / electrons) if electrons > 0 else float("inf")
    return Price(random, hypot(shift, unscaled), doubles)


def added_e(
    master: MasterFacts, electrons: Floats, days: Floats, kelvin: float, wander: Wander
) -> tuple[Any, Any, Any]:
    """Return what a master adds to frames, in electrons: by its noise, by its age, and as a rate that does not scale.

    Parameters
    ----------
    master : MasterFacts
        Whose noise is on record.
    electrons, days : float or ndarray of float
        Of one frame or of many: how many electrons a unit of the master is (`electrons_per_unit`), and its age.
    kelvin : float
        How far its temperature is from theirs.
    wander : Wander
        How far masters of its purpose wander.
    """
    random = electrons * (master.uncertainty or 0.0)
    unscaled = OFF * random if master.kind == _KIND_OF_RATE else 0.0 * random
    return random, electrons * wander.shift(days, kelvin), unscaled


def electrons_per_unit(kind: str, gain: Floats, signal_e: Floats, exposure_s: float | None) -> Floats:
    """Return how many electrons of a frame one unit of a master is, of one frame or of many."""
    if kind == "flat":
        return signal_e
    return gain * (exposure_s or 0.0) if kind == _KIND_OF_RATE else gain


def quality_of(price: Price, light: Light, limits: Sequence[float] = QUALITY) -> int:
    """Return 0 (adds next to nothing to the noise of the frame) to 3 (much); limits are fractions of that noise."""
    if light.noise_e <= 0:
        return 0 if price.total_e <= 0 else len(limits)
    return sum(price.total_e >= one * light.noise_e for one in limits)


def age_days(subject: Subject, master: MasterFacts) -> float:
    """Return how many days are between a frame and a master, whichever is first; 0 where nobody knows."""
    return 0.0 if subject.at is None else abs((subject.at - master.at).total_seconds()) / _SECONDS_PER_DAY


def kelvin_between(subject: Subject, master: MasterFacts) -> float:
    """Return by how many kelvin a frame is warmer than a master; 0 where nobody knows."""
    known = subject.temperature_c is not None and master.temperature_c is not None
    return (subject.temperature_c or 0.0) - (master.temperature_c or 0.0) if known else 0.0
