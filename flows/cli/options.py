"""What several commands share: options, arguments, and how the command line speaks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from flows.config.redaction import redact
from flows.terminal import FORMATS, broken

F = TypeVar("F", bound=Callable[..., Any])

PATHS = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
FORMAT = click.option(
    "--format", "format_name", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print it."
)

WIDE = click.option("--wide", is_flag=True, help="All columns, however narrow the terminal is.")


class ClipSigma(click.ParamType):  # type: ignore[type-arg]
    """One clipping threshold in units of the scatter, or two: LOW,HIGH."""

    name = "L,H"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Read ``7`` or ``5,3``."""
        try:
            numbers = [float(word) for word in str(value).split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in {1, 2} or not all(number > 0 for number in numbers):
            self.fail(f"{value!r} is neither one positive number nor two: write 7 or 5,3", param, ctx)
        return numbers[0], numbers[-1]


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
    from flows.config.settings import find_home  # `--help` needs no settings

    return find_home(value)


def say(line: str) -> None:
    """Tell the person who looks on; results go to standard output, all else here."""
    click.echo(broken(redact(line), indent=2) if sys.stderr.isatty() else redact(line), err=True)
