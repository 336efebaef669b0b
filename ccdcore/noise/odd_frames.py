"""Which frames of a series are not of one kind with the others: the noise of each, by that of the pairs it is in.

One noise model fits one camera in one read mode. Averaged frames, and frames of another gain setting, have another
noise at the same light; a few of them are left out, and a set of two kinds is told to be one.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

Array = npt.NDArray[np.float64]

_SIGMAS = 5.0
_CLEARLY_APART = 3.0
"""The gap between two groups over the scatter within them."""

_FEWEST = 3
"""Of fewer frames nobody can say which is the odd one."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameValues:
    """One value for each frame of a series, and its 1-σ uncertainty.

    Parameters
    ----------
    numbers : ndarray of int
        The frames.
    values, uncertainty : ndarray of float64
        Of each.
    n_parts : int
        Into how many parts the frames fall that no pair links.
    n_told : int
        How many frames are in, or linked to, three that make three pairs: what their own values are is known.
    """

    numbers: npt.NDArray[np.int64]
    values: Array
    uncertainty: Array
    n_parts: int = 1
    n_told: int = 0

    @property
    def scatter(self) -> float:
        """Mean deviation from the median, in the unit of the values; a few odd ones move it little."""
        return float(np.mean(np.abs(self.values - self.usual))) if self.values.size else 0.0

    @property
    def usual(self) -> float:
        """The median, in the unit of the values."""
        return float(np.median(self.values)) if self.values.size else 0.0

    def without(self, numbers: Container[int]) -> FrameValues:
        """Return those of the other frames."""
        kept = np.array([number not in numbers for number in self.numbers.tolist()], dtype=bool)
        return replace(self, numbers=self.numbers[kept], values=self.values[kept], uncertainty=self.uncertainty[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Two groups of frames, from the lowest value up."""

    low: FrameValues
    high: FrameValues


@dataclass(frozen=True, slots=True, eq=False)
class Sorted:
    """The frames of one kind, and those that are not.

    Parameters
    ----------
    odd : dict of float
        Number and value of each odd frame: at most a quarter of all, or one.
    usual : float
        Median of the others.
    groups : Split or None
        The two groups that the frames fall into, where neither is few enough to be called odd.
    """

    odd: dict[int, float]
    usual: float
    groups: Split | None


def frame_means(pairs: Sequence[tuple[int, int]], values: Array, errors: Array, without: Container[int]) -> FrameValues:
    """Return a value for each frame, but some, such that those of pairs are the means of their two.

    Three frames that make three pairs have one solution. Where there is none (two frames, one pair), both share alike.
    """
    kept = [k for k, (one, two) in enumerate(pairs) if one not in without and two not in without]
    used = [pairs[k] for k in kept]
    numbers, design = _design(used, 0.5)
    n_parts, part = connected_components((design.T @ design) > 0, directed=False)
    of_pair = part[design.argmax(axis=1)] if kept else np.empty(0, dtype=int)
    # What is not told is taken to be alike: the shortest solution for the deviations from the mean of linked pairs.
    means = np.bincount(of_pair, values[kept], n_parts) / np.maximum(np.bincount(of_pair, minlength=n_parts), 1)
    weight = 1 / errors[kept]
    covariance = np.linalg.pinv((design * weight[:, None]).T @ (design * weight[:, None]))
    deviations = covariance @ (design * weight[:, None] ** 2).T @ (values[kept] - means[of_pair])
    return FrameValues(
        numbers, means[part] + deviations, np.sqrt(np.diag(covariance)), int(n_parts), len(solvable(used))
    )


def frame_levels(pairs: Sequence[tuple[int, int]], differences: Sequence[float]) -> FrameValues:
    """Return the level of each frame, about that of all, by the differences, first minus second, of pairs."""
    numbers, design = _design(pairs, -1.0)
    solution, *_ = np.linalg.lstsq(design, np.asarray(differences), rcond=None)
    return FrameValues(numbers, solution - np.median(solution), np.zeros(solution.size), n_told=numbers.size)


def solvable(pairs: Sequence[tuple[int, int]]) -> set[int]:
    """Return the frames whose own noise the pairs tell: three that make three pairs do, and what hangs on them."""
    linked: dict[int, set[int]] = {}
    for one, two in pairs:
        linked.setdefault(one, set()).add(two)
        linked.setdefault(two, set()).add(one)
    reached = {n for n, others in linked.items() if any(linked[other] & others for other in others)}
    edge = set(reached)
    while edge:
        edge = {other for n in edge for other in linked[n]} - reached
        reached |= edge
    return reached


def split(frames: FrameValues, least_gap: float) -> Split | None:
    """Part frames into two groups whose values differ by a gap that counts; None where they are of one kind.

    ``least_gap`` is in the unit of the values.
    """
    if frames.numbers.size < _FEWEST:
        return None
    order = np.argsort(frames.values)
    values, errors = frames.values[order], frames.uncertainty[order]
    gaps = np.diff(values)
    k = int(np.argmax(gaps)) + 1
    groups = values[:k], values[k:]
    within = float(np.sqrt(np.mean(np.concatenate([group - group.mean() for group in groups]) ** 2)))
    apart = max(least_gap, _SIGMAS * float(np.hypot(errors[k - 1], errors[k])), _CLEARLY_APART * within)
    if gaps[k - 1] <= apart:
        return None
    low, high = order[:k], order[k:]
    return Split(frames.without(frames.numbers[high].tolist()), frames.without(frames.numbers[low].tolist()))


def sort_out(
    solve: Callable[[Container[int]], FrameValues], least_gap: float, *, may_be_odd: Container[int] | None = None
) -> Sorted:
    """Tell the few odd frames from the others, by their values.

    The value of a frame is off where its partners are odd, so that those left are solved for again without each.

    Parameters
    ----------
    solve : callable
        Returns the values of all frames but some.
    least_gap : float
        Difference between two values that counts, in their unit.
    may_be_odd : container of int, optional
        Only these frames may be called odd, all of them otherwise; where others are off nobody is.
    """
    every = solve(())
    groups = split(every, least_gap)
    if groups is None:
        return Sorted({}, every.usual, None)
    most = max(1, every.numbers.size // 4)
    small, large = sorted((groups.low, groups.high), key=lambda group: group.numbers.size)
    odd = dict(zip(small.numbers.tolist(), small.values.tolist(), strict=True))
    if len(odd) > most or len(odd) == large.numbers.size:
        odd = _odd_by_trial(solve, every, most, least_gap)
    if not odd:
        return Sorted({}, every.usual, groups)
    others = every.without(odd)
    # Two pairs without a frame in common tell nothing of each other, nor is a frame told of that is in no pair.
    told = may_be_odd is None or all(n in may_be_odd for n in odd)
    left = solve(odd)
    if told and (left.n_parts > every.n_parts or left.numbers.size != others.numbers.size):
        return Sorted({}, every.usual, groups)
    return Sorted(odd if told else {}, others.usual, None)


def _odd_by_trial(
    solve: Callable[[Container[int]], FrameValues], every: FrameValues, most: int, least_gap: float
) -> dict[int, float]:
    """Leave out one frame after the other, until the others are of one kind; nothing where that takes too many."""
    odd: dict[int, float] = {}
    others = every
    for _ in range(most):
        away = dict(zip(others.numbers.tolist(), np.abs(others.values - others.usual).tolist(), strict=True))
        # The one without which the others agree best; of two that are left any two agree.
        one = min(away, key=lambda n: (round(solve({*odd, n}).scatter / least_gap, 3), -away[n]))
        odd[one] = float(others.values[others.numbers == one][0])
        others = solve(odd)
        if split(others, least_gap) is None:
            off = [max(others.values.min() - value, value - others.values.max()) for value in odd.values()]
            return odd if min(off) > least_gap and others.n_told >= others.numbers.size else {}
    return {}


def _design(pairs: Sequence[tuple[int, int]], second: float) -> tuple[npt.NDArray[np.int64], Array]:
    """Return the frames, and a row for each pair: the factors of its frames' values."""
    numbers, places = np.unique(np.asarray(pairs, dtype=np.int64).reshape(-1, 2), return_inverse=True)
    places = places.reshape(len(pairs), 2)
    design = np.zeros((len(pairs), numbers.size))
    rows = np.arange(len(pairs))
    design[rows, places[:, 0]] = abs(second)
    design[rows, places[:, 1]] = second
    return numbers, design
