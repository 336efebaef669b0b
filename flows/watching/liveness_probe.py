"""A sign of life of an observer: a file of our own, whose events must come back through the same threads."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import FileMovedEvent, FileSystemEvent, FileSystemEventHandler

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

EVERY_SECONDS = 60.0
ANSWER_SECONDS = 30.0
"""A burst of frames may stand in front of the answer."""

logger = logging.getLogger(__name__)


class Canary(FileSystemEventHandler):
    """Renames a file once a minute and hears whether the observer says so.

    The file lies in the home: the directory with the frames may be read-only to us. A rename needs no
    room, so that it works on a full disk too.

    Parameters
    ----------
    directory : Path
        For this file alone; made where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._asked_at: float | None = None
        self._answered_at = 0.0
        self._next = 0.0

    def observe_with(self, observer: BaseObserver) -> None:
        """Have an observer answer for itself; what the one before owed is forgotten."""
        self._directory.mkdir(parents=True, exist_ok=True)
        observer.schedule(self, str(self._directory), event_filter=[FileMovedEvent])
        self._asked_at, self._next = None, time.monotonic()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Hear the answer."""
        self._answered_at = time.monotonic()

    def is_silent(self) -> bool:
        """Ask again where it is time; return whether an answer is overdue."""
        now = time.monotonic()
        if self._asked_at is not None and self._answered_at < self._asked_at:
            return now > self._asked_at + ANSWER_SECONDS
        if now >= self._next:
            self._ask(now)
        return False

    def _ask(self, now: float) -> None:
        old, new = self._directory / "tweet", self._directory / "twoot"
        if new.exists():
            old, new = new, old
        self._asked_at, self._next = now, now + EVERY_SECONDS
        try:
            old.touch()
            old.rename(new)
        except OSError as error:  # the home is in trouble, which others tell; of the observer nothing is known
            self._asked_at = None
            logger.warning("%s: the observer cannot be asked for a sign of life (%s)", old, error.strerror)
