"""What masters are made of: frames in groups, the bias image that is subtracted, and the noise that is expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.groups import (
    FrameGroup,
    frame_groups,
    nearest_group,
    with_labels,
)
from ccdcore.frames.series import is_long_dark
from ccdcore.frames.series_health import temperature_gap
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias
from ccdcore.masters.file import read_master
from ccdcore.quantities import label_of
from db.champions import temperatures_on_record
from db.runs.current import product_name
from db.runs.masters import MasterRow, run_masters
from db.runs.measurements import MeasurementRow, earlier_values, run_measurements
from db.runs.runs import get_run
from flows.home.home import Home
from flows.home.processes import now
from flows.products.measurements import conditions
from flows.runs.inputs import used_frames

if TYPE_CHECKING:
    from ccdcore.masters.build import Master

_FEWEST_BIASES = 2


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


def dark_in_bias(home: Home, run_id: int, darks: FrameGroup) -> list[str]:
    """Say that a master dark lacks what its bias holds of dark signal, where darks stand in for biases."""
    held = dark_seconds_in_bias(home, run_id, darks)
    if not held or not darks.exposure_s:
        return []
    return [
        f"no biases: its signal is that of {darks.exposure_s - held:.4g} s, since darks of {held:.4g} s are taken off"
    ]


def dark_seconds_in_bias(home: Home, run_id: int, darks: FrameGroup) -> float:
    """Return the exposure of what is taken off darks, in seconds: 0 of biases."""
    stand_ins = [one for one in biases_for(home, run_id, darks.frames) if is_long_dark(one)]
    return max((one.info.exposure_time_s or 0.0 for one in stand_ins), default=0.0)


def doubts_about(masters: Iterable[MasterRow]) -> list[str]:
    """Say what is wrong with masters of a run that another is made with."""
    said = []
    for one in masters:
        if one.verdict != "ok":
            said.append(f"its {one.product} is {one.verdict}: {one.remark}")
        elif not one.certified:
            said.append(f"its {one.product} is not certified: {one.certified_reason}")
    return said


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
