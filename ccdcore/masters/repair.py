"""A master without the frames that spoil it: every one of its frames is held against the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ccdcore.consistency.blocks import BlockResiduals, block_residuals
from ccdcore.consistency.culprits import Place, chi_square, find_culprits, from_the_others
from ccdcore.consistency.stability import Change, largest_change
from ccdcore.consistency.warming import warming
from ccdcore.frames.series import in_time_order
from ccdcore.masters.check import rejected_too_often
from ccdcore.reduction.master import Darks, Master
from ccdcore.reduction.reduce import CalibrationFrame

_ROUNDS = False, False, True
"""Frames are left out twice at most: of the last master they are named only."""
_MOST_CHANGE = 0.05
"""Of flats whose light changed by more than this part of it from the first to the last, the mean is true of none: it is
what lamps and skies may change by from one night to the next. Nothing such changes biases and darks."""
_MOST_NAMES = 12
_FEWEST_TO_AGREE, _SAME_CHANGE = 2, 0.3
"""Frames, and the least correlation of what they differ by from the others, where they show the same."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A master, and what came of the check of all its frames.

    Parameters
    ----------
    master : Master
        Of the frames that are alike.
    left_out : mapping of str to str
        SHA-256 of each frame that is not in it → why.
    doubts : tuple of str
        What is wrong with the frames that are in it, in words.
    contradiction : str or None
        That of the doubts which says that its frames contradict each other, so that it may be true of none of them.
    """

    master: Master
    left_out: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    contradiction: str | None = None


def without_culprits(
    make: Callable[[Sequence[CalibrationFrame]], Master],
    frames: Sequence[CalibrationFrame],
    *,
    fewest: int,
    bias: Master | None = None,
    dark: Darks | None = None,
) -> Repaired:
    """Make a master, hold each of its frames against the others, and make it again without those that spoil it.

    Where they are as many as the others nobody can say which are right; where too few would be left, all stay: they
    are named in the doubts.

    Parameters
    ----------
    make : callable
        Makes the master of frames.
    frames : sequence of Frame or SeriesFrame
        Raw frames, in any order; shape (rows, columns), ADU.
    fewest : int
        Frames that a master needs.
    bias, dark : Master, or tuple of Master for the latter, optional
        Those that ``make`` takes off.

    Returns
    -------
    Repaired

    Raises
    ------
    CcdError
        What ``make`` raises, or if a file cannot be read.
    """
    kept, left_out, doubts = in_time_order(frames), dict[str, str](), list[str]()
    for is_last in _ROUNDS:
        master = make([frame for frame in frames if frame.sha256 not in left_out])
        blocks = block_residuals(kept, master, bias=bias, dark=dark)
        reasons = _reasons(blocks, kept, master)
        n_left = len(kept) - len(reasons)
        if is_last or not reasons or n_left < fewest or 2 * n_left <= len(kept):
            break
        doubts += filter(None, [_changed_for_good(blocks, kept, reasons)] if master.kind == "flat" else [])
        left_out |= reasons
        kept = tuple(frame for frame in kept if frame.sha256 not in left_out)
    contradiction = None
    if reasons:
        doubts.append(contradiction := _not_left_out(kept, reasons))
    change = largest_change(blocks, master.kind)
    if change is not None:
        doubts.append(_of_change(change, kept, master.unit))
        if master.kind != "flat" or abs(change.where.off) > _MOST_CHANGE * change.where.response:
            contradiction = contradiction or doubts[-1]
    if master.kind == "dark" and (said := warming(kept, master, bias=bias)) is not None:
        doubts.append(said)
        contradiction = contradiction or said
    return Repaired(master, left_out, tuple(doubts), contradiction)


def _reasons(blocks: BlockResiduals, frames: Sequence[CalibrationFrame], master: Master) -> dict[str, str]:
    """Say in words why frames spoil a master: SHA-256 → reason."""
    scales = {entry.sha256: entry.scale for entry in master.inputs}
    culprits = find_culprits(blocks, [scales[frame.sha256] for frame in frames], master.kind)
    reasons = rejected_too_often(master)
    alike = np.ones(len(frames), bool)
    alike[culprits.numbers] = False
    for number in culprits.numbers:
        said = list(filter(None, [reasons.get(frames[number].sha256)]))
        if number in culprits.pattern:
            said.append(_of_pattern(culprits.pattern[number], int(np.count_nonzero(alike)), master))
        if number in culprits.level:
            said.append(f"its level is {culprits.level[number]:+.3g} {master.unit} from that of the others")
        if number in culprits.scatter:
            said.append(f"its pixels scatter {culprits.scatter[number]:.2f} times as much as those of the others")
        with_it = alike.copy()
        with_it[number] = True
        chi = f"χ² of the master {chi_square(blocks, with_it):.2f} with it, {chi_square(blocks, alike):.2f} without"
        reasons[frames[number].sha256] = f"{'; '.join(said)} ({chi})"
    return reasons


def _of_pattern(where: Place, n_others: int, master: Master) -> str:
    guess = "dust that moved, stray light, another filter?" if master.kind == "flat" else "stray light, pick-up?"
    return (
        f"its pattern is not that of {n_others} others: {_amount(where.off, where, master.unit)} in {where}, "
        f"{abs(where.off) / where.sigma:.0f} σ ({guess})"
    )


def _amount(off: float, where: Place, unit: str) -> str:
    return f"{off:+.3g} {unit}" if unit else f"{off / where.response:+.2%}"


def _changed_for_good(
    blocks: BlockResiduals, frames: Sequence[CalibrationFrame], reasons: Mapping[str, str]
) -> str | None:
    """Say that what is left out is one end of a series, and shows the same: what comes after may show it too."""
    numbers = [n for n, frame in enumerate(frames) if frame.sha256 in reasons]
    n, total = len(numbers), len(frames)
    is_end, is_begin = numbers == list(range(total - n, total)), numbers == list(range(n))
    if n < _FEWEST_TO_AGREE or not (is_end or is_begin):
        return None
    alike = np.ones(total, bool)
    alike[numbers] = False
    off, weight = from_the_others(blocks, alike)
    pulls = (off * np.sqrt(weight)).reshape(total, -1)[numbers]
    if np.asarray(np.corrcoef(pulls))[0, 1:].min() < _SAME_CHANGE:
        return None
    which = (
        f"the last {n} of {total} frames, from {frames[numbers[0]].path.name} on,"
        if is_end
        else (f"the first {n} of {total} frames, up to {frames[numbers[-1]].path.name},")
    )
    return (
        f"{which} agree on another pattern than the others, and are left out: it changed for good (condensation that "
        "dried, dust that moved), so that flats are needed from before and after"
    )


def _not_left_out(frames: Sequence[CalibrationFrame], reasons: Mapping[str, str]) -> str:
    named = [f"{frame.path}: {reasons[frame.sha256]}" for frame in frames if frame.sha256 in reasons]
    more = f"; and {len(named) - _MOST_NAMES} more" if len(named) > _MOST_NAMES else ""
    return (
        f"{len(named)} of its {len(frames)} frames are not like the others, and too few would be left without them: "
        f"{'; '.join(named[:_MOST_NAMES])}{more}"
    )


def _of_change(change: Change, frames: Sequence[CalibrationFrame], unit: str) -> str:
    where = change.where
    each = [
        f"{frame.path.name} {_amount(off, where, unit)}" for frame, off in zip(frames, change.of_frames, strict=True)
    ]
    if len(each) > _MOST_NAMES:
        each = [*each[: _MOST_NAMES // 2], "…", *each[-_MOST_NAMES // 2 :]]
    how = (
        f"drifts by {_amount(where.off, where, unit)} from the first frame to the last"
        if change.is_drift
        else f"wanders by {_amount(where.off, where, unit)} RMS from frame to frame"
    )
    guess = " (a spot that fades or moves, a gradient that turns, a shutter)" if not unit else ""
    return f"what is seen in {where} {how}{guess}: {', '.join(each)}"
