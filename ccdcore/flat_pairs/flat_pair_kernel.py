"""The inner loops of comparing two flats, compiled to machine code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.numerics.compiled import compiled, inner, inner_sum

Array = npt.NDArray[Any]

NEIGHBOURS = ((0, 0), (0, 1), (1, -1), (1, 0), (1, 1))
"""Rows and columns from a pixel to itself, and to one of each two of its eight neighbours that lie opposite."""

_BLOCK = 512


@compiled
def neighbour_mean(image: Array) -> Array:
    """Return the mean of the eight neighbours of each pixel; beyond the edge the image is mirrored, edge and all."""
    rows, columns = image.shape
    means = np.empty_like(image)
    three = np.empty(columns + 2, image.dtype)
    for y in range(rows):
        above, here, below, mean = image[max(y - 1, 0)], image[y], image[min(y + 1, rows - 1)], means[y]
        for x in range(columns):
            three[x + 1] = above[x] + here[x] + below[x]
        three[0], three[columns + 1] = three[1], three[columns]
        for x in range(columns):
            mean[x] = (three[x] + (above[x] + below[x]) + three[x + 2]) / 8
    return means


@compiled
def fit_templates(difference: Array, templates: Array, weight: Array, rows: Array, columns: Array) -> Array:
    """Fit templates to an image, box by box: the loop of `ccdcore.flat_pairs.residuals.fit_boxes`.

    Parameters
    ----------
    difference, weight : ndarray, shape (rows, columns)
        The image and 1/variance of its pixels.
    templates : ndarray, shape (templates, rows, columns)
        What may be in it.
    rows, columns : ndarray of int
        Bounds of the boxes.

    Returns
    -------
    ndarray, shape (2, rows, columns)
        Residual and leverage.
    """
    n_templates = templates.shape[0]
    result = np.empty((2, *difference.shape), difference.dtype)
    largest = np.diff(rows).max() * np.diff(columns).max()
    # The pixels of one box, side by side: they stay in the processor's nearest cache.
    basis, inverse_norm = np.empty((n_templates, largest), difference.dtype), np.empty(n_templates, difference.dtype)
    rest, w = np.empty(largest, difference.dtype), np.empty(largest, difference.dtype)
    h = np.empty(largest, difference.dtype)
    for i in range(rows.size - 1):
        for j in range(columns.size - 1):
            box = rows[i], rows[i + 1], columns[j], columns[j + 1]
            n = _gather(difference, box, rest, 0)
            _gather(weight, box, w, 0)
            h[:n] = 0
            for a in range(n_templates):
                template = basis[a]
                _gather(templates[a], box, template, 0)
                before = _product(w, template, template, n)
                for b in range(a):
                    _subtract(template, _product(w, basis[b], template, n) * inverse_norm[b], basis[b], n)
                norm = _product(w, template, template, n)
                # A template that the ones before it explain up to rounding has nothing to add.
                inverse_norm[a] = 1 / norm if norm > 1e-6 * before else 0
                _subtract(rest, _product(w, template, rest, n) * inverse_norm[a], template, n)
                for k in range(n):
                    h[k] += w[k] * template[k] * template[k] * inverse_norm[a]
            _scatter(rest, result[0], box)
            _scatter(h, result[1], box)
    return result


@compiled
def neighbour_sums(pull: Array, weight: Array, templates: Array, rows: Array, columns: Array) -> Array:
    """Sum the products of the residuals of neighbours, within boxes.

    What templates took from a box they took from neighbours alike: residuals of noise without covariances have
    the covariance −H, with H = T (TᵀT)⁻¹ Tᵀ of the weighted templates T. Its sum is returned beside.

    Parameters
    ----------
    pull : ndarray, shape (rows, columns)
        Residuals over σ; 0 where a pixel is not to be used.
    weight : ndarray
        1/variance of each pixel; 0 where it is not to be used.
    templates : ndarray, shape (templates, rows, columns)
        What was fitted, and taken away.
    rows, columns : ndarray of int
        Bounds of the boxes.

    Returns
    -------
    ndarray of float64, shape (3, 5)
        Number of pairs, sum of their products, and sum of H, for each of `NEIGHBOURS`.
    """
    sums, n_templates = np.zeros((3, len(NEIGHBOURS))), templates.shape[0]
    # Rows of a box lie one after the other, a pixel of zero between them: the neighbours of all of its pixels are as
    # far from them, and those beyond its edge add nothing.
    largest = np.diff(rows).max() * (np.diff(columns).max() + 1)
    basis = np.empty((n_templates, largest), pull.dtype)
    p, root, used = np.empty_like(basis[0]), np.empty_like(basis[0]), np.empty_like(basis[0])
    one = np.ones_like(root)
    for i in range(rows.size - 1):
        for j in range(columns.size - 1):
            box = rows[i], rows[i + 1], columns[j], columns[j + 1]
            n = _gather(pull, box, p, 1)
            _gather(weight, box, root, 1)
            for k in range(n):
                root[k], used[k] = np.sqrt(root[k]), p[k] != 0
            for a in range(n_templates):
                template = basis[a]
                _gather(templates[a], box, template, 1)
                for k in range(n):
                    template[k] *= root[k]
                before = _product(one, template, template, n)
                for b in range(a):
                    _subtract(template, _product(one, basis[b], template, n), basis[b], n)
                norm = _product(one, template, template, n)
                scale = 1 / np.sqrt(norm) if norm > 1e-6 * before else 0
                for k in range(n):
                    template[k] *= scale
            for lag in range(len(NEIGHBOURS)):
                down, aside = NEIGHBOURS[lag]
                apart = down * (box[3] - box[2] + 1) + aside
                sums[0, lag] += _product(one, used, used[apart:], n - apart)
                sums[1, lag] += _product(one, p, p[apart:], n - apart)
                for a in range(n_templates):
                    sums[2, lag] += _product(one, basis[a], basis[a, apart:], n - apart)
    return sums


@compiled
def weighted_products(ones: Array, others: Array, weight: Array) -> Array:
    """Return the sums over all pixels of weight · one · other, for each two images of one and of the other stack."""
    sums = np.zeros((len(ones), len(others)))
    for y in range(weight.shape[0]):
        for a in range(len(ones)):
            for b in range(len(others)):
                sums[a, b] += _product(weight[y], ones[a, y], others[b, y], weight.shape[1])
    return sums


@compiled
def derivatives(light: Array, first: int, used: Array) -> Array:
    """Return the derivatives of an image along its columns and its rows, from row ``first`` on, 0 where not ``used``.

    By differences of the fourth order: those of the second are 7 % off on traces of σ = 1.5 pixels. Beyond the edge the
    image goes on as it is there.
    """
    rows, columns = light.shape
    slopes, wide = np.empty((2, *used.shape), light.dtype), np.empty(columns + 4, light.dtype)
    eight, twelfth = light.dtype.type(8), light.dtype.type(1 / 12)
    for y in range(used.shape[0]):
        here = light[first + y]
        above, far_above = light[max(first + y - 1, 0)], light[max(first + y - 2, 0)]
        below, far_below = light[min(first + y + 1, rows - 1)], light[min(first + y + 2, rows - 1)]
        wide[:2], wide[2:-2], wide[-2:] = here[0], here, here[-1]
        for x in range(columns):
            slope = ((far_above[x] - far_below[x]) + eight * (below[x] - above[x])) * twelfth
            slopes[0, y, x] = slope if used[y, x] else 0
            slope = ((wide[x] - wide[x + 4]) + eight * (wide[x + 3] - wide[x + 1])) * twelfth
            slopes[1, y, x] = slope if used[y, x] else 0
    return slopes


@inner
def _gather(image: Array, box: tuple[int, int, int, int], row: Array, gap: int) -> int:
    """Lay the rows of a box side by side, so many zeros after each; return how long that is."""
    top, bottom, left, right = box
    i = 0
    for y in range(top, bottom):
        for x in range(left, right):
            row[i] = image[y, x]
            i += 1
        for _ in range(gap):
            row[i] = 0
            i += 1
    return i


@inner
def _scatter(row: Array, image: Array, box: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = box
    i = 0
    for y in range(top, bottom):
        for x in range(left, right):
            image[y, x] = row[i]
            i += 1


@inner_sum
def _product(weight: Array, one: Array, other: Array, n: int) -> Any:
    total = weight.dtype.type(0)
    for i in range(n):
        total += weight[i] * one[i] * other[i]
    return total


@inner
def _subtract(row: Array, factor: Any, other: Array, n: int) -> None:
    for i in range(n):
        row[i] -= factor * other[i]


@compiled
def group_sums(keys: Array, edges: Array, value: Array, level: Array, variance: Array, dof: Array) -> Array:
    """Sum over groups of pixels, those of group i with edge i − 1 < key ≤ edge i.

    Returns
    -------
    ndarray of float64, shape (6, edges + 1)
        Number of pixels, and sums of dof, value², level · dof, variance · dof and variance² · dof.
    """
    sums = np.zeros((edges.size + 1, 6))
    group, kind = np.empty(_BLOCK, np.int32), keys.dtype.type
    limits = edges.astype(keys.dtype)  # the nearest numbers of that type that are not greater tell the same keys apart
    for i in range(edges.size):
        limits[i] = np.nextafter(limits[i], kind(-np.inf)) if limits[i] > edges[i] else limits[i]
    for start in range(0, keys.size, _BLOCK):
        width = min(_BLOCK, keys.size - start)
        key = keys[start : start + width]
        group[:] = 0
        for limit in limits:  # counting all of them takes vector instructions, a search does not
            for j in range(width):
                group[j] += np.int32(limit < key[j])
        for j in range(width):
            freedom, of_model = np.float64(dof[start + j]), np.float64(variance[start + j])
            of_group = sums[group[j]]
            of_group[0] += 1
            of_group[1] += freedom
            of_group[2] += np.float64(value[start + j]) ** 2
            of_group[3] += np.float64(level[start + j]) * freedom
            of_group[4] += of_model * freedom
            of_group[5] += of_model**2 * freedom
    return sums.T.copy()
