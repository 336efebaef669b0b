"""All pairs of a series of biases or flats, of one amplifier, taken in one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore import _flat_pair
from ccdcore._transfer_fit import SMALLEST_SLOPE, BiasNoise, TransferFit, fit_curve, straight_line
from ccdcore.geometry import Amplifier
from ccdcore.statistics import ClippedMoments, Histogram, cut, overscan_level

_BIAS_CLIP_SIGMA = 6.0
_FLUX_TOLERANCE = 0.1


def signed_difference(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``first`` − ``second`` in a type that holds it exactly."""
    wide = np.result_type(first, np.int32) if np.issubdtype(first.dtype, np.integer) else np.dtype(np.float64)
    difference: npt.NDArray[Any] = np.subtract(first, second, dtype=wide)
    return difference


def overlap_inflation(n_pairs: int, n_shared: int) -> float:
    """Return Var(mean) of squared differences over that of independent pairs.

    Differences of pairs that share a frame correlate with −1/2, their squares with 1/4.
    """
    return 1 + n_shared / (2 * n_pairs)


@dataclass(slots=True)
class BiasSeries:
    """Biases of one amplifier: the noise of each pair, and the mean image free of cosmic rays."""

    amplifier: Amplifier
    _moments: list[ClippedMoments] = field(default_factory=list)
    _total: Any = 0.0
    _overscan: list[float] = field(default_factory=list)
    _whole: bool = True

    def add(self, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> str | None:
        """Take in two consecutive frames; return why not, if they are no use."""
        one, two = cut(first, self.amplifier.data), cut(second, self.amplifier.data)
        difference = signed_difference(one, two)
        if not np.isfinite(difference).any():
            return "they have no finite pixel in common"
        histogram = Histogram.of(difference)
        moments = histogram.clipped(_BIAS_CLIP_SIGMA)
        if moments.variance == 0:
            return "their pixels are the same: one is a copy of the other"
        self._moments.append(moments)
        self._whole &= histogram.step == 1
        hit = np.abs(difference - moments.mean) > moments.limit
        self._total = self._total + np.where(hit, 2.0 * np.minimum(one, two), one + two.astype(np.float64))
        if self.amplifier.overscan is not None:
            self._overscan += [overscan_level(frame, self.amplifier.overscan) for frame in (first, second)]
        return None

    @property
    def n_pairs(self) -> int:
        """Pairs taken in."""
        return len(self._moments)

    @property
    def mean(self) -> npt.NDArray[np.float32]:
        """The mean image in ADU."""
        image: npt.NDArray[np.float32] = (self._total / (2 * self.n_pairs)).astype(np.float32)
        return image

    @property
    def level(self) -> float:
        """Mean of the mean image in ADU."""
        return float(np.nanmean(self._total)) / (2 * self.n_pairs)

    @property
    def overscan(self) -> float:
        """Mean level of the overscan; 0 where there is none."""
        return float(np.mean(self._overscan)) if self._overscan else 0.0

    @property
    def noise(self) -> BiasNoise:
        """Noise of one frame, of all pairs; scatter between the pairs beyond the expected widens the uncertainty."""
        variances = np.array([m.variance for m in self._moments])
        mean = float(variances.mean())
        expected = mean * np.sqrt(2 / np.array([m.n for m in self._moments]))
        chi2 = float(np.sum(((variances - mean) / expected) ** 2))
        inflation = overlap_inflation(self.n_pairs, self.n_pairs - 1) * max(1.0, chi2 / max(self.n_pairs - 1, 1))
        uncertainty = sqrt(float(np.sum(expected**2)) * inflation) / self.n_pairs
        return BiasNoise(mean / 2, uncertainty / 2, self._whole)


@dataclass(slots=True)
class FlatSeries:
    """Flats of one amplifier: the photon transfer points of each pair, and the fit to all of them."""

    amplifier: Amplifier
    offset: npt.NDArray[np.float32]
    overscan: float
    noise: BiasNoise
    points: list[_flat_pair.PairPoints] = field(default_factory=list)
    used: list[tuple[int, int]] = field(default_factory=list)
    _gain: float | None = None

    @classmethod
    def after(cls, biases: BiasSeries) -> FlatSeries:
        """Begin a series of flats with what the biases have shown."""
        return cls(biases.amplifier, biases.mean, biases.overscan, biases.noise)

    def add(self, first: npt.NDArray[Any], second: npt.NDArray[Any], numbers: tuple[int, int]) -> str | None:
        """Take in two consecutive flats; return why not, if they are no use."""
        signals = [self._signal(frame) for frame in (first, second)]
        saturation = min(self._saturation(frame) for frame in (first, second))
        pair = _flat_pair.prepare(signals[0], signals[1], self.noise.variance, saturation)
        if pair is None:
            return "there is no light above the noise"
        if not 1 - _FLUX_TOLERANCE < pair.flux_ratio < 1 / (1 - _FLUX_TOLERANCE):
            return f"their flux differs by {100 * abs(pair.flux_ratio - 1):.0f} %, more than 10 %"
        if self._gain is None:
            rough = _flat_pair.measure(pair, _flat_pair.first_gain(pair), quick=True)
            self._gain = 1 / max(straight_line([rough], self.noise.variance).slope, SMALLEST_SLOPE)
        points = _flat_pair.measure(pair, self._gain)
        if straight_line([points], self.noise.variance).slope < SMALLEST_SLOPE:
            self._gain = None
            return "there is no shot noise in their difference: they are averages or copies of one frame"
        self.points.append(points)
        self.used.append(numbers)
        self._gain = 1 / straight_line(self.points, self.noise.variance).slope
        return None

    def fit(self) -> TransferFit:
        """Fit the points of all pairs."""
        n_shared = sum(second in {first for first, _ in self.used} for _, second in self.used)
        return fit_curve(self.points, self.noise, overlap_inflation(len(self.used), n_shared))

    def _signal(self, frame: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        signal = cut(frame, self.amplifier.data) - self.offset
        if self.amplifier.overscan is not None:
            signal -= np.float32(overscan_level(frame, self.amplifier.overscan) - self.overscan)
        return signal.astype(np.float32, copy=False)

    def _saturation(self, frame: npt.NDArray[Any]) -> float:
        limit = Histogram.of(cut(frame, self.amplifier.data)).pile_up
        return np.inf if limit is None else limit - float(np.nanmean(self.offset))
