"""Reads frames; with its helper `stored_pixels` the only module that opens FITS files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Amplifier
from ccdcore.cards.values import Cards, number
from ccdcore.errors import FrameReadError
from ccdcore.frames.frame import Frame, FrameHeader, FrameStatistics
from ccdcore.frames.statistics import frame_statistics
from ccdcore.headers.amplifiers import header_amplifiers
from ccdcore.headers.identify import ExposureInfo, find_instrument, identify, says_type
from ccdcore.headers.instrument import Instrument
from ccdcore.io.digest import former_sha256, pixel_sha256
from ccdcore.io.mosaic import Mosaic, find_mosaic
from ccdcore.io.plain_files import file_errors, file_sha256, signature
from ccdcore.io.stream import _verify_checksums, open_units, opened
from ccdcore.io.structure import Blemishes
from ccdcore.numerics.pixel_values import are_bytes_swapped

_LOOK_PIXELS = 2**18
_KEPT = 128
"""Files of which the cards are kept, some kilobytes each."""
_FIRST_YEAR = 2000  # of files: archives give some of them dates long ago


def read_frame(path: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()) -> Frame:
    """Read one frame: pixels, what its header says, amplifiers, identity.

    Plain files, (1, rows, columns) cubes, gzip and fpack are decoded; several
    image extensions stand side by side in the order of the file, one amplifier
    or more each. An image in the primary unit is the frame, whatever follows it.
    Amplifiers are those of the instrument's entry, else of section cards
    (`ccdcore.headers.amplifiers.header_amplifiers`), else the whole image.

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
    return read_frame_and_cards(path, instruments=instruments)[0]


def read_frame_and_cards(
    path: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()
) -> tuple[Frame, Cards]:
    """Read one frame as `read_frame` does, and the cards of its header, as of `FrameHeader`.

    Raises
    ------
    FrameReadError
        As of `read_frame`.
    """
    path = Path(path)
    with opened(path) as (stream, blemishes):
        mosaic, data = _decoded(path, stream, blemishes)
    return _frame(_describe(path, mosaic, instruments, blemishes), data, pixel_sha256(data)), mosaic.cards


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
        As of `ccdcore.io.digest.former_sha256`.
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
        As of `read_frame`, and if the bytes of its numbers are in the wrong order.
    InsufficientDataError
        If an amplifier has no finite pixel.
    """
    path = Path(path)
    with opened(path) as (stream, blemishes):
        mosaic, data = _decoded(path, stream, blemishes)
    require_order_of_bytes(path, data)
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


def require_order_of_bytes(path: Path, data: npt.NDArray[Any]) -> None:
    """Look whether numbers, of shape (rows, columns), make an image as their bytes are.

    Raises
    ------
    FrameReadError
        If they make one only with their bytes in the other order.
    """
    if are_bytes_swapped(data[:: max(1, data.size // _LOOK_PIXELS)]):
        raise FrameReadError(
            path, "its numbers make an image only with their bytes in the other order: let its program write FITS"
        )


def verify_file(path: Path) -> None:
    """Verify the checksums of a file, where it has any; no more than the data of one unit are held.

    Raises
    ------
    FrameReadError
        If one does not match.
    """
    with opened(path) as (stream, blemishes):
        if blemishes.has_checksums:
            _verify_checksums(path, stream)


def read_header(path: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()) -> FrameHeader:
    """Read what is known of a frame without decoding its pixels or verifying its checksums.

    Parameters and errors are those of `read_frame`.
    """
    path = Path(path)
    with opened(path) as (stream, blemishes):
        mosaic = _mosaic(path, stream, blemishes)
    return _describe(path, mosaic, instruments, blemishes)


def read_cards(path: str | os.PathLike[str], file: io.BufferedReader | None = None) -> Cards:
    """Return the cards of a frame, as of `FrameHeader`, without asking what they mean.

    A ``file`` that is open already is read in place of what the path leads to, and closed.

    Raises
    ------
    FrameReadError
        As `read_header`.
    """
    path = Path(path)
    with opened(path, file) as (stream, blemishes):
        return _mosaic(path, stream, blemishes).cards


def kept_cards(path: str | os.PathLike[str]) -> Cards:
    """Return the cards of a frame, as `read_cards` does; those of a file that is as it was are not read again.

    Raises
    ------
    FrameReadError
        As `read_cards`.
    """
    path = Path(path)
    with file_errors(path):
        as_it_is = signature(path)
    return _kept_cards(path, as_it_is)


@lru_cache(_KEPT)
def _kept_cards(path: Path, _: tuple[int, ...]) -> Cards:
    return read_cards(path)


def read_image(path: str | os.PathLike[str], file: io.BufferedReader | None = None) -> npt.NDArray[Any]:
    """Read the pixels of a frame only, decoded as by `read_frame`, shape (rows, columns).

    A ``file`` that is open already is read in place of what the path leads to, and closed.
    """
    return read_values(path, file)[0]


def read_values(path: str | os.PathLike[str], file: io.BufferedReader | None = None) -> tuple[npt.NDArray[Any], str]:
    """Read the pixels of a frame, shape (rows, columns), as `read_image` does, and their unit, as of `Frame`.

    Raises
    ------
    FrameReadError
        As `read_image`.
    """
    path = Path(path)
    with opened(path, file) as (stream, blemishes):
        mosaic, data = _decoded(path, stream, blemishes)
    return data, _unit(mosaic.cards)


def _decoded(path: Path, stream: BinaryIO, blemishes: Blemishes) -> tuple[Mosaic, npt.NDArray[Any]]:
    mosaic = _mosaic(path, stream, blemishes)
    if blemishes.has_checksums:
        _verify_checksums(path, stream)
    return mosaic, mosaic.pixels()


def _frame(header: FrameHeader, data: npt.NDArray[Any], sha256: str) -> Frame:
    unit = _unit(header.cards)
    return Frame(header.path, data, header.info, header.amplifiers, sha256, unit, header.amplifiers_reason)


def _unit(cards: Cards) -> str:
    return str(cards.get("BUNIT", "adu")).strip().lower()


def _mosaic(path: Path, stream: BinaryIO, blemishes: Blemishes) -> Mosaic:
    stream.seek(0)
    return find_mosaic(path, open_units(stream), blemishes.texts)


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
