"""The frames of a run, with the overscan sections that their pixels do not contradict."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from ccdcore.reduction.overscan import believed_overscans
from db.runs.inputs import UsedFrame, run_inputs
from flows.home.home import Home


@dataclass(frozen=True, slots=True)
class Inputs:
    """The frames that a run used and left out, in order of observation, and remarks on all of them."""

    frames: tuple[UsedFrame, ...]
    remarks: tuple[str, ...]


def inputs_of_run(session: Session, run_id: int) -> Inputs:
    """Return what a run works on."""
    recorded = run_inputs(session, run_id)
    frames, remarks = believed_overscans([one.frame for one in recorded])
    return Inputs(tuple(replace(one, frame=frame) for one, frame in zip(recorded, frames, strict=True)), remarks)


def used_frames(home: Home, run_id: int, kind: FrameType, *, borrowed: bool = True) -> list[SeriesFrame]:
    """Return the frames that a run uses as some type, those of other windows among them unless told otherwise."""
    with home.read_session() as session:
        inputs = inputs_of_run(session, run_id).frames
    used = [one for one in inputs if one.role == kind and one.excluded is None]
    return [one.frame for one in used if borrowed or not one.borrowed]
