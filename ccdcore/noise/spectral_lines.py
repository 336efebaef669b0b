"""Sharp lines in the power spectrum of noise: interference picked up by the read-out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import hypot, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft
from scipy.ndimage import median_filter
from scipy.special import gammainccinv, gammaincinv

Array = npt.NDArray[np.float64]

_FALSE_ALARMS = 1e-4
"""Lines that pure noise makes in one spectrum."""

_LOWEST = 6
"""Below this many cycles in the image a line cannot be told from a drift."""

_ROWS_AT_A_TIME = 64
_CONTINUUM_BINS = 51
_LINE_BINS = 2
"""Bins at either side of a line that hold its power (Hann window: all but 0.2 %)."""

_PHASE_SCATTER = 0.5
"""Relative variance of a line's power in one difference: the phases of the two frames are anyone's guess."""


@dataclass(frozen=True, slots=True)
class SpectralLine:
    """Pick-up of one frequency.

    Parameters
    ----------
    axis : str
        ``"columns"`` where it varies along the rows, ``"rows"`` where it is the same all along a row.
    frequency : float
        In cycles per pixel, or per row.
    rms_adu, uncertainty_adu : float
        RMS in one frame, its amplitude over √2, and the 1-σ uncertainty.
    """

    axis: str
    frequency: float
    rms_adu: float
    uncertainty_adu: float

    def __str__(self) -> str:
        unit = "pixels along the rows" if self.axis == "columns" else "rows"
        return f"period {1 / self.frequency:.5g} {unit}, amplitude {sqrt(2) * self.rms_adu:.2g} ADU"


class PowerSpectrum:
    """Mean power spectrum of the rows of difference images, of one frame: σ² in each bin for white noise."""

    def __init__(self, axis: str) -> None:
        self.axis = axis
        self._total: Any = 0.0
        self._n_rows = 0
        self._n_images = 0
        self._length = 0

    def add(self, difference: npt.NDArray[np.float32]) -> None:
        """Take in the rows of the difference of two frames, shape (rows, columns), in ADU."""
        self._length = difference.shape[1]
        window = _hann(self._length)
        for start in range(0, len(difference), _ROWS_AT_A_TIME):
            transform = rfft(difference[start : start + _ROWS_AT_A_TIME] * window, axis=1)
            power = (transform.real**2 + transform.imag**2).sum(axis=0, dtype=np.float64)
            self._total = self._total + power / (2 * float(window @ window))
        self._n_rows += difference.shape[0]
        self._n_images += 1

    @property
    def power(self) -> Array:
        """Power in each bin, in ADU²."""
        power: Array = self._total / max(self._n_rows, 1)
        return power

    def density(self, n_points: int) -> tuple[float, ...]:
        """Return the one-sided density in ADU² per unit of frequency, at most so many points from 0 to ½."""
        groups = np.array_split(2 * self.power, min(n_points, self.power.size))
        return tuple(float(f"{group.mean():.4g}") for group in groups)

    def lines(self, overlap: float) -> list[SpectralLine]:
        """Find the lines.

        Parameters
        ----------
        overlap : float
            By what factor, without unit, the variance of a mean over the differences grows by frames that they share.
        """
        power, continuum = self.power, self._continuum()
        found = np.flatnonzero(power > self._threshold(overlap) * np.maximum(continuum, _just_below(power)))
        groups = np.split(found, np.flatnonzero(np.diff(found) > _LINE_BINS) + 1) if found.size else []
        lines = [self._line(group, power - continuum, continuum, overlap) for group in groups]
        return [line for line in lines if line.rms_adu > line.uncertainty_adu]

    def faintest(self, overlap: float) -> float:
        """Return the RMS, in ADU, of the faintest line that would be found; ``overlap`` as of `lines`."""
        excess = (self._threshold(overlap) - 1) * np.median(self.power)
        return sqrt(max(2 * float(excess) / max(self._length, 1), 0.0))

    def _line(self, group: npt.NDArray[np.intp], excess: Array, continuum: Array, overlap: float) -> SpectralLine:
        bins = np.arange(max(group[0] - _LINE_BINS, 1), min(group[-1] + _LINE_BINS + 1, excess.size))
        weight = np.where(2 * bins == self._length, 1.0, 2.0) / self._length
        power = float(np.sum(weight * excess[bins]))
        lit = np.fmax(excess[bins], 0)
        n = max(self._n_rows / overlap, 1)
        of_noise = sqrt(float(np.sum(weight**2 * (continuum[bins] ** 2 + 2 * lit * continuum[bins]))) / n)
        of_phase = power * sqrt(_PHASE_SCATTER * overlap / self._n_images)
        rms = sqrt(max(power, 0.0))
        frequency = float(np.sum(lit * bins) / np.sum(lit)) / self._length
        return SpectralLine(self.axis, frequency, rms, hypot(of_noise, of_phase) / (2 * rms) if rms else np.inf)

    def _continuum(self) -> Array:
        """Return the power without lines: a running median."""
        power, n = self.power, self._n_rows
        median = median_filter(power, min(_CONTINUUM_BINS, power.size), mode="reflect")
        continuum: Array = median * (n / gammaincinv(n, 0.5))
        return continuum

    def _threshold(self, overlap: float) -> float:
        n = max(self._n_rows / overlap, 1)
        return float(gammainccinv(n, _FALSE_ALARMS / max(self.power.size, 1))) / n


def _just_below(power: Array) -> Array:
    """Return the median of the four bins that end three before each.

    Drifts make the power rise towards low frequencies, faster than a median over many bins follows.
    """
    below = np.full(power.size, np.inf)
    if power.size > _LOWEST:
        windows = np.lib.stride_tricks.sliding_window_view(power, 4)
        below[_LOWEST:] = np.median(windows, axis=1)[: power.size - _LOWEST]
    return below


@lru_cache(maxsize=8)
def _hann(length: int) -> npt.NDArray[np.float32]:
    """Return a periodic Hann window; lines leak into four bins only."""
    return (np.sin(np.pi * np.arange(length) / length) ** 2).astype(np.float32)
