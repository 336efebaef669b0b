"""The command line: one thin function a command, heavy imports only where they are used."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.db import db
from flows.cli.options import PATHS, ClipSigma, home_option, say
from flows.cli.record import COMMANDS
from flows.config.redaction import install

if TYPE_CHECKING:
    from flows.commands.process import Progress
    from flows.home.home import Home

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="ccdwatch")
def cli() -> None:
    """Watch directories for CCD calibration frames; measure gain and read noise, build masters, keep the history.

    \b
    Example:
      ccdwatch up --watch /data/camera      the whole service
      ccdwatch process /data/last-night     the same work on these frames now
      ccdwatch trends gain                  what was measured, with uncertainties
    """


@cli.command()
@home_option
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
@click.option(
    "--web-port",
    type=click.IntRange(1, 65535),
    help="Port of the pages.  [default: that of ccdwatch.toml, else 4300, else a free one]",
)
def up(home: Path, directories: tuple[Path, ...], port: int, web_port: int | None) -> None:
    """Run the whole service on this machine until Ctrl-C or SIGTERM.

    \b
    Example:
      ccdwatch up --watch /data/camera
    """
    from flows.service import up as service

    service.up(home, tuple(directory.absolute() for directory in directories), port=port, web_port=web_port, say=say)


@cli.command()
@home_option
@click.option(
    "--watch",
    "directories",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Directory to watch.  [default: those of ccdwatch.toml]",
)
def watch(home: Path, directories: tuple[Path, ...]) -> None:
    """See files land and ask Prefect for the runs that are missing: a part of the service.

    \b
    Example:
      ccdwatch watch --watch /data/camera
    """
    from flows.service import up as service

    service.run_watch(home, tuple(directory.absolute() for directory in directories), say=say)


@cli.command()
@home_option
def serve(home: Path) -> None:
    """Run the flows that Prefect schedules: a part of the service.

    \b
    Example:
      ccdwatch serve
    """
    from flows.service import up as service

    service.run_serve(home, say=say)


@cli.command()
@home_option
@click.option("--host", help="Address to listen on.  [default: that of ccdwatch.toml, else 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: that of ccdwatch.toml, else 4300]"
)
def web(home: Path, host: str | None, port: int | None) -> None:
    """Show what is on record as pages: trends, frames, masters, runs. A part of the service.

    \b
    Example:
      ccdwatch web --port 8080
    """
    from flows.service import up as service

    service.run_web(home, host=host, port=port, say=say)


@cli.command()
@PATHS
@home_option
@AS_JSON
def process(paths: tuple[Path, ...], home: Path, as_json: bool) -> None:
    """Work on these files and folders now: measure, build masters, record; print the results.

    \b
    Example:
      ccdwatch process /data/2022-09-19 --json
    """
    from flows.commands.process import process as process_now

    _work(home, lambda opened, progress: process_now(opened, paths, progress=progress), as_json=as_json)


@cli.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@home_option
@AS_JSON
def retry(ids: tuple[str, ...], home: Path, as_json: bool) -> None:
    """Read files again, and make runs again, whatever became of them.

    \b
    Example:
      ccdwatch retry file:12 run:5      as ccdwatch status and ccdwatch runs name them
    """
    from flows.commands.process import retry as retry_now

    _work(home, lambda opened, progress: retry_now(opened, ids, progress=progress), as_json=as_json)


@cli.command()
@home_option
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only nights from this one on.")
@AS_JSON
def backfill(home: Path, since: datetime | None, as_json: bool) -> None:
    """Make older results anew where the recipe, the entry or the rules have changed since.

    \b
    Example:
      ccdwatch backfill --since 2022-09-01
    """
    from flows.commands.process import backfill as backfill_now

    first = since and since.date()
    _work(
        home,
        lambda opened, progress: backfill_now(opened, since=first, progress=progress),
        as_json=as_json,
        nothing="nothing is stale",
    )


def _work(
    home: Path, work: Callable[[Home, Progress], dict[str, Any]], *, as_json: bool, nothing: str | None = None
) -> None:
    """Do work on request, print its results, and end with status 1 where something failed."""
    from flows.commands.process_summary import print_summary
    from flows.home.home import open_home
    from flows.home.renaming import words_of_renamed
    from flows.registration.disagreements import first_disagreements
    from flows.terminal import progress_bar

    opened = open_home(home)
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


@cli.command()
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
    from ccdcore.errors import CcdError
    from flows.commands.combine import combine_files

    try:
        stack = combine_files(home, files, output, clip_sigma)
    except CcdError as error:
        say(f"ccdwatch: {error}")
        sys.exit(1)
    say(f"{output}: the mean of {len(stack.inputs)} frames")


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@home_option
def init(directory: Path, home: Path) -> None:
    """Look at a folder of frames, print what was recognised, and write a starting ccdwatch.toml.

    \b
    Example:
      ccdwatch init /data/camera
    """
    from flows.commands.init import start

    start(home, directory.absolute(), say=say)


@cli.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(home: Path, as_json: bool) -> None:
    """Say whether the service is healthy: its parts, the files that wait, the sets that lack results.

    \b
    Example:
      ccdwatch status
    """
    from flows.commands.doctor import status as ask

    sys.exit(0 if ask(home, as_json=as_json) else 1)


@cli.command()
@home_option
def doctor(home: Path) -> None:
    """Check the set-up: home, configuration, directories, database, programs.

    \b
    Example:
      ccdwatch doctor
    """
    from flows.commands.doctor import doctor as examine

    sys.exit(0 if examine(home) else 1)


for command in (*COMMANDS, db):
    cli.add_command(command)


def main() -> None:
    """Run the command line; what cannot start says so in one line, with status 2."""
    install()
    try:
        cli(prog_name="ccdwatch")
    except Exception as error:
        if not _is_expected(error):
            raise
        say(f"ccdwatch: {error}")
        sys.exit(2)


def _is_expected(error: Exception) -> bool:
    """Whether an error is one of those that explain themselves; told by name, so that nothing is imported for it."""
    expected = {
        "SettingsError",
        "DatabaseError",
        "CcdError",
        "PrefectUnavailableError",
        "ObserverHangsError",
        "DiskFullError",
    }
    return any(kind.__name__ in expected for kind in type(error).__mro__)


if __name__ == "__main__":
    main()
