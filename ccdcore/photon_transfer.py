"""Gain and read noise by photon transfer.

Three methods. ``pair`` is the textbook estimator of the Handbook of CCD
Astronomy (§4.3; IRAF `findgain`): exact, of the whole amplifier, and far off
where the lamp drifts on structured light or cosmic rays hit. ``binned``
compares pixels of equal light: see `_flat_pair`. ``ptc`` fits the curve of a
ramp of light levels to the same points: see `_ramp_fit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from math import hypot, sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt

from ccdcore._exposures import Exposure, Exposures, Image, channels
from ccdcore._flat_pair import PairPoints
from ccdcore._pair_series import BiasSeries, FlatSeries
from ccdcore._ramp_fit import FEWEST_LEVELS, LEAST_RANGE, Ramp, is_ramp, n_levels, nonlinearity
from ccdcore._transfer_fit import TransferFit
from ccdcore.errors import InsufficientDataError
from ccdcore.geometry import Amplifier, Section
from ccdcore.statistics import cut

_CURVE_POINTS = 24
_POOR_FIT = 3.0
_SIGNIFICANT = 3.0
_MANY_REJECTED = 0.05


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
        Largest relative deviation of the signal from a straight line against
        the exposure time, below the turn-off; None without three exposure times.
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


def measure_gain(
    bias: Sequence[Image],
    flat: Sequence[Image],
    *,
    method: Literal["auto", "pair", "binned", "ptc"] = "auto",
    region: str | Section | None = None,
    amplifiers: Sequence[Amplifier] | None = None,
) -> tuple[PhotonTransfer, ...]:
    """Measure gain and read noise of each amplifier.

    Parameters
    ----------
    bias, flat : sequence of Frame, SeriesFrame, path or ndarray
        Raw frames in ADU, in the order they were taken. Paths are read one at
        a time. Flats of several filters and exposure times may be mixed:
        pairs are formed of consecutive ones of equal filter and exposure time
        (1 %) whose flux differs by less than 10 %.
    method : {"auto", "pair", "binned", "ptc"}
        ``"pair"`` takes the first two frames of each kind as they are;
        ``"binned"`` all pairs; ``"ptc"`` all pairs of a ramp of light levels.
        ``"auto"`` is ``"ptc"`` for an amplifier with three levels or more that
        span a factor of three, else ``"binned"``.
    region : str or Section, optional
        Only these pixels, ``"[x1:x2,y1:y2]"``.
    amplifiers : sequence of Amplifier, optional
        Wins over the amplifiers of the frames; without either the whole image
        is one. Where there is an overscan section its level is subtracted
        from each frame.

    Returns
    -------
    tuple of PhotonTransfer
        One for each amplifier that has pixels in the region. Without a usable
        pair of flats, or with ``"ptc"`` without a ramp, the gain is None and
        the method ``"bias only"``.

    Raises
    ------
    InsufficientDataError
        If there are fewer than two usable biases, or frames differ in shape.
    SectionError
        If a section does not fit, or no amplifier has pixels in the region.
    FrameReadError
        If a file cannot be read.
    ValueError
        If the method is unknown.

    Notes
    -----
    ``"binned"``: the variance of one frame at mean signal μ is
    C = μ/g + B, with B the variance of the biases (all pairs of consecutive
    ones, cosmic rays clipped at 6 σ). The line is fitted to groups of pixels of
    equal light with B fixed, each weighted by the variance the model predicts.
    Where C bends down significantly (3 σ, and the signals span a factor of
    five) the fit is that of Astier et al. 2019 (A&A 629, A36), eq. 16:
    C = [exp(2 a₀₀ μ g) − 1]/(2 a₀₀ g²) + B. Uncertainties are statistical, with
    the correlation of pairs that share a frame in them, and times √(χ²/dof)
    where that is more than chance.

    ``"ptc"``: eq. 16 always, with g, a₀₀ and B free, B known from the biases. The
    pairs beyond the first downward break of the curve are left out, and those
    more than 5 σ and 2 % off it.

    Charge that moves to a neighbour stays in the sum: the covariances of the
    eight neighbours in the difference images, added to the variance, give the
    gain free of the brighter-fatter effect where there is one light level.

    ``"pair"``: g = (ΣF − ΣB)/[Var(F₁ − F₂) − Var(B₁ − B₂)], read noise
    g · std(B₁ − B₂)/√2. Its uncertainty is that of the noise only: it does not
    know of lamp drift and cosmic rays.
    """
    if method not in ("auto", "pair", "binned", "ptc"):
        raise ValueError(f"method {method!r} is unknown: write auto, pair, binned or ptc")
    exposures = Exposures()
    biases = exposures.raw(bias, "bias")
    if method == "pair":
        pair = list(islice(biases, 2))
        if len(pair) == 2:
            flats = list(islice(exposures.raw(flat, "flat"), 2))
            return tuple(
                _textbook(channel, pair, flats, exposures.notes) for channel in channels(pair[0], amplifiers, region)
            )
    elif bias_series := _bias_series(biases, amplifiers, region):
        flat_series = _flat_series(bias_series, exposures.flat_pairs(flat))
        return tuple(_result(*both, method, exposures.notes) for both in zip(bias_series, flat_series, strict=True))
    n_usable = len(bias) - len(exposures.notes)
    raise InsufficientDataError(
        " ".join([f"read noise needs two raw biases, {n_usable} usable: add biases.", *exposures.notes])
    )


def warm_up() -> None:
    """Compile what measures whole-number frames, or load it from the cache, so that no later call waits for it."""
    rng = np.random.default_rng(1)
    bias, flat = (list(rng.poisson(level, (2, 32, 32)).astype(np.uint16)) for level in (100, 1000))
    measure_gain(bias, flat)


def _bias_series(
    biases: Iterator[Exposure], amplifiers: Sequence[Amplifier] | None, region: str | Section | None
) -> list[BiasSeries]:
    """Take in all pairs of consecutive biases, for each amplifier; nothing where there is no pair."""
    series: list[BiasSeries] = []
    for one, two in pairwise(biases):
        series = series or [BiasSeries(amplifier) for amplifier in channels(one, amplifiers, region)]
        for amplifier in series:
            amplifier.add(one, two)
    for amplifier in series:
        if not amplifier.used:
            raise InsufficientDataError(
                f"amplifier {amplifier.amplifier.name} has no usable pair of biases: {amplifier.remarks[0]}"
            )
    return series


def _flat_series(bias_series: Sequence[BiasSeries], pairs: Iterator[tuple[Exposure, Exposure]]) -> list[FlatSeries]:
    series = [FlatSeries.after(biases) for biases in bias_series]
    for one, two in pairs:
        for amplifier in series:
            amplifier.add(one, two)
    return series


def _result(biases: BiasSeries, flats: FlatSeries, method: str, notes: Sequence[str]) -> PhotonTransfer:
    read_noise, read_noise_uncertainty = flats.noise.read_noise
    hidden = ["the read noise is hidden by rounding to whole ADU"] if read_noise == 0 else []
    result = PhotonTransfer(
        amplifier=biases.amplifier.name,
        method="bias only",
        gain_e_per_adu=None,
        gain_uncertainty=None,
        read_noise_adu=read_noise,
        read_noise_adu_uncertainty=read_noise_uncertainty,
        read_noise_e=None,
        read_noise_uncertainty=None,
        bias_level_adu=biases.level,
        level_range_adu=None,
        n_bias=biases.n_frames,
        n_flat=0,
        n_flat_pairs=0,
        n_pixels=0,
        notes=(*notes, *biases.remarks, *flats.remarks, *hidden),
    )
    if not flats.pairs:
        return result
    levels = [pair.level for pair in flats.pairs]
    if method == "ptc" and not is_ramp(levels):
        return replace(
            result, notes=(*result.notes, f"no gain: method ptc needs a ramp of light levels, {_not(levels)}")
        )
    if method == "ptc" or (method == "auto" and is_ramp(levels)):
        ramp = flats.fit_ramp()
        result = replace(result, method="ptc", turn_off_adu=ramp.turn_off_adu, nonlinearity=nonlinearity(ramp.used))
        reason = f"{n_levels(levels)} light levels from {min(levels):.0f} to {max(levels):.0f} ADU make a curve"
    else:
        ramp = Ramp(flats.fit(), tuple(flats.pairs))
        result = replace(result, method="binned")
        reason = f"no ramp of light levels, {_not(levels)}"
    return _with_gain(result, ramp, flats, reason if method == "auto" else f"method {method} was asked for")


def _not(levels: Sequence[float]) -> str:
    n, low, high = n_levels(levels), f"{min(levels):.0f}", f"{max(levels):.0f}"
    there = f"is one, {low} ADU" if n == 1 else f"are {n} from {low} to {high} ADU"
    return f"{FEWEST_LEVELS} or more that span a factor of {LEAST_RANGE:.0f}: there {there}"


def _with_gain(result: PhotonTransfer, ramp: Ramp, flats: FlatSeries, reason: str) -> PhotonTransfer:
    """Add what follows from the flats."""
    fit, points = ramp.fit, [pair.points for pair in ramp.used]
    means = np.concatenate([of.mean for of in points])
    read_noise = result.read_noise_adu
    systematic, corrected, of_corrected = _free_of_brighter_fatter(ramp, flats)
    return replace(
        result,
        gain_e_per_adu=fit.gain,
        gain_uncertainty=fit.uncertainty,
        gain_systematic_uncertainty=systematic,
        gain_corrected_e_per_adu=corrected,
        gain_corrected_uncertainty=of_corrected,
        a00_per_e=fit.bend and fit.bend[0],
        a00_uncertainty=fit.bend and fit.bend[1],
        read_noise_e=fit.gain * read_noise,
        read_noise_uncertainty=hypot(fit.gain * result.read_noise_adu_uncertainty, read_noise * fit.uncertainty),
        level_range_adu=(float(means.min()), float(means.max())),
        n_flat=len({number for pair in ramp.used for number in pair.numbers}),
        n_flat_pairs=len(points),
        n_pixels=int(points[0].n_pixels.sum()),
        chi2_per_dof=fit.chi2_per_dof,
        reason=reason,
        curve=_curve(points),
        rejected=tuple(_one_point(pair.points) for pair in flats.pairs if pair.name in ramp.left_out),
        notes=(
            *result.notes,
            *(f"pair {name} left out: {why}" for name, why in ramp.left_out.items()),
            *_fit_notes(fit, points),
        ),
    )


def _free_of_brighter_fatter(ramp: Ramp, flats: FlatSeries) -> tuple[float, float, float]:
    """Return the systematic uncertainty of the gain, the gain without the brighter-fatter effect, and its uncertainty.

    Where the fit has no bend, that of neighbours' covariances or of a fit with a bend, whichever is known better.
    """
    fit, points = ramp.fit, [pair.points for pair in ramp.used]
    hidden = flats.faint_cosmic_rays(points)
    if fit.bend is not None:
        return fit.gain * hidden, fit.gain, hypot(fit.uncertainty, fit.gain * hidden)
    share, of_share = flats.neighbour_share(points)
    corrected = fit.gain / (1 + share)
    uncertainty = hypot(fit.uncertainty, corrected * of_share) / (1 + share)
    if (bent := flats.bent()) is not None and bent.uncertainty < uncertainty:
        corrected, uncertainty = bent.gain, bent.uncertainty
    uncertainty = hypot(uncertainty, corrected * hidden)
    return hypot(fit.gain - corrected, uncertainty), corrected, uncertainty


def _fit_notes(fit: TransferFit, points: Sequence[PairPoints]) -> Iterator[str]:
    if fit.bend is not None and abs(fit.bend[0]) > _SIGNIFICANT * fit.bend[1]:
        a00, uncertainty = fit.bend
        yield (
            f"the curve bends, a00 = ({a00:.2e} ± {uncertainty:.0e}) per electron (brighter-fatter effect): "
            "the gain is that in the limit of little light"
        )
    if fit.chi2_per_dof is not None and fit.chi2_per_dof > _POOR_FIT:
        yield (
            f"the points scatter more than their noise (chi2/dof = {fit.chi2_per_dof:.1f}): "
            "the light pattern moved between flats, or the camera is not linear; the uncertainty is widened"
        )
    rejected = max(p.rejected_fraction for p in points)
    if rejected > _MANY_REJECTED:
        yield (
            f"{100 * rejected:.0f} % of the pixels of a pair were left out as outliers or their neighbours: "
            "many cosmic rays, or a light pattern that moved between flats"
        )


def _curve(points: Sequence[PairPoints]) -> tuple[PhotonTransferPoint, ...]:
    """Average the points of all pairs in groups of similar signal."""
    mean, variance, uncertainty, n_pixels = (
        np.concatenate([getattr(p, name) for p in points]) for name in ("mean", "variance", "uncertainty", "n_pixels")
    )
    groups = np.array_split(np.argsort(mean), min(_CURVE_POINTS, mean.size))
    curve = []
    for group in groups:
        weight = 1 / uncertainty[group] ** 2
        level, spread = (float(weight @ values[group] / weight.sum()) for values in (mean, variance))
        curve.append(PhotonTransferPoint(level, spread, float(weight.sum() ** -0.5), int(n_pixels[group].sum())))
    return tuple(curve)


def _one_point(points: PairPoints) -> PhotonTransferPoint:
    weight = points.mean / points.uncertainty**2
    level, spread = (float(weight @ values / weight.sum()) for values in (points.mean, points.variance))
    uncertainty = float(np.sqrt(weight**2 @ points.uncertainty**2) / weight.sum())
    return PhotonTransferPoint(level, spread, uncertainty, int(points.n_pixels.sum()))


def _textbook(
    channel: Amplifier, biases: Sequence[Exposure], flats: Sequence[Exposure], notes: Sequence[str]
) -> PhotonTransfer:
    """Handbook of CCD Astronomy §4.3: whole amplifier, no clipping, no scaling, no rounding taken out."""
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
