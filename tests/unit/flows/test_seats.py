"""Seats for the heavy part of calibrations."""

import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from flows import seats
from flows.seats import seat


def hold(home: Path, held: Event) -> None:
    with seat(home):
        held.set()
        time.sleep(60)


@pytest.fixture
def one_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "SEATS", 1)


def test_there_is_room_for_several(tmp_path: Path) -> None:
    with seat(tmp_path), seat(tmp_path):
        assert len(list((tmp_path / ".seats").glob("*.pid"))) == 2


@pytest.mark.usefixtures("one_seat")
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
