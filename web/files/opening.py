"""Opening files: where they should lie, by no link, as one of their kind begins, and with the hash on record."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from threading import Lock

from fastapi import HTTPException
from sqlalchemy.orm import Session

from ccdcore.compression import COMPRESSIONS
from ccdcore.io.plain_files import open_below
from db.files.ledger import files_of_frame

FITS_BEGINS = (b"SIMPLE", *(one.magic for one in COMPRESSIONS))
"""A FITS file, and one that is compressed."""
PNG_BEGINS = (b"\x89PNG\r\n",)
_MOST_KNOWN = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file should lie, below which folder; and the SHA-256 of its bytes that is on record."""

    root: Path
    below: PurePath
    sha256: str | None

    @property
    def path(self) -> Path:
        """All of it."""
        return self.root / self.below

    @property
    def is_there(self) -> bool:
        """Whether a FITS file lies there."""
        stream = opened(self.root, self.below, FITS_BEGINS)
        if stream is None:
            return False
        stream.close()
        return True


def place_of_master(home: Path, path: str, sha256: str) -> Place:
    """Return where the file of a master should lie: below the folder of all, which may be a link to another disk."""
    parts = PurePath(path)
    below = parts.relative_to("masters") if parts.parts[:1] == ("masters",) else PurePath("..")
    return Place(home / "masters", below, sha256)


def places_of_frame(session: Session, frame_id: int, *, host: str) -> list[Place]:
    """Return where the raw files of a frame should lie on this machine."""
    return [
        Place(Path(one.root), PurePath(one.relative_path), sha256)
        for one, sha256 in files_of_frame(session, frame_id, host=host)
    ]


def opened(root: Path, below: PurePath, begins: tuple[bytes, ...]) -> io.BufferedReader | None:
    """Open a file that lies below a folder, is reached by no link, and begins as one of its kind does."""
    try:
        stream = open_below(root, below)
    except (OSError, ValueError):
        return None
    if stream.read(max(map(len, begins))).startswith(begins):
        stream.seek(0)
        return stream
    stream.close()
    return None


@dataclass(frozen=True)
class Hashes:
    """What files were found to hold, so that it need not be reckoned for each part of them that is shown.

    A file is known by its number, size and times; that of its status cannot be set back.
    """

    _known: dict[tuple[int, ...], str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, stream: io.BufferedReader) -> str:
        """Return the SHA-256 of an open file, which is left at its beginning."""
        signature = self.signature(stream)
        with self._lock:
            known = self._known.get(signature)
        if known is None:
            known = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            if self.signature(stream) == signature:
                self._keep(signature, known)
        return known

    def _keep(self, signature: tuple[int, ...], sha256: str) -> None:
        with self._lock:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[signature] = sha256

    @staticmethod
    def signature(stream: io.BufferedReader) -> tuple[int, ...]:
        """Return what tells an open file from any other, and from what it was before it was written to."""
        status = os.fstat(stream.fileno())
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def as_on_record(places: Iterable[Place], what: str, hashes: Hashes) -> tuple[io.BufferedReader, Place]:
    """Open the first file that is as on record: what was looked at, whatever has its name by then.

    Raises
    ------
    HTTPException
        If there is none: 409 where one is another than it was, else 404.
    """
    has_changed = False
    for place in places:
        if (stream := opened(place.root, place.below, FITS_BEGINS)) is None:
            continue
        if hashes.of(stream) == place.sha256:
            return stream, place
        stream.close()
        has_changed = True
    if has_changed:
        raise HTTPException(409, f"the file of {what} is not as on record any more: ccdwatch audit says more")
    raise HTTPException(404, f"the file of {what} is not on this machine any more, or is reached by a link only")
