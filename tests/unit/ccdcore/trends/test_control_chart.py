"""Steps and drifts: found where they are, and only there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.changes import CASES, false_alarms, nights_to_find
from ccdcore.trends.control_chart import LEARNING, ControlChart, follow

SCATTER = 0.005


def series(rng: np.random.Generator, n: int = 200, *, step: float = 0.0, at: int = 200) -> np.ndarray:
    return 1 + step * (np.arange(n) >= at) + rng.normal(0, SCATTER, n)


def followed(values: np.ndarray, claimed: float = SCATTER, **others: np.ndarray) -> ControlChart:
    return follow(values, np.full(values.size, claimed), **others)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_healthy_camera_is_left_in_peace(case: object) -> None:
    """The figures that users are promised; `python -m benchmarks.changes` prints them of many more series."""
    assert false_alarms(case, 40) <= 1  # type: ignore[arg-type]


def test_a_step_of_two_per_cent_is_found_within_three_nights() -> None:
    nights = nights_to_find(CASES[0], 100, step=0.02)
    assert np.mean(nights <= 3) > 0.93
    assert nights.max() <= 6


@given(seed=st.integers(0, 2**32 - 1), sign=st.sampled_from([-1, 1]), at=st.integers(30, 150))
def test_a_large_step_is_measured_where_it_is(seed: int, sign: int, at: int) -> None:
    chart = followed(series(np.random.default_rng(seed), step=0.05 * sign, at=at))
    change = next(one for one in chart.changes if one.found >= at)
    assert change.kind == "step"
    assert (change.first, change.found) == (at, at + 2)
    assert change.size == pytest.approx(0.05 * sign, abs=6 * change.uncertainty)
    assert change.before == pytest.approx(1, abs=0.01)
    assert change.uncertainty < SCATTER


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 200))
def test_later_values_change_nothing_that_was_found(seed: int, n: int) -> None:
    values = series(np.random.default_rng(seed), step=0.03, at=100)
    whole, part = followed(values), followed(values[:n])
    assert np.array_equal(whole.expected[LEARNING:n], part.expected[LEARNING:])
    found = [(one.kind, one.first, one.found, one.before) for one in whole.changes if one.found < n]
    assert found == [(one.kind, one.first, one.found, one.before) for one in part.changes]


@given(factor=st.floats(1e-6, 1e6), offset=st.floats(-10, 10))
def test_the_unit_does_not_matter(factor: float, offset: float) -> None:
    values = series(np.random.default_rng(3), step=-0.03, at=120)
    chart, scaled = followed(values), followed(values * factor, SCATTER * factor)
    assert [one.first for one in scaled.changes] == [one.first for one in chart.changes] == [120]
    assert scaled.changes[0].size == pytest.approx(chart.changes[0].size * factor, rel=1e-6)
    warm = followed(values, temperatures=np.full(values.size, offset))
    assert [one.first for one in warm.changes] == [120]


def test_bad_nights_are_marked_and_are_no_step() -> None:
    values = series(np.random.default_rng(5))
    values[[60, 61, 150]] += 0.1
    chart = followed(values)
    assert (chart.changes, chart.outliers) == ((), (60, 61, 150))
    assert chart.pulls[60] > 15


def test_a_level_that_follows_the_temperature_has_not_changed() -> None:
    rng = np.random.default_rng(6)
    warmth = 5 * np.sin(np.arange(400) / 60) + rng.normal(0, 0.05, 400)
    warmth[300:] += 20  # the cooler gave up
    values = series(rng, 400) + 0.002 * warmth
    chart = followed(values, temperatures=warmth - 80)
    assert chart.changes == ()
    assert chart.slope == pytest.approx(0.002, abs=5 * chart.slope_uncertainty)
    assert chart.slope_uncertainty < 2e-4
    without = followed(values)
    assert without.changes[-1].first == 300
    assert np.isnan(without.changes[-1].temperature_change)
    assert np.isnan(without.slope_uncertainty)


def test_a_step_says_how_much_warmer_it_was() -> None:
    rng = np.random.default_rng(7)
    warmth = np.where(np.arange(200) < 100, -80.0, -75.0) + rng.normal(0, 0.05, 200)
    warmth[3] = np.nan
    (change,) = followed(series(rng, step=0.2, at=100), temperatures=warmth).changes
    assert change.temperature_change == pytest.approx(5, abs=0.1)


def test_a_ramp_is_a_drift() -> None:
    ramp = np.maximum(0, np.arange(300) - 100) * 0.1 * SCATTER
    chart = followed(series(np.random.default_rng(8), 300) + ramp)
    assert {one.kind for one in chart.changes} == {"drift"}
    assert 90 <= chart.changes[0].first <= 130
    assert chart.changes[-1].after == pytest.approx(1 + ramp[-1], abs=0.02)


def test_two_steps_the_same_way_are_two() -> None:
    values = series(np.random.default_rng(4), 200, step=0.04, at=80) + 0.04 * (np.arange(200) >= 110)
    assert [(one.kind, one.first) for one in followed(values).changes] == [("step", 80), ("step", 110)]


def test_without_uncertainties_the_scatter_counts() -> None:
    values = series(np.random.default_rng(9), step=0.03, at=100)
    chart = follow(values, np.full(values.size, np.nan))
    assert [one.first for one in chart.changes] == [100]
    assert chart.scatter[90] == pytest.approx(SCATTER, rel=0.3)


@pytest.mark.parametrize("n", [0, 1, 2, LEARNING, LEARNING + 1])
def test_short_and_constant_series_say_nothing(n: int) -> None:
    for claimed in (SCATTER, 0.0, np.nan):
        chart = followed(np.ones(n), claimed)
        assert (chart.changes, chart.outliers) == ((), ())
        assert np.array_equal(chart.pulls, np.zeros(n))
