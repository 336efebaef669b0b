"""Frames: `identify`, `imstat`, `combine`, `init`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ccdcore.errors import CcdError
from flows.cli.options import FORMAT, PATHS, WIDE, ClipSigma, home_option, say
from flows.commands.init import start
from flows.commands.inspect_files import identified, image_statistics
from flows.terminal import grouped, is_terminal, show, tell


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
