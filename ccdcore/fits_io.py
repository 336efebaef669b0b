"""Reads frames and writes products; the only module that opens FITS files."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import secrets
import stat
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from ccdcore.cards import Cards
from ccdcore.dialects import COMPANIONS
from ccdcore.errors import FrameReadError
from ccdcore.fits_structure import MAX_BYTES, check_structure
from ccdcore.frame import Frame, FrameHeader
from ccdcore.geometry import Amplifier, Section
from ccdcore.header import find_instrument, identify
from ccdcore.instrument import Instrument

FITS_NAME = re.compile(r"(?!\.).+\.(fits?|fts)(\.(gz|fz))?", re.IGNORECASE)
"""Names of files that may be frames: ``.fits``, ``.fit``, ``.fts`` in any case, also with ``.gz`` or ``.fz``."""

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**20
# What astropy raises on content that it cannot decode.
_DECODING_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    RuntimeError,
    MemoryError,
    fits.VerifyError,
)


def read_frame(path: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()) -> Frame:
    """Read one frame: pixels, what its header says, amplifiers, identity.

    Plain files, (1, rows, columns) cubes, gzip and fpack are decoded; several
    image extensions stand side by side in the order of the file, one amplifier
    each. An image in the primary unit is the frame, whatever follows it.

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
    with _opened(path) as stream:
        _verify_checksums(path, stream)
        images = _images(path, stream)
        cards, data = _cards(images), _pixels(path, images)
        extensions = _extension_amplifiers(path, images)
    header = _describe(path, cards, data.shape, extensions, instruments)
    return Frame(path, data, header.info, header.amplifiers, pixel_sha256(data))


def read_header(path: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()) -> FrameHeader:
    """Read what is known of a frame without decoding its pixels or verifying its checksums.

    Parameters and errors are those of `read_frame`.
    """
    path = Path(path)
    with _opened(path) as stream:
        images = _images(path, stream)
        cards, shape = _cards(images), _mosaic_shape(path, images)
        extensions = _extension_amplifiers(path, images)
    return _describe(path, cards, shape, extensions, instruments)


def read_image(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read the pixels of a frame only, decoded as by `read_frame`, shape (rows, columns)."""
    path = Path(path)
    with _opened(path) as stream:
        _verify_checksums(path, stream)
        return _pixels(path, _images(path, stream))


def preflight(path: str | os.PathLike[str]) -> None:
    """Check a file's structure without decoding it.

    Raises
    ------
    FrameReadError
        If it is not a complete FITS file (a wrong checksum is found by reading only).
    """
    with _opened(Path(path)):
        pass


def pixel_sha256(data: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of shape, type and pixels in FITS byte order: the identity of a frame.

    It is the same for a file compressed, renamed or copied.
    """
    fits_order = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder(">"))
    digest = hashlib.sha256(f"{data.shape} {fits_order.dtype.str}".encode())
    digest.update(fits_order.data)
    return digest.hexdigest()


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes."""
    path = Path(path)
    with _file_errors(path), _regular_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_hdulist(path: str | os.PathLike[str], hdulist: fits.HDUList) -> None:
    """Write a FITS file with CHECKSUM and DATASUM; it appears whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind.
    """
    with _replacing(Path(path)) as stream:
        hdulist.writeto(stream, checksum=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file of any kind in the way of `write_hdulist`."""
    with _replacing(Path(path)) as stream:
        stream.write(data)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary name beside ``path``, then move it there, surviving a loss of power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FrameReadError:
        raise
    except OSError as error:
        raise FrameReadError(path, f"cannot be read: {error.strerror or error}") from error


def _regular_file(path: Path) -> io.BufferedReader:
    # A FIFO must not make us wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FrameReadError(path, "is not a regular file")
    return os.fdopen(descriptor, "rb")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Give the checked, decompressed content; what goes wrong while it is decoded becomes a `FrameReadError`."""
    with _file_errors(path), _regular_file(path) as file, warnings.catch_warnings():
        # astropy warns of blemishes (odd keywords, missing padding) that do no harm.
        warnings.simplefilter("ignore", AstropyWarning)
        magic = file.read(len(_GZIP_MAGIC))
        file.seek(0)
        stream = _decompressed(path, file) if magic and _GZIP_MAGIC.startswith(magic) else file
        if missing := check_structure(stream, path):
            stream.seek(0)
            stream = io.BytesIO(stream.read() + bytes(missing))
        try:
            yield stream
        except _DECODING_ERRORS as error:
            raise FrameReadError(path, f"cannot be decoded: {error}") from error


def _decompressed(path: Path, file: BinaryIO) -> BinaryIO:
    content = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=file) as compressed:
            while chunk := compressed.read(_CHUNK):
                content.write(chunk)
                if content.tell() > MAX_BYTES:
                    raise FrameReadError(path, "is more than 4 GiB when decompressed")
    except EOFError as error:
        raise FrameReadError(path, "is cut off: the compressed data end too early", incomplete=True) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise FrameReadError(path, f"is damaged: {error}; copy it again from the camera") from error
    return content


def _verify_checksums(path: Path, stream: BinaryIO) -> None:
    stream.seek(0)
    hdus = fits.open(stream, memmap=False, disable_image_compression=True)
    for number, hdu in enumerate(hdus):
        for keyword, verify in (("DATASUM", hdu.verify_datasum), ("CHECKSUM", hdu.verify_checksum)):
            if hdu.header.get(keyword) and not verify():
                raise FrameReadError(
                    path, f"is damaged: its {keyword} does not match in unit {number}; copy it again from the camera"
                )


def _images(path: Path, stream: BinaryIO) -> list[Any]:
    """Return the primary unit and those units behind it that make up the frame; the first may have no data."""
    stream.seek(0)
    units = list(fits.open(stream, memmap=False))
    primary, extensions = units[0], units[1:]
    if _has_pixels(primary):
        return [primary]
    images = [unit for unit in extensions if _has_pixels(unit) and unit.name not in COMPANIONS]
    if not images:
        reason = "holds tables only, no image" if extensions else "holds no image, only an empty primary unit"
        raise FrameReadError(path, reason, incomplete=not extensions)
    return [primary, *images]


def _has_pixels(unit: Any) -> bool:
    return isinstance(unit, fits.PrimaryHDU | fits.ImageHDU) and bool(unit.shape) and 0 not in unit.shape


def _planes(path: Path, images: list[Any]) -> list[tuple[Any, tuple[int, int]]]:
    """Return the units with pixels and the shape of each, all with the same number of rows."""
    planes = [(unit, _plane_shape(path, unit.shape)) for unit in images if _has_pixels(unit)]
    if len({rows for _, (rows, _) in planes}) > 1:
        rows = ", ".join(str(rows) for _, (rows, _) in planes)
        raise FrameReadError(path, f"has image extensions of {rows} rows, which cannot stand side by side")
    return planes


def _plane_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    axes = [length for length in shape if length > 1]
    if len(axes) < 2:
        raise FrameReadError(path, f"holds one row of {max(shape)} pixels (a spectrum?), not an image")
    if len(axes) > 2:
        raise FrameReadError(path, f"holds a stack of {np.prod(axes[:-2])} images, not one frame")
    return axes[0], axes[1]


def _mosaic_shape(path: Path, images: list[Any]) -> tuple[int, int]:
    planes = _planes(path, images)
    return planes[0][1][0], sum(columns for _, (_, columns) in planes)


def _pixels(path: Path, images: list[Any]) -> npt.NDArray[Any]:
    planes = _planes(path, images)
    data = np.hstack([unit.data.reshape(shape) for unit, shape in planes])
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


def _extension_amplifiers(path: Path, images: list[Any]) -> tuple[Amplifier, ...]:
    """Return one amplifier for each image extension; the whole of a single image is named "1"."""
    planes = _planes(path, images)
    names = [unit.name for unit, _ in planes]
    if len(names) == 1 or len(set(names)) < len(names) or "" in names:
        names = [str(number) for number in range(1, len(names) + 1)]
    amplifiers, x = [], 0
    for name, (_, (rows, columns)) in zip(names, planes, strict=True):
        amplifiers.append(Amplifier(name, Section(x + 1, x + columns, 1, rows)))
        x += columns
    return tuple(amplifiers)


def _cards(images: list[Any]) -> Cards:
    """Return the primary header's cards, overlaid by those of the first image extension."""
    cards: dict[str, object] = {}
    for unit in images[:2]:
        cards |= _values(unit.header)
    return cards


def _values(header: fits.Header) -> dict[str, object]:
    values: dict[str, object] = {}
    for card in header.cards:
        try:
            value = card.value
        except (fits.VerifyError, ValueError):  # one garbled card does not spoil the others
            continue
        if card.keyword not in {"", "COMMENT", "HISTORY"} and not isinstance(value, fits.card.Undefined):
            values.setdefault(card.keyword.upper(), value)
    return values


def _describe(
    path: Path,
    cards: Cards,
    shape: tuple[int, int],
    extensions: tuple[Amplifier, ...],
    instruments: Sequence[Instrument],
) -> FrameHeader:
    info = identify(cards, filename=path.name, shape=shape, instruments=instruments)
    entry = find_instrument(cards, instruments)
    if entry is None or not entry.amplifiers:
        return FrameHeader(path, shape, info, extensions)
    for amplifier in entry.amplifiers:
        for section in (amplifier.data, amplifier.overscan):
            if section is not None and not section.fits(shape):
                raise FrameReadError(
                    path,
                    f"amplifier {amplifier.name} of instrument {entry.name} has the section {section}, which does not "
                    f"fit its image of {shape[1]} columns and {shape[0]} rows: correct the entry, or its match",
                )
    return FrameHeader(path, shape, info, entry.amplifiers)
