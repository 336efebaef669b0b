"""One detector image with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
        Pixel values in ADU, in the file's own type (BZERO applied), native byte order.
    info : ExposureInfo
        What the header and the configuration say of it.
    amplifiers : tuple of Amplifier
        At least one; the whole image where nothing says otherwise.
    sha256 : str
        SHA-256 of the decoded pixels and their shape: the frame's identity,
        the same however the file is named or compressed.
    """

    path: Path
    data: npt.NDArray[Any]
    info: ExposureInfo
    amplifiers: tuple[Amplifier, ...]
    sha256: str

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
    """

    path: Path
    shape: tuple[int, int]
    info: ExposureInfo
    amplifiers: tuple[Amplifier, ...]
