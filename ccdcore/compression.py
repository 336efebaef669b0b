"""How files of frames are named, and how they are compressed: another format is one more of `COMPRESSIONS`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from isal import igzip, isal_zlib


@dataclass(frozen=True, slots=True)
class Compression:
    """A way to compress a whole file.

    Parameters
    ----------
    suffix : str
        What the name of such a file ends with, in small letters.
    magic : bytes
        What its content begins with, whatever its name says.
    decompressed : callable
        Gives the content of an open file as it was; one that is cut off ends in an EOFError.
    errors : tuple of exception types
        What is raised where it is damaged.
    claim : callable, optional
        Reads how many bytes an open file has when decompressed, as it says itself; None where none says so.
    """

    suffix: str
    magic: bytes
    decompressed: Callable[[BinaryIO], BinaryIO]
    errors: tuple[type[Exception], ...]
    claim: Callable[[BinaryIO], int] | None = None


def _gunzipped(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", igzip.GzipFile(fileobj=file))  # type: ignore[no-untyped-call]


def _claim_of_gzip(file: BinaryIO) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 4))
    return int.from_bytes(file.read(4), "little")  # modulo 4 GiB, more of which is refused


_GZIP_ERRORS: tuple[type[Exception], ...] = (igzip.BadGzipFile, isal_zlib.IsalError)  # type: ignore[assignment]

COMPRESSIONS = (Compression(".gz", b"\x1f\x8b", _gunzipped, _GZIP_ERRORS, claim=_claim_of_gzip),)

FITS_SUFFIXES = (".fit", ".fits", ".fts")
ADDED_SUFFIXES = (*(one.suffix for one in COMPRESSIONS), ".fz")
"""What may follow them: of compressed files, and of those that fpack made, which are FITS."""

FITS_NAME = re.compile(
    rf"(?!\.).+({'|'.join(map(re.escape, FITS_SUFFIXES))})({'|'.join(map(re.escape, ADDED_SUFFIXES))})?", re.IGNORECASE
)
"""Names of files that may be frames, in any case; none that is hidden."""

_LONGEST_MAGIC = max(len(one.magic) for one in COMPRESSIONS)


def compression_of(file: BinaryIO) -> Compression | None:
    """Return how an open file is compressed, whatever its name says; None where it is not. It is at its beginning."""
    file.seek(0)
    begins = file.read(_LONGEST_MAGIC)
    file.seek(0)
    return next((one for one in COMPRESSIONS if begins.startswith(one.magic)), None)


def without_added_suffix(name: str) -> str:
    """Return the name that a file had before it was compressed."""
    added = next((suffix for suffix in ADDED_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(added)]
