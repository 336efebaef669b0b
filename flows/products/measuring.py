"""Gain, read noise and the parts of the noise of a set, put on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.file import read_master
from ccdcore.masters.response_scatter import response_scatter
from ccdcore.noise.anatomy import measure_noise, overscan_read_noise
from ccdcore.photon_transfer.measure import measure_gain
from db.runs.masters import run_masters
from db.runs.measurements import NewMeasurement, ValueOnRecord, earlier_values, record_measurements
from db.runs.runs import RunRow, get_run
from flows.home.home import Home
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
from flows.runs.inputs import inputs_of_run, used_frames
from flows.runs.lacks import in_short, leave_out, producing, put_lack

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.noise.anatomy import NoiseAnatomy
    from ccdcore.photon_transfer.measure import PhotonTransfer

_HELD_AGAINST = 5
"""Earlier gains that one is compared with."""


def measure(home: Home, run_id: int) -> list[int]:
    """Measure gain, read noise and the parts of the noise, of every amplifier."""
    flats = used_frames(home, run_id, FrameType.FLAT)
    biases = biases_for(home, run_id, flats)
    lent = {one.sha256 for one in used_frames(home, run_id, FrameType.BIAS)}
    lent -= {one.sha256 for one in used_frames(home, run_id, FrameType.BIAS, borrowed=False)}
    own = [one for one in biases if one.sha256 not in lent]
    if not biases and not flats:
        return []
    recipe = home.settings.recipes.gain
    results: Sequence[PhotonTransfer] = ()
    noises: Sequence[NoiseAnatomy] = ()
    with producing(home, run_id, "gain" if flats else "read noise", [*biases, *flats]):
        results = measure_gain(biases, flats, method=recipe.method, region=recipe.region)
        _say_what_lacks(home, run_id, results, biases, flats)
    if not results and flats and len(biases) > 1:
        with producing(home, run_id, "read noise", biases):
            results = measure_gain(biases, [], method=recipe.method, region=recipe.region)
    if own:
        with producing(home, run_id, "parts of the noise"):
            noises = measure_noise(own, region=recipe.region)
    return _record_results(home, run_id, results, noises, biases, [*own, *flats])


def measure_response(home: Home, run_id: int) -> list[int]:
    """Measure how much the response of pixels scatters, of every amplifier and in the light of every filter."""
    with home.read_session() as session:
        masters = [row for row in run_masters(session, run_id) if row.kind == FrameType.FLAT and row.verdict != "bad"]
    flats = used_frames(home, run_id, FrameType.FLAT)
    rows: list[NewMeasurement] = []
    for row in masters:
        with producing(home, run_id, "response of pixels"):
            master = read_master(home.path / row.path)
            of_filter = [one for one in flats if one.info.filter == row.filter]
            each = {one.name: response_scatter(master, one) for one in of_filter[0].amplifiers}
            known = {name: estimate for name, estimate in each.items() if estimate is not None}
            rows += response_rows(known, row.filter, row.n_combined, conditions(of_filter, now()))
    with home.write_session() as session:
        return record_measurements(session, run_id=run_id, measurements=rows)


def _say_what_lacks(
    home: Home,
    run_id: int,
    results: Sequence[PhotonTransfer],
    biases: Sequence[SeriesFrame],
    flats: Sequence[SeriesFrame],
) -> None:
    """Put on record which amplifiers have no gain, or nothing at all, and why."""
    measured = {result.amplifier for result in results}
    for amplifier in (biases or flats)[0].amplifiers:
        if amplifier.name not in measured and home.settings.recipes.gain.region is None:
            about = [note for note in results[0].notes if note.startswith(f"amplifier {amplifier.name} ")]
            put_lack(home, run_id, f"gain and read noise of amplifier {amplifier.name}", in_short(about))
    if not flats:
        return
    without = [result for result in results if result.gain_e_per_adu is None]
    if len(without) < len(results):
        for result in without:
            put_lack(home, run_id, f"gain of amplifier {result.amplifier}", in_short(why_no_gain(result)))
        return
    for flat in flats:
        about = [note for note in results[0].notes if flat.path.name in note]
        leave_out(home, run_id, "gain", [flat], in_short(about or why_no_gain(results[0])))
    put_lack(home, run_id, "gain", in_short(why_no_gain(results[0])))


def why_no_gain(result: PhotonTransfer) -> tuple[str, ...]:
    """Return what speaks against a gain: what withheld it first, then what was left out."""
    return (*result.doubts, *result.bias_doubts, *result.notes)


def _record_results(
    home: Home,
    run_id: int,
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
    with home.read_session() as session:
        run, of_frames = get_run(session, run_id), _about_frames(session, run_id)
        for measured in results:
            with producing(home, run_id, f"gain and read noise of amplifier {measured.amplifier}"):
                before = _earlier_gains(session, run, measured, common)
                doubt = doubt_about_gain(measured, biases, flats, before)
                result = replace(measured, notes=(*measured.notes, *of_frames, *filter(None, [doubt])))
                earlier = before[0] if before and result.gain_e_per_adu is None else None
                rows += transfer_rows(result, common, earlier=earlier, doubt=doubt, are_borrowed=are_borrowed)
                if result.amplifier in overscans:
                    rows += overscan_rows(overscans[result.amplifier], result, common, earlier=earlier)
        for anatomy in noises:
            with producing(home, run_id, f"parts of the noise of amplifier {anatomy.amplifier}"):
                rows += noise_rows(anatomy, common)
    with home.write_session() as session:
        return record_measurements(session, run_id=run_id, measurements=rows)


def _about_frames(session: Session, run_id: int) -> list[str]:
    """Return in words which biases were borrowed, which darks stand in for biases, and which overscan is none."""
    found = inputs_of_run(session, run_id)
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
