"""What a photon transfer measurement gives."""

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
        ``"pair"``, ``"binned"`` or ``"ptc"``; ``"bias only"`` where there are no usable flats.
    gain_e_per_adu, gain_uncertainty : float or None
        Gain in electrons per ADU and its 1-σ statistical uncertainty; None
        without flats. Of one light level it is the apparent gain at that level.
    read_noise_adu, read_noise_adu_uncertainty : float
        Read noise of one frame in ADU RMS; the variance of rounding to whole
        numbers is taken out, except by ``"pair"``.
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
    gain_systematic_uncertainty : float or None
        1-σ systematic uncertainty of `gain_e_per_adu`: the brighter-fatter
        effect where the fit has none, and faint cosmic rays. None for
        ``"pair"``, which knows of neither.
    gain_corrected_e_per_adu, gain_corrected_uncertainty : float or None
        Gain free of the brighter-fatter effect, and its total 1-σ uncertainty.
    a00_per_e, a00_uncertainty : float or None
        Relative change of a pixel's area for each electron in it, in 1/e⁻,
        where it was fitted.
    turn_off_adu : float or None
        Highest signal before the variance breaks down (full well), where it does.
    nonlinearity : float or None
        Relative deviation of the signal from a straight line against the exposure
        time, below the turn-off, from the lowest to the highest; None without
        three exposure times.
    reason : str
        Why this method.
    curve : tuple of PhotonTransferPoint
        The points of the photon transfer curve.
    rejected : tuple of PhotonTransferPoint
        One point for each pair that was measured and left out of the fit.
    notes : tuple of str
        Pairs left out and other remarks, in words.
    doubts : tuple of str
        Why the numbers may be wrong, in words: whoever uses them should look first. Not repeated in `notes`.
    bias_doubts : tuple of str
        Why also read noise and bias level in ADU may be wrong; not repeated in `doubts`.
    flat_doubts : tuple of str
        Those of `doubts` that also speak against a flat made of the same frames.
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
    gain_systematic_uncertainty: float | None = None
    gain_corrected_e_per_adu: float | None = None
    gain_corrected_uncertainty: float | None = None
    a00_per_e: float | None = None
    a00_uncertainty: float | None = None
    turn_off_adu: float | None = None
    nonlinearity: float | None = None
    reason: str = ""
    curve: tuple[PhotonTransferPoint, ...] = ()
    rejected: tuple[PhotonTransferPoint, ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    bias_doubts: tuple[str, ...] = ()
    flat_doubts: tuple[str, ...] = ()
