"""Masters of the frames that are alike: those that spoil them are left out, and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ccdcore.frames.frame import SeriesFrame
from ccdcore.masters.build import CalibrationFrame, Master
from ccdcore.masters.repair import Repaired, without_culprits
from ccdcore.reduction.master import Darks
from flows.runs.lacks import leave_out
from flows.runs.run import Run


def repaired(
    run: Run,
    product: str,
    make: Callable[[Sequence[CalibrationFrame]], Master],
    frames: Sequence[SeriesFrame],
    bias: Master | None = None,
    dark: Darks | None = None,
) -> Repaired:
    """Make a master of the frames that are alike, leave out the others, and return it with what is doubtful."""
    fewest = getattr(run.home.settings.recipes, frames[0].info.frame_type).min_frames
    made = without_culprits(make, frames, fewest=fewest, bias=bias, dark=dark)
    for frame in frames:
        if frame.sha256 in made.left_out:
            leave_out(run, product, [frame], made.left_out[frame.sha256])
    return made
