"""What is on record: `trends`, `frames`, `masters`, `runs`, `provenance`, `report`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from ccdcore.errors import ExpectedError
from ccdcore.quantities import QUANTITIES
from ccdcore.text import unit_text, value_text
from db.runs.sets import instruments_on_record
from flows.cli.options import FORMAT, WIDE, home_option, say
from flows.commands import query
from flows.config.settings import find_home
from flows.home.home import read_home
from flows.terminal import grouped, show, tell
from web.formatting import limits


def instrument_names(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Return the instruments on record whose names begin so: for the Tab key, which nothing may stop."""
    home = find_home(context.params.get("home"))
    with suppress(ExpectedError, SQLAlchemyError, OSError), read_home(home).read_session() as session:
        return [name for name in instruments_on_record(session) if name.startswith(begun)]
    return []


def _quantity_names(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    return [name for name in QUANTITIES if name.startswith(begun)]


SINCE = click.option("--since", type=click.DateTime(), help="Only what was observed from this time (UTC) on.")
UNTIL = click.option("--until", type=click.DateTime(), help="Only what was observed before this time (UTC).")
INSTRUMENT = click.option("--instrument", help="Only this instrument.", shell_complete=instrument_names)
SUPERSEDED = click.option("--superseded", is_flag=True, help="Also what newer results took the place of.")


@click.command()
@click.argument("quantity", required=False, shell_complete=_quantity_names)
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
@click.option(
    "--compare",
    nargs=2,
    metavar="NIGHT NIGHT",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Only what these two nights differ by.",
)
def trends(
    quantity: str | None,
    home: Path,
    since: datetime | None,
    until: datetime | None,
    format_name: str,
    wide: bool,
    plot: Path | None,
    compare: tuple[datetime, datetime] | None,
    **which: Any,
) -> None:
    """Print the history of a quantity: gain, read_noise, bias_level, row_noise_adu, …; of all without one.

    \b
    Example:
      ccdwatch trends gain --since 2022-01-01 --plot gain.png
      ccdwatch trends gain --compare 2022-09-19 2022-09-21      what two nights differ by
    """
    if compare is not None:
        if since or until or plot or which.pop("superseded"):
            raise click.UsageError("--compare goes without --since, --until, --superseded and --plot")
        _compare(home, compare, format_name=format_name, wide=wide, quantity=quantity, **which)
        return
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
    if format_name == "table":
        tell(query.changes(home, rows, quantity=quantity, since=since, until=until, **which))
        if not wide:
            tell(grouped([(f"{row['id']}", said) for row in rows for said in _said_of_value(row)], "value"))
        if any(row["uncertainty"] for row in rows):
            tell(["± is statistical, 1 σ; what is systematic: ccdwatch provenance ID"])


def _said_of_value(row: dict[str, Any]) -> Iterator[str]:
    """Yield why a value is bad, what is odd about it, and what it was marked."""
    if row["verdict"] == "bad":
        yield f"bad: outside the limits {limits(row['limit_min'], row['limit_max'])}"
    if row["remark"]:
        yield f"suspect: {row['remark']}"
    if row["mark"]:
        yield f"marked {row['mark']}: {row['mark_reason']}"


def _compare(home: Path, nights: tuple[datetime, datetime], *, format_name: str, wide: bool, **which: Any) -> None:
    first, second = (night.date() for night in nights)
    rows = query.compare(home, first, second, **which)
    if format_name == "table":
        rows = [{**row, **_as_compared(row, str(first), str(second))} for row in rows]
    whose = ("instrument", "configuration", "filter", "amplifier", "quantity")
    columns = (*whose, str(first), str(second), "difference", "σ", "first_entry", "second_entry")
    short = () if wide else (*whose, str(first), str(second), "difference", "σ")
    show(
        rows,
        format_name=format_name,
        columns=columns,
        short=short,
        empty="nothing was measured on both of these nights",
    )
    if format_name == "table" and rows:
        tell(_entries(rows, str(first), str(second)))


def _as_compared(row: dict[str, Any], first: str, second: str) -> dict[str, Any]:
    difference = value_text(row["difference"], row["uncertainty"], is_change=True)
    return {
        first: value_text(row["first"], row["first_uncertainty"]),
        second: value_text(row["second"], row["second_uncertainty"]),
        "difference": f"{difference} {unit_text(row['unit'])}".strip(),
        "σ": None if row["sigmas"] is None else f"{row['sigmas']:+.1f}",
    }


def _entries(rows: list[dict[str, Any]], first: str, second: str) -> list[str]:
    """Say by which entries the frames of two nights were read."""
    pairs = dict.fromkeys((row["instrument"], row["first_entry"], row["second_entry"]) for row in rows)
    lines = [f"{name}: {first} by {one}, {second} by {other}" for name, one, other in pairs]
    return [*lines, "± and σ are statistical: what is systematic is in both nights alike"]


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
        rows = [
            {
                **row,
                "type": row["frame_type"],
                "file": _file(row["paths"]),
                "exposure": None if row["exposure_time_s"] is None else f"{row['exposure_time_s']:.5g} s",
            }
            for row in rows
        ]
    short = () if wide else ("id", "night", "type", "instrument", "configuration", "exposure", "filter", "file")
    show(rows, format_name=format_name, columns=columns, empty="no frames on record", short=short)
    if format_name == "table" and not wide:
        marked = [(f"{row['id']}", f"marked {row['mark']}: {row['mark_reason']}") for row in rows if row["mark"]]
        told = [(f"{row['id']}", f"disagreement: {row['disagreement']}") for row in rows if row["disagreement"]]
        tell(grouped([*marked, *told], "frame"))


@click.command()
@home_option
@INSTRUMENT
@click.option(
    "--kind",
    type=click.Choice(["bias", "dark", "darkrate", "flat", "mask"]),
    help="Only masters of this kind; masks of bad pixels are listed by it alone.",
)
@SINCE
@UNTIL
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
        rows = [{**row, "id": row["master_id"], "frames": row["n_combined"], "of": _of_master(row)} for row in rows]
    short = ("id", "night", "kind", "of", "instrument", "configuration", "frames", "verdict", "certified", "mark")
    show(rows, format_name=format_name, columns=columns, empty="no masters on record", short=() if wide else short)
    if format_name == "table" and not wide:
        tell(grouped([(f"{row['id']}", said) for row in rows for said in _said_of_master(row)], "master"))


def _of_master(row: dict[str, Any]) -> str | None:
    """Return the filter of a master flat; exposure and temperature of a master dark."""
    if row["kind"] not in {"dark", "darkrate"}:
        filter_name: str | None = row["filter"]
        return filter_name
    exposure = f"{row['exposure_s']:.4g} s" if row["kind"] == "dark" and row["exposure_s"] is not None else ""
    temperature = f"{row['temperature_c']:.0f} °C" if row["temperature_c"] is not None else ""
    return " ".join(filter(None, [exposure, temperature])) or None


def _said_of_master(row: dict[str, Any]) -> Iterator[str]:
    """Yield why a master is bad or suspect, why it is not certified, and what it was marked."""
    if row["verdict"] != "ok" and row["remark"]:
        yield f"{row['verdict']}: {row['remark']}"
    if not row["certified"] and row["verdict"] != "bad":
        yield f"not certified: {row['certified_reason']}"
    if row["mark"]:
        yield f"marked {row['mark']}: {row['mark_reason']}"


@click.command()
@home_option
@INSTRUMENT
@SINCE
@UNTIL
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
    short = () if wide else ("id", "night", "instrument", "configuration", "outcome", "began_at", "ended_at")
    rows = query.runs(home, **which)
    show(rows, format_name=format_name, columns=columns, empty="no runs on record", short=short)
    if format_name == "table" and not wide:
        tell(
            grouped(((f"{row['id']}", f"{row['outcome']}: {row['message']}") for row in rows if row["message"]), "run")
        )


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
@click.argument("instrument", shell_complete=instrument_names)
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
