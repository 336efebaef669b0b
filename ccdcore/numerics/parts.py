"""Parts of an image whose noise is not that of the others: amplifiers that no card names, scaled colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from ccdcore.numerics.robust import median

Array = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int_]

_OF_MEDIAN = 1.5
"""σ of a median of pairs that share frames, over that of the mean of as many independent ones."""

_BY_CHANCE = 1e-5
"""Chance that noise alone makes two parts unlike in one division of the image, however many parts that has."""

_LENGTHS, _AGREE = 4, 0.75
"""Pieces along a column or row, and how many of them have to differ as the whole does: a spot makes no amplifier."""

_FEWEST_LINES, _FEWEST_PIXELS = 8, 1000
"""Columns or rows of a part, and pixels of all pairs in it, that tell its noise: few of them may be hot."""

_LEAST_LIGHT, _BRIGHTEST = 0.2, 0.98
"""Of that of the brightest pieces, hot ones aside: where the level of the bias is a little off, faint light seems to
have other noise."""

_AS_MUCH = 0.65
"""Of the most that any division shows, for one of fewer parts to be the one that is told."""

_STEP, _BESIDE = 0.5, 4
"""Part of the step in noise over light that the light steps by where one amplifier ends and the next begins, at least
(the same, of one gain each, under even light), and how many columns or rows on both sides tell it."""

_BETTER = 25.0
"""χ² by which unlike colours explain the noise better than another offset does, or the other way round, to be sure."""

_SHOWN = 8

MOSAIC = ("odd columns, odd rows", "even columns, odd rows", "odd columns, even rows", "even columns, even rows")
QUARTERS = ("left, first rows", "right, first rows", "left, last rows", "right, last rows")
_TURNS, _STRIPES, _TWICE = (4, 8), (4, 8, 16, 32), (4, 8, 16)


def _zeros(*shape: int) -> Array:
    return np.zeros((*shape, 3), np.float32)  # half the room, of each pair


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Sums over the good pixels of pieces of a pair: ``n``, squares in units of their expected variance, light in ADU.

    Parameters
    ----------
    columns, rows : ndarray, shape (4, columns or rows, 3)
        Of each column, by quarters of its length; of each row.
    mosaic : ndarray, shape (16, 4, 3)
        Of every second pixel of every second row, by places of the image.
    """

    columns: Array
    rows: Array
    mosaic: Array

    @classmethod
    def none(cls) -> Parts:
        """Return sums of nothing."""
        return cls(_zeros(_LENGTHS, 1), _zeros(_LENGTHS, 1), _zeros(_LENGTHS**2, 4))

    @classmethod
    def of(
        cls,
        squares: npt.NDArray[Any],
        level: npt.NDArray[Any],
        good: npt.NDArray[np.bool_],
        rows: Labels,
        n_rows: int,
    ) -> Parts:
        """Sum over some rows of a pair, those of the numbers ``rows`` of ``n_rows``.

        Squares, level (in ADU) and good have shape (rows, columns); the rows lie evenly spaced.
        """
        n_columns = good.shape[1]
        of_columns, of_rows, mosaic = (
            _zeros(*shape) for shape in ((_LENGTHS, n_columns), (_LENGTHS, n_rows), (_LENGTHS**2, 4))
        )
        across, down = _edges(n_columns), np.searchsorted(rows, _edges(n_rows)).tolist()
        places = 2 * _bands(n_columns, _LENGTHS) + np.arange(n_columns) % 2
        for number, image in enumerate((good, np.where(good, squares, 0), np.where(good, level, 0))):
            for k, (first, last) in enumerate(pairwise(across)):
                of_rows[k, rows, number] = image[:, first:last].sum(axis=1, dtype=np.float64)
            for k, (first, last) in enumerate(pairwise(down)):
                for begin in range(first, min(first + 2, last)):  # every second row: views cost less than a choice
                    sums, parity = image[begin:last:2].sum(axis=0, dtype=np.float64), 2 * (rows[begin] % 2)
                    of_columns[k, :, number] += sums
                    of_places = np.bincount(places, sums, 2 * _LENGTHS).reshape(_LENGTHS, 2)
                    mosaic[_LENGTHS * k : _LENGTHS * (k + 1), parity : parity + 2, number] += of_places
        return cls(of_columns, of_rows, mosaic)

    def __add__(self, other: Parts) -> Parts:
        """Return the sums of both."""
        return Parts(self.columns + other.columns, self.rows + other.rows, self.mosaic + other.mosaic)


@dataclass(frozen=True, slots=True)
class Unlike:
    """Which parts of an image have how much of the noise, in words, and whether another offset may be why.

    ``more`` is how much more variance one part has than another, relative, in the division that shows most.
    """

    words: str
    may_be_offset: bool
    more: float


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """Noise over what is expected of pieces of the image, their light, pixels of all pairs, and whether they count."""

    noise: Array
    level: Array
    n: Array
    counts: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, pairs: Sequence[Array], *, lit: bool) -> _Pieces:
        """Take the median of the pairs, so that what moves from one frame to the next makes no part."""
        n, squares, light = np.moveaxis(np.array(pairs, np.float64), -1, 0)
        least, some = n.min(axis=0), np.maximum(n, 1)
        usual = squares.sum(axis=(1, 2)) / np.maximum(n.sum(axis=(1, 2)), 1)
        noise = np.median(squares / some / np.maximum(usual, 1e-9)[:, None, None], axis=0)
        level = np.median(light / some, axis=0)
        counts = (least > 0) & (least >= np.max(least) / 2)
        if lit:
            counts &= level >= _LEAST_LIGHT * np.quantile(np.append(level[counts], 0), _BRIGHTEST)
        return cls(noise, level, n.sum(axis=0), counts)


@dataclass(frozen=True, slots=True, eq=False)
class _Division:
    """A way to divide an image: names of its parts, pieces, of which part each is, and how far apart to see a step."""

    names: tuple[str, ...]
    pieces: _Pieces
    labels: Labels
    beside: int


def unlike(pairs: Sequence[Parts], least: float, by_charge: float = 0.0, *, across_rows: bool = True) -> Unlike | None:
    """Say which parts of an image have how much of the noise; None where all have the same.

    The median of the pairs counts, and of the columns or rows of a part, so that a few hot ones make none.

    Parameters
    ----------
    pairs : sequence of Parts
        Of all pairs.
    least : float
        How much more variance, relative, one part has than another, at least.
    by_charge : float
        And how much more where one has all of the light and the other none; 0 where it is not light that makes noise.
    across_rows : bool
        False leaves rows out, whose noise comes and goes together.
    """
    if not pairs:
        return None
    divisions = _divisions(pairs, lit=by_charge > 0, across_rows=across_rows)
    found = list(filter(None, (_of_division(division, least, by_charge) for division in divisions)))
    enough = _AS_MUCH * max((surely for surely, _ in found), default=0.0)
    told = next((one for surely, one in found if surely >= enough), None)
    return told and replace(told, more=max(one.more for _, one in found))


def _divisions(pairs: Sequence[Parts], *, lit: bool, across_rows: bool) -> Iterator[_Division]:
    """Yield the ways to divide an image, from few parts to many."""
    names = ("columns", "rows") if across_rows else ("columns",)
    lines = [(name, _Pieces.of([getattr(pair, name) for pair in pairs], lit=lit)) for name in names]
    for name, pieces in lines:
        yield _in_turn(pieces, (f"odd {name}", f"even {name}"))
        yield _Division(("left", "right") if name == "columns" else ("first rows", "last rows"), *_stripes(pieces, 2))
    if across_rows:
        pieces = _Pieces.of([pair.mosaic for pair in pairs], lit=lit)
        yield _Division(MOSAIC, pieces, np.broadcast_to(np.arange(4), pieces.n.shape), 0)
        yield _Division(QUARTERS, *_stripes(lines[0][1], 2, twice=True))
    for name, pieces in lines:
        for n in _TURNS:
            yield _in_turn(pieces, tuple(f"{name} {k + 1}, {k + 1 + n}, …" for k in range(n)))
        for n in _STRIPES:
            yield _Division(_numbered(f"of {n} bands of {name}", n), *_stripes(pieces, n))
        for n in _TWICE if across_rows else ():
            of = f"of 2 by {n} blocks of {'rows and columns' if name == 'columns' else 'columns and rows'}"
            yield _Division(_numbered(of, 2 * n), *_stripes(pieces, n, twice=True))


def _numbered(of: str, n: int) -> tuple[str, ...]:
    return tuple(f"number {k + 1} {of}" for k in range(n))


def _bands(size: int, n: int) -> Labels:
    return np.arange(size) * n // size


def _edges(size: int) -> list[int]:
    """Return where the quarters of a length begin, and where the last of them ends, as `_bands` has them."""
    return [-(-k * size // _LENGTHS) for k in range(_LENGTHS + 1)]


def _in_turn(pieces: _Pieces, names: tuple[str, ...]) -> _Division:
    labels = np.arange(pieces.n.shape[1]) % len(names)
    return _Division(names, pieces, np.broadcast_to(labels, pieces.n.shape), 1)


def _stripes(pieces: _Pieces, n: int, *, twice: bool = False) -> tuple[_Pieces, Labels, int]:
    halves = n * _bands(_LENGTHS, 2) if twice else np.zeros(_LENGTHS, int)
    return pieces, halves[:, None] + _bands(pieces.n.shape[1], n), _BESIDE


def _of_division(division: _Division, least: float, by_charge: float) -> tuple[float, Unlike] | None:
    """Return how much more noise one part has than another, surely, and the noise of all."""
    pieces = division.pieces
    members = [pieces.counts & (division.labels == k) for k in range(len(division.names))]
    known = [k for k, some in enumerate(members) if _is_known(some, pieces.n, division.beside)]
    if len(known) <= 1:
        return None
    noise, error, level = np.array([_of_part(pieces, members[k]) for k in known]).T
    sigmas = norm.isf(_BY_CHANCE / (noise.size * (noise.size - 1)))
    most, least_of = int(np.argmax(noise - sigmas * error)), int(np.argmin(noise + sigmas * error))
    apart = 1 - float(min(level[most], level[least_of]) / max(level[most], level[least_of], 1e-9))
    more = float(noise[most] / max(noise[least_of], 1e-9)) - 1
    surely = sigmas * float(np.hypot(error[most], error[least_of]))
    if more <= max(least + by_charge * apart, surely):
        return None
    if not _all_along(pieces.noise, members[known[most]], members[known[least_of]]):
        return None
    may_be_offset = False
    if by_charge and division.beside:
        if not _light_steps(division, dict(zip(known, noise, strict=True))):
            return None
    elif by_charge:
        worse = _worse_by_offset(pieces, [members[k] for k in known])
        if worse < -_BETTER:
            return None
        may_be_offset = worse < _BETTER and not _STEP <= _as_light(np.log(level), np.log(noise)) <= 1 / _STEP
    order = range(noise.size) if noise.size <= _SHOWN else np.argsort(-noise)[[0, 1, -2, -1]].tolist()
    said = "; ".join(f"{noise[k]:.2f} ({division.names[known[k]]})" for k in order)
    return more - surely, Unlike(said, may_be_offset, more)


def _is_known(some: npt.NDArray[np.bool_], n: Array, lines: int) -> bool:
    fewest = _FEWEST_LINES if lines else 1
    return bool(some.any(axis=0).sum() >= fewest and n[some].sum() >= _FEWEST_PIXELS)


def _of_part(pieces: _Pieces, some: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the noise of a part, its uncertainty by the scatter of its pieces or its pixels, and its light."""
    noise = pieces.noise[some]
    usual = median(noise)
    scatter = 1.4826 * median(np.abs(noise - usual)) / np.sqrt(noise.size)
    error = 1.2533 * max(scatter, usual * _OF_MEDIAN * np.sqrt(2 / pieces.n[some].sum()))
    return usual, float(error), median(pieces.level[some])


def _all_along(noise: Array, most: npt.NDArray[np.bool_], least: npt.NDArray[np.bool_]) -> bool:
    """Whether most pieces of two parts differ as the parts do: what is in one place only makes no amplifier."""
    both = [k for k in range(len(noise)) if most[k].any() and least[k].any()]
    return not both or bool(np.mean([median(noise[k, most[k]]) > median(noise[k, least[k]]) for k in both]) >= _AGREE)


def _light_steps(division: _Division, noise: dict[int, float]) -> bool:
    """Whether the light, in ADU, steps as noise over light does where one part ends and the next begins.

    Light is smooth, so that the steps are those of 1/gain in both. Another offset, charge that pushes charge and
    light that is not linear make other noise of other light, but no step.
    """
    pieces, steps = division.pieces, []
    for counts, all_labels, all_level in zip(pieces.counts, division.labels, pieces.level, strict=True):
        labels, level = all_labels[counts], all_level[counts]  # of a large image some rows only
        for at in np.flatnonzero(np.diff(labels)) + 1:
            of = noise.get(int(labels[at - 1])), noise.get(int(labels[at]))
            if of[0] is None or of[1] is None:
                continue
            before, after = level[max(at - division.beside, 0) : at], level[at : at + division.beside]
            steps.append((np.log(np.median(after) / np.median(before)), np.log(of[1] / of[0])))
    if not steps:
        return False
    of_light, of_noise = np.array(steps).T
    large = np.abs(of_noise) >= np.abs(of_noise).max() / 2
    return bool(np.median(of_light[large] / of_noise[large]) >= _STEP)


def _as_light(light: Array, noise: Array) -> float:
    """Return the slope of one logarithm on the other, 1 of unlike gains under even light."""
    steps = light - light.mean()
    return float(steps @ noise / max(steps @ steps, 1e-12))


def _worse_by_offset(pieces: _Pieces, members: Sequence[npt.NDArray[np.bool_]]) -> float:
    """Return by how much χ² another offset of all, noise over light of a + b/μ, is a worse reason than unlike parts."""
    own = [pieces.noise[some] for some in members]
    noise, light = np.concatenate(own), np.concatenate([pieces.level[some] for some in members])
    by_parts = np.concatenate([values - np.median(values) for values in own])
    design = np.stack([np.ones_like(light), light.max() / light], axis=1)
    by_offset = noise - design @ np.linalg.lstsq(design, noise, rcond=None)[0]
    squares = float(by_offset @ by_offset), float(by_parts @ by_parts)
    return (squares[0] - squares[1]) / max(min(squares) / noise.size, 1e-12)
