"""What a frame is known by: a hash of the values of its pixels, whatever type they are stored in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

_WHOLE = tuple(map(np.dtype, (">u2", ">i2", ">i4", ">i8", ">u8")))
_BLOCK = 2**20
"""Pixels that are brought into the order of bytes at a time: a whole frame need not be held twice."""


def pixel_sha256(data: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of the shape and the values of pixels: the identity of a frame.

    Hashed are the text ``{shape} {type}`` and the values row by row, big-endian, in the first of the types ``>u2``,
    ``>i2``, ``>i4``, ``>i8``, ``>u8``, ``>f4``, ``>f8`` that holds every one of them exactly. So it is the same for a
    file that is compressed, renamed, copied, or converted to another type without loss: 16-bit integers and the same
    numbers as 32-bit floating-point ones are one frame. Minus zero counts as zero, and all NaN as one.

    Parameters
    ----------
    data : ndarray
        Integers of any kind, or floating-point numbers of up to 64 bits, in any order of bytes and memory.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return _sha256(data, _type_of_values(data))


def former_sha256(data: npt.NDArray[Any]) -> str:
    """Return what frames were known by before: the SHA-256 of shape, stored type and pixels in FITS byte order."""
    return _sha256(data, data.dtype.newbyteorder(">"), as_stored=True)


def strips_sha256(
    shape: tuple[int, int], dtype: np.dtype[Any], limits: tuple[int, int], strips: Iterable[npt.NDArray[Any]]
) -> str:
    """Return the `pixel_sha256` of whole numbers that come some rows at a time.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the whole.
    dtype : dtype
        Of the pixels.
    limits : tuple of int
        The lowest and the highest of them.
    strips : iterable of ndarray
        All rows, in their order.
    """
    kind = _WHOLE[0] if np.can_cast(dtype, _WHOLE[0]) else _type_between(*limits) or dtype.newbyteorder(">")
    return _of_blocks(shape, kind, (strip.astype(kind) for strip in strips))


def stored_sha256(shape: tuple[int, int], dtype: np.dtype[Any], strips: Iterable[npt.NDArray[Any]]) -> str:
    """Return the `former_sha256` of pixels of a shape (rows, columns) that come as of `strips_sha256`."""
    kind = dtype.newbyteorder(">")
    return _of_blocks(shape, kind, (strip.astype(kind) for strip in strips))


def _of_blocks(shape: tuple[int, ...], kind: np.dtype[Any], blocks: Iterable[npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(f"{shape} {kind.str}".encode())
    for block in blocks:
        digest.update(block.data)
    return digest.hexdigest()


def _sha256(data: npt.NDArray[Any], kind: np.dtype[Any], *, as_stored: bool = False) -> str:
    pixels = np.ascontiguousarray(data).reshape(-1)
    blocks = (pixels[start : start + _BLOCK].astype(kind) for start in range(0, pixels.size, _BLOCK))
    return _of_blocks(data.shape, kind, blocks if as_stored or kind.kind != "f" else map(_plain, blocks))


def _plain(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    block += 0.0  # minus zero becomes zero
    block[np.isnan(block)] = np.nan
    return block


def _type_of_values(data: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the first type that holds every value."""
    if np.can_cast(data.dtype, _WHOLE[0]) or not data.size:
        return _WHOLE[0]
    if data.dtype.kind != "f" or _are_whole(data):
        lowest, highest = int(data.min()), int(data.max())
        if (kind := _type_between(lowest, highest)) is not None:
            return kind
    return np.dtype(">f4" if data.dtype.itemsize <= np.dtype(">f4").itemsize or _fit_32_bits(data) else ">f8")


def _type_between(lowest: int, highest: int) -> np.dtype[Any] | None:
    limits = ((kind, np.iinfo(kind)) for kind in _WHOLE)
    return next((kind for kind, of in limits if of.min <= lowest and highest <= of.max), None)


def _are_whole(data: npt.NDArray[Any]) -> bool:
    """Whether all are whole numbers; the first row says of most frames that they are not."""
    return all(bool(np.isfinite(row).all() and (np.rint(row) == row).all()) for row in np.atleast_2d(data))


def _fit_32_bits(data: npt.NDArray[Any]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return all(np.array_equal(row.astype(np.float32), row, equal_nan=True) for row in np.atleast_2d(data))
