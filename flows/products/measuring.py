"""Gain, read noise and the parts of the noise of a set, put on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.file import read_master
from ccdcore.masters.response_scatter import response_scatter
from ccdcore.mosaics.by_detector import Found, by_detector
from ccdcore.noise.anatomy import measure_noise, overscan_read_noise
from ccdcore.photon_transfer.measure import measure_gain
from db.runs.masters import run_masters
from db.runs.measurements import NewMeasurement, ValueOnRecord, earlier_values
from db.runs.runs import RunRow
from flows.home.processes import now
from flows.products.ingredients import biases_for
from flows.products.measurements import (
    Conditions,
    conditions,
    doubt_about_gain,
    noise_rows,
    overscan_rows,
    response_rows,
    transfer_rows,
)
from flows.products.publish import stand_ins_of
from flows.runs.lacks import in_short, leave_out, producing, put_lack
from flows.runs.run import Inputs, Run

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from ccdcore.noise.anatomy import Estimate, NoiseAnatomy
    from ccdcore.photon_transfer.measure import PhotonTransfer

_HELD_AGAINST = 5
"""Earlier gains that one is compared with."""


def measure(run: Run) -> list[int]:
    """Measure gain, read noise and the parts of the noise, of every amplifier."""
    flats = run.used(FrameType.FLAT)
    biases = biases_for(run, flats)
    lent = {one.sha256 for one in run.used(FrameType.BIAS)}
    lent -= {one.sha256 for one in run.used(FrameType.BIAS, borrowed=False)}
    own = [one for one in biases if one.sha256 not in lent]
    if not biases and not flats:
        return []
    recipe = run.home.settings.recipes.gain
    results: Sequence[PhotonTransfer] = ()
    noises: Sequence[NoiseAnatomy] = ()
    gain, parts = partial(measure_gain, method=recipe.method, region=recipe.region), by_detector
    if recipe.region is not None:  # it is one of the whole frame
        parts = _whole
    lacks: dict[str, str] = {}
    with producing(run, "gain" if flats else "read noise", [*biases, *flats]):
        results = parts(gain, biases, flats, lacks=lacks)
        _say_what_lacks(run, results, biases, flats, lacks)
    if not results and flats and len(biases) > 1:
        with producing(run, "read noise", biases):
            results = parts(gain, biases, [])
    if own:
        with producing(run, "parts of the noise"):
            noises = parts(partial(measure_noise, region=recipe.region), own)
    return _record_results(run, results, noises, biases, [*own, *flats])


def measure_response(run: Run) -> list[int]:
    """Measure how much the response of pixels scatters, of every amplifier and in the light of every filter."""
    with run.home.read_session() as session:
        masters = [row for row in run_masters(session, run.id) if row.kind == FrameType.FLAT and row.verdict != "bad"]
    flats = run.used(FrameType.FLAT)
    rows: list[NewMeasurement] = []
    for row in masters:
        with producing(run, "response of pixels"):
            of_filter = [one for one in flats if one.info.filter == row.filter]
            each = by_detector(partial(_responses, run.home.path / row.path), of_filter[:1])
            known = {name: estimate for name, estimate in each if estimate is not None}
            rows += response_rows(known, row.filter, row.n_combined, conditions(of_filter, now()))
    return run.put_measurements(rows)


def _responses(path: Path, flats: Sequence[SeriesFrame]) -> list[tuple[str, Estimate | None]]:
    """Return how much the response of each amplifier of a frame scatters in a master flat."""
    detector = flats[0].detector
    master = read_master(path, mapped=True, detector=detector)
    return [(one.name, response_scatter(master, one)) for one in flats[0].amplifiers]


def _whole(measure: Callable[..., Sequence[Found]], *series: Sequence[SeriesFrame], **_: object) -> tuple[Found, ...]:
    return tuple(measure(*series))


def _say_what_lacks(
    run: Run,
    results: Sequence[PhotonTransfer],
    biases: Sequence[SeriesFrame],
    flats: Sequence[SeriesFrame],
    lacks: Mapping[str, str],
) -> None:
    """Put on record which amplifiers have no gain, or nothing at all, and why."""
    notes = dict.fromkeys(note for result in results for note in result.notes)
    measured = {result.amplifier for result in results}
    for amplifier in (biases or flats)[0].amplifiers:
        if amplifier.name not in measured and run.home.settings.recipes.gain.region is None:
            about = [note for note in notes if note.startswith(f"amplifier {amplifier.name} ")]
            about += filter(None, [lacks.get(amplifier.name)])
            put_lack(run, f"gain and read noise of amplifier {amplifier.name}", in_short(about))
    if not flats:
        return
    without = [result for result in results if result.gain_e_per_adu is None]
    if len(without) < len(results):
        for result in without:
            put_lack(run, f"gain of amplifier {result.amplifier}", in_short(why_no_gain(result)))
        return
    for flat in flats:
        about = [note for note in notes if flat.path.name in note]
        leave_out(run, "gain", [flat], in_short(about or why_no_gain(results[0])))
    put_lack(run, "gain", in_short(why_no_gain(results[0])))


def why_no_gain(result: PhotonTransfer) -> tuple[str, ...]:
    """Return what speaks against a gain: what withheld it first, then what was left out."""
    return (*result.doubts, *result.bias_doubts, *result.notes)


def _record_results(
    run: Run,
    results: Sequence[PhotonTransfer],
    noises: Sequence[NoiseAnatomy],
    biases: Sequence[SeriesFrame],
    frames: Sequence[SeriesFrame],
) -> list[int]:
    if not results and not noises:
        return []
    common, overscans = conditions(frames, now()), overscan_read_noise(frames)
    are_borrowed = not {one.sha256 for one in biases} & {one.sha256 for one in frames}
    flats = [frame for frame in frames if frame.info.frame_type is FrameType.FLAT]
    rows: list[NewMeasurement] = []
    of_frames = _about_frames(run.inputs)
    with run.home.read_session() as session:
        for measured in results:
            with producing(run, f"gain and read noise of amplifier {measured.amplifier}"):
                before = _earlier_gains(session, run.row, measured, common)
                doubt = doubt_about_gain(measured, biases, flats, before)
                result = replace(measured, notes=(*measured.notes, *of_frames, *filter(None, [doubt])))
                earlier = before[0] if before and result.gain_e_per_adu is None else None
                rows += transfer_rows(result, common, earlier=earlier, doubt=doubt, are_borrowed=are_borrowed)
                if result.amplifier in overscans:
                    rows += overscan_rows(overscans[result.amplifier], result, common, earlier=earlier)
        for anatomy in noises:
            with producing(run, f"parts of the noise of amplifier {anatomy.amplifier}"):
                rows += noise_rows(anatomy, common)
    return run.put_measurements(rows)


def _about_frames(found: Inputs) -> list[str]:
    """Return in words which biases were borrowed, which darks stand in for biases, and which overscan is none."""
    inputs = found.frames
    lent = [one for one in inputs if one.borrowed and one.excluded is None]
    dates = sorted({f"{one.frame.info.date_obs:%Y-%m-%d}" for one in lent if one.frame.info.date_obs})
    borrowed = f"biases borrowed from another window, of {', '.join(dates)}" if lent else None
    return [note for note in (borrowed, stand_ins_of(inputs), *found.remarks) if note]


def _earlier_gains(
    session: Session, run: RunRow, result: PhotonTransfer, common: Conditions
) -> Sequence[ValueOnRecord]:
    """Return the last gains on record: what gives electrons where there is none now, and what one is held against."""
    return earlier_values(
        session,
        quantity="gain",
        instrument=run.instrument,
        configuration=run.configuration,
        amplifier=result.amplifier,
        before=common["observed_at"],
        most=_HELD_AGAINST,
    )
