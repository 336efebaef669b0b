"""Which frames of a type make one master: those of one temperature, and of darks those of one exposure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from statistics import fmean, median
from typing import Protocol, TypeVar

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.identify import UNUSABLE

T = TypeVar("T")

SAME_EXPOSURE = 0.01
"""Exposures that differ by no more than this fraction of the shorter are one."""
_OFF_ITS_SET_POINT_K = 5.0
"""A detector this far from its set point is not there yet: its own temperature counts."""
_ROUNDING = 1e-9


class Temperatures(Protocol):
    """What the header says of the detector's temperature and of its set point, in °C; None where it says nothing."""

    @property
    def ccd_temperature_c(self) -> float | None:
        """The detector's, in °C."""

    @property
    def set_temperature_c(self) -> float | None:
        """The set point, in °C."""


@dataclass(frozen=True, slots=True)
class FrameGroup:
    """Frames that make one master.

    Parameters
    ----------
    frames : tuple of SeriesFrame
        In the order given.
    exposure_s : float or None
        Their mean exposure in seconds, where it is one; None where theirs differ, or are not known.
    temperature_c : float or None
        Mean temperature of the detector in °C; None where it is not known.
    group_c : float or None
        The temperature in °C that the group goes by, the set point where the headers have one; None where it is not
        known.
    is_named : bool
        Whether it is told from others by its temperature: the camera has groups of several.
    """

    frames: tuple[SeriesFrame, ...]
    exposure_s: float | None = None
    temperature_c: float | None = None
    group_c: float | None = None
    is_named: bool = False

    @property
    def named_c(self) -> float | None:
        """The temperature that stands in names, in °C; None where it needs not."""
        return self.group_c if self.is_named else None


def same_exposure(one_s: float | None, two_s: float | None) -> bool:
    """Whether two exposures in seconds are one, to 1 %; of what is not known nobody can say."""
    if one_s is None or two_s is None:
        return False
    return max(one_s, two_s) <= min(one_s, two_s) * (1 + SAME_EXPOSURE) + _ROUNDING


def deciding_temperature(info: Temperatures) -> float | None:
    """Return the temperature in °C by which a frame is grouped; None where it is not known.

    The set point decides where there is one: the reading wavers about it. A detector far from it has not come there.
    """
    reading, set_point = info.ccd_temperature_c, info.set_temperature_c
    if set_point is None or (reading is not None and abs(reading - set_point) > _OFF_ITS_SET_POINT_K):
        return reading
    return set_point


def frame_groups(frames: Sequence[SeriesFrame], *, tolerance_k: float, by_exposure: bool) -> tuple[FrameGroup, ...]:
    """Part frames of one type into those that make one master.

    Temperatures are cut at their largest gaps until the range of each group is within the tolerance, so that -19.9
    and -20.1 °C are one; frames of unknown temperature are one group. Darks are parted by exposure, too.

    Parameters
    ----------
    frames : sequence of SeriesFrame
        Biases, darks or flats of one configuration, in any order.
    tolerance_k : float
        Largest range of the temperatures of a group, in kelvin.
    by_exposure : bool
        Whether they are darks.

    Returns
    -------
    tuple of FrameGroup
        From the coldest to the warmest, the unknown last, of each the shortest exposure first; none is named.
    """
    found = []
    for alike in temperature_groups(frames, tolerance_k):
        group_c = _mean(deciding_temperature(one.info) for one in alike)
        group_c = None if group_c is None else round(group_c, 1)
        parts = cut_at_gaps(alike, lambda one: one.info.exposure_time_s, same_exposure) if by_exposure else [alike]
        found += [replace(one_group(part), group_c=group_c) for part in parts]
    return tuple(found)


def temperature_groups(frames: Sequence[SeriesFrame], tolerance_k: float) -> list[list[SeriesFrame]]:
    """Part frames by temperature (kelvin) alone, as `frame_groups` does; the coldest first, the unknown last."""
    return cut_at_gaps(frames, lambda one: deciding_temperature(one.info), within(tolerance_k))


def one_group(frames: Sequence[SeriesFrame]) -> FrameGroup:
    """Return frames as one group whatever their temperatures; it goes by none."""
    exposures = [one.info.exposure_time_s for one in frames]
    known = [one for one in exposures if one is not None]
    is_one = bool(known) and len(known) == len(exposures) and same_exposure(min(known), max(known))
    readings = _mean(one.info.ccd_temperature_c for one in frames)
    temperature_c = _mean(deciding_temperature(one.info) for one in frames) if readings is None else readings
    return FrameGroup(tuple(frames), fmean(known) if is_one else None, temperature_c)


def is_of_exposure(frame: SeriesFrame, group: FrameGroup) -> bool:
    """Whether a frame has the exposure of a group, or none that is known, as all of the group."""
    exposure_s = frame.info.exposure_time_s
    return (exposure_s is None and group.exposure_s is None) or same_exposure(exposure_s, group.exposure_s)


def unknown_temperature(group: FrameGroup) -> str:
    """Say in words that nobody knows the temperature of a group, and which cards were to tell it."""
    said = (one.info.frame_type_reason.split("; ") for one in group.frames)
    cards = dict.fromkeys(words for some in said for words in some if words.endswith(UNUSABLE) and "TEMP" in words)
    return "; ".join(["the temperature of the detector is not known", *cards])


def nearest_group(groups: Sequence[FrameGroup], frames: Iterable[SeriesFrame]) -> FrameGroup:
    """Return the group whose temperature is nearest to that of some frames; the largest where that tells nothing."""
    known = [t for one in frames if (t := deciding_temperature(one.info)) is not None]
    at = median(known) if known else None
    return min(groups, key=lambda one: (distance_k(one.group_c, at), -len(one.frames)))


def with_labels(
    groups: Sequence[FrameGroup], known_c: Iterable[float | None], *, tolerance_k: float
) -> tuple[FrameGroup, ...]:
    """Let groups go by the temperatures that others of the camera went by before, so that each follows its own.

    Parameters
    ----------
    groups : sequence of FrameGroup
        Of one camera, configuration and type, as of `frame_groups`.
    known_c : iterable of float or None
        Temperatures in °C that the groups on record go by.
    tolerance_k : float
        How far a group may be from the one it follows, in kelvin.

    Returns
    -------
    tuple of FrameGroup
        In the order given. They are named where there are several temperatures, those on record among them.
    """
    before = set(known_c)
    own = {one.group_c for one in groups}
    near = sorted(
        (distance_k(one, other), one, other)
        for one in own - {None}
        for other in before - {None}
        if distance_k(one, other) <= tolerance_k + _ROUNDING
    )
    labels: dict[float | None, float | None] = {}
    for _, one, other in near:
        if one not in labels and other not in labels.values():
            labels[one] = other
    followed = [replace(one, group_c=labels.get(one.group_c, one.group_c)) for one in groups]
    is_named = len(before | {one.group_c for one in followed}) > 1
    return tuple(replace(one, is_named=is_named) for one in followed)


def distance_k(one_c: float | None, two_c: float | None) -> float:
    """Return how far two temperatures are apart, in kelvin: two unknown ones not at all, one from a known one far."""
    if one_c is None or two_c is None:
        return 0.0 if one_c is two_c else inf
    return abs(one_c - two_c)


def within(tolerance: float) -> Callable[[float, float], bool]:
    """Return what tells whether two values, the lower in front, are no farther apart than a tolerance."""
    return lambda low, high: high - low <= tolerance + _ROUNDING


def cut_at_gaps(
    things: Sequence[T], value_of: Callable[[T], float | None], is_one: Callable[[float, float], bool]
) -> list[list[T]]:
    """Part things by a value, at its largest gaps until each part is one; the smallest first, without a value last."""
    values = [value_of(one) for one in things]
    parts = _cut(sorted({value for value in values if value is not None}), is_one)
    found = [[one for one, value in zip(things, values, strict=True) if value in part] for part in parts]
    unknown = [one for one, value in zip(things, values, strict=True) if value is None]
    return found + ([unknown] if unknown else [])


def _cut(values: Sequence[float], is_one: Callable[[float, float], bool]) -> list[set[float]]:
    """Cut ascending values at their largest gaps until the ends of each part are one."""
    if not values:
        return []
    if is_one(values[0], values[-1]):
        return [set(values)]
    gaps = [high - low for low, high in pairwise(values)]
    at = gaps.index(max(gaps)) + 1
    return _cut(values[:at], is_one) + _cut(values[at:], is_one)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return fmean(known) if known else None
