"""The frames of a run, with the overscan sections that their pixels do not contradict."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from db.runs import UsedFrame, run_inputs


@dataclass(frozen=True, slots=True)
class Inputs:
    """The frames that a run used and left out, in order of observation, and remarks on all of them."""

    frames: tuple[UsedFrame, ...]
    remarks: tuple[str, ...]


def inputs_of_run(session: Session, run_id: int) -> Inputs:
    """Return what a run works on."""
    from ccdcore.overscan import believed_overscans

    recorded = run_inputs(session, run_id)
    frames, remarks = believed_overscans([one.frame for one in recorded])
    return Inputs(tuple(replace(one, frame=frame) for one, frame in zip(recorded, frames, strict=True)), remarks)
