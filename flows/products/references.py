"""``reference/``: the current good master of each kind, under a name that stays."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ccdcore.errors import FrameReadError
from ccdcore.io.plain_files import file_sha256, open_below
from ccdcore.io.write import replaced_file
from db.champions import current_reference
from db.runs.master_files import MasterInPlace, masters_in_place
from db.runs.masters import MasterOnRecord
from flows.home.home import Home
from flows.home.output_paths import MasterName, reference_path
from flows.home.processes import now
from flows.products.leftovers import GRACE, files_below

logger = logging.getLogger(__name__)

_TEMPORARY = re.compile(r"\.(master_.+\.fits)\.[0-9a-f]{1,8}\.tmp")


def refresh_references(home: Home) -> None:
    """Make ``reference/`` hold the current good master of each kind, each file replaced at once.

    What was put there before goes. It is known by its place and its bytes, which are those of a master that is or was
    current there; whatever else somebody has put there stays.
    """
    home.require_there()
    # Listed first: what another run puts there now is not in it.
    found = list(files_below(home.path, "reference"))
    with home.read_session() as session:
        current = current_reference(session, at=now())
    targets = {home.path / place: home.path / one.path for place, one in places_of(current).items()}

    def is_ours(path: Path, meant_for: Path) -> bool:
        return _is_one_of(home, path, _been(home, meant_for))

    for target, source in targets.items():
        if not _is_plain(home, source) or (target.exists() and target.samefile(source)):
            continue
        if os.path.lexists(target) and not is_ours(target, target):
            logger.warning("%s was not put there by ccdwatch and stays: move it to another place", target)
            continue
        _put(source, target)
    for path in found:
        if path not in targets and is_ours(path, _meant_for(path)) and not _is_new(path, now()):
            path.unlink(missing_ok=True)


def _been(home: Home, place: Path) -> Iterator[MasterInPlace]:
    """Give the masters that may ever have been at a place, the last one first: it mostly is the one."""
    with home.read_session() as session:
        for one in masters_in_place(session):
            if place in _places_ever(home, one):
                yield one


def places_of(current: Sequence[MasterOnRecord]) -> dict[Path, MasterOnRecord]:
    """Return where the current masters are to be found, below the home; temperatures are told where there are several.

    The masters are all that are current.
    """
    temperatures: dict[tuple[str, str, str], set[float | None]] = defaultdict(set)
    for one in current:
        temperatures[one.instrument, one.kind, one.configuration].add(one.group_c)
    return {
        _below(one, is_named=len(temperatures[one.instrument, one.kind, one.configuration]) > 1): one for one in current
    }


def _places_ever(home: Home, one: MasterInPlace) -> list[Path]:
    """Return where a master may have been put; a dark rate had the name of a dark before there were darks of times."""
    names = [MasterName("dark", one.configuration)] if one.kind == "darkrate" else []
    below = [_below(one, is_named=False), _below(one, is_named=True)]
    below += [reference_path(name, instrument=one.instrument) for name in names]
    return [home.path / place for place in below]


def _below(one: MasterOnRecord | MasterInPlace, *, is_named: bool) -> Path:
    name = MasterName(one.kind, one.configuration, one.filter, one.exposure_s, one.group_c if is_named else None)
    return reference_path(name, instrument=one.instrument)


def _is_plain(home: Home, path: Path) -> bool:
    """Whether a regular file is there, reached by no link."""
    try:
        open_below(home.path / "masters", path.relative_to(home.path / "masters")).close()
    except (OSError, ValueError):
        return False
    return True


def _meant_for(path: Path) -> Path:
    """Return the name that a file has, or was to get when it was cut short."""
    match = _TEMPORARY.fullmatch(path.name)
    return path.with_name(match[1]) if match else path


def _is_new(path: Path, at: datetime) -> bool:
    """Whether a temporary file may be in use."""
    try:
        return _meant_for(path) != path and path.lstat().st_ctime > (at - GRACE).timestamp()
    except FileNotFoundError:
        return True


def _is_one_of(home: Home, path: Path, ever: Iterable[MasterInPlace]) -> bool:
    """Whether a file is one of these masters: the same file, or one of the same bytes."""
    if not path.is_file() or path.is_symlink():
        return False
    hashes = set()
    for one in ever:
        source = home.path / one.path
        if source.exists() and source.samefile(path):
            return True
        hashes.add(one.sha256)
    try:
        return bool(hashes) and file_sha256(path) in hashes
    except FrameReadError:
        return False


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(target) as temporary:
        try:
            temporary.hardlink_to(source)
        except OSError:  # file systems without hard links
            shutil.copyfile(source, temporary)
