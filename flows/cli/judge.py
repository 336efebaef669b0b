"""What people say, and said: `mark`, `note`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click

from flows.cli.options import FORMAT, home_option
from flows.cli.record import instrument_names
from flows.commands import query
from flows.home.home import open_home
from flows.home.processes import user
from flows.judgements import judging
from flows.terminal import show, tell


@click.command()
@click.argument("identifier", metavar="[ID]", required=False)
@click.argument("said", metavar="[bad|good]", required=False, type=click.Choice(["bad", "good"]))
@click.option("--why", metavar="TEXT", help="The reason, which stands on record with your name.")
@click.option("--undo", is_flag=True, help="Take the last such mark back; both stay on record.")
@home_option
@FORMAT
def mark(
    identifier: str | None,
    said: Literal["bad", "good"] | None,
    why: str | None,
    undo: bool,
    home: Path,
    format_name: str,
) -> None:
    """Mark a frame, a master or a measurement: what is bad is left out, and the set of a frame is made anew.

    Without ID: list all marks.

    \b
    Example:
      ccdwatch mark frame:7 bad --why "dome light was on"
      ccdwatch mark master:3 bad --why "of the wrong filter"
      ccdwatch mark frame:7 bad --undo --why "it was frame 8"
      ccdwatch mark --format csv
    """
    if identifier is None:
        _list(query.said(home, are_notes=False), "nothing is marked", ("of", "said"), format_name=format_name)
    elif said is None or why is None:
        raise click.UsageError(f'say what it is, and why: ccdwatch mark {identifier} bad --why "TEXT"')
    else:
        which = query.sha256_of_path(identifier) or identifier
        tell([judging.mark(open_home(home, make=False), which, said, why=why, who=user(), undo=undo)])


@click.command()
@click.argument("instrument", metavar="[INSTRUMENT]", required=False, shell_complete=instrument_names)
@click.argument("words", metavar="[TEXT]", required=False)
@click.option("--at", type=click.DateTime(), metavar="TIME", help="When that was (UTC).  [default: now]")
@click.option("--undo", is_flag=True, help="Take the note of these words back; both stay on record.")
@home_option
@FORMAT
def note(
    instrument: str | None, words: str | None, at: datetime | None, undo: bool, home: Path, format_name: str
) -> None:
    """Note what was done to an instrument: a line in its trends and reports.

    Without TEXT: list the notes on an instrument, or on all.

    \b
    Example:
      ccdwatch note m2-ml "controller exchanged" --at 2026-10-03
      ccdwatch note m2-ml
    """
    if instrument is None or words is None:
        rows = query.said(home, are_notes=True, instrument=instrument)
        _list(rows, "nothing is noted", ("of", "at"), format_name=format_name)
    else:
        when = at and at.replace(tzinfo=UTC)
        tell([judging.note(open_home(home, make=False), instrument, words, who=user(), at=when, undo=undo)])


def _list(rows: list[dict[str, Any]], nothing: str, first: tuple[str, ...], *, format_name: str) -> None:
    columns = (*first, "words", "who", "said_at", "holds")
    show(rows, format_name=format_name, columns=columns, short=columns, empty=nothing)
