"""The options of each recipe, frozen, and their digest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

from ccdcore.cards.sections import Section

VERSION = 8
"""Raised whenever the code of a recipe changes its results, so that older results are known to be stale."""


def _check(clip_sigma: float, min_frames: int, temperature_tolerance_k: float = 0.0) -> None:
    if not 1 <= clip_sigma <= 100:
        raise ValueError(f"clip_sigma = {clip_sigma:g} is not from 1 to 100")
    if min_frames < 1:
        raise ValueError(f"min_frames = {min_frames} is below 1")
    if not temperature_tolerance_k >= 0:
        raise ValueError(f"temperature_tolerance_k = {temperature_tolerance_k:g} is below 0")


@dataclass(frozen=True, slots=True)
class BiasRecipe:
    """Options of the master bias: clip in units of the scatter, fewest frames, range of temperatures in kelvin."""

    clip_sigma: float = 7.0
    min_frames: int = 3
    temperature_tolerance_k: float = 2.0

    def __post_init__(self) -> None:
        _check(self.clip_sigma, self.min_frames, self.temperature_tolerance_k)


@dataclass(frozen=True, slots=True)
class DarkRecipe:
    """Options of the master dark: clip in units of the scatter, fewest frames, range of temperatures in kelvin."""

    clip_sigma: float = 5.0
    min_frames: int = 3
    temperature_tolerance_k: float = 0.5

    def __post_init__(self) -> None:
        _check(self.clip_sigma, self.min_frames, self.temperature_tolerance_k)


@dataclass(frozen=True, slots=True)
class FlatRecipe:
    """Options of the master flat.

    `scale` chooses what is brought to one before combining: the mean of the
    ``illuminated`` region, or the ``median`` of the whole frame as in the notebook.
    """

    clip_sigma: float = 5.0
    min_frames: int = 3
    scale: Literal["illuminated", "median"] = field(
        default="illuminated", metadata={"description": "what is brought to one before flats are combined"}
    )

    def __post_init__(self) -> None:
        _check(self.clip_sigma, self.min_frames)


@dataclass(frozen=True, slots=True)
class GainRecipe:
    """Options of gain and read noise: the method, and a region ``[x1:x2,y1:y2]`` or None for all."""

    method: Literal["auto", "pair", "binned", "ptc"] = "auto"
    region: str | None = field(
        default=None,
        metadata={
            "description": "only these pixels are measured; default: the whole of each amplifier",
            "examples": ["[101:900,101:900]"],
        },
    )

    def __post_init__(self) -> None:
        if self.region is not None:
            Section.parse(self.region)


@dataclass(frozen=True, slots=True)
class Recipes:
    """All recipes of a run."""

    bias: BiasRecipe = field(default_factory=BiasRecipe)
    dark: DarkRecipe = field(default_factory=DarkRecipe)
    flat: FlatRecipe = field(default_factory=FlatRecipe)
    gain: GainRecipe = field(default_factory=GainRecipe)

    def describe(self) -> dict[str, object]:
        """Return the options and the version as plain JSON values."""
        return {"version": VERSION, **asdict(self)}
