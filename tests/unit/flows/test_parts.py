"""The processes that `up` looks after."""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows import parts, service
from flows.heartbeat import Pulse, WatcherHealth
from flows.home import now
from tests.support.service import wait_for

WELL = WatcherHealth(scanned_at=None, missing=(), unobserved=(), unreadable=(), mounts={}, settling=0)


def sleeper(log: Path) -> parts.Part:
    return parts.Part("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ), log)


def test_a_part_that_is_killed_is_started_again(tmp_path: Path) -> None:
    part = sleeper(tmp_path / "sleeper.log")
    said: list[str] = []
    part.keep_alive(said.append)
    assert part.process is not None
    first = part.process
    part.kill(said.append, "hangs")
    assert part.runs_for < 60

    def is_another() -> bool:
        part.keep_alive(said.append)
        return part.process is not None and part.process.pid != first.pid

    assert wait_for(is_another, seconds=60)
    assert part.process is not None
    parts.stop([part])
    part.process.wait()
    assert said[0] == f"sleeper hangs and is ended: see {tmp_path}/sleeper.log"
    assert "sleeper ended with status -9; started again in 0.5 s" in said[1]


def test_a_part_is_started_where_there_is_no_room_for_its_log(tmp_path: Path) -> None:
    part = sleeper(tmp_path / "no folder" / "sleeper.log")
    part.keep_alive(lambda _: None)
    assert part.process is not None
    assert part.process.poll() is None
    parts.stop([part])
    part.process.wait()


@pytest.mark.parametrize(("ran_for", "silent_for", "hangs"), [(60, 600, False), (600, 60, False), (600, 600, True)])
def test_a_watcher_that_says_nothing_hangs(ran_for: float, silent_for: float, hangs: bool, tmp_path: Path) -> None:
    watch = SimpleNamespace(runs_for=ran_for)
    assert not service._hangs(watch, tmp_path)  # type: ignore[arg-type]
    Pulse(tmp_path).beat(WELL, at=now(), trouble=None)
    then = time.time() - silent_for
    os.utime(tmp_path / "watch.json", (then, then))
    assert service._hangs(watch, tmp_path) is hangs  # type: ignore[arg-type]
