"""Which points of a long series a plot shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ccdcore.trends.thinning import thinned


@given(
    values=arrays(np.float64, st.integers(0, 400), elements=st.floats(-1e6, 1e6)),
    at_most=st.integers(4, 100),
    seed=st.integers(0, 2**32 - 1),
)
def test_extremes_and_what_is_kept_always_show(values: np.ndarray, at_most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = rng.permutation(rng.uniform(0, 1e9, values.size).cumsum())
    keep = rng.random(values.size) < 0.1
    shown = thinned(times, values, at_most=at_most, keep=keep)
    assert (np.diff(shown) > 0).all()
    assert set(np.flatnonzero(keep)) <= set(shown) or values.size <= at_most
    if values.size <= at_most:
        assert shown.size == values.size
        return
    of = values[shown]
    assert (of.min(), of.max()) == (values.min(), values.max())
    assert {times.argmin(), times.argmax()} <= set(shown)


@given(
    places=st.sets(st.integers(0, 4999), max_size=60),
    sigmas=st.floats(8, 1e6),
    sign=st.sampled_from([-1, 1]),
    slope=st.floats(-1, 1),
    at_most=st.integers(40, 1000),
)
def test_no_outlier_is_lost_and_little_else_is_drawn(
    places: set[int], sigmas: float, sign: int, slope: float, at_most: int
) -> None:
    rng = np.random.default_rng(0)
    times = np.arange(5000.0)
    values = 100 + slope * times / 5000 + rng.normal(0, 1, 5000).clip(-2, 2)
    out = np.array(sorted(places), int)
    values[out] += sign * sigmas
    shown = thinned(times, values, at_most=at_most, uncertainties=np.ones(5000))
    assert places <= set(shown)
    assert shown.size <= at_most + len(places)


def test_unknown_uncertainties_count_for_nothing() -> None:
    values = np.zeros(100)
    values[[20, 21, 22]] = 1.0
    shown = thinned(np.arange(100.0), values, at_most=4, uncertainties=np.full(100, np.nan))
    assert {20, 21, 22} <= set(shown)


def test_fewer_than_four_points_are_no_span() -> None:
    with pytest.raises(ValueError, match="at_most = 3: a span of time takes 4 points, so give 4 or more"):
        thinned(np.zeros(9), np.zeros(9), at_most=3)
