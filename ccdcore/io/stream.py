"""FITS files as streams: opened once, decompressed, with their checksums verified."""

from __future__ import annotations

import io
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException
from astropy.utils.exceptions import AstropyWarning

from ccdcore.compression import Compression, compression_of
from ccdcore.errors import FrameReadError
from ccdcore.io.plain_files import file_errors, regular_file
from ccdcore.io.structure import MAX_BYTES, MAX_RATIO, SMALL_BYTES, Blemishes, check_structure, require_ratio

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


def claimed_bytes(path: str | os.PathLike[str]) -> int:
    """Return how many bytes a file holds when decompressed, as it says itself: read quickly, and never too much.

    Raises
    ------
    FrameReadError
        If it claims what no camera's frame does, or cannot be read.
    """
    path = Path(path)
    with file_errors(path), regular_file(path) as file:
        compression = compression_of(file)
        if compression is None:
            return check_structure(file, path).decoded_bytes
        most = max(SMALL_BYTES, MAX_RATIO * file.seek(0, os.SEEK_END))
        return min(compression.claim(file), most) if compression.claim else most


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed as a whole, whatever its name says."""
    with file_errors(path), regular_file(path) as file:
        return compression_of(file) is not None


@contextmanager
def opened(path: Path, file: io.BufferedReader | None = None) -> Iterator[tuple[BinaryIO, Blemishes]]:
    """Give the checked, decompressed content, and its blemishes, which are mended.

    Parameters
    ----------
    path : Path
        The file.
    file : stream, optional
        It, where it is open already: of a path that is not followed a second time. It is closed at the end.

    Raises
    ------
    FrameReadError
        If it cannot be read, is no complete FITS file, or anything goes wrong while it is decoded.
    """
    with file_errors(path), file or regular_file(path) as raw, warnings.catch_warnings():
        # astropy warns of blemishes (odd keywords, bytes after the last unit) that do no harm. Filters belong to
        # the whole process: where threads read at the same time, the worst is that such a warning is shown.
        warnings.simplefilter("ignore", AstropyWarning)
        compression = compression_of(raw)
        stream = _decompressed(path, raw, compression) if compression else raw
        blemishes = check_structure(stream, path)
        if blemishes:
            stream.seek(0)
            stream = io.BytesIO(blemishes.mended(stream.read()))
        try:
            yield stream, blemishes
        except _DECODING_ERRORS as error:
            raise FrameReadError(path, f"cannot be decoded: {error}") from error


def _decompressed(path: Path, file: BinaryIO, compression: Compression) -> BinaryIO:
    content = io.BytesIO()
    try:
        with compression.decompressed(file) as stream:
            while chunk := stream.read(_CHUNK):
                content.write(chunk)
                _require_sane(path, content.tell(), file.tell())
    except FrameReadError:  # which is an OSError, as what some libraries raise
        raise
    except EOFError as error:
        raise FrameReadError(path, "is cut off: the compressed data end too early", incomplete=True) from error
    except compression.errors as error:
        raise FrameReadError(path, f"is damaged: {error}; copy it again from the camera") from error
    return content


def _require_sane(path: Path, decompressed: int, compressed: int) -> None:
    if decompressed > MAX_BYTES:
        raise FrameReadError(path, "is more than 4 GiB when decompressed")
    require_ratio(path, decompressed, compressed)


def _verify_checksums(path: Path, stream: BinaryIO) -> None:
    stream.seek(0)
    hdus = open_units(stream, disable_image_compression=True)
    for position, hdu in enumerate(hdus):
        for keyword, verify in (("DATASUM", hdu.verify_datasum), ("CHECKSUM", hdu.verify_checksum)):
            if hdu.header.get(keyword) and not verify():
                raise FrameReadError(
                    path, f"is damaged: its {keyword} does not match in unit {position}; copy it again from the camera"
                )


def open_units(
    source: str | os.PathLike[str] | BinaryIO, *, memmap: bool | None = False, disable_image_compression: bool = False
) -> Any:
    """Open a FITS file in one way, whatever the configuration of astropy on a machine says.

    Parameters
    ----------
    source : path or file object
        The file.
    memmap : bool or None
        Whether its images stay in the file until some rows are asked for; None where they can.
    disable_image_compression : bool
        Whether a compressed image is the table that it is stored as.

    Returns
    -------
    HDUList
        Its images have the unit that ``BUNIT`` says, and the shape (rows, columns).

    Raises
    ------
    OSError
        If it is no FITS file.
    """
    return fits.open(
        source, memmap=memmap, uint=True, lazy_load_hdus=True, disable_image_compression=disable_image_compression
    )


def name_of(unit: Any) -> str:
    """Return the name of a unit in capitals and without blanks around it, empty where it has none."""
    return str(unit.name).strip().upper()


def value_of(header: Mapping[str, Any], keyword: str) -> Any:
    """Return the value of a card, text without the blanks that fill it up, in its unit; None where there is none."""
    value = header.get(keyword)
    return value.rstrip() if isinstance(value, str) else value
