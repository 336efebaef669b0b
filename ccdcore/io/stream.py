"""FITS files as streams: opened once, decompressed, with their checksums verified."""

from __future__ import annotations

import io
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException
from astropy.utils.exceptions import AstropyWarning
from isal import igzip, isal_zlib

from ccdcore.errors import FrameReadError
from ccdcore.io.plain_files import file_errors, regular_file
from ccdcore.io.structure import MAX_BYTES, MAX_RATIO, SMALL_BYTES, Blemishes, check_structure, require_ratio

_GZIP_MAGIC = b"\x1f\x8b"


_CHUNK = 2**20


# What astropy raises on content that it cannot decode.
_DECODING_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    zlib.error,
    fits.VerifyError,
    CfitsioException,
)


def preflight(path: str | os.PathLike[str]) -> None:
    """Check a file's structure without decoding it.

    Raises
    ------
    FrameReadError
        If it is not a complete FITS file (a wrong checksum is found by reading only).
    """
    with opened(Path(path)):
        pass


def claimed_bytes(path: str | os.PathLike[str]) -> int:
    """Return how many bytes a file holds when decompressed, as it says itself: read quickly, and never too much.

    Raises
    ------
    FrameReadError
        If it claims what no camera's frame does, or cannot be read.
    """
    path = Path(path)
    with file_errors(path), regular_file(path) as file:
        if file.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
            return check_structure(file, path).decoded_bytes
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4))
        claim = int.from_bytes(file.read(4), "little")  # modulo 4 GiB, more of which is refused
        return min(claim, max(SMALL_BYTES, MAX_RATIO * size))


def is_zipped(path: Path) -> bool:
    """Whether a file is compressed with gzip, whatever its name says."""
    with file_errors(path), regular_file(path) as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Blemishes]]:
    """Give the checked, decompressed content, and its blemishes, which are mended.

    What goes wrong while it is decoded becomes a `FrameReadError`.
    """
    with file_errors(path), regular_file(path) as file, warnings.catch_warnings():
        # astropy warns of blemishes (odd keywords, bytes after the last unit) that do no harm. Filters belong to
        # the whole process: where threads read at the same time, the worst is that such a warning is shown.
        warnings.simplefilter("ignore", AstropyWarning)
        zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        stream = _decompressed(path, file) if zipped else file
        blemishes = check_structure(stream, path)
        if blemishes:
            stream.seek(0)
            stream = io.BytesIO(blemishes.mended(stream.read()))
        try:
            yield stream, blemishes
        except _DECODING_ERRORS as error:
            raise FrameReadError(path, f"cannot be decoded: {error}") from error


def _decompressed(path: Path, file: BinaryIO) -> BinaryIO:
    content = io.BytesIO()
    try:
        with igzip.GzipFile(fileobj=file) as compressed:  # type: ignore[no-untyped-call]
            while chunk := compressed.read(_CHUNK):
                content.write(chunk)
                if content.tell() > MAX_BYTES:
                    raise FrameReadError(path, "is more than 4 GiB when decompressed")
                require_ratio(path, content.tell(), file.tell())
    except EOFError as error:
        raise FrameReadError(path, "is cut off: the compressed data end too early", incomplete=True) from error
    except (igzip.BadGzipFile, isal_zlib.IsalError) as error:  # type: ignore[misc]  # as its stubs have it
        raise FrameReadError(path, f"is damaged: {error}; copy it again from the camera") from error
    return content


def _verify_checksums(path: Path, stream: BinaryIO) -> None:
    stream.seek(0)
    hdus = fits.open(stream, memmap=False, disable_image_compression=True)
    for position, hdu in enumerate(hdus):
        if not hasattr(hdu, "verify_datasum"):  # astropy's stand-in for a unit that it cannot make out
            raise FrameReadError(path, f"is damaged: unit {position} is of no known kind")
        for keyword, verify in (("DATASUM", hdu.verify_datasum), ("CHECKSUM", hdu.verify_checksum)):
            if hdu.header.get(keyword) and not verify():
                raise FrameReadError(
                    path, f"is damaged: its {keyword} does not match in unit {position}; copy it again from the camera"
                )
