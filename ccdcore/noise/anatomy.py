"""What the noise of a camera is made of: fixed pattern, row and column noise, pick-up, tails.

Everything but the fixed pattern is measured on differences of consecutive biases, in which the pattern
cancels, and given for one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Amplifier, Section, cut
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.noise.exposures import Exposures, Image, channels
from ccdcore.noise.pair_series import overlap_inflation
from ccdcore.noise.spectral_lines import PowerSpectrum, SpectralLine
from ccdcore.numerics.histogram import ClippedMoments, Histogram
from ccdcore.numerics.robust import QUANTISATION_VARIANCE, signed_difference, sum_of_squares, summable

CLIP_SIGMA = 6.0
"""Cosmic rays and hot pixels are left out beyond this many σ."""

TAIL_SIGMA = 5.0
"""The tails of the noise begin here; 5.7e-7 of a normal distribution lie beyond."""

_SPECTRUM_POINTS = 256
_STRIP_ROWS = 64

Array = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A value and its 1-σ uncertainty."""

    value: float
    uncertainty: float

    @classmethod
    def of_variance(cls, variance: float, uncertainty: float) -> Estimate:
        """Return the square root, in ADU, of a variance in ADU² with its 1-σ uncertainty.

        Where noise hides the variance, its uncertainty bounds the value.
        """
        value = sqrt(max(variance, 0.0))
        return cls(value, uncertainty / (2 * max(value, sqrt(uncertainty))) if uncertainty > 0 else 0.0)


@dataclass(frozen=True, slots=True)
class NoiseAnatomy:
    """The parts of one amplifier's noise, in ADU RMS.

    Parameters
    ----------
    amplifier : str
        Name of the amplifier.
    n_bias : int
        Frames used.
    fixed_pattern_adu : Estimate
        Spatial scatter of the bias that is the same in every frame, its slopes included, hot pixels left out.
    pattern_parts_adu : mapping of str to float
        What of it is common to whole ``rows`` and ``columns``, and what belongs to single ``pixels``.
    row_noise_adu, column_noise_adu : Estimate
        Scatter, from frame to frame, that all pixels of a row or a column have in common (banding).
    pickup_adu : Estimate
        RMS of all `lines` together; 0 ± that of the faintest one that would have been found, where there are none.
    tail_fraction : Estimate
        Fraction of pixels that differ by more than 5 σ between two frames, with σ from the central
        68 %: 5.7e-7 for normal noise.
    lines : tuple of SpectralLine
        Pick-up: sharp lines of the power spectrum, the strongest first.
    spectrum_adu2 : tuple of float
        Power spectral density along the rows, in ADU² per unit of frequency (cycles per pixel), from
        0 to 0.5 in equal steps. Its integral is the variance of one frame.
    notes : tuple of str
        Frames left out, and remarks, in words.
    """

    amplifier: str
    n_bias: int
    fixed_pattern_adu: Estimate
    pattern_parts_adu: dict[str, float]
    row_noise_adu: Estimate
    column_noise_adu: Estimate
    pickup_adu: Estimate
    tail_fraction: Estimate
    lines: tuple[SpectralLine, ...] = ()
    spectrum_adu2: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def overscan_read_noise(frames: Sequence[SeriesFrame]) -> dict[str, Estimate]:
    """Return the read noise in ADU RMS that the overscan of a series shows, by amplifier.

    Parameters
    ----------
    frames : sequence of SeriesFrame
        Frames of any kind and of one size: an overscan sees no light.

    Returns
    -------
    dict of str to Estimate
        Of the amplifiers that have an overscan in all frames. The variance is the mean of those of the frames;
        where they scatter more than their number of pixels explains, the uncertainty is wider.
    """
    found = {}
    for number, amplifier in enumerate(frames[0].amplifiers if frames else ()):
        noises = [frame.statistics[number].overscan_noise for frame in frames]
        known = np.array([noise for noise in noises if noise is not None])
        if amplifier.overscan is not None and known.size == len(frames):
            rows, columns = amplifier.overscan.shape
            step = max(frame.statistics[number].step for frame in frames)
            found[amplifier.name] = _mean_overscan_noise(known, (rows - 1) * columns, step)
    return found


def _mean_overscan_noise(noises: Array, n_differences: int, step: float) -> Estimate:
    variance = float(np.mean(noises**2))
    # Differences of rows that share one correlate with −1/2, their squares with 1/4: 2 (1 + 2/4) = 3.
    expected = (variance + QUANTISATION_VARIANCE * step**2) * sqrt(3 / n_differences)
    chi2 = float(np.sum(((noises**2 - variance) / expected) ** 2)) / max(noises.size - 1, 1)
    return Estimate.of_variance(variance, expected * sqrt(max(1.0, chi2) / noises.size))


def measure_noise(
    bias: Sequence[Image], *, region: str | Section | None = None, amplifiers: Sequence[Amplifier] | None = None
) -> tuple[NoiseAnatomy, ...]:
    """Take the noise of a series of biases apart, for each amplifier.

    Parameters
    ----------
    bias : sequence of Frame, SeriesFrame, path or ndarray
        Raw biases in ADU, in the order they were taken.
    region : str or Section, optional
        Only these pixels, ``"[x1:x2,y1:y2]"``.
    amplifiers : sequence of Amplifier, optional
        Wins over the amplifiers of the frames; without either the whole image is one.

    Returns
    -------
    tuple of NoiseAnatomy
        One for each amplifier in which two biases differ.

    Raises
    ------
    InsufficientDataError
        If there are fewer than two usable biases, or frames differ in shape.
    FrameReadError
        If a file cannot be read.

    Notes
    -----
    Row and column noise are the variance components of the two-way analysis of variance of each
    difference: σ_row² = (MS_row − MS_residual)/(2 columns), and so for the columns. The fixed pattern
    is the spatial variance of the mean bias less what the noise leaves in it, Var(mean) − σ²/n.
    Pick-up is what stands above the continuum of the power spectrum: of the rows (periods of a few
    pixels) and of the row means (periods of a few rows); both are of the read-out's own clock, so that
    a period in pixels is a time.
    """
    exposures = Exposures()
    parts: list[_BiasNoise] = []
    for one, two in pairwise(exposures.raw(bias, "bias")):
        if not parts:
            parts = [_BiasNoise(amplifier, one.data) for amplifier in channels(one, amplifiers, region)]
        for part in parts:
            part.add(one.data, two.data)
    alive = [part for part in parts if part.moments]
    if not alive:
        raise InsufficientDataError(" ".join(["noise needs two raw biases that differ: add biases.", *exposures.notes]))
    return tuple(part.result(tuple(exposures.notes)) for part in alive)


class _MeanSquares(NamedTuple):
    """Mean squares of rows, columns and residual of an image of mean zero."""

    rows: float
    columns: float
    residual: float

    @classmethod
    def of(cls, image: npt.NDArray[np.float32]) -> _MeanSquares:
        n_rows, n_columns = image.shape
        of_rows, of_columns = image.mean(axis=1, dtype=np.float64), image.mean(axis=0, dtype=np.float64)
        rows, columns = n_columns * sum_of_squares(of_rows), n_rows * sum_of_squares(of_columns)
        rest = sum_of_squares(image) - rows - columns
        row_freedom, column_freedom = max(n_rows - 1, 1), max(n_columns - 1, 1)
        return cls(rows / row_freedom, columns / column_freedom, rest / (row_freedom * column_freedom))


@dataclass(slots=True)
class _BiasNoise:
    """The noise of one amplifier, taken in pair by pair."""

    amplifier: Amplifier
    first: Any
    total: Any = 0
    n_frames: int = 1
    moments: list[ClippedMoments] = field(default_factory=list)
    squares: list[_MeanSquares] = field(default_factory=list)
    n_tail: int = 0
    along_rows: PowerSpectrum = field(default_factory=lambda: PowerSpectrum("columns"))
    across_rows: PowerSpectrum = field(default_factory=lambda: PowerSpectrum("rows"))

    def __post_init__(self) -> None:
        self.total = summable(cut(self.first, self.amplifier.data))
        self.first = None

    def add(self, one: npt.NDArray[Any], two: npt.NDArray[Any]) -> None:
        """Take in a pair of consecutive frames; a copy of the frame before teaches nothing."""
        first, second = cut(one, self.amplifier.data), cut(two, self.amplifier.data)
        difference = signed_difference(first, second)
        if not np.isfinite(difference).any():
            return
        histogram = Histogram.of(difference)
        moments = histogram.clipped(CLIP_SIGMA)
        if moments.variance == 0:
            return
        image = _without_outliers(difference, moments)
        del difference  # before there are others of its size
        self.moments.append(moments)
        self.squares.append(_MeanSquares.of(image))
        self.n_tail += _beyond(histogram, TAIL_SIGMA)
        self.along_rows.add(image)
        self.across_rows.add(image.mean(axis=1)[np.newaxis])
        self.total = self.total.astype(np.result_type(self.total, summable(second[:0])), copy=False)  # of two types
        self.total += second
        self.n_frames += 1

    def result(self, notes: tuple[str, ...]) -> NoiseAnatomy:
        """Return the parts of the noise."""
        n_rows, n_columns = self.amplifier.data.shape
        squares, residual = np.array(self.squares), np.array([s.residual for s in self.squares])
        row_variance = self._component(squares[:, 0], residual, n_columns, n_rows - 1)
        column_variance = self._component(squares[:, 1], residual, n_rows, n_columns - 1)
        lines, pickup = self._pickup()
        fixed, parts = self._fixed_pattern(row_variance[0], column_variance[0], lines)
        n = sum(m.n for m in self.moments)
        return NoiseAnatomy(
            amplifier=self.amplifier.name,
            n_bias=self.n_frames,
            fixed_pattern_adu=fixed,
            pattern_parts_adu=parts,
            row_noise_adu=Estimate.of_variance(*row_variance),
            column_noise_adu=Estimate.of_variance(*column_variance),
            pickup_adu=pickup,
            tail_fraction=Estimate(self.n_tail / n, sqrt(max(self.n_tail, 1)) / n),
            lines=lines,
            spectrum_adu2=self.along_rows.density(_SPECTRUM_POINTS),
            notes=notes,
        )

    @property
    def _overlap(self) -> float:
        return overlap_inflation(len(self.moments), len(self.moments) - 1)

    def _component(self, squares: Array, residual: Array, length: int, freedom: int) -> tuple[float, float]:
        """Return the variance of rows or columns in one frame, and its uncertainty.

        The mean squares of the differences have ``freedom`` degrees of freedom; where they scatter from pair to pair
        by more than that, the uncertainty is wider.
        """
        values = (squares - residual) / (2 * length)
        sigmas = squares * sqrt(2 / max(freedom, 1)) / (2 * length)
        chi2 = float(np.sum(((values - values.mean()) / sigmas) ** 2)) / max(values.size - 1, 1)
        return float(values.mean()), sqrt(float(np.sum(sigmas**2)) * self._overlap * max(1.0, chi2)) / values.size

    def _fixed_pattern(
        self, row: float, column: float, lines: Sequence[SpectralLine]
    ) -> tuple[Estimate, dict[str, float]]:
        """Return the scatter of the mean bias without the noise left in it, and its parts."""
        n, (n_rows, n_columns) = self.n_frames, self.amplifier.data.shape
        variance = float(np.mean([m.variance for m in self.moments])) / 2
        moments = Histogram.of(self.total).clipped(CLIP_SIGMA)
        mean_image = _without_outliers(self.total, moments)
        mean_image /= np.float32(n)
        squares = _MeanSquares.of(mean_image)
        fixed = moments.variance / n**2 - variance / n
        of_noise = sqrt(sum(m.variance**2 / (2 * m.n) for m in self.moments) * self._overlap) / len(self.moments)
        parts = {
            "rows": (squares.rows - squares.residual) / n_columns - row / n,
            "columns": (squares.columns - squares.residual) / n_rows - column / n,
            "pixels": squares.residual - float(np.mean([s.residual for s in self.squares])) / 2 / n,
        }
        # Noise v on a pattern f scatters ⟨(f + v)²⟩ by 4f²v² + 2v⁴, over as many values as are independent.
        # A line of the same phase in two frames looks like a pattern; phases are anyone's guess.
        scatter = (of_noise / n) ** 2 + sum(line.rms_adu**4 for line in lines) / (n * (n - 1))
        for pattern, noise, count in (
            (parts["pixels"], variance / n, moments.n),
            (parts["rows"], max(row, 0) / n, n_rows),
            (parts["columns"], max(column, 0) / n, n_columns),
        ):
            scatter += (4 * max(pattern, 0) * noise + 2 * noise**2) / count
        return Estimate.of_variance(fixed, sqrt(scatter)), {name: sqrt(max(x, 0)) for name, x in parts.items()}

    def _pickup(self) -> tuple[tuple[SpectralLine, ...], Estimate]:
        spectra = self.along_rows, self.across_rows
        found = (line for spectrum in spectra for line in spectrum.lines(self._overlap))
        lines = tuple(sorted(found, key=lambda line: -line.rms_adu))
        if not lines:
            return (), Estimate(0.0, max(spectrum.faintest(self._overlap) for spectrum in spectra))
        power = sum(line.rms_adu**2 for line in lines)
        scatter = sum((2 * line.rms_adu * line.uncertainty_adu) ** 2 for line in lines)
        return lines, Estimate.of_variance(power, sqrt(scatter))


def _without_outliers(image: npt.NDArray[Any], moments: ClippedMoments) -> npt.NDArray[np.float32]:
    """Return an image less its mean, with 0 in place of outliers and of what is not finite."""
    deviation = image.astype(np.float32)
    deviation -= np.float32(moments.mean)
    for start in range(0, deviation.shape[0], _STRIP_ROWS):
        strip = deviation[start : start + _STRIP_ROWS]
        strip[~(np.abs(strip) <= moments.limit)] = 0
    return deviation


def _beyond(histogram: Histogram, sigma: float) -> int:
    """Count the values more than this many robust σ from the median."""
    limit = sigma * max(histogram.sigma, 0.5 * histogram.step)
    return int(histogram.counts[np.abs(histogram.values - histogram.median) > limit].sum())
