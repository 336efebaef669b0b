"""The structure function of simulated masters, whose wander is known."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.association.sample import Sample, read_sample, shift_between
from ccdcore.association.wander import Pair, Wander, fit_wander
from ccdcore.masters.file import master_hdulist
from ccdcore.reduction.master import Master, MasterInput

SHAPE = (32, 64)


def sample(value: np.ndarray, noise: float, kind: str = "bias") -> Sample:
    return Sample(kind, value, np.full(value.shape, noise))


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_a_shift_is_told_from_the_noise(shift: float) -> None:
    rng = np.random.default_rng(1)
    pattern = rng.normal(0, 5, SHAPE)
    one = sample(pattern + rng.normal(0, 0.5, SHAPE), 0.5)
    other = sample(pattern + shift * rng.normal(0, 1, SHAPE) + rng.normal(0, 0.5, SHAPE), 0.5)
    found = shift_between(one, other)
    assert found is not None
    assert abs(found.half_square - shift**2 / 2) < 3 * found.error + 0.05 * shift**2


def test_a_new_hot_pixel_is_no_shift_of_most_and_bad_pixels_tell_nothing() -> None:
    rng = np.random.default_rng(2)
    one, other = (sample(rng.normal(0, 0.5, SHAPE), 0.5) for _ in range(2))
    one.value[3, 3], other.value[5] = 1e4, np.nan
    found = shift_between(one, other)
    assert found is not None
    assert abs(found.half_square) < 3 * found.error


def test_the_level_of_a_flat_is_no_shift_and_that_of_a_bias_is() -> None:
    value = 1 + np.random.default_rng(3).normal(0, 0.01, SHAPE)
    flats = [sample(level * value, level * 1e-4, "flat") for level in (1.0, 1.1)]
    of_flats = shift_between(*flats)
    assert of_flats is not None
    assert of_flats.half_square < 1e-8
    of_biases = shift_between(sample(value, 1e-3), sample(value + 2, 1e-3))
    assert of_biases is not None
    assert of_biases.half_square == pytest.approx(2.0, rel=1e-3)


def test_a_sample_is_of_the_rows_of_the_file_without_its_bad_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    mask = np.zeros((300, 40), np.uint8)
    mask[:, 7] = 16
    value = (100 + rng.normal(0, 2, mask.shape)).astype(np.float32)
    value[:, 7] = 1e6
    uncertainty = np.full(mask.shape, 0.7, np.float32)
    found = sample_of_file(tmp_path / "master.fits", value, uncertainty, mask)
    assert found.noise == pytest.approx(0.7)
    assert found.level == pytest.approx(100, abs=0.1)
    assert np.isnan(found.value[:, 7]).all()
    assert 32 <= len(found.value) <= 64


def test_a_sample_of_a_mosaic_is_of_all_amplifiers_and_no_larger_than_of_a_camera(tmp_path: Path) -> None:
    value = np.tile(np.array([100, 300], np.float32), (64, 60_000))  # two amplifiers that take turns
    found = sample_of_file(tmp_path / "master.fits", value, np.ones_like(value), np.zeros(value.shape, np.uint8))
    assert found.value.size <= 64 * 16_384
    assert found.value.mean() == pytest.approx(200, rel=1e-3)


def sample_of_file(path: Path, value: np.ndarray, uncertainty: np.ndarray, mask: np.ndarray) -> Sample:
    """Return the sample of a master bias that is written to a file."""
    inputs = (MasterInput(Path("a.fits"), "0" * 64, datetime(2022, 9, 19, tzinfo=UTC), 1.0, 100.0, 0.0, 0.0),)
    n_used = np.full(mask.shape, 9, np.uint16)
    master_hdulist(Master("bias", value, uncertainty, mask, n_used, "adu", (7.0, 7.0), inputs, (0.0, 0.0))).writeto(
        path
    )
    return read_sample(path)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_power_and_size_of_a_wander_are_found(power: float) -> None:
    """Of pairs that scatter about their mean as those of one realisation do."""
    rng = np.random.default_rng(5)
    days = rng.uniform(0.5, 200, 3000)
    truth = Wander(0.02, power, 0.5)
    kelvin = rng.normal(0, 0.3, days.size)
    pairs = [
        Pair(d, k, truth.half_square(d, k) * rng.chisquare(3) / 3 + rng.normal(0, 0.005), 0.005)
        for d, k in zip(days, kelvin, strict=True)
    ]
    found = fit_wander(pairs, n_masters=100)
    assert abs(found.power - power) <= 0.25
    for day in (1.0, 30.0, 150.0):
        assert found.shift(day) == pytest.approx(truth.shift(day), rel=0.1)


def test_masters_that_do_not_wander_are_good_for_ever() -> None:
    rng = np.random.default_rng(6)
    pairs = [Pair(day, 0.0, rng.normal(0, 0.01) - 0.02, 0.01) for day in range(1, 50)]
    assert fit_wander(pairs, n_masters=50).days_until(0.1) == float("inf")


@given(
    st.lists(
        st.tuples(st.floats(0, 5000), st.floats(-5, 5), st.floats(-10, 1000, allow_nan=False), st.floats(1e-6, 100)),
        min_size=1,
        max_size=30,
    )
)
def test_a_fit_is_finite_and_grows_with_the_time_whatever_the_pairs(
    values: list[tuple[float, float, float, float]],
) -> None:
    found = fit_wander([Pair(*one) for one in values], n_masters=2)
    shifts = [found.shift(day) for day in (0.0, 1.0, 10.0, 1000.0)]
    assert np.isfinite(shifts).all()
    assert min(shifts) >= 0
    assert shifts == sorted(shifts)


@given(st.floats(1e-8, 100), st.sampled_from([0.25, 1.0, 1.75]), st.floats(1e-3, 100))
def test_a_wander_has_come_as_far_as_it_says_when_it_says(per_day: float, power: float, shift: float) -> None:
    wander = Wander(per_day, power)
    days = wander.days_until(shift)
    if days < 1e9:
        assert wander.shift(days) == pytest.approx(shift)
