"""Several series of one quantity in one plot: cameras, or amplifiers of one, beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from db.judgements.notes import JudgementLine
from db.trends.history import TrendRow
from web.charts.axes import time_range
from web.charts.trend_panels import LINEAR, TALL, Drawing, Panel, in_series, label, panel

MOST_SERIES = 8
"""That can be told apart."""
MARKS = ("", "suspect", "bad", "above", "below")
"""Marks of the series in turn, as the templates name them; the first is a circle."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One series of a comparison: its last measurement, its colour's number, its mark."""

    latest: TrendRow
    number: int

    @property
    def mark(self) -> str:
        """Name of its mark."""
        return MARKS[self.number % len(MARKS)]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The series of one unit in one plot, and how many more there are than can be told apart."""

    panel: Panel
    curves: list[Curve]
    n_more: int

    @property
    def unit(self) -> str:
        """Of all of them."""
        return self.curves[0].latest.unit


def comparisons(
    rows: Sequence[TrendRow], notes: Sequence[JudgementLine] = (), drawing: Drawing = LINEAR
) -> list[Comparison]:
    """Return a plot for each unit, over one span of time; limits are those of single cameras, and not drawn.

    Parameters
    ----------
    rows : sequence of TrendRow
        Oldest first.
    notes : sequence of JudgementLine
        What people noted about the instruments.
    drawing : Drawing
        How values are drawn.
    """
    by_unit: dict[str, list[list[TrendRow]]] = {}
    for of in in_series(rows).values():
        by_unit.setdefault(of[0].unit, []).append(of)
    span = time_range([row.observed_at for row in (rows[0], rows[-1])]) if rows else None
    found = []
    for series in by_unit.values():
        shown = series[:MOST_SERIES]
        curves = [Curve(of[-1], number) for number, of in enumerate(shown)]
        of_id = {row.id: curve for curve, of in zip(curves, shown, strict=True) for row in of}
        together = sorted((row for of in shown for row in of), key=lambda row: (row.observed_at, row.id))
        assert span is not None
        drawn = panel(together, notes, span, TALL, drawing, (None, None))
        dots = [
            dot._replace(look=f"s{of_id[row.id].number}", mark=of_id[row.id].mark, label=_named(row))
            for dot, row in zip(drawn.dots, together, strict=True)
        ]
        found.append(Comparison(replace(drawn, dots=dots), curves, len(series) - len(shown)))
    return found


def _named(row: TrendRow) -> str:
    return f"{row.instrument} amplifier {row.amplifier}" + (f" {row.filter}" if row.filter else "") + f" · {label(row)}"
