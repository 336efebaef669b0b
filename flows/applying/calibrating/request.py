"""`calibrate` on request: of frames that are named, or of all that better masters have come for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ccdcore.association.facts import KINDS
from db.application.affected import affected
from db.frames.series import frames_on_disk
from flows.applying.calibrating.calibrate import Calibration, Wanted, calibrate_frames
from flows.applying.calibrating.frames import Progress, named_frames
from flows.applying.calibrating.outputs import paths_for
from flows.products.figures import complete_figures

if TYPE_CHECKING:
    from ccdcore.application.ingredients import Unit
    from flows.home.home import Home


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks for of all frames that are named: see `flows.applying.calibrating.calibrate.Wanted`."""

    directory: Path | None = None
    without: frozenset[str] = frozenset()
    unit: Unit = "adu"
    again: bool = False


def calibrate_named(home: Home, paths: Sequence[Path], asked: Asked, progress: Progress) -> list[Calibration]:
    """Register the frames of these files and folders, and calibrate them; of those marked bad the reason says so.

    Met in a folder, these are left out.

    Raises
    ------
    flows.config.errors.SettingsError
        If a path does not exist.
    """
    found = named_frames(home, paths, progress)
    paths_of = paths_for(home, found.frames, asked.directory)
    complete_figures(home, instruments={one.info.instrument for one in found.frames.values()}, progress=progress)
    wanted = [
        Wanted(key, frame, paths_of[key], asked.unit, asked.without, again="always" if asked.again else "never")
        for key, frame in found.frames.items()
    ]
    refused = [Calibration(0, path, None, "failed", reason=reason) for path, reason in found.refused.items()]
    left_out = [Calibration(0, path, None, "left out", reason=f"it is {why}") for path, why in found.left_out.items()]
    done = calibrate_frames(home, wanted, progress=progress)
    return [*(_with_mark(one, found.marks.get(one.frame_id)) for one in done), *left_out, *refused]


def _with_mark(one: Calibration, words: str | None) -> Calibration:
    return one if words is None else replace(one, reason="; ".join(filter(None, [one.reason, f"it is {words}"])))


def calibrate_affected(home: Home, progress: Progress) -> list[Calibration]:
    """Calibrate again what would now get another choice, each in its place, without what it went without before."""
    complete_figures(home, progress=progress)
    with home.read_session() as session:
        rows = [one.calibrated for one in affected(session, recipes=home.settings.recipes)]
        frames = frames_on_disk(session, {one.frame_id for one in rows}, host=home.settings.host)
    wanted = [
        Wanted(
            one.frame_id, frames[one.frame_id], one.path, one.unit, frozenset(set(KINDS) - set(one.masters)), "always"
        )
        for one in rows
        if one.frame_id in frames
    ]
    gone = [
        Calibration(one.frame_id, f"frame:{one.frame_id}", one.path, "failed", reason="its raw file is not here")
        for one in rows
        if one.frame_id not in frames
    ]
    return [*calibrate_frames(home, wanted, progress=progress), *gone]
