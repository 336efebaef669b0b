"""Writes files: each appears whole or not at all, and outlasts a loss of power."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.io import fits


@contextmanager
def appearing(path: str | os.PathLike[str], hdulist: fits.HDUList) -> Iterator[str]:
    """Write a FITS file with CHECKSUM and DATASUM, and give the SHA-256 of its bytes before it has its name.

    The same content gives the same bytes.

    It gets its name at the end of the context, in the place of no other file; where that ends in an error, never.

    Raises
    ------
    FileExistsError
        If there is something of that name.
    OSError
        If it cannot be written; nothing is left behind.
    """
    with new_file(path) as temporary:
        yield _write_fits(temporary, hdulist)


@contextmanager
def appearing_in_pieces(path: str | os.PathLike[str], pieces: Iterable[bytes]) -> Iterator[str]:
    """Write a file in the way of `appearing` that is larger than what a process should hold, piece by piece.

    Raises
    ------
    FileExistsError, OSError
        As of `appearing`.
    """
    with new_file(path) as temporary:
        digest = hashlib.sha256()
        with temporary.open("wb") as stream:
            for piece in pieces:
                stream.write(piece)
                digest.update(piece)
        yield digest.hexdigest()


@contextmanager
def reappearing(path: str | os.PathLike[str], hdulist: fits.HDUList) -> Iterator[str]:
    """Write a FITS file as `appearing` does, but in the place of what has its name.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind, and what was there stays.
    """
    with replaced_file(path) as temporary:
        yield _write_fits(temporary, hdulist)


def _write_fits(path: Path, hdulist: fits.HDUList) -> str:
    """Write a FITS file to disk, and return the SHA-256 of its bytes."""
    hdulist.update_extend()
    for unit in hdulist:
        unit.add_checksum(when="of this unit of the file")  # astropy's own comment is the time
    with path.open("wb") as stream:
        hdulist.writeto(stream)
    _to_disk(path)
    with path.open("rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest()


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
        _to_disk(temporary)
        _name(temporary, path)


@contextmanager
def replaced_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give where to write a file, in a folder that is there; at the end it takes the place of what has its name.

    Raises
    ------
    OSError
        If it cannot be named; nothing is left behind, and what was there stays.
    """
    path = Path(path)
    with _temporary(path) as temporary:
        yield temporary
        _to_disk(temporary)
        temporary.replace(path)


def write_hdulist(path: str | os.PathLike[str], hdulist: fits.HDUList) -> None:
    """Write a FITS file in the way of `appearing`."""
    with appearing(path, hdulist):
        pass


def write_bytes(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o666) -> None:
    """Write a file of any kind in the way of `replaced_file`; ``mode`` is what others may do with it, less the umask.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind.
    """
    with replaced_file(path) as temporary:
        _write(temporary, data, mode)


def write_status(path: Path, text: str) -> None:
    """Write what is soon said anew: whole too, but the disk is not waited for, and a loss of power may take it.

    For one writer: its temporary file always has the same name, so that one who is killed again and again leaves one.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind, and what was there stays.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        _write(temporary, text.encode(), 0o666)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there: through no link."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as stream:
        stream.write(data)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` that is gone at the end, when what was done to the folder is on disk."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    """Wait until what was written to a file, or done to a folder, is on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
