"""Gain and read noise by photon transfer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PhotonTransferPoint:
    """One point of the photon transfer curve: mean signal, variance of one frame, its 1-σ uncertainty (ADU, ADU²)."""

    mean_adu: float
    variance_adu2: float
    variance_uncertainty_adu2: float
    n_pixels: int


@dataclass(frozen=True, slots=True)
class PhotonTransfer:
    """Gain and read noise of one amplifier.

    Parameters
    ----------
    amplifier : str
        Name of the amplifier.
    method : str
        ``"pair"`` or ``"binned"``; ``"bias only"`` where there are no usable flats.
    gain_e_per_adu, gain_uncertainty : float or None
        Gain in electrons per ADU and its 1-σ uncertainty; None without flats.
    read_noise_adu, read_noise_adu_uncertainty : float
        Read noise of one frame in ADU RMS, quantisation removed.
    read_noise_e, read_noise_uncertainty : float or None
        Read noise in electrons RMS, with the gain's uncertainty propagated.
    bias_level_adu : float
        Mean level of the biases.
    level_range_adu : tuple of float or None
        Lowest and highest signal that the gain was measured at.
    n_bias, n_flat, n_flat_pairs : int
        Frames and flat pairs used.
    n_pixels : int
        Pixels used, of one flat pair.
    chi2_per_dof : float or None
        Reduced χ² of the fit, where there was one.
    curve : tuple of PhotonTransferPoint
        The points of the photon transfer curve.
    notes : tuple of str
        Pairs left out and other remarks, in words.
    """

    amplifier: str
    method: str
    gain_e_per_adu: float | None
    gain_uncertainty: float | None
    read_noise_adu: float
    read_noise_adu_uncertainty: float
    read_noise_e: float | None
    read_noise_uncertainty: float | None
    bias_level_adu: float
    level_range_adu: tuple[float, float] | None
    n_bias: int
    n_flat: int
    n_flat_pairs: int
    n_pixels: int
    chi2_per_dof: float | None = None
    curve: tuple[PhotonTransferPoint, ...] = ()
    notes: tuple[str, ...] = ()
