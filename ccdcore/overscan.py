"""Bias level from the overscan of the same read-out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.geometry import Amplifier
from ccdcore.statistics import cut, overscan_level


def subtract_overscan(data: npt.NDArray[Any], amplifiers: Sequence[Amplifier]) -> npt.NDArray[np.float32]:
    """Return a frame with the level of each amplifier's overscan taken off its data section.

    Parameters
    ----------
    data : ndarray, shape (rows, columns)
        The frame in ADU.
    amplifiers : sequence of Amplifier
        Its read-out channels.

    Returns
    -------
    ndarray of float32, shape of ``data``
        A copy. Data sections have lost their bias level where there is an
        overscan to know it from (`ccdcore.statistics.overscan_level`); all
        other pixels are those of ``data``.

    Raises
    ------
    SectionError
        If a section lies outside the image.
    InsufficientDataError
        If an overscan section has no finite pixel.
    """
    result = data.astype(np.float32)
    for amplifier in amplifiers:
        if amplifier.overscan is not None:
            pixels = cut(result, amplifier.data)
            pixels -= np.float32(overscan_level(data, amplifier.overscan))
    return result
