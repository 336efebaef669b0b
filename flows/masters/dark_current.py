"""What is measured of the dark signal of a run, as rows of the record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ccdcore.darks.dark_current import DarkCurrent, less_than_none, measure_dark_current
from ccdcore.darks.doubling import doubling_temperature
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.groups import FrameGroup
from ccdcore.frames.series import beyond_their_time
from ccdcore.noise.bias_series import least_level_error
from db.runs.measurements import NewMeasurement
from flows.home.processes import now
from flows.masters.dark_rates import all_of, good_darks, masters_of, rate_of
from flows.products.ingredients import bias_for, dark_seconds_in_bias, doubts_about, noise_on_record
from flows.products.measurements import conditions
from flows.runs.run import Run

_NO_COUNTS = dict.fromkeys(("n_bias", "n_flat", "n_flat_pairs"))
"""Of frames that a dark current does not come from."""
_OF_LEVEL = "dark_current", "dark_current_mode"


class Current(NamedTuple):
    """The dark signal of an amplifier, its darks, and what is to be said of it, and of its level alone.

    The uncertainty of its level is in e⁻/s/pixel: that of the bias level, which darks share with no bias.
    """

    group: FrameGroup
    values: DarkCurrent
    notes: tuple[str, ...]
    doubts: list[str]
    of_level: str | None
    level_uncertainty: float


def dark_currents(run: Run, made: Mapping[int, FrameGroup]) -> list[Current]:
    """Measure the dark current of each amplifier by the masters of one temperature; by the longest where none scales.

    Raises
    ------
    InsufficientDataError
        If there is no gain.
    """
    rows, group = good_darks(run, made), all_of(made.values())
    if not rows:
        return []
    good = masters_of(run.home, rows)
    bias, noise = bias_for(run, "dark rate", group.frames), noise_on_record(run, group.frames)
    if noise.gain_e_per_adu is None:
        raise InsufficientDataError("no dark current in electrons without a gain: take flats, once")
    held_s = dark_seconds_in_bias(run, group)
    found, doubts = rate_of(good, bias, noise, held_s), doubts_about(rows)
    doubts += filter(None, [beyond_their_time(group.frames)])
    if found.not_scaling is not None:
        doubts.append(f"{found.not_scaling}; this is that of {good[-1].exposure_s:.4g} s alone")
        found = rate_of(good[-1:], bias, noise, held_s)
    exposure_s = (found.master.exposure_range_s or (0.0, 0.0))[1] - held_s
    currents = []
    for amplifier in (one for one in group.frames[0].amplifiers if one.name in noise.gain_e_per_adu):
        gain, of_gain = noise.gain_e_per_adu[amplifier.name], noise.gain_uncertainty.get(amplifier.name) or 0.0
        of = measure_dark_current(found.master, amplifier, gain_e_per_adu=gain, gain_uncertainty=of_gain)
        of_level = less_than_none(of, exposure_s=exposure_s, gain_e_per_adu=gain)
        level_error = gain * least_level_error(amplifier) / exposure_s
        currents.append(Current(group, of, noise.notes, doubts, of_level, level_error))
    return currents


def current_rows(currents: Sequence[Current]) -> list[NewMeasurement]:
    """Return what was measured of the dark signal as rows of the record; by how much it doubles, where it warmed."""
    rows = []
    of_amplifier: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for group, one, notes, doubts, of_level, level_uncertainty in currents:
        common = conditions(group.frames, now())
        values = {
            "dark_current": (one.median, one.median_uncertainty),
            "dark_current_mode": (one.mode, one.mode_uncertainty),
            "dsnu": (one.dsnu, one.dsnu_uncertainty),
            "hot_pixel_fraction": (one.hot_fraction, one.hot_fraction_uncertainty),
        }
        details = {**_NO_COUNTS, "n_dark": len(group.frames), "n_pixels": one.n_pixels, "notes": list(notes)}
        for name, value in values.items():
            is_level = name in _OF_LEVEL
            said = "; ".join(filter(None, [of_level if is_level else None, *doubts])) or None
            about = details | ({"systematic_uncertainty": level_uncertainty} if is_level else {})
            rows.append(
                NewMeasurement(name, one.amplifier, *value, "master darks", remark=said, details=about, **common)
            )
        if group.temperature_c is not None:
            of_amplifier[one.amplifier].append((group.temperature_c, one.median, one.median_uncertainty))
    frames = [frame for group, *_ in currents for frame in group.frames]
    for amplifier, some in of_amplifier.items():
        if (found := doubling_temperature(some)) is not None:
            details = {**_NO_COUNTS, "currents": some, "notes": []}
            value = found.kelvin, found.uncertainty
            rows.append(
                NewMeasurement(
                    "doubling_temperature",
                    amplifier,
                    *value,
                    "master darks",
                    details=details,
                    **conditions(frames, now()),
                )
            )
    return rows
