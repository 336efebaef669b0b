"""Looking after a home: `status`, `doctor`, `audit`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ccdcore.text import number_of
from flows.cli.options import FORMAT, home_option, say
from flows.commands.audit import audit as hold_against
from flows.commands.doctor import doctor as examine
from flows.commands.doctor import status as ask
from flows.home.home import read_home
from flows.home.renaming import words_of_others, words_of_renamed
from flows.terminal import progress_bar, show


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(home: Path, as_json: bool) -> None:
    """Say whether the service is healthy: its parts, the files that wait, the sets that lack results.

    \b
    Example:
      ccdwatch status
    """
    sys.exit(0 if ask(home, as_json=as_json) else 1)


@click.command()
@home_option
def doctor(home: Path) -> None:
    """Check the set-up: home, configuration, directories, database, programs.

    \b
    Example:
      ccdwatch doctor
    """
    sys.exit(0 if examine(home) else 1)


@click.command()
@home_option
@FORMAT
def audit(home: Path, format_name: str) -> None:
    """Hold raw files, masters and references against the record, by their SHA-256; status 1 where they differ.

    \b
    Example:
      ccdwatch audit --format json
    """
    opened = read_home(home)
    renamed = words_of_renamed(opened)
    for line in renamed or words_of_others(opened):
        say(line)
    with progress_bar() as progress:
        rows, n_files = hold_against(opened, progress=progress)
    columns = ("finding", "kind", "id", "path")
    show(rows, format_name=format_name, columns=columns, empty=f"{number_of(n_files, 'file')}, all as on record")
    sys.exit(1 if rows or renamed else 0)
