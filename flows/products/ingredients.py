"""What masters are made of: frames in groups, the bias image that is subtracted, and the noise that is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.groups import (
    FrameGroup,
    distance_k,
    frame_groups,
    is_of_exposure,
    nearest_group,
    one_group,
    same_exposure,
    with_labels,
)
from ccdcore.frames.series import is_long_dark
from ccdcore.frames.series_health import temperature_gap
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import read_image
from ccdcore.masters.build import master_bias, master_dark
from ccdcore.masters.file import read_master
from ccdcore.masters.hot_in_flats import dark_matters, spoilt_by_dark, too_bright
from ccdcore.quantities import label_of
from ccdcore.reduction.master import MaskBit
from ccdcore.text import listing
from db.champions import temperatures_on_record
from db.runs.current import product_name
from db.runs.masters import MasterRow, list_masters, run_masters
from db.runs.measurements import MeasurementRow, earlier_values, run_measurements
from db.runs.runs import get_run
from flows.home.home import Home
from flows.home.processes import now
from flows.products.measurements import conditions
from flows.runs.inputs import used_frames

if TYPE_CHECKING:
    from ccdcore.masters.build import Master

_FEWEST_BIASES = 2
_FEWEST_DARKS = 2
_NEAR_K = 2.0
"""So far darks may be from the temperature of flats, in kelvin."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What noise is expected of the frames of a master, by amplifier; None where nothing is known.

    ``notes`` say where it was measured, if not in the same run.
    """

    read_noise_adu: Mapping[str, float] | None = None
    gain_e_per_adu: Mapping[str, float] | None = None
    gain_uncertainty: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def groups_of_run(home: Home, run_id: int, kind: FrameType, frames: Sequence[SeriesFrame]) -> Sequence[FrameGroup]:
    """Part biases or darks of a run into those of one master each, which go by what is on record of other nights."""
    recipe = home.settings.recipes.dark if kind is FrameType.DARK else home.settings.recipes.bias
    tolerance_k = recipe.temperature_tolerance_k
    groups = frame_groups(frames, tolerance_k=tolerance_k, by_exposure=kind is FrameType.DARK)
    with home.read_session() as session:
        run = get_run(session, run_id)
        known = temperatures_on_record(
            session, instrument=run.instrument, kind=kind, configuration=run.configuration, but_of_run=run_id
        )
    return with_labels(groups, known, tolerance_k=tolerance_k)


def product_of(kind: FrameType, group: FrameGroup) -> str:
    """Return what the master of a group is called."""
    if kind is FrameType.FLAT:
        return product_name(kind, group.frames[0].info.filter)
    exposure_s = group.exposure_s if kind is FrameType.DARK else None
    return product_name(kind, exposure_s=exposure_s, temperature_c=group.named_c)


def bias_for(home: Home, run_id: int, kind: str, frames: Sequence[SeriesFrame]) -> Master:
    """Return the bias image to subtract: the run's own master, else one of the few or borrowed biases there are.

    Of several temperatures it is the nearest.

    Raises
    ------
    InsufficientDataError
        If there are none, or none of the temperature of the frames.
    """
    biases = biases_for(home, run_id, frames)
    if gap := temperature_gap(biases, frames):
        raise InsufficientDataError(f"no master {kind} with biases of another temperature: {gap}")
    if (own := master_bias_for(home, run_id, frames)) is not None:
        return read_master(home.path / own.path)
    if not biases:
        with home.read_session() as session:
            configuration = get_run(session, run_id).configuration
        reach = home.settings.nights.reach_nights
        raise InsufficientDataError(
            f"no master {kind} without biases: none of {configuration} in this window or within {reach} nights"
        )
    recipe = replace(home.settings.recipes.bias, min_frames=1)
    noise = measured(home, run_id, "read_noise_adu") or {one.amplifier: one.noise for one in biases[0].statistics}
    return master_bias(biases, recipe=recipe, noise_adu=noise)


def biases_for(home: Home, run_id: int, frames: Sequence[SeriesFrame]) -> list[SeriesFrame]:
    """Return the biases of a run, own or borrowed, of the temperature that is nearest to that of some frames."""
    biases = used_frames(home, run_id, FrameType.BIAS)
    groups = frame_groups(biases, tolerance_k=home.settings.recipes.bias.temperature_tolerance_k, by_exposure=False)
    enough = [one for one in groups if len(one.frames) >= _FEWEST_BIASES] or groups
    return list(nearest_group(enough, frames).frames) if enough else []


def master_bias_for(home: Home, run_id: int, frames: Sequence[SeriesFrame]) -> MasterRow | None:
    """Return the run's own master bias, of several the one whose temperature is nearest to that of some frames."""
    with home.read_session() as session:
        own = [row for row in run_masters(session, run_id) if row.kind == FrameType.BIAS]
    groups = {FrameGroup((), group_c=row.group_c): row for row in own}
    return groups[nearest_group(list(groups), frames)] if groups else None


@dataclass(frozen=True, slots=True)
class DarkOfFlats:
    """What dark signal is taken off the flats of one filter, or spoils some pixels, and what is to be said of it.

    Parameters
    ----------
    masters : tuple of Master
        What is taken off each flat: that of its exposure, or a rate.
    is_known : bool
        Whether anything is known of the dark signal in all flats.
    doubts, notes : tuple of str
        What is wrong, and what else is to be said, in words.
    """

    masters: tuple[Master, ...] = ()
    is_known: bool = True
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def dark_of_flats(home: Home, run_id: int, flats: Sequence[SeriesFrame], bias: Master) -> DarkOfFlats:
    """Return the dark signal to take off flats: that of darks of their exposures, else of others where it matters."""
    by_exposure = frame_groups(flats, tolerance_k=inf, by_exposure=True)
    stand_ins = [one for one in biases_for(home, run_id, flats) if is_long_dark(one)]
    without = [one for one in by_exposure if not any(is_of_exposure(dark, one) for dark in stand_ins)]
    groups = [
        one
        for one in groups_of_run(home, run_id, FrameType.DARK, used_frames(home, run_id, FrameType.DARK))
        if one.exposure_s is not None and len(one.frames) >= _FEWEST_DARKS and _is_near(one, flats)
    ]
    own = [dark for dark in groups if any(same_exposure(dark.exposure_s, one.exposure_s) for one in without)]
    masters = [_dark_of(home, run_id, dark, bias) for dark in own]
    notes = [f"{len(dark.frames)} darks of {dark.exposure_s:.4g} s taken off" for dark in own]
    others = [one for one in without if not any(same_exposure(dark.exposure_s, one.exposure_s) for dark in own)]
    exposures = listing([f"{one.exposure_s:.4g} s" for one in others if one.exposure_s is not None])
    if not others or (stand_ins and not exposures):
        return DarkOfFlats(tuple(masters), notes=tuple(notes))
    if stand_ins:
        doubt = (
            f"the flats of {exposures} have no darks of their exposure, nor are there biases: what is taken off them "
            f"is that of {stand_ins[0].info.exposure_time_s:.4g} s"
        )
        return DarkOfFlats(tuple(masters), doubts=(doubt,), notes=tuple(notes))
    if not groups or not exposures:
        return DarkOfFlats(tuple(masters), is_known=False, notes=tuple(notes))
    longest = max(groups, key=lambda one: one.exposure_s or 0.0)
    rate = _dark_of(home, run_id, longest, bias).as_rate()
    if any(dark_matters(rate, seconds=one.exposure_s or 0.0, light_adu=light_of(one.frames, bias)) for one in others):
        masters.append(rate)
        notes.append(f"darks of {longest.exposure_s:.4g} s, scaled, taken off the flats of {exposures}")
    return DarkOfFlats(tuple(masters), notes=tuple(notes))


def dark_in_bias(home: Home, run_id: int, darks: FrameGroup) -> list[str]:
    """Say that a master dark lacks what its bias holds of dark signal, where darks stand in for biases."""
    held = max(
        (one.info.exposure_time_s or 0.0 for one in biases_for(home, run_id, darks.frames) if is_long_dark(one)),
        default=0.0,
    )
    if not held or not darks.exposure_s:
        return []
    return [
        f"no biases: its signal is that of {darks.exposure_s - held:.4g} s, since darks of {held:.4g} s are taken off"
    ]


def light_of(flats: Sequence[SeriesFrame], bias: Master) -> float:
    """Return the median level of flats above their bias, in ADU."""
    dark_level = median(entry.level_adu for entry in bias.inputs)
    return median(one.level - (one.overscan_level or 0.0) for flat in flats for one in flat.statistics) - dark_level


def spoilt_pixels(
    home: Home, run_id: int, flats: Sequence[SeriesFrame], bias: Master, master: Master
) -> tuple[npt.NDArray[np.bool_], str]:
    """Return the hot pixels of flats that have no darks: as a master on record shows them, else the flats themselves.

    The image has the shape (rows, columns) of the master. The words say how many there are, and how they are known.
    """
    with home.read_session() as session:
        run = get_run(session, run_id)
        good = [
            row
            for row in list_masters(session, instrument=run.instrument)
            if row.verdict != "bad" and row.configuration == run.configuration and row.kind in ("dark", "mask")
        ]
    groups = frame_groups(flats, tolerance_k=inf, by_exposure=True)
    at = one_group(flats).temperature_c
    for row in sorted(good, key=lambda row: (row.kind != "dark", distance_k(row.temperature_c, at), -row.master_id)):
        if row.kind == "dark":
            rate = read_master(home.path / row.path).as_rate()
            if rate.unit != "adu/s" or rate.value.shape != master.value.shape:
                continue
            lit = [(one.exposure_s or 0.0, light_of(one.frames, bias)) for one in groups]
            found = [spoilt_by_dark(rate, seconds=seconds, light_adu=light) for seconds, light in lit]
            hot = np.logical_or.reduce(found)
        else:
            hot = (read_image(home.path / row.path) & MaskBit.HOT) != 0
            if hot.shape != master.value.shape:
                continue
        return hot, f"no darks: {hot.sum()} pixels are masked that are hot in {Path(row.path).name}"
    hot = too_bright(master)
    return hot, f"no darks: {hot.sum()} pixels are masked that are far brighter than those around them"


def _is_near(group: FrameGroup, frames: Sequence[SeriesFrame]) -> bool:
    """Whether darks are of the temperature of flats, as far as both are known."""
    at = one_group(frames).temperature_c
    return at is None or group.temperature_c is None or distance_k(group.temperature_c, at) <= _NEAR_K


def _dark_of(home: Home, run_id: int, group: FrameGroup, bias: Master) -> Master:
    """Return the master of some darks: the run's own, or one of a few that make none."""
    product = product_of(FrameType.DARK, group)
    with home.read_session() as session:
        made = next((one for one in run_masters(session, run_id) if one.product == product), None)
    if made is not None:
        return read_master(home.path / made.path)
    noise, recipe = noise_on_record(home, run_id, group.frames), replace(home.settings.recipes.dark, min_frames=1)
    return master_dark(
        group.frames,
        bias=bias,
        recipe=recipe,
        noise_adu=noise.read_noise_adu,
        gain_e_per_adu=noise.gain_e_per_adu,
    )


def measured(home: Home, run_id: int, quantity: str) -> dict[str, float] | None:
    """Return what this run measured that masters may rely on, by amplifier; None where there is nothing."""
    with home.read_session() as session:
        rows = reliable(home, run_measurements(session, run_id))
    return {row.amplifier: row.value for row in rows if row.quantity == quantity} or None


def reliable(home: Home, measured: list[MeasurementRow]) -> list[MeasurementRow]:
    """Return the measurements that masters may rely on: not those of the textbook pair, which one cosmic ray spoils."""
    return [] if home.settings.recipes.gain.method == "pair" else measured


def noise_of_run(home: Home, run_id: int) -> Noise:
    """Return the noise that the run measured itself."""
    return Noise(measured(home, run_id, "read_noise_adu"), measured(home, run_id, "gain"))


def noise_on_record(home: Home, run_id: int, frames: Sequence[SeriesFrame]) -> Noise:
    """Return the noise that the run measured, or else the last good values on record before some frames."""
    read_noise, notes = _or_on_record(home, run_id, frames, "read_noise_adu")
    gain, more = _or_on_record(home, run_id, frames, "gain")
    return Noise(
        {name: value for name, (value, _) in read_noise.items()} or None,
        {name: value for name, (value, _) in gain.items()} or None,
        {name: uncertainty for name, (_, uncertainty) in gain.items() if uncertainty is not None},
        (*notes, *more),
    )


def _or_on_record(
    home: Home, run_id: int, frames: Sequence[SeriesFrame], quantity: str
) -> tuple[Mapping[str, tuple[float, float | None]], tuple[str, ...]]:
    """Return values of this run, or the last good ones on record where an amplifier has none; and where from."""
    notes: dict[str, None] = {}
    with home.read_session() as session:
        run = get_run(session, run_id)
        rows = reliable(home, run_measurements(session, run_id))
        found = {row.amplifier: (row.value, row.uncertainty) for row in rows if row.quantity == quantity}
        for amplifier in (one.name for one in frames[0].amplifiers if one.name not in found):
            earlier = earlier_values(
                session,
                quantity=quantity,
                instrument=run.instrument,
                configuration=run.configuration,
                amplifier=amplifier,
                before=conditions(frames, now())["observed_at"],
                most=1,
                only_good=True,
            )
            for one in earlier:
                found[amplifier] = one.value, one.uncertainty
                notes[f"{label_of(quantity)} of {one.observed_at:%Y-%m-%d} (measurement {one.measurement_id})"] = None
    return found, tuple(notes)


def require_enough(product: str, kind: FrameType, frames: Sequence[SeriesFrame], fewest: int) -> None:
    """Look whether there are frames enough to make a master of.

    Raises
    ------
    InsufficientDataError
        If there are too few.
    """
    if len(frames) < fewest:
        raise InsufficientDataError(
            f"no {product}: at least {fewest} are needed, {len(frames)} usable; see [recipes.{kind}] min_frames"
        )
