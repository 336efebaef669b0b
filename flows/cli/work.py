"""Work on request: `process`, `retry`, `backfill`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from flows.cli.options import PATHS, home_option, say
from flows.commands.process import Progress
from flows.commands.process import backfill as backfill_now
from flows.commands.process import process as process_now
from flows.commands.process import retry as retry_now
from flows.commands.process_summary import print_summary
from flows.home.home import Home, open_home
from flows.home.renaming import words_of_renamed
from flows.registration.disagreements import first_disagreements
from flows.terminal import progress_bar

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
PICTURES = click.option(
    "--pictures/--no-pictures",
    default=None,
    help="Draw pictures of all runs now, or of none; of many at once only those of each camera's last night are drawn. "
    "The pages draw what is missing when it is looked at.",
)


@click.command()
@PATHS
@home_option
@PICTURES
@AS_JSON
def process(paths: tuple[Path, ...], home: Path, pictures: bool | None, as_json: bool) -> None:
    """Work on these files and folders now: measure, build masters, record; print the results.

    \b
    Example:
      ccdwatch process /data/2022-09-19 --json
    """
    _work(
        home,
        lambda opened, progress: process_now(opened, paths, progress=progress, pictures=pictures),
        as_json=as_json,
        make=True,
    )


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
@PICTURES
@AS_JSON
def backfill(home: Path, since: datetime | None, pictures: bool | None, as_json: bool) -> None:
    """Make older results anew where the recipe, the entry or the rules have changed since.

    \b
    Example:
      ccdwatch backfill --since 2022-09-01
    """
    first = since and since.date()
    _work(
        home,
        lambda opened, progress: backfill_now(opened, since=first, progress=progress, pictures=pictures),
        as_json=as_json,
        nothing="nothing is stale",
    )


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
