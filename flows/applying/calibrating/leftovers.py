"""What processes that were killed left where calibrated frames go: hidden files of ours, which nobody will name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePath

from ccdcore.io.plain_files import folder_below
from flows.home.home import Home
from flows.home.output_paths import is_being_calibrated
from flows.products.leftovers import remove_ours


def remove_passing(home: Home, folders: Iterable[Path], at: datetime) -> list[str]:
    """Remove from folders the calibrated frames that were being written when their process was killed; return which.

    They are known by their names. Only regular files of this user go, an hour after they were last touched, and through
    no link below the home or the folder of calibrated frames: a process that is believed to be gone may still be at it.
    """
    removed = []
    for folder in sorted(folders):
        roots = (one for one in (home.path, home.settings.calibrated) if folder.is_relative_to(one))
        root = next(roots, folder)
        with suppress(OSError), folder_below(root, PurePath(folder.relative_to(root))) as here:
            removed += [str(folder / name) for name in _removed(here, at)]
    return removed


def remove_all_passing(home: Home, at: datetime) -> list[str]:
    """Do so in the folder of calibrated frames, and in all that are below it; return that in words."""
    removed = []
    with suppress(OSError):  # not there
        for folder, _, _, here in os.fwalk(home.settings.calibrated):  # it follows no links
            removed += [str(Path(folder) / name) for name in _removed(here, at)]
    return [f"{name} was being written when its process was killed, and removed" for name in removed]


def _removed(folder: int, at: datetime) -> list[str]:
    names = filter(is_being_calibrated, os.listdir(folder))
    return [name for name in names if remove_ours(folder, name, at)]
