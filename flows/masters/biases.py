"""Biases of a run: a master of each temperature."""

from __future__ import annotations

from functools import partial

from ccdcore.errors import InsufficientDataError
from ccdcore.frames.groups import FrameGroup
from ccdcore.frames.series import is_long_dark
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias
from flows.masters.mosaics import publish_made
from flows.masters.repair import repaired
from flows.products.ingredients import groups_of_run, noise_of_run, product_of, require_enough
from flows.products.publish import Made
from flows.runs.lacks import producing
from flows.runs.run import Run


def make_master_bias(run: Run) -> list[int]:
    """Combine the biases of the set."""
    recipe = run.home.settings.recipes.bias
    biases = run.used(FrameType.BIAS, borrowed=False)
    made = []
    if biases and all(is_long_dark(frame) for frame in biases):
        raise InsufficientDataError("no master bias: the darks that stand in for biases hold their dark signal")
    for group in groups_of_run(run, FrameType.BIAS, biases):
        product = product_of(FrameType.BIAS, group)
        with producing(run, product, group.frames):
            require_enough(product, FrameType.BIAS, group.frames, recipe.min_frames)
            made.append(publish_made(run, product, group, partial(_make_master_bias, run, product)))
    return made


def _make_master_bias(run: Run, product: str, group: FrameGroup) -> Made:
    noise = noise_of_run(run, group.frames)
    make = partial(master_bias, recipe=run.home.settings.recipes.bias, noise_adu=noise.read_noise_adu)
    return Made(repaired(run, product, make, group.frames), noise)
