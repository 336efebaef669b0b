"""Gain and read noise by photon transfer.

Two methods. ``pair`` is the textbook estimator of the Handbook of CCD
Astronomy (§4.3; IRAF `findgain`): exact, of the whole amplifier, and far off
where the lamp drifts on structured light or cosmic rays hit. ``binned``
compares pixels of equal light: see `_flat_pair`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise
from math import hypot, sqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ccdcore._flat_pair import PairPoints
from ccdcore._pair_series import BiasSeries, FlatSeries
from ccdcore._transfer_fit import TransferFit
from ccdcore.errors import InsufficientDataError, SectionError
from ccdcore.frame import Frame
from ccdcore.geometry import Amplifier, Section
from ccdcore.header import ExposureInfo
from ccdcore.series import SeriesFrame
from ccdcore.statistics import cut

Image = Frame | SeriesFrame | Path | str | npt.NDArray[Any]

_EXPOSURE_TOLERANCE = 0.01
_FRAMES_HELD = 2
_CURVE_POINTS = 24
_POOR_FIT = 3.0
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
        ``"pair"`` or ``"binned"``; ``"bias only"`` where there are no usable flats.
    gain_e_per_adu, gain_uncertainty : float or None
        Gain in electrons per ADU and its 1-σ uncertainty; None without flats.
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


@dataclass(frozen=True, slots=True, eq=False)
class _Exposure:
    """A frame as it comes from any kind of input."""

    number: int
    name: str
    data: npt.NDArray[Any]
    info: ExposureInfo | None
    amplifiers: tuple[Amplifier, ...]


def measure_gain(
    bias: Sequence[Image],
    flat: Sequence[Image],
    *,
    method: Literal["auto", "pair", "binned"] = "auto",
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
    method : {"auto", "pair", "binned"}
        ``"pair"`` takes the first two frames of each kind as they are;
        ``"binned"`` all pairs, and ``"auto"`` is ``"binned"``.
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
        pair of flats the gain is None and the method ``"bias only"``.

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
    Where C bends down significantly (3 σ, signals that span a factor of five) the fit is that of Astier et al. 2019
    (A&A 629, A36), eq. 16: C = [exp(2 a₀₀ μ g) − 1]/(2 a₀₀ g²) + B. Uncertainties are
    statistical, with the correlation of pairs that share a frame in them, and
    times √(χ²/dof) where that is above 1.
    """
    if method not in ("auto", "pair", "binned"):
        raise ValueError(f"method {method!r} is unknown: write auto, pair or binned")
    notes: list[str] = []
    biases = _usable(bias, "bias", notes)
    flats = _usable(flat, "flat", notes)
    start = list(islice(biases, 2))
    if len(start) < 2:
        raise InsufficientDataError(
            " ".join([f"read noise needs two raw biases, {len(start)} usable: add biases.", *notes])
        )
    channels = _channels(start[0], amplifiers, region)
    if method == "pair":
        pair = list(islice(flats, 2))
        _same_shape(start[0], *start, *pair)
        return tuple(_textbook(channel, start, pair, notes) for channel in channels)
    return _binned(channels, chain(start, biases), flats, notes)


def _usable(images: Sequence[Image], kind: str, notes: list[str]) -> Iterator[_Exposure]:
    """Yield the raw frames among the inputs, one at a time."""
    for number, image in enumerate(images, start=1):
        exposure = _exposure(image, number, kind)
        averaged = 1 if exposure.info is None else exposure.info.n_averaged
        if averaged > 1:
            notes.append(f"{exposure.name} left out: an average of {averaged} exposures has too little noise")
        else:
            yield exposure


def _exposure(image: Image, number: int, kind: str) -> _Exposure:
    if isinstance(image, SeriesFrame):
        from ccdcore.fits_io import read_image

        return _Exposure(number, image.path.name, read_image(image.path), image.info, image.amplifiers)
    if isinstance(image, (str, Path)):
        from ccdcore.fits_io import read_frame

        image = read_frame(Path(image))
    if isinstance(image, Frame):
        return _Exposure(number, image.path.name, image.data, image.info, image.amplifiers)
    data = np.asarray(image)
    if data.ndim != 2:
        raise InsufficientDataError(f"{kind} {number} has shape {data.shape}: give images of two dimensions")
    return _Exposure(number, f"{kind} {number}", data, None, ())


def _channels(
    first: _Exposure, amplifiers: Sequence[Amplifier] | None, region: str | Section | None
) -> tuple[Amplifier, ...]:
    """Return the amplifiers, their data sections cut to the region."""
    rows, columns = first.data.shape
    channels = tuple(amplifiers or first.amplifiers or (Amplifier("1", Section.whole((rows, columns))),))
    if region is None:
        return channels
    section = Section.parse(region) if isinstance(region, str) else region
    inside = tuple(
        replace(channel, data=common)
        for channel in channels
        if (common := _intersection(channel.data, section)) is not None
    )
    if not inside:
        raise SectionError(f"region {section} has no pixel in the data section of any amplifier")
    return inside


def _intersection(one: Section, two: Section) -> Section | None:
    x1, x2 = max(one.x1, two.x1), min(one.x2, two.x2)
    y1, y2 = max(one.y1, two.y1), min(one.y2, two.y2)
    return Section(x1, x2, y1, y2) if x1 <= x2 and y1 <= y2 else None


def _same_shape(first: _Exposure, *others: _Exposure) -> None:
    for other in others:
        if other.data.shape != first.data.shape:
            raise InsufficientDataError(
                f"{other.name} has shape {other.data.shape}, {first.name} {first.data.shape}: give frames of one size"
            )


def _flat_pairs(flats: Iterator[_Exposure], notes: list[str]) -> Iterator[tuple[_Exposure, _Exposure]]:
    """Yield pairs of consecutive flats of one filter and exposure time, holding few frames at once."""
    held: list[_Exposure] = []
    alone: dict[int, str] = {}
    for flat in flats:
        partner = next((other for other in held if _comparable(other, flat)), None)
        held = [*[other for other in held if other is not partner][1 - _FRAMES_HELD :], flat]
        if partner is None:
            alone[flat.number] = flat.name
        else:
            alone.pop(partner.number, None)
            yield partner, flat
    notes += [f"{name} left out: no other flat of its filter and exposure time" for name in alone.values()]


def _comparable(one: _Exposure, two: _Exposure) -> bool:
    if one.info is None or two.info is None:
        return True
    times = one.info.exposure_time_s, two.info.exposure_time_s
    if times[0] is None or times[1] is None:
        same_time = True
    else:
        same_time = abs(times[0] - times[1]) <= _EXPOSURE_TOLERANCE * max(times[0], times[1])
    return one.info.filter == two.info.filter and same_time


def _binned(
    channels: Sequence[Amplifier], biases: Iterator[_Exposure], flats: Iterator[_Exposure], notes: list[str]
) -> tuple[PhotonTransfer, ...]:
    bias_series = [BiasSeries(channel) for channel in channels]
    remarks: list[list[str]] = [[] for _ in channels]
    n_bias = 1
    for one, two in pairwise(biases):
        _same_shape(one, two)
        n_bias += 1
        for of_bias, own in zip(bias_series, remarks, strict=True):
            _remark(own, one, two, of_bias.add(one.data, two.data))
        shape_of = two
    for of_bias, own in zip(bias_series, remarks, strict=True):
        if of_bias.n_pairs == 0:
            raise InsufficientDataError(f"amplifier {of_bias.amplifier.name} has no usable pair of biases: {own[0]}")
    flat_series = [FlatSeries.after(of_bias) for of_bias in bias_series]
    for one, two in _flat_pairs(flats, notes):
        _same_shape(shape_of, one, two)
        for of_flat, own in zip(flat_series, remarks, strict=True):
            _remark(own, one, two, of_flat.add(one.data, two.data, (one.number, two.number)))
    return tuple(
        _result(of_bias, of_flat, n_bias, [*notes, *own])
        for of_bias, of_flat, own in zip(bias_series, flat_series, remarks, strict=True)
    )


def _remark(remarks: list[str], one: _Exposure, two: _Exposure, reason: str | None) -> None:
    if reason is not None:
        remarks.append(f"pair {one.name}, {two.name} left out: {reason}")


def _result(of_bias: BiasSeries, of_flat: FlatSeries, n_bias: int, notes: list[str]) -> PhotonTransfer:
    read_noise, read_noise_uncertainty = of_flat.noise.read_noise
    if read_noise == 0:
        notes.append("the read noise is hidden by rounding to whole ADU")
    result = PhotonTransfer(
        amplifier=of_bias.amplifier.name,
        method="bias only",
        gain_e_per_adu=None,
        gain_uncertainty=None,
        read_noise_adu=read_noise,
        read_noise_adu_uncertainty=read_noise_uncertainty,
        read_noise_e=None,
        read_noise_uncertainty=None,
        bias_level_adu=of_bias.level,
        level_range_adu=None,
        n_bias=n_bias,
        n_flat=0,
        n_flat_pairs=0,
        n_pixels=0,
        notes=tuple(notes),
    )
    if not of_flat.points:
        return result
    fit = of_flat.fit()
    means = np.concatenate([points.mean for points in of_flat.points])
    return replace(
        result,
        method="binned",
        gain_e_per_adu=fit.gain,
        gain_uncertainty=fit.uncertainty,
        read_noise_e=fit.gain * read_noise,
        read_noise_uncertainty=hypot(fit.gain * read_noise_uncertainty, read_noise * fit.uncertainty),
        level_range_adu=(float(means.min()), float(means.max())),
        n_flat=len(set(chain.from_iterable(of_flat.used))),
        n_flat_pairs=len(of_flat.points),
        n_pixels=int(of_flat.points[0].n_pixels.sum()),
        chi2_per_dof=fit.chi2_per_dof,
        curve=_curve(of_flat.points),
        notes=(*notes, *_fit_notes(fit, of_flat.points)),
    )


def _fit_notes(fit: TransferFit, points: Sequence[PairPoints]) -> Iterator[str]:
    if fit.bend is not None:
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
        yield f"{100 * rejected:.0f} % of the pixels of a flat pair were left out as cosmic rays and their neighbours"


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


def _textbook(
    channel: Amplifier, biases: Sequence[_Exposure], flats: Sequence[_Exposure], notes: list[str]
) -> PhotonTransfer:
    """Handbook of CCD Astronomy §4.3: whole amplifier, no clipping, no scaling, no rounding taken out.

    The uncertainty of each variance of a difference d is that of normal noise
    of any distribution over the pixels, Var(⟨d²⟩) = 2⟨σ⁴⟩/N with ⟨d⁴⟩/3 for ⟨σ⁴⟩.
    """
    frames = [cut(f.data, channel.data).astype(np.float64) for f in (*biases, *flats)]
    finite = np.logical_and.reduce([np.isfinite(f) for f in frames])
    if not finite.any():
        raise InsufficientDataError(f"amplifier {channel.name} has no pixel that is finite in all frames")
    frames = [f[finite] for f in frames]
    level = float(frames[0].mean() + frames[1].mean()) / 2
    bias_variance, of_bias = _variance(frames[0] - frames[1])
    read_noise = sqrt(bias_variance / 2)
    read_noise_uncertainty = of_bias / (4 * read_noise) if read_noise else 0.0
    gain = gain_uncertainty = None
    if len(flats) == 2:
        flat_variance, of_flat = _variance(frames[2] - frames[3])
        light = float(frames[2].mean() + frames[3].mean()) - 2 * level
        if flat_variance > bias_variance and light > 0:
            gain = light / (flat_variance - bias_variance)
            gain_uncertainty = gain * hypot(of_flat, of_bias) / (flat_variance - bias_variance)
        else:
            notes = [*notes, "no gain: the flats have no more noise, or no more light, than the biases"]
    has_gain = gain is not None and gain_uncertainty is not None
    return PhotonTransfer(
        amplifier=channel.name,
        method="pair" if has_gain else "bias only",
        gain_e_per_adu=gain,
        gain_uncertainty=gain_uncertainty,
        read_noise_adu=read_noise,
        read_noise_adu_uncertainty=read_noise_uncertainty,
        read_noise_e=None if gain is None else gain * read_noise,
        read_noise_uncertainty=(
            None
            if gain is None or gain_uncertainty is None
            else hypot(gain * read_noise_uncertainty, read_noise * gain_uncertainty)
        ),
        bias_level_adu=level,
        level_range_adu=None,
        n_bias=2,
        n_flat=len(flats) if has_gain else 0,
        n_flat_pairs=int(has_gain),
        n_pixels=frames[0].size if has_gain else 0,
        notes=tuple(notes),
    )


def _variance(difference: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the variance of a difference image and its 1-σ uncertainty."""
    deviation2 = (difference - difference.mean()) ** 2
    return float(deviation2.mean()), sqrt(2 / 3 * float((deviation2**2).mean()) / difference.size)
