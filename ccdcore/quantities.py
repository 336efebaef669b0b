"""What is measured: the name and unit of each quantity, its limits, and how a value is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ccdcore.text import name_in_words, unit_text

Product = Literal["gain and read noise", "parts of the noise", "bad pixels", "response of pixels", "dark current"]
"""What quantities are measured together."""
Place = Literal["overview", "links", "report", "page"]
"""Overview of the amplifiers, links of an instrument's page, table of a run's report, table of its page of pictures."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is measured of an amplifier.

    Each can have limits, a page and a picture of its trend, and is among all that was measured, without any word
    about it.

    Parameters
    ----------
    name, unit : str
        As they are on record.
    product : str
        What it is measured with: where that fails, the value of the last run stays in force.
    shown : tuple of str
        Where it stands besides.
    is_watched : bool
        Whether its trend is drawn of each run and in the report of a month, and its steps and drifts are told; those
        of all that have limits are told, too.
    words : str, optional
        What people call it; if not given, the name without underscores and unit.
    heading : str, optional
        Head of its column in tables; if not given, the words with the unit.
    stands_in_for : str, optional
        The quantity in whose column of the overview it stands, where that was not measured.
    """

    name: str
    unit: str
    product: Product = "gain and read noise"
    shown: tuple[Place, ...] = ()
    is_watched: bool = False
    words: str = ""
    heading: str = ""
    stands_in_for: str | None = None

    @property
    def label(self) -> str:
        """What people call it."""
        return self.words or name_in_words(self.name)

    @property
    def title(self) -> str:
        """The head of its column in tables."""
        return self.heading or f"{self.label} ({unit_text(self.unit)})"

    @property
    def limits_key(self) -> str:
        """What a specification calls it: with its unit (``gain_e_per_adu``)."""
        return _limits_key(self.name, self.unit)


_NOISE: Product = "parts of the noise"
_PIXELS: Product = "bad pixels"
_RESPONSE: Product = "response of pixels"
_DARK: Product = "dark current"
_ALL = (
    Quantity("gain", "e/ADU", shown=("overview", "links", "report", "page"), is_watched=True),
    Quantity("corrected_gain", "e/ADU", shown=("report",), heading="without brighter-fatter"),
    Quantity("a00", "1/e", words="a₀₀"),
    Quantity("turn_off_adu", "ADU"),
    Quantity("nonlinearity_fraction", "fraction"),
    Quantity("dynamic_range", "dB"),
    Quantity("read_noise", "e", shown=("overview", "links", "report", "page"), is_watched=True),
    Quantity("read_noise_adu", "ADU", shown=("overview", "report"), stands_in_for="read_noise"),
    Quantity("overscan_read_noise", "e", shown=("page",), heading="overscan (e⁻)"),
    Quantity("overscan_read_noise_adu", "ADU"),
    Quantity("bias_level", "ADU", shown=("links",)),
    Quantity("fixed_pattern_adu", "ADU", _NOISE, shown=("page",), heading="pattern (ADU)"),
    Quantity("row_noise_adu", "ADU", _NOISE, shown=("page",), heading="rows (ADU)"),
    Quantity("column_noise_adu", "ADU", _NOISE),
    Quantity("pickup_adu", "ADU", _NOISE, shown=("page",), heading="pick-up (ADU)"),
    Quantity("noise_tail_fraction", "fraction", _NOISE),
    Quantity("bad_pixels", "pixels", _PIXELS, shown=("page",), heading="bad pixels"),
    Quantity("hot_pixels", "pixels", _PIXELS),
    Quantity("dead_pixels", "pixels", _PIXELS),
    Quantity("noisy_pixels", "pixels", _PIXELS),
    Quantity("nonlinear_pixels", "pixels", _PIXELS),
    Quantity("prnu", "fraction", _RESPONSE, words="PRNU"),
    Quantity("dark_current", "e/s", _DARK, shown=("links", "page"), heading="dark current (e⁻/s)"),
    Quantity("dark_current_mode", "e/s", _DARK),
    Quantity("dsnu", "e/s", _DARK, words="DSNU"),
    Quantity("hot_pixel_fraction", "fraction", _DARK),
    Quantity("doubling_temperature", "K", _DARK),
)

QUANTITIES: Mapping[str, Quantity] = {one.name: one for one in _ALL}
"""All that is measured, by name; tables show it in this order."""
WATCHED = tuple(one.name for one in _ALL if one.is_watched)
"""Names of the quantities whose trends are watched."""


def shown_in(place: Place) -> list[Quantity]:
    """Return the quantities that stand in a place, in order."""
    return [one for one in _ALL if place in one.shown]


def is_of_darks(name: str) -> bool:
    """Whether a quantity is measured on darks."""
    return name in QUANTITIES and QUANTITIES[name].product == _DARK


def label_of(name: str) -> str:
    """Return what people call a quantity, one of another version too."""
    return QUANTITIES[name].label if name in QUANTITIES else name_in_words(name)


Verdict = Literal["ok", "suspect", "bad", "unjudged"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Specification limits of one quantity; None where there is none on that side."""

    min: float | None = None
    max: float | None = None

    def admit(self, value: float) -> bool:
        """Whether ``value``, in the unit of the limits, lies inside them, the ends included."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


def limits_of(spec: Mapping[str, Any], *, quantity: str, unit: str) -> Limits:
    """Return the limits of a quantity; the specification names it with its unit (``gain_e_per_adu``)."""
    return Limits(**spec.get(_limits_key(quantity, unit), {}))


def _limits_key(quantity: str, unit: str) -> str:
    suffix = "_" + unit.lower().replace("/", "_per_")
    return quantity if quantity.endswith(suffix) else quantity + suffix


def judge(value: float, *, limits: Limits, remark: str | None) -> Verdict:
    """Return the verdict on a value, in the unit of its limits; a remark says what is odd about it."""
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
