"""Frames: `identify`, `imstat`, `best`, `gaps`, `combine`, `init`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ccdcore.association.facts import KINDS
from ccdcore.errors import CcdError
from flows.applying.best import answers_of
from flows.applying.gaps import find_gaps
from flows.applying.tables import (
    failures_of_answer,
    gaps_for_people,
    lines_of_answer,
    reasons_of_gaps,
    rows_of_answers,
    tables_of_answer,
)
from flows.cli.options import FORMAT, PATHS, WIDE, ClipSigma, home_option, say
from flows.commands.init import start
from flows.commands.inspect_files import identified, image_statistics
from flows.home.home import open_home
from flows.terminal import grouped, is_terminal, progress_bar, show, tell


@click.command()
@PATHS
@home_option
@FORMAT
@WIDE
def identify(paths: tuple[Path, ...], home: Path, format_name: str, wide: bool) -> None:
    """Say what each frame is, and why it was taken so.

    \b
    Example:
      ccdwatch identify bias_001.fits --format json
    """
    rows, failed = identified(home, paths)
    columns = ("file", "type", "because", "instrument", "configuration", "amplifiers", "night")
    short = () if wide else ("folder", "file", "type", "instrument", "configuration", "night")
    is_short = format_name == "table" and not wide and is_terminal()
    show(_named(rows) if is_short else rows, format_name=format_name, columns=columns, empty="no files", short=short)
    if is_short:
        tell(grouped(((Path(row["file"]).name, f"{row['type']}: {row['because']}") for row in rows), "file"))
    sys.exit(1 if failed else 0)


@click.command()
@PATHS
@home_option
@click.option("--fmt", default=".3f", show_default=True, help="Format of the numbers in the table.")
@click.option("--region", metavar="SECTION", help="Only these pixels: [x1:x2,y1:y2].")
@FORMAT
@WIDE
def imstat(paths: tuple[Path, ...], home: Path, fmt: str, region: str | None, format_name: str, wide: bool) -> None:
    """Print statistics of images.

    \b
    Example:
      ccdwatch imstat flat_*.fits --region "[100:200,1:50]"
    """
    rows, failed = image_statistics(home, paths, fmt=fmt if format_name == "table" else None, region=region)
    columns = ("file", "npix", "min", "max", "mean", "median", "mode", "std", "mad", "unit")
    short = () if wide else ("folder", "file", "npix", "unit", "min", "max", "mean", "median", "std", "mad")
    is_short = format_name == "table" and not wide and is_terminal()
    show(_named(rows) if is_short else rows, format_name=format_name, columns=columns, empty="no files", short=short)
    sys.exit(1 if failed else 0)


def _named(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows whose files are named without their folder, which stands beside."""
    return [{**row, "folder": str(Path(row["file"]).parent), "file": Path(row["file"]).name} for row in rows]


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
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, metavar="OUT", type=click.Path(path_type=Path), help="Where it goes.")
@click.option(
    "--clip-sigma",
    default="7",
    show_default=True,
    type=ClipSigma(),
    help="Leave out what is farther from the median than this many σ, below and above.",
)
@home_option
def combine(files: tuple[Path, ...], output: Path, clip_sigma: tuple[float, float], home: Path) -> None:
    """Combine these files, as they are, into their clipped mean with uncertainties.

    \b
    Example:
      ccdwatch combine bias_*.fits -o stack.fits --clip-sigma 5,3
    """
    from flows.commands.combine import combine_files  # with the compiler, which the others can do without

    try:
        stack = combine_files(home, files, output, clip_sigma)
    except CcdError as error:
        say(f"ccdwatch: {error}")
        sys.exit(1)
    say(f"{output}: the mean of {len(stack.inputs)} frames")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@home_option
def init(directory: Path, home: Path) -> None:
    """Look at a folder of frames, print what was recognised, and write a starting ccdwatch.toml.

    \b
    Example:
      ccdwatch init /data/camera
    """
    start(home, directory.absolute(), say=say)
