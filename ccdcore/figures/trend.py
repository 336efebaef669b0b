"""A trend, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from ccdcore.figures.style import _DPI, _WIDTH, COLOURS, MARKERS, _label, _say, name_curves
from ccdcore.quantities import Limits

TrendRow = tuple[datetime, float, float | None, str]
"""Time, value, 1-σ uncertainty or None, name of the amplifier."""


def trend(
    rows: Sequence[TrendRow],
    *,
    quantity: str,
    unit: str,
    limits: Limits | None = None,
    title: str | None = None,
    marked: Sequence[int] = (),
    hollow: Sequence[int] = (),
    changes: Sequence[tuple[datetime, str]] = (),
) -> Figure:
    """Show values with their uncertainties against time, one colour and marker an amplifier.

    Parameters
    ----------
    rows : sequence of (datetime, float, float or None, str)
        Time (UTC-aware), value, 1-σ uncertainty, name of the amplifier.
    quantity, unit : str
        For the axis of values.
    limits : Limits, optional
        Specification limits, drawn as dashed lines.
    title : str, optional
        Above the figure; the quantity if not given.
    marked : sequence of int
        Indices of rows that are ringed: the new ones.
    hollow : sequence of int
        Indices of rows that count for nothing: drawn hollow.
    changes : sequence of (datetime, str)
        Steps and drifts, drawn as vertical lines, and what they are.

    Returns
    -------
    Figure
    """
    new, void = [rows[index] for index in marked], [rows[index] for index in hollow]
    rows = sorted(rows, key=lambda row: row[0])
    figure = Figure(figsize=(_WIDTH, 4.0), dpi=_DPI, layout="constrained")
    axis = figure.subplots()
    axis.set(title=title or quantity, xlabel="time (UTC)", ylabel=_label(quantity, unit))
    if not rows:
        _say(axis, "no measurement on record")
        return figure
    for number, amplifier in enumerate(dict.fromkeys(row[3] for row in rows)):
        when, values, uncertainties = zip(*(row[:3] for row in rows if row[3] == amplifier), strict=True)
        axis.errorbar(
            [time.astimezone(UTC) for time in when],
            values,
            [uncertainty or 0.0 for uncertainty in uncertainties],
            fmt=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            markersize=4,
            capsize=2,
            label=f"amplifier {amplifier}",
        )
    if new:
        times, values = [row[0] for row in new], [row[1] for row in new]
        axis.plot(times, values, "ko", markersize=11, fillstyle="none", label="this run")  # type: ignore[arg-type]
    if void:
        times, values = [row[0] for row in void], [row[1] for row in void]
        hole: dict[str, Any] = {"color": "white", "markeredgecolor": "tab:red", "markersize": 5, "zorder": 3}
        axis.plot(times, values, "o", **hole, label="marked bad")  # type: ignore[arg-type]
    shown = [(when, what) for when, what in changes if when >= rows[0][0]]
    for number, what in enumerate(dict.fromkeys(what for _, what in shown)):
        style: dict[str, Any] = {
            "color": "tab:purple",
            "linestyle": (":", "-.", (0, (5, 1)))[number % 3],
            "label": what,
        }
        for when in (when for when, of in shown if of == what):
            axis.axvline(when, linewidth=1.2, **style)  # type: ignore[arg-type]
            style["label"] = None  # named once, where no value can lie
    drawn = [limit for limit in ((limits.min, limits.max) if limits else ()) if limit is not None]
    for number, limit in enumerate(drawn):
        axis.axhline(limit, color="0.35", linestyle="--", label=None if number else "specification")
    if rows[0][0] == rows[-1][0]:
        axis.set_xlim(rows[0][0] - timedelta(days=1), rows[0][0] + timedelta(days=1))  # type: ignore[arg-type]
    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    axis.ticklabel_format(axis="y", useOffset=False)
    name_curves(axis, figure.legend, loc="outside right upper", fontsize="small")
    axis.grid(alpha=0.3)
    return figure
