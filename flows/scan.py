"""What is in a watched directory: which files count, their signatures, and whether somebody still writes to them."""

from __future__ import annotations

import fcntl
import fnmatch
import logging
import os
import re
import signal
import stat
import sys
from collections.abc import Iterable, Iterator

from db.ledger import Sighting

logger = logging.getLogger(__name__)


class Tree:
    """A watched directory and the files in it that count.

    Those are regular files, and symbolic links to regular files of the same
    tree, whose name is included. What is hidden is passed over, and so are
    directories behind links: they may lead anywhere, even round in circles.

    Parameters
    ----------
    root : str
        The directory, absolute.
    include : iterable of str
        Patterns of names, in any case; ``.gz`` or ``.fz`` may follow.
    exclude : str
        A directory that is passed over where it lies in this one.
    """

    def __init__(self, root: str, *, include: Iterable[str], exclude: str) -> None:
        self.root = root
        self._prefix = _with_slash(root)
        # A directory inside the excluded one was asked for by name.
        self._exclude = _with_slash(exclude) if _with_slash(exclude).startswith(self._prefix) else None
        self._names = re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in include))
        self.unreadable: set[str] = set()
        """Directories that could not be listed when last tried."""

    def holds(self, path: str) -> bool:
        """Whether a path lies in the tree, neither hidden nor excluded."""
        return self._contains(path) and "/." not in path[len(self._prefix) - 1 :]

    def wants(self, path: str) -> bool:
        """Whether a file of this path would count, going by its name."""
        return self.holds(path) and self._is_included(path.rpartition("/")[2])

    def sight(self, path: str) -> Sighting | None:
        """Return the file's signature, or None where there is no file that counts."""
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                target = os.path.realpath(path)
                if not self._contains(target):
                    return None
                status = os.lstat(target)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return sighting(self.root, path[len(self._prefix) :], status)

    def walk(self, top: str | None = None) -> Iterator[tuple[str, Sighting]]:
        """Yield path and signature of every file that counts in ``top`` (the whole tree) and below."""
        directories = [top or self.root]
        while directories:
            for entry in self._entries(directories.pop()):
                if entry.name.startswith(".") or not self._contains(entry.path):
                    continue
                if _is_directory(entry):
                    directories.append(entry.path)
                elif self._is_included(entry.name) and (sighting := self.sight(entry.path)):
                    yield entry.path, sighting

    def _contains(self, path: str) -> bool:
        return path.startswith(self._prefix) and not (self._exclude and _with_slash(path).startswith(self._exclude))

    def _is_included(self, name: str) -> bool:
        lower = name.lower()
        if lower.endswith((".tmp", ".part")):
            return False
        uncompressed = lower[:-3] if lower.endswith((".gz", ".fz")) else lower
        return bool(self._names.fullmatch(uncompressed) or self._names.fullmatch(lower))

    def _entries(self, directory: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(directory) as entries:
                found = list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            if directory not in self.unreadable:
                self.unreadable.add(directory)
                logger.warning("%r cannot be listed (%s); frames in it are not seen", directory, error.strerror)
            return []
        self.unreadable.discard(directory)
        return found


def sighting(root: str, relative_path: str, status: os.stat_result) -> Sighting:
    """Return what the ledger is told of a file."""
    return Sighting(root, relative_path, status.st_size, status.st_mtime_ns, status.st_ino, ctime_ns=status.st_ctime_ns)


def is_open_for_writing(path: str) -> bool | None:
    """Tell whether any process has a file open for writing; None where that cannot be known.

    Linux grants a read lease on a file only while nobody has it open for
    writing (fcntl(2), ``F_SETLEASE``). It asks for the file to be our own, or
    for CAP_LEASE, and for a file system that knows leases.
    """
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.open(os.path.realpath(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # A writer that comes while we hold the lease waits those microseconds, and the kernel signals us: with
        # SIGIO, which ends a process, unless told to use another; SIGURG does nothing to one that does not ask.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _with_slash(path: str) -> str:
    return path.rstrip("/") + "/"


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # some file systems do not tell the type in the listing, and the entry has gone since
        return False
