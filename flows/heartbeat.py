"""How the watcher says that it is alive, to those who ask in other processes: ``watch.json`` in the home."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from db.rows import plain

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
    settling : int
        Files that are not ready yet.
    """

    scanned_at: datetime | None
    missing: tuple[str, ...]
    unobserved: tuple[str, ...]
    settling: int


@dataclass(frozen=True)
class Heartbeat(WatcherHealth):
    """What the watcher said of itself.

    Parameters
    ----------
    at : datetime
        When it said so.
    trouble : str or None
        What keeps it from its work at present.
    """

    at: datetime
    trouble: str | None


class Pulse:
    """Says again and again how the watcher of a home is, until it ends in peace."""

    def __init__(self, home: Path) -> None:
        self._file = home / _NAME
        self._last: tuple[datetime, str | None] | None = None

    def beat(self, watcher: WatcherHealth, *, at: datetime, trouble: str | None) -> None:
        """Say how the watcher is, where some seconds have passed or the trouble is another one.

        Where there is no room to say it, who asks sees that nothing was said for long.
        """
        if self._last and self._last[0] <= at < self._last[0] + EVERY and self._last[1] == trouble:
            return
        temporary = self._file.with_name(f".{_NAME}.tmp")
        heartbeat = Heartbeat(**asdict(watcher), at=at, trouble=trouble)
        with suppress(OSError):
            temporary.write_text(json.dumps(plain(asdict(heartbeat))), encoding="utf-8")
            temporary.replace(self._file)
        self._last = at, trouble

    def end(self) -> None:
        """Say that the watcher ended in peace."""
        self._file.unlink(missing_ok=True)


def read_heartbeat(home: Path) -> Heartbeat | None:
    """Return what the watcher last said; None where it never ran, or ended in peace."""
    try:
        said = json.loads((home / _NAME).read_text(encoding="utf-8"))
        return Heartbeat(
            scanned_at=said["scanned_at"] and datetime.fromisoformat(said["scanned_at"]),
            missing=tuple(said["missing"]),
            unobserved=tuple(said["unobserved"]),
            settling=said["settling"],
            at=datetime.fromisoformat(said["at"]),
            trouble=said["trouble"],
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
