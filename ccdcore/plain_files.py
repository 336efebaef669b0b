"""Files below a folder, reached through folders and never through a link."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

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
