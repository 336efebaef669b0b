"""How far a master is from an earlier one of its purpose, and whether all over or in places.

A new dust spot or hot pixel is in places: cameras age. Another filter, another temperature or light that leaks in
change the image all over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.certification.blocks import Blocks, looked_at, sigma_of
from ccdcore.numerics.robust import median
from ccdcore.reduction.master import MaskBit, Master

Image = npt.NDArray[Any]

FLAT_SHAPE, FLAT_SLOPE, FLAT_PIXELS = 0.01, 0.05, 0.005
"""Relative change of a flat's response that is let pass: of its shape and of its slope over a tenth of the image or
more, and of single pixels (RMS): lamps and skies change slopes, filters the rest."""

BIAS_PATTERN, BIAS_LEVEL = 0.5, 3.0
"""Change of a bias's pattern over a tenth of the image, and of its level, in units of the noise of one frame."""

DARK_SIGNAL, DARK_NOISE = 0.2, 0.25
"""Change of a dark over a tenth of the image, or of its hot pixels, as part of its signal, where it is more than so
much of the noise of one frame: 2 K change it by a fifth."""

SHARE = 90.0
"""Percentile of the blocks: what fewer than a tenth of them show is in places."""

_FEWEST_HOT, _HOT = 50, 20.0
_NOT_NOISE = 1.4
"""Times its expected width that a scatter must have to tell: uncertainties are no better than that."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """The difference of two masters.

    Parameters
    ----------
    blocks : ndarray, shape (blocks,)
        Mean of each, in units of the noise of one frame.
    champion_variance : float
        That of the earlier one in a pixel, in the same unit squared.
    size : float
        How far they are apart all over; 1 is what is let pass.
    words : str
        The same in words.
    """

    blocks: Image
    champion_variance: float
    size: float
    words: str


def are_comparable(master: Master, champion: Master) -> bool:
    """Whether two masters have one shape (rows, columns), in pixels, and the same pixels in amplifiers."""
    return master.value.shape == champion.value.shape and bool(
        np.array_equal(master.mask & MaskBit.OUTSIDE, champion.mask & MaskBit.OUTSIDE)
    )


def change_between(master: Master, champion: Master, *, noise: Image) -> Change:
    """Compare a master with an earlier one.

    Parameters
    ----------
    master, champion : Master
        Of one kind and shape (rows, columns). A champion of flats is brought to the level of the master, one of darks
        of another exposure to its exposure.
    noise : ndarray
        Noise of one frame in the pixels looked at, in the master's unit; NaN of those that tell nothing.
    """
    both = _Both.of(master, champion, noise)
    found = {"bias": _of_bias, "dark": _of_dark, "flat": _of_flat}[master.kind](both)
    words, size = max(found.items(), key=lambda item: item[1])
    variances = np.square(both.uncertainty / noise)
    return Change(
        blocks=both.blocks.means((both.value - both.before) / noise),
        champion_variance=_median(variances),
        size=size,
        words=words,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Both:
    """The rows looked at of a master, of the one before, and the noise of one frame and of the latter."""

    blocks: Blocks
    value: Image
    before: Image
    noise: Image
    uncertainty: Image
    own_uncertainty: Image

    @classmethod
    def of(cls, master: Master, champion: Master, noise: Image) -> _Both:
        rows = looked_at(master.value.shape)
        usable = np.isfinite(noise) & (champion.mask[rows] == 0) & np.isfinite(champion.uncertainty[rows])
        images = master.value, master.uncertainty, champion.value, champion.uncertainty
        value, own, before, uncertainty = (np.where(usable, one[rows], np.nan).astype(np.float64) for one in images)
        factor = _factor(master, champion, value / before)
        blocks = Blocks.of(master.value.shape, usable)
        return cls(blocks, value, factor * before, np.where(usable, noise, np.nan), factor * uncertainty, own)


def _factor(master: Master, champion: Master, ratio: Image) -> float:
    """Return what the champion is multiplied by to be compared."""
    if master.kind == "flat":
        return _median(ratio) or 1.0
    ranges = master.exposure_range_s, champion.exposure_range_s
    if master.kind == "dark" and master.unit == "adu" and ranges[0] and ranges[1]:
        return ranges[0][1] / ranges[1][1]
    return 1.0


def _median(values: Image) -> float:
    """Return the median of the finite values; 0 where there are none."""
    finite = values[np.isfinite(values)]
    return median(finite) if finite.size else 0.0


def _far(values: Image) -> float:
    """Return what a tenth of the blocks exceeds."""
    finite = np.abs(values[np.isfinite(values)])
    return float(np.percentile(finite, SHARE)) if finite.size else 0.0


def _of_bias(both: _Both) -> dict[str, float]:
    shift = both.blocks.medians((both.value - both.before) / both.noise)
    level = _median(shift)
    pattern = _far(shift - level)
    return {
        f"its pattern is {pattern:.2f} σ of one frame from that of the master in force over a tenth of the image": (
            pattern / BIAS_PATTERN
        ),
        f"its level is {level:+.1f} σ of one frame from that of the master in force": abs(level) / BIAS_LEVEL,
    }


def _of_dark(both: _Both) -> dict[str, float]:
    shift = both.blocks.medians((both.value - both.before) / both.noise)
    allowed = np.fmax(DARK_NOISE, DARK_SIGNAL * np.abs(both.blocks.medians(both.before / both.noise)))
    found = {
        f"its signal is {_far(shift):.2f} σ of one frame from that of the master in force over a tenth of the image "
        "(another temperature, or light?)": _far(shift / allowed)
    }
    hot = both.before > _HOT * both.noise
    if np.count_nonzero(hot) >= _FEWEST_HOT:
        ratio = max(_median(both.value[hot] / both.before[hot]), 1e-3)
        words = f"its hot pixels have {ratio:.2f} times the signal of those of the master in force"
        found[f"{words} (another temperature?)"] = abs(float(np.log(ratio))) / float(np.log1p(DARK_SIGNAL))
    return found


def _of_flat(both: _Both) -> dict[str, float]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = both.value / both.before - 1
        noise = np.hypot(both.own_uncertainty, both.uncertainty) / both.before
    shape = both.blocks.medians(ratio)
    plane = both.blocks.plane(shape)
    rest, slope, grain = _far(shape - plane), _far(plane - _median(plane)), _grain(ratio, noise)
    of = "than that of the master in force, by"
    return {
        f"its light has another shape {of} {rest:.1%} over a tenth of the image (another filter or lamp?)": (
            rest / FLAT_SHAPE
        ),
        f"its light has another slope {of} {slope:.1%} over a tenth of the image": slope / FLAT_SLOPE,
        f"its pixels answer otherwise {of} {grain:.1%} (another filter?)": grain / FLAT_PIXELS,
    }


def _grain(ratio: Image, noise: Image) -> float:
    """Return the RMS that pixels differ by beyond their noise, from neighbours, which see the same light."""
    steps, noises = np.diff(ratio, axis=1), np.hypot(noise[:, 1:], noise[:, :-1])
    good = np.isfinite(steps) & np.isfinite(noises) & (noises > 0)
    width = sigma_of((steps / noises)[good])
    typical = float(np.median(noises[good])) / np.sqrt(2) if good.any() else 0.0
    return typical * np.sqrt(width**2 - 1) if width > _NOT_NOISE else 0.0
