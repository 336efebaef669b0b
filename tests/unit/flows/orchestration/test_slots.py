"""Slots for the heavy part of calibrations."""

import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from flows.orchestration import slots
from flows.orchestration.slots import slot
from flows.runs.memory import Allowance


def hold(home: Path, held: Event, n_bytes: int = 0) -> None:
    with slot(home, n_bytes):
        held.set()
        time.sleep(60)


@pytest.fixture
def one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "SLOTS", 1)


def test_there_is_room_for_several(tmp_path: Path) -> None:
    with slot(tmp_path), slot(tmp_path):
        assert len(list((tmp_path / ".seats").glob("*.pid"))) == 2


@pytest.mark.parametrize(("n_bytes", "n_at_once"), [(0, 2), (2 * 2**30, 2), (3 * 2**30, 1), (9 * 2**30, 1)])
def test_as_many_sit_as_have_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_bytes: int, n_at_once: int
) -> None:
    monkeypatch.setattr(slots, "SLOTS", 2)
    monkeypatch.setattr(slots, "allowance", lambda: Allowance(4 * 2**30))
    context = multiprocessing.get_context("fork")
    other = context.Process(target=hold, args=(tmp_path, held := context.Event(), n_bytes))
    with slot(tmp_path, n_bytes):
        other.start()
        assert held.wait(5 if n_at_once > 1 else 0.5) == (n_at_once > 1)
    assert held.wait(10)
    other.kill()
    other.join()


@pytest.mark.usefixtures("one_slot")
def test_one_waits_until_another_leaves_or_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held = context.Event()
    other = context.Process(target=hold, args=(tmp_path, held))
    waiting = context.Process(target=hold, args=(tmp_path, taken := context.Event()))
    other.start()
    assert held.wait(10)
    waiting.start()
    assert not taken.wait(0.5)
    other.kill()
    assert taken.wait(10)
    waiting.kill()
    for process in (other, waiting):
        process.join()
