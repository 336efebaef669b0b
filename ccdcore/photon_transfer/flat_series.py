"""The flats of one amplifier: their light and noise, and the fit to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import hypot, inf
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.flat_pairs import flat_pair
from ccdcore.flat_pairs.residuals import FlatPair, Light
from ccdcore.noise.bias_series import BiasNoise, BiasSeries
from ccdcore.noise.exposures import Exposure
from ccdcore.noise.frame_noise import at_equal_light, noise_asymmetry, some_rows
from ccdcore.noise.odd_frames import Sorted, Split, frame_means, solvable, sort_out
from ccdcore.noise.pair_series import OTHER_FLUX, PairSeries, overlap
from ccdcore.numerics.histogram import Histogram
from ccdcore.numerics.robust import median
from ccdcore.photon_transfer.curve_fit import (
    OTHER_OFFSET,
    SMALLEST_SLOPE,
    TransferFit,
    begins_elsewhere,
    fit_bend,
    fit_curve,
    joined,
    other_offset,
    straight_line,
    wide,
)
from ccdcore.photon_transfer.ramp import (
    MeasuredPair,
    Ramp,
    against_others,
    fit_ramp,
    is_ramp,
    majority_curve,
    own_noise,
)
from ccdcore.photon_transfer.shared_noise import SharedNoise

_MOVED = "the light pattern moved"
"""Stands in the reasons why pairs are left out."""

_MOST_OF_LIGHT = 0.35
"""Part of the light of flats that an offset above that of the biases is, at most."""

_FLUX_TOLERANCE = 0.1
_MOST_REJECTED = 0.25
"""Fraction of a pair's pixels that may be left out as outliers; cosmic rays take a tenth of it."""

_MAD_OF_DIFFERENCE = 1.4826 / 2**0.5
"""σ of one frame in units of the median of the differences of two."""

_MOST_SHIFT = 0.05
"""Of traces of σ = 1.5 pixels, 0.03 pixels move the gain by 0.3 %, 0.1 pixels by 4 %."""

_NOISE_GAP = 0.05
"""Relative difference of noise variances at the same light; those of honest frames agree within 1 %."""

_OTHER_NOISE = 0.1
"""Relative difference of variances from which on the noise model is not good enough."""

_HARDLY_ANY = 0.2

_OTHER_READOUT, _SIGMAS = 0.2, 5.0
"""Relative difference of read noises, and σ of it, that no single read mode has."""

_FEWEST_LOOKS, _LEAST_LESS = 2, 0.03
"""Looks at flats that are no pairs; by how much less their noise must be than that of pairs."""

_NEXT_TO_NO_LIGHT = 0.2
"""Noise variance of light over that of the biases."""

_MOST_BEND = 0.75
"""Noise at high over that at low light that the brighter-fatter effect may make."""


def _of_overscans(flats: PairSeries, biases: PairSeries) -> tuple[float, float, float]:
    """Return the noise of the overscans of flats and of biases, in ADU, and the uncertainty of their difference."""
    section = flats.amplifier.overscan
    if section is None or not flats.overscan_noises or not biases.overscan_noises:
        return 0.0, 0.0, np.inf
    of = [float(np.median(list(series.overscan_noises.values()))) for series in (flats, biases)]
    return of[0], of[1], max(of) * (section.shape[0] * section.shape[1]) ** -0.5


def _averages(fine: str, wide: str, n: int) -> str | None:
    return (
        f"the values of the {fine} lie on steps {n} times finer than those of the {wide}: the {fine} are averages of "
        f"{n}, or of another bit depth, and their noise is not that of one exposure: give raw frames"
        if n > 1
        else None
    )


def _next_to_saturation(pair: FlatPair | None, limit: float) -> str | None:
    """Say in words that most of the light, and 5 σ of its noise, reaches saturation; None where not."""
    if pair is None or not np.isfinite(limit):
        return None
    rows = some_rows(pair.first.shape)
    difference = np.abs(pair.first[rows] - pair.second[rows])
    noise = _MAD_OF_DIFFERENCE * median(difference[np.isfinite(difference)])
    if np.mean(pair.ordered_sample + 5 * noise > pair.saturation) < _MOST_REJECTED:
        return None
    return f"most of their light is so near the limit of {limit:.0f} ADU that its noise is cut off: expose less"


def _asymmetry(pair: FlatPair, slope: float) -> float:
    """Return the `noise_asymmetry` of two flats whose noise of light grows by ``slope`` ADU² for each ADU."""
    f1, f2 = pair.factors
    rows = some_rows(pair.first.shape)
    first, second = f1 * pair.first[rows], f2 * pair.second[rows]
    variance = slope * np.maximum(first + second, 0) + (f1**2 + f2**2) * pair.bias_variance
    return noise_asymmetry(*at_equal_light(first, second, np.sqrt(variance)), variance)


@dataclass(slots=True)
class FlatSeries(PairSeries):
    """Flats of one amplifier: the photon transfer points of each pair, and the fit to all of them."""

    offset: Callable[[slice | npt.NDArray[np.int_]], npt.NDArray[Any]]
    level: float
    noise: BiasNoise
    level_uncertainty: float
    bias_neighbours: float = 0.0
    bias_values: Histogram | None = None
    pairs: list[MeasuredPair] = field(default_factory=list)
    looks: list[flat_pair.PairPoints] = field(default_factory=list)
    _slopes: list[float] = field(default_factory=list)
    _latest: flat_pair.PairPoints | None = None
    _averages: tuple[int, int] = (1, 1)
    largest: float = 0.0
    _finest: float = inf

    @classmethod
    def after(cls, biases: BiasSeries) -> FlatSeries:
        """Begin a series of flats with what the biases have shown."""
        level = biases.level - biases.overscan
        return cls(
            biases.amplifier,
            biases.above_overscan,
            level,
            biases.noise,
            biases.level_uncertainty,
            biases.neighbours,
            biases.values,
        )

    @property
    def points(self) -> list[flat_pair.PairPoints]:
        """The photon transfer points of each pair."""
        return [pair.points for pair in self.pairs]

    def _measure(self, first: npt.NDArray[Any], second: npt.NDArray[Any], overscan: list[float]) -> str | None:
        found = self._points(first, second, self.offset, overscan)
        if isinstance(found, str):
            return found
        self._slopes.append(straight_line([found], self.noise.variance).slope)
        self._latest = found
        return None

    def _look(
        self, first: npt.NDArray[Any], second: npt.NDArray[Any], rows: npt.NDArray[np.int_], overscan: list[float]
    ) -> bool:
        found = self._points(first, second, self.offset(rows).__getitem__, overscan)
        if isinstance(found, str):
            return False
        self.looks.append(found)
        return True

    def _points(
        self,
        first: npt.NDArray[Any],
        second: npt.NDArray[Any],
        offset: Callable[[slice], npt.NDArray[Any]],
        overscan: list[float],
    ) -> flat_pair.PairPoints | str:
        """Return the photon transfer points of two flats, or why they are no use."""
        limit = min(self._limit(first), self._limit(second))
        one, two = (Light(frame, offset, level, limit) for frame, level in zip((first, second), overscan, strict=True))
        saturation = limit - self.level - max(overscan)
        pair = flat_pair.prepare(one, two, self.noise.variance, saturation)
        if pair is None or (gain := flat_pair.first_gain(pair)) is None:
            nothing = "there is no light above the noise in both (the light pattern moved?), or all of it is saturated"
            return _next_to_saturation(pair, limit) or nothing
        if not 1 - _FLUX_TOLERANCE < pair.flux_ratio < 1 / (1 - _FLUX_TOLERANCE):
            return f"{OTHER_FLUX} {100 * abs(pair.flux_ratio - 1):.0f} %, more than 10 %"
        points = self._by_own_noise(pair, gain)
        if points.shift > _MOST_SHIFT:
            return f"the light pattern moved by {points.shift:.2f} pixels from one to the other"
        if points.rejected_fraction > _MOST_REJECTED:
            rejected = f"{100 * points.rejected_fraction:.0f} % of their pixels"
            moved = f"{rejected} differ by more than noise, or are next to such: the light pattern moved"
            return _next_to_saturation(pair, limit) or moved
        if straight_line([points], self.noise.variance).slope < SMALLEST_SLOPE:
            below = other_offset([points], self.noise)
            guess = "they are averages, made of one frame, beyond full well, or the biases are noisier than they"
            nothing = f"there is no shot noise in their difference: {guess}"
            return nothing if below is None else begins_elsewhere(below)
        self._asymmetry = _asymmetry(pair, straight_line([points], self.noise.variance).slope)
        return points

    def _limit(self, frame: npt.NDArray[Any]) -> float:
        """Return the value that saturated pixels share, infinite where there are none; see what the values lie on."""
        values, of_biases = Histogram.of(frame), self.bias_values
        self._finest = min(self._finest, values.step)
        self.largest = max(self.largest, float(values.values[-1]))
        if of_biases is not None:
            found = values.averaged_to(of_biases.step), of_biases.averaged_to(values.step)
            self._averages = max(self._averages[0], found[0]), max(self._averages[1], found[1])
        return np.inf if values.pile_up is None else values.pile_up

    def add(self, one: Exposure, two: Exposure) -> None:
        """Take in a pair, or remark why it is no use."""
        self._latest = None
        PairSeries.add(self, one, two)  # dataclasses with slots know no super()
        if self._latest is None:
            return
        filter_name, time = (None, None) if one.info is None else (one.info.filter, one.info.exposure_time_s)
        name = f"{one.name}, {two.name}"
        self.pairs.append(MeasuredPair(self._latest, name, (one.number, two.number), filter_name, time))

    def _by_own_noise(self, pair: FlatPair, gain: float) -> flat_pair.PairPoints:
        """Compare two flats by the noise that most pairs have, or by their own where that is another.

        Who is first must not matter: it may be the odd one. ``gain`` is a rough one, of these two.
        """
        if self._slopes:
            points = flat_pair.measure(pair, 1 / max(float(np.median(self._slopes)), SMALLEST_SLOPE))
            seen, expected = points.variance @ points.n_pixels, points.model_variance @ points.n_pixels
            # Nothing is expected where all pixels were rejected, as of a flat whose driver spoiled every second one.
            if points.rejected_fraction < _MOST_REJECTED and abs(seen - expected) < _OTHER_NOISE * expected:
                return points
        slope = straight_line([flat_pair.measure(pair, gain, quick=True)], self.noise.variance).slope
        # Where unlit pixels lie far below the level of the biases a line through that is none of the light.
        slope = slope if slope * gain > _HARDLY_ANY else 1 / gain
        return flat_pair.measure(pair, 1 / max(slope, SMALLEST_SLOPE))

    def odd_frames(self) -> dict[int, str]:
        """Return the few flats whose noise is not that of the others at the same light, by number, and why."""
        found = self._by_noise()
        reasons = {}
        for number, value in found.odd.items():
            share = (max(value, 0.0) / found.usual) ** 0.5
            noise = f"{100 * share:.0f} %" if share > _HARDLY_ANY else f"less than {100 * _HARDLY_ANY:.0f} %"
            guess = "an average of several" if share < 1 else "something besides light"
            reasons[number] = (
                f"its noise is {noise} of that of the other flats at the same light ({guess}, or another gain setting?)"
            )
        return reasons

    def two_kinds(self) -> str | None:
        """Say in words which two groups the flats fall into, or which two are unequal; None where none."""
        groups = self._by_noise().groups
        if groups is None or self._in_steps_of_light(groups):
            return self.unequal
        slope = 1 / majority_curve(self.pairs, self.noise).gain
        low, high = (
            f"{of.numbers.size} with a variance/mean of {slope * max(of.usual, 0.0):.3g} ADU"
            for of in (groups.low, groups.high)
        )
        merged = is_ramp([pair.level for pair in self.pairs]) and self._in_steps_of_light(
            Split(groups.high, groups.low)
        )
        guess = "two gain settings, read modes or cameras in one set, or a light pattern that moves or flickers"
        below = other_offset(self.points, self.noise, self.overlap)
        # Of equal light two gains make noise over light in proportion to the level: an offset of half the light would.
        if below is not None and -below < _MOST_OF_LIGHT * min(pair.level for pair in self.pairs):
            guess += f", or {OTHER_OFFSET}"
        guess += ", or a merge of two read-outs?" if merged else "?"
        return f"the flats fall into two groups, {high} and {low}: {guess}"

    def _by_noise(self) -> Sorted:
        if not self.pairs:
            return Sorted({}, 1.0, None)
        found = self._sorted_by(self.noise)
        if (found.odd or found.groups) and (own := own_noise(self.pairs, self.noise, self.level_uncertainty, overlap)):
            again = self._sorted_by(own)
            return found if again.odd or again.groups else again
        return found

    def _sorted_by(self, noise: BiasNoise) -> Sorted:
        ratios, errors, counts = against_others(self.pairs, self.looks, noise, self.level_uncertainty)
        seen = [pair for pair, counted in zip([*self.used, *self.compared], counts, strict=True) if counted]
        alone = solvable(seen) if is_ramp([pair.level for pair in self.pairs]) else None
        return sort_out(
            lambda odd: frame_means(seen, ratios[counts], errors[counts] / ratios[counts], odd),
            _NOISE_GAP,
            may_be_odd=alone,
        )

    def _in_steps_of_light(self, groups: Split) -> bool:
        """Whether the noise that is less is that of more light: a curve that bends makes no two kinds."""
        low, high = (
            [pair.level for pair in self.pairs if set(pair.numbers) & set(group.numbers.tolist())]
            for group in (groups.low, groups.high)
        )
        if not (low and high) or max(high) >= min(low):
            return False
        return is_ramp(low + high) or groups.low.usual > _MOST_BEND * groups.high.usual

    def fit(self) -> TransferFit:
        """Fit the points of all pairs."""
        return fit_curve(self.points, self.noise, self.overlap, self.level_uncertainty)

    def bent(self) -> TransferFit | None:
        """Fit a bend whether it is significant or not; None where the signals span too little for one."""
        return fit_bend(self.points, self.noise, self.overlap, self.level_uncertainty) if wide(self.points) else None

    def shared(self, points: Sequence[flat_pair.PairPoints]) -> SharedNoise:
        """Return what neighbours share of the noise of light, of these points."""
        return SharedNoise([point.neighbours for point in points], self.bias_neighbours, self.overlap)

    @property
    def averaged(self) -> str | None:
        """Say in words that the flats' values lie on finer steps than the biases', as averages do; None if not."""
        return _averages("flats", "biases", self._averages[0])

    @property
    def averaged_biases(self) -> str | None:
        """Say in words that the biases' values lie on finer steps than the flats'; None where they do not."""
        return _averages("biases", "flats", self._averages[1])

    def processed(self) -> Iterator[str]:
        """Say in words what the flats' numbers show of what a program did to them."""
        if self.bias_values is not None and self.bias_values.step > 0 and self._finest == 0:
            yield (
                "the numbers of the flats are fractions on no grid, those of the biases lie on one: flats from which a "
                "dark was taken, or that were scaled or divided by a flat, have other noise: give raw frames"
            )
        offsets = [why for _, why in self._left_out if OTHER_OFFSET in why]
        if offsets and not self.pairs:
            yield offsets[0].split("left out: ", 1)[-1]
        moved = sum(_MOVED in why for _, why in self._left_out)
        if self.pairs and moved > len(self.pairs):
            yield (
                f"{moved} of {moved + len(self.pairs)} pairs of flats were left out because the light pattern moved: "
                "what moved is in the others too, and the gain may be too low: is the image shifted or turned from one "
                "to the next?"
            )
        if less := self._less_between_others():
            yield (
                f"flats with one between them differ by {less:.0%} less than those next to each other: a pattern that "
                "moves to and fro is in the noise, and the gain too low: is every second image shifted or turned?"
            )

    def _less_between_others(self) -> float:
        """Return by how much the noise of flats that are next but one is less than that of pairs; 0 where it is not."""
        if not self.looks:
            return 0.0
        ratios, errors, counts = against_others(self.pairs, self.looks, self.noise, self.level_uncertainty)
        n = len(self.pairs)
        groups = [(ratios[some][counts[some]], errors[some][counts[some]]) for some in (slice(n), slice(n, None))]
        if min(of.size for of, _ in groups) < _FEWEST_LOOKS:
            return 0.0
        (pairs, of_pairs), (looks, of_looks) = ((of.mean(), np.sqrt(np.sum(s**2)) / of.size) for of, s in groups)
        less = 1 - looks / pairs
        # Pairs and looks share frames, and so half of their scatter at most.
        return float(less) if less > max(_LEAST_LESS, _SIGMAS * hypot(of_pairs, of_looks)) else 0.0

    def of_another_kind(self, biases: BiasSeries) -> str | None:
        """Say in words where the flats' noise without light is not that of the biases; None where it is."""
        looks = [("overscan", *_of_overscans(self, biases)), ("unlit part", *self._of_unlit())]
        for where, flats, of_biases, uncertainty in looks:
            if abs(flats - of_biases) > max(_OTHER_READOUT * of_biases, _SIGMAS * uncertainty):
                return (
                    f"the {where} of the flats has a noise of {flats:.2f} ADU, where that of the biases is "
                    f"{of_biases:.2f} ADU: are the biases of another gain setting or read mode?"
                )
        return None

    def _of_unlit(self) -> tuple[float, float, float]:
        """Return the noise of the flats where they have next to no light, that of the biases, and its uncertainty."""
        mean, variance, sigma = joined(self.points)
        slope = float(np.median(self._slopes))
        light = mean * slope
        unlit = np.abs(light) < _NEXT_TO_NO_LIGHT * self.noise.variance
        noise = self.noise.variance**0.5
        if not unlit.any():
            return noise, noise, np.inf
        weight = 1 / sigma[unlit] ** 2
        found = max(float(weight @ (variance - light)[unlit] / weight.sum()), 0.0) ** 0.5
        return found, noise, hypot(float(weight.sum()) ** -0.5, slope * self.level_uncertainty) / (2 * noise)

    def faint_cosmic_rays(self, points: Sequence[flat_pair.PairPoints]) -> float:
        """Return how far, relative, the gain may be off by cosmic rays too faint to be told from noise."""
        return 0.5 * float(np.mean([p.faint_cosmic_rays for p in points]))

    def fit_ramp(self) -> Ramp:
        """Fit the curve of a ramp to the pairs that belong to it."""
        return fit_ramp(self.pairs, self.noise, self.level_uncertainty, overlap)
