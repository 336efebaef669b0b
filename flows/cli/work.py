"""Work on request: `process`, `retry`, `backfill`, `calibrate`, `affected`, `export`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import click

from ccdcore.text import number_of
from flows.applying.calibrating.affected import affected_rows
from flows.applying.calibrating.calibrate import Calibration
from flows.applying.calibrating.request import Asked, calibrate_affected, calibrate_named
from flows.cli.options import FORMAT, PATHS, home_option, say
from flows.cli.record import INSTRUMENT
from flows.commands.process import Progress
from flows.commands.process import backfill as backfill_now
from flows.commands.process import process as process_now
from flows.commands.process import retry as retry_now
from flows.commands.process_summary import print_summary
from flows.exporting.export import export as export_masters
from flows.exporting.folder import NotOursError
from flows.exporting.layouts import PROGRAMS, Program
from flows.home.home import Home, open_home, read_home
from flows.home.renaming import words_of_renamed
from flows.registration.disagreements import first_disagreements
from flows.terminal import is_terminal, progress_bar, show, some, tell

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command()
@PATHS
@home_option
@AS_JSON
def process(paths: tuple[Path, ...], home: Path, as_json: bool) -> None:
    """Work on these files and folders now: measure, build masters, record; print the results.

    \b
    Example:
      ccdwatch process /data/2022-09-19 --json
    """
    _work(home, lambda opened, progress: process_now(opened, paths, progress=progress), as_json=as_json, make=True)


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@home_option
@AS_JSON
def retry(ids: tuple[str, ...], home: Path, as_json: bool) -> None:
    """Read files again, and make runs again, whatever became of them.

    \b
    Example:
      ccdwatch retry file:12 run:5      as ccdwatch status and ccdwatch runs name them
    """
    _work(home, lambda opened, progress: retry_now(opened, ids, progress=progress), as_json=as_json)


@click.command()
@home_option
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only nights from this one on.")
@AS_JSON
def backfill(home: Path, since: datetime | None, as_json: bool) -> None:
    """Make older results anew where the recipe, the entry or the rules have changed since.

    \b
    Example:
      ccdwatch backfill --since 2022-09-01
    """
    first = since and since.date()
    _work(
        home,
        lambda opened, progress: backfill_now(opened, since=first, progress=progress),
        as_json=as_json,
        nothing="nothing is stale",
    )


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


def _work(
    home: Path,
    work: Callable[[Home, Progress], dict[str, Any]],
    *,
    as_json: bool,
    nothing: str | None = None,
    make: bool = False,
) -> None:
    """Do work on request, print its results, and end with status 1 where something failed."""
    opened = open_home(home, make=make)
    for line in words_of_renamed(opened):
        say(line)
    with progress_bar() as progress:
        results = work(opened, progress)
    for line in first_disagreements(opened):
        say(line)
    if as_json:
        json.dump(results, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    else:
        print_summary(results, nothing=nothing)
    if results["failed"]:
        sys.exit(1)
