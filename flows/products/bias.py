"""The bias image that a run subtracts from its darks and flats, and the noise that it measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.series_health import temperature_gap
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias
from ccdcore.masters.file import read_master
from db.runs.masters import run_masters
from db.runs.measurements import run_measurements
from db.runs.runs import get_run
from flows.home.home import Home
from flows.products.publish import reliable
from flows.runs.inputs import used_frames

if TYPE_CHECKING:
    from ccdcore.masters.build import Master


def bias_for(home: Home, run_id: int, kind: str, frames: Sequence[SeriesFrame]) -> Master:
    """Return the bias image to subtract: the run's own master, else one of the few or borrowed biases there are.

    Raises
    ------
    InsufficientDataError
        If there are none, or none of the temperature of the frames.
    """
    biases = used_frames(home, run_id, FrameType.BIAS)
    if gap := temperature_gap(biases, frames):
        raise InsufficientDataError(f"no master {kind} with biases of another temperature: {gap}")
    with home.read_session() as session:
        own = next((row for row in run_masters(session, run_id) if row.kind == FrameType.BIAS), None)
    if own is not None:
        return read_master(home.path / own.path)
    if not biases:
        with home.read_session() as session:
            configuration = get_run(session, run_id).configuration
        reach = home.settings.nights.reach_nights
        raise InsufficientDataError(
            f"no master {kind} without biases: none of {configuration} in this window or within {reach} nights"
        )
    recipe = replace(home.settings.recipes.bias, min_frames=1)
    noise = measured(home, run_id, "read_noise_adu") or {one.amplifier: one.noise for one in biases[0].statistics}
    return master_bias(biases, recipe=recipe, noise_adu=noise)


def measured(home: Home, run_id: int, quantity: str) -> dict[str, float] | None:
    """Return what this run measured that masters may rely on, by amplifier; None where there is nothing."""
    with home.read_session() as session:
        rows = reliable(home, run_measurements(session, run_id))
    return {row.amplifier: row.value for row in rows if row.quantity == quantity} or None
