"""What people say: `mark`, `note`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from flows.cli.options import home_option
from flows.cli.record import instrument_names
from flows.commands.query import sha256_of_path
from flows.home.home import open_home
from flows.home.processes import user
from flows.judgements import judging


@click.command()
@click.argument("identifier", metavar="ID")
@click.argument("said", metavar="bad|good", type=click.Choice(["bad", "good"]))
@click.option("--why", required=True, metavar="TEXT", help="The reason, which stands on record with your name.")
@click.option("--undo", is_flag=True, help="Take the last such mark back; both stay on record.")
@home_option
def mark(identifier: str, said: Literal["bad", "good"], why: str, undo: bool, home: Path) -> None:
    """Mark a frame, a master or a measurement: what is bad is left out, and the set of a frame is made anew.

    \b
    Example:
      ccdwatch mark frame:7 bad --why "dome light was on"
      ccdwatch mark master:3 bad --why "of the wrong filter"
      ccdwatch mark frame:7 bad --undo --why "it was frame 8"
    """
    which = sha256_of_path(identifier) or identifier
    click.echo(judging.mark(open_home(home, make=False), which, said, why=why, who=user(), undo=undo))


@click.command()
@click.argument("instrument", metavar="INSTRUMENT", shell_complete=instrument_names)
@click.argument("words", metavar="TEXT")
@click.option("--at", type=click.DateTime(), metavar="TIME", help="When that was (UTC).  [default: now]")
@click.option("--undo", is_flag=True, help="Take the note of these words back; both stay on record.")
@home_option
def note(instrument: str, words: str, at: datetime | None, undo: bool, home: Path) -> None:
    """Note what was done to an instrument: a line in its trends and reports.

    \b
    Example:
      ccdwatch note m2-ml "controller exchanged" --at 2026-10-03
    """
    when = at and at.replace(tzinfo=UTC)
    click.echo(judging.note(open_home(home, make=False), instrument, words, who=user(), at=when, undo=undo))
