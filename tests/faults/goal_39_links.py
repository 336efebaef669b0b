"""Folders full of links of all kinds: every frame that may be read is seen, nothing in a home, the rest is named."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flows.home.home import Home, open_home
from flows.watching.named_files import find_files
from tests.faults.hostile import PLAIN


def run(full: bool) -> str:
    n_trees, rng = 1_000 if full else 40, np.random.default_rng(39)
    n_seen = n_named = 0
    logging.disable(logging.WARNING)  # which is how the service would tell of each
    try:
        with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
            home = open_home(Path(name).resolve() / "home")
            (home.path / "masters").mkdir()
            (home.path / "masters" / "m.fits").write_bytes(PLAIN)
            for number in range(n_trees):
                top = home.path.parent / str(number)
                _grow(rng, top, home.path)
                seen, named = _judge(top, home)
                n_seen, n_named = n_seen + seen, n_named + named
            home.engine.dispose()
    finally:
        logging.disable(logging.NOTSET)
    return f"{n_trees} trees: {n_seen} frames seen, {n_named} links and other things named, nothing read in a home"


def _judge(top: Path, home: Home) -> tuple[int, int]:
    """Look at a tree as `process` does; return how many frames were seen, and how much was named."""
    raw, found = top / "raw", find_files(home, [top / "raw"])
    seen = {raw / one.relative_path for one in found.sightings}
    named = {Path(one["path"]) for one in found.excluded}
    for path in seen:
        target = path.resolve(strict=True)
        assert target.is_file(), path
        assert not target.is_relative_to(home.path), f"{path} leads into the home"
    reached = {path.resolve() for path in seen}
    missed = [path for path in _readable(raw, home.path) if path.resolve() not in reached]
    assert not missed, f"not seen: {missed}"
    strange = [path for path in _below(raw) if not _is_well(path, raw, home.path) and path not in named]
    assert not strange, f"passed over in silence: {strange}"
    return len(seen), len(named)


def _grow(rng: np.random.Generator, top: Path, home: Path) -> None:
    """Make a watched folder, one beside it, frames in both, and links between all of them and the home."""
    raw, beside = top / "raw", top / "beside"
    folders = [raw, raw / "night", raw / "night" / "deep", beside, beside / "old"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / f"{folder.name}.fits").write_bytes(PLAIN)
    os.mkfifo(beside / "pipe.fits")
    targets = [*folders, *(folder / f"{folder.name}.fits" for folder in folders), top, top.parent, top / "gone.fits"]
    targets += [home, home / "masters", home / "masters" / "m.fits", beside / "pipe.fits", Path("/dev/null")]
    for number in range(12):
        link = folders[rng.integers(len(folders))] / f"link{number}{'.fits' * bool(rng.random() < 0.7)}"
        target = targets[rng.integers(len(targets))]
        link.symlink_to(os.path.relpath(target, link.parent) if rng.random() < 0.5 else target)
        targets.append(link)


def _below(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder that is watched, not followed through links."""
    for directory, folders, files in os.walk(folder):
        yield from (Path(directory) / name for name in (*folders, *files))


def _readable(folder: Path, home: Path) -> list[Path]:
    """Return links and files with the name of a frame that lead to one outside the home."""
    named = (path for path in _below(folder) if path.name.endswith(".fits") and path.is_file())
    return [path for path in named if not path.resolve().is_relative_to(home)]


def _is_well(path: Path, raw: Path, home: Path) -> bool:
    """Whether nothing need be said of a path: it is no link, is seen by itself, or has no name of a frame."""
    if not path.is_symlink() and path.exists():
        return True
    target = path.resolve() if path.exists() else None
    if target is None or not target.is_dir():
        is_frame = target is not None and target.is_file() and not target.is_relative_to(home)
        return is_frame or not path.name.endswith(".fits")
    return target.is_relative_to(raw) or not (target.is_relative_to(home) or raw.is_relative_to(target))
