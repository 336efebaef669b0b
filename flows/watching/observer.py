"""Events of the file system, taken as hints of where to look: they may be late, doubled, or missing."""

from __future__ import annotations

import logging
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
)
from watchdog.observers import Observer

from ccdcore.errors import ExpectedError
from flows.retries import OBSERVER
from flows.watching.directory_tree import Tree
from flows.watching.hints import HintBox, Hints, _Handler
from flows.watching.liveness_probe import Canary

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

ANNOUNCED_WITHIN_SECONDS = 15.0
"""How long after a scan has found a file its event may come."""

DEAF_SECONDS = 60.0
"""How long an observer that missed something is not trusted, at least: it may hear some folders and not others."""

_STOP_SECONDS = 5.0

_EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]

logger = logging.getLogger(__name__)


class ObserverHangsError(ExpectedError):
    """Threads that can neither be used nor ended: only a new process is rid of them."""


class ObservedRoot:
    """One watched directory and its observer, which is started again whenever either is lost.

    An observer may fail silently: its threads hang, it could not watch all folders, or the file system sends
    no events. So it is asked for signs of life, and held against what scans find.

    Parameters
    ----------
    tree : Tree
        The directory; it need not exist.
    box : HintBox
        Takes the hints.
    canary : Canary or None
        Asks the observer for signs of life; None to do without an observer, as on network file systems whose
        events do not come.
    mount : str or None
        Where the file system was mounted that the directory was last seen on.
    """

    def __init__(self, tree: Tree, box: HintBox, *, canary: Canary | None, mount: str | None) -> None:
        self.tree = tree
        self.mount = mount
        self._handler = _Handler(tree, box)
        self._canary = canary
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        self._next_start = 0.0
        self._starts_in_vain = 0
        self._unannounced: dict[str, float] = {}
        self._missed_at: float | None = None

    @property
    def is_missing(self) -> bool:
        """Whether the directory, or the file system it was on, was not there when last looked for."""
        return self._identity is None

    @property
    def is_deaf(self) -> bool:
        """Whether events ought to come, but do not, or not all."""
        return (
            self._canary is not None and not self.is_missing and (self._missed_at is not None or not self._is_alive())
        )

    @property
    def needs_scans(self) -> bool:
        """Whether only scans tell what happens in it."""
        return not self.is_missing and (self._canary is None or self.is_deaf)

    def _is_alive(self) -> bool:
        if self._observer is None or len(self._observer.emitters) < 2:  # one for the directory, one for the canary
            return False
        # On Linux one more thread reads the kernel's queue, and watchdog does not say when it has died.
        reader = getattr(self._observer, "_inotify_fd", self._observer)
        return all(thread.is_alive() for thread in (self._observer, reader, *self._observer.emitters))

    def tend(self) -> bool:
        """Start what is not running; return whether the tree must be scanned, as events may have been missed.

        Raises
        ------
        ObserverHangsError
            If an observer that is to be replaced does not end.
        """
        identity = self._look()
        if identity == self._identity:
            return identity is not None and self._tend_observer()
        self._identity = identity
        self._stop_or_raise()
        if identity is None:
            logger.warning("%r is not there, or not mounted; it is watched again as soon as it is", self.tree.root)
            return False
        self._starts_in_vain = 0
        self._start()
        return True

    def _look(self) -> tuple[int, int] | None:
        """Return what tells the directory from another one of its name; None where it, or its share, is gone."""
        identity = _identity(self.tree.root)
        if identity is not None and identity != self._identity:
            mount = _mount_of(self.tree.root)
            if self.mount is not None and len(mount) < len(self.mount) and _is_empty(self.tree.root):
                return None  # the empty directory that the share was mounted on
            self.mount = mount
        return identity

    def _tend_observer(self) -> bool:
        if self._canary is None:
            return False
        now = time.monotonic()
        if any(until < now for until in self._unannounced.values()):
            self._unannounced.clear()
            self._missed_at = now
            problem = "has missed frames that a scan found"
        elif not self._is_alive():
            problem = "has stopped"
        elif self._canary.is_silent():
            problem = "gives no sign of life"
        else:
            return False
        if now < self._next_start:
            return False
        logger.warning("the observer of %r %s; it is started again", self.tree.root, problem)
        self._stop_or_raise()
        self._start()
        return True

    def stop(self) -> bool:
        """End the observer; return whether it did end."""
        observer, self._observer = self._observer, None
        if observer is None:
            return True
        ending = threading.Thread(target=_end, args=(observer,), daemon=True)
        ending.start()
        ending.join(_STOP_SECONDS)
        return not ending.is_alive()

    def _stop_or_raise(self) -> None:
        if not self.stop():
            raise ObserverHangsError(f"the observer of {self.tree.root} hangs")

    def _start(self) -> None:
        """Start an observer; the next one after a pause, a longer one where that does not help."""
        if self._canary is None:
            return
        self._starts_in_vain += 1
        self._next_start = time.monotonic() + OBSERVER.after(self._starts_in_vain)
        self._unannounced.clear()
        observer = None
        try:
            observer = Observer()
            observer.schedule(self._handler, self.tree.root, recursive=True, event_filter=_EVENTS)
            self._canary.observe_with(observer)
            observer.start()
        except OSError as error:
            logger.warning(
                "%r cannot be observed (%s); it is scanned more often instead", self.tree.root, error.strerror
            )
            if observer is not None:
                observer.stop()
            return
        self._observer = observer

    def hear(self, hints: Hints) -> None:
        """Take note of the events that came, or were lost as everybody knows."""
        mine = [path for some in (hints.files, hints.directories) for path, tree in some.items() if tree is self.tree]
        if mine and (self._missed_at is None or time.monotonic() > self._missed_at + DEAF_SECONDS):
            self._missed_at, self._starts_in_vain = None, 0
        if hints.overflow:
            self._unannounced.clear()
        for path in [path for path in self._unannounced if _is_told(path, hints)]:
            del self._unannounced[path]

    def expect(self, paths: Iterable[str]) -> None:
        """Take note of files that came since the last scan: their events ought to have come, or to be on their way."""
        if self._canary is None:
            return
        until = time.monotonic() + ANNOUNCED_WITHIN_SECONDS
        self._unannounced.update((path, until) for path in paths)


def _is_empty(directory: str) -> bool:
    try:
        return not any(Path(directory).iterdir())
    except OSError:
        return False


def _is_told(path: str, hints: Hints) -> bool:
    return path in hints.files or any(str(parent) in hints.directories for parent in Path(path).parents)


def _end(observer: BaseObserver) -> None:
    observer.stop()
    observer.join()


def _mount_of(directory: str) -> str:
    """Return where the file system is mounted that a directory is on."""
    path = Path(directory).resolve()
    return str(next(one for one in (path, *path.parents) if one.is_mount()))


def _identity(directory: str) -> tuple[int, int] | None:
    try:
        status = Path(directory).stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
