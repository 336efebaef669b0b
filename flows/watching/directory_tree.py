"""What is in a watched directory: which files count, their signatures, and whether somebody still writes to them."""

from __future__ import annotations

import errno
import fcntl
import fnmatch
import logging
import os
import re
import signal
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ccdcore.compression import without_added_suffix
from db.files.ledger import Sighting
from flows.home.output_paths import home_above

logger = logging.getLogger(__name__)


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class Tree:
    """A watched directory and the files in it that count.

    Those are regular files, also behind symbolic links, whose name is included.
    Directories behind links are entered, each once, but never those that hold
    the tree itself. What is hidden is passed over, and nothing in a home is
    ever looked at through a link. What has the name of a frame and is none
    that can be read is told, once.

    Parameters
    ----------
    root : str
        The directory, absolute.
    include : iterable of str
        Patterns of names, in any case; the suffix of a compression may follow.
    exclude : str
        A directory that is passed over where it lies in this one: the home.
    """

    def __init__(self, root: str, *, include: Iterable[str], exclude: str) -> None:
        self.root = root
        self._prefix = _with_slash(root)
        self._home = _with_slash(exclude)
        # A directory inside the excluded one was asked for by name.
        self._exclude = self._home if self._home.startswith(self._prefix) else None
        self._names = re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in include))
        self.unreadable: set[str] = set()
        """Directories that could not be listed when last tried."""
        self.skipped: dict[str, str] = {}
        """Paths with the name of a frame, and links to directories, that were passed over when last seen, and why."""

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
        except (FileNotFoundError, NotADirectoryError):
            self.skipped.pop(path, None)
            return None
        except OSError as error:  # a folder that may be listed and not entered, a share that was lost
            self._skip(path, f"cannot be looked at: {error.strerror}")
            return None
        reason = None
        if stat.S_ISLNK(status.st_mode):
            try:
                status = os.stat(path)  # noqa: PTH116 - of thousands of files, whose paths are text
                reason = self._forbidden(os.path.realpath(path))
            except OSError as error:
                reason = (
                    "is a link to itself" if error.errno == errno.ELOOP else f"is a link to nothing: {error.strerror}"
                )
        if reason is None and not stat.S_ISREG(status.st_mode):
            reason = f"is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no regular file')}, not a regular file"
        if reason is not None:
            self._skip(path, reason)
            return None
        self.skipped.pop(path, None)
        return sighting(self.root, path[len(self._prefix) :], status)

    def walk(self, top: str | None = None) -> Iterator[tuple[str, Sighting]]:
        """Yield path and signature of every file that counts in ``top`` (the whole tree) and below."""
        directories, links = [top or self.root], list[str]()
        entered: set[str] = set()
        while directories or links:
            if not directories:
                links.sort(reverse=True)  # whichever the system lists first, the same ones are entered
                if self._enters(link := links.pop(), entered):
                    directories.append(link)
                continue
            for entry in self._entries(directories.pop()):
                if entry.name.startswith(".") or not self._contains(entry.path):
                    continue
                if _is_directory(entry):
                    directories.append(entry.path)
                elif _is_directory(entry, behind_link=True):
                    links.append(entry.path)
                elif self._is_included(entry.name) and (sighting := self.sight(entry.path)):
                    yield entry.path, sighting

    def _enters(self, link: str, entered: set[str]) -> bool:
        """Whether a link to a directory leads to files that are not seen anyhow, and that may be."""
        target = os.path.realpath(link)
        if _with_slash(target).startswith(self._prefix) or any(_with_slash(target).startswith(one) for one in entered):
            self.skipped.pop(link, None)
            return False
        if self._prefix.startswith(_with_slash(target)):
            self._skip(link, "is a link to a folder that holds this one")
            return False
        if reason := self._forbidden(target):
            self._skip(link, reason)
            return False
        self.skipped.pop(link, None)
        entered.add(_with_slash(target))
        return True

    def _forbidden(self, target: str) -> str | None:
        """Say why what a link leads to is not looked at: it lies in this home, or in another one."""
        if _with_slash(target).startswith(self._prefix):
            return None if self._contains(target) else "is a link into the home"
        if _with_slash(target).startswith(self._home) or home_above(Path(target)) is not None:
            return "is a link into a home of ccdwatch"
        return None

    def _skip(self, path: str, reason: str) -> None:
        if self.skipped.get(path) != reason:
            logger.warning("%r %s: passed over", path, reason)
        self.skipped[path] = reason

    def _contains(self, path: str) -> bool:
        return path.startswith(self._prefix) and not (self._exclude and _with_slash(path).startswith(self._exclude))

    def _is_included(self, name: str) -> bool:
        lower = name.lower()
        if lower.endswith((".tmp", ".part")):
            return False
        return bool(self._names.fullmatch(without_added_suffix(lower)) or self._names.fullmatch(lower))

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


def is_behind_link(path: str) -> bool:
    """Whether a directory above a path is a symbolic link, so that no events of it come."""
    directory = path.rpartition("/")[0]
    return os.path.realpath(directory) != directory


def _is_directory(entry: os.DirEntry[str], *, behind_link: bool = False) -> bool:
    try:
        return entry.is_dir(follow_symlinks=behind_link)
    except OSError:  # some file systems do not tell the type in the listing, and the entry has gone since
        return False
