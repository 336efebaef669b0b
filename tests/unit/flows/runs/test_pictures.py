"""Of which runs pictures are drawn at once."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from flows.runs.pictures import to_draw
from flows.runs.plan import Plan


def plans(nights: int) -> list[Plan]:
    """Return plans of two cameras, the later nights first."""
    first = date(2024, 1, 1)
    return [
        Plan(2 * night + number, name, first + timedelta(days=night), "bin1x1", "d", 1)
        for night in reversed(range(nights))
        for number, name in enumerate(("blue", "red"))
    ]


@pytest.mark.parametrize(
    ("nights", "wanted", "drawn"),
    [(3, None, set(range(6))), (100, None, {198, 199}), (100, True, set(range(200))), (3, False, set())],
)
def test_of_many_runs_only_the_last_of_each_camera_are_drawn_unless_asked_for(
    nights: int, wanted: bool | None, drawn: set[int]
) -> None:
    assert to_draw(plans(nights), wanted) == drawn
