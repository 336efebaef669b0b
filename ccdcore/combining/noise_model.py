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

    The noisiest frame sets the floor of the clip, the mean over the frames is the prior of the uncertainty. It is
    reckoned of a strip of pixels at a time: of all of them it would take many times the room of an image.

    Parameters
    ----------
    noise : ndarray, shape (frames or 1, pixels or 1)
        Of a value, in ADU.
    gain : ndarray, shape (1, pixels or 1)
        In e⁻/ADU.
    squares, factors : ndarray, shape (frames,)
        What the variance without light, and that of photons, is multiplied by.
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

    noise: Image
    gain: Image
    squares: Image
    factors: Image
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
        noises = positive("noise", 0.0 if noise is None else noise, or_zero=True)
        gains = positive("gain_e_per_adu", np.inf if gain_e_per_adu is None else gain_e_per_adu, or_zero=False)
        check_spread("noise", noises, (len(factors), *shape))
        check_spread("gain_e_per_adu", gains, shape)
        squares = np.square(factors) if is_scaled else np.ones_like(factors)
        noises, gains = _of_pixels(noises, shape), _of_pixels(gains, shape)
        rounded = np.square(factors).max() if weights.size == 0 else np.mean(weights * np.square(factors))
        of_frames = _variance(noises).mean(axis=1) * squares if weights.size else squares
        return cls(
            noises,
            gains,
            squares,
            factors,
            _with_terms(weights, of_frames, factors),
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
        """Return the model of a strip of pixels, as `combine_integers` wants it.

        Its shape is (4, 1) or (4, pixels), with weights (6, …). Constants are in the unit of scaled values squared,
        photon terms in that unit.
        """
        noise, gain = (one if one.shape[1] == 1 else one[:, strip] for one in (self.noise, self.gain))
        variance, per_adu = _variance(noise), 1 / gain.astype(np.float64)
        squares = self.squares
        highest = (variance * squares[:, None]).max(axis=0) if len(variance) > 1 else variance[0] * squares.max()
        parts = [highest, self.factors.max() * per_adu[0]]
        for shares in _shares(self.weights[:1].ravel(), len(self.factors)):
            parts += [_mean(variance, squares, shares), _mean(per_adu, self.factors, shares)]
        return np.stack(np.broadcast_arrays(*parts))


def _of_pixels(given: Image, shape: tuple[int, ...]) -> Image:
    """Return what broadcasts to images of a shape as one value for each of their pixels, or for all of them."""
    of_frames = given.reshape((1,) * (3 - given.ndim) + given.shape)
    if of_frames[0].size == 1:
        return of_frames.reshape(len(of_frames), 1)
    return np.broadcast_to(of_frames, (len(of_frames), *shape)).reshape(len(of_frames), -1)


def _variance(noise: Image) -> Image:
    return np.square(noise, dtype=np.float64)


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
    scaled = variance * factors[:, None]
    return np.asarray(scaled.mean(axis=0) if shares is None else np.tensordot(shares, scaled, 1))
