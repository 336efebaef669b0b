"""The commands that print tables: of files, and of what is on record."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ccdcore.text import number_of
from flows.cli.options import PATHS, home_option, say
from flows.terminal import FORMATS, show

FORMAT = click.option(
    "--format", "format_name", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print it."
)
SINCE = click.option("--since", type=click.DateTime(), help="Only what was observed from this time (UTC) on.")
UNTIL = click.option("--until", type=click.DateTime(), help="Only what was observed before this time (UTC).")
INSTRUMENT = click.option("--instrument", help="Only this instrument.")
SUPERSEDED = click.option("--superseded", is_flag=True, help="Also what newer results took the place of.")


@click.command()
@PATHS
@home_option
@FORMAT
def identify(paths: tuple[Path, ...], home: Path, format_name: str) -> None:
    """Say what each frame is, and why it was taken so.

    \b
    Example:
      ccdwatch identify bias_001.fits --format json
    """
    from flows.commands.inspect_files import identified

    rows, failed = identified(home, paths)
    columns = ("file", "type", "because", "instrument", "configuration", "amplifiers", "night")
    show(rows, format_name=format_name, columns=columns, empty="no files")
    sys.exit(1 if failed else 0)


@click.command()
@PATHS
@home_option
@click.option("--fmt", default=".3f", show_default=True, help="Format of the numbers in the table.")
@click.option("--region", metavar="SECTION", help="Only these pixels: [x1:x2,y1:y2].")
@FORMAT
def imstat(paths: tuple[Path, ...], home: Path, fmt: str, region: str | None, format_name: str) -> None:
    """Print statistics of images.

    \b
    Example:
      ccdwatch imstat flat_*.fits --region "[100:200,1:50]"
    """
    from flows.commands.inspect_files import image_statistics

    rows, failed = image_statistics(home, paths, fmt=fmt if format_name == "table" else None, region=region)
    columns = ("file", "npix", "min", "max", "mean", "median", "mode", "std", "mad", "unit")
    show(rows, format_name=format_name, columns=columns, empty="no files")
    sys.exit(1 if failed else 0)


@click.command()
@click.argument("quantity", required=False)
@home_option
@INSTRUMENT
@click.option("--amplifier", help="Only this amplifier.")
@click.option("--configuration", help="Only this read-out configuration.")
@SINCE
@UNTIL
@SUPERSEDED
@FORMAT
@click.option(
    "--plot", metavar="FILE.png", type=click.Path(path_type=Path), help="Draw it, with error bars and limits."
)
def trends(
    quantity: str | None,
    home: Path,
    since: datetime | None,
    until: datetime | None,
    format_name: str,
    plot: Path | None,
    **which: Any,
) -> None:
    """Print the history of a quantity: gain, read_noise, bias_level, row_noise_adu, …; of all without one.

    \b
    Example:
      ccdwatch trends gain --since 2022-01-01 --plot gain.png
    """
    from flows.commands import query

    rows = query.trends(home, quantity=quantity, since=since, until=until, plot=plot, **which)
    columns = (
        "id",
        "night",
        "instrument",
        "configuration",
        "amplifier",
        "quantity",
        "value",
        "uncertainty",
        "unit",
        "method",
        "limit_min",
        "limit_max",
        "verdict",
    )
    show(rows, format_name=format_name, columns=columns, empty="nothing of this on record")


@click.command()
@home_option
@INSTRUMENT
@click.option(
    "--type", "frame_type", type=click.Choice(["bias", "dark", "flat", "other"]), help="Only frames of this type."
)
@SINCE
@UNTIL
@FORMAT
def frames(home: Path, format_name: str, **which: Any) -> None:
    """List the frames on record.

    \b
    Example:
      ccdwatch frames --type flat --format csv
    """
    from flows.commands import query

    columns = (
        "id",
        "night",
        "frame_type",
        "frame_type_reason",
        "instrument",
        "configuration",
        "exposure_time_s",
        "filter",
        "paths",
        "disagreement",
    )
    show(query.frames(home, **which), format_name=format_name, columns=columns, empty="no frames on record")


@click.command()
@home_option
@INSTRUMENT
@click.option(
    "--kind",
    type=click.Choice(["bias", "dark", "flat", "mask"]),
    help="Only masters of this kind; masks of bad pixels are listed by it alone.",
)
@SUPERSEDED
@FORMAT
def masters(home: Path, format_name: str, **which: Any) -> None:
    """List the masters on record.

    \b
    Example:
      ccdwatch masters --kind flat
    """
    from flows.commands import query

    columns = (
        "master_id",
        "night",
        "kind",
        "instrument",
        "configuration",
        "filter",
        "n_combined",
        "n_excluded",
        "verdict",
        "path",
    )
    show(query.masters(home, **which), format_name=format_name, columns=columns, empty="no masters on record")


@click.command()
@home_option
@INSTRUMENT
@SUPERSEDED
@FORMAT
def runs(home: Path, format_name: str, **which: Any) -> None:
    """List the runs on record.

    \b
    Example:
      ccdwatch runs --format json
    """
    from flows.commands import query

    columns = ("id", "night", "instrument", "configuration", "outcome", "message", "engine", "began_at", "ended_at")
    show(query.runs(home, **which), format_name=format_name, columns=columns, empty="no runs on record")


@click.command()
@click.argument("identifier", metavar="ID")
@home_option
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["tree", "json"]),
    default="tree",
    show_default=True,
    help="How to print it.",
)
def provenance(identifier: str, home: Path, format_name: str) -> None:
    """Say where a number or a file came from, down to the raw files' SHA-256.

    \b
    Example:
      ccdwatch provenance 12            measurement 12
      ccdwatch provenance master:3
      ccdwatch provenance reference/CAM/master_bias_bin1x1.fits
    """
    from flows.commands import query

    query.print_provenance(home, identifier, as_json=format_name == "json")


@click.command()
@home_option
@FORMAT
def audit(home: Path, format_name: str) -> None:
    """Hold raw files, masters and references against the record, by their SHA-256; status 1 where they differ.

    \b
    Example:
      ccdwatch audit --format json
    """
    from flows.commands.audit import audit as hold_against
    from flows.home.home import read_home
    from flows.home.renaming import words_of_others, words_of_renamed
    from flows.terminal import progress_bar

    opened = read_home(home)
    renamed = words_of_renamed(opened)
    for line in renamed or words_of_others(opened):
        say(line)
    with progress_bar() as progress:
        rows, n_files = hold_against(opened, progress=progress)
    columns = ("finding", "kind", "id", "path")
    show(rows, format_name=format_name, columns=columns, empty=f"{number_of(n_files, 'file')}, all as on record")
    sys.exit(1 if rows or renamed else 0)


@click.command()
@click.argument("instrument")
@home_option
@click.option("--month", type=click.DateTime(["%Y-%m"]), help="Which month, as 2026-10.  [default: the last whole one]")
@click.option(
    "-o",
    "--output",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    help="Where it goes.  [default: INSTRUMENT_MONTH.html]",
)
def report(instrument: str, home: Path, month: datetime | None, output: Path | None) -> None:
    """Write an instrument's month as one page to send to a colleague.

    \b
    Example:
      ccdwatch report m2-ml --month 2026-10
    """
    from flows.commands import query

    say(f"{query.write_report(home, instrument, month=month and month.date(), output=output)}: written")


COMMANDS = (identify, imstat, trends, frames, masters, runs, provenance, audit, report)
