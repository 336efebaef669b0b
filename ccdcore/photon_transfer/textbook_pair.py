"""The textbook estimator of gain and read noise, of two biases and two flats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import hypot, sqrt

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Amplifier, cut
from ccdcore.errors import InsufficientDataError
from ccdcore.noise.exposures import Exposure
from ccdcore.photon_transfer.result import PhotonTransfer


def textbook_pair(
    channel: Amplifier, biases: Sequence[Exposure], flats: Sequence[Exposure], notes: Sequence[str]
) -> PhotonTransfer:
    """Handbook of CCD Astronomy §4.3: whole amplifier, no clipping, no scaling, no rounding taken out.

    Raises
    ------
    InsufficientDataError
        If no pixel of the amplifier is finite in all frames.
    """
    frames = [cut(exposure.data, channel.data).astype(np.float64) for exposure in (*biases, *flats)]
    finite = np.logical_and.reduce([np.isfinite(frame) for frame in frames])
    if not finite.any():
        raise InsufficientDataError(f"amplifier {channel.name} has no pixel that is finite in all frames")
    frames = [frame[finite] for frame in frames]
    level = float(frames[0].mean() + frames[1].mean()) / 2
    bias_variance, of_bias = _variance(frames[0] - frames[1])
    read_noise = sqrt(bias_variance / 2)
    result = PhotonTransfer(
        amplifier=channel.name,
        method="bias only",
        gain_e_per_adu=None,
        gain_uncertainty=None,
        read_noise_adu=read_noise,
        read_noise_adu_uncertainty=of_bias / (4 * read_noise) if read_noise else 0.0,
        read_noise_e=None,
        read_noise_uncertainty=None,
        bias_level_adu=level,
        level_range_adu=None,
        n_bias=2,
        n_flat=0,
        n_flat_pairs=0,
        n_pixels=0,
        notes=tuple(notes),
    )
    if len(flats) < 2:
        return replace(result, notes=(*notes, "no gain: it needs two raw flats"))
    flat_variance, of_flat = _variance(frames[2] - frames[3])
    light, noise = float(frames[2].mean() + frames[3].mean()) - 2 * level, flat_variance - bias_variance
    if light <= 0 or noise <= 0:
        return replace(
            result, notes=(*notes, "no gain: the flats have no more light, or no more noise, than the biases")
        )
    gain = light / noise
    gain_uncertainty = gain * hypot(of_flat, of_bias) / noise
    return replace(
        result,
        method="pair",
        gain_e_per_adu=gain,
        gain_uncertainty=gain_uncertainty,
        read_noise_e=gain * read_noise,
        read_noise_uncertainty=hypot(gain * result.read_noise_adu_uncertainty, read_noise * gain_uncertainty),
        level_range_adu=(light / 2, light / 2),
        reason="method pair was asked for",
        n_flat=2,
        n_flat_pairs=1,
        n_pixels=frames[0].size,
    )


def _variance(difference: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the variance of a difference image and its 1-σ uncertainty.

    Var(⟨d²⟩) = 2⟨σ⁴⟩/N for normal noise however σ differs between the pixels, with ⟨d⁴⟩ = 3⟨σ⁴⟩.
    """
    squares = (difference - difference.mean()) ** 2
    return float(squares.mean()), sqrt(2 / 3 * float((squares**2).mean()) / difference.size)
