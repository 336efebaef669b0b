"""Masters in the home: each file appears whole or not at all, and after its record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import chain, count
from math import hypot
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ccdcore.cards.common import common_cards
from ccdcore.cards.dialects import PROCSOFT
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.groups import FrameGroup, is_of_exposure, unknown_temperature
from ccdcore.frames.imstat import imstat
from ccdcore.frames.series import stand_in_note
from ccdcore.headers.instrument import FrameType
from ccdcore.io.write import appearing, appearing_in_pieces
from ccdcore.masters.check import check_master
from ccdcore.masters.file import MeasuredAmplifier, mask_hdulist, master_hdulist
from ccdcore.numerics.pixel_values import cut_off
from ccdcore.quantities import Verdict
from ccdcore.reduction.master import MaskBit
from db.runs.inputs import UsedFrame
from db.runs.masters import MasterRow, NewMaster, forget_master, record_master
from db.runs.measurements import MeasurementRow, by_amplifier
from flows.certification import certification_cards, judge_beside_champion
from flows.home.home import Home
from flows.home.output_paths import MasterName, master_path
from flows.home.processes import now
from flows.products.ingredients import Noise, doubts_about, master_bias_for
from flows.runs.lacks import FOR
from flows.runs.run import Inputs, Run

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

    from ccdcore.masters.bad_pixels import BadPixels
    from ccdcore.masters.repair import Repaired
    from ccdcore.reduction.master import Darks, Master

_ENOUGH_PIXELS = 2**22
_STATISTICS = ("npix", "min", "max", "mean", "median", "std", "mad")


@dataclass(frozen=True, slots=True)
class Made:
    """A master that was made, and what is known of it.

    Parameters
    ----------
    found : Repaired
        The master, and what came of the check of its frames.
    noise : Noise
        What was expected of them.
    bias, dark : Master or None, Darks or None
        What was taken off them.
    doubts, notes : sequence of str
        What else its maker found, and what else is to be said of it.
    """

    found: Repaired
    noise: Noise
    bias: Master | None = None
    dark: Darks | None = None
    doubts: Sequence[str] = ()
    notes: Sequence[str] = ()


def publish_master(run: Run, made: Made, *, product: str, group: FrameGroup) -> int:
    """Check a master, write it below the home, record it, and return its id; parameters as of `judged_master`."""
    row, master = judged_master(run, made, product=product, group=group), made.found.master
    return _publish(run, row, master_hdulist(master, *headings(run, row, master)))


def judged_master(run: Run, made: Made, *, product: str, group: FrameGroup) -> NewMaster:
    """Check a master, called as a product and to be made of a group of frames, and return its row."""
    master = made.found.master
    measured, of_run = run.measured, run.inputs
    filter_name = group.frames[0].info.filter if master.kind == "flat" else None
    name = MasterName(master.kind, run.row.configuration, filter_name, group.exposure_s, group.named_c)
    path = master_path(name, instrument=run.row.instrument, night=run.row.night, run_id=run.id)
    remarks = () if master.kind == "darkrate" else _check(master, group.frames, made.noise, made.bias, made.dark)
    own = None if master.kind == "bias" else master_bias_for(run, group.frames)
    doubts = [*made.doubts, *made.found.doubts, *_doubts(master.kind, measured, own, of_run)]
    notes = [*made.notes, *made.noise.notes, *filter(None, [stand_ins_of(of_run.frames)]), *of_run.remarks]
    notes += [unknown_temperature(group)] if group.group_c is None and master.kind != "flat" else []
    row = NewMaster(
        kind=master.kind,
        product=product,
        filter=filter_name,
        exposure_s=group.exposure_s,
        temperature_c=group.temperature_c,
        group_c=group.group_c,
        path=path.as_posix(),
        sha256="",
        unit=master.unit,
        n_combined=len(master.inputs),
        n_excluded=_n_excluded(of_run, master.kind, product, group),
        verdict=_verdict(remarks, doubts),
        valid_from=min((one.date_obs for one in master.inputs if one.date_obs), default=now()),
        statistics=_statistics(master.value, master.mask == 0),
        remark="; ".join([*doubts, *remarks, *notes]) or None,
    )
    return judge_beside_champion(run, row, made.found, group.frames, made.bias, made.dark)


def headings(run: Run, row: NewMaster, master: Master) -> tuple[Mapping[str, Any], list[MeasuredAmplifier]]:
    """Return the cards of a master's file, and what was measured of its amplifiers."""
    used = _frames_of(master, run.inputs)
    cards = {**_cards(run, used, row.filter), **certification_cards(row.certification)}
    return cards, _amplifiers(used, run.measured)


def publish_pieces(run: Run, row: NewMaster, pieces: Iterable[bytes]) -> int:
    """Write the file of a master that is larger than what is held, record it, and return its id."""
    return _publish_by(run, row, partial(appearing_in_pieces, pieces=pieces))


def _n_excluded(inputs: Inputs, kind: str, product: str, group: FrameGroup) -> int:
    """Return how many frames were left out of all, or of this master alone; only flats have a filter."""
    filter_name = group.frames[0].info.filter
    return len(
        {
            one.frame.sha256
            for one in inputs.frames
            if one.excluded is not None
            and one.role in (kind, FOR + product)
            and (kind != FrameType.FLAT or one.frame.info.filter == filter_name)
            and (kind != FrameType.DARK or is_of_exposure(one.frame, group))
        }
    )


def publish_mask(run: Run, bad: BadPixels) -> int:
    """Write a mask of bad pixels below the home, record it as a master of kind ``mask``, and return its id."""
    name = MasterName("badpixels", run.row.configuration)
    path = master_path(name, instrument=run.row.instrument, night=run.row.night, run_id=run.id)
    row = NewMaster(
        kind="mask",
        product="bad pixels",
        filter=None,
        path=path.as_posix(),
        sha256="",
        unit="",
        n_combined=len(bad.inputs),
        n_excluded=0,
        verdict="ok",
        valid_from=min((one.date_obs for one in bad.inputs if one.date_obs), default=now()),
        statistics=_mask_statistics(bad.mask),
        remark="; ".join(dict.fromkeys(filter(None, map(bad.not_looked_for, bad.counts)))) or None,
    )
    hdulist = mask_hdulist(bad, _cards(run, _frames_of(bad, run.inputs), None))
    return _publish(run, row, hdulist)


def _frames_of(product: Master | BadPixels, inputs: Inputs) -> list[SeriesFrame]:
    """Return the frames that a product was made of."""
    used = {one.sha256 for one in product.inputs}
    return [one.frame for one in inputs.frames if one.frame.sha256 in used]


def _publish(run: Run, row: NewMaster, hdulist: HDUList) -> int:
    return _publish_by(run, row, partial(appearing, hdulist=hdulist))


def _publish_by(run: Run, row: NewMaster, writing: Callable[[Path], AbstractContextManager[str]]) -> int:
    """Write a file, record it, and give it its name in the end: there is no master that no record knows."""
    run.home.require_there()
    path, master_id = _free(run.home, Path(row.path)), None
    try:
        with writing(run.home.path / path) as sha256, run.home.write_session() as session:
            master_id = record_master(session, run_id=run.id, master=replace(row, path=path.as_posix(), sha256=sha256))
    except OSError:
        if master_id is not None:
            with run.home.write_session() as session:
                forget_master(session, master_id)
        raise
    return master_id


def _free(home: Home, path: Path) -> Path:
    """Return a path that nothing has: numbers of runs come again where an older copy of the database was restored."""
    names = (path.with_name(f"{path.stem}-{number}.fits") for number in count(2))
    return next(one for one in chain([path], names) if not os.path.lexists(home.path / one))


def stand_ins_of(inputs: Sequence[UsedFrame]) -> str | None:
    """Say which darks a run used in place of biases; None where it used none."""
    used = [one.frame for one in inputs if one.role == FrameType.BIAS and one.excluded is None]
    return stand_in_note(frame for frame in used if frame.info.frame_type is FrameType.DARK)


def _check(
    master: Master, frames: Sequence[SeriesFrame], noise: Noise, bias: Master | None, dark: Darks | None
) -> tuple[str, ...]:
    """Hold one frame of the middle of the series against the master."""
    used = {one.sha256 for one in master.inputs}
    held_out = [frame for frame in frames if frame.sha256 in used][len(used) // 2]
    read_noise_adu, gain = _mean_of(noise.read_noise_adu), _mean_of(noise.gain_e_per_adu)
    return check_master(master, held_out, bias=bias, dark=dark, noise_adu=read_noise_adu, gain_e_per_adu=gain)


def _mean_of(values: Mapping[str, float] | None) -> float | None:
    """Return the mean over the amplifiers; None where nothing is known."""
    return fmean(values.values()) if values else None


def _doubts(kind: str, measured: Sequence[MeasurementRow], own: MasterRow | None, inputs: Inputs) -> list[str]:
    """Say what was found odd about the frames of a master, and about the biases that were taken off them.

    ``own`` is the run's master bias, where there is one.
    """
    rows = [row for row in measured if row.quantity == "bias_level"]
    of_flats = _said(rows, [row.details.get("flat_doubts", ()) for row in rows]) if kind == FrameType.FLAT else []
    if kind != FrameType.BIAS and own is not None:
        return [*of_flats, *doubts_about([own])]
    biases = [one.frame for one in inputs.frames if one.role == FrameType.BIAS and one.excluded is None]
    worst = max((one for frame in biases for one in frame.statistics), key=lambda one: one.cut_fraction, default=None)
    of_biases = _said(rows, [filter(None, [row.remark]) for row in rows])
    if not of_biases and worst is not None:
        of_biases = list(filter(None, [cut_off(worst.cut_fraction, worst.minimum)]))
    return [*of_flats, *of_biases]


def _said(rows: Sequence[MeasurementRow], doubts: Sequence[Iterable[str]]) -> list[str]:
    """Return what was said of the first amplifier that something was said of, and of how many others there was."""
    found = {row.amplifier: words for row, said in zip(rows, doubts, strict=True) if (words := "; ".join(said))}
    if not found or len(rows) == 1:
        return list(found.values())
    (name, words), *more = found.items()
    return [f"amplifier {name}{f' and {len(more)} more' if more else ''}: {words}"]


def _verdict(remarks: Sequence[str], doubts: Sequence[str] = ()) -> Verdict:
    """One odd finding makes a master suspect; with more it is bad, and never becomes the reference.

    Doubts about what it was made of have made it look odd already, or will not: they count for no second finding.
    """
    return "bad" if len(remarks) > 1 else "suspect" if remarks or doubts else "ok"


def _cards(run: Run, frames: Sequence[SeriesFrame], filter_name: str | None) -> dict[str, Any]:
    """Return what the headers of the frames agree in, and where the master comes from."""
    temperatures = [t for frame in frames if (t := frame.info.ccd_temperature_c) is not None]
    of_frames = {"INSTRUME": run.row.instrument, "FILTER": filter_name} | common_cards(
        run.cards(frame.path) for frame in frames
    )
    return of_frames | {
        "CCD-TEMP": (fmean(temperatures) if temperatures else None, "[degC] mean of the frames"),
        "CCDINSTR": (run.row.instrument, "instrument, as ccdwatch calls it"),
        "CCDCONF": (run.row.configuration, "read-out configuration"),
        "CALIBID": (f"run:{run.id}", "see ccdwatch provenance"),
        "PROCSOFT": PROCSOFT,
        "PROCVER": version("ccdwatch"),
    }


def _amplifiers(frames: Sequence[SeriesFrame], measured: Sequence[MeasurementRow]) -> list[MeasuredAmplifier]:
    """Return gain and read noise of each amplifier, with total uncertainties."""
    found = []
    of_amplifiers = by_amplifier(measured)
    for amplifier in frames[0].amplifiers:
        of = of_amplifiers.get(amplifier.name, {})
        gain, read_noise = of.get("gain"), of.get("read_noise")
        relative = (gain.details.get("systematic_uncertainty") or 0.0) / gain.value if gain else 0.0
        values = [(row.value, _total(row, relative)) if row else (None, None) for row in (gain, read_noise)]
        found.append(MeasuredAmplifier(amplifier, *values[0], *values[1]))
    return found


def _total(row: MeasurementRow, relative_systematic: float) -> float | None:
    """Return the total uncertainty of a gain, or of what was multiplied by it."""
    return None if row.uncertainty is None else hypot(row.uncertainty, row.value * relative_systematic)


def _mask_statistics(mask: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Return the numbers of the part of a mask that is bad: of a large one they are counted some rows at a time."""
    step = max(1, mask.size // _ENOUGH_PIXELS)
    some = mask[::step]
    found = _statistics((some != 0).view("u1"), some != MaskBit.OUTSIDE)
    if step == 1:
        return found
    if not (some != MaskBit.OUTSIDE).any():
        return _statistics((mask != 0).view("u1"), mask != MaskBit.OUTSIDE)
    counts = np.sum([np.bincount(row, minlength=256) for row in mask], axis=0)
    n_good, n_bad = counts.sum() - counts[MaskBit.OUTSIDE], counts[1:].sum() - counts[MaskBit.OUTSIDE]
    limits = {"min": float(n_good == n_bad), "max": float(n_bad > 0)}
    return found | {"npix": float(n_good), "mean": float(n_bad / n_good), **limits}


def _statistics(value: npt.NDArray[Any], good: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return the numbers that the report and the trends show of the good pixels of a master."""
    step = max(1, value.size // _ENOUGH_PIXELS)  # some rows of a large one tell its scatter as well as all
    some = step if good[::step].any() else 1
    table = imstat([value[::some][good[::some]].reshape(1, -1)], names=["master"])
    found = {name: float(table[name][0]) for name in _STATISTICS}
    if some == 1 or not good.any():
        return found
    of_all = {"npix": good.sum(), "mean": value.mean(where=good, dtype=np.float64)}
    of_all |= {"min": value.min(where=good, initial=found["min"]), "max": value.max(where=good, initial=found["max"])}
    return found | {name: float(number) for name, number in of_all.items()}
