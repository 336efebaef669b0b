"""The dark signal per second, and what is measured of it, against the truth of simulated darks."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.darks.dark_current import measure_dark_current
from ccdcore.darks.doubling import doubling_temperature
from ccdcore.darks.rate import dark_rate
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import Master, master_bias, master_dark

SHAPE = (256, 256)
GAIN, READ_NOISE_E = 1.5, 5.0
NOISE_ADU = READ_NOISE_E / GAIN
WHOLE = Amplifier("1", Section.whole(SHAPE))


def taken(rng: np.random.Generator, kind: FrameType, electrons: Any, seconds: float, n: int) -> list[Frame]:
    """Frames of expected electrons of each pixel, at a bias of 1000 ADU with a pattern."""
    pattern = 1000 + np.random.default_rng(1).normal(0, 0.3, SHAPE)
    found = []
    for number in range(n):
        light = rng.poisson(np.broadcast_to(electrons, SHAPE)) + rng.normal(0, READ_NOISE_E, SHAPE)
        pixels = np.rint(pattern + light / GAIN).astype(np.uint16)
        name = f"{kind}{seconds:g}_{number}"
        info = ExposureInfo(kind, "test", "cam", "test", "bin1x1", datetime(2022, 9, 19, tzinfo=UTC), seconds)
        found.append(Frame(Path(f"{name}.fits"), pixels, info, (WHOLE,), name))
    return found


def masters(
    current: npt.NDArray[Any] | float, exposures: tuple[float, ...], *, seed: int = 0, glow: Any = 0.0, n: int = 5
) -> tuple[list[Master], Master]:
    """Master darks of a dark current in e⁻/s, and of electrons that each exposure has whatever its length; the bias."""
    rng = np.random.default_rng([seed, 99])
    bias = master_bias(taken(rng, FrameType.BIAS, 0.0, 0.0, n), noise_adu=NOISE_ADU)
    darks = [taken(rng, FrameType.DARK, current * t + glow, t, n) for t in exposures]
    return [master_dark(some, bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN) for some in darks], bias


def rate_of(darks: list[Master], bias: Master) -> Any:
    return dark_rate(darks, bias, read_noise_adu=NOISE_ADU, gain_e_per_adu=GAIN)


def current_map(mean: float, dsnu: float, hot: float = 0.0) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(7)
    normal = np.maximum(rng.normal(mean, dsnu, SHAPE), 0.0)
    return np.where(rng.random(SHAPE) < hot, 100 * mean, normal)


def test_short_darks_do_not_spoil_the_rate_of_long_ones() -> None:
    truth = 0.1
    darks, bias = masters(truth, (1.0, 600.0))
    found = rate_of(darks, bias)
    off = found.master.value - truth / GAIN
    long_alone = np.std(darks[1].value / 600 - truth / GAIN)
    assert found.not_scaling is None
    assert (found.master.unit, found.master.kind, found.master.exposure_range_s) == ("adu/s", "darkrate", (1.0, 600.0))
    assert np.std(off) <= 1.1 * long_alone
    ideal = np.sqrt(((READ_NOISE_E**2 + GAIN**2 / 12) * 2 + truth * 600) / 5) / GAIN / 600
    assert np.std(off) <= 1.1 * ideal
    assert np.sqrt(np.mean(found.master.uncertainty**2)) / np.std(off) == pytest.approx(1, abs=0.02)


def test_what_darks_that_stand_in_for_biases_hold_is_no_part_of_the_time() -> None:
    rng, truth, held = np.random.default_rng([3, 99]), 0.8, 30.0
    short = [
        replace(one, info=replace(one.info, frame_type=FrameType.BIAS))
        for one in taken(rng, FrameType.DARK, truth * held, held, 8)
    ]
    bias = master_bias(short, noise_adu=(NOISE_ADU**2 + truth * held / GAIN**2) ** 0.5)
    darks = [
        master_dark(taken(rng, FrameType.DARK, truth * t, t, 8), bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN)
        for t in (60.0, 240.0)
    ]
    found = dark_rate(darks, bias, read_noise_adu=NOISE_ADU, gain_e_per_adu=GAIN, bias_exposure_s=held)
    off = found.master.value - truth / GAIN
    assert found.not_scaling is None
    assert abs(np.mean(off)) < 4 * np.std(off) / off.size**0.5
    assert np.sqrt(np.mean(found.master.uncertainty**2)) / np.std(off) == pytest.approx(1, abs=0.03)
    with pytest.raises(InsufficientDataError, match="longer than of the biases"):
        dark_rate(darks, bias, read_noise_adu=NOISE_ADU, bias_exposure_s=60.0)


def test_the_rate_does_not_depend_on_the_order_of_the_darks() -> None:
    darks, bias = masters(0.2, (30.0, 100.0, 300.0))
    one, two = (rate_of(some, bias) for some in (darks, darks[::-1]))
    np.testing.assert_allclose(one.master.value, two.master.value, rtol=1e-5, atol=1e-7)
    assert one.not_scaling is two.not_scaling is None


def test_two_equal_exposures_count_as_all_their_frames() -> None:
    truth = 0.5
    darks, bias = masters(truth, (300.0, 310.0))
    found = rate_of(darks, bias).master
    off = found.value - truth / GAIN
    assert np.std(off) < 0.95 * np.std(darks[0].value / 300 - truth / GAIN)
    assert np.sqrt(np.mean(found.uncertainty**2)) / np.std(off) == pytest.approx(1, abs=0.02)
    assert (found.n_used == 10).mean() > 0.99


def test_what_is_missing_in_one_dark_is_taken_from_the_others() -> None:
    darks, bias = masters(0.2, (30.0, 300.0))
    value, n_used = darks[1].value.copy(), darks[1].n_used.copy()
    value[0, 0], n_used[0, 0] = np.nan, 0
    found = rate_of([darks[0], replace(darks[1], value=value, n_used=n_used)], bias).master
    assert found.value[0, 0] == pytest.approx(darks[0].value[0, 0] / 30, rel=1e-5)
    n_used[:] = 0
    none = [replace(one, n_used=n_used) for one in darks]
    assert rate_of(none, bias).master.mask.all()


def test_amp_glow_does_not_scale_and_is_told() -> None:
    glow = np.zeros(SHAPE)
    glow[:64, :64] = 100.0
    darks, bias = masters(0.2, (60.0, 300.0), glow=glow)
    said = rate_of(darks, bias).not_scaling
    assert said is not None
    assert said.startswith("the dark signal of 60, 300 s does not scale with the exposure: of the dark of 60 s 6.2% of")


def test_hot_pixels_that_do_not_scale_are_told() -> None:
    current = current_map(0.1, 0.0, 0.01)
    darks, bias = masters(current, (60.0, 300.0), glow=np.where(current > 1, 500.0, 0.0))
    assert "% of the hot pixels are off" in str(rate_of(darks, bias).not_scaling)


@pytest.mark.parametrize("exposures", [(1.0, 600.0), (60.0, 120.0, 300.0), (290.0, 310.0)])
def test_an_ordinary_camera_scales(exposures: tuple[float, ...]) -> None:
    darks, bias = masters(current_map(0.1, 0.02, 0.01), exposures, seed=3)
    assert rate_of(darks, bias).not_scaling is None


def test_exposures_must_be_known() -> None:
    darks, bias = masters(0.1, (60.0,))
    unknown = tuple(replace(one, exposure_time_s=None) for one in darks[0].inputs)
    with pytest.raises(InsufficientDataError, match="known exposures"):
        rate_of([replace(darks[0], inputs=unknown)], bias)


def test_dark_current_and_its_scatter_are_within_their_uncertainties() -> None:
    truth, dsnu, hot = 0.1, 0.02, 0.01
    current = current_map(truth, dsnu, hot)
    normal = current[current < 1]
    pulls = []
    for seed in range(8):
        found = measure_dark_current(
            rate_of(*masters(current, (60.0, 600.0), seed=seed)).master, WHOLE, gain_e_per_adu=GAIN
        )
        assert found.median == pytest.approx(np.median(current), rel=0.01)
        assert found.mode == pytest.approx(truth, rel=0.02)
        assert found.dsnu == pytest.approx(normal.std(), rel=0.02)
        assert found.hot_fraction == pytest.approx(hot, rel=0.05)
        pulls.append((found.median - np.median(current)) / found.median_uncertainty)
        pulls.append((found.dsnu - normal.std()) / found.dsnu_uncertainty)
    assert np.abs(np.mean(pulls)) < 1
    assert 0.5 < np.std(pulls) < 1.6


def test_the_gain_adds_to_the_uncertainty() -> None:
    rate = rate_of(*masters(0.1, (600.0,))).master
    found = measure_dark_current(rate, WHOLE, gain_e_per_adu=GAIN, gain_uncertainty=0.15)
    assert found.median_uncertainty == pytest.approx(0.1 * found.median, rel=0.01)


def test_an_amplifier_without_a_value_has_none() -> None:
    rate = rate_of(*masters(0.1, (600.0,))).master
    with pytest.raises(InsufficientDataError, match="no dark current of amplifier 1"):
        measure_dark_current(replace(rate, mask=np.ones_like(rate.mask)), WHOLE, gain_e_per_adu=GAIN)


def test_the_doubling_temperature_is_found() -> None:
    rng = np.random.default_rng(5)
    pulls = []
    for _ in range(300):
        at = np.array([-20.0, -16.0, -10.0])
        current = 0.1 * 2 ** ((at + 20) / 6.3)
        seen = current * (1 + rng.normal(0, 0.01, 3))
        found = doubling_temperature(list(zip(at, seen, 0.01 * current, strict=True)))
        assert found is not None
        pulls.append((found.kelvin - 6.3) / found.uncertainty)
    assert abs(np.mean(pulls)) < 0.2
    assert np.std(pulls) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    "currents",
    [
        [(-20.0, 0.1, 0.001)],
        [(-20.0, 0.1, 0.001), (-19.7, 0.103, 0.001)],
        [(-20.0, 0.1, 0.1), (-10.0, 0.3, 0.1)],
        [(-20.0, 0.1, 0.001), (-10.0, 0.05, 0.001)],
    ],
)
def test_no_doubling_temperature_is_made_up(currents: list[tuple[float, float, float]]) -> None:
    assert doubling_temperature(currents) is None
