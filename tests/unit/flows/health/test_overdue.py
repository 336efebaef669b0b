"""What stands still or takes too long is told, and ended where the service started it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.health import overdue
from flows.health.overdue import Overseer, Worker, time_limit
from flows.home.processes import is_gone, start_of
from tests.support.service import wait_for


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A process that works on and on."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


def worker(process: subprocess.Popen[bytes], *, n_pixels: int = 0, may_be_ended: bool = True) -> Worker:
    return Worker("run:1", "run:1 (cam)", process.pid, start_of(process.pid), n_pixels, may_be_ended)


@pytest.mark.parametrize("may_be_ended", [True, False])
def test_a_run_that_works_for_longer_than_it_may_is_told_and_ended(
    busy: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, may_be_ended: bool
) -> None:
    monkeypatch.setattr(overdue, "LONGEST_SECONDS", 0.5)
    overseer, one = Overseer(tmp_path), worker(busy, may_be_ended=may_be_ended)
    if may_be_ended:
        assert wait_for(lambda: overseer.look([one]) or overseer.why_ended("run:1"), seconds=60)
        assert overseer.why_ended("run:1") == "took longer than 0 s"
        assert is_gone(one.pid, one.started)
    else:
        (told,) = wait_for(lambda: overseer.look([one]), seconds=60) or [""]
        assert told.startswith("run:1 (cam) has taken ")
        assert overseer.why_ended("run:1") is None
        assert not is_gone(one.pid, one.started)


def test_large_sets_may_take_longer(
    busy: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(overdue, "LONGEST_SECONDS", 0.1)
    overseer, one = Overseer(tmp_path), worker(busy, n_pixels=10**9)
    assert time_limit(10**9) > 3000
    assert not wait_for(lambda: overseer.look([one]), seconds=0.5)
    assert overseer.why_ended("run:1") is None
