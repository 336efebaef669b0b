"""The result of a photon transfer measurement, of what its biases and flats have shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import hypot, sqrt

import numpy as np

from ccdcore.flat_pairs.flat_pair import PairPoints
from ccdcore.noise.bias_series import BiasSeries
from ccdcore.numerics.parts import Unlike, unlike
from ccdcore.photon_transfer.curve_fit import TransferFit, begins_elsewhere, collapses, misfit, other_offset
from ccdcore.photon_transfer.flat_series import FlatSeries
from ccdcore.photon_transfer.ramp import FEWEST_LEVELS, LEAST_RANGE, Ramp, is_ramp, n_levels, nonlinearity
from ccdcore.photon_transfer.result import PhotonTransfer, PhotonTransferPoint

_CURVE_POINTS = 24
_POOR_FIT = 3.0
_LARGEST_OF_16_BITS = 65535
_SIGNIFICANT = 3.0
_MANY_REJECTED = 0.05
_CERTAIN, _MUCH_BENT = 4.0, 0.02
_MUCH_OFF, _SURELY_OFF = 0.02, 0.03
"""Departure from a straight line against the exposure time; a lamp that drifts by 1 % makes 2 %."""

_STRAINED = 3.0
"""How far a fit may move the level of the biases, over what that is known to; 0 to 0.6 of honest frames."""

_HIDDEN = 0.05
"""Part of the gain that may be off by cosmic rays too faint to be told from noise, from which on it is doubtful."""

_MOST_CHARGE = 5e5
"""Electrons; the largest pixels hold fewer."""

_MOST_OTHER_NOISE = 1.2
"""Noise of flats at no light over that of biases, or the inverse, that one read mode may have."""

_LEAST_OF_PARTS, _BY_CHARGE = 0.06, 0.15
"""How much more noise, relative, one part of the image has than another, at least, where amplifiers are unlike; and
what charge that pushes charge may make of it where one part has all of the light and the other none."""

_BAD_FIT = 0.03
"""Scatter of the noise about the curve, relative and beyond what chance makes, that makes a gain doubtful."""


def transfer_result(biases: BiasSeries, flats: FlatSeries, method: str, notes: Sequence[str]) -> PhotonTransfer:
    """Return gain and read noise of one amplifier, with what makes them doubtful, of its biases and flats.

    Parameters
    ----------
    biases : BiasSeries
        The biases of the amplifier.
    flats : FlatSeries
        Its flats, of which pairs were made.
    method : str
        How the curve is fitted: ``auto``, ``pair``, ``binned`` or ``ptc``.
    notes : sequence of str
        What was noticed so far.
    """
    result = _measured(biases, flats, method, notes)
    lit = biases.light(result.gain_e_per_adu)
    uneven, much = (None, False) if lit else biases.uneven()
    said = (uneven,) if uneven else ()
    doubts = (*filter(None, [lit]), *(said if much else ()))
    return replace(result, bias_doubts=(*result.bias_doubts, *doubts), notes=(*result.notes, *(() if much else said)))


def _measured(biases: BiasSeries, flats: FlatSeries, method: str, notes: Sequence[str]) -> PhotonTransfer:
    read_noise, read_noise_uncertainty = flats.noise.read_noise
    steps = "whole ADU" if biases.step == 1 else f"steps of {biases.step:g} ADU"
    is_hidden = read_noise <= 3 * read_noise_uncertainty
    hidden = f"the read noise is hidden by rounding to {steps}" if is_hidden else None
    mixed = biases.two_kinds(), flats.two_kinds() if flats.pairs else None
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
        notes=(*notes, *biases.remarks, *flats.remarks, *filter(None, [biases.blank, hidden])),
        bias_doubts=tuple(filter(None, [mixed[0] or flats.averaged_biases, *biases.doubts])),
    )
    if any(mixed):
        return _of_flats(result, mixed[1:])
    result = _of_flats(result, flats.processed())
    if not flats.pairs:
        return result
    result = _of_flats(result, [flats.averaged, flats.of_another_kind(biases)])
    levels = [pair.level for pair in flats.pairs]
    if method == "ptc" and not is_ramp(levels):
        return replace(
            result, notes=(*result.notes, f"no gain: method ptc needs a ramp of light levels, {_not(levels)}")
        )
    if method == "ptc" or (method == "auto" and is_ramp(levels)):
        ramp = flats.fit_ramp()
        off = nonlinearity(ramp.used)
        notes = result.notes
        if off is not None and off > _MUCH_OFF:
            notes += (f"the signal departs by {100 * off:.1f} % from a straight line against the exposure time",)
        result = replace(result, method="ptc", turn_off_adu=ramp.turn_off_adu, nonlinearity=off, notes=notes)
        reason = f"{n_levels(levels)} light levels from {min(levels):.0f} to {max(levels):.0f} ADU make a curve"
    else:
        ramp = Ramp(flats.fit(), tuple(flats.pairs), flats.noise)
        result = replace(result, method="binned")
        reason = f"no ramp of light levels, {_not(levels)}"
    return _with_gain(result, ramp, flats, reason if method == "auto" else f"method {method} was asked for")


def _parts_of_other_gains(parts: Unlike | None) -> Iterator[str]:
    if parts:
        yield (
            f"parts of the image have other gains: the variance of light over its mean is {parts.words} of that of "
            "all: amplifiers that no card names (name them in the instrument's entry), or colours that the camera "
            "scaled: the gain is that of none of them"
        )


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
    bounds = tuple(_bounds_doubts(ramp, flats))
    # At full well brighter parts have less noise, whatever their amplifier.
    parts = None if bounds else unlike([of.parts for of in flats.points], _LEAST_OF_PARTS, _BY_CHARGE)
    offset = () if parts and not parts.may_be_offset else _offset_doubts(ramp, flats)
    doubts = (*_parts_of_other_gains(parts), *_fit_doubts(ramp, flats), *offset, *bounds)
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
            *_fit_notes(ramp, flats),
        ),
        doubts=(*result.doubts, *doubts, *_hidden_doubts(ramp, flats)),
        flat_doubts=(*result.flat_doubts, *doubts),
    )


def _of_flats(result: PhotonTransfer, said: Iterable[str | None]) -> PhotonTransfer:
    """Add what speaks against the gain and against a master flat."""
    doubts = tuple(filter(None, said))
    return replace(result, doubts=(*result.doubts, *doubts), flat_doubts=(*result.flat_doubts, *doubts))


def _free_of_brighter_fatter(ramp: Ramp, flats: FlatSeries) -> tuple[float, float, float]:
    """Return the systematic uncertainty of the gain, the gain without the brighter-fatter effect, and its uncertainty.

    Where the fit has no bend, that of neighbours' covariances or of a fit with a bend, whichever is known better.
    """
    fit, points = ramp.fit, [pair.points for pair in ramp.used]
    hidden = flats.faint_cosmic_rays(points)
    if fit.bend is not None:
        unsure = hypot(fit.gain * hidden, ramp.by_noise)
        return unsure, fit.gain, hypot(fit.uncertainty, unsure)
    share, of_share = flats.shared(points).with_all()
    corrected = fit.gain / (1 + share)
    uncertainty = hypot(fit.uncertainty, corrected * of_share) / (1 + share)
    if (bent := flats.bent()) is not None and bent.uncertainty < uncertainty:
        corrected, uncertainty = bent.gain, bent.uncertainty
    uncertainty = hypot(uncertainty, corrected * hidden)
    return hypot(fit.gain - corrected, uncertainty), corrected, uncertainty


def _fit_notes(ramp: Ramp, flats: FlatSeries) -> Iterator[str]:
    fit, points = ramp.fit, [pair.points for pair in ramp.used]
    if fit.bend is not None and fit.bend[0] < -_SIGNIFICANT * fit.bend[1]:
        words = {
            True: "brighter-fatter effect",
            None: "brighter-fatter effect, or a response that is not linear: the noise of neighbours does not tell",
        }
        cause = _is_brighter_fatter(ramp, flats)
        if cause or (cause is None and not _is_surely_off(ramp)):
            yield f"the curve bends, {_bend(fit)} ({words[cause]}): the gain is that in the limit of little light"
    if (of_noise := _other_noise(ramp, flats)) and not _is_of_another_mode(ramp, flats):
        yield f"{of_noise}: the gain is that of the curve alone"
    if _is_poor(fit) and misfit(points, fit, ramp.noise, flats.level_uncertainty) <= _BAD_FIT:
        yield (
            f"the points scatter more than their noise (chi2/dof = {fit.chi2_per_dof:.1f}): "
            "the light pattern moved between flats, or the camera is not linear; the uncertainty is widened"
        )
    if flats.largest > _LARGEST_OF_16_BITS:
        yield (
            f"numbers up to {flats.largest:.0f} are no single exposure of a converter of 16 bits: if the frames are "
            "sums of several exposures, the read noise is that of the sum"
        )
    rejected = max(p.rejected_fraction for p in points)
    if rejected > _MANY_REJECTED:
        yield (
            f"{100 * rejected:.0f} % of the pixels of a pair were left out as outliers or their neighbours: "
            "many cosmic rays, or a light pattern that moved between flats"
        )


def _fit_doubts(ramp: Ramp, flats: FlatSeries) -> Iterator[str]:
    """Say what the points do that no camera does whose charge is proportional to its light."""
    fit, points = ramp.fit, [pair.points for pair in ramp.used]
    if fit.bend is not None and abs(fit.bend[0]) > _SIGNIFICANT * fit.bend[1]:
        highest = max(float(of.mean.max()) for of in points) * fit.gain
        if fit.bend[0] > _CERTAIN * fit.bend[1] and fit.bend[0] * highest > _MUCH_BENT:
            yield (
                f"the noise grows faster than the light, {_bend(fit)}: the response is not linear (a merge of two "
                "read-outs, a correction), or flats of two gain settings are mixed"
            )
        cause = _is_brighter_fatter(ramp, flats)
        if fit.bend[0] < 0 and cause is None and _is_surely_off(ramp):
            yield (
                f"the noise grows more slowly than the light, {_bend(fit)}, and the signal is not in proportion to the "
                "exposure time: the response is not linear (near full well, or a merge of two read-outs)"
            )
        if fit.bend[0] < 0 and cause is False:
            yield (
                f"the noise grows more slowly than the light, {_bend(fit)}, and neighbours do not share it, as the "
                "brighter-fatter effect would make them: the response is not linear (near full well, or a merge of two "
                "read-outs)"
            )
    if (of_noise := _other_noise(ramp, flats)) and _is_of_another_mode(ramp, flats):
        yield (
            f"{of_noise}: are the biases of another gain setting or read mode, or is something besides light in the "
            "flats?"
        )
    if fit.strain > _STRAINED:
        yield (
            f"the curve does not begin at the level of the biases, but {fit.strain:.0f} times farther off than that is "
            "uncertain: the biases are of another offset than the flats, or the response to little light is not linear"
        )
    if _is_poor(fit) and (off := misfit(points, fit, ramp.noise, flats.level_uncertainty)) > _BAD_FIT:
        yield (
            f"the noise is off the curve by {100 * off:.0f} % (chi2/dof = {fit.chi2_per_dof or 0:.0f}): two gain "
            "settings or read modes in one set, a response that is not linear, or a light pattern that moved"
        )


def _other_noise(ramp: Ramp, flats: FlatSeries) -> str | None:
    """Say in words that the flats have other noise at no light than the biases; None where they have the same.

    Light that begins at another level than that of the biases makes the same curve.
    """
    own, of_biases = (sqrt(max(noise.variance, 0.0)) for noise in (ramp.noise, flats.noise))
    if own == of_biases:
        return None
    below = (own**2 - of_biases**2) * ramp.fit.gain
    return (
        f"by their curve flats have a noise of {own:.3g} ADU where there is no light, the biases {of_biases:.3g} ADU, "
        f"or their light begins {abs(below):.2g} ADU {'below' if below > 0 else 'above'} the level of the biases"
    )


def _is_of_another_mode(ramp: Ramp, flats: FlatSeries) -> bool:
    return not 1 / _MOST_OTHER_NOISE < sqrt(ramp.noise.variance / flats.noise.variance) < _MOST_OTHER_NOISE


def _hidden_doubts(ramp: Ramp, flats: FlatSeries) -> Iterator[str]:
    """Say where the gain is less certain than its scatter; a master is free of stars and cosmic rays."""
    if (hidden := flats.faint_cosmic_rays([pair.points for pair in ramp.used])) > _HIDDEN:
        yield (
            f"the gain may be off by {100 * hidden:.0f} %: what differs between flats besides noise, as stars that "
            "move or many cosmic rays, goes on below what can be told from noise"
        )
    shared = flats.shared([pair.points for pair in ramp.used])
    if smooth := shared.smooth():
        yield (
            f"about {100 * smooth:.0f} % of what is taken for noise is smooth, shared with neighbours on all sides: a "
            "pattern that moved between flats (stars, clouds), or frames that were smoothed or resampled"
        )
    elif beside := shared.beside():
        yield (
            f"neighbouring pixels of the flats share {beside:.0%} of their noise: frames that were interpolated "
            "(colours, a turn, another size) or smoothed, or a lamp that flickers from row to row: the gain is off"
        )


def _offset_doubts(ramp: Ramp, flats: FlatSeries) -> Iterator[str]:
    """Say where the light begins at another level than that of the biases."""
    is_bent = ramp.fit.bend is not None and ramp.fit.bend[0] < 0
    below = None if is_bent else other_offset([pair.points for pair in ramp.used], flats.noise, flats.overlap)
    if below is not None:
        yield begins_elsewhere(below)


def _bounds_doubts(ramp: Ramp, flats: FlatSeries) -> Iterator[str]:
    """Say where the light is at full well: noise that collapses, or charges that no pixel holds."""
    points = [pair.points for pair in ramp.used]
    if collapses(points, ramp.fit, ramp.noise, flats.overlap):
        yield (
            "where there is more light there is less noise: the light is at full well, where noise collapses and the "
            "gain comes out too high (expose less)"
        )
    charge = ramp.fit.gain * max(pair.level for pair in ramp.used)
    if charge > _MOST_CHARGE:
        yield (
            f"with this gain the flats hold {charge / 1000:.0f} 000 electrons a pixel, more than pixels can: their "
            "light is at full well, where noise collapses (expose less), or they are averages"
        )


def _is_brighter_fatter(ramp: Ramp, flats: FlatSeries) -> bool | None:
    return flats.shared([pair.points for pair in ramp.used]).explains(
        ramp.fit, np.array([pair.level for pair in ramp.used])
    )


def _is_surely_off(ramp: Ramp) -> bool:
    return (nonlinearity(ramp.used) or 0.0) > _SURELY_OFF


def _is_poor(fit: TransferFit) -> bool:
    return fit.chi2_per_dof is not None and fit.chi2_per_dof > _POOR_FIT


def _bend(fit: TransferFit) -> str:
    a00, uncertainty = fit.bend or (0.0, 0.0)
    return f"a00 = ({a00:.2e} ± {uncertainty:.0e}) per electron"


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
    weight = (points.mean / points.uncertainty) ** 2
    level, spread = (float(weight @ values / weight.sum()) for values in (points.mean, points.variance))
    uncertainty = float(np.sqrt(weight**2 @ points.uncertainty**2) / weight.sum())
    return PhotonTransferPoint(level, spread, uncertainty, int(points.n_pixels.sum()))
