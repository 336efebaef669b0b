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
from ccdcore.mosaics.by_detector import like
from ccdcore.quantities import label_of
from db.champions import temperatures_on_record
from db.runs.current import product_name
from db.runs.masters import MasterRow, run_masters
from db.runs.measurements import MeasurementRow, earlier_values
from flows.home.home import Home
from flows.home.processes import now
from flows.products.measurements import conditions
from flows.runs.run import Run

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


def groups_of_run(run: Run, kind: FrameType, frames: Sequence[SeriesFrame]) -> Sequence[FrameGroup]:
    """Part biases or darks of a run into those of one master each, which go by what is on record of other nights."""
    recipe = run.home.settings.recipes.dark if kind is FrameType.DARK else run.home.settings.recipes.bias
    tolerance_k = recipe.temperature_tolerance_k
    groups = frame_groups(frames, tolerance_k=tolerance_k, by_exposure=kind is FrameType.DARK)
    camera = run.row
    with run.home.read_session() as session:
        known = temperatures_on_record(
            session, instrument=camera.instrument, kind=kind, configuration=camera.configuration, but_of_run=run.id
        )
    return with_labels(groups, known, tolerance_k=tolerance_k)


def product_of(kind: FrameType, group: FrameGroup) -> str:
    """Return what the master of a group is called."""
    if kind is FrameType.FLAT:
        return product_name(kind, group.frames[0].info.filter)
    exposure_s = group.exposure_s if kind is FrameType.DARK else None
    return product_name(kind, exposure_s=exposure_s, temperature_c=group.named_c)


def bias_for(run: Run, kind: str, frames: Sequence[SeriesFrame]) -> Master:
    """Return the bias image to subtract: the run's own master, else one of the few or borrowed biases there are.

    Of several temperatures it is the nearest.

    Raises
    ------
    InsufficientDataError
        If there are none, or none of the temperature of the frames.
    """
    biases = biases_for(run, frames)
    if gap := temperature_gap(biases, frames):
        raise InsufficientDataError(f"no master {kind} with biases of another temperature: {gap}")
    if (own := master_bias_for(run, frames)) is not None:
        return read_master(run.home.path / own.path, mapped=True, detector=frames[0].detector)
    if not biases:
        reach = run.home.settings.nights.reach_nights
        raise InsufficientDataError(
            f"no master {kind} without biases: none of {run.row.configuration} in this window or within {reach} nights"
        )
    recipe = replace(run.home.settings.recipes.bias, min_frames=1)
    noise = measured(run, "read_noise_adu", biases) or {one.amplifier: one.noise for one in biases[0].statistics}
    return master_bias(biases, recipe=recipe, noise_adu=noise)


def biases_for(run: Run, frames: Sequence[SeriesFrame]) -> list[SeriesFrame]:
    """Return the biases of a run, own or borrowed, of the temperature that is nearest to that of some frames."""
    biases = like(run.used(FrameType.BIAS), frames)
    groups = frame_groups(biases, tolerance_k=run.home.settings.recipes.bias.temperature_tolerance_k, by_exposure=False)
    enough = [one for one in groups if len(one.frames) >= _FEWEST_BIASES] or groups
    return list(nearest_group(enough, frames).frames) if enough else []


def master_bias_for(run: Run, frames: Sequence[SeriesFrame]) -> MasterRow | None:
    """Return the run's own master bias, of several the one whose temperature is nearest to that of some frames."""
    with run.home.read_session() as session:
        own = [row for row in run_masters(session, run.id) if row.kind == FrameType.BIAS]
    groups = {FrameGroup((), group_c=row.group_c): row for row in own}
    return groups[nearest_group(list(groups), frames)] if groups else None


def dark_in_bias(run: Run, darks: FrameGroup) -> list[str]:
    """Say that a master dark lacks what its bias holds of dark signal, where darks stand in for biases."""
    held = dark_seconds_in_bias(run, darks)
    if not held or not darks.exposure_s:
        return []
    return [
        f"no biases: its signal is that of {darks.exposure_s - held:.4g} s, since darks of {held:.4g} s are taken off"
    ]


def dark_seconds_in_bias(run: Run, darks: FrameGroup) -> float:
    """Return the exposure of what is taken off darks, in seconds: 0 of biases."""
    stand_ins = [one for one in biases_for(run, darks.frames) if is_long_dark(one)]
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


def measured(run: Run, quantity: str, frames: Sequence[SeriesFrame] = ()) -> dict[str, float] | None:
    """Return what this run measured that masters may rely on, by amplifier; None where there is nothing.

    Of frames that are parts of a detector it is that of their amplifiers.
    """
    rows = reliable(run.home, run.measured)
    found = {row.amplifier: row.value for row in rows if row.quantity == quantity}
    if frames and frames[0].detector is not None:
        found = {one.name: found[one.name] for one in frames[0].amplifiers if one.name in found}
    return found or None


def reliable(home: Home, measured: list[MeasurementRow]) -> list[MeasurementRow]:
    """Return the measurements that masters may rely on: not those of the textbook pair, which one cosmic ray spoils."""
    return [] if home.settings.recipes.gain.method == "pair" else measured


def noise_of_run(run: Run, frames: Sequence[SeriesFrame]) -> Noise:
    """Return the noise that the run measured itself, of the amplifiers of some frames."""
    return Noise(measured(run, "read_noise_adu", frames), measured(run, "gain", frames))


def noise_on_record(run: Run, frames: Sequence[SeriesFrame]) -> Noise:
    """Return the noise that the run measured, or else the last good values on record before some frames."""
    read_noise, notes = _or_on_record(run, frames, "read_noise_adu")
    gain, more = _or_on_record(run, frames, "gain")
    return Noise(
        {name: value for name, (value, _) in read_noise.items()} or None,
        {name: value for name, (value, _) in gain.items()} or None,
        {name: uncertainty for name, (_, uncertainty) in gain.items() if uncertainty is not None},
        (*notes, *more),
    )


def _or_on_record(
    run: Run, frames: Sequence[SeriesFrame], quantity: str
) -> tuple[Mapping[str, tuple[float, float | None]], tuple[str, ...]]:
    """Return values of this run, or the last good ones on record where an amplifier has none; and where from."""
    notes: dict[str, None] = {}
    rows, camera = reliable(run.home, run.measured), run.row
    with run.home.read_session() as session:
        found = {row.amplifier: (row.value, row.uncertainty) for row in rows if row.quantity == quantity}
        for amplifier in (one.name for one in frames[0].amplifiers if one.name not in found):
            earlier = earlier_values(
                session,
                quantity=quantity,
                instrument=camera.instrument,
                configuration=camera.configuration,
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
