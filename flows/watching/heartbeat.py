"""How the watcher says that it is alive, to those who ask in other processes: ``watch.json`` in the home."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ccdcore.io.write import write_status
from db.schema.rows import plain

EVERY = timedelta(seconds=5)
"""How often it says so."""

_NAME = "watch.json"


@dataclass(frozen=True)
class WatcherHealth:
    """How the watcher is.

    Parameters
    ----------
    scanned_at : datetime or None
        When everything was last scanned.
    missing : tuple of str
        Watched directories that are not there.
    unobserved : tuple of str
        Those that are there, but whose events do not come though they should: they are only scanned.
    unreadable : tuple of str
        Directories that cannot be listed.
    mounts : mapping of str to str
        Where the file systems are mounted that the watched directories were last seen on.
    settling : int
        Files that are not ready yet.
    """

    scanned_at: datetime | None
    missing: tuple[str, ...]
    unobserved: tuple[str, ...]
    unreadable: tuple[str, ...]
    mounts: Mapping[str, str]
    settling: int


@dataclass(frozen=True)
class Heartbeat(WatcherHealth):
    """What the watcher said of itself.

    Parameters
    ----------
    at : datetime
        When it said so: the time of the file, for that can be set on a full disk too.
    trouble : str or None
        What keeps it from its work at present.
    has_ended : bool
        Whether it then ended in peace.
    """

    at: datetime
    trouble: str | None
    has_ended: bool

    @property
    def ails(self) -> tuple[object, ...]:
        """What is not well."""
        return self.trouble, self.missing, self.unobserved, self.unreadable


class Pulse:
    """Says again and again how the watcher of a home is, until it ends in peace."""

    def __init__(self, home: Path) -> None:
        self._file = home / _NAME
        self._last: Heartbeat | None = None

    def beat(self, watcher: WatcherHealth, *, at: datetime, trouble: str | None) -> None:
        """Say how the watcher is, where some seconds have passed or it is not as it was."""
        heartbeat = Heartbeat(**asdict(watcher), at=at, trouble=trouble, has_ended=False)
        last = self._last
        is_due = last is None or not last.at <= at < last.at + EVERY
        if is_due or last is None or heartbeat.ails != last.ails:
            self._say(heartbeat)
            self._last = heartbeat

    def end(self, watcher: WatcherHealth, *, at: datetime) -> None:
        """Say that the watcher ended in peace."""
        self._say(Heartbeat(**asdict(watcher), at=at, trouble=None, has_ended=True))

    def _say(self, heartbeat: Heartbeat) -> None:
        try:
            write_status(self._file, json.dumps(plain(asdict(heartbeat))))
        except OSError:  # the disk is full: at least say that it is alive, which needs no room
            with suppress(OSError):
                os.utime(self._file)


def read_heartbeat(home: Path) -> Heartbeat | None:
    """Return what the watcher last said; None where it never ran."""
    try:
        file = home / _NAME
        said = json.loads(file.read_text(encoding="utf-8"))
        return Heartbeat(
            scanned_at=said["scanned_at"] and datetime.fromisoformat(said["scanned_at"]),
            missing=tuple(said["missing"]),
            unobserved=tuple(said["unobserved"]),
            unreadable=tuple(said["unreadable"]),
            mounts=said["mounts"],
            settling=said["settling"],
            at=datetime.fromtimestamp(file.stat().st_mtime, tz=UTC),
            trouble=said["trouble"],
            has_ended=said["has_ended"],
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
