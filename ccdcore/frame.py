"""One detector image with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.cards import Cards
from ccdcore.geometry import Amplifier
from ccdcore.header import ExposureInfo


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
        rows, columns = np.shape(self.data)
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
