"""Rows as people and programs want them: a table on the terminal, JSON, CSV, ECSV, VOTable."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast, get_args

from ccdcore.text import one_line
from db.export import FileFormat, written

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


PATIENCE_SECONDS = 1.0


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that is told what is being done, how much of it is done, and how much there is."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("")
    began = time.monotonic()
    shown = False

    def update(what: str, done: int, total: int) -> None:
        nonlocal shown
        if not shown and time.monotonic() - began > PATIENCE_SECONDS:
            bar.start()
            shown = True
        bar.update(task, description=what, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()
