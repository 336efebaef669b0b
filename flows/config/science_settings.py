"""``[science]`` of the configuration."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ccdcore.association.facts import QUALITY
from flows.config.instrument_settings import _Strict


def ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return numbers above 0 that grow from one to the next.

    Raises
    ------
    ValueError
        If they do not.
    """
    if not all(low < high for low, high in pairwise((0.0, *values))):
        raise ValueError(
            "each is to be above the one before it, and the first above 0: write for example [0.05, 0.2, 0.5]"
        )
    return values


class ScienceSettings(_Strict):
    """``[science]``: what is done to science frames, and what is told of the masters that suit them."""

    calibrate: bool = Field(default=False, description="true calibrates science frames by itself as they land")
    output: Path | None = Field(
        default=None,
        description="where calibrated frames go; default: calibrated in the home",
        examples=["/data/calibrated"],
    )
    allow_missing: tuple[Literal["bias", "dark", "flat"], ...] = Field(
        default=(), description="masters that frames which land may go without", examples=[["dark"]]
    )
    quality: Annotated[tuple[float, float, float], AfterValidator(ascending)] = Field(
        default=QUALITY,
        description="parts of a frame's own noise below which what a master adds to it is of quality 0, 1 and 2",
    )
