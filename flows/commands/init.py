"""`init`: looks at a folder of frames, says what was recognised, and writes a starting ``ccdwatch.toml``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ccdcore.errors import FrameReadError
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import read_header
from ccdcore.io.write import new_file
from ccdcore.text import number_of, one_line
from flows.commands.inspect_files import UNREADABLE, frame_files
from flows.config.errors import CONFIG_NAME, SettingsError
from flows.config.settings import NightSettings, Settings
from flows.config.template import SeenFrame, configuration_text
from flows.terminal import progress_bar, show, tell

MOST_ODD = 20
"""Rows of the table of what is odd."""


def start(home: Path, directory: Path, *, say: Callable[[str], None]) -> None:
    """Print what is in a folder of frames, and write a ``ccdwatch.toml`` that watches it.

    Parameters
    ----------
    home : Path
        The home, made where it is missing.
    directory : Path
        The folder, absolute; it is searched to the bottom, and only headers are read.
    say : callable
        Takes lines for the person who looks on.

    Raises
    ------
    SettingsError
        If there is a ``ccdwatch.toml`` already, no such folder, or no FITS file in it.
    """
    target = home / CONFIG_NAME
    if os.path.lexists(target):  # also a link to a disk that is away
        raise _exists(target)
    frames, unreadable = _look(home, directory)
    _print_summary(frames, unreadable)
    _print_odd(frames, unreadable)
    exposures = [(frame.info.instrument, frame.info.date_obs, frame.info.longitude_deg) for frame in frames]
    for doubt in NightSettings().doubts(exposures):
        say(doubt)
    _write(target, configuration_text(directory, frames))
    say(f"{target}: written; look it over, then type: ccdwatch doctor --home {home} && ccdwatch up --home {home}")


def _exists(target: Path) -> SettingsError:
    return SettingsError(f"{target}: exists and stays as it is: edit it, or give another --home")


def _look(home: Path, directory: Path) -> tuple[list[SeenFrame], list[tuple[str, str]]]:
    """Return the frames of a folder, and the files that are none, with the reason."""
    if directory.exists() and not directory.is_dir():
        raise SettingsError(f"{directory}: is no folder: give the one that frames land in")
    files = frame_files(Settings(home=home), [directory])
    if not files:
        raise SettingsError(f"{directory}: no FITS files in it, but {_contents(directory)}: give the frames' folder")
    frames, unreadable = [], []
    with progress_bar() as progress:
        for number, path in enumerate(files):
            progress("reading headers", number, len(files))
            file = str(path.relative_to(directory))
            try:
                frames.append(SeenFrame.of(file, read_header(path)))
            except FrameReadError as error:
                unreadable.append((file, error.reason))
    return frames, unreadable


def _contents(directory: Path) -> str:
    """Say what is in a folder instead of frames."""
    kinds: Counter[str] = Counter()
    for path in directory.rglob("*"):
        kinds["folders" if path.is_dir() else path.suffix.lower() or "files without an ending"] += 1
    named = [f"{n} {one_line(kind)}" for kind, n in kinds.most_common(5)]
    more = len(kinds) - len(named)
    return ", ".join(named) + (f" and {more} more kinds" if more > 0 else "") if named else "nothing"


def _print_summary(frames: Sequence[SeenFrame], unreadable: Sequence[tuple[str, str]]) -> None:
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for frame in frames:
        info = frame.info
        group = groups.setdefault((info.instrument, info.configuration, str(info.frame_type)), [])
        group.append((frame.file, info.frame_type_reason))
    if unreadable:
        groups["–", "–", UNREADABLE] = list(unreadable)
    columns = ("instrument", "configuration", "type", "frames", "example", "because")
    rows = [(*group, len(found), *found[0]) for group, found in sorted(groups.items())]
    _show(columns, rows)


def _print_odd(frames: Sequence[SeenFrame], unreadable: Sequence[tuple[str, str]]) -> None:
    """Print what somebody should look at, what is odd in the same way in one row."""
    groups: dict[tuple[str, str], list[str]] = {}
    for file, reason in unreadable:
        groups.setdefault((UNREADABLE, reason), []).append(file)
    for frame in frames:
        for oddity in _oddities(frame):
            groups.setdefault(oddity, []).append(frame.file)
    rows = [(odd, len(files), files[0], reason) for (odd, reason), files in groups.items()]
    if rows:
        _show(("odd", "frames", "example", "because"), rows[:MOST_ODD])
    if len(rows) > MOST_ODD:
        tell([f"… and {number_of(len(rows) - MOST_ODD, 'more row')}: type ccdwatch identify"])


def _oddities(frame: SeenFrame) -> Iterable[tuple[str, str]]:
    info = frame.info
    if info.frame_type is FrameType.OTHER:
        yield "no calibration frame", info.frame_type_reason
    if info.date_obs is None:
        cards = f"; {', '.join(frame.date_cards)} may" if frame.date_cards else ""
        yield "time unknown", f"no known card holds it{cards}"
    if frame.named_by is None:
        yield "camera unknown", info.instrument_reason


def _show(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    texts = ([cell if isinstance(cell, int) else one_line(cell) for cell in row] for row in rows)
    named = [dict(zip(columns, row, strict=True)) for row in texts]
    show(named, format_name="table", columns=columns, short=columns, empty="")


def _write(target: Path, text: str) -> None:
    try:
        content = text.encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{one_line(target)}: cannot name a folder whose name is no UTF-8: rename it") from None
    try:
        with new_file(target) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        if os.path.lexists(target):  # it may have come while we looked
            raise _exists(target) from None
        raise SettingsError(f"{target}: cannot be written: {error.strerror}: give another --home") from None
