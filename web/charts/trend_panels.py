"""Plots as the templates draw them in SVG: along in per cent, so that text keeps its size; upwards in pixels."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from ccdcore.text import unit_text, value_text
from db.judgements.notes import JudgementLine
from db.trends.changes import TrendChange
from db.trends.history import TrendRow
from web.charts.axes import Floats, decade_ticks, time_range, time_ticks, value_range, value_ticks

TALL, LOW = 320, 168
"""Height of a panel that stands alone, and of one among others, in pixels."""
SPARK_WIDTH, SPARK_HEIGHT = 120, 26


class Dot(NamedTuple):
    """One measurement: where it is drawn, its error bar, what it looks like, what is said of it."""

    id: int
    x: float
    y: float
    top: float
    bottom: float
    look: str
    """``ok``, ``suspect``, ``bad``, ``unjudged``, ``superseded``, ``marked`` (bad); ``above`` or ``below`` the plot."""
    label: str
    mark: str = ""
    """Name of its mark; a circle where there is none."""


class Tick(NamedTuple):
    """A mark on an axis, in per cent along or pixels down, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """The history of one quantity of one amplifier.

    Parameters
    ----------
    rows : sequence of TrendRow
        What is drawn, oldest first; the last one stands in the caption.
    height : int
        Of the plot, in pixels.
    dots : list of Dot
        The measurements.
    x_ticks, y_ticks : list of Tick
        Marks on the axes.
    limits : list of Tick
        Limits that lie inside the plot.
    band : tuple of float or None
        Top and height of what the limits admit; None where there are none.
    n_outside : int
        Measurements that lie outside the plot and are drawn at its edge.
    first, last : datetime
        What the axis of times spans.
    notes : list of Tick
        What people noted about the instrument in that span.
    is_log : bool
        Whether values are drawn by their logarithm.
    """

    rows: Sequence[TrendRow]
    height: int
    dots: list[Dot]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    limits: list[Tick]
    band: tuple[float, float] | None
    n_outside: int
    first: datetime
    last: datetime
    notes: list[Tick]
    is_log: bool = False

    @property
    def series(self) -> str:
        """What it is of, as changes name it, too."""
        return series_name(self.latest)

    @property
    def latest(self) -> TrendRow:
        """The last measurement, of those that are not marked bad where there are any."""
        return next((row for row in reversed(self.rows) if row.counts), self.rows[-1])


def series_name(of: TrendRow | TrendChange) -> str:
    """Return what tells the series of one quantity apart."""
    return json.dumps([of.instrument, of.configuration, of.amplifier, of.filter, of.unit])


@dataclass(frozen=True, slots=True)
class Drawing:
    """How values are drawn: ``whole`` far outliers to scale, too; ``log`` by logarithms, where all are above zero."""

    whole: bool = False
    log: bool = False


LINEAR = Drawing()


def panels(rows: Sequence[TrendRow], notes: Sequence[JudgementLine] = (), drawing: Drawing = LINEAR) -> list[Panel]:
    """Return one panel for each instrument, configuration, amplifier and filter, over one span of time.

    Parameters
    ----------
    rows : sequence of TrendRow
        Oldest first.
    notes : sequence of JudgementLine
        What people noted about the instruments.
    drawing : Drawing
        How values are drawn.
    """
    series = in_series(rows)
    if not series:
        return []
    span = time_range([row.observed_at for row in (rows[0], rows[-1])])
    height = TALL if len(series) == 1 else LOW
    return [panel(of, notes, span, height, drawing, (of[-1].limit_min, of[-1].limit_max)) for of in series.values()]


def in_series(rows: Sequence[TrendRow]) -> dict[tuple[str, ...], list[TrendRow]]:
    """Return rows by what tells the series of a quantity apart, in its order."""
    series: dict[tuple[str, ...], list[TrendRow]] = {}
    for row in rows:
        key = (row.instrument, row.configuration, row.amplifier, row.filter or "", row.unit)
        series.setdefault(key, []).append(row)
    return {key: series[key] for key in sorted(series)}


def panel(
    rows: Sequence[TrendRow],
    notes: Sequence[JudgementLine],
    span: tuple[datetime, datetime],
    height: int,
    drawing: Drawing,
    limits: tuple[float | None, float | None],
) -> Panel:
    """Return the plot of some rows, oldest first, over a span of time, of a height in pixels."""
    values = np.array([row.value for row in rows])
    uncertainties = np.array([row.uncertainty or 0.0 for row in rows])
    is_log = drawing.log and bool((values > 0).all())
    scaled = _logarithms if is_log else np.asarray
    drawn, edges = scaled(values), [_limit(one, is_log) for one in limits]
    ends = [scaled(values + sign * uncertainties) for sign in (1, -1)]
    low, high = value_range(drawn, (ends[0] - ends[1]) / 2, edges, whole=drawing.whole)
    scale = height / (high - low)

    def down(value: Any) -> Any:
        return (high - value) * scale

    width = span[1] - span[0]
    xs = [100 * ((row.observed_at - span[0]) / width) for row in rows]
    ys = np.clip(down(drawn), 0, height)
    tops, bottoms = (np.clip(down(one), 0, height) for one in ends)
    looks = [_look(row, value, low, high) for row, value in zip(rows, drawn.tolist(), strict=True)]
    admitted = [down(limit) if limit is not None else edge for limit, edge in zip(edges, (height, 0), strict=True)]
    bottom, top = (min(max(edge, 0.0), float(height)) for edge in admitted)
    ticks = (decade_ticks if is_log else value_ticks)(low, high, max(3, height // 45))
    return Panel(
        rows=rows,
        height=height,
        dots=[
            Dot(row.id, x, y, t, b, look, label(row), look if look in _MARKED else "")
            for row, x, y, t, b, look in zip(rows, xs, ys.tolist(), tops.tolist(), bottoms.tolist(), looks, strict=True)
        ],
        x_ticks=[Tick(100 * ((when - span[0]) / width), text) for when, text in time_ticks(*span, most=8)],
        y_ticks=[Tick(down(value), text) for value, text in ticks],
        limits=[
            Tick(down(limit), f"{10**limit if is_log else limit:g}")
            for limit in edges
            if limit is not None and low <= limit <= high
        ],
        band=None if edges == [None, None] else (top, max(0.0, bottom - top)),
        n_outside=sum(look in {"above", "below"} for look in looks),
        first=span[0],
        last=span[1],
        notes=[
            Tick(100 * ((note.at - span[0]) / width), note.words)
            for note in notes
            if note.at is not None and note.of in {row.instrument for row in rows} and span[0] <= note.at <= span[1]
        ],
        is_log=is_log,
    )


_MARKED = {"suspect", "bad", "above", "below"}


def _logarithms(values: Floats) -> Floats:
    """Return logarithms to the base of ten; of what is not above zero, that of something far below all."""
    positive = values[values > 0]
    return np.log10(np.maximum(values, 1e-3 * float(positive.min())))


def _limit(limit: float | None, is_log: bool) -> float | None:
    if limit is None or not is_log:
        return limit
    return math.log10(limit) if limit > 0 else None


def _look(row: TrendRow, value: float, low: float, high: float) -> str:
    if value > high:
        return "above"
    if value < low:
        return "below"
    if not row.counts:
        return "marked"
    return "superseded" if row.superseded else row.verdict


def label(row: TrendRow) -> str:
    """Return what is said of a measurement where it is pointed at."""
    counts = ((row.n_bias, "biases"), (row.n_flat, "flats"))
    frames = ", ".join(f"{n} {name}" for n, name in counts if n is not None)
    parts = (
        f"night {row.night}",
        f"{value_text(row.value, row.uncertainty)} {unit_text(row.unit)}",
        frames,
        f"run {row.run_id}",
        row.verdict + (f": {row.remark}" if row.remark else ""),
        "superseded" if row.superseded else "",
        f"marked {row.mark}: {row.mark_reason}" if row.mark else "",
    )
    return " · ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Spark:
    """A history as small as a word: a line, and where its last point is, in pixels."""

    line: str
    end: tuple[float, float]
    band: tuple[float, float] | None


def spark(values: Sequence[float], limit_min: float | None, limit_max: float | None) -> Spark:
    """Return the small history of some values, oldest first."""
    numbers = np.array(values)
    low, high = value_range(numbers, np.zeros_like(numbers), (limit_min, limit_max))
    xs = np.linspace(SPARK_WIDTH - 4, 3, max(2, len(values)))[len(values) - 1 :: -1].tolist()
    ys = (((high - numbers) / (high - low)).clip(0, 1) * (SPARK_HEIGHT - 6) + 3).tolist()
    line = " ".join(f"{x:.0f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    if limit_min is None and limit_max is None:
        return Spark(line, (xs[-1], ys[-1]), None)
    edges = [
        3 + (SPARK_HEIGHT - 6) * min(max((high - limit) / (high - low), 0.0), 1.0) if limit is not None else edge
        for limit, edge in ((limit_max, 0.0), (limit_min, float(SPARK_HEIGHT)))
    ]
    return Spark(line, (xs[-1], ys[-1]), (edges[0], edges[1] - edges[0]))
