"""One detector image with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcore.cards.sections import Amplifier, Detector
from ccdcore.cards.values import Cards
from ccdcore.headers.identify import ExposureInfo

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One detector image.

    Parameters
    ----------
    path : Path
        The file it was read from.
    data : ndarray, shape (rows, columns)
        Pixel values, of a raw frame in ADU, in the file's own type (BZERO applied), native byte order.
    info : ExposureInfo
        What the header and the configuration say of it.
    amplifiers : tuple of Amplifier
        At least one; the whole image where nothing says otherwise.
    sha256 : str
        SHA-256 of the decoded pixels and their shape: the frame's identity,
        the same however the file is named or compressed.
    unit : str
        What BUNIT says of the pixel values, in small letters; ``""`` for pure
        numbers (a master flat).
    amplifiers_reason : str
        The evidence for the amplifiers, in words.
    """

    path: Path
    data: npt.NDArray[Any]
    info: ExposureInfo
    amplifiers: tuple[Amplifier, ...]
    sha256: str
    unit: str = "adu"
    amplifiers_reason: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.data.shape
        return rows, columns


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What is known of a frame without its pixels; the fields are those of `Frame`.

    Parameters
    ----------
    path : Path
        The file it was read from.
    shape : tuple of int
        Rows and columns.
    info : ExposureInfo
        What the header and the configuration say of it.
    amplifiers : tuple of Amplifier
        At least one; the whole image where nothing says otherwise.
    cards : mapping of str to value
        The cards of the primary header overlaid by those of the image
        extension, keywords in capitals.
    amplifiers_reason : str
        The evidence for the amplifiers, in words.
    """

    path: Path
    shape: tuple[int, int]
    info: ExposureInfo
    amplifiers: tuple[Amplifier, ...]
    cards: Cards
    amplifiers_reason: str = ""


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """Statistics of one amplifier of one frame, in ADU; recorded when the frame is registered.

    Parameters
    ----------
    amplifier : str
        Name of the amplifier.
    n_pixels : int
        Pixels of its data section.
    minimum, maximum, median : float
        Of the finite pixels of the data section.
    level : float
        Mean of the pixels between the 1st and the 99th percentile: it follows
        the flux even where most of the image is dark (a spectrum), and cosmic
        rays do not move it.
    noise : float
        Robust scatter between neighbouring columns divided by √2, so that
        smooth structure does not count.
    saturated_fraction : float
        Fraction of pixels that share the maximum value, where that is a
        pile-up (more than 10 pixels, and more than share the next lower
        value) and not just the end of the distribution; else 0.
    overscan_level : float or None
        Level of the overscan section, where the amplifier has one.
    overscan_noise : float or None
        Read noise of the overscan section (`overscan_noise`), where it has two rows.
    n_averaged : int
        Exposures that its pixels show to be averages of
        (`ccdcore.numerics.pixel_values.averages_of`); 1 of a raw frame.
    step : float
        Distance of the values that pixels can have (`ccdcore.numerics.pixel_values.grid_step`); 0 of continuous ones.
    cut_fraction : float
        Part of the pixels that the noise puts below the lowest value, where it was cut off.
    negative_fraction : float
        Part of the pixels below 0.
    """

    amplifier: str
    n_pixels: int
    minimum: float
    maximum: float
    median: float
    level: float
    noise: float
    saturated_fraction: float
    overscan_level: float | None = None
    overscan_noise: float | None = None
    n_averaged: int = 1
    step: float = 1.0
    cut_fraction: float = 0.0
    negative_fraction: float = 0.0


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
    detector : Detector, optional
        Where this is the part of a frame that one detector of a mosaic sees, with sections in its own pixels: which.
    """

    sha256: str
    path: Path
    shape: tuple[int, int]
    info: ExposureInfo
    amplifiers: tuple[Amplifier, ...]
    statistics: tuple[FrameStatistics, ...]
    detector: Detector | None = None
