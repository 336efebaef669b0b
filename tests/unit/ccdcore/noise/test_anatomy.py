"""The parts of the noise: simulated truth goes in, each comes out within its own uncertainty."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.statistics import frame_statistics
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.noise.anatomy import Estimate, NoiseAnatomy, measure_noise, overscan_read_noise

SHAPE = (128, 256)
WHITE_ADU = 4.0

Image = npt.NDArray[Any]


def series(
    seed: int,
    n: int = 6,
    *,
    row: float = 0.0,
    column: float = 0.0,
    pattern: tuple[float, float, float] = (0.0, 0.0, 0.0),
    line: tuple[float, float] = (0.0, 0.1371),
    row_line: tuple[float, float] = (0.0, 0.07),
    white: float = WHITE_ADU,
) -> tuple[list[Image], Image]:
    """Biases and their fixed pattern (RMS of rows, columns, pixels); lines as amplitude and frequency."""
    rng = np.random.default_rng([seed, 0xB1A5])
    (rows, columns), (of_rows, of_columns, of_pixels) = SHAPE, pattern
    fixed = of_rows * rng.normal(size=(rows, 1)) + of_columns * rng.normal(size=columns)
    fixed = fixed + of_pixels * rng.normal(size=SHAPE)
    clock = np.arange(rows)[:, None] * (columns + 37) + np.arange(columns)
    frames = []
    for _ in range(n):
        phase, other = rng.uniform(0, 2 * np.pi, 2)
        image = 300 + fixed + white * rng.normal(size=SHAPE)
        image += row * rng.normal(size=(rows, 1)) + column * rng.normal(size=columns)
        image += line[0] * np.cos(2 * np.pi * line[1] * clock + phase)
        image += row_line[0] * np.cos(2 * np.pi * row_line[1] * np.arange(rows) + other)[:, None]
        frames.append(np.rint(image).astype(np.uint16))
    return frames, fixed


def taken_apart(frames: list[Image]) -> NoiseAnatomy:
    (anatomy,) = measure_noise(frames)
    return anatomy


def pull(estimate: Estimate, truth: float) -> float:
    return (estimate.value - truth) / estimate.uncertainty


@pytest.mark.parametrize("n", [2, 3, 8])
def test_each_part_is_found_within_its_uncertainty(n: int) -> None:
    pulls = []
    for seed in range(40):
        frames, fixed = series(seed, n, row=0.5, column=0.4, pattern=(0.5, 0.7, 1.0))
        found = taken_apart(frames)
        pulls.append(
            [
                pull(found.row_noise_adu, 0.5),
                pull(found.column_noise_adu, 0.4),
                pull(found.fixed_pattern_adu, float(fixed.std())),
            ]
        )
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.6
    assert 0.7 < np.std(pulls, axis=0).min() < np.std(pulls, axis=0).max() < 1.4


def test_the_pattern_is_told_by_rows_columns_and_pixels() -> None:
    found = taken_apart(series(1, 8, row=0.3, pattern=(0.5, 0.7, 1.0))[0])
    assert found.pattern_parts_adu == pytest.approx({"rows": 0.5, "columns": 0.7, "pixels": 1.0}, rel=0.15)


def test_white_noise_has_no_parts() -> None:
    found = [taken_apart(series(seed, 4)[0]) for seed in range(40)]
    assert np.mean([bool(one.lines) for one in found]) <= 0.05
    for name in ("row_noise_adu", "column_noise_adu", "fixed_pattern_adu"):
        values = [getattr(one, name) for one in found]
        # Of a variance 3 σ from 0 the root is 6 of its own uncertainties from 0.
        assert np.mean([each.value > 6 * each.uncertainty for each in values]) <= 0.05
        assert np.median([each.value for each in values]) < 0.15


def test_pickup_along_and_across_the_rows() -> None:
    frames, _ = series(3, 8, line=(0.6, 0.1371), row_line=(0.5, 0.07))
    found = taken_apart(frames)
    assert [line.axis for line in found.lines] in (["columns", "rows"], ["rows", "columns"])
    lines = {line.axis: line for line in found.lines}
    assert lines["columns"].frequency == pytest.approx(0.1371, abs=1 / 256)
    assert lines["rows"].frequency == pytest.approx(0.07, abs=1 / 128)
    assert found.pickup_adu.value == pytest.approx(
        np.hypot(0.6, 0.5) / np.sqrt(2), abs=4 * found.pickup_adu.uncertainty
    )
    words = [str(line) for line in found.lines]
    assert any("pixels along the rows, amplitude 0." in text and text.startswith("period 7.") for text in words)


def test_pickup_has_an_honest_uncertainty_though_phases_are_anyones_guess() -> None:
    pulls = [pull(taken_apart(series(seed, 6, line=(0.8, 0.1371))[0]).pickup_adu, 0.8 / 2**0.5) for seed in range(60)]
    assert np.mean(pulls) == pytest.approx(0, abs=0.5)
    assert 0.6 < np.std(pulls) < 1.4


def test_a_drift_of_the_level_is_no_pickup() -> None:
    drift = np.cumsum(np.random.default_rng(5).normal(0, 0.3, (6, SHAPE[0])), axis=1)
    frames = [np.rint(one + bias[:, None]) for one, bias in zip(series(5)[0], drift, strict=True)]
    assert taken_apart(frames).lines == ()


def test_the_spectrum_integrates_to_the_variance_of_a_frame() -> None:
    found = taken_apart(series(6, line=(1.0, 0.25))[0])
    assert sum(found.spectrum_adu2) * 0.5 / len(found.spectrum_adu2) == pytest.approx(WHITE_ADU**2 + 0.5, rel=0.05)


def test_tails_are_counted_against_a_gaussian() -> None:
    frames, _ = series(7)
    assert taken_apart(frames).tail_fraction.value <= 2e-5
    rng = np.random.default_rng(7)
    for one in frames:
        one[rng.random(SHAPE) < 1e-3] += 50  # flickering pixels, the others than before
    found = taken_apart(frames).tail_fraction
    assert found.value == pytest.approx(2e-3, abs=4 * found.uncertainty)


def test_cosmic_rays_and_hot_pixels_do_no_harm() -> None:
    frames, fixed = series(8, row=0.5, pattern=(0.0, 0.5, 1.0))
    rng = np.random.default_rng(8)
    hot = rng.random(SHAPE) < 1e-3
    for one in frames:
        one[hot] += 3000
        one[rng.random(SHAPE) < 1e-4] += 2000
    found = taken_apart(frames)
    assert found.row_noise_adu.value == pytest.approx(0.5, abs=4 * found.row_noise_adu.uncertainty)
    assert found.fixed_pattern_adu.value == pytest.approx(fixed.std(), rel=0.03)


def test_amplifiers_and_regions() -> None:
    frames, _ = series(9, row=1.0)
    halves = [Amplifier("L", Section(1, 128, 1, 128)), Amplifier("R", Section(129, 256, 1, 128))]
    assert [found.amplifier for found in measure_noise(frames, amplifiers=halves)] == ["L", "R"]
    (part,) = measure_noise(frames, amplifiers=halves, region="[1:64,1:128]")
    assert part.row_noise_adu.value == pytest.approx(1.0, abs=4 * part.row_noise_adu.uncertainty)


@pytest.mark.parametrize("n", [0, 1])
def test_a_difference_needs_two_biases(n: int) -> None:
    with pytest.raises(InsufficientDataError, match="noise needs two raw biases that differ: add biases"):
        measure_noise(series(1)[0][:n])
    copies = series(1)[0][:n] * 2
    if copies:
        with pytest.raises(InsufficientDataError, match="that differ"):
            measure_noise(copies)


def test_frames_that_are_not_finite_throughout() -> None:
    frames, _ = series(10, row=1.0)
    holes = [one.astype(np.float64) for one in frames]
    holes[2][5] = np.nan
    found = taken_apart(holes)
    assert found.row_noise_adu.value == pytest.approx(1.0, abs=4 * found.row_noise_adu.uncertainty)


def with_overscan(noise: float, seed: int, *, level: float = 300.0, slope: float = 0.0) -> SeriesFrame:
    """A frame of which the registration has seen pixels with an overscan of this noise."""
    rng = np.random.default_rng([seed, 0x0E5])
    amplifier = Amplifier("1", Section(1, 16, 1, 512), Section(17, 48, 1, 512))
    image = level + slope * np.arange(512)[:, None] / 512 + noise * rng.normal(size=(512, 48))
    image += rng.normal(size=48)
    statistics = frame_statistics(np.rint(image).astype(np.uint16), [amplifier])
    info = ExposureInfo(FrameType.BIAS, "test", "cam", "test", "bin1x1")
    return SeriesFrame("any", Path("any.fits"), image.shape, info, (amplifier,), statistics)


@pytest.mark.parametrize("noise", [0.6, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("level", [300.0, 300.5])
def test_the_overscan_gives_the_read_noise_too(noise: float, level: float) -> None:
    pulls, ratios = [], []
    for first in range(0, 80, 8):
        frames = [with_overscan(noise, seed, level=level, slope=20.0) for seed in range(first, first + 8)]
        found = overscan_read_noise(frames)["1"]
        pulls.append(pull(found, noise))
        ratios.append(found.value / noise)
    assert np.mean(ratios) == pytest.approx(1, abs=0.004)
    assert np.abs(pulls).max() < 4.5


def test_without_an_overscan_in_all_frames_there_is_none() -> None:
    old = with_overscan(3.0, 1)
    plain = replace(old, amplifiers=(replace(old.amplifiers[0], overscan=None),))
    assert overscan_read_noise([plain]) == overscan_read_noise([]) == {}
    unknown = replace(old, statistics=(replace(old.statistics[0], overscan_noise=None),))
    assert overscan_read_noise([old, unknown]) == {}
