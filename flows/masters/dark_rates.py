"""The dark rate of the master darks of one temperature."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from ccdcore.darks.rate import DarkRate, dark_rate
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.groups import FrameGroup, one_group, same_exposure
from ccdcore.frames.series import beyond_their_time
from ccdcore.masters.build import Master
from ccdcore.masters.file import read_master
from ccdcore.masters.repair import Repaired
from db.champions import last_not_scaling
from db.runs.current import product_name
from db.runs.masters import MasterRow, run_masters
from flows.home.home import Home
from flows.home.processes import now
from flows.products.ingredients import Noise, bias_for, dark_seconds_in_bias, doubts_about, noise_on_record
from flows.products.publish import Made, publish_master
from flows.runs.lacks import producing
from flows.runs.run import Run


def make_dark_rate(run: Run, made: Mapping[int, FrameGroup]) -> list[int]:
    """Publish the rate of the masters of one temperature, by their ids, where the camera scales."""
    group = all_of(made.values())
    product = product_name("darkrate", temperature_c=group.named_c)
    rates: list[int] = []
    with producing(run, product):
        rows = good_darks(run, made)
        if not rows:
            raise InsufficientDataError(f"no {product}: none of its master darks is certified")
        bias, noise = bias_for(run, "dark rate", group.frames), noise_on_record(run, group.frames)
        found = rate_of(masters_of(run.home, rows), bias, noise, dark_seconds_in_bias(run, group))
        if found.not_scaling is not None:
            raise InsufficientDataError(f"no {product}: {found.not_scaling}; only darks of equal exposure are used")
        unscaled = never_scaled(run, group, found.master)
        doubts = [*doubts_about(rows), *filter(None, [unscaled])]
        is_untold = len(rows) == 1 and unscaled is None
        notes = ["of one exposure: whether the dark signal scales with it is not known"] if is_untold else []
        notes += filter(None, [beyond_their_time(group.frames)])
        rate = Made(Repaired(found.master), noise, bias, doubts=doubts, notes=notes)
        rates.append(publish_master(run, rate, product=product, group=group))
    return rates


def all_of(groups: Iterable[FrameGroup]) -> FrameGroup:
    """Return the frames of all exposures of one temperature as one group; a rate is for one second."""
    some = tuple(groups)
    together = one_group([frame for group in some for frame in group.frames])
    return replace(together, exposure_s=1.0, group_c=some[0].group_c, is_named=some[0].is_named)


def good_darks(run: Run, keys: Collection[int]) -> list[MasterRow]:
    """Return those master darks of the run, by their ids, that are certified; the shortest exposure first."""
    with run.home.read_session() as session:
        rows = [row for row in run_masters(session, run.id) if row.id in keys and row.certified]
    return sorted(rows, key=lambda row: row.exposure_s or 0)


def masters_of(home: Home, rows: Sequence[MasterRow]) -> list[Master]:
    """Return the masters of some rows; their images stay in their files until they are asked for."""
    return [read_master(home.path / row.path, mapped=True) for row in rows]


def never_scaled(run: Run, darks: FrameGroup, rate: Master) -> str | None:
    """Say which earlier night showed that the camera does not scale; None where none did, or this one tells itself.

    ``rate`` is that of the darks of a temperature; by several exposures it tells itself.
    """
    shortest_s, longest_s = rate.exposure_range_s or (0.0, 0.0)
    if not same_exposure(shortest_s, longest_s):
        return None
    before = min((one.info.date_obs for one in darks.frames if one.info.date_obs), default=now())
    with run.home.read_session() as session:
        earlier = last_not_scaling(session, run_id=run.id, group_c=darks.group_c, before=before)
    return earlier and f"its darks are of one exposure, and {earlier}"


def rate_of(darks: Sequence[Master], bias: Master, noise: Noise, bias_exposure_s: float) -> DarkRate:
    """Return the rate of master darks of one temperature, by the noise that is expected of their frames.

    ``bias_exposure_s`` is the exposure of darks that stand in for biases, in seconds.
    """
    read_noise, gain = (fmean(of.values()) if of else None for of in (noise.read_noise_adu, noise.gain_e_per_adu))
    if read_noise is None:
        read_noise = float(np.sqrt(np.mean(np.square(bias.uncertainty[bias.good]) * bias.n_used[bias.good])))
    return dark_rate(darks, bias, read_noise_adu=read_noise, gain_e_per_adu=gain, bias_exposure_s=bias_exposure_s)
