"""Bias level from the overscan of the same read-out, and whether a section is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from ccdcore.cards.sections import Amplifier
from ccdcore.frames.frame import FrameStatistics
from ccdcore.headers.instrument import FrameType

if TYPE_CHECKING:
    from ccdcore.frames.frame import SeriesFrame

_DRIFT_ADU = 5.0
"""Bias levels drift by this much between biases and flats."""

_SPILL = 0.02
"""Fraction of the light that charge left behind, or an amplifier that droops, may show in a real overscan."""

_PHOTON_NOISE = 0.25
"""Fraction of the variance that light adds to its pixels which it may add to a real overscan."""


def believed_overscans(frames: Sequence[SeriesFrame]) -> tuple[tuple[SeriesFrame, ...], tuple[str, ...]]:
    """Take away from frames the overscan sections that their pixels contradict.

    An overscan does not follow the light: under flats it has the level and the noise that it has in biases and
    darks. A section that rises by more than 5 ADU and 2 % of the light, or has a quarter of its noise, sees light.
    Without both lit and unlit frames nobody can say, and every section is believed.

    Parameters
    ----------
    frames : sequence of SeriesFrame
        Those of one calibration set.

    Returns
    -------
    frames : tuple of SeriesFrame
        In the order given; amplifiers and statistics of the sections not believed are without an overscan.
    reasons : tuple of str
        Why, one for each of these sections.
    """
    false = {amplifier: reason for amplifier in _with_overscan(frames) if (reason := _contradiction(amplifier, frames))}
    return tuple(_without(frame, false.keys()) for frame in frames) if false else tuple(frames), tuple(false.values())


def _with_overscan(frames: Iterable[SeriesFrame]) -> list[Amplifier]:
    of_all = (amplifier for frame in frames for amplifier in frame.amplifiers if amplifier.overscan is not None)
    return list(dict.fromkeys(of_all))


def _contradiction(amplifier: Amplifier, frames: Iterable[SeriesFrame]) -> str | None:
    lit: list[FrameStatistics] = []
    unlit: list[FrameStatistics] = []
    for frame in frames:
        for each, statistics in zip(frame.amplifiers, frame.statistics, strict=True):
            if each == amplifier and statistics.overscan_level is not None:
                (lit if frame.info.frame_type is FrameType.FLAT else unlit).append(statistics)
    if not lit or not unlit:
        return None
    light = median(one.level for one in lit) - median(one.level for one in unlit)
    rise = median(one.overscan_level or 0.0 for one in lit) - median(one.overscan_level or 0.0 for one in unlit)
    name = f"overscan {amplifier.overscan} of amplifier {amplifier.name} is none and was not used: under flats of"
    if abs(rise) > _DRIFT_ADU + _SPILL * abs(light):
        return f"{name} {light:.0f} ADU it lies {rise:.0f} ADU above its level in the biases"
    if all(any(one.overscan_noise is not None for one in kind) for kind in (lit, unlit)):
        added = _added_variance(lit, unlit, "overscan_noise")
        if added > _PHOTON_NOISE * _added_variance(lit, unlit, "noise") + 1:
            return f"{name} {light:.0f} ADU it has a noise of {added**0.5:.1f} ADU more than in the biases"
    return None


def _added_variance(lit: Iterable[FrameStatistics], unlit: Iterable[FrameStatistics], name: str) -> float:
    """Return by how much the variance under flats is that of biases, in ADU²."""
    flats, biases = ([value**2 for one in kind if (value := getattr(one, name)) is not None] for kind in (lit, unlit))
    return float(median(flats) - median(biases))


def _without(frame: SeriesFrame, false: Iterable[Amplifier]) -> SeriesFrame:
    false = set(false)
    both = [
        (replace(amplifier, overscan=None), replace(statistics, overscan_level=None, overscan_noise=None))
        if amplifier in false
        else (amplifier, statistics)
        for amplifier, statistics in zip(frame.amplifiers, frame.statistics, strict=True)
    ]
    return replace(frame, amplifiers=tuple(a for a, _ in both), statistics=tuple(s for _, s in both))
