"""Darks of a run: a master of each exposure and temperature; then the rate of each temperature, and what it tells."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from ccdcore.frames.groups import FrameGroup
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_dark
from flows.masters.dark_current import Current, current_rows, dark_currents
from flows.masters.dark_rates import make_dark_rate
from flows.masters.repair import repaired
from flows.products.ingredients import (
    bias_for,
    dark_in_bias,
    groups_of_run,
    noise_on_record,
    product_of,
    require_enough,
)
from flows.products.publish import Made, publish_master
from flows.runs.lacks import producing
from flows.runs.run import Run


def make_master_darks(run: Run) -> list[int]:
    """Combine the darks of the set, bias-subtracted: one master an exposure and temperature, and the rate of each."""
    made: dict[int, FrameGroup] = {}
    for group in groups_of_run(run, FrameType.DARK, run.used(FrameType.DARK)):
        product = product_of(FrameType.DARK, group)
        with producing(run, product, group.frames):
            made[_make_master_dark(run, product, group)] = group
    alike: dict[float | None, dict[int, FrameGroup]] = defaultdict(dict)
    for key, group in made.items():
        alike[group.group_c][key] = group
    currents: list[Current] = []
    rates = []
    for some in alike.values():
        rates += make_dark_rate(run, some)
        with producing(run, "dark current"):
            currents += dark_currents(run, some)
    if currents:
        with producing(run, "dark current"):
            run.put_measurements(current_rows(currents))
    return [*made, *rates]


def _make_master_dark(run: Run, product: str, group: FrameGroup) -> int:
    recipe = run.home.settings.recipes.dark
    require_enough(product, FrameType.DARK, group.frames, recipe.min_frames)
    bias, noise = bias_for(run, "dark", group.frames), noise_on_record(run, group.frames)
    make = partial(
        master_dark, bias=bias, recipe=recipe, noise_adu=noise.read_noise_adu, gain_e_per_adu=noise.gain_e_per_adu
    )
    found, doubts = repaired(run, product, make, group.frames, bias), dark_in_bias(run, group)
    return publish_master(run, Made(found, noise, bias, doubts=doubts), product=product, group=group)
