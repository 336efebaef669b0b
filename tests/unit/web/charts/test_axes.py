"""Ranges and ticks of axes: everything that matters lies inside, and labels are round."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.charts.axes import decade_ticks, time_range, time_ticks, value_range, value_ticks

FINITE = st.floats(-1e6, 1e6)
TIMES = st.integers(0, 3 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def span(values: Sequence[float], limits: tuple[float | None, ...] = (), *, whole: bool = False) -> tuple[float, float]:
    numbers = np.array(values)
    return value_range(numbers, np.zeros_like(numbers), limits, whole=whole)


@given(values=st.lists(FINITE, min_size=1, max_size=50), limits=st.tuples(st.none() | FINITE, st.none() | FINITE))
def test_nine_in_ten_values_lie_inside(values: list[float], limits: tuple[float | None, float | None]) -> None:
    low, high = span(values, limits)
    assert low < high
    assert np.mean([low <= value <= high for value in values]) >= 0.9
    whole_low, whole_high = span(values, limits, whole=True)
    assert whole_low < min(values)
    assert whole_high > max(values)


def test_a_far_outlier_does_not_flatten_the_rest_but_a_step_is_inside() -> None:
    scatter = np.random.default_rng(1).normal(1.5, 0.004, 200)
    assert span([*scatter, 9.0])[1] < 1.6
    assert span([*scatter, 1.53])[1] > 1.53


def test_limits_are_inside_unless_they_flatten_the_values() -> None:
    values = [5.0, 5.1, 4.9]
    assert span(values, (None, 5.5))[1] > 5.5
    assert span(values, (None, 50.0))[1] < 6


@given(low=FINITE, width=st.floats(1e-3, 1e6), most=st.integers(2, 12))
def test_value_ticks_lie_inside_and_read_as_they_are(low: float, width: float, most: int) -> None:
    ticks = value_ticks(low, low + width, most)
    assert 0 < len(ticks) <= most
    slack = 1e-9 * max(abs(low), abs(low + width))
    for value, text in ticks:
        assert low - slack <= value <= low + width + slack
        assert float(text) == pytest.approx(value, abs=1e-9 * max(1, abs(value)))


@given(first=TIMES, days=st.floats(0.2, 20_000))
def test_time_ticks_lie_inside_and_differ(first: datetime, days: float) -> None:
    last = first + timedelta(days=days)
    ticks = time_ticks(first, last, most=8)
    assert len(ticks) <= 10
    assert days < 2 or ticks
    assert all(first <= when <= last for when, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)


def test_months_and_years_are_round() -> None:
    def texts(year: int, days: int) -> list[str]:
        first = datetime(year, 1, 1, tzinfo=UTC)
        return [text for _, text in time_ticks(first, first + timedelta(days=days), most=8)]

    assert texts(2022, 1)[:3] == ["Jan 1 00:00", "Jan 1 03:00", "Jan 1 06:00"]
    assert texts(2022, 10) == ["Jan 1", "Jan 3", "Jan 5", "Jan 7", "Jan 9", "Jan 11"]
    assert texts(2022, 400) == ["2022-01", "2022-03", "2022-05", "2022-07", "2022-09", "2022-11", "2023-01"]
    assert texts(2010, 3650) == ["2010", "2012", "2014", "2016", "2018"]


def test_one_time_gets_an_axis_of_two_days() -> None:
    at = datetime(2022, 9, 19, tzinfo=UTC)
    assert time_range([at]) == (at - timedelta(days=1), at + timedelta(days=1))


@given(low=st.floats(-12, 12), span=st.floats(1e-4, 20), most=st.integers(3, 12))
def test_ticks_of_a_logarithmic_axis_are_round_few_and_where_they_say(low: float, span: float, most: int) -> None:
    ticks = decade_ticks(low, low + span, most)
    assert 1 <= len(ticks) <= most
    for place, text in ticks:
        assert low - 1e-9 <= place <= low + span + 1e-9
        assert abs(np.log10(float(text)) - place) < 1e-6 + 0.5 * span


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    assert [text for _, text in decade_ticks(-0.1, 3.1, 5)] == ["1", "10", "100", "1000"]
    assert [text for _, text in decade_ticks(0.0, 1.0, 5)] == ["1", "2", "5", "10"]
