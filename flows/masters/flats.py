"""Flats of a run: a master of each filter, without dark signal or with its hot pixels masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ccdcore.errors import NoLightError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.groups import FrameGroup, one_group
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_flat
from ccdcore.masters.hot_in_flats import DarkLeft, dark_left
from ccdcore.masters.varying import parted_light
from ccdcore.reduction.master import MaskBit
from db.runs.current import product_name
from flows.masters.dark_of_flats import dark_of_flats, spoilt_pixels
from flows.masters.mosaics import publish_made
from flows.masters.repair import repaired
from flows.products.ingredients import bias_for, measured, noise_of_run, require_enough
from flows.products.publish import Made
from flows.runs.lacks import leave_out, producing
from flows.runs.run import Run

if TYPE_CHECKING:
    from ccdcore.masters.repair import Repaired
    from ccdcore.reduction.master import Darks, Master

_MOST_LEFT = 0.3
"""More than this part of the dark signal is not left by darks that are 2 K off."""


def make_master_flats(run: Run) -> list[int]:
    """Combine the flats of the set, one master a filter."""
    groups: dict[str | None, list[SeriesFrame]] = {}
    for frame in run.used(FrameType.FLAT):
        groups.setdefault(frame.info.filter, []).append(frame)
    made = []
    for filter_name, flats in groups.items():
        product = product_name("flat", filter_name)
        with producing(run, product, flats):
            require_enough(product_name("flat"), FrameType.FLAT, flats, run.home.settings.recipes.flat.min_frames)
            made.append(publish_made(run, product, one_group(flats), partial(_make_master_flat, run, product)))
    return made


def _make_master_flat(run: Run, product: str, group: FrameGroup) -> Made:
    """Combine the flats of one filter; its images are gone before those of the next filter are there."""
    flats = group.frames
    bias = bias_for(run, "flat", flats)
    dark = dark_of_flats(run, flats, bias)
    found = _flat_of_the_lit(run, product, flats, bias, dark.masters or None)
    notes, doubts = list(dark.notes), [*filter(None, [parted_light(flats, bias, cards_of=run.cards)]), *dark.doubts]
    if dark.unknown is not None:
        hot, said = spoilt_pixels(run, flats, bias, found.master, dark)
        if hot.any():
            found = _with_hot(found, hot)
            notes.append(said)
    elif (left := dark_left(found.master, dark.masters)) is not None:
        found = _with_hot(found, left.spoilt)
        (doubts if abs(left.share) > _MOST_LEFT else notes).append(_of_left(left))
    return Made(found, noise_of_run(run, flats), bias=bias, dark=dark.masters or None, doubts=doubts, notes=notes)


def _with_hot(found: Repaired, hot: npt.NDArray[np.bool_]) -> Repaired:
    mask = np.where(hot, found.master.mask | MaskBit.HOT.value, found.master.mask)
    return replace(found, master=replace(found.master, mask=mask))


def _of_left(left: DarkLeft) -> str:
    return (
        f"it held {1 + left.share:.2f} ± {left.sigma:.2f} times the dark signal that is taken off, as its hot pixels "
        f"show: {left.spoilt.sum()} of them are masked (darks of another temperature, exposure or gain than they say?)"
    )


def _flat_of_the_lit(
    run: Run, product: str, flats: Sequence[SeriesFrame], bias: Master, dark: Darks | None
) -> Repaired:
    """Combine the flats of one filter; those without light are left out where there are enough others."""
    recipe = run.home.settings.recipes.flat
    noise, gain = measured(run, "read_noise_adu", flats), measured(run, "gain", flats)
    try:
        make = partial(master_flat, bias=bias, dark=dark, recipe=recipe, noise_adu=noise, gain_e_per_adu=gain)
        return repaired(run, product, make, flats, bias, dark)
    except NoLightError as error:
        lit = [flat for flat in flats if flat.path not in error.reasons]
        if len(lit) < recipe.min_frames:
            raise
        for flat in flats:
            if flat.path in error.reasons:
                leave_out(run, product, [flat], error.reasons[flat.path])
    return _flat_of_the_lit(run, product, lit, bias, dark)
