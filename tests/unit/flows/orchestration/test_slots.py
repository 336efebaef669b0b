"""Slots for the heavy part of calibrations."""

import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from flows.orchestration import slots
from flows.orchestration.slots import cluster_slot, free_slot_of, slot
from flows.runs.memory import Allowance

TAKE_A_SLOT = """
import sys
from pathlib import Path
from flows.orchestration.slots import slot

with slot(Path(sys.argv[1])):
    print("taken", flush=True)
    sys.stdin.read()
"""


def hold(home: Path, held: Event, n_bytes: int = 0) -> None:
    with slot(home, n_bytes):
        held.set()
        time.sleep(60)


def hold_of_cluster(home: Path, held: Event, n_threads: int) -> None:
    with cluster_slot(home, n_threads):
        held.set()
        time.sleep(60)


@pytest.fixture
def one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "SLOTS", 1)


def test_there_is_room_for_several(tmp_path: Path) -> None:
    with slot(tmp_path), slot(tmp_path):
        assert len(list((tmp_path / ".seats").glob("*/*.pid"))) == 2


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


@pytest.mark.usefixtures("one_slot")
def test_each_machine_has_slots_of_its_own(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.support.other_host", "another", "-", sys.executable, "-c", TAKE_A_SLOT]
    with (
        slot(tmp_path),
        subprocess.Popen([*words, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        free_slot_of(tmp_path, os.getpid())  # whose number a process of the other machine may have, too
        assert [one.parent.name for one in (tmp_path / ".seats").glob("*/*.pid")] == ["another"]
        other.communicate("")


@pytest.mark.parametrize(("n_threads", "is_taken"), [(1, False), (2, True)])
def test_a_cluster_has_as_many_slots_as_threads_whatever_the_machine_has(
    tmp_path: Path, n_threads: int, is_taken: bool
) -> None:
    context = multiprocessing.get_context("fork")
    other = context.Process(target=hold_of_cluster, args=(tmp_path, held := context.Event(), n_threads))
    with cluster_slot(tmp_path, n_threads), slot(tmp_path), slot(tmp_path):
        other.start()
        assert held.wait(5 if is_taken else 0.5) == is_taken
    assert held.wait(10)
    other.kill()
    other.join()
