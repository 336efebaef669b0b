"""Statistics of images: the notebook's imstat table, and what is recorded of every frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """Statistics of one amplifier of one frame, in ADU; recorded when the frame is registered.

    Parameters
    ----------
    amplifier : str
        Name of the amplifier.
    n_pixels : int
        Pixels of its data section.
    minimum, maximum, median : float
        Of the finite pixels of the data section.
    level : float
        Mean of the pixels between the 1st and the 99th percentile: it follows
        the flux even where most of the image is dark (a spectrum), and cosmic
        rays do not move it.
    noise : float
        Robust scatter between neighbouring columns divided by √2, so that
        smooth structure does not count.
    saturated_fraction : float
        Fraction of pixels that share the maximum value, where that is a
        pile-up (more than 10 pixels) and not just the brightest pixel; else 0.
    overscan_level : float or None
        Level of the overscan section, where the amplifier has one.
    """

    amplifier: str
    n_pixels: int
    minimum: float
    maximum: float
    median: float
    level: float
    noise: float
    saturated_fraction: float
    overscan_level: float | None = None
