"""Watching directories: which files are there, and which are ready, kept on the ledger.

Events are hints of where to look, the scan is the truth, the ledger is the
memory. No file is read here. A file is ready when its signature (size, mtime,
inode) has not changed for ``stable_seconds``, and nobody has it open for
writing; where that cannot be known, it must have been closed after writing or
renamed into place. One that has not changed for ``quiet_seconds`` is ready anyhow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from sqlalchemy.orm import Session

from db.files import ledger
from db.files.ledger import FileRow, Sighting
from flows.config.settings import WatchSettings
from flows.watching.directory_tree import Tree, is_behind_link, is_open_for_writing
from flows.watching.heartbeat import WatcherHealth
from flows.watching.hints import HintBox, Hints, OverflowAlarm
from flows.watching.liveness_probe import Canary
from flows.watching.observer import ObservedRoot

logger = logging.getLogger(__name__)

_GATHER_SECONDS = 0.05
"""How long a hint waits for others, so that a burst is one transaction."""

_POLLING_SECONDS = 5.0
"""Longest time between scans where only they tell what happens, unless a scan takes long."""

_SCANNING_SHARE = 0.05
"""Part of the time that may be spent on such scans."""

_PROGRESS_FILES = 1000
"""Files of a scan after which it is said that the watcher is alive."""

_OVERFLOW_SECONDS = 2.0
"""Shortest time between scans while events overflow."""

_RECHECK_SECONDS = 1.0
"""When to look again at a file that is stable, but open for writing."""

_LEDGER_SECONDS = 5.0
"""How often the ledger is asked which files were sent back to wait for more bytes."""

_LONGEST_REST = timedelta(minutes=1)
"""How long a file that was sent back may rest, unless files are given longer to become quiet."""

_BATCH = 5000
"""Files a transaction, so that nobody waits long for the database."""


@dataclass(slots=True)
class _Unstable:
    """A file that is not ready yet; times are those of the monotonic clock."""

    file_id: int
    since: float
    """When its signature was first seen."""
    due: float
    """When to look whether it is ready."""
    is_placed: bool = False
    """Whether it was closed after writing, or renamed into place, since it last changed."""


class Watcher:
    """Keeps the ledger's files in step with the watched directories.

    Parameters
    ----------
    settings : WatchSettings
        ``[watch]``; its directories are absolute and need not exist yet.
    write_session, read_session : callable
        Begin a session of the database: one that writes, and one that only reads.
    host : str
        This machine's name on the ledger.
    home : Path
        Where it lies in a watched directory, it is not watched. Holds the files that observers give a sign of
        life with.
    mounts : mapping of str to str, optional
        Where the file systems were mounted that the directories were last seen on.
    progress : callable, optional
        Called now and then in the midst of a long scan.
    """

    def __init__(
        self,
        settings: WatchSettings,
        *,
        write_session: Callable[[], AbstractContextManager[Session]],
        read_session: Callable[[], AbstractContextManager[Session]],
        host: str,
        home: Path,
        mounts: Mapping[str, str] | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._write_session = write_session
        self._read_session = read_session
        self._host = host
        self._home = str(home.resolve())
        self._box = HintBox()
        self._alarm = OverflowAlarm(self._box)
        self._bygone: dict[str, Tree] = {}
        """Directories that are not watched any more, with files that were not ready yet."""
        self._trees = {str(root): self._tree(str(root)) for root in _outermost(settings.directories)}
        self._roots = [
            ObservedRoot(
                tree,
                self._box,
                canary=None if settings.polling else Canary(home / ".canary" / str(number)),
                mount=(mounts or {}).get(tree.root),
            )
            for number, tree in enumerate(self._trees.values())
        ]
        self._progress = progress
        self._known: dict[str, Sighting] = {}
        """What is on the ledger, by path."""
        self._fingerprint: tuple[int, ...] | None = None
        """Of the ledger when that was last read; None where it was written to since."""
        self._unstable: dict[str, _Unstable] = {}
        """The files of it that wait, by path."""
        self._scanned_at: datetime | None = None
        self._last_scan = float("-inf")
        self._scan_took = 0.0
        self._scan_is_owed = True
        self._next_ledger_look = 0.0

    def _tree(self, root: str) -> Tree:
        return Tree(root, include=self._settings.include, exclude=self._home)

    @property
    def health(self) -> WatcherHealth:
        """How the watcher is."""
        return WatcherHealth(
            scanned_at=self._scanned_at,
            missing=tuple(root.tree.root for root in self._roots if root.is_missing),
            unobserved=tuple(root.tree.root for root in self._roots if root.is_deaf),
            unreadable=tuple(folder for tree in self._trees.values() for folder in sorted(tree.unreadable)),
            mounts={root.tree.root: root.mount for root in self._roots if root.mount is not None},
            settling=len(self._unstable),
        )

    def start(self) -> None:
        """Begin to listen for events."""
        logging.getLogger("watchdog.observers").addHandler(self._alarm)
        for root in self._roots:
            root.tend()

    def stop(self) -> None:
        """Listen no longer."""
        logging.getLogger("watchdog.observers").removeHandler(self._alarm)
        for root in self._roots:
            root.stop()

    def wait(self, timeout: float) -> None:
        """Sleep until there is something to do for `tick`, at most ``timeout`` seconds."""
        due = min((file.due for file in self._unstable.values()), default=float("inf"))
        until = min(due, self._next_scan()) - time.monotonic()
        if self._box.arrived.wait(max(0.0, min(timeout, until))):
            time.sleep(_GATHER_SECONDS)

    def tick(self, now: datetime) -> bool:
        """Look where something may have happened, and bring the ledger up to date.

        Call it again and again, with `wait` between. Should it raise (the
        database is locked, the disk full), the next call scans everything, so
        that nothing is lost.

        Parameters
        ----------
        now : datetime
            The time for the ledger.

        Returns
        -------
        bool
            Whether any file became ready.
        """
        hints = self._box.take()
        if hints.overflow:
            logger.warning("more events than the kernel keeps: some were lost, so everything is scanned")
        for root in self._roots:
            root.hear(hints)
        stirred = [root.tree for root in self._roots if root.tend()]
        is_owed = self._scan_is_owed or hints.overflow
        self._scan_is_owed = is_owed
        is_whole = time.monotonic() >= self._next_scan()
        self._scan_is_owed = True  # unless all of the following succeeds
        is_restored = self._hear_ledger(is_whole=is_whole)
        began = time.monotonic()
        found = self._scan(self._trees.values()) if is_whole else self._look(hints, stirred)
        blind = {f"{folder}/" for tree in self._trees.values() for folder in tree.unreadable}
        changed = {path: sighting for path, sighting in found if self._is_news(path, sighting)}
        if is_whole and not is_owed and not is_restored:
            self._expect([path for path in changed if not path.startswith(tuple(blind))], hints, stirred)
        became_ready = self._mark_stable(changed, now)
        self._record(changed, now)
        self._note_placed(hints.placed)
        self._scan_is_owed = is_owed and not is_whole
        if is_whole:
            self._last_scan, self._scanned_at = time.monotonic(), now
            self._scan_took = self._last_scan - began
        return became_ready

    def scan_all(self, now: datetime) -> None:
        """Look at everything at once, whenever that was last done; as `tick` does."""
        self._last_scan, self._scan_is_owed = float("-inf"), True
        self.tick(now)

    def _is_news(self, path: str, sighting: Sighting) -> bool:
        """Whether the ledger may have to be told: also of a new mode or owner, by which a file can be read again."""
        known = self._known.get(path)
        return known != sighting or known.ctime_ns not in {0, sighting.ctime_ns}

    def _next_scan(self) -> float:
        if self._scan_is_owed:
            pause = _OVERFLOW_SECONDS
        elif any(root.needs_scans for root in self._roots):
            pause = min(max(_POLLING_SECONDS, self._scan_took / _SCANNING_SHARE), self._settings.scan_seconds)
        else:
            pause = self._settings.scan_seconds
        return self._last_scan + pause

    def _look(self, hints: Hints, stirred: Iterable[Tree]) -> Iterator[tuple[str, Sighting]]:
        yield from self._scan(stirred)
        for directory, tree in hints.directories.items():
            yield from tree.walk(directory)
        for path, tree in hints.files.items():
            if sighting := tree.sight(path):
                yield path, sighting

    def _scan(self, trees: Iterable[Tree]) -> Iterator[tuple[str, Sighting]]:
        for tree in trees:
            for number, found in enumerate(tree.walk()):
                if number % _PROGRESS_FILES == 0:
                    self._progress()
                yield found

    def _expect(self, changed: Iterable[str], hints: Hints, stirred: Iterable[Tree]) -> None:
        """Hold the observers against a scan: of files that are new since the last one, events must come."""
        new = [path for path in changed if path not in self._known]
        for root in self._roots:
            if root.tree not in stirred:
                root.expect(path for path in new if root.tree.holds(path) and not is_behind_link(path))
                root.hear(hints)

    def _hear_ledger(self, *, is_whole: bool) -> bool:
        """Take over what is on the ledger, others write to it too; return whether it is an older one, restored."""
        if not is_whole and time.monotonic() < self._next_ledger_look:
            return False
        before = len(self._known)
        with self._read_session() as session:
            if is_whole and (found := ledger.fingerprint(session, host=self._host)) != self._fingerprint:
                on_record = ledger.sightings(session, host=self._host)
                self._known = {_path(s): s for s in on_record if s.root in self._trees}
                self._fingerprint = found
            waiting = {_path(row): row for row in ledger.waiting(session, host=self._host)}
        for path, row in waiting.items():
            if row.root not in self._trees:
                self._bygone.setdefault(row.root, self._tree(row.root))
                self._known.setdefault(path, _sighting(row))
        if is_whole:
            still = (
                path for path, file in self._unstable.items() if path in waiting and waiting[path].id == file.file_id
            )
            self._unstable = {path: self._unstable[path] for path in still if path in self._known}
        # What has been deleted is not known any more: it waits for nothing.
        self._await(row for path, row in waiting.items() if path in self._known and path not in self._unstable)
        self._next_ledger_look = time.monotonic() + _LEDGER_SECONDS
        return len(self._known) < before

    def _await(self, rows: Iterable[FileRow]) -> None:
        now = time.monotonic()
        due = now + self._settings.stable_seconds
        self._unstable.update((_path(row), _Unstable(row.id, since=now, due=due)) for row in rows)

    def _mark_stable(self, changed: dict[str, Sighting], now: datetime) -> bool:
        """Mark what is ready, forget what is gone; add to ``changed`` what turns out not to be stable."""
        ready, gone = {}, []
        clock = time.monotonic()
        missing = self.health.missing
        for path, file in [item for item in self._unstable.items() if item[1].due <= clock and item[0] not in changed]:
            known = self._known[path]
            tree = self._trees.get(known.root) or self._bygone[known.root]
            sighting = tree.sight(path)
            if sighting is None:
                del self._unstable[path], self._known[path]
                if known.root not in missing and (known.root in self._trees or Path(known.root).is_dir()):
                    gone.append(file.file_id)
            elif sighting != known:
                changed[path] = sighting
            elif self._is_ripe(path, file, clock):
                ready[path] = file
        if gone:
            self._fingerprint = None
            with self._write_session() as session:
                ledger.forget(session, gone)
        return bool(ready) and self._mark_ready(ready, now)

    def _is_ripe(self, path: str, file: _Unstable, clock: float) -> bool:
        is_open = is_open_for_writing(path)
        quiet_at = file.since + self._settings.quiet_seconds
        file.due = min(clock + _RECHECK_SECONDS, max(clock, quiet_at))
        return is_open is False or (is_open is None and file.is_placed) or clock >= quiet_at

    def _mark_ready(self, ready: dict[str, _Unstable], now: datetime) -> bool:
        with self._write_session() as session:
            ids, longest = [file.file_id for file in ready.values()], timedelta(seconds=self._settings.quiet_seconds)
            marked = ledger.mark_ready(session, ids, now=now, longest_rest=max(longest, _LONGEST_REST))
            resting = {row.id for row in ledger.waiting(session, host=self._host)} if marked < len(ready) else set()
        for path, file in ready.items():
            if file.file_id in resting:
                file.due = time.monotonic() + _RECHECK_SECONDS
            else:
                del self._unstable[path]
        return marked > 0

    def _record(self, changed: dict[str, Sighting], now: datetime) -> None:
        """Tell the ledger what is new or has changed; that is not stable yet."""
        news = iter(changed.items())
        while batch := dict(islice(news, _BATCH)):
            self._fingerprint = None
            with self._write_session() as session:
                rows = ledger.observe(session, batch.values(), host=self._host, now=now)
            for path, sighting in batch.items():
                if self._known.get(path) != sighting:
                    self._unstable.pop(path, None)
                self._known[path] = sighting
            self._await(rows)

    def _note_placed(self, placed: Iterable[str]) -> None:
        for path in placed:
            if file := self._unstable.get(path):
                file.is_placed = True
                file.due = file.since + self._settings.stable_seconds


def _sighting(row: FileRow) -> Sighting:
    return Sighting(row.root, row.relative_path, row.size, row.mtime_ns, row.inode)


def _path(file: FileRow | Sighting) -> str:
    return f"{file.root.rstrip('/')}/{file.relative_path}"


def _outermost(directories: Iterable[Path]) -> list[Path]:
    """Leave out directories that lie in another one, and those named twice."""
    distinct = set(directories)
    return sorted(d for d in distinct if distinct.isdisjoint(d.parents))
