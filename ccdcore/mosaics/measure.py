"""What is put on record of a frame, measured detector by detector where it is a large mosaic."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Amplifier, Detector
from ccdcore.frames.frame import FrameHeader, FrameStatistics
from ccdcore.frames.statistics import frame_statistics
from ccdcore.headers.identify import says_type
from ccdcore.headers.instrument import Instrument
from ccdcore.io import read
from ccdcore.io.digest import stored_sha256, strips_sha256
from ccdcore.io.plain_files import file_sha256
from ccdcore.io.read import MeasuredFrame, read_header, verify_file
from ccdcore.io.stored_pixels import StoredPixels, stored_detectors
from ccdcore.io.stream import is_compressed
from ccdcore.mosaics import detectors as large

_STRIP_PIXELS = 2**20

_Parts = Mapping[Detector, StoredPixels]


def measure_frame(path: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()) -> MeasuredFrame:
    """Measure all that is put on record of a frame, as `ccdcore.io.read.measure_frame` does.

    Of a large mosaic in a plain file no more than a detector is held; its numbers are the same.

    Parameters and errors are those of `ccdcore.io.read.measure_frame`.
    """
    path = Path(path)
    parts = stored_detectors(path) if _is_large(path) else {}
    if sum(prod(one.shape) for one in parts.values()) <= large.WHOLE_PIXELS:
        return read.measure_frame(path, instruments=instruments)
    header = read_header(path, instruments=instruments)
    owners = [next((one for one in parts if _has(one, amplifier)), None) for amplifier in header.amplifiers]
    if None in owners or next(iter(parts.values())).stored.kind == "f":
        return read.measure_frame(path, instruments=instruments)
    verify_file(path)
    return _measured(header, parts, instruments)


def _is_large(path: Path) -> bool:
    """Whether a plain file may hold a large mosaic; of all others nothing is asked twice."""
    try:
        return path.stat().st_size > large.WHOLE_PIXELS and not is_compressed(path)
    except OSError:  # who reads it says so
        return False


def _has(detector: Detector, amplifier: Amplifier) -> bool:
    return detector.has(amplifier.data) and (amplifier.overscan is None or detector.has(amplifier.overscan))


def _measured(header: FrameHeader, parts: _Parts, instruments: Sequence[Instrument]) -> MeasuredFrame:
    dtype = next(iter(parts.values()))[:0].dtype
    with ThreadPoolExecutor(2) as pool:
        content = pool.submit(file_sha256, header.path)
        early = pool.submit(_identity, header, parts, dtype, (0, 0)) if dtype == np.uint16 else None
        statistics, limits = _statistics(header, parts)
        sha256 = early.result() if early else _identity(header, parts, dtype, limits)
        former = sha256 if early else stored_sha256(header.shape, dtype, _strips(header, parts))
        said = says_type(header.info, header.cards, shape=header.shape, instruments=instruments)
        amplifiers = header.amplifiers
        return MeasuredFrame(sha256, header.shape, header.info, amplifiers, statistics, content.result(), former, said)


def _identity(header: FrameHeader, parts: _Parts, dtype: np.dtype[Any], limits: tuple[int, int]) -> str:
    return strips_sha256(header.shape, dtype, limits, _strips(header, parts))


def _statistics(header: FrameHeader, parts: _Parts) -> tuple[tuple[FrameStatistics, ...], tuple[int, int]]:
    """Return the statistics of the amplifiers, and the limits between which all pixels are."""
    found: dict[Amplifier, FrameStatistics] = {}
    lowest, highest = [], []
    for detector, stored in parts.items():
        image = stored[:]
        read.require_order_of_bytes(header.path, image)
        own = [one for one in header.amplifiers if _has(detector, one)]
        found |= zip(own, frame_statistics(image, [detector.part(one) for one in own]), strict=True)
        lowest.append(int(image.min()))
        highest.append(int(image.max()))
    return tuple(found[one] for one in header.amplifiers), (min(lowest), max(highest))


def _strips(header: FrameHeader, parts: _Parts) -> Iterator[npt.NDArray[Any]]:
    """Yield the rows of the whole frame, some at a time."""
    rows, columns = header.shape
    step = max(1, _STRIP_PIXELS // columns)
    for start in range(0, rows, step):
        yield np.hstack([one[start : start + step] for one in parts.values()])
