"""What is in question, found by what was before and what came since."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from db.runs import sets
from flows.commands.process import _Made, process
from flows.home.home import open_home
from flows.home.processes import now
from flows.runs import plan
from flows.runs.plan import Looked, reconcile
from tests.support.simulate import simple_night

LATER = timedelta(days=1)


def test_a_look_that_knows_the_last_one_finds_what_came_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simple_night(tmp_path / "one", n_bias=2, n_flat=0, seed=1)
    home, looked, asked = open_home(tmp_path / "home"), Looked(), list[Any]()
    process(home, [tmp_path / "one"], pictures=False)
    asking = sets.sets_in_question

    def noted(*arguments: Any, came_since: Any = None, **others: Any) -> set[int]:
        asked.append(came_since)
        return asking(*arguments, came_since=came_since, **others)

    monkeypatch.setattr(plan, "sets_in_question", noted)
    at = now()
    assert reconcile(home, at, looked) == ([], None)
    simple_night(tmp_path / "two", n_bias=2, n_flat=0, seed=2)
    monkeypatch.setattr("flows.commands.process._make_runs", lambda *_, **__: _Made())
    process(home, [tmp_path / "two"])
    later = now() + timedelta(minutes=30)
    (due,), _ = reconcile(home, later, looked)
    assert reconcile(home, later, looked)[0] == [due]  # it stays in question until it is made
    assert reconcile(home, later)[0] == [due]
    assert asked[0] is None
    assert asked[1] is not None
    reconcile(home, at, looked)  # a clock that was put back: all is looked at
    assert asked[-1] is None
    reconcile(home, at + LATER, looked)
    assert asked[-1] is None
