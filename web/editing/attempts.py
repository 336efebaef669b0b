"""Attempts at a password, slowed: each that fails makes the next one of its name wait longer."""

from __future__ import annotations

import time
from threading import Lock

LONGEST_SECONDS = 60.0
_MOST_NAMES = 10_000


class Attempts:
    """How long names have to wait: 1 s after the first that failed, twice as long after each one more."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[int, float]] = {}
        self.lock = Lock()
        """Held while one is looked at: no two at a time."""

    def seconds_to_wait(self, name: str) -> float:
        """Return how long until a name may be tried again; 0 where it may now."""
        _, until = self._failed.get(name, (0, 0.0))
        return max(0.0, until - time.monotonic())

    def count(self, name: str, *, succeeded: bool) -> None:
        """Take note of an attempt."""
        if succeeded:
            self._failed.pop(name, None)
            return
        n = self._failed.pop(name, (0, 0.0))[0] + 1
        if len(self._failed) >= _MOST_NAMES:  # the one that has failed the longest ago
            del self._failed[next(iter(self._failed))]
        self._failed[name] = n, time.monotonic() + min(2.0 ** min(n - 1, 10), LONGEST_SECONDS)
