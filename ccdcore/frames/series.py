"""Nights, windows and the frames of a calibration set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import TypeVar

from ccdcore.frames.frame import Frame, SeriesFrame
from ccdcore.headers.instrument import FrameType

AnyFrame = TypeVar("AnyFrame", bound=Frame | SeriesFrame)

SHORT_DARK_S = 0.1
"""A dark as short as this is a bias but for its name."""
_PAIR = 2
_TOO_MANY_TIMES, _CLOCK_S = 100.0, 60.0
"""How often their time exposures fill before their unit is doubted, and how far off a clock without seconds is."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A frame that does not belong, and why."""

    frame: SeriesFrame
    reason: str


def in_time_order(frames: Iterable[AnyFrame]) -> tuple[AnyFrame, ...]:
    """Return frames by the begin of their exposure, then by file name; those of unknown time come last."""
    latest = datetime.max.replace(tzinfo=UTC)
    return tuple(sorted(frames, key=lambda frame: (frame.info.date_obs or latest, frame.path.name)))


def nominal_exposure(frame: SeriesFrame) -> float | None:
    """Return the exposure time in seconds to three significant digits.

    Exposures that agree in it count as the same: shutters and headers are
    hardly better than that, and the difference does not matter for a flat.
    """
    exposure = frame.info.exposure_time_s
    return None if exposure is None else float(f"{exposure:.3g}")


def flat_groups(frames: Iterable[SeriesFrame]) -> dict[tuple[str | None, float | None], tuple[SeriesFrame, ...]]:
    """Return the flats among ``frames`` by filter and `nominal_exposure` in seconds, each group in time order."""
    groups: dict[tuple[str | None, float | None], list[SeriesFrame]] = {}
    for frame in in_time_order(frame for frame in frames if frame.info.frame_type is FrameType.FLAT):
        groups.setdefault((frame.info.filter, nominal_exposure(frame)), []).append(frame)
    return {key: tuple(group) for key, group in groups.items()}


def with_stand_ins(frames: Sequence[SeriesFrame]) -> tuple[SeriesFrame, ...]:
    """Let darks stand in for biases where there are none.

    Darks of at most `SHORT_DARK_S` do, where there are two of them; else darks
    of the same `nominal_exposure` as flats, whose dark signal is then taken
    off these flats with the bias level: of several exposures those of the shortest.

    Parameters
    ----------
    frames : sequence of SeriesFrame
        The frames of a calibration set, borrowed ones among them.

    Returns
    -------
    tuple of SeriesFrame
        The same frames in the same order; those that stand in are of type bias.
    """
    if any(frame.info.frame_type is FrameType.BIAS for frame in frames):
        return tuple(frames)
    stand_ins = {frame.sha256 for frame in _stand_ins(frames)}
    return tuple(
        replace(frame, info=replace(frame.info, frame_type=FrameType.BIAS)) if frame.sha256 in stand_ins else frame
        for frame in frames
    )


def _stand_ins(frames: Sequence[SeriesFrame]) -> list[SeriesFrame]:
    darks = [frame for frame in frames if frame.info.frame_type is FrameType.DARK]
    short = [
        frame for frame in darks if (exposure := frame.info.exposure_time_s) is not None and exposure <= SHORT_DARK_S
    ]
    flat_exposures = {nominal_exposure(frame) for frame in frames if frame.info.frame_type is FrameType.FLAT}
    exposures = sorted(one for one in flat_exposures if one is not None)
    matching = ([frame for frame in darks if nominal_exposure(frame) == one] for one in exposures)
    return next((some for some in (short, *matching) if len(some) >= _PAIR), [])


def is_long_dark(frame: SeriesFrame) -> bool:
    """Whether a frame that may stand in for a bias is a dark that its dark signal tells from one."""
    return frame.info.frame_type is FrameType.DARK and not (frame.info.exposure_time_s or inf) <= SHORT_DARK_S


def stand_in_note(stand_ins: Iterable[SeriesFrame]) -> str | None:
    """Say in words which darks stand in for biases; None where none do."""
    exposures = [frame.info.exposure_time_s or 0.0 for frame in stand_ins]
    if not exposures:
        return None
    shortest, longest = (f"{limit(exposures):g}" for limit in (min, max))
    span = shortest if shortest == longest else f"{shortest} to {longest}"
    if max(exposures) <= SHORT_DARK_S:
        return f"no biases: {len(exposures)} darks of {span} s stand in for them"
    return (
        f"no biases: {len(exposures)} darks of {span} s, as long as flats, stand in for them: "
        "the bias level and the read noise include the dark signal and its noise"
    )


def beyond_their_time(frames: Iterable[Frame | SeriesFrame]) -> str | None:
    """Say that the exposures of frames add up to far more than the time in which they were taken; None if they do not.

    Milliseconds that nothing calls so, taken for seconds, do. Frames without a time say nothing.
    """
    timed = [
        (frame.info.date_obs, frame.info.exposure_time_s)
        for frame in frames
        if frame.info.date_obs is not None and frame.info.exposure_time_s is not None
    ]
    if not timed:
        return None
    times, exposures = zip(*timed, strict=True)
    # The date is that of the begin, middle or end: one of the exposures lies outside.
    exposed_s, passed_s = sum(exposures) - max(exposures), (max(times) - min(times)).total_seconds()
    if passed_s == 0 or exposed_s <= _TOO_MANY_TIMES * (passed_s + _CLOCK_S):
        return None
    return (
        f"{len(timed)} exposures of {min(exposures):g} to {max(exposures):g} s were taken within {passed_s:.0f} s: "
        "the exposure time is in another unit, or the date is not that of the exposure; "
        "set `exposure_time_unit_s` of the instrument: 0.001 for milliseconds"
    )
