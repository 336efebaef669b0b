"""All pairs of a series of biases or flats, of one amplifier, taken in one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import hypot, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore import _flat_pair
from ccdcore._exposures import Exposure
from ccdcore._pair_residuals import FlatPair
from ccdcore._ramp_fit import MeasuredPair, Ramp, fit_ramp
from ccdcore._transfer_fit import (
    SMALLEST_SLOPE,
    BiasNoise,
    TransferFit,
    fit_bend,
    fit_curve,
    straight_line,
    wide,
    widening,
)
from ccdcore.geometry import Amplifier
from ccdcore.pixel_values import not_adu
from ccdcore.statistics import ClippedMoments, Histogram, cut, overscan_level, signed_difference, summable

_BIAS_CLIP_SIGMA = 6.0
_CORRELATED_PIXELS = 2**20
_LOOK_PIXELS = 2**19
_FLUX_TOLERANCE = 0.1
_OTHER_FLUX = "their flux differs by"
_MOST_REJECTED = 0.25
"""Fraction of a pair's pixels that may be left out as outliers; cosmic rays take a tenth of it."""

_MOST_SHIFT = 0.05
"""Of traces of σ = 1.5 pixels, 0.03 pixels move the gain by 0.3 %, 0.1 pixels by 4 %."""

_FARTHER, _FARTHER_UNCERTAINTY = 1.2, 0.15
"""Covariances with all neighbours over those with the eight nearest, and its 1-σ uncertainty."""

_LEVEL_FLOOR = 1.0
_LEVEL_FLOOR_WITH_OVERSCAN = 0.2
"""Least 1-σ difference in ADU between the level of the biases and that under a flat."""


def _limit(frame: npt.NDArray[Any]) -> float:
    """Return the value that saturated pixels share; infinite where there are none."""
    pile_up = Histogram.of(frame).pile_up
    return np.inf if pile_up is None else pile_up


def _look(frame: npt.NDArray[Any]) -> Histogram:
    """Return the histogram of evenly spaced rows."""
    return Histogram.of(frame[:: -(-frame.size // _LOOK_PIXELS)])


def overlap_inflation(n_pairs: int, n_shared: int) -> float:
    """Return Var(mean) of squared differences over that of independent pairs.

    Differences of pairs that share a frame correlate with −1/2, their squares with 1/4.
    """
    return 1 + n_shared / (2 * n_pairs)


def _neighbour_correlation(difference: npt.NDArray[Any]) -> float:
    """Return the correlation of a pixel with its eight neighbours, added up, of an image of mean 0."""
    image = difference.astype(np.float64)
    pairs = [
        (image[:, 1:], image[:, :-1]),
        (image[1:], image[:-1]),
        (image[1:, 1:], image[:-1, :-1]),
        (image[1:, :-1], image[:-1, 1:]),
    ]
    covariance = sum(float(np.einsum("ij,ij->", one, two)) / one.size for one, two in pairs if one.size)
    return 2 * covariance / max(float(np.vdot(image, image)) / image.size, 1e-12)


def overlap(pairs: Sequence[tuple[int, int]]) -> float:
    """Return the `overlap_inflation` of pairs of numbered frames."""
    seconds = {second for _, second in pairs}
    return overlap_inflation(len(pairs), sum(first in seconds for first, _ in pairs))


@dataclass(slots=True)
class PairSeries(ABC):
    """Pairs of one amplifier.

    Parameters
    ----------
    amplifier : Amplifier
        The amplifier; its data section are the pixels to measure.
    used : list of tuple of int
        Numbers of the two frames of each pair used.
    """

    amplifier: Amplifier
    used: list[tuple[int, int]] = field(default_factory=list, kw_only=True)
    _left_out: list[tuple[tuple[int, int], str]] = field(default_factory=list, kw_only=True)

    def add(self, one: Exposure, two: Exposure) -> None:
        """Take in a pair, or remark why it is no use."""
        first, second = cut(one.data, self.amplifier.data), cut(two.data, self.amplifier.data)
        reason: str | None
        if np.array_equal(first, second):
            reason = "their pixels are the same: one is a copy of the other"
        elif not (np.isfinite(first) & np.isfinite(second)).any():
            reason = "they have no finite pixel in common"
        else:
            levels = [self._overscan_level(exposure) for exposure in (one, two)]
            reason = self._measure(first, second, levels)
        if reason is None:
            self.used.append((one.number, two.number))
        else:
            self._left_out.append(((one.number, two.number), f"pair {one.name}, {two.name} left out: {reason}"))

    @abstractmethod
    def _measure(self, first: npt.NDArray[Any], second: npt.NDArray[Any], overscan: list[float]) -> str | None:
        """Take in the pixels and overscan levels of a pair, or return why it is no use."""

    def _overscan_level(self, exposure: Exposure) -> float:
        section = self.amplifier.overscan
        return 0.0 if section is None else overscan_level(exposure.data, section)

    @property
    def remarks(self) -> list[str]:
        """Which pairs were left out, and why.

        Nothing is said of two frames of unequal flux that have other partners: they are two levels of a ramp.
        """
        partnered = set(chain.from_iterable(self.used))
        return [text for frames, text in self._left_out if not (_OTHER_FLUX in text and partnered.issuperset(frames))]

    @property
    def n_frames(self) -> int:
        """Number of frames used."""
        return len(set(chain.from_iterable(self.used)))

    @property
    def overlap(self) -> float:
        """Inflation of the variance of a mean over the pairs, by frames they share."""
        return overlap(self.used)


@dataclass(slots=True)
class BiasSeries(PairSeries):
    """Biases of one amplifier: the noise of each pair, and the mean image free of cosmic rays."""

    _moments: list[ClippedMoments] = field(default_factory=list)
    _total: Any = 0
    _overscan: list[float] = field(default_factory=list)
    _steps: list[float] = field(default_factory=list)
    _neighbours: list[float] = field(default_factory=list)
    _values: list[Histogram] = field(default_factory=list)
    _step: float = 0.0

    def _measure(self, first: npt.NDArray[Any], second: npt.NDArray[Any], overscan: list[float]) -> str | None:
        difference = signed_difference(first, second)
        histogram = Histogram.of(difference)
        moments = histogram.clipped(_BIAS_CLIP_SIGMA)
        if moments.variance == 0:
            return "there is no noise in their difference"
        values = _look(first)
        if no_adu := not_adu(values.step, sqrt(moments.variance / 2)):
            return no_adu
        self._moments.append(moments)
        self._values.append(values)
        self._step = max(self._step, values.step, histogram.step)
        kept = histogram.values[np.abs(histogram.values - moments.mean) <= moments.limit].astype(difference.dtype)
        hit = (difference < kept[0]) | (difference > kept[-1])
        total = summable(first)
        total += second
        total[hit] = 2 * np.minimum(first[hit], second[hit]).astype(total.dtype)
        self._total = self._total + total
        self._overscan += overscan
        self._steps.append(moments.mean - (overscan[0] - overscan[1]))
        rows = slice(max(2, _CORRELATED_PIXELS // difference.shape[1]))
        self._neighbours.append(_neighbour_correlation(np.where(hit[rows], 0, difference[rows] - moments.mean)))
        return None

    @property
    def mean(self) -> npt.NDArray[np.float32]:
        """The mean image in ADU."""
        n_summed = 2 * len(self._moments)
        image: npt.NDArray[np.float32] = np.divide(self._total, n_summed, dtype=np.float32, casting="unsafe")
        return image

    @property
    def level(self) -> float:
        """Mean of the mean image in ADU."""
        return float(np.nanmean(self._total)) / (2 * len(self._moments))

    @property
    def overscan(self) -> float:
        """Mean level of the overscan; 0 where there is none."""
        return float(np.mean(self._overscan))

    @property
    def level_uncertainty(self) -> float:
        """How well the level under a flat is known, in ADU: the wander of the biases, and what exposures add to it."""
        wander = float(np.std(np.cumsum([0.0, *self._steps])))
        return hypot(wander, _LEVEL_FLOOR if self.amplifier.overscan is None else _LEVEL_FLOOR_WITH_OVERSCAN)

    @property
    def neighbours(self) -> float:
        """Correlation of the noise of a pixel with its eight neighbours, added up: pick-up."""
        return float(np.mean(self._neighbours))

    @property
    def noise(self) -> BiasNoise:
        """Noise of one frame, of all pairs; scatter between the pairs beyond the expected widens the uncertainty."""
        variances = np.array([m.variance for m in self._moments])
        mean = float(variances.mean())
        expected = mean * np.sqrt(2 / np.array([m.n for m in self._moments]))
        chi2 = float(np.sum(((variances - mean) / expected) ** 2))
        inflation = self.overlap * widening(chi2, len(self._moments) - 1)
        uncertainty = sqrt(float(np.sum(expected**2)) * inflation) / len(self._moments)
        return BiasNoise(mean / 2, uncertainty / 2, self.step)

    @property
    def step(self) -> float:
        """Distance of the values that pixels can have, in ADU; 0 of continuous ones."""
        return self._step


@dataclass(slots=True)
class FlatSeries(PairSeries):
    """Flats of one amplifier: the photon transfer points of each pair, and the fit to all of them."""

    offset: npt.NDArray[np.float32]
    level: float
    noise: BiasNoise
    level_uncertainty: float
    bias_neighbours: float = 0.0
    points: list[_flat_pair.PairPoints] = field(default_factory=list)
    pairs: list[MeasuredPair] = field(default_factory=list)
    _gain: float | None = None

    @classmethod
    def after(cls, biases: BiasSeries) -> FlatSeries:
        """Begin a series of flats with what the biases have shown."""
        offset = biases.mean - np.float32(biases.overscan)
        level = biases.level - biases.overscan
        return cls(biases.amplifier, offset, level, biases.noise, biases.level_uncertainty, biases.neighbours)

    def _measure(self, first: npt.NDArray[Any], second: npt.NDArray[Any], overscan: list[float]) -> str | None:
        limit = min(_limit(first), _limit(second))
        signals = []
        for frame, level in zip((first, second), overscan, strict=True):
            signal = frame - self.offset
            signal -= np.float32(level)
            signal[~(frame < limit)] = np.nan
            signals.append(signal)
        saturation = limit - self.level - max(overscan)
        pair = _flat_pair.prepare(signals[0], signals[1], self.noise.variance, saturation)
        gain = None if pair is None else self._gain or self._rough_gain(pair)
        if pair is None or gain is None:
            return "there is no light above the noise in both (the light pattern moved?), or all of it is saturated"
        if not 1 - _FLUX_TOLERANCE < pair.flux_ratio < 1 / (1 - _FLUX_TOLERANCE):
            return f"{_OTHER_FLUX} {100 * abs(pair.flux_ratio - 1):.0f} %, more than 10 %"
        points = _flat_pair.measure(pair, gain)
        if points.shift > _MOST_SHIFT:
            return f"the light pattern moved by {points.shift:.2f} pixels from one to the other"
        if points.rejected_fraction > _MOST_REJECTED:
            rejected = f"{100 * points.rejected_fraction:.0f} % of their pixels"
            return f"{rejected} differ by more than noise, or are next to such: the light pattern moved"
        if straight_line([points], self.noise.variance).slope < SMALLEST_SLOPE:
            return "there is no shot noise in their difference: they are averages, or made of one frame"
        self.points.append(points)
        self._gain = self._gain_of(self.points)
        return None

    def add(self, one: Exposure, two: Exposure) -> None:
        """Take in a pair, or remark why it is no use."""
        n_before = len(self.points)
        PairSeries.add(self, one, two)  # dataclasses with slots know no super()
        if len(self.points) == n_before:
            return
        filter_name, time = (None, None) if one.info is None else (one.info.filter, one.info.exposure_time_s)
        name = f"{one.name}, {two.name}"
        self.pairs.append(MeasuredPair(self.points[-1], name, (one.number, two.number), filter_name, time))

    def _rough_gain(self, pair: FlatPair) -> float | None:
        gain = _flat_pair.first_gain(pair)
        return None if gain is None else self._gain_of([_flat_pair.measure(pair, gain, quick=True)])

    def _gain_of(self, points: list[_flat_pair.PairPoints]) -> float:
        return 1 / max(straight_line(points, self.noise.variance).slope, SMALLEST_SLOPE)

    def fit(self) -> TransferFit:
        """Fit the points of all pairs."""
        return fit_curve(self.points, self.noise, self.overlap, self.level_uncertainty)

    def bent(self) -> TransferFit | None:
        """Fit a bend whether it is significant or not; None where the signals span too little for one."""
        return fit_bend(self.points, self.noise, self.overlap, self.level_uncertainty) if wide(self.points) else None

    def neighbour_share(self, points: Sequence[_flat_pair.PairPoints]) -> tuple[float, float]:
        """Return the covariances of photon noise with all neighbours over its variance, and their uncertainty.

        The eight nearest are measured; farther ones, each too small for that, are taken to add a fifth, within 15 %.
        """
        of = [p.neighbours for p in points]
        light = np.array([n.covariance[0] - n.bias_share for n in of])
        nearest = 2 * np.array([n.covariance[1:].sum() - n.bias_share * self.bias_neighbours / 2 for n in of]) / light
        errors = 2 * np.array([np.sqrt(np.sum(n.uncertainty[1:] ** 2)) for n in of]) / light
        share = _FARTHER * float(nearest.mean())
        statistical = _FARTHER * float(np.sqrt(np.sum(errors**2) * self.overlap)) / len(of)
        return share, hypot(statistical, _FARTHER_UNCERTAINTY * share / _FARTHER)

    def faint_cosmic_rays(self, points: Sequence[_flat_pair.PairPoints]) -> float:
        """Return how far, relative, the gain may be off by cosmic rays too faint to be told from noise."""
        return 0.5 * float(np.mean([p.faint_cosmic_rays for p in points]))

    def fit_ramp(self) -> Ramp:
        """Fit the curve of a ramp to the pairs that belong to it."""
        return fit_ramp(self.pairs, self.noise, self.level_uncertainty, overlap)
