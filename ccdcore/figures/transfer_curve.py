"""The photon transfer curve, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ccdcore.figures.style import _DPI, _WIDTH, COLOURS, MARKERS, Image, _say, name_curves
from ccdcore.photon_transfer.curve_fit import curvature
from ccdcore.photon_transfer.measure import PhotonTransfer, PhotonTransferPoint
from ccdcore.text import value_text


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


def _transfer_curve(axis: Axes, residuals: Axes, result: PhotonTransfer, number: int, range_percent: float) -> None:
    mean, variance, error = _points(result.curve)
    style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "markersize": 4, "capsize": 2}
    marker = MARKERS[number % len(MARKERS)]
    label = f"amplifier {result.amplifier}"
    if result.gain_e_per_adu is not None:
        label += f": gain {value_text(result.gain_e_per_adu, result.gain_uncertainty)} e⁻/ADU"
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
    """Return the variance (ADU²) that the fit of a result gives for mean signals (ADU), of the same shape."""
    gain = result.gain_e_per_adu or 1.0
    bent = curvature(mean * gain, result.a00_per_e or 0.0)
    return np.asarray(result.read_noise_adu**2 + mean / gain * bent)


def _residual_range(result: PhotonTransfer) -> float:
    """Return the range of residuals in per cent that shows all points of the fit with their uncertainties."""
    mean, variance, error = _points(result.curve)
    fitted = fitted_variance(result, mean)
    return 120 * float(np.max((np.abs(variance - fitted) + error) / fitted))
