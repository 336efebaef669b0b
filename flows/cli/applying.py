"""Masters for frames: `best`, `gaps`, `calibrate`, `affected`, `export`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click

from ccdcore.association.facts import KINDS
from ccdcore.text import number_of
from flows.applying.best import answers_of
from flows.applying.calibrating.affected import affected_rows
from flows.applying.calibrating.calibrate import Calibration
from flows.applying.calibrating.request import Asked, calibrate_affected, calibrate_named
from flows.applying.gaps import find_gaps
from flows.applying.tables import (
    failures_of_answer,
    gaps_for_people,
    lines_of_answer,
    reasons_of_gaps,
    rows_of_answers,
    tables_of_answer,
)
from flows.cli.options import FORMAT, WIDE, home_option, say
from flows.cli.record import INSTRUMENT
from flows.exporting.export import export as export_masters
from flows.exporting.folder import NotOursError
from flows.exporting.layouts import PROGRAMS, Program
from flows.home.home import open_home, read_home
from flows.terminal import is_terminal, progress_bar, show, some, tell


@click.command()
@click.argument("frames", nargs=-1, required=True, metavar="FRAME…")
@home_option
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only masters of this kind, or these.")
@click.option("--at", type=click.DateTime(), help="As if it were taken at this time (UTC).")
@FORMAT
@WIDE
def best(
    frames: tuple[str, ...], home: Path, kinds: tuple[Any, ...], at: datetime | None, format_name: str, wide: bool
) -> None:
    """Say which masters suit frames best, what each would add to their noise, and why no others.

    \b
    A frame is the path of a file, or the id of one on record. Qualities are 0 (adds less than 5 % of the frame's own
    noise), 1 (20 %), 2 (50 %) and 3.

    \b
    Example:
      ccdwatch best light_001.fits
      ccdwatch best frame:712 --kind flat --format json
    """
    opened = open_home(home, make=False)
    with progress_bar() as progress:
        found = answers_of(opened, frames, kinds=kinds, at=at and at.replace(tzinfo=UTC), progress=progress)
    if format_name == "table":
        for one in found.answers:
            tell(lines_of_answer(one))
            for table in tables_of_answer(one, wide=wide):
                show(table.rows, format_name="table", columns=table.columns, empty="nothing", short=table.short)
            if is_terminal() and not wide:
                tell(failures_of_answer(one))
    elif format_name == "json":
        show(found.as_dicts(opened.path), format_name="json", columns=(), empty="no frames")
    else:
        show(rows_of_answers(found.answers), format_name=format_name, columns=(), empty="no frames")
    for name, reason in found.failed.items():
        say(f"{name}: {reason}")
    sys.exit(0 if found.is_complete else 1)


@click.command()
@home_option
@click.option("--night", type=click.DateTime(["%Y-%m-%d"]), help="Only frames of this night.")
@FORMAT
def gaps(home: Path, night: datetime | None, format_name: str) -> None:
    """List the science frames on record that lack a bias, dark or flat of quality 0 or 1, and what to take.

    \b
    Example:
      ccdwatch gaps --night 2022-09-19 --format json
    """
    opened = open_home(home, make=False)
    with progress_bar() as progress:
        rows = find_gaps(opened, night=night and night.date(), progress=progress)
    columns = ("instrument", "configuration", "kind", "of", "frames", "nights", "quality", "take", "reason")
    short = ("instrument", "configuration", "kind", "of", "frames", "when", "quality", "to take")
    people = format_name == "table" and is_terminal()
    shown = gaps_for_people(rows) if people else rows
    show(shown, format_name=format_name, columns=columns, empty="nothing is missing", short=short)
    tell(reasons_of_gaps(rows) if people else ())


@click.command()
@click.argument("paths", nargs=-1, metavar="FRAME…", type=click.Path(path_type=Path))
@home_option
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where they go.  [default: as configured, else calibrated in the home]",
)
@click.option(
    "--allow-missing",
    multiple=True,
    type=click.Choice(("bias", "dark", "flat")),
    help="Go on without a master of this kind where none suits; may be given more than once.",
)
@click.option("--unit", type=click.Choice(("adu", "electron")), default="adu", show_default=True, help="Of the result.")
@click.option("--again", is_flag=True, help="Replace what was calibrated before; without FRAMEs all that is affected.")
@FORMAT
def calibrate(
    paths: tuple[Path, ...],
    home: Path,
    output: Path | None,
    allow_missing: tuple[str, ...],
    unit: Literal["adu", "electron"],
    again: bool,
    format_name: str,
) -> None:
    """Calibrate science frames with the masters that suit them best: bias, dark, flat; uncertainty and mask.

    \b
    Example:
      ccdwatch calibrate light_*.fits -o reduced
      ccdwatch calibrate --again      what better masters have come for since
    """
    if not paths and not again:
        raise click.UsageError("Missing argument 'FRAME…': name frames or folders, or give --again.")
    opened = open_home(home, make=False)
    asked = Asked(output, frozenset(allow_missing), unit, again)
    with progress_bar() as progress:
        found = calibrate_named(opened, paths, asked, progress) if paths else calibrate_affected(opened, progress)
    columns = ("file", "state", "bias", "dark", "flat", "mask", "price_e", "unit", "output")
    rows = [one.as_dict() for one in found]
    show(rows, format_name=format_name, columns=columns, empty="nothing to calibrate", short=columns[:-1])
    if format_name == "table" and is_terminal():
        tell(f"{number_of(n, 'file')} in {folder}" for folder, n in _folders(found).items())
    for reason, files in _reasons(found).items():
        say(f"{some(files)}: {reason}")
    sys.exit(1 if any(one.state == "failed" for one in found) else 0)


def _reasons(found: Iterable[Calibration]) -> dict[str, list[str]]:
    """Return what is said of frames, and of which: alike words once."""
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one.reason:
            reasons.setdefault(one.reason, []).append(one.file)
    return reasons


def _folders(found: Iterable[Calibration]) -> Counter[Path]:
    """Return the folders that calibrated frames are in, and how many."""
    return Counter(Path(one.output).parent for one in found if one.output is not None)


@click.command()
@home_option
@FORMAT
def affected(home: Path, format_name: str) -> None:
    """List the calibrated frames that would now get other masters, gain or read noise; calibrate --again does them.

    \b
    Example:
      ccdwatch affected --format csv
    """
    rows = affected_rows(open_home(home, make=False))
    columns = ("output", "frame_id", "kind", "master_id", "now_master_id", "value", "now_value")
    show(rows, format_name=format_name, columns=columns, empty="no calibrated frame is affected", short=columns)


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--for", "program", required=True, type=click.Choice(PROGRAMS), help="Who is to use them.")
@home_option
@INSTRUMENT
@FORMAT
def export(directory: Path, program: Program, home: Path, instrument: str | None, format_name: str) -> None:
    """Copy the masters in force to DIR/<instrument>/, laid out and named as another program wants them.

    Again, after new masters came, it replaces what it wrote itself and nobody changed.

    \b
    Example:
      ccdwatch export --for siril /data/masters
      ccdwatch export --for wbpp /data/masters-wbpp --instrument m2-ml
    """
    try:
        with progress_bar() as progress:
            found = export_masters(read_home(home), program, directory, instrument=instrument, progress=progress)
    except NotOursError as error:
        say(f"ccdwatch: {error}")
        sys.exit(1)
    rows = [one.as_dict() for one in found]
    columns = ("instrument", "kind", "configuration", "filter", "exposure_s", "temperature_c", "state", "file")
    show(rows, format_name=format_name, columns=columns, empty="no master is in force", short=columns)
    for one in found:
        if one.reason:
            say(f"master {one.about['master_id']} ({one.about['kind']}) {one.state}: {one.reason}")
    sys.exit(1 if not found or any(one.state == "failed" for one in found) else 0)
