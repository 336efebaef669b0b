"""What is known of a frame that is to be calibrated, of its detector, and of a master."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

from ccdcore.cards.sections import Amplifier, Section

Kind: TypeAlias = Literal["bias", "dark", "flat", "mask"]
"""What a frame is corrected for; darks of one exposure and rates of the dark signal are both of kind ``dark``."""
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which a frame is corrected."""

QUALITY = (0.05, 0.2, 0.5)
"""Parts of a frame's own noise: what adds less than the first is of quality 0, less than the second 1, and so on."""

_KEPT = 256
"""Texts that were read last: thousands of masters of a camera have the same."""

Span: TypeAlias = tuple[datetime | None, datetime | None]
"""When an entry of an instrument begins and ceases to hold; None for no end."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A frame that is to be calibrated; None for what is not known.

    Parameters
    ----------
    name : str
        How it is called: its path, or an id.
    instrument, configuration : str
        Its camera and how it was read out.
    whole, window : str or None, Section or None
        Of a frame of a part of the detector: how the whole is called when it is read out so, and which part it is.
    at : datetime or None
        When it was taken.
    exposure_s : float or None
        Its exposure in seconds.
    filter : str or None
        Its filter.
    temperature_c : float or None
        That of its detector in °C, the set point where it decides (`ccdcore.frames.groups.deciding_temperature`).
    shape : tuple of int or None
        Rows and columns.
    amplifiers : str or None
        Name and data section of each: ``1 [1:1024,1:2048]; 2 [1025:2048,1:2048]``.
    level_adu : float or None
        Median of its pixels above their overscan, in ADU, mean of the amplifiers; without overscan the bias is in it.
    lowest_adu : float or None
        Likewise its lowest pixel, above which there is light at most.
    entry : tuple of datetime or None
        The span in which the entry of the instrument holds that holds at its time.
    unusable : tuple of str
        Cards of it that do not say what they are to say, in words.
    """

    name: str
    instrument: str
    configuration: str
    whole: str | None = None
    window: Section | None = None
    at: datetime | None = None
    exposure_s: float | None = None
    filter: str | None = None
    temperature_c: float | None = None
    shape: tuple[int, int] | None = None
    amplifiers: str | None = None
    level_adu: float | None = None
    lowest_adu: float | None = None
    entry: Span = (None, None)
    unusable: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Detector:
    """What was measured of the detector of a frame, mean of its amplifiers; None where nothing was.

    Parameters
    ----------
    gain_e_per_adu, read_noise_e : float or None
        In electrons per ADU, and electrons RMS.
    doubts : tuple of str
        Which of them are doubtful, since nothing better is on record, in words.
    """

    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    doubts: tuple[str, ...] = field(default=(), compare=False)


@dataclass(slots=True)  # not frozen: there may be ten thousand, and freezing would take most of the time
class MasterFacts:
    """A master on record, as far as a choice needs to know it.

    Parameters
    ----------
    master_id : int
        Its number.
    kind : str
        ``bias``, ``dark``, ``darkrate``, ``flat`` or ``mask``.
    instrument, configuration, filter
        The camera and how it was read out; the filter of flats.
    exposure_s : float or None
        Of a dark, in seconds.
    temperature_c : float or None
        The temperature in °C that its group goes by; of flats that of their detector.
    at : datetime
        When its first frame was taken.
    path, sha256, unit : str
        Its file, relative to the home; and the unit of its pixels: ``adu``, ``adu/s``, or empty.
    n_combined : int
        Frames in it.
    verdict : str
        What its check said.
    is_marked_bad, is_certified : bool
        Whether somebody marked it bad; whether it was let take the place of the one in force.
    why_not : str or None
        Why it was not certified, or is marked bad.
    entry : tuple of datetime or None
        The span in which the entry of the instrument holds that holds at its time.
    shape : tuple of int or None
        Rows and columns.
    amplifiers : str or None
        Name and data section of each, likewise.
    uncertainty : float or None
        1-σ of a normal pixel (the median), in its unit.
    level : float or None
        Median of its pixels, in its unit.
    """

    master_id: int
    kind: str
    instrument: str
    configuration: str
    filter: str | None
    exposure_s: float | None
    temperature_c: float | None
    at: datetime
    path: str = ""
    sha256: str = ""
    unit: str = "adu"
    n_combined: int = 1
    verdict: str = "ok"
    is_marked_bad: bool = False
    is_certified: bool = True
    why_not: str | None = None
    entry: Span = (None, None)
    shape: tuple[int, int] | None = None
    amplifiers: str | None = None
    uncertainty: float | None = None
    level: float | None = None

    @property
    def corrects(self) -> Kind:
        """What it corrects for."""
        return "dark" if self.kind == "darkrate" else self.kind  # type: ignore[return-value]

    @property
    def purpose(self) -> tuple[object, ...]:
        """What masters have in common of which one may be used in place of the other."""
        nominal_s = float(f"{self.exposure_s:.3g}") if self.kind == "dark" and self.exposure_s is not None else None
        temperature_c = None if self.kind == "flat" else self.temperature_c
        return self.instrument, self.kind, self.configuration, self.filter, nominal_s, temperature_c


def amplifiers_text(amplifiers: Iterable[tuple[str, str]]) -> str:
    """Return how a subject and a master name their amplifiers, of the name and the data section of each."""
    return "; ".join(f"{name} {section}" for name, section in amplifiers)


@lru_cache(_KEPT)
def names_of_amplifiers(text: str) -> str:
    """Return the names alone."""
    return "; ".join(one.rpartition(" ")[0] for one in text.split("; "))


@lru_cache(_KEPT)
def sections_of_amplifiers(text: str) -> tuple[Section, ...]:
    """Return the data sections alone, in pixels of the image."""
    return tuple(one.data for one in amplifiers_of(text))


def amplifiers_of(text: str) -> list[Amplifier]:
    """Return the amplifiers, without their overscan."""
    parts = (one.rpartition(" ") for one in text.split("; "))
    return [Amplifier(name, Section.parse(section)) for name, _, section in parts]
