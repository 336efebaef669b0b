"""Pauses between tries."""

import pytest

from flows import retries
from flows.retries import Pauses


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        (retries.NOTICE, [0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]),
        (retries.PROCESS, [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]),
        (retries.OBSERVER, [0, 10, 20, 40, 80, 160, 320, 600, 600, 600]),
        (retries.CUT_SHORT_RUN, [0, 0, 0, 0, 0, 0, 30, 60, 90, 120]),
    ],
)
def test_pauses_grow_up_to_the_longest(pauses: Pauses, expected: list[float]) -> None:
    assert [pauses.after(failures) for failures in range(10)] == expected


def test_pauses_end_nowhere() -> None:
    assert retries.NOTICE.after(10**6) == retries.CUT_SHORT_RUN.after(10**6) == 3600
