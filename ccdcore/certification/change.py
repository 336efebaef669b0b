"""How far a master is from an earlier one of its purpose, and whether all over or in places.

A new dust spot or hot pixel is in places: cameras age. Another filter, another temperature or light that leaks in
change the image all over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, label

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

TOLD = 0.2
"""A change of a flat all over is told from this part on of what is let pass: a slope of 1 %."""
FLAT_PLACE, PLACE_SIGMA = 0.01, 8.0
"""A change in a place is told where the response is off by this part, or the signal by what is let pass all over; and
by so many times the scatter of the blocks."""

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
    all_over : mapping of str to float
        What flats differ by all over, in words, and how far.
    place : str or None
        Where a part of the image differs most, in words; None where none does beyond noise.
    """

    blocks: Image
    champion_variance: float
    size: float
    words: str
    all_over: Mapping[str, float]
    place: str | None

    def seen_beyond(self, usual: float) -> str | None:
        """Say what is let pass, and is more than ``usual``, of which users are told; None of nothing.

        ``usual`` is a fraction of what is let pass, as ``size`` is.
        """
        told = [words for words, size in self.all_over.items() if size > max(TOLD, usual)]
        return "; ".join([*told, *filter(None, [self.place])]) or None


def are_comparable(master: Master, champion: Master) -> bool:
    """Whether two masters have one shape (rows, columns), in pixels, and the same pixels in amplifiers."""
    return master.value.shape == champion.value.shape and bool(
        np.array_equal(master.mask & MaskBit.OUTSIDE.value, champion.mask & MaskBit.OUTSIDE.value)
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
        all_over=found if master.kind == "flat" else {},
        place=_place(both, master.kind),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Both:
    """The rows looked at of a master, of the one before, and the noise of one frame and of the latter."""

    rows: slice
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
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = _factor(master, champion, value / before)
        blocks = Blocks.of(master.value.shape, usable)
        return cls(rows, blocks, value, factor * before, np.where(usable, noise, np.nan), factor * uncertainty, own)


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


def _place(both: _Both, kind: str) -> str | None:
    """Say where a connected part of the image is off most, by more than its surroundings; None where none is."""
    off, limit = _of_places(both, kind)
    grid = [one.size for one in both.blocks.starts]
    limits = np.broadcast_to(np.fmax(limit, PLACE_SIGMA * sigma_of(off[np.isfinite(off)])), off.shape)
    beyond = np.where(np.isfinite(off), np.abs(off) / limits, 0.0).reshape(grid)
    values = off.reshape(grid)
    at = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
    if not beyond[at] > 1:
        return None
    parts, _ = label((beyond > 1) & (np.sign(values) == np.sign(values[at])))
    part = parts == parts[at]
    box, steps = find_objects(part.astype(np.int8))[0], (both.rows.step, 1)
    rows, columns = (
        (int(starts[found.start]) * step + 1, int(np.append(starts, n)[found.stop]) * step)
        for starts, found, n, step in zip(both.blocks.starts, box, both.value.shape, steps, strict=True)
    )
    amount = f"response is {values[at]:+.1%}" if kind == "flat" else f"signal is {values[at]:+.2f} σ of one frame"
    return (
        f"its {amount} from that of the master in force in rows {rows[0]} to {rows[1]}, columns {columns[0]} to "
        f"{columns[1]} ({part.mean():.1%} of the image)"
    )


def _of_places(both: _Both, kind: str) -> tuple[Image, Image | float]:
    """Return what blocks are off by less all that is smooth, shape (blocks,), and what of it is not worth telling.

    Both are parts of a flat's response, or in units of the noise of one frame.
    """
    if kind == "flat":
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = both.blocks.medians(both.value / both.before - 1)
        return ratio - both.blocks.plane(ratio), FLAT_PLACE
    shift = both.blocks.medians((both.value - both.before) / both.noise)
    limit = BIAS_PATTERN if kind == "bias" else _allowed_of_dark(both)
    return shift - _median(shift), limit


def _allowed_of_dark(both: _Both) -> Image:
    """Return by how much blocks of a dark may be off, shape (blocks,), in units of the noise of one frame."""
    return np.fmax(DARK_NOISE, DARK_SIGNAL * np.abs(both.blocks.medians(both.before / both.noise)))


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
    allowed = _allowed_of_dark(both)
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
