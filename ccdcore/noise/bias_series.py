"""The biases of one amplifier: their noise, and their mean image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, hypot, pi, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from ccdcore.cards.sections import Amplifier
from ccdcore.noise import lit_biases, neighbours
from ccdcore.noise.frame_noise import noise_asymmetry, some_rows
from ccdcore.noise.odd_frames import Sorted, Split, frame_levels, frame_means, sort_out
from ccdcore.noise.pair_series import PairSeries
from ccdcore.numerics.histogram import ClippedMoments, Histogram
from ccdcore.numerics.parts import Parts, unlike
from ccdcore.numerics.pixel_values import cut_off, missing_number, not_adu
from ccdcore.numerics.robust import QUANTISATION_VARIANCE, signed_difference, summable, widening

_BIAS_CLIP_SIGMA = 6.0
_CORRELATED_PIXELS = 2**20
_LOOK_PIXELS = 2**19
_STRIP_ROWS = 64

_NOISE_GAP = 0.1
"""Relative difference of variances: pick-up comes and goes."""

_LEVEL_GAP_ADU, _LEVEL_GAP_NOISES = 5.0, 3.0
"""What a single level is off by, at least, for the frame to be left out."""

_OTHER_LEVEL_ADU, _OTHER_LEVEL_NOISES = 20.0, 5.0
"""What two groups of levels are apart, at least, for two settings: levels drift from night to night."""

_BLOCK, _FEW_STILL, _BY_CHANCE = 8, 1e-3, 1e-3
"""Pixels along a block that has one number only; part of all pixels, and how many by chance, that are no matter."""

_SMOOTH_SHARE = 0.2
"""Part of the variance of a difference that neighbours across the corner share, from which on it is a pattern."""

_NOTED_OF_PARTS, _LEAST_OF_PARTS = 0.25, 0.6
"""How much more variance one part of the biases has than another, at least, to be noted; and where amplifiers are
unlike: pick-up that lasts for a fifth of each row made 0.4 in an SBIG ST-8."""

_BENT = (
    "numbers of 8 bits hide the noise, and are often bent by a curve (gamma, JPEG): read noise and gain hold only if "
    "they are in proportion to the light: write 16 bits"
)

_LEVEL_FLOOR = 1.0
_LEVEL_FLOOR_WITH_OVERSCAN = 0.2
"""Least 1-σ difference in ADU between the level of the biases and that under a flat or dark."""


def least_level_error(amplifier: Amplifier) -> float:
    """Return the least 1-σ difference, in ADU, between the level of biases and that under other frames."""
    return _LEVEL_FLOOR if amplifier.overscan is None else _LEVEL_FLOOR_WITH_OVERSCAN


def _still(difference: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Return where blocks, rows or columns do not differ at all, and what is next to them; None if that may be chance.

    These are no part of the detector: a quadrant that is not read, a margin that a program filled.
    """
    rows, columns = difference.shape
    moves = difference != 0
    blocks = moves[: rows - rows % _BLOCK, : columns - columns % _BLOCK]
    blocks = blocks.reshape(rows // _BLOCK, _BLOCK, columns - columns % _BLOCK).any(axis=1)
    still = ~blocks.reshape(rows // _BLOCK, columns // _BLOCK, _BLOCK).any(axis=2)
    still_rows, still_columns = ~moves.any(axis=1), ~moves.any(axis=0)
    if not (still.any() or still_rows.any() or still_columns.any()) or still.all():
        return None
    others = float(np.sum(~still)) * _BLOCK**2 * float(np.mean(~still_rows)) * float(np.mean(~still_columns))
    equal = max(1 - float(np.sum(moves)) / max(others, 1.0), 0.0)
    if difference.size * equal ** min(_BLOCK**2, rows, columns) > _BY_CHANCE:
        return None
    pixels = binary_dilation(still, np.ones((3, 3))).repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
    pixels = np.pad(pixels, ((0, rows % _BLOCK), (0, columns % _BLOCK)), mode="edge")
    pixels |= still_rows[:, None] | still_columns
    return pixels if _FEW_STILL < pixels.mean() < 1 else None


def _of_moving(difference: npt.NDArray[Any]) -> tuple[Histogram, npt.NDArray[np.bool_] | None]:
    """Return the histogram of a difference of two biases where they differ, and where they do not (`_still`)."""
    still = _still(difference)
    return Histogram.of(difference if still is None else difference[~still]), still


def _some_values(frame: npt.NDArray[Any]) -> Histogram:
    """Return the histogram of evenly spaced rows."""
    return Histogram.of(frame[:: -(-frame.size // _LOOK_PIXELS)])


def _beyond(difference: npt.NDArray[Any], limits: tuple[np.generic, np.generic]) -> npt.NDArray[np.bool_]:
    """Return where a difference is outside of limits, or not a number."""
    beyond: npt.NDArray[np.bool_] = ~((difference >= limits[0]) & (difference <= limits[1]))
    return beyond


def _two_groups(groups: Split, what: str, words: Callable[[float], str]) -> str:
    low, high = (f"{group.numbers.size} with a {what} of {words(group.usual)}" for group in (groups.low, groups.high))
    return f"the biases fall into two groups, {low} and {high}: two gain settings, read modes or cameras in one set?"


@dataclass(slots=True)
class BiasSeries(PairSeries):
    """Biases of one amplifier: the noise of each pair, and the mean image free of cosmic rays."""

    _moments: list[ClippedMoments] = field(default_factory=list)
    _total: npt.NDArray[Any] = field(default_factory=lambda: np.empty((0, 0), np.int32))
    _overscan: list[float] = field(default_factory=list)
    _steps: list[float] = field(default_factory=list)
    _neighbours: list[float] = field(default_factory=list)
    _smooth: list[float] = field(default_factory=list)
    _spread: list[float] = field(default_factory=list)
    _tails: list[str | None] = field(default_factory=list)
    _values: list[Histogram] = field(default_factory=list)
    _blocks: list[lit_biases.Blocks] = field(default_factory=list)
    _parts: list[Parts] = field(default_factory=list)
    _step: float = 0.0
    _is_8_bit: bool = False
    _looks: list[ClippedMoments] = field(default_factory=list)
    _still: npt.NDArray[np.bool_] | None = None

    def _measure(self, first: npt.NDArray[Any], second: npt.NDArray[Any], overscan: list[float]) -> str | None:
        difference = signed_difference(first, second)
        histogram, still = _of_moving(difference)
        moments = histogram.clipped(_BIAS_CLIP_SIGMA)
        if moments.variance == 0:
            return "there is no noise in their difference"
        values = _some_values(first)
        if no_adu := not_adu(values.step, sqrt(moments.variance / 2)):
            return no_adu
        some = some_rows(first.shape)
        self._asymmetry = noise_asymmetry(first[some], second[some], moments.variance)
        self._moments.append(moments)
        self._values.append(values)
        self._step = max(self._step, values.step, histogram.step)
        kept = histogram.values[np.abs(histogram.values - moments.mean) <= moments.limit].astype(difference.dtype)
        if still is not None:
            self._still = still if self._still is None else self._still & still
        self._take_in(first, second, difference, (kept[0], kept[-1]))
        self._overscan += overscan
        self._steps.append(moments.mean - (overscan[0] - overscan[1]))
        usable = ~_beyond(difference[some], (kept[0], kept[-1]))
        usable &= True if still is None else ~still[some]
        residual = difference[some] - moments.mean
        self._blocks.append(lit_biases.Blocks.of(first[some], residual, usable))
        numbers = np.arange(len(first))[some]
        squares = residual**2 / moments.variance
        self._parts.append(Parts.of(squares, first[some], usable, numbers, len(first)))
        rows = slice(max(2, _CORRELATED_PIXELS // difference.shape[1]))
        hit = _beyond(difference[rows], (kept[0], kept[-1]))
        if still is not None:
            hit |= still[rows]
        clean = np.where(hit, 0.0, difference[rows] - moments.mean)
        self._neighbours.append(neighbours.correlation(clean))
        self._smooth.append(neighbours.smooth_share(clean))
        self._is_8_bit |= first.dtype.itemsize == 1
        self._spread.append(neighbours.spread(clean))
        self._tails.append(neighbours.without_tails(clean, self._step))
        return None

    def _take_in(
        self,
        first: npt.NDArray[Any],
        second: npt.NDArray[Any],
        difference: npt.NDArray[Any],
        limits: tuple[np.generic, np.generic],
    ) -> None:
        """Add two frames to the sum; where they differ by more than noise, the lower value of the two instead of both.

        It is done strip by strip: images of sums are twice as large as frames.
        """
        whole = first.dtype.kind in "iu" and second.dtype.kind in "iu"
        kind = summable(first[:0]).dtype if whole else np.dtype(np.float64)
        if self._total.size == 0:
            self._total = np.zeros(first.shape, kind)
        self._total = self._total.astype(np.result_type(self._total, kind), copy=False)  # frames may be of two types
        for start in range(0, len(first), _STRIP_ROWS):
            rows = slice(start, start + _STRIP_ROWS)
            one, two = first[rows], second[rows]
            part = one.astype(kind)
            part += two
            hit = _beyond(difference[rows], limits)
            part[hit] = 2 * np.minimum(one[hit], two[hit]).astype(kind)
            self._total[rows] += part

    def _look(
        self, first: npt.NDArray[Any], second: npt.NDArray[Any], rows: npt.NDArray[np.int_], overscan: list[float]
    ) -> bool:
        moments = _of_moving(signed_difference(first, second))[0].clipped(_BIAS_CLIP_SIGMA)
        if moments.variance > 0:
            self._looks.append(moments)
        return moments.variance > 0

    def odd_frames(self) -> dict[int, str]:
        """Return the few biases whose noise or level is not that of the others, by number, and why."""
        noise = self._by_noise()
        usual = noise.usual
        guess = {True: "pick-up, light, or another gain setting?", False: "an average of several?"}
        odd = {
            number: f"its noise is {max(value, 0.0) ** 0.5:.2f} ADU, that of the other biases {usual**0.5:.2f} ADU "
            f"({guess[value > usual]})"
            for number, value in noise.odd.items()
        }
        levels = self._by_level(_LEVEL_GAP_ADU, _LEVEL_GAP_NOISES)
        for number, value in levels.odd.items():
            off, side = abs(value - levels.usual), "above" if value > levels.usual else "below"
            odd.setdefault(number, f"its level is {off:.1f} ADU {side} that of the other biases (light?)")
        return odd

    def two_kinds(self) -> str | None:
        """Say in words which two groups the biases fall into, or which two are unequal; None where none."""
        if (by_noise := self._by_noise().groups) is not None:
            return _two_groups(by_noise, "noise", lambda value: f"{max(value, 0.0) ** 0.5:.2f} ADU")
        by_level = self._by_level(_OTHER_LEVEL_ADU, _OTHER_LEVEL_NOISES).groups
        if by_level is None:
            return self.unequal
        return _two_groups(by_level, "level", lambda value: f"{self.level + value:.0f} ADU")

    def _by_noise(self) -> Sorted:
        moments = [*self._moments, *self._looks]
        variances = np.array([of.variance for of in moments]) / 2
        errors = variances * np.sqrt(2 / np.array([of.n for of in moments]))
        pairs = [*self.used, *self.compared]
        return sort_out(
            lambda odd: frame_means(pairs, variances, errors, odd), _NOISE_GAP * float(np.median(variances))
        )

    def _by_level(self, least_adu: float, least_noises: float) -> Sorted:
        levels = frame_levels(self.used, self._steps)
        return sort_out(levels.without, max(least_adu, least_noises * self.noise.variance**0.5))

    def above_overscan(self, rows: slice | npt.NDArray[np.int_]) -> npt.NDArray[np.float32]:
        """Return some rows of the mean image, shape (rows, columns), in ADU, less the mean level of the overscan."""
        image: npt.NDArray[np.float32] = np.divide(
            self._total[rows], 2 * len(self._moments), dtype=np.float32, casting="unsafe"
        )
        image -= np.float32(self.overscan)
        if self._still is not None:
            image[self._still[rows]] = np.nan
        return image

    @property
    def level(self) -> float:
        """Mean of the mean image in ADU."""
        total = self._total if self._still is None else self._total[~self._still]
        return float(np.nanmean(total)) / (2 * len(self._moments))

    @property
    def blank(self) -> str | None:
        """Say in words that part of the image is no part of the detector, and left out; None where none is."""
        return (
            None
            if self._still is None
            else f"{self._still.mean():.1%} of the pixels left out: blocks of one number that never changes are no "
            "part of the detector (an amplifier that is not read, a margin that a program filled)"
        )

    @property
    def values(self) -> Histogram:
        """Values of the bias that lie on the widest steps, of some of its pixels."""
        return max(self._values, key=lambda values: values.step)

    @property
    def overscan(self) -> float:
        """Mean level of the overscan in ADU; 0 where there is none."""
        return float(np.mean(self._overscan))

    @property
    def level_uncertainty(self) -> float:
        """How well the level under a flat is known, in ADU: the wander of the biases, and what exposures add to it."""
        wander = float(np.std(np.cumsum([0.0, *self._steps])))
        return hypot(wander, least_level_error(self.amplifier) * max(self.step, 1.0))

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
    def doubts(self) -> tuple[str, ...]:
        """Why noise and level may be wrong, in words."""
        worst, usual = max(self._values, key=lambda values: values.cut_fraction), self.values
        said = (
            cut_off(worst.cut_fraction, worst.values[0]),
            missing_number(usual.values, usual.counts, usual.step, max(self.noise.variance, 0.0) ** 0.5),
            neighbours.resampled(float(np.median(self._spread))),
            self._tails[0] if all(self._tails) else None,
            _BENT if self._is_8_bit else None,
            self._only_two_that_differ(),
        )
        return tuple(filter(None, said))

    def light(self, gain_e_per_adu: float | None) -> str | None:
        """Say in words that light fell on all biases; None where not. The gain, in e⁻/ADU, is that of flats."""
        return lit_biases.light_on(self._blocks, gain_e_per_adu)

    def uneven(self) -> tuple[str | None, bool]:
        """Say in words that parts of the image have other noise, and whether it is so much that it is a doubt."""
        if self.noise.variance < self.step**2:  # rounding decides what is seen of so little noise
            return None, False
        parts = unlike(self._parts, _NOTED_OF_PARTS, across_rows=False)
        if parts is None:
            return None, False
        words = (
            f"parts of the biases have other noise: their variance is {parts.words} of that of all: amplifiers that no "
            "card names (name them in the instrument's entry), or pick-up in part of each row: the read noise is that "
            "of none of them"
        )
        return words, parts.more > _LEAST_OF_PARTS

    def _only_two_that_differ(self) -> str | None:
        """Say how the only two biases contradict each other; of more the odd one is found."""
        if len(self._moments) != 1:
            return None
        off, noise = abs(self._steps[0]), max(self.noise.variance, 0.0) ** 0.5
        ways = [f"by {off:.1f} ADU in level"] if off > max(_LEVEL_GAP_ADU, _LEVEL_GAP_NOISES * noise) else []
        if self._smooth[0] > _SMOOTH_SHARE:
            ways.append(f"by a smooth pattern, {self._smooth[0]:.0%} of what is taken for their noise")
        return (
            f"the only two biases differ {' and '.join(ways)} (light? drift?): read noise and level may be wrong: "
            "take three or more, so that the odd one is found"
            if ways
            else None
        )

    @property
    def step(self) -> float:
        """Distance of the values that pixels can have, in ADU; 0 of continuous ones."""
        return self._step


@dataclass(frozen=True, slots=True)
class BiasNoise:
    """Variance of one bias in ADU², rounding included, its 1-σ uncertainty, and the step of the rounding in ADU."""

    variance: float
    uncertainty: float
    step: float

    @property
    def read_noise(self) -> tuple[float, float]:
        """Read noise in ADU RMS without the rounding, and its uncertainty."""
        unit = self.step**2
        noise = max(self.variance - unit * QUANTISATION_VARIANCE, 0.0)
        # The variance of rounding is not quite 1/12 step²: the first term of its Fourier series, of whatever phase.
        in_steps = noise / unit if unit else 0.0
        rounding = unit * exp(-2 * pi**2 * in_steps) * (4 * in_steps + pi**-2) / sqrt(2)
        uncertainty = hypot(self.uncertainty, rounding, noise - unit * _least_noise(in_steps))
        # Where rounding hides the noise the uncertainty of the variance bounds it.
        return sqrt(noise), uncertainty / (2 * max(sqrt(noise), sqrt(uncertainty)))


def _least_noise(seen: float) -> float:
    """Return the least variance, in squares of a step, that can look like ``seen``: noise halfway between two values.

    Without any, half of all values are rounded up, the others down: a variance of 1/4, 1/6 more than that of rounding.
    """
    possible = np.linspace(0, seen, 100)
    least = possible + np.exp(-2 * pi**2 * possible) * (4 * possible + 1 / 6)
    return float(possible[np.argmax(least >= seen)])
