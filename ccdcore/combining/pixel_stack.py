"""The frames of a stack, each giving any run of its pixels: from its file, from memory, or from a temporary file."""

from __future__ import annotations

import itertools
import os
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from astropy.nddata import NDData

from ccdcore.errors import FrameReadError, InsufficientDataError
from ccdcore.frames.frame import Frame
from ccdcore.io.read import read_values
from ccdcore.io.stored_pixels import StoredPixels, fill, stored_pixels
from ccdcore.reduction.reduce import ReducedPixels

Image = npt.NDArray[Any]

_COUNTS = {"adu", "dn", "count", "counts", "ct"}


class Pixels(Protocol):
    """The pixels of one frame.

    ``stored`` is the type they are kept in; plus ``zero`` they are the values.
    """

    @property
    def name(self) -> str:
        """How messages call the frame."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the pixels as kept."""

    @property
    def zero(self) -> int:
        """What is added to each."""

    @property
    def unit(self) -> str | None:
        """Unit of the values, in small letters; None where it is not known."""

    @property
    def mask(self) -> Image | None:
        """Where pixels are not to be used, shape (pixels,), in the order of the rows; None where all are good."""

    def read(self, start: int, into: Image) -> None:
        """Fill an array of shape (n,) and the stored type with the pixels from number ``start`` on, row by row."""

    def image(self) -> Image:
        """Return the whole image, shape (rows, columns), in its unit."""


Source: TypeAlias = str | PathLike[str] | Frame | NDData | npt.ArrayLike | Callable[[], Image] | Pixels
"""A frame to combine: a file, a frame, an array (masked or not), or a function that returns an array."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldPixels:
    """Pixels in memory."""

    name: str
    data: Image
    mask: Image | None = None
    zero: int = 0
    unit: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.data.shape

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the pixels as kept."""
        return self.data.dtype

    def read(self, start: int, into: Image) -> None:
        """Copy the pixels from number ``start`` on into an array of shape (n,)."""
        into[:] = self.data.reshape(-1)[start : start + into.size]

    def image(self) -> Image:
        """Return the whole image, shape (rows, columns), masked where some pixels are not to be used."""
        return self.data if self.mask is None else np.ma.MaskedArray(self.data, self.mask.reshape(self.shape))


class Spool:
    """A temporary file without a name, closed when nobody reads from it any more."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this object lives
        weakref.finalize(self, self.file.close)


@dataclass(frozen=True, slots=True, eq=False)
class SpooledPixels:
    """Decoded pixels, put aside in a temporary file that has no name and goes with the process."""

    name: str
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    mask: Image | None
    spool: Spool
    offset: int
    zero: int = 0
    unit: str | None = None

    @classmethod
    def of(cls, held: HeldPixels, spool: Spool) -> SpooledPixels:
        """Write pixels, of whatever shape, to the end of a temporary file."""
        offset = spool.file.seek(0, os.SEEK_END)
        spool.file.write(held.data.data)
        spool.file.flush()
        return cls(held.name, held.shape, held.stored, held.mask, spool, offset, unit=held.unit)

    def read(self, start: int, into: Image) -> None:
        """Read the pixels from number ``start`` on into an array of shape (n,); the position of the file stays.

        Raises
        ------
        FrameReadError
            If the temporary file is shorter than what was written.
        """
        position = self.offset + start * into.itemsize
        if not fill(into.view(np.uint8).data, self.spool.file.fileno(), position):
            raise FrameReadError(
                Path(self.name), f"its decoded pixels in {tempfile.gettempdir()} were cut off: try again"
            )

    def image(self) -> Image:
        """Return the whole image, shape (rows, columns), masked where some pixels are not to be used."""
        data = np.empty(self.shape, self.stored)
        self.read(0, data.reshape(-1))
        return HeldPixels(self.name, data, self.mask).image()


def open_stack(sources: Sequence[Source], memory_limit: int) -> list[Pixels]:
    """Open the frames of a stack.

    Plain FITS files are read from where they lie whenever pixels are asked for; what is compressed, or comes from a
    function, is decoded once and then held in memory as long as all that is held fits in ``memory_limit``, else in
    a temporary file.

    Parameters
    ----------
    sources : sequence
        As for `ccdcore.combining.combine`.
    memory_limit : int
        Bytes that may be held.

    Raises
    ------
    InsufficientDataError
        If there is no frame, or they are not real numbers, two-dimensional, of one shape and one unit.
    FrameReadError
        If a file cannot be read.
    """
    if len(sources) == 0:
        raise InsufficientDataError("there is nothing to combine: give at least one frame")
    stack: list[Pixels] = []
    held_bytes = 0
    spool: Spool | None = None
    for pixels, decoded in _opened(sources):
        _check_alike(pixels, stack)
        if not decoded or not isinstance(pixels, HeldPixels):
            stack.append(pixels)
            continue
        held_bytes += pixels.data.nbytes
        if held_bytes > memory_limit:
            spool = spool or Spool()
        stack.append(SpooledPixels.of(pixels, spool) if spool else pixels)
    return stack


def _opened(sources: Sequence[Source]) -> Iterator[tuple[Pixels, bool]]:
    """Open sources in their order, as many at a time as there are processors."""
    at_a_time = os.cpu_count() or 1
    # Readers silence warnings for the whole process, each for its time: what was before is brought back at the end.
    with warnings.catch_warnings(), ThreadPoolExecutor(at_a_time) as pool:
        for first in range(0, len(sources), at_a_time):
            some = [_found(source) for source in sources[first : first + at_a_time]]
            # Plain files need no more work, and the rest is left to threads, which would get in each other's way here.
            each = map if all(isinstance(source, StoredPixels) for source in some) else pool.map
            yield from each(_open, some, itertools.count(first + 1))


def _found(source: Source) -> Source:
    """Return the pixels of a plain file, found but not read; any other source as it is."""
    return (stored_pixels(source) or source) if isinstance(source, str | PathLike) else source


def _open(source: Source, number: int) -> tuple[Pixels, bool]:
    """Return the pixels of a source, and whether they were decoded for us, so that nobody else holds them."""
    if isinstance(source, HeldPixels | SpooledPixels | StoredPixels | ReducedPixels):
        return source, False
    if isinstance(source, str | PathLike):
        return _held(str(source), *read_values(source)), True
    if isinstance(source, Frame):
        return _held(str(source.path), source.data, source.unit), False
    name, unit = f"image {number}", getattr(source, "unit", None)
    if isinstance(source, NDData):
        mask = np.ma.nomask if source.mask is None else source.mask
        return _held(name, np.ma.MaskedArray(source.data, mask=mask), unit), False
    if callable(source):
        return _held(name, source()), True
    return _held(name, np.ma.asanyarray(source) if np.ma.isMaskedArray(source) else np.asarray(source), unit), False


def _held(name: str, image: Image, unit: object = None) -> HeldPixels:
    image = np.ma.asanyarray(image) if np.ma.isMaskedArray(image) else np.asarray(image)
    mask = np.ma.getmaskarray(image).reshape(-1) if np.ma.is_masked(image) else None
    data = np.ascontiguousarray(np.ma.getdata(image)).reshape(image.shape)
    if data.dtype.kind not in "biuf":
        what = "complex numbers" if data.dtype.kind == "c" else f"of type {data.dtype}"
        raise InsufficientDataError(f"{name}: its pixels are {what}: give images of real numbers")
    if data.dtype.kind in "bu" and data.itemsize == 1:
        data = data.astype(np.uint16)
    elif data.dtype.kind == "i" and data.itemsize == 1:
        data = data.astype(np.int16)
    return HeldPixels(name, data, mask, unit=None if unit is None else str(unit).replace(" ", "").lower())


def _check_alike(pixels: Pixels, before: Sequence[Pixels]) -> None:
    first = before[0] if before else pixels
    if pixels.shape != first.shape or len(first.shape) != 2:
        raise InsufficientDataError(
            f"{pixels.name}: its shape is {pixels.shape}, that of {first.name} is {first.shape}: "
            "combine two-dimensional frames of one size"
        )
    of_unit = next((one for one in before if one.unit is not None), pixels)
    if pixels.unit is not None and _plain(pixels.unit) != _plain(of_unit.unit):
        raise InsufficientDataError(
            f"{pixels.name}: its unit is {pixels.unit!r}, that of {of_unit.name} is {of_unit.unit!r}: "
            "combine frames of one unit"
        )


def _plain(unit: str | None) -> str | None:
    """Return a unit, the names of what a camera counts in being one."""
    return "adu" if unit in _COUNTS else unit
