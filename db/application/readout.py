"""Gain and read noise of each amplifier, for the noise of a frame that masters calibrate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from ccdcore.application.ingredients import Readout
from ccdcore.association.facts import Subject
from db.association.detectors import nearest_run
from db.judgements.marks import marked_bad
from db.schema.models import Master, Measurement

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_QUANTITIES = "gain", "read_noise", "read_noise_adu"


def readout_of(session: Session, subject: Subject, master_ids: Sequence[int]) -> dict[str, Readout]:
    """Return gain and read noise by amplifier: of the runs that made these masters, the first in front.

    Where these measured none it is what was measured nearest to the frame in time. So the same masters go with the
    same numbers as long as they have their own.
    """
    runs = [session.scalar(select(Master.run_id).where(Master.id == key)) for key in master_ids]
    values = {quantity: _first(session, runs, quantity) for quantity in _QUANTITIES}
    for quantity, found in values.items():
        if not found and (run_id := nearest_run(session, subject, quantity)) is not None:
            values[quantity] = _of_run(session, run_id, quantity)
    gains, electrons, adu = (values[quantity] for quantity in _QUANTITIES)
    noises = {name: adu[name] * gain for name, gain in gains.items() if name in adu} | electrons
    return {name: Readout(gain, noises[name]) for name, gain in gains.items() if name in noises}


def _first(session: Session, run_ids: Sequence[int | None], quantity: str) -> dict[str, float]:
    found = (_of_run(session, one, quantity) for one in run_ids if one is not None)
    return next(filter(None, found), {})


def _of_run(session: Session, run_id: int, quantity: str) -> dict[str, float]:
    """Return what a run measured of each amplifier, without what somebody marked bad."""
    query = select(Measurement.amplifier, Measurement.value).where(
        Measurement.run_id == run_id,
        Measurement.quantity == quantity,
        Measurement.id.not_in(marked_bad("measurement")),
    )
    return {row.amplifier: row.value for row in session.execute(query)}
