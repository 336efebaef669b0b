"""Counting of values, compiled to machine code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.numerics.compiled import compiled

_AT_A_TIME = 2**22
"""Values of which a copy may be made."""


@compiled
def count_values(codes: npt.NDArray[Any], lowest: int, n_values: int) -> npt.NDArray[np.int64]:
    """Return how often each whole number from ``lowest`` on occurs in a contiguous array of one dimension.

    The numbers are in ADU, as all digitised ones; the counts have shape (n_values,).
    """
    # Neighbours are often equal; counting them in turn in four tables, none waits for the one before.
    counts = np.zeros((4, n_values), np.int64)
    n = codes.size // 4 * 4
    for i in range(0, n, 4):
        counts[0, np.int64(codes[i]) - lowest] += 1
        counts[1, np.int64(codes[i + 1]) - lowest] += 1
        counts[2, np.int64(codes[i + 2]) - lowest] += 1
        counts[3, np.int64(codes[i + 3]) - lowest] += 1
    for i in range(n, codes.size):
        counts[0, np.int64(codes[i]) - lowest] += 1
    total: npt.NDArray[np.int64] = counts[0] + counts[1] + counts[2] + counts[3]
    return total


def count_whole(data: npt.NDArray[Any], low: int, high: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct values of whole numbers from ``low`` to ``high``, ascending, and how often each occurs.

    The data, of any shape, and the values are in the same unit; both that are returned have shape (values,).
    """
    native = data.dtype.newbyteorder("=")
    kind = native if native in (np.uint16, np.int16, np.int32) else np.dtype(np.int64)  # compiled for no others
    rows = max(1, len(data) * _AT_A_TIME // data.size)
    counts = np.zeros(high - low + 1, np.int64)
    for start in range(0, len(data), rows):
        part = np.ascontiguousarray(data[start : start + rows], dtype=kind)
        counts += count_values(part.reshape(-1), low, high - low + 1)
    occurring = np.flatnonzero(counts)
    return occurring + low, counts[occurring]
