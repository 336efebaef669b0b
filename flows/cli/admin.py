"""Looking after a home: `status`, `doctor`, `notify`, `audit`, `config …`, `db …`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ccdcore.text import number_of, one_line
from db.engine import backup as copy_to
from db.engine import check as problems_of
from db.engine import make_engine
from db.engine import upgrade as bring_up_to_date
from flows.cli.options import FORMAT, home_option, say
from flows.commands.audit import audit as hold_against
from flows.commands.doctor import doctor as examine
from flows.commands.doctor import look_at
from flows.commands.doctor import status as ask
from flows.config.errors import CONFIG_NAME
from flows.config.redaction import redact, redacted
from flows.config.settings import load_settings
from flows.home.home import open_home, read_home
from flows.home.identity import adopt as tie
from flows.home.processes import user
from flows.home.renaming import rename_files, words_of_others, words_of_renamed
from flows.products.references import refresh_references
from flows.registration.configuration_check import check as look_through
from flows.telling.receivers import send_tests
from flows.terminal import progress_bar, show, tell


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--seen", is_flag=True, help="Put on record that you have looked at all that needs attention.")
def status(home: Path, as_json: bool, seen: bool) -> None:
    """Say whether the service is healthy: its parts, the files that wait, the sets that lack results.

    Two things are judged: whether the service works, and what needs attention, as failed runs, masters that may not be
    used, and trends that changed. The status is 1 until it works and each of the others is mended, or looked at
    (--seen).

    \b
    Example:
      ccdwatch status
      ccdwatch status --seen
    """
    if seen:
        for line in look_at(home, who=user()):
            say(line)
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
@click.option("--test", "is_test", is_flag=True, required=True, help="Send a test message to every address.")
@home_option
def notify(is_test: bool, home: Path) -> None:
    """Send a message to those who are told of trends, failures and nights, and say who took it.

    \b
    Example:
      ccdwatch notify --test
    """
    if not is_test:
        raise click.UsageError("by hand only a test is sent: ccdwatch notify --test")
    taken = []
    for address, was_taken in send_tests(load_settings(home)):
        tell([f"{address}: {'taken' if was_taken else 'not taken: ccdwatch doctor looks at the addresses'}"])
        taken.append(was_taken)
    sys.exit(0 if all(taken) else 1)


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
    as_on_record = f"{number_of(n_files, 'file')}, all as on record"
    show(rows, format_name=format_name, columns=columns, short=columns, empty=as_on_record)
    sys.exit(1 if rows or renamed else 0)


@click.group()
def config() -> None:
    """Look after the configuration.

    \b
    Example:
      ccdwatch config check
    """


@config.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def check(home: Path, as_json: bool) -> None:
    """Name values that make no sense, and what to write instead; status 1 where there are some.

    \b
    Example:
      ccdwatch config check
    """
    found, why_in_part = look_through(home)
    if as_json:
        click.echo(json.dumps(redacted([one.as_dict() for one in found]), indent=2, allow_nan=False))
    else:
        tell(redact(one_line(one.line)) for one in found)
    if why_in_part:
        say(why_in_part)
    if not found:
        file = home / CONFIG_NAME
        say(f"{file}: nothing odd" if file.exists() else f"{file}: not there, so the defaults hold")
    sys.exit(1 if found else 0)


@click.group()
def db() -> None:
    """Look after the database.

    \b
    Example:
      ccdwatch db backup /backup/ccdwatch.db
    """


@db.command()
@home_option
def upgrade(home: Path) -> None:
    """Bring the schema up to date.

    \b
    Example:
      ccdwatch db upgrade
    """
    opened = open_home(home, make=False)
    refresh_references(opened)  # masters may go by other names in the new schema
    say(f"{opened.engine.url.render_as_string()}: the schema is up to date")


@db.command("check")
@home_option
def check_database(home: Path) -> None:
    """Check integrity, references and schema.

    \b
    Example:
      ccdwatch db check
    """
    problems = problems_of(read_home(home).engine)
    say("\n".join(problems) or "the database is well")
    sys.exit(1 if problems else 0)


@db.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@home_option
def backup(target: Path, home: Path) -> None:
    """Copy the database while it is in use.

    \b
    Example:
      ccdwatch db backup /backup/ccdwatch.db
    """
    copy_to(read_home(home).engine, target.absolute())
    say(f"{target}: written")


@db.command()
@home_option
def adopt(home: Path) -> None:
    """Let the database belong to this home, after either was moved, restored or emptied.

    \b
    Example:
      ccdwatch db adopt --home /data/ccdwatch
    """
    say(f"{adopt_home(home)}: belongs to the home {home} now")


def adopt_home(home: Path) -> str:
    """Tie a home and the database of its configuration to each other; return the address of the database."""
    settings = load_settings(home)
    engine = make_engine(settings.database_url)
    try:
        bring_up_to_date(engine)
        tie(settings, engine)
    finally:
        engine.dispose()
    return engine.url.render_as_string()


@db.command("rename-host")
@click.argument("old", metavar="OLD")
@home_option
def rename_host(old: str, home: Path) -> None:
    """Put the files that are on record under another name of this machine under the one that it has now.

    \b
    Example:
      ccdwatch db rename-host dome-pc
    """
    for line in rename_files(open_home(home, make=False), old):
        say(line)
