"""The frames that are to be calibrated: registered as all others, and their pixels found."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ccdcore.application.ingredients import why_not
from ccdcore.text import readable
from db.files import ledger
from db.frames.series import FileFrame, frames_of_files, frames_on_disk
from db.judgements.marks import marks
from db.schema.models import FileState
from flows.home.processes import now
from flows.registration.register import free_lost_claims, register_files
from flows.watching.named_files import find_files

if TYPE_CHECKING:
    from ccdcore.frames.frame import SeriesFrame
    from flows.home.home import Home

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(slots=True)
class Frames:
    """Raw science frames by id, and why others are none, by path.

    ``refused`` are of those that were named. ``left_out`` are marked bad, and were met in folders; ``marks`` are those
    of frames that were named one by one, in words.
    """

    frames: dict[int, SeriesFrame] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    marks: dict[int, str] = field(default_factory=dict)


def named_frames(home: Home, paths: Sequence[Path], progress: Progress) -> Frames:
    """Register the frames of these files and folders, and return those that can be calibrated.

    In folders calibration frames and products are passed over; named one by one they are refused. Frames that are
    marked bad are left out there, which is said, but done where they are named.

    Raises
    ------
    flows.config.errors.SettingsError
        If a path does not exist.
    """
    found, met = find_files(home, paths), {str(one.resolve()) for one in paths if not one.is_dir()}
    with home.write_session() as session:
        ledger.observe(session, found.sightings, host=home.settings.host, now=now())
        files = ledger.files_at(session, found.sightings, host=home.settings.host)
        stale = set(ledger.identified_otherwise(session, host=home.settings.host, identified_with=home.identified_with))
    todo = {file.id for file in files if file.state is not FileState.DONE or file.id in stale}
    held = _registered(home, [file.id for file in files], todo, progress)
    answer = Frames(refused={one["path"]: one["reason"] for one in found.failed})
    with home.read_session() as session:
        frames = frames_on_disk(session, {one.frame_id for one in held if one.frame_id}, host=home.settings.host)
        bad = {key: one.words for key, one in marks(session, "frame").items() if one.is_bad}
    for file in held:
        reason, is_named = _refusal(file, frames), str(file.path) in met
        if reason is None and file.frame_id is not None:
            if is_named or file.frame_id not in bad:
                answer.frames[file.frame_id] = frames[file.frame_id]
            else:
                answer.left_out[readable(str(file.path))] = bad[file.frame_id]
        elif reason and (is_named or file.frame_id is None):
            answer.refused[readable(str(file.path))] = reason
    answer.marks = {key: words for key, words in bad.items() if key in answer.frames}
    return answer


def _refusal(file: FileFrame, frames: dict[int, SeriesFrame]) -> str | None:
    if file.frame_id is None or file.state is not FileState.DONE:
        return file.reason or f"it is {file.state}: try again"
    return why_not(frames[file.frame_id].info)


def _registered(home: Home, file_ids: Collection[int], todo: Collection[int], progress: Progress) -> list[FileFrame]:
    """Register files, and wait for those that somebody else is at."""
    done, left = 0, set(todo)

    def count(n: int) -> None:
        nonlocal done
        done += n
        progress("reading frames", min(done, len(todo)), len(todo))

    while left:
        free_lost_claims(home)
        register_files(home, file_ids=left, progress=count)
        with home.read_session() as session:
            held = frames_of_files(session, left)
        left = {one.file_id for one in held if one.state in {FileState.CLAIMED, FileState.READY}}
        if left:
            time.sleep(0.2)
    with home.read_session() as session:
        return frames_of_files(session, file_ids)
