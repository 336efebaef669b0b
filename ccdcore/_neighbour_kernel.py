"""How the noise of a pixel goes with that of its neighbours: the inner loop, compiled to machine code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore._compiled import compiled

Array = npt.NDArray[Any]

LAGS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Rows and columns to one of each two neighbours that lie opposite: there are eight in all."""


@compiled
def neighbour_sums(pull: Array, weight: Array, templates: Array, rows: Array, columns: Array) -> Array:
    """Sum the products of the residuals of neighbours, within boxes.

    What templates took from a box takes from neighbours alike: their residuals have the covariance −H where noise
    had none, with H = T (TᵀT)⁻¹ Tᵀ of the weighted templates T. Its sum is returned beside.

    Parameters
    ----------
    pull : ndarray, shape (rows, columns)
        Residuals over σ; 0 where a pixel is not to be used.
    weight : ndarray
        1/variance of each pixel, as the templates were fitted; 0 where it is not to be used.
    templates : ndarray, shape (templates, rows, columns)
        What was fitted, and taken away.
    rows, columns : ndarray of int
        Bounds of the boxes.

    Returns
    -------
    ndarray, shape (3, 5)
        Number of pairs, sum of their products, and sum of H, for a pixel with itself and for each of `LAGS`.
    """
    sums = np.zeros((3, 5))
    n_templates = templates.shape[0]
    height, width = np.diff(rows).max(), np.diff(columns).max()
    basis, root = np.zeros((n_templates, height, width)), np.zeros((height, width))
    for top, bottom in zip(rows[:-1], rows[1:]):  # noqa: B905 - numba knows no strict
        for left, right in zip(columns[:-1], columns[1:]):  # noqa: B905
            h, w = bottom - top, right - left
            for y in range(h):
                for x in range(w):
                    root[y, x] = np.sqrt(weight[top + y, left + x])
            for a in range(n_templates):
                before = after = 0.0
                for y in range(h):
                    for x in range(w):
                        basis[a, y, x] = templates[a, top + y, left + x] * root[y, x]
                        before += basis[a, y, x] ** 2
                for b in range(a):
                    product = 0.0
                    for y in range(h):
                        for x in range(w):
                            product += basis[a, y, x] * basis[b, y, x]
                    for y in range(h):
                        for x in range(w):
                            basis[a, y, x] -= product * basis[b, y, x]
                for y in range(h):
                    for x in range(w):
                        after += basis[a, y, x] ** 2
                scale = 1 / np.sqrt(after) if after > 1e-6 * before else 0.0
                for y in range(h):
                    for x in range(w):
                        basis[a, y, x] *= scale
            for lag in range(5):
                down, aside = (0, 0) if lag == 0 else LAGS[lag - 1]
                for y in range(h - down):
                    for x in range(max(0, -aside), w - max(0, aside)):
                        one, two = pull[top + y, left + x], pull[top + y + down, left + x + aside]
                        if one != 0 and two != 0:
                            sums[0, lag] += 1
                            sums[1, lag] += one * two
                            for a in range(n_templates):
                                sums[2, lag] += basis[a, y, x] * basis[a, y + down, x + aside]
    return sums
