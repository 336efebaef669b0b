"""Whether a master may take the place of the one in force: judged on frames that are not in it.

Each input is predicted by the master of the others (leave-one-out: as many folds as frames), and by the master in
force, the champion. What is compared are means over blocks of pixels, in units of the noise of one frame: there a
patch, a gradient or a leak of light stands out that is below the noise of every pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ccdcore.certification.blocks import Blocks, looked_at, sigma_of
from ccdcore.certification.change import Change, change_between
from ccdcore.masters.stack import common_variance
from ccdcore.reduction.master import Darks, Master
from ccdcore.reduction.reduce import CalibrationFrame, ReducedPixels

Image = npt.NDArray[Any]
Outcome: TypeAlias = Literal["certified", "inconsistent", "worse", "changed"]

FEWEST_FRAMES = 3
"""Of two frames nobody can tell which one is wrong."""

FEWEST_BLOCKS = 4

ODD_SPREAD, ODD_WANDER = 2.5, 10.0
"""A frame is odd whose blocks scatter, in variance, by this many times as much as white noise, and beyond that by this
many times as much as those of most: gradients and row noise, of few degrees of freedom, wander by such factors; …"""
ODD_BLOCK, ODD_BLOCK_OF_MOST = 6.0, 3.0
"""… or which has a block this many σ off, and this many times as far as the worst block of most; …"""
ODD_LEVEL, ODD_LEVEL_OF_MOST, ENOUGH_FRAMES = 0.5, 10.0, 5
"""… or whose level is off by this part of the noise of one pixel, and so many times as far as that of most. Fewer
frames than this say little of how a camera wanders."""

WORSE_SIGMA, WORSE = 3.0, 0.5
"""The champion predicts better where it does by this many times the uncertainty of the comparison, and by this part of
the noise, as a variance: less is of no use to anybody."""

_CLEAR = 5.0
_OF_MEDIAN = 1.2533
"""The uncertainty of a median over that of a mean."""
_MOST_NAMED = 3
_NOT_BY_CHANCE = 7.0
"""So many σ beyond the limit of a block a patch is found in each of 40 simulated sets of 3 and 4 frames: the median of
so few leans towards the odd one, has noise of its own, and the limit rises with the frame that is next to it."""


@dataclass(frozen=True, slots=True)
class Certification:
    """What became of a challenger.

    Parameters
    ----------
    outcome : {"certified", "inconsistent", "worse", "changed"}
        Whether it may be used; else why not: its frames contradict each other, the champion predicts them better, or
        it differs from the champion all over, which another set must confirm.
    reason : str
        The same in words, with the figures.
    figures : mapping of str to float
        ``frames``; ``chi2``: mean square of the blocks of the frames left out, about the master of the others, in
        units of white noise; ``unseen``: by how much a patch in one of the frames may shift the master, in its unit,
        without being found (missing of fewer than three); ``champion_chi2``: as ``chi2``, about the champion;
        ``difference``, ``difference_sigma``: what the champion does better, per block, and its 1-σ uncertainty;
        ``change``: how far it is from the champion, 1 being what is let pass. Those of a champion are missing where
        there is none.
    change : str or None
        What changed since the champion, as far as it is more than usual, in words; None where nothing did.
    """

    outcome: Outcome
    reason: str
    figures: Mapping[str, float]
    change: str | None = None

    @property
    def is_certified(self) -> bool:
        """Whether it may take the place of the champion."""
        return self.outcome == "certified"


def certify(
    master: Master,
    frames: Sequence[CalibrationFrame],
    *,
    champion: Master | None = None,
    witness: Master | None = None,
    wander: float = 0.0,
    contradiction: str | None = None,
    bias: Master | None = None,
    dark: Darks | None = None,
) -> Certification:
    r"""Judge a master by how it predicts frames that are not in it, beside the champion of its purpose.

    Parameters
    ----------
    master : Master
        The challenger.
    frames : sequence of Frame or SeriesFrame
        Its inputs.
    champion : Master, optional
        The one in force; without it the challenger's own frames decide.
    witness : Master, optional
        The last challenger that was not certified because it differed from the champion all over: where the new one
        is nearer to it than to the champion, two sets agree, and what they show is how the camera is now.
    wander : float
        How far masters of this purpose usually are from the one before, as ``change`` in the figures: so much more
        is let pass.
    contradiction : str, optional
        What the check of its frames found them to contradict each other in, in words.
    bias, dark : Master, optional
        Those that the challenger was made with.

    Returns
    -------
    Certification

    Raises
    ------
    FrameReadError
        If a frame cannot be read.

    Notes
    -----
    With :math:`E_{jb}` the mean of block b in frame j less the challenger, :math:`\Delta_b` that of the challenger
    less the champion, both in units of the noise :math:`\sigma` of one frame, of N frames and :math:`n_b` pixels, the
    master of the others misses frame j by :math:`r_{jb} = E_{jb} N/(N-1)` and the champion by
    :math:`c_{jb} = E_{jb} + \Delta_b`. With the champion's own variance :math:`\kappa\sigma^2` a pixel

    .. math:: d_{jb} = n_b\,\left[r_{jb}^2\,(1 - 1/N) - c_{jb}^2/(1 + \kappa)\right]

    has the mean 0 where both are good, however many frames are in each, and noise that the blocks' pixels share does
    not change that. The champion is better where the median over frames of its mean over blocks is above 3 times its
    standard error, from the scatter of the blocks and of the frames, and above ½: most frames decide, not a few that
    are far off.
    """
    used = {entry.sha256: entry for entry in master.inputs}
    frames = [frame for frame in frames if frame.sha256 in used]
    residuals = _Residuals.of(master, frames, [used[frame.sha256].scale for frame in frames], bias, dark)
    if residuals.sizes.size < FEWEST_BLOCKS:
        words = "no part of it has enough usable pixels for its frames to be held against it"
        return Certification("inconsistent", words, {"frames": float(len(frames))})
    figures = {"frames": float(len(frames)), "chi2": residuals.chi2}
    if (unseen := residuals.unseen) is not None:
        figures["unseen"] = unseen
    change = None
    if champion is not None:
        change = change_between(master, champion, noise=residuals.noise)
        figures |= {**residuals.against(change), "change": change.size}
    told = None
    if change is not None:
        told = change.words if change.size > max(1.0, wander) else change.seen_beyond(wander)
    if (reason := contradiction or residuals.odd_frames(frames)) is not None:
        return Certification("inconsistent", reason, figures, told)
    of_few = _of_few(figures, master.unit, 2 * round(float(np.median(residuals.sizes)) ** 0.5))
    if change is None:
        return Certification("certified", f"the first of its purpose: {_own(figures)}{of_few}", figures)
    is_confirmed = witness is not None and change_between(master, witness, noise=residuals.noise).size < change.size
    found = _beside_champion(figures, change, wander, is_confirmed=is_confirmed)
    more = f"{of_few}; {told}" if told and told not in found.reason else of_few
    return replace(found, reason=f"{found.reason}{more}" if found.is_certified else found.reason, change=told)


def _of_few(figures: Mapping[str, float], unit: str, side: int) -> str:
    """Say which patches, of that many pixels a side, few frames do not exclude; nothing of many."""
    n, unseen = int(figures["frames"]), figures.get("unseen")
    if n >= ENOUGH_FRAMES:
        return ""
    if unseen is None:
        return f"; of {n} frames nobody can tell which one is wrong: no fault of one is excluded"
    amount = f"{unseen:.2g} {unit}" if unit else f"{unseen:.2%}"
    return (
        f"; only {n} frames: a patch of {side} × {side} pixels in one of them that shifts the master by less than "
        f"{amount} is not excluded"
    )


def _beside_champion(
    figures: Mapping[str, float], change: Change, wander: float, *, is_confirmed: bool
) -> Certification:
    if figures["difference"] > max(WORSE, WORSE_SIGMA * figures["difference_sigma"]):
        return Certification("worse", f"the master in force predicts its frames better: {_both(figures)}", figures)
    if change.size <= max(1.0, wander):
        return Certification("certified", f"predicts its frames at least as well: {_both(figures)}", figures)
    if is_confirmed:
        return Certification("certified", f"{change.words}, and two sets show the same: {_both(figures)}", figures)
    return Certification("changed", f"{change.words}: not certified until another set shows the same", figures)


def _own(figures: Mapping[str, float]) -> str:
    return f"frames left out lie about the master of the others with χ² {figures['chi2']:.2f}"


def _both(figures: Mapping[str, float]) -> str:
    difference = f"{figures['difference']:+.2f} ± {figures['difference_sigma']:.2f}"
    return f"{_own(figures)}, about the one in force with {figures['champion_chi2']:.2f} (difference {difference})"


@dataclass(frozen=True, slots=True, eq=False)
class _Residuals:
    """Means over blocks of frames less their master, shape (frames, blocks), in units of the noise of one frame.

    Of all blocks these are those that ``tells`` is true of; ``sizes`` are their numbers of pixels, and ``noise`` is
    that of one frame in each pixel looked at, in the master's unit.
    """

    tells: npt.NDArray[np.bool_]
    sizes: Image
    means: Image
    noise: Image

    @classmethod
    def of(
        cls,
        master: Master,
        frames: Sequence[CalibrationFrame],
        scales: Sequence[float],
        bias: Master | None,
        dark: Darks | None,
    ) -> _Residuals:
        rows = looked_at(master.value.shape)
        variance = np.square(master.uncertainty[rows], dtype=np.float64)
        variance -= common_variance(master.inputs, bias, dark, rows)
        usable = (master.mask[rows] == 0) & np.isfinite(variance) & (variance > 0) & (master.n_used[rows] > 1)
        noise = np.sqrt(np.where(usable, variance, np.nan) * master.n_used[rows])
        blocks = Blocks.of(master.value.shape, usable)
        means, widths = np.full((len(frames), blocks.n), np.nan), np.ones(len(frames))
        for number, (frame, scale) in enumerate(zip(frames, scales, strict=True)):
            pulls = (ReducedPixels.opened(frame, bias, dark)[rows] * scale - master.value[rows]) / noise
            widths[number] = sigma_of(pulls[np.isfinite(pulls)])
            means[number] = blocks.means(pulls / widths[number])
        # An input is part of the mean: it scatters about it by less than its noise.
        noise = noise * (np.median(widths) * np.sqrt(len(frames) / max(1, len(frames) - 1)))
        tells = np.isfinite(means).all(axis=0)
        return cls(tells, blocks.sizes[tells], means[:, tells], noise)

    @property
    def chi2(self) -> float:
        return float(np.median(np.mean(self.means**2 * self.sizes, axis=1)))

    @property
    def unseen(self) -> float | None:
        """By how much a patch in one of the frames may shift the master, in its unit, without being found.

        None of fewer than three frames, of which any may be wrong.

        A patch that covers a block stands out by its part of the noise of the residuals.
        """
        n = len(self.means)
        if n < FEWEST_FRAMES:
            return None
        of_block = (self._stand_out()[3][1] + _NOT_BY_CHANCE) / np.sqrt(np.median(self.sizes))
        return float(of_block * np.sqrt(1 - 1 / n) * np.nanmedian(self.noise) / n)

    def against(self, change: Change) -> dict[str, float]:
        """Return how the champion predicts the same frames, and what it does better."""
        n, of_champion = len(self.means), change.blocks[self.tells]
        own = self.means**2 * self.sizes
        off = self.means * np.sqrt((n - 1) / n) + of_champion
        known = np.isfinite(of_champion)
        champion = (off**2 * self.sizes / (1 + change.champion_variance))[:, known]
        if champion.shape[1] < FEWEST_BLOCKS:
            return {"champion_chi2": 0.0, "difference": 0.0, "difference_sigma": 0.0}
        better = own[:, known] - champion
        of_blocks, of_frames = np.median(better, axis=0), np.mean(better, axis=1)
        return {
            "champion_chi2": float(np.median(np.mean(champion, axis=1))),
            "difference": float(np.median(of_frames)),
            "difference_sigma": float(
                np.hypot(of_blocks.std(ddof=1) / np.sqrt(of_blocks.size), _OF_MEDIAN * sigma_of(of_frames) / np.sqrt(n))
            ),
        }

    def odd_frames(self, frames: Sequence[CalibrationFrame]) -> str | None:
        """Say which frames the others contradict, and how; None where there are none, or too few frames to tell."""
        if len(frames) < FEWEST_FRAMES:
            return None
        spread, worst, levels, limits = self._stand_out()
        found = [
            f"{frame.path}: {said}"
            for frame, said in zip(frames, map(_oddity, spread, worst, levels, [limits] * len(frames)), strict=True)
            if said is not None
        ]
        more = len(found) - _MOST_NAMED
        return "; ".join([*found[:_MOST_NAMED], *([f"and {more} more frames"] if more > 0 else [])]) or None

    def _stand_out(self) -> tuple[Image, Image, Image, tuple[float, float, float]]:
        """Return of each frame the scatter of its blocks, the worst of them, and its level; and the limits of these."""
        off = self.means - np.median(self.means, axis=0)
        levels = np.median(off, axis=1)
        pulls = np.abs(off - levels[:, np.newaxis]) * np.sqrt(self.sizes)
        levels -= np.median(levels)
        spread, worst = np.mean(pulls**2, axis=1), np.max(pulls, axis=1)
        usual = max(1.0, float(np.median(spread)))
        wander = ODD_WANDER * max(1.0, (ENOUGH_FRAMES / len(off)) ** 2)
        limits = (
            max(ODD_SPREAD, 1 + _CLEAR * np.sqrt(2 / self.sizes.size), 1 + wander * (usual - 1)),
            max(ODD_BLOCK * np.sqrt(usual), ODD_BLOCK_OF_MOST * float(np.median(worst))),
            max(ODD_LEVEL, ODD_LEVEL_OF_MOST * float(np.median(np.abs(levels))))
            if len(off) >= ENOUGH_FRAMES
            else np.inf,
        )
        return spread, worst, levels, limits


def _oddity(spread: float, worst: float, level: float, limits: tuple[float, float, float]) -> str | None:
    if abs(level) > limits[2]:
        return f"its level is {level:+.2f} σ of one pixel from that of the others"
    if spread > limits[0]:
        return f"its pattern differs from the others': blocks scatter by {np.sqrt(spread):.1f} times their noise"
    if worst > limits[1]:
        return f"a patch of it is {worst:.0f} σ from the others"
    return None
