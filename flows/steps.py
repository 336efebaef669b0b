"""What is done to a calibration set: plain functions of ids, in one list.

Each step takes the open home and the id of its run, reads what it needs from the record and from
files, and records what it made; ids go out, never arrays. Nothing of a run shows before its release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ccdcore.errors import InsufficientDataError
from ccdcore.instrument import FrameType
from ccdcore.series import SeriesFrame, with_stand_ins
from db.records import finish_run, record_inputs, record_measurements
from db.results import NewMeasurement, RunInput
from db.runs import RunRow, get_run, run_masters, run_measurements
from db.sets import GainOnRecord, latest_gain
from flows.home import Home, now
from flows.inputs import inputs_of_run
from flows.measurements import (
    Conditions,
    bad_pixel_rows,
    conditions,
    doubt_about_gain,
    noise_rows,
    overscan_rows,
    transfer_rows,
)
from flows.pictures import draw_pictures
from flows.publishing import publish_mask, publish_master, reliable, stand_ins_of
from flows.reconcile import frames_of_set
from flows.references import refresh_references
from flows.trending import judge_trends
from flows.verification import GONE, require_unchanged, verify_inputs

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.masters import Master
    from ccdcore.noise import NoiseAnatomy
    from ccdcore.photon_transfer import PhotonTransfer


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a calibration.

    Parameters
    ----------
    name : str
        As the Prefect UI shows it.
    function : callable
        What it does.
    is_urgent : bool
        Whether somebody waits for it; else it leaves the processor to the runs of other sets.
    """

    name: str
    function: Callable[[Home, int], list[int]]
    is_urgent: bool = True


def judge_frames(home: Home, run_id: int) -> list[int]:
    """Put on record which frames of the set are used, and why others are left out."""
    from ccdcore.overscan import believed_overscans
    from ccdcore.series_health import judge_series

    with home.reading() as session:
        own, from_elsewhere = frames_of_set(session, home.settings, get_run(session, run_id).set_id)
    there, gone = _on_disk(home, [*own, *from_elsewhere])
    frames, _ = believed_overscans(there)
    kept, excluded = judge_series(with_stand_ins(frames))
    borrowed = {frame.sha256 for frame in from_elsewhere}
    reasons = dict.fromkeys((frame.sha256 for frame in gone), GONE)
    reasons |= {exclusion.frame.sha256: exclusion.reason for exclusion in excluded}
    inputs = [
        RunInput(
            role=str(frame.info.frame_type),
            sha256=frame.sha256,
            path=str(frame.path),
            excluded=reasons.get(frame.sha256),
            borrowed=frame.sha256 in borrowed,
        )
        for frame in (*kept, *(exclusion.frame for exclusion in excluded), *gone)
    ]
    with home.sessions.begin() as session:
        record_inputs(session, run_id=run_id, inputs=inputs)
    verify_inputs(home, run_id)
    return []


def _on_disk(home: Home, frames: Sequence[SeriesFrame]) -> tuple[list[SeriesFrame], list[SeriesFrame]]:
    """Part frames into those whose file is there, and those whose file is gone, as far as products can do without.

    Raises
    ------
    InsufficientDataError
        If too few of a type are left: earlier results, made of all, are then the better ones.
    """
    there = [frame for frame in frames if frame.path.exists()]
    gone = [frame for frame in frames if not frame.path.exists()]
    for kind in dict.fromkeys(frame.info.frame_type for frame in gone):
        lost = [frame for frame in gone if frame.info.frame_type is kind]
        left = sum(frame.info.frame_type is kind for frame in there)
        if left < min(left + len(lost), getattr(home.settings.recipes, kind).min_frames):
            raise InsufficientDataError(
                f"{len(lost)} of {left + len(lost)} {kind} frames are gone, for example {lost[0].path}: bring them "
                "back, then type ccdwatch retry with the ID of this run"
            )
    return there, gone


def measure(home: Home, run_id: int) -> list[int]:
    """Measure gain, read noise and the parts of the noise, of every amplifier."""
    from ccdcore.photon_transfer import measure_gain

    biases, flats = _used(home, run_id, FrameType.BIAS), _used(home, run_id, FrameType.FLAT)
    recipe = home.settings.recipes.gain
    try:
        results = measure_gain(biases, flats, method=recipe.method, region=recipe.region)
    except InsufficientDataError as error:
        _leave_out(home, run_id, "gain", [*biases, *flats], str(error))
        return []
    if all(result.gain_e_per_adu is None for result in results):
        for flat in flats:
            _leave_out(home, run_id, "gain", [flat], _why_no_gain(flat, results[0].notes))
    own = _used(home, run_id, FrameType.BIAS, borrowed=False)
    doubts = {result.amplifier: doubt_about_gain(result, biases, flats) for result in results}
    return _record_results(home, run_id, results, _noise(own, recipe.region), [*own, *flats], doubts)


def make_master_bias(home: Home, run_id: int) -> list[int]:
    """Combine the biases of the set."""
    from ccdcore.masters import master_bias

    recipe = home.settings.recipes.bias
    biases = _used(home, run_id, FrameType.BIAS, borrowed=False)
    if not _enough(home, run_id, "bias", biases, recipe.min_frames):
        return []
    master = master_bias(biases, recipe=recipe, noise_adu=_measured(home, run_id, "read_noise_adu"))
    return [publish_master(home, run_id, master, filter_name=None)]


def make_master_dark(home: Home, run_id: int) -> list[int]:
    """Combine the darks of the set, bias-subtracted and per second."""
    from ccdcore.masters import master_dark

    recipe = home.settings.recipes.dark
    darks = _used(home, run_id, FrameType.DARK)
    if not _enough(home, run_id, "dark", darks, recipe.min_frames):
        return []
    bias = _bias_for(home, run_id, "dark", darks)
    if bias is None:
        return []
    noise, gain = _measured(home, run_id, "read_noise_adu"), _measured(home, run_id, "gain")
    master = master_dark(darks, bias=bias, recipe=recipe, noise_adu=noise, gain_e_per_adu=gain)
    return [publish_master(home, run_id, master, filter_name=None, bias=bias)]


def make_master_flats(home: Home, run_id: int) -> list[int]:
    """Combine the flats of the set, one master a filter."""
    from ccdcore.masters import master_flat

    recipe = home.settings.recipes.flat
    groups: dict[str | None, list[SeriesFrame]] = {}
    for frame in _used(home, run_id, FrameType.FLAT):
        groups.setdefault(frame.info.filter, []).append(frame)
    made = []
    for filter_name, flats in groups.items():
        if not _enough(home, run_id, "flat", flats, recipe.min_frames):
            continue
        bias = _bias_for(home, run_id, "flat", flats)
        if bias is None:
            continue
        noise, gain = _measured(home, run_id, "read_noise_adu"), _measured(home, run_id, "gain")
        master = master_flat(flats, bias=bias, recipe=recipe, noise_adu=noise, gain_e_per_adu=gain)
        made.append(publish_master(home, run_id, master, filter_name=filter_name, bias=bias))
    return made


def make_bad_pixel_mask(home: Home, run_id: int) -> list[int]:
    """Find hot, dead, noisy and non-linear pixels by the masters of the run; count and mask them."""
    from ccdcore.bad_pixels import find_bad_pixels
    from ccdcore.master_file import read_master

    with home.reading() as session:
        rows = run_masters(session, run_id)
    noise = _measured(home, run_id, "read_noise_adu")
    masters = [read_master(home.path / row.path) for row in rows if row.verdict != "bad"]
    bias = next((one for one in masters if one.kind == "bias"), None)
    if bias is None or noise is None:
        return []
    flats = _used(home, run_id, FrameType.FLAT)
    biases = _used(home, run_id, FrameType.BIAS, borrowed=False)
    bad = find_bad_pixels(
        bias,
        amplifiers=biases[0].amplifiers,
        read_noise_adu=noise,
        dark=next((one for one in masters if one.kind == "dark"), None),
        flats=[one for one in masters if one.kind == "flat"],
        flat_frames=flats,
        step_adu=max(one.step for one in biases[0].statistics),
    )
    measurements = bad_pixel_rows(bad, conditions([*biases, *flats], now()))
    with home.sessions.begin() as session:
        record_measurements(session, run_id=run_id, measurements=measurements)
    return [publish_mask(home, run_id, bad)]


def release(home: Home, run_id: int) -> list[int]:
    """Show the run's results to users, in place of older ones of the same set."""
    require_unchanged(home, run_id)
    with home.sessions.begin() as session:
        finish_run(session, run_id=run_id, now=now())
    refresh_references(home)
    return [run_id]


STEPS = (
    Step("series health", judge_frames),
    Step("gain and read noise", measure),
    Step("master bias", make_master_bias),
    Step("master dark", make_master_dark),
    Step("master flat", make_master_flats),
    Step("bad pixels", make_bad_pixel_mask),
    Step("release", release),
    Step("pictures", draw_pictures, is_urgent=False),
    Step("trends", judge_trends, is_urgent=False),
)
"""What is done to a calibration set, in order: each a task for Prefect, a call for the local engine.

Pictures and trends come last: numbers do not wait for them.
"""


def _why_no_gain(flat: SeriesFrame, notes: Sequence[str]) -> str:
    """Return what a measurement without a gain says of one of its flats, else all it says."""
    about = [note for note in notes if flat.path.name in note]
    return "; ".join(about or notes) or "the flats form no pair"


def _used(home: Home, run_id: int, kind: FrameType, *, borrowed: bool = True) -> list[SeriesFrame]:
    with home.reading() as session:
        inputs = inputs_of_run(session, run_id).frames
    used = [one for one in inputs if one.role == kind and one.excluded is None]
    return [one.frame for one in used if borrowed or not one.borrowed]


def _leave_out(home: Home, run_id: int, product: str, frames: Sequence[SeriesFrame], reason: str) -> None:
    """Record that a product was not made of these frames, and why."""
    inputs = [
        RunInput(role=f"for {product}", sha256=frame.sha256, path=str(frame.path), excluded=reason) for frame in frames
    ]
    with home.sessions.begin() as session:
        record_inputs(session, run_id=run_id, inputs=inputs)


def _enough(home: Home, run_id: int, kind: str, frames: Sequence[SeriesFrame], fewest: int) -> bool:
    if frames and len(frames) < fewest:
        reason = f"no master {kind} of {len(frames)}: at least {fewest} are needed, see [recipes.{kind}] min_frames"
        _leave_out(home, run_id, f"master {kind}", frames, reason)
    return len(frames) >= fewest


def _bias_for(home: Home, run_id: int, kind: str, frames: Sequence[SeriesFrame]) -> Master | None:
    """Return the bias image to subtract: the run's own master, else one of the few or borrowed biases there are.

    None, and why on record, where there are none, or none of the temperature of the frames.
    """
    from ccdcore.master_file import read_master
    from ccdcore.masters import master_bias
    from ccdcore.series_health import temperature_gap

    biases = _used(home, run_id, FrameType.BIAS)
    if gap := temperature_gap(biases, frames):
        _leave_out(
            home, run_id, f"master {kind}", frames, f"no master {kind} with biases of another temperature: {gap}"
        )
        return None
    with home.reading() as session:
        own = next((row for row in run_masters(session, run_id) if row.kind == FrameType.BIAS), None)
    if own is not None:
        return read_master(home.path / own.path)
    if not biases:
        with home.reading() as session:
            configuration = get_run(session, run_id).configuration
        reach = home.settings.nights.reach_nights
        reason = f"no master {kind} without biases: none of {configuration} in this window or within {reach} nights"
        _leave_out(home, run_id, f"master {kind}", frames, reason)
        return None
    return master_bias(biases, recipe=home.settings.recipes.bias, noise_adu=_measured(home, run_id, "read_noise_adu"))


def _measured(home: Home, run_id: int, quantity: str) -> dict[str, float] | None:
    """Return what this run measured that masters may rely on, by amplifier; None where there is nothing."""
    with home.reading() as session:
        measured = reliable(home, run_measurements(session, run_id))
    return {row.amplifier: row.value for row in measured if row.quantity == quantity} or None


def _noise(biases: Sequence[SeriesFrame], region: str | None) -> tuple[NoiseAnatomy, ...]:
    """Take the noise of the set's own biases apart; nothing where there are no two that differ."""
    from ccdcore.noise import measure_noise

    try:
        return measure_noise(biases, region=region)
    except InsufficientDataError:
        return ()


def _record_results(
    home: Home,
    run_id: int,
    results: Sequence[PhotonTransfer],
    noises: Sequence[NoiseAnatomy],
    frames: Sequence[SeriesFrame],
    doubts: Mapping[str, str | None],
) -> list[int]:
    from ccdcore.noise import overscan_read_noise

    common, overscans = conditions(frames, now()), overscan_read_noise(frames)
    rows: list[NewMeasurement] = []
    with home.sessions.begin() as session:
        run, of_frames = get_run(session, run_id), _about_frames(session, run_id)
        for measured in results:
            doubt = doubts[measured.amplifier]
            result = replace(measured, notes=(*measured.notes, *of_frames, *filter(None, [doubt])))
            earlier = _earlier_gain(session, run, result, common)
            rows += transfer_rows(result, common, earlier=earlier, doubt=doubt)
            if result.amplifier in overscans:
                rows += overscan_rows(overscans[result.amplifier], result, common, earlier=earlier)
        rows += [row for anatomy in noises for row in noise_rows(anatomy, common)]
        return record_measurements(session, run_id=run_id, measurements=rows)


def _about_frames(session: Session, run_id: int) -> list[str]:
    """Return in words which biases were borrowed, which darks stand in for biases, and which overscan is none."""
    found = inputs_of_run(session, run_id)
    inputs = found.frames
    lent = [one for one in inputs if one.borrowed and one.excluded is None]
    dates = sorted({f"{one.frame.info.date_obs:%Y-%m-%d}" for one in lent if one.frame.info.date_obs})
    borrowed = f"biases borrowed from another window, of {', '.join(dates)}" if lent else None
    return [note for note in (borrowed, stand_ins_of(inputs), *found.remarks) if note]


def _earlier_gain(session: Session, run: RunRow, result: PhotonTransfer, common: Conditions) -> GainOnRecord | None:
    """Return the last gain on record where this result has none, so that its read noise has electrons too."""
    if result.gain_e_per_adu is not None:
        return None
    return latest_gain(
        session,
        instrument=run.instrument,
        configuration=run.configuration,
        amplifier=result.amplifier,
        before=common["observed_at"],
    )
