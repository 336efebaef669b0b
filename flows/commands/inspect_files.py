"""Tables of files given by name: what each of them is, and the statistics of its pixels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import CcdError, FrameReadError
from ccdcore.frames.frame import FrameHeader
from ccdcore.frames.imstat import imstat
from ccdcore.io.read import read_frame, read_header
from ccdcore.text import one_line
from db.schema.rows import plain
from flows.config.errors import SettingsError
from flows.config.settings import NightSettings, Settings, load_settings
from flows.registration.dates import arrival, doubt_about_date
from flows.terminal import progress_bar
from flows.watching.directory_tree import Tree

Rows = list[dict[str, Any]]

UNREADABLE = "unreadable"
"""Type of a file that is no readable frame."""

_COLUMNS = (
    "file",
    "type",
    "because",
    "instrument",
    "instrument_because",
    "configuration",
    "amplifiers",
    "amplifiers_because",
    "night",
    "date_obs",
    "date_remark",
    "exposure_time_s",
    "ccd_temperature_c",
    "filter",
    "n_averaged",
)


def identified(home: Path, paths: Sequence[Path]) -> tuple[Rows, bool]:
    """Say what each frame is, and why; only headers are read. Doubts on where nights are cut go to standard error.

    Parameters
    ----------
    home : Path
        Whose instrument entries are used; it need not exist.
    paths : sequence of Path
        Files, and folders that are searched to the bottom.

    Returns
    -------
    list of dict
        A row of plain JSON values for every file; one that cannot be read has the type ``unreadable``.
    bool
        Whether any could not be read.

    Raises
    ------
    SettingsError
        If a path does not exist.
    """
    settings = load_settings(home)
    rows: Rows = []
    exposures: list[tuple[str, datetime | None, float | None]] = []
    for path in _in_turn(frame_files(settings, paths), "reading headers"):
        try:
            header = read_header(path, instruments=settings.instruments)
        except FrameReadError as error:
            rows.append(_row({"file": str(path), "type": UNREADABLE, "because": error.reason}))
        else:
            info = header.info
            rows.append(_row(_described(path, header, settings.nights)))
            exposures.append((info.instrument, info.date_obs, info.longitude_deg))
    for doubt in settings.nights.doubts(exposures):
        click.echo(one_line(doubt), err=True)
    return rows, any(row["type"] == UNREADABLE for row in rows)


def image_statistics(home: Path, paths: Sequence[Path], *, fmt: str | None, region: str | None) -> tuple[Rows, bool]:
    """Measure `ccdcore.imstat` of every file; one that cannot be measured is named on standard error.

    Parameters
    ----------
    home : Path
        Whose configuration says which files of a folder count; it need not exist.
    paths : sequence of Path
        Files, and folders that are searched to the bottom.
    fmt : str or None
        Format of the numbers, which become text; None leaves them numbers.
    region : str or None
        Only these pixels, ``[x1:x2,y1:y2]``.

    Returns
    -------
    list of dict
        A row of plain JSON values for every file that could be measured.
    bool
        Whether any could not.

    Raises
    ------
    SettingsError, SectionError
        If a path does not exist, or the format or the region cannot be read.
    """
    section = None if region is None else Section.parse(region)
    _require_format(fmt)
    settings = load_settings(home)
    rows, failed = [], False
    for path in _in_turn(frame_files(settings, paths), "reading images"):
        try:
            rows.append(_statistics(path, fmt, section))
        except CcdError as error:
            failed = True
            reason = error.reason if isinstance(error, FrameReadError) else error
            click.echo(one_line(f"{path}: {reason}"), err=True)
    return rows, failed


def frame_files(settings: Settings, paths: Iterable[Path]) -> list[Path]:
    """Return the files of these paths, each once: files as they are named, folders searched to the bottom.

    Raises
    ------
    SettingsError
        If a path does not exist.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            if not path.is_symlink():  # one that leads nowhere is an unreadable file
                raise SettingsError(f"{path}: {error.strerror}: check the path") from None
        for file in _below(settings, path) if path.is_dir() else [path]:
            found.setdefault(Path(os.path.realpath(file)), file)
    return list(found.values())


def _below(settings: Settings, directory: Path) -> list[Path]:
    tree = Tree(str(directory.resolve()), include=settings.watch.include, exclude=str(settings.home.resolve()))
    return sorted(directory / sighting.relative_path for _, sighting in tree.walk())


def _in_turn(files: Sequence[Path], what: str) -> Iterator[Path]:
    with progress_bar() as progress:
        for number, path in enumerate(files):
            progress(what, number, len(files))
            yield path


def _row(known: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(known.get(name)) for name in _COLUMNS}


def _described(path: Path, header: FrameHeader, nights: NightSettings) -> dict[str, Any]:
    info = header.info
    return {
        "file": str(path),
        "type": str(info.frame_type),
        "because": info.frame_type_reason,
        "instrument": info.instrument,
        "instrument_because": info.instrument_reason,
        "configuration": info.configuration,
        "amplifiers": "; ".join(map(_amplifier, header.amplifiers)),
        "amplifiers_because": header.amplifiers_reason,
        "night": nights.night_of(info),
        "date_obs": info.date_obs,
        "date_remark": doubt_about_date(info.date_obs, arrival(path)),
        "exposure_time_s": info.exposure_time_s,
        "ccd_temperature_c": info.ccd_temperature_c,
        "filter": info.filter,
        "n_averaged": info.n_averaged,
    }


def _amplifier(amplifier: Amplifier) -> str:
    overscan = f" overscan {amplifier.overscan}" if amplifier.overscan else ""
    return f"{amplifier.name} {amplifier.data}{overscan}"


def _require_format(fmt: str | None) -> None:
    try:
        format(0.0, fmt or "")
    except ValueError:
        raise SettingsError(f"--fmt {fmt!r} is no format of a number: write for example .3f or .4e") from None


def _statistics(path: Path, fmt: str | None, region: Section | None) -> dict[str, Any]:
    table = imstat([read_frame(path)], names=["the image"], region=region)
    row = {name: table[name].tolist()[0] for name in table.colnames if name != "name"}
    return {"file": plain(str(path)), **{name: _shown(value, fmt) for name, value in row.items()}}


def _shown(value: Any, fmt: str | None) -> Any:
    return format(value, fmt) if fmt is not None and isinstance(value, float) else plain(value)
