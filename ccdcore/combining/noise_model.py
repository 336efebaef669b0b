"""What noise is expected of the values of a stack, which of them are kept, and where what is made of them goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccdcore.combining.arguments import check_spread, positive

Image = npt.NDArray[Any]

QUANTISATION_VARIANCE = 1 / 12
"""Variance of the rounding to whole ADU, in ADU²."""

PRIOR_DEGREES_OF_FREEDOM = 4
"""How many degrees of freedom the noise model counts for when the scatter of a pixel is pooled with it."""


class Rule(NamedTuple):
    """What is kept, and how its uncertainty is reckoned; all in units of the combined values.

    Parameters
    ----------
    low, high : float
        Thresholds in units of the scatter.
    margin_low, margin_high : float
        What is allowed beyond them.
    quantisation : float
        Least variance of a value, for the clip.
    least_variance : float
        Least variance of a value of weight 1, for the uncertainty.
    degrees_of_freedom : float
        Those that the noise model counts for.
    passes : int
        How often values are clipped at most.
    median : bool
        The result is the median of the kept values, not their mean.
    origin : float
        Added to the result.
    """

    low: float
    high: float
    margin_low: float
    margin_high: float
    quantisation: float
    least_variance: float
    degrees_of_freedom: float
    passes: int
    median: bool
    origin: float


class Result(NamedTuple):
    """Where the results of some pixels go, and the counts of each frame."""

    value: Image
    uncertainty: Image
    n_used: Image
    n_rejected: Image
    n_valid: Image


@dataclass(frozen=True, slots=True, eq=False)
class NoiseModel:
    """Variance expected of one scaled value: ``constant + photon · median``.

    The noisiest frame sets the floor of the clip, the mean over the frames is the prior of the uncertainty.

    Parameters
    ----------
    parts : tuple of ndarray
        Constant and photon term of the noisiest frame, then of the mean; of weighted frames of what their scatter
        shows, then of what their mean has. Each is one value, or one for each pixel.
    weights : ndarray, shape (3, frames)
        Weight of each frame, 1 in the mean; constant and photon term of its variance over the third and fourth part.
        There are no frames where they count the same.
    quantum : float
        The scaled value of 1 ADU; 0 where values are not rounded.
    least_variance : float
        That of the rounding of a value of weight 1.
    degrees_of_freedom : int
        Those that the model counts for; 0 where nothing is known of the noise.
    """

    parts: tuple[Image, ...]
    weights: Image
    quantum: float
    least_variance: float
    degrees_of_freedom: int

    @classmethod
    def of(
        cls,
        noise: npt.ArrayLike | None,
        gain_e_per_adu: npt.ArrayLike | None,
        shape: tuple[int, ...],
        factors: Image,
        weights: Image,
        *,
        quantum: float,
        is_scaled: bool,
    ) -> NoiseModel:
        """Check and spread what is known of the noise, as `ccdcore.combining.combine.combine` is given it.

        Parameters
        ----------
        noise, gain_e_per_adu : array_like or None
            Noise of a value in ADU, and gain in e⁻/ADU.
        shape : tuple of int
            Rows and columns.
        factors, weights : ndarray, shape (frames,)
            What frames are multiplied by, and how much they count, 1 in the mean; there may be no weights.
        quantum : float
            The scaled value of 1 ADU.
        is_scaled : bool
            The noise is that of unscaled values.

        Raises
        ------
        InsufficientDataError
            If an array does not broadcast to the stack.
        ValueError
            If a number is negative, or none.
        """
        variance = np.square(positive("noise", 0.0 if noise is None else noise, or_zero=True))
        per_adu = 1 / positive("gain_e_per_adu", np.inf if gain_e_per_adu is None else gain_e_per_adu, or_zero=False)
        check_spread("noise", variance, (len(factors), *shape))
        check_spread("gain_e_per_adu", per_adu, shape)
        variance = variance.reshape((1,) * (3 - variance.ndim) + variance.shape)
        squares = np.square(factors) if is_scaled else np.ones_like(factors)
        highest = (variance * squares[:, None, None]).max(axis=0) if len(variance) > 1 else variance[0] * squares.max()
        parts = [highest, factors.max() * per_adu]
        for shares in _shares(weights, len(factors)):
            parts += [_mean(variance, squares, shares), _mean(per_adu[np.newaxis], factors, shares)]
        rounded = np.square(factors).max() if weights.size == 0 else np.mean(weights * np.square(factors))
        return cls(
            tuple(part.ravel() if part.size == 1 else np.broadcast_to(part, shape).reshape(-1) for part in parts),
            _with_terms(weights, variance.mean(axis=(1, 2)) * squares, factors),
            quantum,
            float(QUANTISATION_VARIANCE * rounded) if quantum else 0.0,
            0 if noise is None and gain_e_per_adu is None else PRIOR_DEGREES_OF_FREEDOM,
        )

    def rule(self, clip: Sequence[float], passes: int, method: str, origin: int) -> Rule:
        """Return what is kept, by thresholds in σ; an infinite one is a margin without end, whatever the scatter."""
        margin = self.quantum if self.degrees_of_freedom else 0.0
        low, high = (0.0 if np.isinf(sigma) else sigma for sigma in clip)
        margin_low, margin_high = (sigma if np.isinf(sigma) else margin for sigma in clip)
        return Rule(
            low,
            high,
            margin_low,
            margin_high,
            QUANTISATION_VARIANCE * self.quantum**2,
            self.least_variance,
            float(self.degrees_of_freedom),
            passes,
            method == "median",
            float(origin),
        )

    def at(self, strip: slice) -> Image:
        """Return the model of a strip of pixels, as `combine_integers` wants it: shape (4, 1) or (4, pixels).

        Constants are in the unit of scaled values squared, photon terms in that unit.
        """
        if all(part.size == 1 for part in self.parts):
            return np.stack(self.parts)
        return np.stack(
            [np.broadcast_to(part, strip.stop)[strip] if part.size == 1 else part[strip] for part in self.parts]
        )


def _shares(weights: Image, n_frames: int) -> list[Image | None]:
    """Return how much of each frame's variance weighted scatter shows, and a weighted mean has; None of plain ones."""
    if not weights.size:
        return [None]
    return [(weights - np.square(weights) / n_frames) / (n_frames - 1), np.square(weights) / n_frames]


def _with_terms(weights: Image, *terms: Image) -> Image:
    """Return weights, and the terms of each frame's variance over what weighted scatter shows of all; shape (3, …)."""
    shares = _shares(weights, len(terms[0]))[0]
    if shares is None:
        return np.empty((3, 0))
    shown = [float((shares * term).sum()) for term in terms]
    return np.stack([weights, *(term / of_all if of_all else term for term, of_all in zip(terms, shown, strict=True))])


def _mean(variance: Image, factors: Image, shares: Image | None) -> Image:
    """Return the mean over the frames, or their sum in some shares, of variances that are multiplied by factors."""
    if len(variance) == 1:
        return np.asarray(variance[0] * (factors.mean() if shares is None else (factors * shares).sum()))
    scaled = variance * factors[:, None, None]
    return np.asarray(scaled.mean(axis=0) if shares is None else np.tensordot(shares, scaled, 1))
