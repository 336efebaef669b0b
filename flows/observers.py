"""Events of the file system, taken as hints of where to look: they may be late, doubled, or missing."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from flows.scan import Tree

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

RESTART_SECONDS = 10.0
"""Time between two starts of an observer of the same root."""

_STOP_SECONDS = 5.0

_EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]

logger = logging.getLogger(__name__)


@dataclass
class Hints:
    """Where something happened since the last look.

    Parameters
    ----------
    files, directories : dict of str to Tree
        Paths to look at; a directory with all that is below it.
    placed : set of str
        Those of the files that were closed after writing, or renamed into place.
    overflow : bool
        Whether events were lost.
    """

    files: dict[str, Tree] = field(default_factory=dict)
    directories: dict[str, Tree] = field(default_factory=dict)
    placed: set[str] = field(default_factory=set)
    overflow: bool = False


class HintBox:
    """Takes hints from the observers' threads and hands them over, all at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hints = Hints()
        self.arrived = threading.Event()
        """Set while there are hints."""

    def put(self, tree: Tree, path: str, *, is_directory: bool, is_placed: bool) -> None:
        """Take the hint that something happened to ``path``."""
        with self._lock:
            (self._hints.directories if is_directory else self._hints.files)[path] = tree
            if is_placed:
                self._hints.placed.add(path)
            self.arrived.set()

    def put_overflow(self) -> None:
        """Take the hint that events were lost."""
        with self._lock:
            self._hints.overflow = True
            self.arrived.set()

    def take(self) -> Hints:
        """Hand over what came since the last time."""
        with self._lock:
            taken, self._hints = self._hints, Hints()
            self.arrived.clear()
        return taken


class OverflowAlarm(logging.Handler):
    """Hears watchdog say that the kernel's queue has overflowed, which it tells nobody but its log."""

    def __init__(self, box: HintBox) -> None:
        super().__init__(logging.WARNING)
        self._box = box

    def emit(self, record: logging.LogRecord) -> None:
        """Turn the line into a hint."""
        if "overflow" in record.getMessage():
            self._box.put_overflow()


class _Handler(FileSystemEventHandler):
    """Puts events into the box; it must never raise, since that would end the observer's thread for good."""

    def __init__(self, tree: Tree, box: HintBox) -> None:
        self._tree = tree
        self._box = box

    def dispatch(self, event: FileSystemEvent) -> None:
        path = os.fsdecode(event.dest_path or event.src_path)
        if self._tree.holds(path) if event.is_directory else self._tree.wants(path):
            # A file in a directory that was moved may still be open.
            renamed = isinstance(event, FileMovedEvent) and not event.is_synthetic
            is_placed = renamed or isinstance(event, FileClosedEvent)
            self._box.put(self._tree, path, is_directory=event.is_directory, is_placed=is_placed)


class ObservedRoot:
    """One watched directory and its observer, which is started again whenever either is lost.

    Parameters
    ----------
    tree : Tree
        The directory; it need not exist.
    box : HintBox
        Takes the hints.
    polling : bool
        Do without an observer, as on network file systems whose events do not come.
    """

    def __init__(self, tree: Tree, box: HintBox, *, polling: bool) -> None:
        self.tree = tree
        self._handler = _Handler(tree, box)
        self._polling = polling
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        self._next_start = 0.0

    @property
    def is_missing(self) -> bool:
        """Whether the directory was not there when last looked for."""
        return self._identity is None

    @property
    def is_observed(self) -> bool:
        """Whether every thread of the observer is alive."""
        if self._observer is None or not self._observer.emitters:
            return False
        # On Linux one more thread reads the kernel's queue, and watchdog does not say when it has died.
        reader = getattr(self._observer, "_inotify_fd", self._observer)
        return all(thread.is_alive() for thread in (self._observer, reader, *self._observer.emitters))

    def tend(self) -> bool:
        """Start what is not running; return whether the tree must be scanned, as events may have been missed."""
        identity = _identity(self.tree.root)
        now = time.monotonic()
        if identity == self._identity and (identity is None or self.is_observed or now < self._next_start):
            return False
        if identity is None:
            logger.warning("%r is not there; it is watched again as soon as it is", self.tree.root)
        elif identity == self._identity:
            logger.warning("the observer of %r has stopped; it is started again", self.tree.root)
        self.stop()
        self._identity = identity
        if identity is not None:
            self._next_start = float("inf") if self._polling else now + RESTART_SECONDS
            self._start()
        return identity is not None

    def stop(self) -> None:
        """End the observer."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join(_STOP_SECONDS)

    def _start(self) -> None:
        if self._polling:
            return
        observer = None
        try:
            observer = Observer()
            observer.schedule(self._handler, self.tree.root, recursive=True, event_filter=_EVENTS)
            observer.start()
        except OSError as error:
            logger.warning(
                "%r cannot be observed (%s); it is scanned more often instead", self.tree.root, error.strerror
            )
            if observer is not None:
                observer.stop()
            return
        self._observer = observer


def _identity(directory: str) -> tuple[int, int] | None:
    try:
        status = Path(directory).stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
