"""Counting of values, compiled to machine code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore._compiled import compiled


@compiled
def count_values(codes: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """Return how often each of the 65536 codes occurs in a contiguous array of one dimension."""
    # Neighbours are often equal; counting them in turn in four tables, none waits for the one before.
    counts = np.zeros((4, 65536), np.int64)
    n = codes.size // 4 * 4
    for i in range(0, n, 4):
        counts[0, codes[i]] += 1
        counts[1, codes[i + 1]] += 1
        counts[2, codes[i + 2]] += 1
        counts[3, codes[i + 3]] += 1
    for i in range(n, codes.size):
        counts[0, codes[i]] += 1
    total: npt.NDArray[np.int64] = counts[0] + counts[1] + counts[2] + counts[3]
    return total


def count_16_bit(data: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct values of 16-bit integers of any shape, ascending, and how often each occurs."""
    codes = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("=")).reshape(-1).view(np.uint16)
    counts = count_values(codes)
    lowest = 0
    if data.dtype.kind == "i":
        counts, lowest = np.roll(counts, 0x8000), -0x8000
    occurring = np.flatnonzero(counts)
    return occurring + lowest, counts[occurring]
