"""A service that only says that it runs, and a watcher that only says how it is."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from flows.home.processes import HOST, now, own_start
from flows.home.service_address import RunningService, write_service
from flows.watching.heartbeat import Pulse, WatcherHealth


def pretend_service(home: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    service = RunningService(os.getpid(), own_start(), HOST, f"{url}/api", url, url)
    assert write_service(home, service)
    say_watcher(home)


def say_watcher(
    home: Path, *, ago: float = 1.0, trouble: str | None = None, ended: bool = False, **changes: Any
) -> None:
    """Say how the watcher was, so many seconds ago."""
    at = now() - timedelta(seconds=ago)
    well = {"scanned_at": at, "missing": (), "unobserved": (), "unreadable": (), "mounts": {}, "settling": 0}
    watcher = WatcherHealth(**{**well, **changes})
    if ended:
        Pulse(home).end(watcher, at=at)
    else:
        Pulse(home).beat(watcher, at=at, trouble=trouble)
    os.utime(home / "watch.json", (at.timestamp(), at.timestamp()))
