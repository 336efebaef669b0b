"""Room on the disk of the home: work waits before it is full, and a ballast is given away when others fill it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ccdcore.errors import ExpectedError

_MIB = 2**20
_BALLAST_NAME = ".ballast"

_WORDS = ("disk is full", os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
"""SQLite's and the system's."""


class DiskFullError(ExpectedError):
    """There was no room to write; nothing is lost, and the same can be done again when there is."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk of a home at a moment; sizes in bytes, smaller on a small disk.

    Parameters
    ----------
    free : int
        What is free.
    comfort : int
        With less, somebody should make room soon.
    watermark : int
        With less, no work is begun, so that what is under way can be brought to its end.
    ballast : int
        Size of the file that is given away when others have filled the disk, so that the database can still be
        written to.
    """

    free: int
    comfort: int
    watermark: int
    ballast: int

    @classmethod
    def of(cls, home: Path) -> Disk:
        """Look at the disk of a home."""
        usage = shutil.disk_usage(home)
        return cls(
            free=usage.free,
            comfort=min(1024 * _MIB, usage.total // 10),
            watermark=min(256 * _MIB, usage.total // 20),
            ballast=min(64 * _MIB, usage.total // 50),
        )

    @property
    def has_room(self) -> bool:
        """Whether work may be begun."""
        return self.free >= self.watermark

    @property
    def finding(self) -> str | None:
        """What is to be said of it; None where there is room."""
        left = f"{self.free / _MIB:.0f} MiB of the disk of the home are free"
        if not self.has_room:
            return f"only {left}: work waits for {self.watermark / _MIB:.0f}"
        return f"only {left}" if self.free < self.comfort else None


def keep_ballast(home: Path) -> None:
    """Give the ballast away where the disk is all but full, lay it in again where there is room."""
    disk = Disk.of(home)
    file = home / _BALLAST_NAME
    if disk.free < disk.ballast // 2 and file.exists():
        file.unlink()
    elif disk.free > disk.watermark + disk.ballast and not file.exists():
        _lay_in(file, disk.ballast)


def _lay_in(file: Path, size: int) -> None:
    try:
        with file.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, size)  # a file with holes would not hold the room
    except OSError:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether there was no room, whatever library says so."""
    if error is None:
        return False
    is_it = (isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}) or (
        isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
    )
    return is_it or is_disk_full(error.__cause__ or error.__context__)


def says_disk_full(message: str | None) -> bool:
    """Whether the message of a run that failed says that there was no room."""
    return any(words in (message or "") for words in _WORDS)
