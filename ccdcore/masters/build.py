"""Master bias, dark and flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ccdcore.combining.combine import Progress, combine
from ccdcore.consistency.residuals import residual
from ccdcore.errors import InsufficientDataError, NoLightError
from ccdcore.frames.groups import same_exposure
from ccdcore.masters.check import check_master
from ccdcore.masters.file import master_hdulist, read_master
from ccdcore.masters.stack import MasterStack, PerAmplifier, some_rows
from ccdcore.recipe import BiasRecipe, DarkRecipe, FlatRecipe
from ccdcore.reduction.master import Darks, MaskBit, Master, MasterInput, MasterKind
from ccdcore.reduction.reduce import CalibrationFrame, exposure_time, reduce_frame, saturation_limits

__all__ = [
    "CalibrationFrame",
    "MaskBit",
    "Master",
    "MasterInput",
    "MasterKind",
    "PerAmplifier",
    "check_master",
    "illuminated_region",
    "master_bias",
    "master_dark",
    "master_flat",
    "master_hdulist",
    "read_master",
    "reduce_frame",
    "residual",
]

BRIGHT_PERCENTILE = 99.9
"""Where the brightest light is, above hot pixels, in a flat that may be almost dark (one trace of a spectrum)."""

ILLUMINATED_FRACTION = 0.5
"""Pixels above this fraction of the brightest light make the region that a flat is scaled by."""

LEAST_LIGHT = 3.0
"""A flat's level must be this many times the noise of one pixel."""


EQUAL_WEIGHTS_COST = 0.01
"""Flats that count the same may have this much more variance, relatively, than with the best weights."""


def master_bias(
    frames: Sequence[CalibrationFrame],
    *,
    recipe: BiasRecipe | None = None,
    noise_adu: PerAmplifier | None = None,
    progress: Progress | None = None,
) -> Master:
    """Combine biases.

    Parameters
    ----------
    frames : sequence of Frame or SeriesFrame
        Raw biases of one configuration; each amplifier's overscan is subtracted where there is one.
    recipe : BiasRecipe, optional
        Clip and fewest frames.
    noise_adu : float or mapping, optional
        Read noise of one frame in ADU RMS (quantisation removed), of all or of each
        amplifier; measured on the difference of the first two frames if not given.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    Master
        In ADU; 0 outside the amplifiers' data sections.

    Raises
    ------
    InsufficientDataError
        If there are too few frames or they differ in shape.
    """
    recipe = recipe or BiasRecipe()
    stack = MasterStack.of("bias", frames, recipe.min_frames)
    noise = stack.difference_noise() if noise_adu is None else stack.pixel_noise(noise_adu)
    image = combine(stack.images, clip_sigma=recipe.clip_sigma, noise=noise, progress=progress, dtype=np.float32)
    return stack.master(image, recipe.clip_sigma, unit="adu", scales=np.ones(len(frames)), levels=stack.medians())


def master_dark(
    frames: Sequence[CalibrationFrame],
    *,
    bias: Master,
    recipe: DarkRecipe | None = None,
    noise_adu: PerAmplifier | None = None,
    gain_e_per_adu: PerAmplifier | None = None,
    progress: Progress | None = None,
) -> Master:
    """Combine darks of one exposure.

    Parameters
    ----------
    frames : sequence of Frame or SeriesFrame
        Raw darks of one configuration and exposure, to 1 %: each is scaled to the mean of theirs.
    bias : Master
        Subtracted from each.
    recipe : DarkRecipe, optional
        Clip and fewest frames.
    noise_adu : float or mapping, optional
        Read noise of one frame in ADU RMS; taken from the bias's uncertainty if not given.
    gain_e_per_adu : float or mapping, optional
        Gain in e⁻/ADU, for the shot noise of the dark signal; that which two of the darks look like if not given.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    Master
        In ADU; 0 outside the amplifiers' data sections.

    Raises
    ------
    InsufficientDataError
        If there are too few frames, they differ in shape or exposure, or one has no exposure time.
    """
    recipe = recipe or DarkRecipe()
    exposures = np.array([exposure_time(frame) for frame in frames])
    stack = MasterStack.of("dark", frames, recipe.min_frames, bias=bias)
    if not same_exposure(exposures.min(), exposures.max()):
        shortest, longest = (frames[int(at(exposures))] for at in (np.argmin, np.argmax))
        raise InsufficientDataError(
            f"{shortest.path} was exposed for {exposures.min():g} s, {longest.path} for {exposures.max():g} s: "
            "make a master dark of each exposure, and of these the dark rate"
        )
    scales = exposures.mean() / exposures
    noise = stack.pixel_noise(noise_adu)
    if gain_e_per_adu is None:
        gain_e_per_adu = stack.apparent_gain(np.ones(len(frames)), stack.typical(), stack.inside, noise)
    image = combine(
        stack.images,
        clip_sigma=recipe.clip_sigma,
        scale=scales,
        noise=noise,
        scale_noise=True,
        gain_e_per_adu=stack.per_pixel(gain_e_per_adu),
        progress=progress,
        dtype=np.float32,
    )
    return stack.master(image, recipe.clip_sigma, unit="adu", scales=scales, levels=stack.medians())


def master_flat(
    frames: Sequence[CalibrationFrame],
    *,
    bias: Master,
    dark: Darks | None = None,
    recipe: FlatRecipe | None = None,
    noise_adu: PerAmplifier | None = None,
    gain_e_per_adu: PerAmplifier | None = None,
    progress: Progress | None = None,
) -> Master:
    """Combine flats of one filter into the response of each pixel.

    Each frame is scaled by the inverse of its level, then clipped: lamp drift
    and dim frames are no outliers. Where levels differ frames count by the inverse of their variance, read noise and
    photon noise of a pixel of mean light. The level is that of the illuminated region,
    found from the frames themselves (`illuminated_region`), or with
    ``recipe.scale = "median"`` the median of the whole frame.

    Parameters
    ----------
    frames : sequence of Frame or SeriesFrame
        Raw flats of one configuration and filter.
    bias : Master
        Subtracted from each.
    dark : Master or tuple of Master, optional
        Subtracted from each: of several that of its exposure, else a rate, times its exposure.
    recipe : FlatRecipe, optional
        Clip, fewest frames and scaling.
    noise_adu : float or mapping, optional
        Read noise of one frame in ADU RMS; taken from the bias's uncertainty if not given.
    gain_e_per_adu : float or mapping, optional
        Gain in e⁻/ADU, for the photon noise; that which two of the flats look like if not given.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    Master
        Without unit, mean 1 over the illuminated region; 1 outside the
        amplifiers' data sections; `MaskBit.UNLIT` below a response of 0.05, `MaskBit.SATURATED` where a
        frame is at the limit of its range, which is then left out of the mean.

    Raises
    ------
    InsufficientDataError
        If there are too few frames or they differ in shape.
    NoLightError
        If some have no light.
    """
    recipe = recipe or FlatRecipe()
    stack = MasterStack.of("flat", frames, recipe.min_frames, bias=bias, dark=dark)
    noise = stack.pixel_noise(noise_adu)
    reference = stack.typical()
    region = illuminated_region(reference, stack.inside)
    levels = stack.medians() if recipe.scale == "median" else stack.levels(reference, region)
    _require_light(frames, levels, float(np.mean(noise)), recipe)
    saturated = None
    if any(min(saturation_limits(frame)) < np.inf for frame in frames):
        saturated = stack.inside & ~np.isfinite(reference)
    if gain_e_per_adu is None:
        gain_e_per_adu = stack.apparent_gain(levels, reference, region, noise)
    del reference
    weights = _weights(levels, noise, gain_e_per_adu)
    image = combine(
        stack.images,
        clip_sigma=recipe.clip_sigma,
        scale=1 / levels,
        weights=weights,
        noise=noise,
        scale_noise=True,
        gain_e_per_adu=stack.per_pixel(gain_e_per_adu),
        progress=progress,
        dtype=np.float32,
    )
    norm = float(np.mean(image.value, where=region & np.isfinite(image.value), dtype=np.float64))
    for part in (image.value, image.uncertainty):
        np.divide(part, norm, out=part)
    return stack.master(
        image,
        recipe.clip_sigma,
        unit="",
        scales=1 / (levels * norm),
        levels=levels,
        weights=weights,
        saturated=saturated,
    )


def _weights(
    levels: npt.NDArray[np.float64], noise: npt.NDArray[np.float64], gain_e_per_adu: PerAmplifier | None
) -> npt.NDArray[np.float64]:
    """Return how much flats count, 1 in the mean: by one over the variance of a pixel of mean light.

    That is all the same where equal weights cost next to nothing, or where nothing is known of the photon noise.
    """
    gains = list(gain_e_per_adu.values()) if isinstance(gain_e_per_adu, Mapping) else [gain_e_per_adu]
    photons = [1 / gain for gain in gains if gain is not None]
    variances = float(np.mean(np.square(noise))) / levels**2 + np.mean(photons or [0.0]) / levels
    if not photons or variances.mean() * np.mean(1 / variances) <= 1 + EQUAL_WEIGHTS_COST:
        return np.ones_like(levels)
    return np.asarray(1 / variances / np.mean(1 / variances))


def illuminated_region(
    flat: npt.NDArray[np.floating], inside: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Find the pixels that the light reaches: those above half of the 99.9th percentile.

    Parameters
    ----------
    flat : ndarray, shape (rows, columns)
        A flat free of bias and cosmic rays.
    inside : ndarray of bool, shape (rows, columns), optional
        Where to look: the amplifiers' data sections.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        True in all of a uniform or vignetted dome flat, and on the bright
        traces of a spectrum that leaves most of the image dark.
    """
    inside = np.isfinite(flat) if inside is None else inside & np.isfinite(flat)
    if not inside.any():
        return inside
    some = some_rows(flat.shape)
    looked_at = flat[some][inside[some]] if inside[some].any() else flat[inside]
    threshold = ILLUMINATED_FRACTION * np.percentile(looked_at, BRIGHT_PERCENTILE)
    with np.errstate(invalid="ignore"):  # of pixels without a value
        return np.asarray(inside & (flat > threshold))


def _require_light(
    frames: Sequence[CalibrationFrame], levels: npt.NDArray[np.float64], noise: float, recipe: FlatRecipe
) -> None:
    what, advice = (
        ("median of the whole frame", 'use scale = "illuminated" for light that covers less than half of it')
        if recipe.scale == "median"
        else ("level of the illuminated region", "leave it out or expose longer")
    )
    reasons = {
        frame.path: f"the {what} is {level:.1f} ADU above the bias, not {LEAST_LIGHT:g} times its noise of "
        f"{noise:.1f} ADU, so that a flat cannot be scaled by it: {advice}"
        for frame, level in zip(frames, levels.tolist(), strict=True)
        if not level > LEAST_LIGHT * noise
    }
    if reasons:
        raise NoLightError(reasons)
