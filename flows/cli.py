"""The command line: one thin function a command, heavy imports only where they are used."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from flows.tables import FORMATS, show

F = TypeVar("F", bound=Callable[..., Any])

PATHS = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
FORMAT = click.option(
    "--format", "format_name", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print it."
)
SINCE = click.option("--since", type=click.DateTime(), help="Only what was observed from this time (UTC) on.")
UNTIL = click.option("--until", type=click.DateTime(), help="Only what was observed before this time (UTC).")
INSTRUMENT = click.option("--instrument", help="Only this instrument.")
SUPERSEDED = click.option("--superseded", is_flag=True, help="Also what newer results took the place of.")


def _home(function: F) -> F:
    option = click.option(
        "--home",
        metavar="DIR",
        callback=lambda _context, _parameter, value: _find_home(value),
        help="The home directory of the service.  [default: $CCDWATCH_HOME, else ~/ccdwatch]",
    )
    return option(function)


def _find_home(value: str | None) -> Path:
    from flows.settings import find_home

    return find_home(value)


def say(line: str) -> None:
    """Tell the person who looks on; results go to standard output, all else here."""
    click.echo(line, err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="ccdwatch")
def cli() -> None:
    r"""Watch directories for CCD calibration frames; measure gain and read noise, build masters, keep the history.

    \b
    Example:
      ccdwatch up --watch /data/camera      the whole service
      ccdwatch process /data/last-night     the same work on these frames now
      ccdwatch trends gain                  what was measured, with uncertainties
    """


@cli.command()
@_home
@click.option(
    "--watch",
    "directories",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Directory to watch; may be given several times.  [default: those of ccdwatch.toml]",
)
@click.option(
    "--port",
    default=4200,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port of the Prefect server and its UI.",
)
def up(home: Path, directories: tuple[Path, ...], port: int) -> None:
    r"""Run the whole service on this machine until Ctrl-C or SIGTERM.

    \b
    Example:
      ccdwatch up --watch /data/camera
    """
    from flows import service

    service.up(home, tuple(directory.absolute() for directory in directories), port=port, say=say)


@cli.command()
@_home
@click.option(
    "--watch",
    "directories",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Directory to watch.  [default: those of ccdwatch.toml]",
)
def watch(home: Path, directories: tuple[Path, ...]) -> None:
    r"""See files land and ask Prefect for the runs that are missing: a part of the service.

    \b
    Example:
      ccdwatch watch --watch /data/camera
    """
    from flows import service

    service.run_watch(home, tuple(directory.absolute() for directory in directories), say=say)


@cli.command()
@_home
def serve(home: Path) -> None:
    r"""Run the flows that Prefect schedules: a part of the service.

    \b
    Example:
      ccdwatch serve
    """
    from flows import service

    service.run_serve(home)


@cli.command()
@PATHS
@_home
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def process(paths: tuple[Path, ...], home: Path, as_json: bool) -> None:
    r"""Work on these files and folders now: measure, build masters, record; print the results.

    \b
    Example:
      ccdwatch process /data/2022-09-19 --json
    """
    from flows.home import open_home
    from flows.process import process as process_now
    from flows.progress import progress_bar
    from flows.summary import print_summary

    with progress_bar() as progress:
        results = process_now(open_home(home), paths, progress=progress)
    if as_json:
        json.dump(results, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    else:
        print_summary(results)
    if results["failed"]:
        sys.exit(1)


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@_home
def init(directory: Path, home: Path) -> None:
    r"""Look at a folder of frames, print what was recognised, and write a starting ccdwatch.toml.

    \b
    Example:
      ccdwatch init /data/camera
    """
    from flows.starter import start

    start(home, directory.absolute(), say=say)


@cli.command()
@PATHS
@_home
@FORMAT
def identify(paths: tuple[Path, ...], home: Path, format_name: str) -> None:
    r"""Say what each frame is, and why it was taken so.

    \b
    Example:
      ccdwatch identify bias_001.fits --format json
    """
    from flows.frame_tables import identified

    rows, failed = identified(home, paths)
    columns = ("file", "type", "because", "instrument", "configuration", "amplifiers", "night")
    show(rows, format_name=format_name, columns=columns, empty="no files")
    sys.exit(1 if failed else 0)


@cli.command()
@PATHS
@_home
@click.option("--fmt", default=".3f", show_default=True, help="Format of the numbers in the table.")
@click.option("--region", metavar="SECTION", help="Only these pixels: [x1:x2,y1:y2].")
@FORMAT
def imstat(paths: tuple[Path, ...], home: Path, fmt: str, region: str | None, format_name: str) -> None:
    r"""Print statistics of images.

    \b
    Example:
      ccdwatch imstat flat_*.fits --region "[100:200,1:50]"
    """
    from flows.frame_tables import image_statistics

    rows, failed = image_statistics(home, paths, fmt=fmt if format_name == "table" else None, region=region)
    columns = ("file", "npix", "min", "max", "mean", "median", "mode", "std", "mad", "unit")
    show(rows, format_name=format_name, columns=columns, empty="no files")
    sys.exit(1 if failed else 0)


@cli.command()
@click.argument("quantity", required=False)
@_home
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
    r"""Print the history of a quantity: gain, read_noise, read_noise_adu, bias_level; of all without one.

    \b
    Example:
      ccdwatch trends gain --since 2022-01-01 --plot gain.png
    """
    from flows import answers

    rows = answers.trends(home, quantity=quantity, since=since, until=until, plot=plot, **which)
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


@cli.command()
@_home
@INSTRUMENT
@click.option(
    "--type", "frame_type", type=click.Choice(["bias", "dark", "flat", "other"]), help="Only frames of this type."
)
@SINCE
@UNTIL
@FORMAT
def frames(home: Path, format_name: str, **which: Any) -> None:
    r"""List the frames on record.

    \b
    Example:
      ccdwatch frames --type flat --format csv
    """
    from flows import answers

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
    )
    show(answers.frames(home, **which), format_name=format_name, columns=columns, empty="no frames on record")


@cli.command()
@_home
@INSTRUMENT
@click.option("--kind", type=click.Choice(["bias", "dark", "flat"]), help="Only masters of this kind.")
@SUPERSEDED
@FORMAT
def masters(home: Path, format_name: str, **which: Any) -> None:
    r"""List the masters on record.

    \b
    Example:
      ccdwatch masters --kind flat
    """
    from flows import answers

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
    show(answers.masters(home, **which), format_name=format_name, columns=columns, empty="no masters on record")


@cli.command()
@_home
@INSTRUMENT
@SUPERSEDED
@FORMAT
def runs(home: Path, format_name: str, **which: Any) -> None:
    r"""List the runs on record.

    \b
    Example:
      ccdwatch runs --format json
    """
    from flows import answers

    columns = ("id", "night", "instrument", "configuration", "outcome", "message", "engine", "began_at", "ended_at")
    show(answers.runs(home, **which), format_name=format_name, columns=columns, empty="no runs on record")


@cli.command()
@click.argument("identifier", metavar="ID")
@_home
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["tree", "json"]),
    default="tree",
    show_default=True,
    help="How to print it.",
)
def provenance(identifier: str, home: Path, format_name: str) -> None:
    r"""Say where a number or a file came from, down to the raw files' SHA-256.

    \b
    Example:
      ccdwatch provenance 12            measurement 12
      ccdwatch provenance master:3
    """
    from flows import answers

    answers.print_provenance(home, identifier, as_json=format_name == "json")


@cli.command()
@_home
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(home: Path, as_json: bool) -> None:
    r"""Say whether the service is healthy: its parts, the files that wait, the sets that lack results.

    \b
    Example:
      ccdwatch status
    """
    from flows.doctor import status as ask

    sys.exit(0 if ask(home, as_json=as_json) else 1)


@cli.command()
@_home
def doctor(home: Path) -> None:
    r"""Check the set-up: home, configuration, directories, database, programs.

    \b
    Example:
      ccdwatch doctor
    """
    from flows.doctor import doctor as examine

    sys.exit(0 if examine(home) else 1)


@cli.group()
def db() -> None:
    r"""Look after the database.

    \b
    Example:
      ccdwatch db backup /backup/ccdwatch.db
    """


@db.command()
@_home
def upgrade(home: Path) -> None:
    r"""Bring the schema up to date.

    \b
    Example:
      ccdwatch db upgrade
    """
    from flows.home import open_home

    say(f"{open_home(home).engine.url.render_as_string()}: the schema is up to date")


@db.command()
@_home
def check(home: Path) -> None:
    r"""Check integrity, references and schema.

    \b
    Example:
      ccdwatch db check
    """
    from db.engine import check as problems_of
    from flows.home import read_home

    problems = problems_of(read_home(home).engine)
    say("\n".join(problems) or "the database is well")
    sys.exit(1 if problems else 0)


@db.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@_home
def backup(target: Path, home: Path) -> None:
    r"""Copy the database while it is in use.

    \b
    Example:
      ccdwatch db backup /backup/ccdwatch.db
    """
    from db.engine import backup as copy_to
    from flows.home import read_home

    copy_to(read_home(home).engine, target.absolute())
    say(f"{target}: written")


def main() -> None:
    """Run the command line; what cannot start says so in one line, with status 2."""
    try:
        cli(standalone_mode=True)
    except Exception as error:
        if not _is_expected(error):
            raise
        say(f"ccdwatch: {error}")
        sys.exit(2)


def _is_expected(error: Exception) -> bool:
    """Whether an error is one of those that explain themselves; told by name, so that nothing is imported for it."""
    expected = {"SettingsError", "DatabaseError", "CcdError", "PrefectUnavailableError"}
    return any(kind.__name__ in expected for kind in type(error).__mro__)


if __name__ == "__main__":
    main()
