"""What a new master is held against, and named after: what is on record of its camera from before its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from db.certification import outcomes
from db.frames.spans import boundaries, span_around
from db.runs.current import CURRENT_RUN
from db.runs.masters import MasterOnRecord, list_masters, purpose_of
from db.runs.runs import get_run
from db.schema.models import CalibrationSet, Master, Run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.runs.masters import NewMaster

_REMEMBERED = 10
"""Changes of one purpose that are looked at."""


@dataclass(frozen=True, slots=True)
class Predecessors:
    """What a new master is judged beside.

    Parameters
    ----------
    champion : MasterOnRecord or None
        The one in force at the time of its frames; None where there is none.
    witness : MasterOnRecord or None
        The last one after it that was not certified because it differed from the champion all over.
    changes : tuple of float
        How far the last masters of this purpose were from the ones before them, in order of observation.
    """

    champion: MasterOnRecord | None
    witness: MasterOnRecord | None
    changes: tuple[float, ...]


def predecessors(session: Session, *, run_id: int, master: NewMaster) -> Predecessors:
    """Return what a master that a run is about to record is judged beside.

    That is what was observed before it, of other sets, with the entry of the instrument that holds at its time: a
    night that is made again, or comes late, is judged beside its own past, and later nights stay as they are.
    """
    run = get_run(session, run_id)
    since, _ = span_around(boundaries(session, run.instrument).get(run.instrument, ()), master.valid_from)
    purpose = purpose_of(master, run.instrument, run.configuration)
    before = [
        one
        for one in list_masters(session, kind=master.kind, instrument=run.instrument)
        if one.purpose == purpose
        and one.calibration_set_id != run.set_id
        and one.valid_from < master.valid_from
        and (since is None or one.valid_from >= since)
    ]
    champion = next((one for one in reversed(before) if one.is_good), None)
    said = outcomes(session, [one.master_id for one in before])
    witnesses = [
        one
        for one in before
        if champion is not None and one.champion_id == champion.master_id and said.get(one.master_id) == "changed"
    ]
    return Predecessors(
        champion=champion,
        witness=next((one for one in reversed(witnesses) if not one.is_good), None),
        changes=tuple(one.certification["change"] for one in before if "change" in one.certification)[-_REMEMBERED:],
    )


def temperatures_on_record(
    session: Session, *, instrument: str, kind: str, configuration: str, but_of_run: int
) -> set[float | None]:
    """Return the temperatures (°C) that groups of a camera's masters go by, but those that a run replaces."""
    of_set = select(Run.calibration_set_id).where(Run.id == but_of_run).scalar_subquery()
    query = (
        select(Master.group_c)
        .distinct()
        .join(Run, Master.run_id == Run.id)
        .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
        .where(
            CURRENT_RUN,
            Run.calibration_set_id != of_set,
            Master.kind == kind,
            CalibrationSet.instrument == instrument,
            CalibrationSet.configuration == configuration,
        )
    )
    return set(session.scalars(query))
