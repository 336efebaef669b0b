"""Pictures for reports: frame, master and residual; histogram; photon transfer; trend.

Every function returns a matplotlib `Figure` of its own, so that they may run in any thread; `png` gives its bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from ccdcore._transfer_fit import curvature
from ccdcore.photon_transfer import PhotonTransfer, PhotonTransferPoint
from ccdcore.quantities import Limits
from ccdcore.thumbnails import block_of, shown_cells

Image = npt.NDArray[Any]
TrendRow = tuple[datetime, float, float | None, str]
"""Time, value, 1-σ uncertainty or None, name of the amplifier."""

COLOURS = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
"""Okabe and Ito's palette, told apart by colour-blind readers."""
MARKERS = "o", "s", "^", "D", "v", "P", "X"

_UNIT_LABELS = {"adu": "ADU", "adu/s": "ADU/s", "": "relative response", "e": "e⁻", "e/ADU": "e⁻/ADU"}
_MASKED = "#BBD7EA"

_WIDTH = 9.0
"""Inches."""
_DPI = 100
_ENOUGH = 2**22
"""Values that tell a mean or a scatter for the eye; more are not looked at at once."""
_MOST_NAMED = 8
"""Amplifiers that a legend names."""


def png(figure: Figure) -> bytes:
    """Return a figure as PNG of 128 colours, a third of the size of a full one."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    picture = PillowImage.fromarray(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]
    stream = io.BytesIO()
    by = PngInfo()
    by.add_text("Software", "ccdwatch")
    picture.convert("RGB").quantize(128).save(stream, "PNG", optimize=True, pnginfo=by)
    return stream.getvalue()


def frame_master_residual(
    frame: Image, master_value: Image, residual: Image, *, title: str, unit: str = "adu"
) -> Figure:
    """Show a frame, the master and what is left of the frame when the master is taken from it.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns)
        A raw frame, in ADU.
    master_value, residual : ndarray
        Of the same shape, in ``unit``.
    title : str
        Above all three.
    unit : str
        ``"adu"``, ``"adu/s"``, or ``""`` for a flat's response.

    Returns
    -------
    Figure
        Three images, each between its own ZScale limits, those of the pixels whose residual is known: neither
        overscan nor masked ones count; side by side, or one above the other where they are wide. Large images are
        averaged in blocks.
    """
    rows, columns = frame.shape
    wide = columns > 2 * rows
    blocks = block_of(frame.shape)
    figure = Figure(
        figsize=(_WIDTH, 5.4 if wide else 1.6 + 2.6 * min(rows / columns, 2)), dpi=_DPI, layout="constrained"
    )
    figure.suptitle(title)
    axes = figure.subplots(3, 1, sharex=True) if wide else figure.subplots(1, 3, sharey=True)
    panels = ("frame", "adu"), ("master", unit), ("residual", unit)
    cells = shown_cells(frame, master_value, residual)
    for axis, (name, of), (small, low, high) in zip(axes, panels, cells, strict=True):
        shown = axis.imshow(
            small,
            cmap=colormaps["gray"].with_extremes(bad=_MASKED),
            vmin=low,
            vmax=high,
            origin="lower",
            aspect="auto" if wide else "equal",
            interpolation="nearest",
            extent=(0.5, columns + 0.5, 0.5, rows + 0.5),
        )
        axis.set_title(name if np.isfinite(small).all() else f"{name} (masked pixels blue)", fontsize="medium")
        bar = figure.colorbar(
            shown, ax=axis, label=_UNIT_LABELS.get(of, of), orientation="vertical" if wide else "horizontal"
        )
        bar.ax.ticklabel_format(axis="y" if wide else "x", useOffset=False)
        bar.ax.locator_params(nbins=4)
    note = "" if blocks == (1, 1) else f", each cell the mean of {blocks[1]} × {blocks[0]}"
    figure.supxlabel(f"column (pixels{note})", fontsize="medium")
    figure.supylabel("row (pixels)", fontsize="medium")
    return figure


def histogram(values: Image, *, title: str, unit: str = "adu", quantity: str = "residual") -> Figure:
    """Show how pixel values are distributed, beside a Gaussian of the same width.

    Parameters
    ----------
    values : ndarray
        Of any shape; NaN are left out. The range is the median ± 8 σ; what is
        outside is counted in the legend.
    title : str
        Above the figure.
    unit, quantity : str
        For the axis of values.

    Returns
    -------
    Figure
        Number of pixels, logarithmic: a straight tail of cosmic rays or a second population shows.
    """
    finite = values[np.isfinite(values)]
    figure = Figure(figsize=(_WIDTH * 0.75, 4.0), dpi=_DPI)
    axis = figure.add_axes((0.1, 0.13, 0.87, 0.78))
    axis.set(title=title, xlabel=_label(quantity, unit), ylabel="pixels", yscale="log")
    if finite.size == 0:
        _say(axis, "no finite value")
        return figure
    sample = finite[:: max(1, finite.size // _ENOUGH)].astype(np.float64)
    edges = _bins(sample)
    counts = _counts(finite, edges)
    n_inside = int(counts.sum())
    sample = sample[(sample >= edges[0]) & (sample < edges[-1])]
    mean, sigma = float(sample.mean()), float(sample.std())
    label = f"mean {mean:.4g}, σ {sigma:.3g}, {finite.size - n_inside} of {finite.size} outside"
    axis.stairs(counts, edges, fill=True, color=COLOURS[5], label=label)
    if sigma > 0:
        x = np.linspace(edges[0], edges[-1], 400)
        expected = n_inside * (edges[1] - edges[0]) / (sigma * math.sqrt(2 * math.pi))
        axis.plot(x, expected * np.exp(-(((x - mean) / sigma) ** 2) / 2), color=COLOURS[1], label="Gaussian of this σ")
    axis.set_ylim(0.5, 8 * max(1, counts.max()))
    axis.legend(loc="upper right", fontsize="small")
    return figure


def variance_against_mean(results: Sequence[PhotonTransfer], *, title: str) -> Figure:
    """Show the photon transfer curve of each amplifier with its fit, what is left of it, and the pairs left out.

    Parameters
    ----------
    results : sequence of PhotonTransfer
        One for each amplifier.
    title : str
        Above the figure.

    Returns
    -------
    Figure
        Above, variance of one frame (ADU²) against mean signal (ADU), logarithmic where they span a decade; pairs
        left out as crosses. Below, measured minus fitted variance in per cent of the fitted one; points beyond
        the range of those in the fit are at its edge.
    """
    figure = Figure(figsize=(_WIDTH * 0.75, 6.4), dpi=_DPI, layout="constrained")
    axis, residuals = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    axis.set(title=title, ylabel="variance of one frame (ADU²)")
    residuals.set(xlabel="mean signal (ADU)", ylabel="residual (%)")
    drawn = [result for result in results if result.curve]
    if not drawn:
        _say(axis, "no flats: no photon transfer curve")
        return figure
    range_percent = max((_residual_range(result) for result in drawn), default=1.0)
    for number, result in enumerate(drawn):
        _transfer_curve(axis, residuals, result, number, range_percent)
    residuals.set_ylim(-range_percent, range_percent)
    residuals.axhline(0, color="0.3", linewidth=1)
    points = [point for result in drawn for point in (*result.curve, *result.rejected)]
    means, variances = [point.mean_adu for point in points], [point.variance_adu2 for point in points]
    if min(means) > 0 and min(variances) > 0 and max(means) > 10 * min(means):
        axis.set(xscale="log", yscale="log")
    bent = any(result.a00_per_e is not None for result in drawn)
    axis.plot(
        [], [], color="0.3", linewidth=1, label="Astier et al. 2019, eq. 16" if bent else "read noise² + mean / gain"
    )
    if any(result.rejected for result in drawn):
        axis.plot([], [], "x", color="0.3", label="pairs left out")
    name_curves(axis, loc="upper left", fontsize="small")
    for each in (axis, residuals):
        each.grid(alpha=0.3)
    return figure


def trend(
    rows: Sequence[TrendRow],
    *,
    quantity: str,
    unit: str,
    limits: Limits | None = None,
    title: str | None = None,
    marked: Sequence[int] = (),
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
    changes : sequence of (datetime, str)
        Steps and drifts, drawn as vertical lines, and what they are.

    Returns
    -------
    Figure
    """
    new = [rows[index] for index in marked]
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


def _transfer_curve(axis: Axes, residuals: Axes, result: PhotonTransfer, number: int, range_percent: float) -> None:
    mean, variance, error = _points(result.curve)
    style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "markersize": 4, "capsize": 2}
    marker = MARKERS[number % len(MARKERS)]
    label = f"amplifier {result.amplifier}"
    if result.gain_e_per_adu is not None:
        label += f": gain {plus_minus(result.gain_e_per_adu, result.gain_uncertainty)} e⁻/ADU"
        x = np.geomspace(mean.min(), mean.max(), 200) if mean.min() > 0 else np.linspace(mean.min(), mean.max(), 200)
        axis.plot(x, fitted_variance(result, x), color=style["color"], linewidth=1)
        fitted = fitted_variance(result, mean)
        residuals.errorbar(mean, 100 * (variance / fitted - 1), 100 * error / fitted, fmt=marker, **style)
        for point in result.rejected:
            off = 100 * float(point.variance_adu2 / fitted_variance(result, np.array(point.mean_adu)) - 1)
            residuals.plot(point.mean_adu, np.clip(off, -range_percent, range_percent), "x", color=style["color"])
    for point in result.rejected:
        axis.plot(point.mean_adu, point.variance_adu2, "x", color=style["color"])
    axis.errorbar(mean, variance, error, fmt=marker, label=label, **style)


def _points(curve: Sequence[PhotonTransferPoint]) -> tuple[Image, Image, Image]:
    mean, variance, error = np.array(
        [(point.mean_adu, point.variance_adu2, point.variance_uncertainty_adu2) for point in curve]
    ).T
    return mean, variance, error


def fitted_variance(result: PhotonTransfer, mean: Image) -> Image:
    """Return the variance (ADU²) that the fit of a result gives for some mean signals (ADU)."""
    gain = result.gain_e_per_adu or 1.0
    bent = curvature(mean * gain, result.a00_per_e or 0.0)
    return np.asarray(result.read_noise_adu**2 + mean / gain * bent)


def _residual_range(result: PhotonTransfer) -> float:
    """Return the range of residuals in per cent that shows all points of the fit with their uncertainties."""
    mean, variance, error = _points(result.curve)
    fitted = fitted_variance(result, mean)
    return 120 * float(np.max((np.abs(variance - fitted) + error) / fitted))


def _counts(values: Image, edges: Image) -> npt.NDArray[np.int_]:
    """Count values in bins, the last open at its end as the others are, a part of them at a time."""
    counts = np.zeros(edges.size - 1, int)
    for start in range(0, values.size, _ENOUGH):
        some = values[start : start + _ENOUGH].astype(np.float64)
        counts += np.histogram(some[some < edges[-1]], edges)[0]
    return counts


def _bins(values: Image) -> Image:
    """Return the edges of bins over the median ± 8 σ; whole and half numbers stand in the middle of theirs.

    The residual of one of two frames comes in halves.
    """
    low, middle, high = np.percentile(values, (15.87, 50, 84.13))
    step = next((step for step in (1.0, 0.5) if bool((values / step == np.rint(values / step)).all())), 0.0)
    sigma = max((high - low) / 2, step / 2, 1e-6 * max(1.0, abs(middle)))
    width = 16 * sigma / 120
    if step:
        width = step * max(1.0, float(np.rint(width / step)))
        middle = step * np.rint(middle / step) - width / 2
    n = math.ceil(8 * sigma / width)
    return np.asarray(middle + width * np.arange(-n, n + 1))


def _label(quantity: str, unit: str) -> str:
    return f"{quantity} ({_UNIT_LABELS.get(unit, unit)})"


def plus_minus(value: float, uncertainty: float | None) -> str:
    """Write a value with two digits of its uncertainty."""
    if not uncertainty:
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(uncertainty)))
    return f"{value:.{digits}f} ± {uncertainty:.{digits}f}"


def name_curves(axis: Axes, legend: Callable[..., Any] | None = None, **about: Any) -> None:
    """Name the curves, those of amplifiers as far as there is room.

    Parameters
    ----------
    axis : Axes
        Where they are drawn.
    legend : callable, optional
        What draws the names: that of the axis, unless told otherwise.
    about : object
        Its options.
    """
    named = list(zip(*axis.get_legend_handles_labels(), strict=True))
    amplifiers = [one for one in named if one[1].startswith("amplifier ")]
    shown = [one for one in named if one not in amplifiers[_MOST_NAMED:]]
    if (more := len(amplifiers) - _MOST_NAMED) > 0:
        shown.append((Line2D([], [], linestyle=""), f"and {more} more amplifiers"))
    (legend or axis.legend)([handle for handle, _ in shown], [label for _, label in shown], **about)


def _say(axis: Axes, text: str) -> None:
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center")
