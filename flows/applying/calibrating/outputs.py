"""Where calibrated frames go, and what may be there already: nothing that is not ours is ever written over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ccdcore.compression import FITS_SUFFIXES, without_added_suffix
from ccdcore.errors import CcdError
from ccdcore.io.plain_files import file_sha256
from db.application.calibrated import CalibratedOnRecord, calibrated_at
from flows.home.output_paths import calibrated_folder, calibrated_name

if TYPE_CHECKING:
    from ccdcore.frames.frame import SeriesFrame
    from flows.home.home import Home


@dataclass(frozen=True, slots=True)
class Output:
    """A path for a calibrated frame, and what of it stands there: None where there is nothing.

    Parameters
    ----------
    path : str
        Relative to the home, if below it.
    standing : CalibratedOnRecord or None
        What was made of the same frame before, whose file is as it was written.
    recorded_sha256 : str or None
        Of the file that is on record there, whether it is there or not.
    """

    path: str
    standing: CalibratedOnRecord | None
    recorded_sha256: str | None


class NotOursError(CcdError):
    """There is something where a calibrated frame would go that ccdwatch did not write, or that was changed since."""


def paths_for(home: Home, frames: Mapping[int, SeriesFrame], directory: Path | None) -> dict[int, str]:
    """Return where calibrated frames go, by id: ``<name>_calibrated.fits`` in a folder, else in that of their night.

    Where another frame of that name has it, digits of the frame's SHA-256 are added.
    """
    found: dict[int, str] = {}
    with home.read_session() as session:
        for frame_id, frame in frames.items():
            first, second = (below_home(home, path) for path in _names(home, frame, directory))
            row = calibrated_at(session, first)
            is_taken = first in found.values() or (row is not None and row.frame_id != frame_id)
            found[frame_id] = second if is_taken else first
    return found


def _names(home: Home, frame: SeriesFrame, directory: Path | None) -> tuple[Path, Path]:
    night = home.settings.nights.night_of(frame.info)
    below = calibrated_folder(frame.info.instrument, night)
    folder = home.settings.calibrated / below if directory is None else directory.resolve()
    stem = _stem(frame.path)
    return folder / calibrated_name(stem), folder / calibrated_name(stem, frame.sha256)


def output_at(home: Home, path: str) -> Output:
    """Return what stands at a path.

    Raises
    ------
    NotOursError
        If something is there that must not be written over.
    """
    with home.read_session() as session:
        row = calibrated_at(session, path)
    file = home.path / path
    if not os.path.lexists(file):
        return Output(path, None, None if row is None else row.sha256)
    if row is None:
        raise NotOursError(f"{file}: is there already, and ccdwatch did not write it: give another -o DIR, or move it")
    if file.is_symlink() or file_sha256(file) != row.sha256:
        raise NotOursError(f"{file}: was changed since ccdwatch wrote it: move it, so that it is not lost")
    return Output(path, row, row.sha256)


def below_home(home: Home, path: Path) -> str:
    """Return a path as it stands on record: relative to the home, if below it."""
    absolute = home.path / path
    return str(absolute.relative_to(home.path)) if absolute.is_relative_to(home.path) else str(absolute)


def _stem(path: Path) -> str:
    name = without_added_suffix(path.name)
    suffix = next((one for one in FITS_SUFFIXES if name.lower().endswith(one)), "")
    return name[: len(name) - len(suffix)]
