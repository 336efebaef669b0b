"""Which frames of a calibration set do not belong, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from math import inf
from statistics import median, median_low

import numpy as np
import numpy.typing as npt

from ccdcore.frames.frame import FrameStatistics, SeriesFrame
from ccdcore.frames.groups import deciding_temperature, frame_groups, temperature_groups
from ccdcore.frames.lamp_trend import off_trend, robust_scatter
from ccdcore.frames.series import Exclusion, flat_groups, in_time_order
from ccdcore.headers.converted import A_RATE, NO_ADU
from ccdcore.headers.instrument import FrameType
from ccdcore.numerics.pixel_values import not_adu
from ccdcore.recipe import Recipes

Reasons = dict[str, str]
"""SHA-256 of a frame → why it does not belong."""

Levels = npt.NDArray[np.float64]
"""Levels in ADU, shape (frames, amplifiers)."""

_FEWEST = 3
"""Of fewer frames nobody can say which is the odd one."""

_SATURATED_FRACTION = 0.01
_NEGATIVE, _BELOW_ZERO_ADU = 1e-3, 300.0
TOLERANCE_K = 5.0
"""Flats so far from the others in kelvin, or their biases, do not belong to them: level, pattern and gain follow."""

BIAS_DRIFT_ADU = 5.0
"""Bias levels drift by this much from night to night."""

_NOISE_RATIO = 1.5
_SAME_LIGHT, _LESS_NOISE = 0.05, 0.1
"""Levels of flats that may be compared, relative; and the noise that finished ones lack, beside the pattern."""

_PAUSE = timedelta(hours=4)
"""After so long a lamp may be another one, or set differently."""


def judge_series(
    frames: Sequence[SeriesFrame], *, recipes: Recipes | None = None
) -> tuple[tuple[SeriesFrame, ...], tuple[Exclusion, ...]]:
    """Tell the frames of a calibration set that do not belong to it from those that do.

    Each rule sees only the frames that the rules before it have kept:
    frames of one value; calibrated and averaged ones; those that are no ADU, or wrapped; another shape or other
    amplifiers than most of the set; saturated flats and darks; another
    temperature than most of their type, of biases and darks where there are not enough for a master of their own;
    biases and darks whose level or noise is not that of the others of their temperature and exposure; averages among
    raw flats; flats whose flux is off
    the trend of their neighbours, where the lamp is stable. Ramps, twilights
    and exposure series are no faults. A frame is left out when any of its
    amplifiers does not belong.

    Parameters
    ----------
    frames : sequence of SeriesFrame
        Biases, darks and flats of one calibration set, in any order,
        borrowed biases among them.
    recipes : Recipes, optional
        How far temperatures of one master may range.

    Returns
    -------
    kept : tuple of SeriesFrame
        In the order given.
    excluded : tuple of Exclusion
        The others, in the order given, each with its reason in words.
    """
    rules: tuple[Callable[[Sequence[SeriesFrame]], Reasons], ...] = (
        _constant,
        _of_other_unit,
        _averaged,
        _no_adu,
        _wrapped,
        _of_other_layout,
        _saturated,
        _of_other_temperature,
        partial(_of_other_level_or_noise, recipes=recipes or Recipes()),
        _averaged_flats,
        _of_other_flux,
    )
    reasons: Reasons = {}
    for rule in rules:
        reasons |= rule([frame for frame in frames if frame.sha256 not in reasons])
    kept = tuple(frame for frame in frames if frame.sha256 not in reasons)
    excluded = tuple(Exclusion(frame, reasons[frame.sha256]) for frame in frames if frame.sha256 in reasons)
    return kept, excluded


def _constant(frames: Sequence[SeriesFrame]) -> Reasons:
    """Find frames that show no noise at all; one brighter than living biases is saturated, which is another rule's."""
    alive = [of.median for frame in _of_type(frames, FrameType.BIAS) for of in frame.statistics if not _is_even(of)]
    unlit = max(alive, default=inf)
    reasons = {}
    for frame in frames:
        is_lit = frame.info.frame_type is not FrameType.BIAS
        if frame.statistics and all(
            _is_even(each) and not (is_lit and (each.minimum > unlit or _is_full_scale(each)))
            for each in frame.statistics
        ):
            values = " and ".join(dict.fromkeys(f"{each.minimum:g}" for each in frame.statistics))
            guess = "offset too low, " if values == "0" else "saturated, " if is_lit and unlit == inf else ""
            reasons[frame.sha256] = f"every pixel is {values} ADU: {guess}dead converter, cable off, or too few bits?"
    return reasons


def _is_even(statistics: FrameStatistics) -> bool:
    return statistics.minimum == statistics.maximum


def _is_full_scale(statistics: FrameStatistics) -> bool:
    """Whether the largest value is the largest of a converter of 8 bits or more, as it is or padded to 16."""
    plain = {2.0**bits - 1 for bits in range(8, 33)}
    return statistics.maximum in plain | {2.0**16 - 2.0 ** (16 - bits) for bits in range(8, 16)}


def _of_other_unit(frames: Sequence[SeriesFrame]) -> Reasons:
    """Find rates, and fractions of other units; whole numbers may be ADU whatever BUNIT says."""
    return {
        frame.sha256: said
        for frame in frames
        for said in frame.info.frame_type_reason.split("; ")
        if said.startswith(NO_ADU) and (A_RATE in said or any(one.step < 1 for one in frame.statistics))
    }


def _averaged(frames: Sequence[SeriesFrame]) -> Reasons:
    reasons = {}
    for frame in frames:
        shown = max((each.n_averaged for each in frame.statistics), default=1)
        if frame.info.n_averaged > 1:
            reasons[frame.sha256] = f"average or sum of {frame.info.n_averaged} exposures, not a raw frame"
        elif shown > 1:
            evidence = f"its pixels are multiples of 1/{shown} ADU"
            pixels = " or pixels (binned by a program, not the camera?)" if shown in {4, 9, 16} else ""
            reasons[frame.sha256] = f"average of {shown} exposures{pixels}, not a raw frame: {evidence}"
    return reasons


def _no_adu(frames: Sequence[SeriesFrame]) -> Reasons:
    return {
        frame.sha256: reason
        for frame in frames
        for one in frame.statistics
        if (reason := not_adu(one.step, one.noise)) is not None
    }


def _wrapped(frames: Sequence[SeriesFrame]) -> Reasons:
    """Find unsigned numbers that were written as signed ones: there is no light below that of the biases."""
    biases = _of_type(frames, FrameType.BIAS)
    if not biases or median(float(of.median) for frame in biases for of in frame.statistics) < 0:
        return {}
    reasons = {}
    for frame in frames:
        worst = max(frame.statistics, key=lambda of: of.negative_fraction, default=None)
        if worst is not None and worst.negative_fraction > _NEGATIVE and worst.minimum < -_BELOW_ZERO_ADU:
            # Numbers that wrap are whole.
            guess = (
                "unsigned numbers without BZERO? let the driver write BZERO = 32768"
                if worst.step
                else "fractions, from which a program took a bias or dark, or that it divided? give raw frames"
            )
            reasons[frame.sha256] = (
                f"{worst.negative_fraction:.1%} of its pixels are negative numbers, down to {worst.minimum:.0f} "
                f"ADU, the biases are not: {guess}"
            )
    return reasons


def _of_other_layout(frames: Sequence[SeriesFrame]) -> Reasons:
    layouts = {frame.sha256: _layout(frame) for frame in frames}
    most = Counter(layouts.values()).most_common(1)
    return {
        sha256: f"{layout}, where {count} of {len(frames)} frames of the set have {usual}"
        for usual, count in most
        for sha256, layout in layouts.items()
        if layout != usual
    }


def _layout(frame: SeriesFrame) -> str:
    rows, columns = frame.shape
    names = ", ".join(
        amplifier.name + (f" with overscan {amplifier.overscan}" if amplifier.overscan else "")
        for amplifier in frame.amplifiers
    )
    return f"{rows} × {columns} pixels (amplifier{'s' if len(frame.statistics) > 1 else ''} {names})"


def _saturated(frames: Sequence[SeriesFrame]) -> Reasons:
    reasons = {}
    dead = _dead_amplifiers(frames)
    for frame in _of_type(frames, FrameType.FLAT, FrameType.DARK):
        fractions = np.array([0.0 if one.amplifier in dead else one.saturated_fraction for one in frame.statistics])
        if fractions.max() > _SATURATED_FRACTION:
            worst, where = _worst(frame, np.where(fractions > _SATURATED_FRACTION, fractions, 0.0))
            ceiling = frame.statistics[int(np.argmax(fractions))].maximum
            reasons[frame.sha256] = f"saturated: {100 * worst:.0f} % of the pixels{where} at {ceiling:.0f} ADU"
    return reasons


def _dead_amplifiers(frames: Sequence[SeriesFrame]) -> set[str]:
    """Return the amplifiers that give one number in all biases: those of the others tell of the light."""
    biases = _of_type(frames, FrameType.BIAS)
    alive = {one.amplifier for frame in biases for one in frame.statistics if one.minimum < one.maximum}
    return {one.amplifier for frame in biases for one in frame.statistics} - alive if alive else set()


def _of_other_temperature(frames: Sequence[SeriesFrame]) -> Reasons:
    reasons = {}
    for frame_type in FrameType:
        of_type = _of_type(frames, frame_type)
        known = {one.sha256: t for one in of_type if (t := deciding_temperature(one.info)) is not None}
        groups = temperature_groups(of_type, TOLERANCE_K)
        few = {one.sha256 for group in groups if len(group) < _FEWEST for one in group}
        if len(known) < _FEWEST:
            continue
        usual = median_low(known.values())
        far = {sha256: value for sha256, value in known.items() if abs(value - usual) > TOLERANCE_K}
        if frame_type is not FrameType.FLAT:  # enough of one temperature make a master of their own
            far = {sha256: far[sha256] for sha256 in far.keys() & few}
        if len(far) < len(known) / 2:
            for sha256, value in far.items():
                reasons[sha256] = f"detector at {value:.1f} °C, the other {frame_type} frames at {usual:.1f} °C"
    return reasons


def temperature_gap(biases: Iterable[SeriesFrame], frames: Iterable[SeriesFrame]) -> str | None:
    """Say in words where biases were taken more than 5 K warmer or colder than other frames; None where not.

    The bias level, its pattern and the gain follow the temperature.
    """
    middle = [
        median(known)
        for some in (biases, frames)
        if (known := [t for frame in some if (t := frame.info.ccd_temperature_c) is not None])
    ]
    if len(middle) < 2 or abs(middle[0] - middle[1]) <= TOLERANCE_K:
        return None
    return f"detector at {middle[0]:.1f} °C in the biases, at {middle[1]:.1f} °C in the other frames"


def _of_other_level_or_noise(frames: Sequence[SeriesFrame], recipes: Recipes) -> Reasons:
    reasons: Reasons = {}
    for frame_type, recipe in ((FrameType.BIAS, recipes.bias), (FrameType.DARK, recipes.dark)):
        some = _of_type(frames, frame_type)
        is_dark = frame_type is FrameType.DARK
        for group in frame_groups(some, tolerance_k=recipe.temperature_tolerance_k, by_exposure=is_dark):
            if len(group.frames) >= _FEWEST:
                reasons |= _of_other_noise(group.frames, frame_type) | _of_other_level(group.frames, frame_type)
    return reasons


def _of_other_level(group: Sequence[SeriesFrame], frame_type: FrameType) -> Reasons:
    levels = _levels(group, overscan=_have_overscan(group))
    deviations = levels - np.median(levels, axis=0)
    scatter = 1.4826 * np.median(np.abs(deviations), axis=0)
    limits = np.maximum(np.maximum(3 * np.median(_noises(group), axis=0), 8 * scatter), BIAS_DRIFT_ADU)
    below = "read-out not settled?" if frame_type is FrameType.BIAS else "shorter than its header says?"
    reasons = {}
    for frame, deviation in zip(group, np.where(np.abs(deviations) > limits, deviations, 0.0), strict=True):
        if deviation.any():
            worst, where = _worst(frame, deviation)
            side, guess = ("above", "light leak?") if worst > 0 else ("below", below)
            guess = f"its offset jumped, or {guess}" if where else guess
            reasons[frame.sha256] = f"level{where} {abs(worst):.1f} ADU {side} the other {frame_type} frames ({guess})"
    return reasons


def _of_other_noise(group: Sequence[SeriesFrame], frame_type: FrameType) -> Reasons:
    noises = _noises(group)
    usual = np.median(noises, axis=0)
    reasons = {}
    for frame, noise in zip(group, noises, strict=True):
        for off, guess in (
            (noise > _NOISE_RATIO * usual, "pick-up, light, or another gain setting?"),
            (noise * _NOISE_RATIO < usual, "an average of several?"),
        ):
            if off.any():
                value, where = _worst(frame, np.where(off, noise, 0.0))
                reasons[frame.sha256] = (
                    f"noise{where} {value:.1f} ADU, that of the other {frame_type} frames "
                    f"{np.median(usual[off]):.1f} ADU ({guess})"
                )
    # Where half of them are off nobody can say which half: that two kinds are mixed is told with the gain.
    return reasons if 2 * len(reasons) < len(group) else {}


def _averaged_flats(frames: Sequence[SeriesFrame]) -> Reasons:
    """Tell finished flats among raw ones: they have the pattern of the pixels, but not the noise."""
    reasons: Reasons = {}
    for group in flat_groups(frames).values():
        levels = _levels(group, overscan=False)
        alike = np.all(np.abs(levels / np.maximum(np.median(levels, axis=0), 1e-9) - 1) < _SAME_LIGHT, axis=1)
        run = [frame for frame, same in zip(group, alike, strict=True) if same]
        if len(run) < _FEWEST:
            continue
        noises = _noises(run) / np.maximum(levels[alike], 1e-9)
        usual = np.median(noises, axis=0)
        scatter = 1.4826 * np.median(np.abs(noises - usual), axis=0)
        off = np.all(noises < usual - np.maximum(_LESS_NOISE * usual, 8 * scatter), axis=1)
        if 2 * np.count_nonzero(off) < len(run):
            for frame, share in zip(np.array(run, dtype=object)[off], (noises / usual).min(axis=1)[off], strict=True):
                reasons[frame.sha256] = (
                    f"noise {100 * (1 - share):.0f} % below that of the other flat frames of its light "
                    "(an average of several?)"
                )
    return reasons


def _of_other_flux(frames: Sequence[SeriesFrame]) -> Reasons:
    biases = in_time_order(_of_type(frames, FrameType.BIAS))
    overscan = _have_overscan(_of_type(frames, FrameType.BIAS, FrameType.FLAT))
    reasons: Reasons = {}
    for group in flat_groups(frames).values():
        for run in _without_pauses(group):
            if len(run) >= _FEWEST:
                flux = _levels(run, overscan=overscan)
                wander = np.zeros(flux.shape[1])
                if biases:
                    levels = _levels(biases, overscan=overscan)
                    flux -= np.median(levels, axis=0)
                    wander = _wander(levels)
                reasons |= _off_trend(run, flux, 5 * wander)
    return reasons


def _off_trend(run: Sequence[SeriesFrame], flux: Levels, floors_adu: Levels) -> Reasons:
    deviations = np.stack([off_trend(*each) for each in zip(flux.T, floors_adu, strict=True)], axis=1)
    begun = False
    reasons = {}
    for frame, deviation in zip(run, deviations, strict=True):
        if not deviation.any():
            begun = True
            continue
        worst, where = _worst(frame, deviation)
        side, guess = ("above", "stray light?") if worst > 0 else ("below", "lamp or shutter?")
        if worst < 0 and not begun:
            guess = "lamp warming up?"
        reasons[frame.sha256] = f"flux{where} {100 * abs(worst):.0f} % {side} its neighbours ({guess})"
    return reasons


def _wander(levels: Levels) -> Levels:
    """Return how much the bias level varies from frame to frame; a drift from night to night does not count."""
    if len(levels) < 2:
        return np.zeros(levels.shape[1])
    return robust_scatter(np.diff(levels, axis=0)) / 2**0.5


def _without_pauses(group: Iterable[SeriesFrame]) -> list[list[SeriesFrame]]:
    runs: list[list[SeriesFrame]] = []
    for frame in group:
        begin = frame.info.date_obs
        previous = runs[-1][-1].info.date_obs if runs else None
        if not runs or (begin is not None and previous is not None and begin - previous > _PAUSE):
            runs.append([])
        runs[-1].append(frame)
    return runs


def _levels(frames: Sequence[SeriesFrame], *, overscan: bool) -> Levels:
    return np.array(
        [
            [each.level - ((each.overscan_level or 0.0) if overscan else 0.0) for each in frame.statistics]
            for frame in frames
        ]
    )


def _have_overscan(frames: Sequence[SeriesFrame]) -> bool:
    return all(each.overscan_level is not None for frame in frames for each in frame.statistics)


def _of_type(frames: Iterable[SeriesFrame], *types: FrameType) -> list[SeriesFrame]:
    return [frame for frame in frames if frame.info.frame_type in types]


def _noises(frames: Sequence[SeriesFrame]) -> Levels:
    return np.array([[each.noise for each in frame.statistics] for frame in frames])


def _worst(frame: SeriesFrame, values: Levels) -> tuple[float, str]:
    """Return the largest of an odd frame's values, and words for the amplifiers where they are not zero."""
    names = [each.amplifier for each, value in zip(frame.statistics, values, strict=True) if value]
    plural = "s" if len(names) > 1 else ""
    where = "" if len(names) == len(frame.statistics) else f" of amplifier{plural} {', '.join(names)}"
    return float(values[np.argmax(np.abs(values))]), where
