"""Rows as people and programs want them: a table on the terminal, JSON, CSV, ECSV, VOTable."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flows.words import one_line

FORMATS = ("table", "json", "csv", "ecsv", "votable")
_OF_THAT_UNIT = ("value", "uncertainty", "limit_min", "limit_max")
"""Columns whose unit is that of the column ``unit``, as long as all rows agree in it."""
_UNITS = {"e/ADU": "electron / adu", "e": "electron", "ADU": "adu"}


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
    if format_name == "json":
        json.dump(rows, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif format_name == "table":
        _show_table(rows, columns)
    elif rows:
        _write_astropy(rows, format_name)


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


def _write_astropy(rows: Sequence[Mapping[str, Any]], format_name: str) -> None:
    from astropy.table import Table
    from astropy.units import Unit

    units = {str(row.get("unit")) for row in rows}
    unit = _UNITS.get(units.pop()) if len(units) == 1 else None
    if unit and format_name == "votable":  # VOUnits has no electron; a unit in quotes is one's own
        unit = Unit(unit.replace("electron", "'electron'"), format="vounit")
    table = Table()
    for name in rows[0]:
        values = [_flat(row[name]) for row in rows]
        table[name] = _column(values, filler=0.0, unit=unit) if name in _OF_THAT_UNIT else _column(values)
    if format_name == "votable":
        table.write(sys.stdout.buffer, format="votable")
    else:
        table.write(sys.stdout, format=f"ascii.{format_name}")


def _column(values: Sequence[Any], *, filler: Any = "", unit: Any = None) -> Any:
    """Return a column with None masked; a filler stands below the mask, of the type that the others have."""
    from astropy.table import MaskedColumn

    filler = next((type(value)() for value in values if value is not None), filler)
    filled = [filler if value is None else value for value in values]
    return MaskedColumn(filled, mask=[value is None for value in values], unit=unit)


def _flat(value: Any) -> Any:
    """Return a value that a table cell can hold."""
    return json.dumps(value) if isinstance(value, Mapping | list | tuple) else value
