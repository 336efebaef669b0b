"""What is measured: the name and unit of each quantity, its limits, and how a value is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

QUANTITIES: Mapping[str, str] = {
    "gain": "e/ADU",
    "corrected_gain": "e/ADU",
    "a00": "1/e",
    "turn_off_adu": "ADU",
    "nonlinearity_fraction": "fraction",
    "read_noise": "e",
    "read_noise_adu": "ADU",
    "overscan_read_noise": "e",
    "overscan_read_noise_adu": "ADU",
    "bias_level": "ADU",
    "fixed_pattern_adu": "ADU",
    "row_noise_adu": "ADU",
    "column_noise_adu": "ADU",
    "pickup_adu": "ADU",
    "noise_tail_fraction": "fraction",
    "bad_pixels": "pixels",
    "hot_pixels": "pixels",
    "dead_pixels": "pixels",
    "noisy_pixels": "pixels",
    "nonlinear_pixels": "pixels",
}
"""What is measured → its unit."""


Verdict = Literal["ok", "suspect", "bad", "unjudged"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Specification limits of one quantity; None where there is none on that side."""

    min: float | None = None
    max: float | None = None

    def admit(self, value: float) -> bool:
        """Whether ``value`` lies inside the limits, the ends included."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


def limits_of(spec: Mapping[str, Any], *, quantity: str, unit: str) -> Limits:
    """Return the limits of a quantity; the specification names it with its unit (``gain_e_per_adu``)."""
    suffix = "_" + unit.lower().replace("/", "_per_")
    return Limits(**spec.get(quantity if quantity.endswith(suffix) else quantity + suffix, {}))


def judge(value: float, *, limits: Limits, remark: str | None) -> Verdict:
    """Return the verdict on a value."""
    if not limits.admit(value):
        return "bad"
    if remark is not None:
        return "suspect"
    return "unjudged" if limits.min is None and limits.max is None else "ok"


GRAVITY = ("bad", "suspect", "ok", "unjudged")
"""Verdicts, the gravest first."""


def gravest(verdicts: Iterable[str]) -> str:
    """Return the gravest of some verdicts."""
    return min(verdicts, key=GRAVITY.index)
