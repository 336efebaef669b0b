"""What several commands share: options, arguments, and how the command line speaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PATHS = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))


def home_option(function: F) -> F:
    """Add ``--home``: the command gets its path, that of the environment or the default where none is given."""
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
