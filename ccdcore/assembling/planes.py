"""The images of the master of a mosaic, detector by detector in a temporary file, and the file that is made of them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from ccdcore.cards.sections import Detector
from ccdcore.errors import FrameReadError
from ccdcore.io.stored_pixels import fill
from ccdcore.io.structure import BLOCK

_STRIP_PIXELS = 2**20


class Planes:
    """Images of one shape (rows, columns), named and of a type each, that are filled detector by detector.

    Parameters
    ----------
    folder : Path
        Where the temporary file, which has no name, is to be: on a disk with room for all of them.
    types : mapping of str to str
        Name of each image → its type, as numpy writes it: in the byte order of FITS.
    neutral : mapping of str to number
        Name → value where a detector has none.
    """

    def __init__(self, folder: Path, types: Mapping[str, str], neutral: Mapping[str, float]) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as this object is in use
        self._types = {name: np.dtype(kind) for name, kind in types.items()}
        self._neutral = neutral
        self._begin: dict[tuple[str, Detector], int] = {}
        self._bits: dict[tuple[str, Detector], int] = {}
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, detector: Detector, images: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put aside the images of a detector, shape (rows, its columns), each in its own unit."""
        for name, image in images.items():
            content = np.ascontiguousarray(image, self._types[name])
            self._file.seek(self._end)
            self._file.write(content.data)
            self._begin[name, detector] = self._end
            self._end += content.nbytes
        self._file.flush()

    def put_bits(self, name: str, detector: Detector, bits: int) -> None:
        """Set bits of all pixels of an image of a detector, which holds whole numbers."""
        self._bits[name, detector] = bits

    def content(self, name: str, n_rows: int, scales: Mapping[Detector, float]) -> Iterator[bytes]:
        """Yield what a FITS file has of an image, padding included: those of all detectors side by side.

        ``scales`` are what the values of each detector, in their own unit, are multiplied by, in their order.
        """
        kind, n_bytes = self._types[name], 0
        step = max(1, _STRIP_PIXELS // sum(one.n_columns for one in scales))
        for start in range(0, n_rows, step):
            rows = range(start, min(start + step, n_rows))
            each = [self._rows(name, one, rows, scale) for one, scale in scales.items()]
            strip = np.ascontiguousarray(np.hstack(each), kind)
            n_bytes += strip.nbytes
            yield strip.tobytes()
        yield bytes(-n_bytes % BLOCK)

    def _rows(self, name: str, detector: Detector, rows: range, scale: float) -> npt.NDArray[Any]:
        kind = self._types[name]
        begin, shape = self._begin.get((name, detector)), (len(rows), detector.n_columns)
        if begin is None:
            return np.full(shape, self._neutral[name], kind)
        stored = np.empty(shape, kind)
        position = begin + rows.start * detector.n_columns * kind.itemsize
        if not fill(stored.reshape(-1).view(np.uint8).data, self._file.fileno(), position):
            raise FrameReadError(Path(tempfile.gettempdir()), "a temporary file in it was cut off: try again")
        if bits := self._bits.get((name, detector)):
            stored |= kind.type(bits)
        return stored if scale == 1 else (stored * np.float32(scale)).astype(kind)


def header_bytes(unit: Any, shape: tuple[int, int]) -> bytes:
    """Return the header of an image HDU, of whatever size, as that of one of this shape (rows, columns)."""
    header = unit.header.copy()
    header["NAXIS1"], header["NAXIS2"] = shape[1], shape[0]
    return bytes(header.tostring().encode("ascii"))


def table_bytes(table: fits.BinTableHDU) -> bytes:
    """Return what a FITS file has of a table."""
    content = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(content)
    return content.getvalue()[BLOCK:]
