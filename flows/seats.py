"""Seats for the heavy part of calibrations: as many sets at a time as the machine has room for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

SEATS = max(2, (os.cpu_count() or 2) // 2)
"""Sets that are measured and combined at the same time: each may take a processor and half a gigabyte."""


@contextmanager
def seat(home: Path) -> Iterator[None]:
    """Wait for a seat and hold it; one whose process is killed is free at once."""
    (home / ".seats").mkdir(exist_ok=True)
    locks = [FileLock(home / ".seats" / str(number), timeout=0) for number in range(SEATS)]
    while (held := next(filter(_is_taken, locks), None)) is None:
        time.sleep(0.1)
    try:
        yield
    finally:
        held.release()


def _is_taken(lock: FileLock) -> bool:
    """Take a lock; return whether that went well."""
    try:
        lock.acquire()
    except Timeout:
        return False
    return True
