"""Flats of a run: a master of each filter, without dark signal or with its hot pixels masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ccdcore.errors import NoLightError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.groups import one_group
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_flat
from ccdcore.masters.varying import parted_light
from ccdcore.reduction.master import MaskBit
from db.runs.current import product_name
from flows.home.home import Home
from flows.masters.dark_of_flats import dark_of_flats, spoilt_pixels
from flows.masters.repair import repaired
from flows.products.ingredients import bias_for, measured, noise_of_run, require_enough
from flows.products.publish import publish_master
from flows.runs.inputs import used_frames
from flows.runs.lacks import leave_out, producing

if TYPE_CHECKING:
    from ccdcore.masters.repair import Repaired
    from ccdcore.reduction.master import Darks, Master


def make_master_flats(home: Home, run_id: int) -> list[int]:
    """Combine the flats of the set, one master a filter."""
    groups: dict[str | None, list[SeriesFrame]] = {}
    for frame in used_frames(home, run_id, FrameType.FLAT):
        groups.setdefault(frame.info.filter, []).append(frame)
    made = []
    for filter_name, flats in groups.items():
        product = product_name("flat", filter_name)
        with producing(home, run_id, product, flats):
            require_enough(product_name("flat"), FrameType.FLAT, flats, home.settings.recipes.flat.min_frames)
            made.append(_make_master_flat(home, run_id, product, flats))
    return made


def _make_master_flat(home: Home, run_id: int, product: str, flats: Sequence[SeriesFrame]) -> int:
    """Combine the flats of one filter; its images are gone before those of the next filter are there."""
    bias = bias_for(home, run_id, "flat", flats)
    dark = dark_of_flats(home, run_id, flats, bias)
    found = _flat_of_the_lit(home, run_id, product, flats, bias, dark.masters or None)
    notes = list(dark.notes)
    if dark.unknown is not None:
        hot, said = spoilt_pixels(home, run_id, flats, bias, found.master, dark)
        if hot.any():
            mask = np.where(hot, found.master.mask | MaskBit.HOT, found.master.mask).astype(np.uint8)
            found = replace(found, master=replace(found.master, mask=mask))
            notes.append(said)
    return publish_master(
        home,
        run_id,
        found,
        product=product,
        group=one_group(flats),
        noise=noise_of_run(home, run_id),
        bias=bias,
        dark=dark.masters or None,
        doubts=[*filter(None, [parted_light(flats, bias)]), *dark.doubts],
        notes=notes,
    )


def _flat_of_the_lit(
    home: Home, run_id: int, product: str, flats: Sequence[SeriesFrame], bias: Master, dark: Darks | None
) -> Repaired:
    """Combine the flats of one filter; those without light are left out where there are enough others."""
    recipe = home.settings.recipes.flat
    noise, gain = measured(home, run_id, "read_noise_adu"), measured(home, run_id, "gain")
    try:
        make = partial(master_flat, bias=bias, dark=dark, recipe=recipe, noise_adu=noise, gain_e_per_adu=gain)
        return repaired(home, run_id, product, make, flats, bias, dark)
    except NoLightError as error:
        lit = [flat for flat in flats if flat.path not in error.reasons]
        if len(lit) < recipe.min_frames:
            raise
        for flat in flats:
            if flat.path in error.reasons:
                leave_out(home, run_id, product, [flat], error.reasons[flat.path])
    return _flat_of_the_lit(home, run_id, product, lit, bias, dark)
