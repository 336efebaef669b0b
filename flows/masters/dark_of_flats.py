"""The dark signal in flats: what of it is taken off, and which pixels it spoils where that cannot be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, log
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.groups import (
    FrameGroup,
    deciding_temperature,
    distance_k,
    frame_groups,
    is_of_exposure,
    one_group,
    same_exposure,
)
from ccdcore.frames.series import is_long_dark
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import read_image
from ccdcore.io.stored_pixels import stored_planes
from ccdcore.masters.build import master_dark
from ccdcore.masters.file import read_master
from ccdcore.masters.hot_in_flats import dark_matters, spoilt_by_dark, too_bright
from ccdcore.mosaics.by_detector import like
from ccdcore.reduction.master import MaskBit
from ccdcore.text import listing
from db.runs.current import product_name
from db.runs.lacks import run_lacks
from db.runs.master_files import hot_pixels_on_record
from db.runs.masters import MasterRow, run_masters
from flows.masters.dark_rates import never_scaled
from flows.products.ingredients import biases_for, doubts_about, groups_of_run, noise_on_record, product_of
from flows.runs.run import Run

if TYPE_CHECKING:
    from ccdcore.cards.sections import Detector
    from ccdcore.masters.build import Master

_FEWEST_DARKS = 2
_NEAR_K = 2.0
"""So far darks may be from the temperature of flats, in kelvin."""


@dataclass(frozen=True, slots=True)
class DarkOfFlats:
    """What dark signal is taken off the flats of one filter, or spoils some pixels, and what is to be said of it.

    Parameters
    ----------
    masters : tuple of Master
        What is taken off each flat: that of its exposure, or a rate.
    unknown : str or None
        Why nothing is taken off some flats, in whose hot pixels it would matter; None where all is known.
    like_it : Master or None
        The dark of the nearest exposure, by which hot pixels are told where no dark of the camera can be scaled.
    doubts, notes : tuple of str
        What is wrong, and what else is to be said, in words.
    """

    masters: tuple[Master, ...] = ()
    unknown: str | None = None
    like_it: Master | None = None
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def dark_of_flats(run: Run, flats: Sequence[SeriesFrame], bias: Master) -> DarkOfFlats:
    """Return the dark signal to take off flats: that of darks of their exposures, else the rate where it matters."""
    by_exposure = frame_groups(flats, tolerance_k=inf, by_exposure=True)
    stand_ins = [one for one in biases_for(run, flats) if is_long_dark(one)]
    without = [one for one in by_exposure if not any(is_of_exposure(dark, one) for dark in stand_ins)]
    enough = [
        one
        for one in groups_of_run(run, FrameType.DARK, like(run.used(FrameType.DARK), flats))
        if one.exposure_s is not None and len(one.frames) >= _FEWEST_DARKS
    ]
    at = one_group(flats).temperature_c
    groups = sorted((one for one in enough if _is_near(one, flats)), key=lambda one: distance_k(one.group_c, at))
    nearest = [next((d for d in groups if same_exposure(d.exposure_s, one.exposure_s)), None) for one in without]
    own = [dark for dark in groups if any(dark is one for one in nearest)]
    # What a dark lacks of signal where darks stand in for biases, the flats lack as well.
    made = (_made(run, product_of(FrameType.DARK, dark)) for dark in own if not stand_ins)
    known = DarkOfFlats(
        tuple(_dark_of(run, dark, bias) for dark in own),
        doubts=tuple(doubts_about(filter(None, made))),
        notes=tuple(f"{len(dark.frames)} darks of {dark.exposure_s:.4g} s taken off" for dark in own),
    )
    others = [one for one in without if not any(same_exposure(dark.exposure_s, one.exposure_s) for dark in own)]
    exposures = listing([f"{one.exposure_s:.4g} s" for one in others if one.exposure_s is not None])
    if not others or (stand_ins and not exposures):
        return known
    if stand_ins:
        doubt = (
            f"the flats of {exposures} have no darks of their exposure, nor are there biases: what is taken off them "
            f"is that of {stand_ins[0].info.exposure_time_s:.4g} s"
        )
        return replace(known, doubts=(*known.doubts, doubt))
    if not exposures:
        return replace(known, unknown="their exposure is not known")
    if not groups:
        return replace(known, unknown="no darks of their temperature" if enough else "no darks")
    return _with_scaled(run, known, others, groups, bias)


def _with_scaled(
    run: Run,
    known: DarkOfFlats,
    flats: Sequence[FrameGroup],
    darks: Sequence[FrameGroup],
    bias: Master,
) -> DarkOfFlats:
    """Add the dark rate for flats without darks of their exposures, where it matters and the camera scales."""
    longest = max(darks, key=lambda one: one.exposure_s or 0.0)
    rate, why_not, doubts = _rate(run, longest, bias)
    exposures = listing([f"{one.exposure_s:.4g} s" for one in flats if one.exposure_s is not None])
    if why_not is not None:
        most_s = max(one.exposure_s or 0.0 for one in flats)
        nearest = min(darks, key=lambda one: abs(log((one.exposure_s or 1.0) / (most_s or 1.0))))
        like_it = _dark_of(run, nearest, bias).as_rate()
        return replace(known, unknown=f"no darks are scaled to the flats of {exposures} ({why_not})", like_it=like_it)
    light = [(one.exposure_s or 0.0, _light_of(one.frames, bias)) for one in flats]
    if not any(dark_matters(rate, seconds=seconds, light_adu=adu) for seconds, adu in light):
        return known
    shortest_s, longest_s = rate.exposure_range_s or (0.0, 0.0)
    of = f"{longest_s:.4g} s" if same_exposure(shortest_s, longest_s) else f"{shortest_s:.4g} s to {longest_s:.4g} s"
    note = f"darks of {of}, scaled, taken off the flats of {exposures}"
    return replace(known, masters=(*known.masters, rate), doubts=(*known.doubts, *doubts), notes=(*known.notes, note))


def _rate(run: Run, darks: FrameGroup, bias: Master) -> tuple[Master, str | None, tuple[str, ...]]:
    """Return the dark rate of the temperature of some darks, why it may not be used, and what is doubtful about it.

    It is that of the run, else that of darks too few for a master of their own.
    """
    product = product_name("darkrate", temperature_c=darks.named_c)
    if (made := _made(run, product)) is not None:
        rate = read_master(run.home.path / made.path, mapped=True, detector=darks.frames[0].detector)
        return rate, never_scaled(run, darks, rate), tuple(doubts_about([made]))
    with run.home.read_session() as session:
        lacks = [one.reason for one in run_lacks(session, run.id) if one.product == product]
    rate = _dark_of(run, darks, bias).as_rate()
    return rate, next(iter(lacks), never_scaled(run, darks, rate)), ()


def spoilt_pixels(
    run: Run, flats: Sequence[SeriesFrame], bias: Master, flat: Master, dark: DarkOfFlats
) -> tuple[npt.NDArray[np.bool_], str]:
    """Return the hot pixels of flats whose dark signal is not known: as a dark shows them, else the flats themselves.

    The image has the shape (rows, columns) of the master flat. The words say how many there are, and how they are
    known.
    """
    groups = frame_groups(flats, tolerance_k=inf, by_exposure=True)
    lit = [(one.exposure_s or 0.0, _light_of(one.frames, bias)) for one in groups]
    if dark.like_it is not None:
        hot = _spoilt(dark.like_it, lit) | too_bright(flat)
        where = f"hot in darks of {dark.like_it.exposure_s:.4g} s, or far brighter than those around them"
    elif (shown := _shown_on_record(run, flats, lit, flat)) is not None:
        # They may be from long ago, or from another temperature: others became hot since.
        hot, where = shown[0] | too_bright(flat), f"{shown[1]}, or far brighter than those around them"
    else:
        hot, where = too_bright(flat), "far brighter than those around them"
    return hot, f"{dark.unknown}: {hot.sum()} pixels are masked that are {where}"


def _shown_on_record(
    run: Run, flats: Sequence[SeriesFrame], lit: Sequence[tuple[float, float]], flat: Master
) -> tuple[npt.NDArray[np.bool_], str] | None:
    """Return the hot pixels that a master dark on record, or else a mask, shows, and in which; None of neither."""
    camera = run.row
    with run.home.read_session() as session:
        good = hot_pixels_on_record(session, camera.instrument, camera.configuration)
    at, detector = one_group(flats).temperature_c, next((one.detector for one in flats), None)
    for row in sorted(good, key=lambda row: (row.kind != "dark", distance_k(row.temperature_c, at), -row.id)):
        if row.kind == "dark":
            rate = read_master(run.home.path / row.path, mapped=True, detector=detector).as_rate()
            hot = _spoilt(rate, lit) if rate.unit == "adu/s" else None
        else:
            hot = (_mask(run.home.path / row.path, detector) & MaskBit.HOT.value) != 0
        if hot is not None and hot.shape == flat.value.shape:
            return hot, f"hot in {Path(row.path).name}"
    return None


def _mask(path: Path, detector: Detector | None) -> npt.NDArray[np.uint8]:
    """Return a mask of bad pixels, or its part of a detector."""
    if detector is None:
        return read_image(path)
    return stored_planes(path, path.open("rb"))[""].columns(detector.columns)


def _light_of(flats: Sequence[SeriesFrame], bias: Master) -> float:
    """Return the median level of flats above their bias, in ADU."""
    dark_level = median(entry.level_adu for entry in bias.inputs)
    return median(one.level - (one.overscan_level or 0.0) for flat in flats for one in flat.statistics) - dark_level


def _spoilt(rate: Master, lit: Sequence[tuple[float, float]]) -> npt.NDArray[np.bool_]:
    """Return the pixels whose dark signal is too much of the light of any flats: their seconds, and their ADU."""
    found = [spoilt_by_dark(rate, seconds=seconds, light_adu=light) for seconds, light in lit]
    return np.asarray(np.logical_or.reduce(found))


def _is_near(group: FrameGroup, frames: Sequence[SeriesFrame]) -> bool:
    """Whether darks are of the temperature of all flats, as far as both are known."""
    known = [t for one in frames if (t := deciding_temperature(one.info)) is not None]
    return group.temperature_c is None or all(distance_k(group.temperature_c, at) <= _NEAR_K for at in known)


def _dark_of(run: Run, group: FrameGroup, bias: Master) -> Master:
    """Return the master of some darks: the run's own, or one of a few that make none."""
    if (made := _made(run, product_of(FrameType.DARK, group))) is not None:
        return read_master(run.home.path / made.path, mapped=True, detector=group.frames[0].detector)
    noise, recipe = noise_on_record(run, group.frames), replace(run.home.settings.recipes.dark, min_frames=1)
    return master_dark(
        group.frames,
        bias=bias,
        recipe=recipe,
        noise_adu=noise.read_noise_adu,
        gain_e_per_adu=noise.gain_e_per_adu,
    )


def _made(run: Run, product: str) -> MasterRow | None:
    """Return a master of the run; None where it made none of this name."""
    with run.home.read_session() as session:
        return next((one for one in run_masters(session, run.id) if one.product == product), None)
