"""Rows as people and programs want them: a table on the terminal, JSON, CSV, ECSV, VOTable."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, get_args

from db.tables import FileFormat, written
from flows.words import one_line

FORMATS = ("table", *get_args(FileFormat))


def show(rows: Iterable[Mapping[str, Any]], *, format_name: str, columns: Sequence[str], empty: str) -> None:
    """Write rows to standard output.

    Parameters
    ----------
    rows : iterable of mapping
        Plain values by column name.
    format_name : str
        One of `FORMATS`; all columns in all but ``table``.
    columns : sequence of str
        The columns of the table on the terminal.
    empty : str
        What to say on standard error where there are no rows.
    """
    rows = list(rows)
    if not rows:
        print(empty, file=sys.stderr)  # noqa: T201 - the command line speaks here
    if format_name == "table":
        _show_table(rows, columns)
    else:
        sys.stdout.buffer.write(written(rows, cast(FileFormat, format_name)))


def _show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in columns:
        numeric = all(_is_number(row.get(name)) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    console = Console()
    # Piped into another program, a line stays a line.
    Console(width=None if console.is_terminal else 1000, markup=False, highlight=False, emoji=False).print(table)


def _is_number(value: object) -> bool:
    """Whether a cell holds a number, a formatted one too, or nothing."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, int | float | None)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | tuple):
        return ", ".join(one_line(str(part)) for part in value)
    return one_line(str(value))
