"""Nights, windows and the frames of a calibration set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ccdcore.geometry import Amplifier
from ccdcore.header import ExposureInfo
from ccdcore.statistics import FrameStatistics


@dataclass(frozen=True, slots=True)
class SeriesFrame:
    """A registered frame as a series sees it: everything but its pixels.

    Parameters
    ----------
    sha256 : str
        The frame's identity.
    path : Path
        Where its pixels can be read.
    shape : tuple of int
        Rows and columns.
    info : ExposureInfo
        What the header and the configuration say of it.
    amplifiers : tuple of Amplifier
        Its read-out channels.
    statistics : tuple of FrameStatistics
        One for each amplifier, in the same order.
    """

    sha256: str
    path: Path
    shape: tuple[int, int]
    info: ExposureInfo
    amplifiers: tuple[Amplifier, ...]
    statistics: tuple[FrameStatistics, ...]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A frame that does not belong, and why."""

    frame: SeriesFrame
    reason: str
