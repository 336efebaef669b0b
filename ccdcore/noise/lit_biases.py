"""Light on biases: where there is more of it, level and noise are higher together, as 1/gain.

Without a shutter, or with a leak in the dome by day, all biases of a set hold it, so that none of them is odd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.numerics.robust import median

_BLOCK = 32
"""Pixels of a row whose level and noise are taken together."""

_FEWEST = 100
_SPREAD = 5.0
"""Blocks, and how far their level may be from the others in units of their scatter: hot columns do not count."""

_SIGMAS, _LEAST_SHARE = 5.0, 0.06
"""σ from which on noise surely follows the level, and part of the variance of the biases that light then makes."""

_AS_LIGHT = 2.0
"""Factor by which the slope may be off 1/gain."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Level in ADU and noise variance of one frame in ADU², of blocks of pixels of a pair, each of shape (n,).

    The level is that of the blocks in the rows before and after: light covers several rows, while the noise of a block
    with a tail to one side (random telegraph noise, noise that is cut off) is larger where its own mean is higher.
    """

    level: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]

    @classmethod
    def of(cls, first: npt.NDArray[Any], difference: npt.NDArray[Any], usable: npt.NDArray[np.bool_]) -> Blocks:
        """Take some rows of a bias, and of what it differs by from the next, with the mean difference removed.

        Each is of shape (rows, columns), the first two in ADU. Blocks of whose pixels some are not usable (cosmic rays)
        have no level and noise, which is NaN.
        """
        columns = first.shape[1] - first.shape[1] % _BLOCK
        parts = (len(first), columns // _BLOCK, _BLOCK)
        level = first[:, :columns].reshape(parts).mean(axis=2, dtype=np.float64)
        variance = np.square(difference[:, :columns], dtype=np.float64).reshape(parts).mean(axis=2) / 2
        whole = usable[:, :columns].reshape(parts).all(axis=2)
        level, variance = np.where(whole, level, np.nan), np.where(whole, variance, np.nan)
        rows = np.arange(len(level))
        before, after = np.where(rows > 0, rows - 1, 1), np.where(rows < len(level) - 1, rows + 1, len(level) - 2)
        beside = (level[before] + level[after]) / 2 if len(level) > 1 else np.full_like(level, np.nan)
        return cls(beside.ravel(), variance.ravel())


def light_on(pairs: Sequence[Blocks], gain_e_per_adu: float | None) -> str | None:
    """Say in words that light fell on biases; None where their noise does not follow their level, or by little.

    Parameters
    ----------
    pairs : sequence of Blocks
        The same blocks of all pairs.
    gain_e_per_adu : float or None
        Of the flats in e⁻/ADU, where there are any: noise that grows otherwise is not that of light.
    """
    slope, uncertainty, share = _growth(pairs)
    if slope < _SIGMAS * uncertainty or share < _LEAST_SHARE:
        return None
    if gain_e_per_adu is not None and not 1 / _AS_LIGHT < slope * gain_e_per_adu < _AS_LIGHT:
        return None
    return (
        f"the noise of the biases grows with their level from place to place, by {slope:.2g} ADU² for each ADU, as "
        f"that of light does: light fell on them (no shutter, a leak, smear of a lamp), about {share:.0%} of their "
        "variance: read noise and level are too high: take them in the dark"
    )


def _growth(pairs: Sequence[Blocks]) -> tuple[float, float, float]:
    """Return how the variance grows with the level, its uncertainty, and the part of it that is above the darkest."""
    blocks = len(pairs) and pairs[0].level.size
    same = [of for of in pairs if of.level.size == blocks]
    if not same:
        return 0.0, inf, 0.0
    level, variance = (np.mean([getattr(of, name) for of in same], axis=0) for name in ("level", "variance"))
    known = np.isfinite(level) & np.isfinite(variance)
    if known.sum() < _FEWEST:
        return 0.0, inf, 0.0
    level, variance = level[known], variance[known]
    off = np.abs(level - median(level))
    usual = off <= _SPREAD * 1.4826 * median(off)
    level, variance = level[usual], variance[usual]
    steps = level - level.mean()
    norm = float(steps @ steps)
    if norm == 0:
        return 0.0, inf, 0.0
    slope = float(steps @ variance) / norm
    scatter = float(np.sum((variance - variance.mean() - slope * steps) ** 2)) / (level.size - 2)
    darkest = float(np.quantile(level, 0.05))
    return slope, sqrt(scatter / norm), slope * (float(level.mean()) - darkest) / max(float(variance.mean()), 1e-12)
