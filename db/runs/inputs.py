"""The frames that a run used, and those that it left out, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from ccdcore.frames.frame import SeriesFrame
from db.frames.series import series_frame
from db.runs.current import CURRENT_RUN
from db.schema import models
from db.schema.models import CalibrationSet, Frame, Run, RunInput
from db.schema.rows import Row, column_value

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class NewInput:
    """A frame or a master that a run used.

    Parameters
    ----------
    role : str
        ``bias``, ``dark`` or ``flat``.
    sha256, path : str or None
        The frame's identity, and the file that it was read from.
    master_id : int or None
        A master of another run, in place of a frame.
    excluded : str or None
        Why it was left out; None where it was used.
    borrowed : bool
        Whether it belongs to another window.
    """

    role: str
    sha256: str | None = None
    path: str | None = None
    master_id: int | None = None
    excluded: str | None = None
    borrowed: bool = False


def record_inputs(session: Session, *, run_id: int, inputs: Sequence[NewInput]) -> None:
    """Record what a run used and what it left out.

    Raises
    ------
    LookupError
        If a frame has not been registered.
    """
    frame, file = models.Frame, models.File
    wanted = {one.sha256 for one in inputs if one.sha256 is not None}
    of_wanted = select(frame.sha256, frame.id).where(frame.sha256.in_(wanted))
    frame_ids = dict(session.execute(of_wanted).tuples().all())
    if missing := wanted - frame_ids.keys():
        raise LookupError(f"frame {min(missing)} is not on record: register it before a run uses it")
    files = session.execute(
        select(file.frame_id, file.root, file.relative_path, file.file_sha256).where(
            file.frame_id.in_(frame_ids.values())
        )
    )
    hashes = {(frame_id, str(Path(root) / below)): file_sha256 for frame_id, root, below, file_sha256 in files}
    for one in inputs:
        frame_id = frame_ids.get(one.sha256 or "")
        session.add(
            models.RunInput(
                run_id=run_id,
                frame_id=frame_id,
                master_id=one.master_id,
                role=one.role,
                excluded=column_value(one.excluded),
                borrowed=one.borrowed,
                path=one.path,
                file_sha256=hashes.get((frame_id, one.path or "")),
            )
        )
    session.flush()


@dataclass(frozen=True, slots=True)
class UsedFrame:
    """A frame that a run used, or left out for a reason; ``role`` is its type, or ``for`` and a product."""

    frame: SeriesFrame
    role: str
    excluded: str | None
    borrowed: bool


def run_inputs(session: Session, run_id: int) -> list[UsedFrame]:
    """Return what a run used and left out, with the path each frame was read from, in order of observation."""
    used = models.RunInput
    query = (
        select(Frame, used.path, used.role, used.excluded, used.borrowed)
        .join(Frame, used.frame_id == Frame.id)
        .where(used.run_id == run_id)
        .order_by(Frame.date_obs, Frame.id, used.id)
    )
    return [
        UsedFrame(series_frame(frame, Path(path or "")), role, excluded, borrowed)
        for frame, path, role, excluded, borrowed in session.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class LeftOut(Row):
    """A frame that a current run left out of something (``role``: its type, or ``for`` and a product), and why."""

    night: date
    run_id: int
    frame_id: int
    path: str
    role: str
    reason: str


def left_out(session: Session, *, instrument: str, first: date, last: date) -> list[LeftOut]:
    """Return the frames that the current runs of some nights, both ends included, left out, in order of time."""
    query = (
        select(CalibrationSet.window_first_night, Run.id, Frame.id, RunInput.path, RunInput.role, RunInput.excluded)
        .join_from(RunInput, Run, RunInput.run_id == Run.id)
        .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
        .join(Frame, RunInput.frame_id == Frame.id)
        .where(
            CalibrationSet.instrument == instrument,
            CalibrationSet.window_first_night.between(first, last),
            RunInput.excluded.is_not(None),
            CURRENT_RUN,
        )
        .order_by(CalibrationSet.window_first_night, Frame.date_obs, RunInput.id)
    )
    return [
        LeftOut(night, run_id, frame_id, path or "", role, reason or "")
        for night, run_id, frame_id, path, role, reason in session.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Use:
    """What a run made of a frame: its ``role`` is its type, or ``for`` and the product that it was left out of."""

    run_id: int
    role: str
    excluded: str | None
    borrowed: bool


def uses_of_frame(session: Session, frame_id: int) -> list[Use]:
    """Return what runs made of a frame, the newest in front, roles before what it was left out of."""
    columns = [getattr(RunInput, name) for name in Use.__dataclass_fields__]
    query = select(*columns).where(RunInput.frame_id == frame_id).order_by(RunInput.run_id.desc(), RunInput.id)
    return [Use(*row) for row in session.execute(query)]
