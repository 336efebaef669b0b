"""Which science frames are due, and when the others are."""

from datetime import timedelta

import pytest

from db.application.science import ScienceFrame, Try
from flows.applying.calibrating.due import Due, reckon
from flows.retries import FAILED_RUN, RUN_ATTEMPTS
from tests.support.on_record import NOON

SECOND = timedelta(seconds=1)
SETTLE = 300 * SECOND


def frame(key: int, *, landed: timedelta = timedelta(0), camera: str = "a", last: Try | None = None) -> ScienceFrame:
    return ScienceFrame(key, camera, NOON + landed, last)


def at(seconds: float, *found: ScienceFrame, unread: float | None = None) -> Due:
    """What is due so many seconds after noon, while a file is not read that landed then."""
    since = None if unread is None else NOON + unread * SECOND
    return reckon(found, at=NOON + seconds * SECOND, settle=SETTLE, unread=since)


def test_a_frame_waits_for_those_that_may_belong_to_it() -> None:
    one, other = frame(1), frame(2, landed=60 * SECOND)
    assert at(299, one, other) == Due({}, {"a": 2}, NOON + SETTLE)
    assert at(300, one, other) == Due({"a": (1,)}, {"a": 1}, NOON + SETTLE + 60 * SECOND)
    assert at(360, one, other) == Due({"a": (1, 2)}, {}, None)


def test_cameras_do_not_wait_for_each_other() -> None:
    found = at(310, frame(1), frame(2, camera="b", landed=60 * SECOND))
    assert (found.frames, found.waiting) == ({"a": (1,)}, {"b": 1})


@pytest.mark.parametrize(("unread", "is_due"), [(10, False), (300, False), (301, True), (None, True)])
def test_what_landed_by_then_is_read_first(unread: float | None, is_due: bool) -> None:
    found = at(400, frame(1), unread=unread)
    assert (found.frames, found.waiting, found.later) == (({"a": (1,)}, {}, None) if is_due else ({}, {"a": 1}, None))


def test_what_went_wrong_is_tried_again_and_not_for_ever() -> None:
    def after(tries: int, seconds: float) -> Due:
        return at(1000 + seconds, frame(1, last=Try("boom", True, tries, NOON + 1000 * SECOND)))

    pause = FAILED_RUN.after(1)
    assert after(1, pause - 1) == Due({}, {"a": 1}, NOON + (1000 + pause) * SECOND)
    assert after(1, pause).frames == {"a": (1,)}
    assert after(RUN_ATTEMPTS - 1, 1e6).frames == {"a": (1,)}
    assert after(RUN_ATTEMPTS, 1e6) == Due({}, {}, None)


def test_a_clock_that_was_ahead_keeps_no_frame() -> None:
    assert at(0, frame(1, landed=timedelta(days=400))).frames == {"a": (1,)}
    ahead = Try("boom", True, 1, NOON + timedelta(days=400))
    assert at(1000, frame(1, last=ahead)).frames == {"a": (1,)}
