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


@compiled
def group_sums(
    keys: npt.NDArray[Any],
    edges: npt.NDArray[np.float64],
    value: npt.NDArray[Any],
    level: npt.NDArray[Any],
    variance: npt.NDArray[Any],
    dof: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    """Sum over groups of pixels, those of group i with edge i − 1 < key ≤ edge i.

    Returns
    -------
    ndarray of float64, shape (6, edges + 1)
        Number of pixels, and sums of dof, value², level · dof, variance · dof and variance² · dof.
    """
    sums = np.zeros((6, edges.size + 1))
    half = 1
    while 2 * half <= edges.size:
        half *= 2
    padded = np.full(2 * half, np.inf)  # a search of as many steps for each pixel, without branches
    padded[: edges.size] = edges
    for i in range(keys.size):
        group, step = 0, half
        while step > 0:
            group += step * (padded[group + step - 1] < keys[i])
            step >>= 1
        freedom, of_model = np.float64(dof[i]), np.float64(variance[i])
        sums[0, group] += 1
        sums[1, group] += freedom
        sums[2, group] += np.float64(value[i]) ** 2
        sums[3, group] += np.float64(level[i]) * freedom
        sums[4, group] += of_model * freedom
        sums[5, group] += of_model**2 * freedom
    return sums


def count_16_bit(data: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct values of 16-bit integers of any shape, ascending, and how often each occurs."""
    codes = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("=")).reshape(-1).view(np.uint16)
    counts = count_values(codes)
    lowest = 0
    if data.dtype.kind == "i":
        counts, lowest = np.roll(counts, 0x8000), -0x8000
    occurring = np.flatnonzero(counts)
    return occurring + lowest, counts[occurring]
