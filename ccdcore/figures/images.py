"""Pictures of frames and of their residuals."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.figure import Figure

from ccdcore.figures.style import _DPI, _ENOUGH, _WIDTH, COLOURS, Image, _label, _say, _scale
from ccdcore.figures.thumbnails import block_of, reduced, shown_cells, zscale

_MASKED = "#BBD7EA"
_MOST_CELLS = 800
"""Of a side of a picture that shows one frame."""


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
        bar = figure.colorbar(shown, ax=axis, label=_scale(of), orientation="vertical" if wide else "horizontal")
        bar.ax.ticklabel_format(axis="y" if wide else "x", useOffset=False)
        bar.ax.locator_params(nbins=4)
    note = "" if blocks == (1, 1) else f", each cell the mean of {blocks[1]} × {blocks[0]}"
    figure.supxlabel(f"column (pixels{note})", fontsize="medium")
    figure.supylabel("row (pixels)", fontsize="medium")
    return figure


def whole_frame(frame: Image, *, title: str, unit: str = "adu") -> Figure:
    """Show a frame between its ZScale limits, as large as a page is wide.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns)
        A raw frame, in ``unit``.
    title, unit : str
        Above the figure, and of the pixels.

    Returns
    -------
    Figure
        The first row is the lowest; large frames are averaged in square cells.
    """
    rows, columns = frame.shape
    size = max(1, -(-max(frame.shape) // _MOST_CELLS))
    small = reduced(frame, (size, size))
    low, high = zscale(small)
    height = min(max(1.4, 8.0 * rows / columns), 9.0)
    figure = Figure(figsize=(_WIDTH, height + 1.2), dpi=_DPI, layout="constrained")
    axis = figure.subplots()
    shown = axis.imshow(
        small,
        cmap=colormaps["gray"].with_extremes(bad=_MASKED),
        vmin=low,
        vmax=high,
        origin="lower",
        aspect="equal" if 0.2 < rows / columns < 5 else "auto",
        interpolation="nearest",
        extent=(0.5, columns + 0.5, 0.5, rows + 0.5),
    )
    bar = figure.colorbar(shown, ax=axis, label=_scale(unit), fraction=0.03, pad=0.01)
    bar.ax.ticklabel_format(axis="y", useOffset=False)
    note = "" if size == 1 else f", each cell the mean of {size} × {size}"
    axis.set(title=title, xlabel=f"column (pixels{note})", ylabel="row (pixels)")
    return figure


def histogram(
    values: Image, *, title: str, unit: str = "adu", quantity: str = "residual", is_mixed: bool = False
) -> Figure:
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
    is_mixed : bool
        Whether they are of several amplifiers, or of overscan, too: mean and σ of all would mean nothing, and neither
        they nor a Gaussian are shown.

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
    about = "" if is_mixed else f"mean {mean:.4g}, σ {sigma:.3g}, "
    label = f"{about}{finite.size - n_inside} of {finite.size} outside"
    axis.stairs(counts, edges, fill=True, color=COLOURS[5], label=label)
    if sigma > 0 and not is_mixed:
        x = np.linspace(edges[0], edges[-1], 400)
        expected = n_inside * (edges[1] - edges[0]) / (sigma * math.sqrt(2 * math.pi))
        axis.plot(x, expected * np.exp(-(((x - mean) / sigma) ** 2) / 2), color=COLOURS[1], label="Gaussian of this σ")
    axis.set_ylim(0.5, 8 * max(1, counts.max()))
    axis.legend(loc="upper right", fontsize="small")
    return figure


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
