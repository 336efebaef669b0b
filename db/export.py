"""Rows as other programs read them: JSON, CSV, ECSV, VOTable, with units."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from astropy.table import Table

FileFormat = Literal["json", "csv", "ecsv", "votable"]

_OF_THAT_UNIT = ("value", "uncertainty", "limit_min", "limit_max")
"""Columns whose unit is that of the column ``unit``, as long as all rows agree in it."""
_ASTROPY_NAMES = {"e": "electron", "ADU": "adu", "pixels": "pixel"}


_FORMULA = re.compile(r"[\t\n]|\s*[=+\-@＝＋－＠]")
"""What a spreadsheet takes for the beginning of a formula, which may run a program or call an address."""


def written(rows: Sequence[Mapping[str, Any]], format_name: FileFormat) -> bytes:
    """Return rows of plain values as the content of a file; no rows are an empty one but in JSON.

    CSV is what spreadsheets open: a text that one would take for a formula has an apostrophe before it. The other
    formats have every text as it is; numbers are never changed.
    """
    if format_name == "json":
        return json.dumps(rows, indent=2, allow_nan=False).encode() + b"\n"
    if not rows:
        return b""
    if format_name == "csv":
        rows = [{name: _harmless(_flat(value)) for name, value in row.items()} for row in rows]
    table = to_table(rows, for_votable=format_name == "votable")
    if format_name == "votable":
        stream = io.BytesIO()
        table.write(stream, format="votable")
        return stream.getvalue()
    text = io.StringIO()
    table.write(text, format=f"ascii.{format_name}")
    return text.getvalue().encode()


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # it would end the row
    if not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value  # a number, as those of a table that were asked for in a format


def to_table(rows: Sequence[Mapping[str, Any]], *, for_votable: bool = False) -> Table:
    """Return rows of plain values as a table, what is None masked, with units where all rows agree in them."""
    from astropy.table import Table
    from astropy.units import Unit

    units = {str(row.get("unit")) for row in rows}
    unit: Any = _astropy_unit(units.pop()) if len(units) == 1 else None
    if unit and for_votable:  # VOUnits has no electron; a unit in quotes is one's own
        unit = Unit(unit.replace("electron", "'electron'"), format="vounit")
    table = Table()
    for name in rows[0]:
        values = [_flat(row[name]) for row in rows]
        table[name] = _column(values, filler=0.0, unit=unit) if name in _OF_THAT_UNIT else _column(values)
    return table


def _astropy_unit(unit: str) -> str | None:
    """Return a unit of the record as astropy names it; None for one that it does not know."""
    from astropy.units import Unit, UnrecognizedUnit

    name = re.sub("[A-Za-z]+", lambda word: _ASTROPY_NAMES.get(word[0], word[0]), unit)
    known = Unit(name, parse_strict="silent")
    return None if isinstance(known, UnrecognizedUnit) or not name else str(known.to_string())


def _column(values: Sequence[Any], *, filler: Any = "", unit: Any = None) -> Any:
    """Return a column with None masked; a filler stands below the mask, of the type that the others have."""
    from astropy.table import MaskedColumn

    filler = next((type(value)() for value in values if value is not None), filler)
    filled = [filler if value is None else value for value in values]
    return MaskedColumn(filled, mask=[value is None for value in values], unit=unit)


def _flat(value: Any) -> Any:
    """Return a value that a table cell can hold."""
    return json.dumps(value) if isinstance(value, Mapping | list | tuple) else value
