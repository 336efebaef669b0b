"""The pixels of plain FITS files, read run by run from where they lie."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Detector
from ccdcore.errors import FrameReadError
from ccdcore.io.mosaic import find_mosaic
from ccdcore.io.plain_files import file_errors, signature
from ccdcore.io.read import read_image
from ccdcore.io.stream import is_compressed, name_of, open_units, opened
from ccdcore.io.structure import primary_header

_TYPES = {8: "u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}
"""BITPIX → type of the pixels."""
_UNSIGNED = {">i2": 2**15, ">i4": 2**31}
"""Type → BZERO of numbers without a sign."""
_KEPT = 1024
"""Files of which it is kept where the pixels of their detectors are."""


@dataclass(frozen=True, slots=True)
class StoredPixels:
    """The pixels of a plain file, which lie in it as they are: any run of them can be read without the others.

    Parameters
    ----------
    path : Path
        The file.
    shape : tuple of int
        Rows and columns.
    stored : dtype
        Their type in the file, big-endian.
    zero : int
        What is added to each (BZERO of unsigned integers).
    offset : int
        Where they begin, in bytes.
    signature : tuple of int
        The file's number, size and time of change: another one is another file, or one that was written to.
    unit : str or None
        What BUNIT says of the values, in small letters.
    is_part : bool
        Whether the frame has more pixels than these.
    """

    path: Path
    shape: tuple[int, int]
    stored: np.dtype[Any]
    zero: int
    offset: int
    signature: tuple[int, ...]
    unit: str | None = None
    is_part: bool = False

    @property
    def name(self) -> str:
        """How messages call the frame."""
        return str(self.path)

    @property
    def mask(self) -> None:
        """All pixels are to be used."""
        return

    def __getitem__(self, rows: slice) -> npt.NDArray[Any]:
        """Return some rows as numbers, of the type that `ccdcore.io.read.read_image` returns; no others are read.

        Raises
        ------
        FrameReadError
            As of `read`.
        """
        chosen, columns = range(self.shape[0])[rows], self.shape[1]
        stored = np.empty((len(chosen), columns), self.stored)
        if chosen.step == 1:
            self.read(chosen.start * columns, stored.reshape(-1))
        else:
            for row, into in zip(chosen, stored, strict=True):
                self.read(row * columns, into)
        return self._numbers(stored)

    def _numbers(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        native = stored.astype(self.stored.newbyteorder("="))
        if self.zero == 0:
            return native
        unsigned = native.view(f"u{native.itemsize}")
        unsigned ^= unsigned.dtype.type(self.zero)  # is to add it, in whole numbers without a sign
        return unsigned

    def read(self, start: int, into: npt.NDArray[Any]) -> None:
        """Fill an array of shape (n,) with the pixels from number ``start`` on, in the unit of the file.

        Raises
        ------
        FrameReadError
            If the file is gone, cannot be read, or is not the one it was.
        """
        with file_errors(self.path):
            # This is done for each file and strip: an open file object would take longer than what is read.
            file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                self._read(file, self.offset + start * self.stored.itemsize, into.view(np.uint8).data)
            finally:
                os.close(file)

    def _read(self, file: int, position: int, into: memoryview) -> None:
        if signature(file) != self.signature:
            raise FrameReadError(self.path, "changed while it was read: try again", incomplete=True)
        if not fill(into, file, position):
            raise FrameReadError(self.path, "was cut off while it was read: try again", incomplete=True)

    def image(self) -> npt.NDArray[Any]:
        """Return the whole image, shape (rows, columns), as `read_image` does, in the unit of the file.

        Raises
        ------
        FrameReadError
            As `read_image`, which verifies the checksums, unless this is a part.
        """
        return self[:] if self.is_part else read_image(self.path)

    def columns(self, columns: slice) -> npt.NDArray[Any]:
        """Return some columns of all rows as numbers, shape (rows, columns); of each row no others are read.

        Raises
        ------
        FrameReadError
            As of `read`.
        """
        first, last, _ = columns.indices(self.shape[1])
        stored = np.empty((self.shape[0], last - first), self.stored)
        with file_errors(self.path):
            file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                for row, into in enumerate(stored):
                    position = self.offset + (row * self.shape[1] + first) * self.stored.itemsize
                    self._read(file, position, into.view(np.uint8).data)
            finally:
                os.close(file)
        return self._numbers(stored)


def stored_pixels(path: str | os.PathLike[str]) -> StoredPixels | None:
    """Find the pixels of a plain file, shape (rows, columns), without reading them.

    None where they must be decoded: of gzip and fpack, of several image extensions, of other than 16-bit and 32-bit
    integers and floating-point numbers, scaled or with BLANK. No checksum is verified, which needs all of the bytes:
    what must know that they are those that were registered hashes the file first, and compares its signature after.

    Raises
    ------
    FrameReadError
        If it is not a complete FITS file.
    """
    path = Path(path)
    if is_compressed(path):
        return None
    with opened(path) as (stream, _):
        if not isinstance(stream, io.BufferedReader):
            return None
        as_opened = signature(stream.fileno())
        header, offset = primary_header(stream, path)
    lengths = [int(header[f"NAXIS{axis}"]) for axis in range(int(header["NAXIS"]), 0, -1)]
    shape = [length for length in lengths if length != 1]
    number = _TYPES.get(int(header["BITPIX"]))
    if number in {None, "u1"} or len(shape) != 2 or 0 in shape or "BLANK" in header:
        return None
    unsigned = _UNSIGNED.get(number, 0)
    try:
        scale, zero = float(header.get("BSCALE", "1")), float(header.get("BZERO", "0"))
    except ValueError:
        return None
    unit = header.get("BUNIT", "'adu'")
    if scale != 1 or zero not in {0, unsigned} or not unit.endswith("'"):  # a unit with a / is read with the pixels
        return None
    shown = unit.strip("' ").lower()
    return StoredPixels(path, (shape[0], shape[1]), np.dtype(number), int(zero), offset, as_opened, shown)


def stored_detectors(path: Path) -> Mapping[Detector, StoredPixels]:
    """Find the pixels of each detector of a mosaic in a plain file, in the order of the frame, without reading them.

    Each has the shape (rows, its columns), in the unit of the file.
    None where they must be decoded, as of `stored_pixels`, or where there is one image only. A file that is as it was
    is not looked at again.

    Raises
    ------
    FrameReadError
        If it is not a complete FITS file of one frame.
    """
    with file_errors(path):
        as_it_is = signature(path)
    return _stored_detectors(path, as_it_is)


@lru_cache(_KEPT)
def _stored_detectors(path: Path, _: tuple[int, ...]) -> Mapping[Detector, StoredPixels]:
    with opened(path) as (stream, blemishes):
        if not isinstance(stream, io.BufferedReader):
            return {}
        as_opened = signature(stream.fileno())
        stream.seek(0)
        mosaic = find_mosaic(path, open_units(stream), blemishes.texts)
        units = [_stored_unit(path, unit, as_opened) for unit in mosaic.units]
        images = mosaic.images
    found = [one for one in units if one is not None]
    if len(images) == 1 or len(found) < len(images) or len({(one.stored, one.zero) for one in found}) > 1:
        return {}
    return {Detector(of.name, of.columns_before, of.shape[1]): one for of, one in zip(images, found, strict=True)}


def _stored_unit(path: Path, unit: Any, as_opened: tuple[int, ...]) -> StoredPixels | None:
    header = unit.header
    zero, number = header.get("BZERO", 0), _TYPES.get(header["BITPIX"])
    scale, text = header.get("BSCALE", 1), header.get("BUNIT", "adu")
    if number in {None, "u1"} or not unit.is_image or header["NAXIS"] != 2 or "BLANK" in header or scale != 1:
        return None
    if zero not in {0, _UNSIGNED.get(number, 0)} or not isinstance(text, str):
        return None
    shape, offset = (header["NAXIS2"], header["NAXIS1"]), unit.fileinfo()["datLoc"]
    shown = text.strip().lower()
    return StoredPixels(path, shape, np.dtype(number), int(zero), offset, as_opened, shown, is_part=True)


def recorded_image(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Return the pixels of a frame whose file was read before, as `ccdcore.io.read.read_image` does.

    A plain file is not decoded again, nor its checksums verified: see `stored_pixels`.

    Raises
    ------
    FrameReadError
        As of `read_image`, and as of `StoredPixels.read`.
    """
    stored = stored_pixels(path)
    return read_image(path) if stored is None else stored[:]


def stored_planes(path: Path, file: io.BufferedReader) -> dict[str, StoredPixels]:
    """Find the images of a plain file that is open, by the names of their units, ``""`` for the primary one.

    Parameters
    ----------
    path : Path
        Where it lies; what is read later is of this very file, or an error.
    file : stream
        The file; it is closed.

    Returns
    -------
    dict
        Images of shape (rows, columns), in the unit of the file; none of a compressed one.

    Raises
    ------
    FrameReadError
        If it is not a complete FITS file.
    """
    found: dict[str, StoredPixels] = {}
    with opened(path, file) as (stream, _):
        if not isinstance(stream, io.BufferedReader):  # compressed
            return found
        as_opened = signature(stream.fileno())
        stream.seek(0)
        for unit in open_units(stream):
            header = unit.header
            zero, number = header.get("BZERO", 0), _TYPES.get(header["BITPIX"])
            if number and unit.is_image and header["NAXIS"] == 2 and zero in {0, _UNSIGNED.get(number, 0)}:
                shape, offset = (header["NAXIS2"], header["NAXIS1"]), unit.fileinfo()["datLoc"]
                name = name_of(unit).removeprefix("PRIMARY")
                found[name] = StoredPixels(path, shape, np.dtype(number), int(zero), offset, as_opened)
    return found


def fill(into: memoryview, file: int, position: int) -> bool:
    """Fill a buffer from a place in an open file, no call reads more than 2 GiB of; False where it ends before."""
    while into and (n := os.preadv(file, [into], position)):
        into, position = into[n:], position + n
    return not into
