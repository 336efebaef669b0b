"""Overscan: the bias level that a frame tells of itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import InsufficientDataError, SectionError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.statistics import frame_statistics, overscan_level
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.reduction.overscan import believed_overscans
from tests.support.simulate import Camera, expose

LEFT = Amplifier("A", Section(1, 100, 1, 200), Section(101, 110, 1, 200))
RIGHT = Amplifier("B", Section(121, 220, 1, 200), Section(111, 120, 1, 200))
CAMERA = Camera(
    gain_e_per_adu=(1.0, 1.6),
    read_noise_e=(4.0, 6.0),
    bias_adu=(500.3, 812.7),
    shape=(200, 220),
    amplifiers=(LEFT, RIGHT),
    pattern_adu=0.0,
)


@pytest.mark.parametrize("seed", range(5))
def test_a_drifting_bias_level_is_known_to_its_own_precision(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = expose(CAMERA, rng, bias_offset_adu=float(rng.uniform(-20, 20)))
    for amplifier, gain, noise in zip(CAMERA.amplifiers, (1.0, 1.6), (4.0, 6.0), strict=True):
        pixels = data[amplifier.data.slices]
        expected = np.hypot(noise / gain, 12**-0.5) * np.sqrt(1 / pixels.size + 1 / 2000)
        assert abs(pixels.mean(dtype=np.float64) - overscan_level(data, amplifier.overscan)) < 4.5 * expected


def test_a_few_cosmic_rays_in_the_overscan_do_not_count() -> None:
    rng = np.random.default_rng(2)
    clean = expose(CAMERA, rng)
    hit = clean.copy()
    hit[rng.integers(0, 200, 20), rng.integers(100, 110, 20)] = 60_000
    assert overscan_level(hit, LEFT.overscan) == pytest.approx(overscan_level(clean, LEFT.overscan), abs=0.25)


def test_the_level_is_finer_than_the_whole_numbers_of_the_pixels() -> None:
    data = np.zeros((200, 110), dtype=np.uint16)
    data[:, 100:] = 500 + (np.arange(2000).reshape(200, 10) % 4 == 0)
    assert overscan_level(data, LEFT.overscan) == pytest.approx(500.25, abs=0.05)


@settings(deadline=None, max_examples=30)
@given(level=st.integers(0, 60_000), noise=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_the_level_follows_the_bias_level(level: int, noise: int, seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 2 * noise + 1, (200, 110))
    shifted = overscan_level(frame + level, LEFT.overscan)
    assert shifted - level == pytest.approx(overscan_level(frame, LEFT.overscan), abs=0.02)


@pytest.mark.parametrize("section", [Section(101, 130, 1, 200), Section(1, 130, 1, 200)])
def test_a_section_outside_the_image_is_named(section: Section) -> None:
    with pytest.raises(SectionError, match=r":130,1:200\] lies outside the image of 110 columns and 200 rows"):
        overscan_level(np.zeros((200, 110), dtype=np.uint16), section)


def test_an_overscan_of_nothing_but_nan_is_an_error() -> None:
    data = np.zeros((200, 110))
    data[:, 100:] = np.nan
    with pytest.raises(InsufficientDataError, match=r"overscan section \[101:110,1:200\] has no finite pixel"):
        overscan_level(data, LEFT.overscan)


def registered(kind: FrameType, light: float = 0.0, *, seed: int = 0, spill: float = 0.0) -> SeriesFrame:
    """A frame with its statistics; ``spill`` is the fraction of the light that the overscan of amplifier A sees."""
    rng = np.random.default_rng([seed, 0x0E5C])
    data = expose(CAMERA, rng, np.full(CAMERA.shape, light), bias_offset_adu=float(rng.uniform(-2, 2)))
    if spill:
        section = LEFT.overscan.slices
        data[section] += rng.poisson(spill * light, data[section].shape).astype(np.uint16)
    info = ExposureInfo(kind, "test", "cam", "test", "bin1x1")
    amplifiers = CAMERA.amplifiers
    return SeriesFrame(f"{kind}{seed}", Path("any"), CAMERA.shape, info, amplifiers, frame_statistics(data, amplifiers))


def night(light: float = 10_000.0, *, dark: FrameType = FrameType.BIAS, spill: float = 0.0) -> list[SeriesFrame]:
    flats = [registered(FrameType.FLAT, light, seed=n, spill=spill) for n in range(3)]
    return [*(registered(dark, seed=9 + n) for n in range(3)), *flats]


@pytest.mark.parametrize("light", [100.0, 10_000.0, 60_000.0])
@pytest.mark.parametrize("spill", [0.0, 0.001])
def test_a_real_overscan_is_believed(light: float, spill: float) -> None:
    frames = night(light, spill=spill)
    assert believed_overscans(frames) == (tuple(frames), ())


@pytest.mark.parametrize("dark", [FrameType.BIAS, FrameType.DARK])
def test_a_section_that_follows_the_light_is_taken_away_and_told(dark: FrameType) -> None:
    frames, (reason,) = believed_overscans(night(dark=dark, spill=0.05))
    for frame in frames:
        assert [amplifier.overscan for amplifier in frame.amplifiers] == [None, RIGHT.overscan]
        left, right = frame.statistics
        assert left.overscan_level is left.overscan_noise is None
        assert right.overscan_level is not None
    assert reason.startswith("overscan [101:110,1:200] of amplifier A is none and was not used: under flats of ")
    assert "ADU above its level in the biases" in reason


def test_a_section_with_photon_noise_is_taken_away_though_its_level_is_low() -> None:
    frames = night(4_000.0, spill=0.5)
    kept = [replace(one, statistics=tuple(replace(s, overscan_level=500.0) for s in one.statistics)) for one in frames]
    _, (reason,) = believed_overscans(kept)
    assert "it has a noise of 4" in reason


def test_biases_or_flats_alone_contradict_nothing() -> None:
    frames = night(spill=0.5)
    for some in (frames[:3], frames[3:], []):
        assert believed_overscans(some) == (tuple(some), ())
