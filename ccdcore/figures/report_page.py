"""One page that an instrument scientist would put in a report, and the noise spectrum on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from ccdcore.figures.style import COLOURS, MARKERS, name_curves
from ccdcore.figures.thumbnails import shown_cells
from ccdcore.figures.transfer_curve import fitted_variance
from ccdcore.masters.bad_pixels import BAD
from ccdcore.photon_transfer.measure import PhotonTransfer

Image = npt.NDArray[Any]

_WIDTH, _HEIGHT = 8.3, 11.0
_DPI = 100
_NAMED_LINES = 3
_TABLE_CHARACTERS = 110
"""What a row of the table holds in small print."""
_MOST_ROWS = 8
"""Rows of the table, its header apart; of more amplifiers the first are shown."""
_MOST_MARKED = 3_000
"""Bad pixels of one kind that are drawn; a map of more is a grey area anyway."""


class Spectrum(NamedTuple):
    """The noise spectrum of one amplifier.

    Parameters
    ----------
    amplifier : str
        Its name.
    density_adu2 : sequence of float
        As `ccdcore.noise.anatomy.NoiseAnatomy.spectrum_adu2`.
    lines : sequence of tuple of float
        Frequency (cycles per pixel) and RMS (ADU) of the pick-up along the rows, the strongest first.
    """

    amplifier: str
    density_adu2: Sequence[float]
    lines: Sequence[tuple[float, float]]


class Images(NamedTuple):
    """A frame, the master, and what is left of the frame; the master's name and unit."""

    name: str
    frame: Image
    master: Image
    residual: Image
    unit: str


def noise_spectrum(spectra: Sequence[Spectrum], *, title: str) -> Figure:
    """Show the power spectrum of each amplifier's noise along the rows, its lines marked.

    Parameters
    ----------
    spectra : sequence of Spectrum
        One for each amplifier.
    title : str
        Above the figure.

    Returns
    -------
    Figure
        Density (ADU² per cycle and pixel), logarithmic where it spans a decade, against frequency (cycles per
        pixel).
    """
    figure = Figure(figsize=(6.75, 4.0), dpi=_DPI)
    axis = figure.add_axes((0.11, 0.13, 0.86, 0.76))
    axis.set_title(title)
    _draw_spectra(axis, spectra)
    return figure


def report_page(
    *,
    title: str,
    table: Sequence[Sequence[str]],
    images: Images | None,
    transfers: Sequence[PhotonTransfer],
    spectra: Sequence[Spectrum],
    mask: Image | None,
) -> Figure:
    """Show the results of a calibration on one page.

    Parameters
    ----------
    title : str
        Camera, configuration, night.
    table : sequence of sequence of str
        Header and rows of the results.
    images : Images or None
        A master beside one of its frames and the residual.
    transfers : sequence of PhotonTransfer
        Photon transfer curves, one for each amplifier.
    spectra : sequence of Spectrum
        Noise spectra, one for each amplifier.
    mask : ndarray, shape (rows, columns), or None
        The mask of bad pixels.

    Returns
    -------
    Figure
        At fixed places, so that nothing need be laid out: of what there is none, the place says so.
    """
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI)
    figure.text(0.06, 0.965, title, fontsize="x-large", weight="bold")
    low = 0.93 - 0.018 * (_draw_table(figure, table) + 1)
    _draw_images(figure, images, low - 0.02)
    transfer = figure.add_axes((0.11, 0.36, 0.37, 0.2))
    transfer.set_title("photon transfer", fontsize="medium")
    _draw_transfers(transfer, transfers)
    spectrum = figure.add_axes((0.57, 0.36, 0.39, 0.2))
    spectrum.set_title("noise spectrum along the rows", fontsize="medium")
    _draw_spectra(spectrum, spectra)
    _draw_mask(figure.add_axes((0.09, 0.05, 0.87, 0.22)), mask)
    for axis in figure.axes:
        axis.tick_params(labelsize="small")
    return figure


def _draw_table(figure: Figure, table: Sequence[Sequence[str]]) -> int:
    """Draw the header and as many rows as there is room for; return how many lines that are."""
    shown = table if len(table) <= 1 + _MOST_ROWS else table[:_MOST_ROWS]
    widths = [max(map(len, column)) + 2 for column in zip(*shown, strict=True)]
    places = 0.06 + 0.9 * np.cumsum([0, *widths]) / max(sum(widths), _TABLE_CHARACTERS)
    size = "small" if sum(widths) <= _TABLE_CHARACTERS else "x-small"
    for number, row in enumerate(shown):
        for x, cell in zip(places, row, strict=False):
            figure.text(x, 0.93 - 0.018 * number, cell, fontsize=size, weight="bold" if number == 0 else "normal")
    if len(shown) == len(table):
        return len(shown)
    more = f"… and {len(table) - len(shown)} more amplifiers: all are on the page of the run"
    figure.text(0.06, 0.93 - 0.018 * len(shown), more, fontsize=size)
    return len(shown) + 1


def _draw_images(figure: Figure, images: Images | None, top: float) -> None:
    axes = [figure.add_axes((0.06 + 0.31 * number, 0.62, 0.28, top - 0.64)) for number in range(3)]
    if images is None:
        for axis in axes:
            axis.axis("off")
        axes[0].text(0, 0.5, "no master")
        return
    rows, columns = images.frame.shape
    labels = f"frame of the {images.name}", f"{images.name} ({images.unit or 'relative'})", "residual of the frame"
    cells = shown_cells(images.frame, images.master, images.residual)
    for axis, (small, low, high), label in zip(axes, cells, labels, strict=True):
        axis.imshow(
            small,
            cmap=colormaps["gray"].with_extremes(bad="#BBD7EA"),
            vmin=low,
            vmax=high,
            origin="lower",
            aspect="auto" if columns > 2 * rows else "equal",
            interpolation="nearest",
            extent=(0.5, columns + 0.5, 0.5, rows + 0.5),
        )
        axis.set_title(f"{label}\n{low:.4g} to {high:.4g}", fontsize="small")
        if axis is not axes[0]:
            axis.set_yticklabels([])


def _draw_transfers(axis: Axes, transfers: Sequence[PhotonTransfer]) -> None:
    axis.set_xlabel("mean signal (ADU)", fontsize="small")
    axis.set_ylabel("variance (ADU²)", fontsize="small")
    drawn = [one for one in transfers if one.curve and one.gain_e_per_adu is not None]
    if not drawn:
        axis.text(0.5, 0.5, "no gain", transform=axis.transAxes, ha="center", va="center")
        return
    for number, one in enumerate(drawn):
        mean, variance, error = np.array(
            [(point.mean_adu, point.variance_adu2, point.variance_uncertainty_adu2) for point in one.curve]
        ).T
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        line = np.linspace(max(mean.min(), 1.0), mean.max(), 200)
        axis.plot(line, fitted_variance(one, line), color=colour, linewidth=0.8)
        axis.errorbar(mean, variance, error, fmt=marker, color=colour, markersize=3, label=f"amplifier {one.amplifier}")
    means = [point.mean_adu for one in drawn for point in one.curve]
    if min(means) > 0 and max(means) > 10 * min(means):
        axis.set(xscale="log", yscale="log")
        for each in (axis.xaxis, axis.yaxis):
            each.set_major_locator(LogLocator(subs=(1, 2, 5)))
            each.set_major_formatter(EngFormatter(sep=""))
            each.set_minor_formatter(NullFormatter())
    name_curves(axis, loc="upper left", fontsize="x-small")
    axis.grid(alpha=0.3)


def _draw_spectra(axis: Axes, spectra: Sequence[Spectrum]) -> None:
    axis.set_xlabel("frequency (cycles per pixel)", fontsize="small")
    axis.set_ylabel("density (ADU² pixel)", fontsize="small")
    drawn = [one for one in spectra if len(one.density_adu2) > 1]
    if not drawn:
        axis.text(0.5, 0.5, "no pair of biases of this set", transform=axis.transAxes, ha="center", va="center")
        return
    for number, one in enumerate(drawn):
        colour = COLOURS[number % len(COLOURS)]
        density = np.array(one.density_adu2)
        frequency = (np.arange(density.size) + 0.5) / density.size / 2
        axis.plot(frequency[1:], density[1:], color=colour, linewidth=0.8, label=f"amplifier {one.amplifier}")
        heights = np.interp([line for line, _ in one.lines], frequency, density)
        axis.plot([line for line, _ in one.lines], heights, MARKERS[2], color=colour, markersize=4)
    for line, rms in drawn[0].lines[:_NAMED_LINES]:
        height = float(np.interp(line, frequency, np.array(drawn[0].density_adu2)))
        text = f"{1 / line:.3g} px\n{rms:.2g} ADU"
        axis.annotate(text, (line, height), (0, 5), textcoords="offset points", ha="center", fontsize="x-small")
    axis.set_xlim(0, 0.5)
    low, high = (limit([limit(one.density_adu2[1:]) for one in drawn]) for limit in (min, max))
    if low > 0 and high > 10 * low:
        axis.set(yscale="log", ylim=(0.7 * low, high * (high / low) ** 0.4))
    else:
        axis.set_ylim(0, 1.5 * high)
    name_curves(axis, loc="upper right", fontsize="x-small", ncols=2)
    axis.grid(alpha=0.3)


def _draw_mask(axis: Axes, mask: Image | None) -> None:
    axis.set_title("bad pixels", fontsize="medium", loc="left")
    if mask is None:
        axis.axis("off")
        axis.text(0, 0.5, "no mask: it needs a master bias")
        return
    rows, columns = mask.shape
    for number, bit in enumerate(BAD):
        places = np.argwhere(mask & bit.value)
        shown = places[:: max(1, -(-len(places) // _MOST_MARKED))]
        axis.plot(
            shown[:, 1] + 1,
            shown[:, 0] + 1,
            linestyle="",
            marker=".",
            markersize=3,
            color=COLOURS[number],
            label=f"{len(places)} {str(bit.name).lower()}",
        )
    axis.set(xlim=(0.5, columns + 0.5), ylim=(0.5, rows + 0.5))
    axis.set_xlabel("column (pixels)", fontsize="small")
    axis.set_ylabel("row (pixels)", fontsize="small")
    square = columns <= 2 * rows
    axis.set_aspect("equal" if square else "auto")
    axis.legend(
        loc="upper left" if square else "lower right",
        bbox_to_anchor=(1.03 if square else 1.0, 1.0),
        ncols=1 if square else 4,
        fontsize="small",
    )
