"""Nights, windows and groups of frames."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.nights import night_of, window_of
from ccdcore.frames.series import (
    beyond_their_time,
    flat_groups,
    in_time_order,
    nominal_exposure,
    stand_in_note,
    with_stand_ins,
)
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from tests.support.simulate import NOTEBOOK_NIGHTS

LA_SILLA = -70.73
TIMES = st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda time: time.replace(tzinfo=UTC)
)


def frame(
    name: str,
    begin: datetime | None = None,
    *,
    frame_type: FrameType = FrameType.FLAT,
    filter_name: str | None = "V",
    exposure_time_s: float | None = 5.0,
) -> SeriesFrame:
    info = ExposureInfo(
        frame_type=frame_type,
        frame_type_reason="test",
        instrument="cam",
        instrument_reason="test",
        configuration="bin1x1",
        date_obs=begin,
        exposure_time_s=exposure_time_s,
        filter=filter_name,
    )
    return SeriesFrame(name, Path(name), (4, 4), info, (Amplifier("1", Section.whole((4, 4))),), ())


@pytest.mark.parametrize(
    ("date_obs", "longitude", "night"),
    [
        (datetime(2022, 9, 19, 20, tzinfo=UTC), 0.0, date(2022, 9, 19)),
        (datetime(2022, 9, 20, 5, tzinfo=UTC), 0.0, date(2022, 9, 19)),
        (datetime(2022, 9, 20, 11, 59, 59, tzinfo=UTC), 0.0, date(2022, 9, 19)),
        (datetime(2022, 9, 20, 12, tzinfo=UTC), 0.0, date(2022, 9, 20)),
        # Evening calibrations in Chile begin after midnight UTC or before it: one night.
        (datetime(2022, 9, 19, 19, tzinfo=UTC), LA_SILLA, date(2022, 9, 19)),
        (datetime(2022, 9, 20, 10, tzinfo=UTC), LA_SILLA, date(2022, 9, 19)),
        (datetime(2022, 9, 20, 15, tzinfo=UTC), LA_SILLA, date(2022, 9, 19)),
        # Siding Spring: the evening falls on the morning of the same UTC date.
        (datetime(2022, 9, 19, 9, tzinfo=UTC), 149.1, date(2022, 9, 19)),
        (datetime(2022, 9, 19, 19, tzinfo=UTC), 149.1, date(2022, 9, 19)),
    ],
)
def test_a_night_is_named_by_its_evening(date_obs: datetime, longitude: float, night: date) -> None:
    assert night_of(date_obs, longitude) == night


@settings(deadline=None)
@given(TIMES, st.floats(-180, 179.9))
def test_a_night_is_the_floor_of_the_local_mjd_less_a_half(date_obs: datetime, longitude: float) -> None:
    local = Time(date_obs.replace(tzinfo=None), scale="tai").mjd + longitude / 360 - 0.5
    if abs(local - round(local)) < 1e-6:
        return
    night = night_of(date_obs, longitude)
    assert Time(night.isoformat(), scale="tai").mjd == pytest.approx(local // 1)


@settings(deadline=None)
@given(TIMES, st.floats(-180, 179.9))
def test_a_longitude_may_be_counted_from_zero_to_360(date_obs: datetime, longitude: float) -> None:
    assert night_of(date_obs, longitude + 360) in {
        night_of(date_obs + timedelta(microseconds=step), longitude) for step in (-1, 0, 1)
    }


def test_the_time_zone_of_a_date_does_not_matter() -> None:
    begin = datetime(2022, 9, 19, 22, tzinfo=timezone(timedelta(hours=-4)))
    assert night_of(begin, 0.0) == night_of(begin.astimezone(UTC), 0.0) == date(2022, 9, 19)


def test_a_date_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="2022-09-19 20:00:00 has no time zone: give it as UTC"):
        night_of(datetime(2022, 9, 19, 20), 0.0)  # noqa: DTZ001


def test_the_nights_of_the_notebook_fall_into_one_window_of_five() -> None:
    assert {window_of(night, 5) for night in NOTEBOOK_NIGHTS} == {date(2022, 9, 18)}


@settings(deadline=None)
@given(st.dates(date(1900, 1, 1), date(2200, 1, 1)), st.integers(1, 400))
def test_windows_are_fixed_blocks(night: date, window_nights: int) -> None:
    first = window_of(night, window_nights)
    block = [first + timedelta(days=offset) for offset in range(window_nights)]
    assert night in block
    assert {window_of(each, window_nights) for each in (block[0], block[-1])} == {first}
    assert window_of(block[-1] + timedelta(days=1), window_nights) == block[-1] + timedelta(days=1)
    assert Time(first.isoformat(), scale="tai").mjd % window_nights == 0


def test_a_window_has_at_least_one_night() -> None:
    assert window_of(date(2022, 9, 19), 1) == date(2022, 9, 19)
    with pytest.raises(ValueError, match="window_nights is 0: give at least 1"):
        window_of(date(2022, 9, 19), 0)


def test_time_order_falls_back_to_names_and_puts_unknown_times_last() -> None:
    begin = datetime(2022, 9, 19, 20, tzinfo=UTC)
    late, early = frame("a.fits", begin + timedelta(seconds=1)), frame("z.fits", begin)
    tie, unknown, unknown_too = frame("b.fits", begin), frame("b2.fits"), frame("b1.fits")
    ordered = in_time_order([unknown, late, early, tie, unknown_too])
    assert ordered == (tie, early, late, unknown_too, unknown)


def test_flats_are_grouped_by_filter_and_exposure_time() -> None:
    begin = datetime(2022, 9, 19, 20, tzinfo=UTC)
    first = frame("1.fits", begin)
    second = frame("0.fits", begin + timedelta(minutes=1), exposure_time_s=5.0004)
    red = frame("2.fits", begin, filter_name="R")
    longer = frame("3.fits", begin, exposure_time_s=10.0)
    unknown = frame("4.fits", begin, exposure_time_s=None)
    bias = frame("5.fits", begin, frame_type=FrameType.BIAS)
    assert flat_groups([second, bias, red, longer, first, unknown]) == {
        ("V", 5.0): (first, second),
        ("R", 5.0): (red,),
        ("V", 10.0): (longer,),
        ("V", None): (unknown,),
    }


@pytest.mark.parametrize(
    ("exposure", "nominal"), [(0.0, 0.0), (1e-5, 1e-5), (8.0003, 8.0), (300.2, 300.0), (None, None)]
)
def test_nominal_exposures_have_three_digits(exposure: float | None, nominal: float | None) -> None:
    assert nominal_exposure(frame("1.fits", exposure_time_s=exposure)) == nominal


def darks(*exposures: float | None) -> list[SeriesFrame]:
    kind = FrameType.DARK
    return [frame(f"dark{n}.fits", frame_type=kind, exposure_time_s=each) for n, each in enumerate(exposures)]


def stand_ins(frames: list[SeriesFrame]) -> list[str]:
    after = with_stand_ins(frames)
    assert [one.sha256 for one in after] == [one.sha256 for one in frames]
    return [new.path.name for old, new in zip(frames, after, strict=True) if new != old]


BIAS = frame("bias.fits", frame_type=FrameType.BIAS, exposure_time_s=0.0)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([*darks(0.1, 0.05, 60.0), frame("flat.fits")], ["dark0.fits", "dark1.fits"]),
        ([*darks(0.1, 0.05), BIAS], []),
        ([*darks(0.1, 60.0), frame("flat.fits")], []),  # one gives no read noise
        ([*darks(5.0, 5.001, 60.0), frame("flat.fits")], ["dark0.fits", "dark1.fits"]),
        ([*darks(5.0, 5.0, 0.01, 0.02), frame("flat.fits")], ["dark2.fits", "dark3.fits"]),
        ([*darks(5.0, 5.0), frame("a.fits"), frame("b.fits", exposure_time_s=9.0)], ["dark0.fits", "dark1.fits"]),
        (
            [*darks(9.0, 9.0, 5.0, 5.0), frame("a.fits"), frame("b.fits", exposure_time_s=9.0)],
            ["dark2.fits", "dark3.fits"],
        ),
        ([*darks(9.0, 9.0, 5.0), frame("a.fits"), frame("b.fits", exposure_time_s=9.0)], ["dark0.fits", "dark1.fits"]),
        ([*darks(None, None), frame("flat.fits", exposure_time_s=None)], []),
        (darks(0.1, 0.1), ["dark0.fits", "dark1.fits"]),
        (darks(60.0, 60.0), []),
    ],
)
def test_darks_stand_in_for_biases_where_there_are_none(frames: list[SeriesFrame], expected: list[str]) -> None:
    assert stand_ins(frames) == expected
    changed = [one for one in with_stand_ins(frames) if one.path.name in expected]
    assert {one.info.frame_type for one in changed} <= {FrameType.BIAS}


def test_it_is_said_which_darks_stand_in() -> None:
    assert stand_in_note([]) is None
    assert stand_in_note(darks(0.1, 0.05)) == "no biases: 2 darks of 0.05 to 0.1 s stand in for them"
    assert stand_in_note(darks(5.0, 5.0)) == (
        "no biases: 2 darks of 5 s, as long as flats, stand in for them: "
        "the bias level and the read noise include the dark signal and its noise"
    )


def test_nights_are_known_without_the_heavy_packages() -> None:
    code = "import sys, ccdcore.frames.series; print([m for m in ('astropy', 'scipy', 'ccdproc') if m in sys.modules])"
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("unit", [1000.0, 1e6])
@pytest.mark.parametrize("exposure_s", [10.0, 60.0, 600.0])
def test_exposures_that_do_not_fit_into_their_time_are_in_another_unit(exposure_s: float, unit: float) -> None:
    begin = datetime(2022, 9, 19, 20, tzinfo=UTC)
    times = [begin + n * timedelta(seconds=exposure_s + 2) for n in range(5)]
    right = [frame(f"d{n}", at, exposure_time_s=exposure_s) for n, at in enumerate(times)]
    wrong = [frame(f"d{n}", at, exposure_time_s=exposure_s * unit) for n, at in enumerate(times)]
    assert beyond_their_time(right) is None
    said = beyond_their_time(wrong)
    assert said is not None
    assert f"5 exposures of {exposure_s * unit:g} to {exposure_s * unit:g} s" in said
    assert "`exposure_time_unit_s`" in said
    assert beyond_their_time(reversed(wrong)) == said


def test_frames_whose_time_says_too_little_are_not_doubted() -> None:
    midnight = datetime(2022, 9, 19, tzinfo=UTC)
    assert beyond_their_time([]) is None
    assert beyond_their_time([frame("a"), frame("b", midnight, exposure_time_s=None)]) is None
    assert beyond_their_time([frame(f"d{n}", midnight, exposure_time_s=1800.0) for n in range(20)]) is None
    by_date = [frame(f"d{n}", midnight + timedelta(days=n // 20), exposure_time_s=3600.0) for n in range(40)]
    assert beyond_their_time(by_date) is None
    # Two heads of one name expose at the same time.
    times = [midnight + timedelta(minutes=11 * (n // 2)) for n in range(20)]
    assert beyond_their_time([frame(f"d{n}", at, exposure_time_s=600.0) for n, at in enumerate(times)]) is None
