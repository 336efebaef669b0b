"""Biases of a run: a master of each temperature."""

from __future__ import annotations

from functools import partial

from ccdcore.errors import InsufficientDataError
from ccdcore.frames.series import is_long_dark
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias
from flows.home.home import Home
from flows.masters.repair import repaired
from flows.products.ingredients import groups_of_run, noise_of_run, product_of, require_enough
from flows.products.publish import publish_master
from flows.runs.inputs import used_frames
from flows.runs.lacks import producing


def make_master_bias(home: Home, run_id: int) -> list[int]:
    """Combine the biases of the set."""
    recipe = home.settings.recipes.bias
    biases = used_frames(home, run_id, FrameType.BIAS, borrowed=False)
    made = []
    if biases and all(is_long_dark(frame) for frame in biases):
        raise InsufficientDataError("no master bias: the darks that stand in for biases hold their dark signal")
    for group in groups_of_run(home, run_id, FrameType.BIAS, biases):
        product = product_of(FrameType.BIAS, group)
        with producing(home, run_id, product, group.frames):
            require_enough(product, FrameType.BIAS, group.frames, recipe.min_frames)
            noise = noise_of_run(home, run_id)
            make = partial(master_bias, recipe=recipe, noise_adu=noise.read_noise_adu)
            found = repaired(home, run_id, product, make, group.frames)
            made.append(publish_master(home, run_id, found, product=product, group=group, noise=noise))
    return made
