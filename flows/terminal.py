"""Rows as people and programs want them: a table on the terminal, JSON, CSV, ECSV, VOTable."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from ccdcore.text import number_of, one_line
from db.export import FileFormat, written

if TYPE_CHECKING:
    from rich.console import Console

_NOTHING = "–"
_WHOSE = ("instrument", "configuration", "folder", "amplifier", "quantity", "filter", "npix", "unit")
"""Columns that say whose rows they are: one that is the same in all, or for which a terminal is too narrow, is said
above its rows; the first of them first."""
_NAMES = ("file", "path", "example")
_FOLDED = (*_NAMES, "of", "words", "because")
"""Columns whose cells are parted on several lines where a terminal is narrow, and at last said above their rows too."""
_LEAST_LETTERS = 16
"""Of a cell that is parted."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)?")
"""Times as they are on record, in UTC: people read them to the second."""

_MOST_LINES = 10
_MOST_NAMES = 5

FORMATS = ("table", *get_args(FileFormat))


def show(
    rows: Iterable[Mapping[str, Any]],
    *,
    format_name: str,
    columns: Sequence[str],
    empty: str,
    short: Sequence[str] = (),
) -> None:
    """Write rows to standard output.

    Parameters
    ----------
    rows : iterable of mapping
        Plain values by column name.
    format_name : str
        One of `FORMATS`; all columns in all but ``table``.
    columns : sequence of str
        The columns of a table that goes into a file or another program.
    short : sequence of str
        The fewer columns of a table that goes to a terminal, so that it fits; the others where there are none.
    empty : str
        What to say on standard error where there are no rows.
    """
    rows = list(rows)
    if not rows:
        print(empty, file=sys.stderr)  # noqa: T201 - the command line speaks here
    if format_name == "table":
        _show_table(rows, columns, short)
    else:
        sys.stdout.buffer.write(written(rows, cast(FileFormat, format_name)))


def tell(lines: Iterable[str]) -> None:
    """Write lines to standard output; on a terminal those that are too long are broken between words."""
    for line in lines:
        text = broken(line, indent=2) if is_terminal() else line
        print(text)  # noqa: T201 - the command line speaks here


def broken(line: str, *, indent: int) -> str:
    """Return a line as several that a terminal has room for; a word that is longer, as a path, stays whole.

    Parameters
    ----------
    line : str
        What is too long, perhaps.
    indent : int
        Spaces before each part but the first.
    """
    width = get_terminal_size().columns
    return fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False)


def grouped(facts: Iterable[tuple[str, str]], thing: str) -> list[str]:
    """Return what is said of several things alike, a line each, as ``3 masters (1, 2, 7) suspect: …``.

    Parameters
    ----------
    facts : iterable of tuple of str
        The id of a thing, and what is said of it.
    thing : str
        What it is called.
    """
    of: dict[str, list[str]] = {}
    for name, said in facts:
        of.setdefault(one_line(said), []).append(name)
    lines = [f"{number_of(len(names), thing)} ({some(names)}) {said}" for said, names in of.items()]
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"… and {more} more: --wide shows all"] if more > 0 else [])]


def some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def is_terminal() -> bool:
    """Whether people read standard output as it is written."""
    return _console().is_terminal


def _console() -> Console:
    from rich.console import Console

    # Piped into another program, a line stays a line.
    width = None if Console().is_terminal else 1000
    return Console(width=width, markup=False, highlight=False, emoji=False)


def _show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], short: Sequence[str]) -> None:
    from rich import box, cells, table

    if not rows:
        return
    console = _console()
    is_short = console.is_terminal and bool(short)
    parts = _parted(rows, short, console.width, cells.cell_len) if is_short else [("", rows, columns)]
    for said, some_rows, shown in parts:
        if said:
            tell([said])
        shown_table = table.Table(box=box.SIMPLE, pad_edge=False, collapse_padding=console.is_terminal)
        for name in shown:
            numeric = all(_is_number(row.get(name)) for row in some_rows)
            justify: Literal["right", "left"] = "right" if numeric else "left"
            is_whole = is_short and name not in _FOLDED
            shown_table.add_column(name.replace("_", " "), justify=justify, overflow="fold", no_wrap=is_whole)
        for row in some_rows:
            shown_table.add_row(*(_cell(row.get(name)) for name in shown))
        console.print(shown_table)


_Part = tuple[str, Sequence[Mapping[str, Any]], Sequence[str]]
"""What is said above some rows, the rows, and the columns to show of them."""


def _parted(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], width: int, letters: Callable[[str], int]
) -> Iterator[_Part]:
    """Part rows into tables that a terminal has room for; what is the same in all rows of one is said above it."""
    cells = {name: [_cell(row.get(name)) for row in rows] for name in columns}
    known = [name for name in columns if set(cells[name]) != {_NOTHING}]
    above = {name for name in known if name in _WHOSE and len(set(cells[name])) == 1}
    room = {name: _room(name, cells[name], letters) for name in known}
    for name in (*_WHOSE, *_FOLDED):
        if sum(room[one] + _GAP for one in known if one not in above) <= width:
            break
        above |= {name} & set(known)
    told = [name for name in known if name in above]
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for row, *of in zip(rows, *(cells[name] for name in told), strict=True):
        said = ", ".join(f"{name} {cell}" for name, cell in zip(told, of, strict=True) if cell != _NOTHING)
        parts.setdefault(said, []).append(row)
    for said, of_part in parts.items():
        yield said, of_part, [name for name in known if name not in above]


_GAP = 2
"""Spaces beside a column."""


def _room(name: str, cells: Iterable[str], letters: Callable[[str], int]) -> int:
    """Return how many letters a column needs so that no word is cut; so many that a path is, at least."""
    whole = max(map(letters, (name, *cells)))
    if name not in _FOLDED:
        return whole
    longest = 0 if name in _NAMES else max((letters(word) for cell in cells for word in cell.split()), default=0)
    return min(whole, max(_LEAST_LETTERS, longest))


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
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, str) and (time := _TIME.fullmatch(value)):
        return f"{time[1]} {time[2]}"
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
    from rich import console, progress

    words, elapsed = progress.TextColumn("{task.description}"), progress.TimeElapsedColumn()
    columns = (words, progress.BarColumn(), progress.MofNCompleteColumn(), elapsed)
    bar = progress.Progress(*columns, console=console.Console(stderr=True), transient=True)
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
