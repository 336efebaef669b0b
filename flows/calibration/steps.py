"""What is done to a calibration set: plain functions of the run, in one list.

Each step takes the open run, reads what it needs from the record and from
files, and records what it made; ids go out, never arrays. Nothing of a run shows before its release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccdcore.assembling.bad_pixels import bad_pixels_together
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.series import with_stand_ins
from ccdcore.frames.series_health import judge_series
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.bad_pixels import find_bad_pixels
from ccdcore.masters.file import read_master
from ccdcore.mosaics.detectors import detectors_of, of_detector
from ccdcore.reduction.overscan import believed_overscans
from db.judgements.marks import bad_frames
from db.runs.inputs import NewInput
from db.runs.lifecycle import finish_run
from db.runs.masters import run_masters
from flows.calibration.figures import draw_pictures
from flows.home.home import Home
from flows.home.processes import now
from flows.masters.biases import make_master_bias
from flows.masters.darks import make_master_darks
from flows.masters.flats import make_master_flats
from flows.products.figures import complete_figures
from flows.products.ingredients import (
    measured,
)
from flows.products.measurements import bad_pixel_rows, conditions
from flows.products.measuring import measure, measure_response
from flows.products.publish import publish_mask
from flows.products.references import refresh_references
from flows.products.trends import judge_trends
from flows.registration.disagreements import no_exposures
from flows.runs.lacks import NothingMadeError, ProductFailedError, producing
from flows.runs.memory import require_memory
from flows.runs.plan import frames_of_set
from flows.runs.run import Run
from flows.runs.verification import GONE, require_unchanged, verify_inputs

if TYPE_CHECKING:
    from ccdcore.masters.bad_pixels import BadPixels
    from ccdcore.masters.build import Master
    from db.runs.masters import MasterRow


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a calibration.

    Parameters
    ----------
    name : str
        As the Prefect UI shows it.
    function : callable
        What it does.
    is_urgent : bool
        Whether somebody waits for it; else it leaves the processor to the runs of other sets.
    is_for_all : bool
        Whether nothing can be done without it; else its failure is that of its products.
    """

    name: str
    function: Callable[[Run], list[int]]
    is_urgent: bool = True
    is_for_all: bool = False


def do(step: Step, run: Run) -> list[int]:
    """Do a step.

    Raises
    ------
    ProductFailedError
        If a product of it failed, once the others are made.
    Exception
        What is no product's own trouble.
    """
    if step.is_for_all:
        return step.function(run)
    known, made = len(run.failures), []
    with producing(run, step.name):
        made = step.function(run)
    if failed := run.failures[known:]:
        raise ProductFailedError("; ".join(f"{one.product}: {one.reason}" for one in failed))
    return made


def judge_frames(run: Run) -> list[int]:
    """Put on record which frames of the set are used, and why others are left out."""
    require_memory(run.home, run.id)
    with run.home.read_session() as session:
        own, from_elsewhere = frames_of_set(session, run.home.settings, run.row.set_id)
        marked = bad_frames(session)
    found = [*own, *from_elsewhere]
    there, gone = _on_disk(run.home, [frame for frame in found if frame.sha256 not in marked])
    repeated = no_exposures(run.home, there)
    frames, _ = believed_overscans([frame for frame in there if frame.sha256 not in repeated])
    kept, excluded = judge_series(with_stand_ins(frames), recipes=run.home.settings.recipes)
    unusable = [*(frame for frame in found if frame.sha256 in marked), *gone]
    unusable += [frame for frame in there if frame.sha256 in repeated]
    borrowed = {frame.sha256 for frame in from_elsewhere}
    reasons = dict.fromkeys((frame.sha256 for frame in gone), GONE) | repeated | marked
    reasons |= {exclusion.frame.sha256: exclusion.reason for exclusion in excluded}
    inputs = [
        NewInput(
            role=str(frame.info.frame_type),
            sha256=frame.sha256,
            path=str(frame.path),
            excluded=reasons.get(frame.sha256),
            borrowed=frame.sha256 in borrowed,
        )
        for frame in (*kept, *(exclusion.frame for exclusion in excluded), *unusable)
    ]
    run.put_inputs(inputs)
    verify_inputs(run)
    return []


def _on_disk(home: Home, frames: Sequence[SeriesFrame]) -> tuple[list[SeriesFrame], list[SeriesFrame]]:
    """Part frames into those whose file is there, and those whose file is gone, as far as products can do without.

    Raises
    ------
    InsufficientDataError
        If too few of a type are left: earlier results, made of all, are then the better ones.
    """
    there = [frame for frame in frames if frame.path.exists()]
    gone = [frame for frame in frames if not frame.path.exists()]
    for kind in dict.fromkeys(frame.info.frame_type for frame in gone):
        lost = [frame for frame in gone if frame.info.frame_type is kind]
        left = sum(frame.info.frame_type is kind for frame in there)
        if left < min(left + len(lost), getattr(home.settings.recipes, kind).min_frames):
            raise InsufficientDataError(
                f"{len(lost)} of {left + len(lost)} {kind} frames are gone, for example {lost[0].path}: bring them "
                "back, then type ccdwatch retry with the ID of this run"
            )
    return there, gone


def make_bad_pixel_mask(run: Run) -> list[int]:
    """Find hot, dead, noisy and non-linear pixels by the masters of the run; count and mask them."""
    biases = run.used(FrameType.BIAS, borrowed=False)
    if not biases:
        return []
    with run.home.read_session() as session:
        rows = run_masters(session, run.id)
    noise = measured(run, "read_noise_adu")
    good = [row for row in rows if row.certified]
    if not any(row.kind == "bias" for row in good) or noise is None:
        lacking = "read noise" if noise is None else "certified master bias"
        raise InsufficientDataError(f"no bad pixels are looked for without a {lacking} of this window")
    flats = run.used(FrameType.FLAT)
    if detectors := detectors_of([*biases, *flats]):
        each = ((one, [of_detector(biases[0], one)], [of_detector(flat, one) for flat in flats]) for one in detectors)
        found = ((one, _bad_pixels(run, good, noise, *frames)) for one, *frames in each)
        bad = bad_pixels_together(biases[0].shape, found)
    else:
        bad = _bad_pixels(run, good, noise, biases, flats)
    measurements = bad_pixel_rows(bad, conditions([*biases, *flats], now()))
    run.put_measurements(measurements)
    return [publish_mask(run, bad)]


def _bad_pixels(
    run: Run,
    rows: Sequence[MasterRow],
    noise: Mapping[str, float],
    biases: Sequence[SeriesFrame],
    flats: Sequence[SeriesFrame],
) -> BadPixels:
    """Find the bad pixels of frames, or of their parts of a detector, by masters, of which a bias is one."""
    detector = biases[0].detector

    def read(kind: str) -> Iterator[Master]:
        of_kind = [row for row in rows if row.kind == kind]
        best_first = sorted(of_kind, key=lambda row: (-(row.exposure_s or 0), -row.n_combined))
        return (read_master(run.home.path / row.path, mapped=True, detector=detector) for row in best_first)

    return find_bad_pixels(
        next(read("bias")),
        amplifiers=biases[0].amplifiers,
        read_noise_adu=noise,
        dark=next(read("dark"), None),
        flats=read("flat"),
        flat_frames=flats,
        step_adu=max((one.step for one in biases[0].statistics), default=1.0),
    )


def release(run: Run) -> list[int]:
    """Show the run's results to users, in place of older ones of the same set.

    Raises
    ------
    ChangedFrameError
        If a file was touched while the run was at work.
    NothingMadeError
        If there are none, since what there might be failed: older results are then the better ones.
    """
    require_unchanged(run)
    failed = run.failures
    with run.home.read_session() as session:
        is_anything = run.measured or run_masters(session, run.id)
    if failed and not is_anything:
        raise NothingMadeError("; ".join(f"{one.product}: {one.reason}" for one in failed))
    with run.home.write_session() as session:
        finish_run(session, run_id=run.id, now=now())
    with producing(run, "references"):
        refresh_references(run.home)
    with producing(run, "figures of masters"):
        complete_figures(run.home, instruments={run.row.instrument}, run_id=run.id)
    return [run.id]


STEPS = (
    Step("series health", judge_frames, is_for_all=True),
    Step("gain and read noise", measure),
    Step("master bias", make_master_bias),
    Step("master dark", make_master_darks),
    Step("master flat", make_master_flats),
    Step("response of pixels", measure_response),
    Step("bad pixels", make_bad_pixel_mask),
    Step("release", release, is_for_all=True),
    Step("pictures", draw_pictures, is_urgent=False),
    Step("trends", judge_trends, is_urgent=False),
)
"""What is done to a calibration set, in order: each a task for Prefect, a call for the local engine.

Pictures and trends come last: numbers do not wait for them.
"""
