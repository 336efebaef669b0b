"""Numbers, units and times as people write them."""

from datetime import UTC, date, datetime

import pytest

from web import formatting
from web.templating import link


@pytest.mark.parametrize(
    ("low", "high", "text"), [(0.9, 1.1, "0.9 – 1.1"), (None, 3.0, "≤ 3"), (1.5, None, "≥ 1.5"), (None, None, "none")]
)
def test_limits_are_a_span(low: float | None, high: float | None, text: str) -> None:
    assert formatting.limits(low, high) == text


def test_details_have_names_and_units() -> None:
    assert [
        formatting.detail(name, "e/ADU")
        for name in ("n_flat_pairs", "level_range_adu", "systematic_uncertainty", "x_y")
    ] == [
        "pairs of flats",
        "level range (ADU)",
        "systematic uncertainty (e⁻/ADU)",
        "x y",
    ]


def test_times_are_utc_to_the_minute() -> None:
    at = datetime(2022, 9, 19, 23, 4, 59, tzinfo=UTC)
    assert [formatting.when(one) for one in (at, at.isoformat(), date(2022, 9, 19), None)] == [
        "2022-09-19 23:04",
        "2022-09-19 23:04",
        "2022-09-19",
        "–",
    ]


def test_moments_are_utc_to_the_second() -> None:
    at = datetime(2022, 9, 19, 23, 4, 59, 900_000, tzinfo=UTC)
    assert [formatting.moment(one) for one in (at, at.isoformat(), None)] == ["2022-09-19 23:04:59"] * 2 + ["–"]


def test_names_of_unknown_origin_stay_in_their_part_of_an_address() -> None:
    assert link("/instruments", "a/b?c#d e", amplifier="1&2", filter=None, whole=False) == (
        "/instruments/a%2Fb%3Fc%23d%20e?amplifier=1%262"
    )
    assert link("/trends/gain", instrument="\udcff") == "/trends/gain?instrument=%3F"
