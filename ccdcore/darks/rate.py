"""The dark signal per second, by least squares over master darks of one temperature; whether the camera scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.errors import InsufficientDataError
from ccdcore.frames.series_health import BIAS_DRIFT_ADU
from ccdcore.numerics.robust import QUANTISATION_VARIANCE
from ccdcore.reduction.master import MaskBit, Master

Image = npt.NDArray[Any]

OFF = 0.5
"""Where a master is off the common rate by more than this many times the uncertainty of a pixel it does not scale, …"""
MOST_OFF = 0.01
"""… if that is so in more than this part of the image."""
HOT_OFF, MOST_HOT_OFF, FEWEST_HOT = 5.0, 0.25, 20
"""Hot pixels off by more than so many σ; the part of them that may be (some blink); of fewer nobody can say."""
NOT_SCALING = "does not scale with the exposure"
"""Stands on record in the reason why there is no rate, by which later nights know it: never change these words."""
_HOT_SIGMA = 20.0
_BLOCK = 32
_PASSES = 2


@dataclass(frozen=True, slots=True, eq=False)
class DarkRate:
    """The dark signal per second, in ADU/s, and in words that the camera does not scale; None where it does."""

    master: Master
    not_scaling: str | None


def dark_rate(
    darks: Sequence[Master],
    bias: Master,
    *,
    read_noise_adu: float,
    gain_e_per_adu: float | None = None,
    bias_exposure_s: float = 0.0,
) -> DarkRate:
    r"""Return the dark signal per second of one or more master darks of one temperature.

    Parameters
    ----------
    darks : sequence of Master
        In ADU, each of one exposure; of shape (rows, columns), which may lie in files.
    bias : Master
        That was subtracted from all of them.
    read_noise_adu : float
        Of one frame, in ADU RMS.
    gain_e_per_adu : float, optional
        For the shot noise; if not given all frames weigh by their exposure alone.
    bias_exposure_s : float
        Exposure in seconds of what was subtracted, where darks stand in for biases: the signal of that time is gone.

    Returns
    -------
    DarkRate
        Its master is in ADU/s.

    Raises
    ------
    InsufficientDataError
        If there is no dark, or the exposure of one is not known, or no longer than that of the bias.

    Notes
    -----
    Through what the bias leaves, each frame weighted by its variance, in two passes:

    .. math:: r = \frac{\sum t_i d_i / v_i}{\sum t_i^2 / v_i}, \qquad v_i = \sigma_0^2 + t_i r / g,

    which :math:`n_k` frames of one exposure enter by their mean. The uncertainty is that of the masters, with these
    weights, and that of the bias, which is the same in all.
    """
    times = [(one.exposure_s or 0.0) - bias_exposure_s for one in darks]
    if not times or min(times) <= 0:
        raise InsufficientDataError("a dark rate needs master darks of known exposures, longer than of the biases")
    fit = _Fit(np.array(times)[:, None, None], read_noise_adu**2, gain_e_per_adu)
    shape = darks[0].value.shape
    value, uncertainty = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    mask, n_used = np.zeros(shape, np.uint8), np.zeros(shape, np.uint16)
    for rows in _bands(shape[0]):
        value[rows], uncertainty[rows], n_used[rows], is_known = fit.rows(darks, bias, rows)
        mask[rows] = np.bitwise_and.reduce([one.mask[rows] for one in darks])
        mask[rows][~is_known & ((mask[rows] & MaskBit.OUTSIDE.value) == 0)] |= np.uint8(MaskBit.NO_DATA)
    longest = max(darks, key=lambda one: one.exposure_s or 0)
    exposures = [one.exposure_s or 0.0 for one in darks]
    master = replace(
        longest,
        kind="darkrate",
        value=value,
        uncertainty=uncertainty,
        mask=mask,
        n_used=n_used,
        unit="adu/s",
        inputs=tuple(
            replace(entry, scale=entry.scale / time)
            for one, time in zip(darks, times, strict=True)
            for entry in one.inputs
        ),
        exposure_range_s=(min(exposures), max(exposures)),
    )
    return DarkRate(master, fit.not_scaling())


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """The fit, some rows at a time, of images of shape (darks, rows, columns). It remembers how far darks are off."""

    times: Image
    read_noise_variance: float
    gain_e_per_adu: float | None
    blocks: list[Image] = field(default_factory=list)
    levels: list[Image] = field(default_factory=list)
    hot: list[Image] = field(default_factory=list)

    def rows(self, darks: Sequence[Master], bias: Master, rows: slice) -> tuple[Image, Image, Image, Image]:
        """Return rate, uncertainty, frames used, and where anything is known."""
        signal = np.stack([np.asarray(one.value[rows], np.float64) for one in darks])
        n = np.stack([np.asarray(one.n_used[rows], np.float64) for one in darks])
        of_bias = np.square(np.asarray(bias.uncertainty[rows], np.float64))
        own = np.stack([np.square(np.asarray(one.uncertainty[rows], np.float64)) for one in darks]) - of_bias
        n[~np.isfinite(signal) | ~np.isfinite(own)] = 0
        signal, own = np.where(n > 0, signal, 0.0), np.where(n > 0, np.maximum(own, 0.0), 0.0)
        rate = np.zeros(signal.shape[1:])
        for _ in range(_PASSES):
            variance = self.read_noise_variance + QUANTISATION_VARIANCE
            photons = 0.0 if self.gain_e_per_adu is None else np.maximum(rate, 0) / self.gain_e_per_adu
            weights = n * self.times / (variance + self.times * photons)
            total = np.sum(weights * self.times, axis=0)
            weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
            rate = np.sum(weights * signal, axis=0)
        variance_of_rate = np.sum(weights**2 * own, axis=0) + np.sum(weights, axis=0) ** 2 * of_bias
        if len(darks) > 1:
            self._look(signal - self.times * rate, weights, own, of_bias, signal, np.all(n > 0, axis=0))
        return rate, np.sqrt(variance_of_rate), n.sum(axis=0), total > 0

    def _look(
        self, residual: Image, weights: Image, own: Image, of_bias: Image, signal: Image, is_whole: Image
    ) -> None:
        """Remember by how many σ each dark is off the common rate, in blocks and in hot pixels."""
        others = np.sum(weights**2 * own, axis=0) - weights**2 * own
        variance = (1 - self.times * weights) ** 2 * own + self.times**2 * others
        variance += (1 - self.times * np.sum(weights, axis=0)) ** 2 * of_bias
        pulls = np.divide(
            residual, np.sqrt(variance), out=np.full_like(residual, np.nan), where=is_whole & (variance > 0)
        )
        longest = int(np.argmax(self.times))
        is_hot = is_whole & (signal[longest] > _HOT_SIGMA * np.sqrt(own[longest] + of_bias))
        self.hot.append(pulls[:, is_hot])
        rows, columns = (size // _BLOCK * _BLOCK for size in residual.shape[1:])
        if rows and columns:
            for each, to in ((pulls, self.blocks), (np.where(is_whole, residual, np.nan), self.levels)):
                parts = each[:, :rows, :columns].reshape(len(each), rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
                parts = np.moveaxis(parts, 3, 2).reshape(len(each), -1, _BLOCK * _BLOCK)
                parts = parts[:, np.isfinite(parts).any(axis=(0, 2))]
                to.append(np.nanmedian(parts, axis=2))

    def not_scaling(self) -> str | None:
        """Say in words which darks are off the common rate of all; None where none are, or there is one exposure."""
        blocks, levels = (
            np.concatenate(some, axis=1) if some else np.zeros((0, 0)) for some in (self.blocks, self.levels)
        )
        hot = np.concatenate(self.hot, axis=1) if self.hot else np.zeros((0, 0))
        told = []
        for number, seconds in enumerate(self.times.ravel()):
            said = []
            if blocks.size:
                middle, level = float(np.median(blocks[number])), float(np.median(levels[number]))
                is_off = np.abs(blocks[number] - middle) > OFF
                if abs(middle) > OFF and abs(level) > BIAS_DRIFT_ADU:
                    said.append(f"its level is {level:+.3g} ADU off")
                if is_off.mean() > MOST_OFF:
                    worst = levels[number][np.argmax(np.abs(blocks[number] - middle))] - level
                    said.append(f"{is_off.mean():.1%} of the image is off, by up to {worst:+.3g} ADU (amp glow?)")
            if hot.size and hot.shape[1] >= FEWEST_HOT:
                share = float(np.mean(np.abs(hot[number]) > HOT_OFF))
                if share > MOST_HOT_OFF:
                    said.append(f"{share:.0%} of the hot pixels are off")
            told += [f"of the dark of {seconds:g} s {' and '.join(said)}"] if said else []
        if not told:
            return None
        exposures = ", ".join(f"{one:g}" for one in self.times.ravel())
        return f"the dark signal of {exposures} s {NOT_SCALING}: {'; '.join(told)}"


def _bands(n_rows: int) -> Iterator[slice]:
    """Yield two blocks of rows at a time: what is made of them takes more room than the images."""
    for start in range(0, n_rows, 2 * _BLOCK):
        yield slice(start, min(start + 2 * _BLOCK, n_rows))
