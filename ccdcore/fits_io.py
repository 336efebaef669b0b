"""Reads frames; with its helper `stored_pixels` the only module that opens FITS files."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException
from astropy.utils.exceptions import AstropyWarning
from isal import igzip, isal_zlib

from ccdcore.amplifiers import header_amplifiers
from ccdcore.cards import Cards, number
from ccdcore.errors import FrameReadError
from ccdcore.fits_mosaic import Mosaic, find_mosaic
from ccdcore.fits_structure import MAX_BYTES, MAX_RATIO, SMALL_BYTES, Blemishes, check_structure, require_ratio
from ccdcore.frame import Frame, FrameHeader
from ccdcore.geometry import Amplifier
from ccdcore.header import ExposureInfo, find_instrument, identify, says_type
from ccdcore.identity import former_sha256, pixel_sha256
from ccdcore.instrument import Instrument
from ccdcore.statistics import FrameStatistics, frame_statistics

if TYPE_CHECKING:
    pass

FITS_NAME = re.compile(r"(?!\.).+\.(fits?|fts)(\.(gz|fz))?", re.IGNORECASE)
"""Names of files that may be frames: ``.fits``, ``.fit``, ``.fts`` in any case, also with ``.gz`` or ``.fz``."""

_FIRST_YEAR = 2000  # of files: archives give some of them dates long ago
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


def read_frame(path: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()) -> Frame:
    """Read one frame: pixels, what its header says, amplifiers, identity.

    Plain files, (1, rows, columns) cubes, gzip and fpack are decoded; several
    image extensions stand side by side in the order of the file, one amplifier
    or more each. An image in the primary unit is the frame, whatever follows it.
    Amplifiers are those of the instrument's entry, else of section cards
    (`ccdcore.amplifiers.header_amplifiers`), else the whole image.

    Parameters
    ----------
    path : path-like
        The file.
    instruments : sequence of Instrument
        Entries of the configuration; the first that the header matches is used.

    Returns
    -------
    Frame
        With the cards of the primary header overlaid by those of the image
        extension.

    Raises
    ------
    FrameReadError
        If the file is not one readable frame: its ``reason`` says why, and
        ``incomplete`` whether it may still be arriving.
    """
    path = Path(path)
    with opened(path) as (stream, blemishes):
        mosaic, data = _decoded(path, stream, blemishes)
    return _frame(_describe(path, mosaic, instruments, blemishes), data, pixel_sha256(data))


@dataclass(frozen=True, slots=True)
class MeasuredFrame:
    """All that is put on record of a frame: it without its pixels.

    Parameters
    ----------
    sha256, shape, info, amplifiers
        As of `Frame`.
    statistics : tuple of FrameStatistics
        One for each amplifier.
    file_sha256 : str
        As of `file_sha256`.
    former_sha256 : str
        As of `ccdcore.identity.former_sha256`.
    says_type : bool
        Whether header or name say what it is; else a copy of it under another name may.
    """

    sha256: str
    shape: tuple[int, int]
    info: ExposureInfo
    amplifiers: tuple[Amplifier, ...]
    statistics: tuple[FrameStatistics, ...]
    file_sha256: str
    former_sha256: str
    says_type: bool = True


def measure_frame(path: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()) -> MeasuredFrame:
    """Read a frame as `read_frame` does, and measure all that is put on record of it.

    Its hashes are reckoned while its pixels are measured; both let other threads go on.

    Raises
    ------
    FrameReadError
        As of `read_frame`.
    InsufficientDataError
        If an amplifier has no finite pixel.
    """
    path = Path(path)
    with opened(path) as (stream, blemishes):
        mosaic, data = _decoded(path, stream, blemishes)
    with ThreadPoolExecutor(2) as pool:
        identity, content = pool.submit(pixel_sha256, data), pool.submit(file_sha256, path)
        of = _describe(path, mosaic, instruments, blemishes)
        statistics = frame_statistics(data, of.amplifiers)
        if number(of.cards.get("BSCALE")) not in {None, 1.0}:  # whole numbers of the file, scaled: no averages
            statistics = tuple(replace(one, n_averaged=1) for one in statistics)
        sha256 = identity.result()
        # Cameras' own 16 bits without a sign are hashed as they ever were.
        former = sha256 if data.dtype == np.uint16 else former_sha256(data)
        said = says_type(of.info, of.cards, shape=of.shape, instruments=instruments)
        return MeasuredFrame(sha256, of.shape, of.info, of.amplifiers, statistics, content.result(), former, said)


def read_header(path: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()) -> FrameHeader:
    """Read what is known of a frame without decoding its pixels or verifying its checksums.

    Parameters and errors are those of `read_frame`.
    """
    path = Path(path)
    with opened(path) as (stream, blemishes):
        mosaic = _mosaic(path, stream, blemishes)
    return _describe(path, mosaic, instruments, blemishes)


def read_image(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read the pixels of a frame only, decoded as by `read_frame`, shape (rows, columns)."""
    return read_values(path)[0]


def read_values(path: str | os.PathLike[str]) -> tuple[npt.NDArray[Any], str]:
    """Read the pixels of a frame, as `read_image` does, and their unit, as of `Frame`."""
    path = Path(path)
    with opened(path) as (stream, blemishes):
        mosaic, data = _decoded(path, stream, blemishes)
    return data, _unit(mosaic.cards)


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
    with file_errors(path), _regular_file(path) as file:
        if file.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
            return check_structure(file, path).decoded_bytes
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4))
        claim = int.from_bytes(file.read(4), "little")  # modulo 4 GiB, more of which is refused
        return min(claim, max(SMALL_BYTES, MAX_RATIO * size))


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes."""
    path = Path(path)
    with file_errors(path), _regular_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into a `FrameReadError`."""
    try:
        yield
    except FrameReadError:
        raise
    except OSError as error:
        # The system's errors have a number; astropy raises some of its own of this kind.
        reason = f"cannot be read: {error.strerror}" if error.strerror else f"cannot be decoded: {error}"
        raise FrameReadError(path, reason) from error


def _regular_file(path: Path) -> io.BufferedReader:
    # A FIFO must not make us wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise FrameReadError(path, f"is {status.st_size / 2**30:.1f} GiB long; at most 4 GiB are read")
    raise FrameReadError(path, "is not a regular file")


def is_zipped(path: Path) -> bool:
    """Whether a file is compressed with gzip, whatever its name says."""
    with file_errors(path), _regular_file(path) as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Blemishes]]:
    """Give the checked, decompressed content, and its blemishes, which are mended.

    What goes wrong while it is decoded becomes a `FrameReadError`.
    """
    with file_errors(path), _regular_file(path) as file, warnings.catch_warnings():
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


def _decoded(path: Path, stream: BinaryIO, blemishes: Blemishes) -> tuple[Mosaic, npt.NDArray[Any]]:
    _verify_checksums(path, stream)
    mosaic = _mosaic(path, stream, blemishes)
    return mosaic, mosaic.pixels()


def _frame(header: FrameHeader, data: npt.NDArray[Any], sha256: str) -> Frame:
    unit = _unit(header.cards)
    return Frame(header.path, data, header.info, header.amplifiers, sha256, unit, header.amplifiers_reason)


def _unit(cards: Cards) -> str:
    return str(cards.get("BUNIT", "adu")).strip().lower()


def _mosaic(path: Path, stream: BinaryIO, blemishes: Blemishes) -> Mosaic:
    stream.seek(0)
    return find_mosaic(path, fits.open(stream, memmap=False), blemishes.texts)


def _dated_too_late(path: Path, info: ExposureInfo) -> Iterator[str]:
    """Say that a frame is dated after its own file, where that has a date of its own."""
    with file_errors(path):
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    if info.date_obs is not None and written.year >= _FIRST_YEAR and info.date_obs > written + timedelta(days=1):
        yield f"dated {info.date_obs:%Y-%m-%d}, but its file was written on {written:%Y-%m-%d}"


def _describe(path: Path, mosaic: Mosaic, instruments: Sequence[Instrument], blemishes: Blemishes) -> FrameHeader:
    cards, shape = mosaic.cards, mosaic.shape
    info = identify(cards, filename=path.name, shape=shape, instruments=instruments)
    reason = "; ".join([info.frame_type_reason, *_dated_too_late(path, info), *mosaic.notes, *blemishes.notes])
    info = replace(info, frame_type_reason=reason, lossy=blemishes.lossy)
    entry = find_instrument(cards, instruments)
    if entry is None or not entry.amplifiers:
        amplifiers, reason = header_amplifiers(mosaic.images)
        return FrameHeader(path, shape, info, amplifiers, cards, reason)
    for amplifier in entry.amplifiers:
        for section in (amplifier.data, amplifier.overscan):
            if section is not None and not section.fits(shape):
                raise FrameReadError(
                    path,
                    f"amplifier {amplifier.name} of instrument {entry.name} has the section {section}, which does not "
                    f"fit its image of {shape[1]} columns and {shape[0]} rows: correct the entry, or its match",
                )
    return FrameHeader(path, shape, info, entry.amplifiers, cards, f"entry {entry.name}")
