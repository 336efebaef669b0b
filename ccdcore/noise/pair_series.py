"""All pairs of a series of biases or flats, of one amplifier, taken in one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Amplifier, cut
from ccdcore.frames.statistics import overscan_level, overscan_noise
from ccdcore.noise.exposures import Exposure

OTHER_FLUX = "their flux differs by"

_LOOK_PIXELS, _BLOCK_ROWS = 2**18, 64


def overlap_inflation(n_pairs: int, n_shared: int) -> float:
    """Return Var(mean) of squared differences over that of independent pairs, a number without unit.

    Differences of pairs that share a frame correlate with −1/2, their squares with 1/4.
    """
    return 1 + n_shared / (2 * n_pairs)


def overlap(pairs: Sequence[tuple[int, int]]) -> float:
    """Return the `overlap_inflation` of pairs of numbered frames, without unit."""
    seconds = {second for _, second in pairs}
    return overlap_inflation(len(pairs), sum(first in seconds for first, _ in pairs))


def _not_two(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> str | None:
    if np.array_equal(first, second):
        return "their pixels are the same: one is a copy of the other"
    if not (np.isfinite(first) & np.isfinite(second)).any():
        return "they have no finite pixel in common"
    return None


def _unequal(quiet: Exposure, noisy: Exposure, asymmetry: float) -> str:
    part = ((1 - abs(asymmetry)) / (1 + abs(asymmetry))) ** 0.5 if abs(asymmetry) < 1 else 0.0
    return (
        f"{quiet.name} has {100 * part:.0f} % of the noise of {noisy.name} at the same light: "
        "an average of several, or another gain setting or read mode?"
    )


def _some_rows(shape: tuple[int, int]) -> npt.NDArray[np.int_]:
    """Return rows for a look at a large frame: blocks, evenly spaced, of all boxes that a strip has."""
    rows, columns = shape
    n_blocks = max(1, rows // _BLOCK_ROWS)
    every = max(1, rows * columns // _LOOK_PIXELS)
    starts = np.arange(0, n_blocks, every) * _BLOCK_ROWS
    return np.arange(rows) if every == 1 else (starts[:, None] + np.arange(_BLOCK_ROWS)).ravel()


@dataclass(slots=True)
class PairSeries(ABC):
    """Pairs of one amplifier.

    Parameters
    ----------
    amplifier : Amplifier
        The amplifier; its data section are the pixels to measure.
    used : list of tuple of int
        Numbers of the two frames of each pair used.
    """

    amplifier: Amplifier
    used: list[tuple[int, int]] = field(default_factory=list, kw_only=True)
    compared: list[tuple[int, int]] = field(default_factory=list, kw_only=True)
    overscan_noises: dict[int, float] = field(default_factory=dict, kw_only=True)
    _left_out: list[tuple[tuple[int, int], str]] = field(default_factory=list, kw_only=True)
    _asymmetry: float = field(default=0.0, kw_only=True)
    _unequal: list[str] = field(default_factory=list, kw_only=True)

    def add(self, one: Exposure, two: Exposure) -> None:
        """Take in a pair, or remark why it is no use."""
        first, second = cut(one.data, self.amplifier.data), cut(two.data, self.amplifier.data)
        reason, self._asymmetry = _not_two(first, second), 0.0
        if reason is None:
            reason = self._measure(first, second, self._overscan_levels(one, two))
        if reason is None:
            self.used.append((one.number, two.number))
            if self._asymmetry:
                self._unequal.append(_unequal(*((one, two) if self._asymmetry < 0 else (two, one)), self._asymmetry))
        else:
            self._left_out.append(((one.number, two.number), f"pair {one.name}, {two.name} left out: {reason}"))

    def compare(self, one: Exposure, two: Exposure) -> None:
        """Look at some rows of two frames that are no pair, so that the noise of each frame is told from its partner's.

        Of a series of two kinds, taken in turn, all pairs have one noise.
        """
        rows = _some_rows(self.amplifier.data.shape)
        first, second = (cut(exposure.data, self.amplifier.data)[rows] for exposure in (one, two))
        if _not_two(first, second) is None and self._look(first, second, rows, self._overscan_levels(one, two)):
            self.compared.append((one.number, two.number))

    @abstractmethod
    def _measure(self, first: npt.NDArray[Any], second: npt.NDArray[Any], overscan: list[float]) -> str | None:
        """Take in the pixels and overscan levels of a pair, or return why it is no use."""

    @abstractmethod
    def _look(
        self, first: npt.NDArray[Any], second: npt.NDArray[Any], rows: npt.NDArray[np.int_], overscan: list[float]
    ) -> bool:
        """Take in the noise of some rows of two frames; False where they are no use."""

    @abstractmethod
    def odd_frames(self) -> dict[int, str]:
        """Return the few frames that are not of one kind with the others, by number, and why."""

    @property
    def unequal(self) -> str | None:
        """Say in words that one frame of the only pair has another noise than its partner; None where they are alike.

        The only way to tell of two frames. Three tell it by their differences alone, and the pairs of a ramp by its
        curve, which dew on a window, that fades from one to the next, does not disturb.
        """
        return self._unequal[0] if self._unequal and len(self.used) == 1 else None

    def in_the_way(self) -> set[int]:
        """Return the frames that are in no pair of use, and keep those before and after them from being one."""
        useful, pairs = set(chain.from_iterable(self.used)), [frames for frames, _ in self._left_out]
        around = {(first, last): second for first, second in pairs for third, last in pairs if second == third}
        return {between for others, between in around.items() if others in self.compared} - useful

    def _overscan_levels(self, one: Exposure, two: Exposure) -> list[float]:
        for exposure in (one, two):
            if self.amplifier.overscan is not None and exposure.number not in self.overscan_noises:
                noise = overscan_noise(exposure.data, self.amplifier.overscan)
                self.overscan_noises |= {} if noise is None else {exposure.number: noise}
        return [self._overscan_level(exposure) for exposure in (one, two)]

    def _overscan_level(self, exposure: Exposure) -> float:
        section = self.amplifier.overscan
        return 0.0 if section is None else overscan_level(exposure.data, section)

    @property
    def remarks(self) -> list[str]:
        """Which pairs were left out, and why.

        Nothing is said of two frames of unequal flux that have other partners: they are two levels of a ramp.
        """
        partnered = set(chain.from_iterable(self.used))
        return [text for frames, text in self._left_out if not (OTHER_FLUX in text and partnered.issuperset(frames))]

    def remarks_on(self, frames: Container[int]) -> list[str]:
        """Say which pairs with one of these frames were left out, and why."""
        return [text for (one, two), text in self._left_out if one in frames or two in frames]

    @property
    def n_frames(self) -> int:
        """Number of frames used."""
        return len(set(chain.from_iterable(self.used)))

    @property
    def overlap(self) -> float:
        """Inflation of the variance of a mean over the pairs, by frames they share; without unit."""
        return overlap(self.used)
