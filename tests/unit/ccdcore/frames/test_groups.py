"""Which frames make one master: of one temperature and, if darks, of one exposure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.groups import FrameGroup, frame_groups, nearest_group, unknown_temperature, with_labels
from ccdcore.headers.identify import ExposureInfo, identify
from ccdcore.headers.instrument import FrameType


def dark(name: object, at_c: float | None, exposure_s: float | None = 60.0, set_c: float | None = None) -> SeriesFrame:
    begin = datetime(2022, 9, 19, 19, tzinfo=UTC)
    info = ExposureInfo(FrameType.DARK, "test", "cam", "test", "bin1x1", begin, exposure_s, at_c, set_c)
    return SeriesFrame(str(name), Path(f"{name}.fits"), (1, 1), info, (Amplifier("1", Section(1, 1, 1, 1)),), ())


def names(groups: Sequence[FrameGroup]) -> list[list[str]]:
    return [[one.sha256 for one in group.frames] for group in groups]


def groups_of(*frames: SeriesFrame, tolerance_k: float = 0.5, by_exposure: bool = True) -> tuple[FrameGroup, ...]:
    return frame_groups(frames, tolerance_k=tolerance_k, by_exposure=by_exposure)


def test_temperatures_are_cut_at_gaps_not_by_rounding() -> None:
    found = groups_of(dark("a", -19.9), dark("b", -16.1), dark("c", -20.1), dark("d", -15.9), dark("e", -20.0))
    assert names(found) == [["a", "c", "e"], ["b", "d"]]
    assert [one.group_c for one in found] == [-20.0, -16.0]
    assert [one.temperature_c for one in found] == pytest.approx([-20.0, -16.0])


def test_exposures_of_one_percent_are_one() -> None:
    found = groups_of(*(dark(name, -20, t) for name, t in zip("abcde", (600, 1.0, 606, 607, 60), strict=True)))
    assert names(found) == [["b"], ["e"], ["a"], ["c", "d"]]
    assert names(groups_of(dark("a", -20, 600), dark("b", -20, 606))) == [["a", "b"]]
    assert names(groups_of(dark("a", -20, 600), dark("b", -20, 1.0), by_exposure=False)) == [["a", "b"]]


def test_the_set_point_decides_where_the_detector_has_come_there() -> None:
    wavering = [dark(n, t, set_c=-20.0) for n, t in enumerate((-18.5, -20.5, -21.9))]
    assert names(groups_of(*wavering)) == [["0", "1", "2"]]
    assert names(groups_of(*wavering, dark("warm", 15.0, set_c=-20.0))) == [["0", "1", "2"], ["warm"]]


def test_what_is_not_known_is_one_group_and_comes_last() -> None:
    found = groups_of(dark("a", None), dark("b", -20), dark("c", None), dark("d", -20, None))
    assert names(found) == [["b"], ["d"], ["a", "c"]]
    assert [one.exposure_s for one in found] == [60.0, None, 60.0]
    assert found[2].group_c is None


def test_a_temperature_in_words_is_told() -> None:
    cards = {"IMAGETYP": "Dark Frame", "EXPTIME": 60.0, "CCD-TEMP": "cold"}
    info = identify(cards, filename="d.fits", shape=(1, 1))
    assert info.ccd_temperature_c is None
    frame = SeriesFrame("x", Path("d.fits"), (1, 1), info, (), ())
    (found,) = groups_of(frame)
    assert (
        unknown_temperature(found) == "the temperature of the detector is not known; CCD-TEMP = 'cold' cannot be used"
    )


@given(st.lists(st.floats(-60, 30), min_size=1, max_size=12), st.floats(0, 3), st.randoms(use_true_random=False))
def test_groups_are_narrow_apart_and_independent_of_the_order(temperatures: list[float], tolerance: float, rng) -> None:  # type: ignore[no-untyped-def]
    frames = [dark(n, t) for n, t in enumerate(temperatures)]
    found = groups_of(*frames, tolerance_k=tolerance)
    ranges = [[one.info.ccd_temperature_c or 0.0 for one in group.frames] for group in found]
    assert all(max(some) - min(some) <= tolerance + 1e-6 for some in ranges)
    assert sum(map(len, ranges)) == len(frames)
    assert all(max(one) < min(two) for one, two in pairwise(ranges))
    rng.shuffle(frames)
    again = groups_of(*frames, tolerance_k=tolerance)
    assert [set(some) for some in names(again)] == [set(some) for some in names(found)]


def test_groups_follow_those_on_record_each_its_own() -> None:
    found = groups_of(dark("a", -20.3), dark("b", -19.7), dark("c", -10.0))
    assert [one.group_c for one in found] == [-20.3, -19.7, -10.0]
    followed = with_labels(found, {-20.0, -5.0}, tolerance_k=0.5)
    assert [one.group_c for one in followed] == [-20.0, -19.7, -10.0]
    assert all(one.is_named for one in followed)


def test_one_temperature_needs_no_name() -> None:
    found = groups_of(dark("a", -20.3), dark("b", -20.3, 600.0))
    assert not any(one.is_named for one in with_labels(found, {-20.0}, tolerance_k=0.5))
    assert not any(one.is_named for one in with_labels(groups_of(dark("a", None)), {None}, tolerance_k=0.5))
    assert all(one.is_named for one in with_labels(found, {-10.0}, tolerance_k=0.5))


def test_the_nearest_group_is_that_of_the_frames_temperature() -> None:
    found = groups_of(dark("a", -20), dark("b", -16), dark("c", -16))
    assert nearest_group(found, [dark("flat", -19.0)]).group_c == -20.0
    assert nearest_group(found, [dark("flat", None)]).group_c == -16.0
