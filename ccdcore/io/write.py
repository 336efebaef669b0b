"""Writes products: each file appears whole or not at all, and outlasts a loss of power."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from astropy.io import fits


@contextmanager
def appearing(path: str | os.PathLike[str], hdulist: fits.HDUList) -> Iterator[str]:
    """Write a FITS file with CHECKSUM and DATASUM, and give the SHA-256 of its bytes before it has its name.

    It gets its name at the end of the context, in the place of no other file; where that ends in an error, never.

    Raises
    ------
    FileExistsError
        If there is something of that name.
    OSError
        If it cannot be written; nothing is left behind.
    """
    with new_file(path) as temporary:
        with temporary.open("wb") as stream:
            hdulist.writeto(stream, checksum=True)
            _to_disk(stream)
        with temporary.open("rb") as written:
            sha256 = hashlib.file_digest(written, "sha256").hexdigest()
        yield sha256


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give where to write a file, which gets its name at the end, in the place of no other.

    Raises
    ------
    FileExistsError
        If there is something of that name, in the beginning or in the end.
    OSError
        If it cannot be named; nothing is left behind.
    """
    path = Path(path)
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path) as temporary:
        yield temporary
        _name(temporary, path)


def write_hdulist(path: str | os.PathLike[str], hdulist: fits.HDUList) -> None:
    """Write a FITS file in the way of `appearing`."""
    with appearing(path, hdulist):
        pass


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file of any kind into a folder that is there, in the place of what has its name.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind.
    """
    path = Path(path)
    with _temporary(path) as temporary:
        with temporary.open("wb") as stream:
            stream.write(data)
            _to_disk(stream)
        temporary.replace(path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` that is gone at the end, when what was done to the folder is on disk."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _to_disk(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _name(temporary: Path, path: Path) -> None:
    """Give a file its name, unless something else has it, which a rename would replace."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.rename(path)  # file systems without hard links
