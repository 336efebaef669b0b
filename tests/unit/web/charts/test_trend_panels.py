"""Plots of trends: what stands where, by values and by their logarithms; several series in one plot."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from db.trends.history import TrendRow
from web.charts.comparison import MOST_SERIES, comparisons
from web.charts.trend_panels import Drawing, panels

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def row(
    key: int, value: float, *, instrument: str = "red", unit: str = "adu", limit_max: float | None = None
) -> TrendRow:
    return TrendRow(
        id=key,
        quantity="dark_current",
        value=value,
        uncertainty=0.1 * abs(value),
        unit=unit,
        instrument=instrument,
        configuration="bin1x1",
        night=date(2026, 1, 1) + timedelta(days=key),
        observed_at=FIRST + timedelta(days=key),
        amplifier="1",
        filter=None,
        method="mean",
        n_bias=5,
        n_flat=None,
        n_flat_pairs=None,
        ccd_temperature_c=None,
        verdict="ok",
        remark=None,
        limit_min=None,
        limit_max=limit_max,
        run_id=key,
        flow_run_id=None,
        engine="local",
        superseded=False,
        mark=None,
        mark_reason=None,
    )


def test_by_logarithm_equal_ratios_are_equal_distances() -> None:
    rows = [row(number, 10.0**number, limit_max=1e4) for number in range(6)]
    (drawn,) = panels(rows, drawing=Drawing(log=True))
    ys = [dot.y for dot in drawn.dots]
    assert drawn.is_log
    assert drawn.n_outside == 0
    assert np.diff(ys) == pytest.approx([ys[1] - ys[0]] * 5)
    places = {tick.text: tick.at for tick in drawn.y_ticks}
    assert (places["1"], places["10000"]) == (pytest.approx(ys[0], abs=0.01), pytest.approx(ys[4], abs=0.01))
    (limit,) = drawn.limits
    assert (limit.text, limit.at) == ("10000", pytest.approx(ys[4]))
    assert all(dot.top < dot.y < dot.bottom for dot in drawn.dots)


def test_what_is_not_above_zero_has_no_logarithm_and_is_drawn_as_ever() -> None:
    rows = [row(1, -1.0), row(2, 5.0)]
    (drawn,), (linear,) = panels(rows, drawing=Drawing(log=True)), panels(rows)
    assert not drawn.is_log
    assert drawn == linear


def test_cameras_stand_in_one_plot_on_one_scale_and_units_apart() -> None:
    rows = [row(number, 1.0 + number % 2, instrument=("blue", "red")[number % 2]) for number in range(8)]
    rows.append(row(9, 1e6, instrument="blue", unit="electron"))
    adu, electrons = comparisons(rows)
    assert [curve.latest.instrument for curve in adu.curves] == ["blue", "red"]
    assert len({(dot.look, round(dot.y)) for dot in adu.panel.dots}) == 2
    assert adu.panel.dots[1].y < adu.panel.dots[0].y  # red is higher
    assert [dot.id for dot in electrons.panel.dots] == [9]
    assert adu.panel.dots[1].label.startswith("red amplifier 1 · night ")
    assert adu.n_more == 0


def test_series_that_cannot_be_told_apart_are_counted() -> None:
    rows = [row(number, 1.0, instrument=f"camera {number:02d}") for number in range(MOST_SERIES + 3)]
    (found,) = comparisons(rows)
    assert (len(found.curves), found.n_more) == (MOST_SERIES, 3)
    assert comparisons([]) == []
