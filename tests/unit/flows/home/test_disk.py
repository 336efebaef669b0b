"""A full disk: what is told, what waits, and the ballast that is given away."""

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.home import disk
from flows.home.disk import Disk, is_disk_full, keep_ballast, says_disk_full

MIB = 2**20
Fill = Callable[[float], None]


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Leave so many MiB of a disk of 1 000."""

    def set_free(mib: float) -> None:
        usage = SimpleNamespace(total=1000 * MIB, free=int(mib * MIB))
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)

    return set_free


def test_work_waits_below_the_watermark_and_it_is_told(leave: Fill, tmp_path: Path) -> None:
    told = {}
    for free in (900, 100, 99, 50, 49):
        leave(free)
        now = Disk.of(tmp_path)
        told[free] = now.has_room, now.finding
    assert told == {
        900: (True, None),
        100: (True, None),
        99: (True, "only 99 MiB of the disk of the home are free"),
        50: (True, "only 50 MiB of the disk of the home are free"),
        49: (False, "only 49 MiB of the disk of the home are free: work waits for 50"),
    }


def test_the_ballast_is_given_away_and_laid_in_again(leave: Fill, tmp_path: Path) -> None:
    ballast = tmp_path / ".ballast"
    leave(60)
    keep_ballast(tmp_path)
    assert not ballast.exists()  # it would take the room that work needs
    leave(900)
    keep_ballast(tmp_path)
    assert ballast.stat().st_blocks * 512 >= 20 * MIB == ballast.stat().st_size
    leave(20)
    keep_ballast(tmp_path)
    assert ballast.exists()
    leave(9)
    keep_ballast(tmp_path)
    assert not ballast.exists()


def test_a_ballast_that_does_not_fit_leaves_nothing(
    leave: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    leave(900)
    monkeypatch.setattr(disk.os, "posix_fallocate", refuse)
    keep_ballast(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_known_by_whatever_error(tmp_path: Path) -> None:
    renamed = OSError("Not enough space on disk: requested 5, available 0")  # as astropy says it
    renamed.__context__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_disk_full(renamed)
    connection = sqlite3.connect(tmp_path / "small.db")
    connection.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full") as caught:
        connection.execute("CREATE TABLE large AS SELECT randomblob(100000)")
    connection.close()
    assert is_disk_full(caught.value)
    assert not is_disk_full(OSError(errno.EIO, "Input/output error"))
    assert not is_disk_full(None)


def test_a_full_disk_is_known_by_the_message_of_a_run() -> None:
    assert says_disk_full("ended in the middle: OperationalError: database or disk is full")
    assert says_disk_full("OSError: [Errno 28] No space left on device")
    assert not says_disk_full("no biases")
    assert not says_disk_full(None)
