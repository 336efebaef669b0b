"""Files below a folder, reached through folders and never through a link."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from ccdcore.errors import FrameReadError
from ccdcore.io.structure import MAX_BYTES

_PLAIN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO must not make us wait for a writer


@contextmanager
def folder_below(root: Path, below: PurePath) -> Iterator[int]:
    """Give the descriptor of a folder below ``root``, which itself may be reached by a link.

    What is done by it (``dir_fd``) is done in that folder, whatever is put in its place meanwhile.

    Raises
    ------
    OSError
        If it is not there, or anything below ``root`` on the way to it is no folder.
    """
    if below.is_absolute() or ".." in below.parts:
        raise OSError(errno.EXDEV, "leads out of its folder", str(root / below))
    here = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        for part in below.parts:
            there = os.open(part, _PLAIN | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = there
        yield here
    finally:
        os.close(here)


def open_below(root: Path, below: PurePath) -> io.BufferedReader:
    """Open a regular file below ``root`` for reading.

    Raises
    ------
    OSError
        If it is not there, is no regular file, or anything below ``root`` on the way to it is no folder.
    """
    with folder_below(root, below.parent) as folder:
        return open_in(folder, below.name)


def open_in(folder: int, name: str) -> io.BufferedReader:
    """Open a regular file in a folder, which is given by its descriptor, for reading.

    Raises
    ------
    OSError
        If it is not there, or no regular file.
    """
    descriptor = os.open(name, _PLAIN, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is not a regular file", name)


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises
    ------
    FrameReadError
        If it cannot be read, or is no regular file.
    """
    path = Path(path)
    with file_errors(path), regular_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into an error that names it.

    Raises
    ------
    FrameReadError
        Instead of OSError.
    """
    try:
        yield
    except FrameReadError:
        raise
    except OSError as error:
        # The system's errors have a number; astropy raises some of its own of this kind.
        reason = f"cannot be read: {error.strerror}" if error.strerror else f"cannot be decoded: {error}"
        raise FrameReadError(path, reason) from error


def signature(file: Path | int) -> tuple[int, ...]:
    """Return number, size and times of change of a file, open or not: another one is another file, or was written to.

    Raises
    ------
    OSError
        If it is not there.
    """
    status = file.stat() if isinstance(file, Path) else os.fstat(file)
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def regular_file(path: Path) -> io.BufferedReader:
    """Open a regular file, which a link may lead to.

    Raises
    ------
    FrameReadError
        If it is anything else, or too long.
    OSError
        If it cannot be opened.
    """
    # A FIFO must not make us wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise FrameReadError(path, f"is {status.st_size / 2**30:.1f} GiB long; at most 4 GiB are read")
    raise FrameReadError(path, "is not a regular file")
