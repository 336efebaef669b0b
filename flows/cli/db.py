"""`ccdwatch db …`: looks after the database."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from db.engine import backup as copy_to
from db.engine import check as problems_of
from db.engine import make_engine
from db.engine import upgrade as bring_up_to_date
from flows.cli.options import home_option, say
from flows.config.settings import load_settings
from flows.home.home import open_home, read_home
from flows.home.identity import adopt as tie
from flows.home.renaming import rename_files
from flows.products.references import refresh_references


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


@db.command()
@home_option
def check(home: Path) -> None:
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
