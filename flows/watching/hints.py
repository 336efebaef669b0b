"""Hints of where to look, collected from the threads of observers."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler

from flows.watching.directory_tree import Tree


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
