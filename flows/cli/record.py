"""What is on record: `trends`, `frames`, `masters`, `runs`, `provenance`, `report`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ccdcore.text import unit_text, value_text
from flows.cli.options import FORMAT, WIDE, home_option, say
from flows.commands import query
from flows.terminal import show

SINCE = click.option("--since", type=click.DateTime(), help="Only what was observed from this time (UTC) on.")
UNTIL = click.option("--until", type=click.DateTime(), help="Only what was observed before this time (UTC).")
INSTRUMENT = click.option("--instrument", help="Only this instrument.")
SUPERSEDED = click.option("--superseded", is_flag=True, help="Also what newer results took the place of.")


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
@WIDE
@click.option(
    "--plot", metavar="FILE.png", type=click.Path(path_type=Path), help="Draw it, with error bars and limits."
)
def trends(
    quantity: str | None,
    home: Path,
    since: datetime | None,
    until: datetime | None,
    format_name: str,
    wide: bool,
    plot: Path | None,
    **which: Any,
) -> None:
    """Print the history of a quantity: gain, read_noise, bias_level, row_noise_adu, …; of all without one.

    \b
    Example:
      ccdwatch trends gain --since 2022-01-01 --plot gain.png
    """
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
        "mark",
    )
    if format_name == "table":
        results = (f"{value_text(row['value'], row['uncertainty'])} {unit_text(row['unit'])}".strip() for row in rows)
        rows = [{**row, "result": result} for row, result in zip(rows, results, strict=True)]
    short = () if wide else ("id", "night", "instrument", "configuration", "amplifier", "quantity", "result", "verdict")
    show(rows, format_name=format_name, columns=columns, empty="nothing of this on record", short=short)


@click.command()
@home_option
@INSTRUMENT
@click.option(
    "--type", "frame_type", type=click.Choice(["bias", "dark", "flat", "other"]), help="Only frames of this type."
)
@SINCE
@UNTIL
@FORMAT
@WIDE
def frames(home: Path, format_name: str, wide: bool, **which: Any) -> None:
    """List the frames on record.

    \b
    Example:
      ccdwatch frames --type flat --format csv
    """
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
        "mark",
        "disagreement",
    )
    rows = query.frames(home, **which)
    if format_name == "table":
        rows = [{**row, "type": row["frame_type"], "file": _file(row["paths"])} for row in rows]
    short = () if wide else ("night", "type", "instrument", "configuration", "exposure_time_s", "filter", "file")
    show(rows, format_name=format_name, columns=columns, empty="no frames on record", short=short)


@click.command()
@home_option
@INSTRUMENT
@click.option(
    "--kind",
    type=click.Choice(["bias", "dark", "darkrate", "flat", "mask"]),
    help="Only masters of this kind; masks of bad pixels are listed by it alone.",
)
@SUPERSEDED
@FORMAT
@WIDE
def masters(home: Path, format_name: str, wide: bool, **which: Any) -> None:
    """List the masters on record.

    \b
    Example:
      ccdwatch masters --kind flat
    """
    columns = (
        "master_id",
        "night",
        "kind",
        "instrument",
        "configuration",
        "filter",
        "exposure_s",
        "temperature_c",
        "n_combined",
        "n_excluded",
        "verdict",
        "mark",
        "certified",
        "certified_reason",
        "path",
    )
    rows = query.masters(home, **which)
    if format_name == "table":
        rows = [{**row, "id": row["master_id"], "frames": row["n_combined"]} for row in rows]
    short = (
        () if wide else ("id", "night", "kind", "instrument", "configuration", "filter", "frames", "verdict", "remark")
    )
    show(rows, format_name=format_name, columns=columns, empty="no masters on record", short=short)


@click.command()
@home_option
@INSTRUMENT
@SUPERSEDED
@FORMAT
@WIDE
def runs(home: Path, format_name: str, wide: bool, **which: Any) -> None:
    """List the runs on record.

    \b
    Example:
      ccdwatch runs --format json
    """
    columns = ("id", "night", "instrument", "configuration", "outcome", "message", "engine", "began_at", "ended_at")
    short = () if wide else ("id", "night", "instrument", "configuration", "outcome", "began_at", "message")
    rows = query.runs(home, **which)
    show(rows, format_name=format_name, columns=columns, empty="no runs on record", short=short)


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
    query.print_provenance(home, identifier, as_json=format_name == "json")


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
    say(f"{query.write_report(home, instrument, month=month and month.date(), output=output)}: written")


def _file(paths: list[str]) -> str:
    """Return the name of the first of some files, and how many more there are."""
    names = [Path(path).name for path in paths]
    return (names[0] if names else "") + (f" and {len(names) - 1} more" if len(names) > 1 else "")
