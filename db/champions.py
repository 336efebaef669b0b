"""What a new master is held against, and named after: what is on record of its camera from before its frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from ccdcore.darks.rate import NOT_SCALING
from ccdcore.frames.groups import distance_k
from db.certification import outcomes
from db.frames.spans import boundaries, span_around
from db.runs.current import CURRENT_RUN, product_name
from db.runs.lacks import run_lacks
from db.runs.master_files import SERIES, last_masters
from db.runs.masters import MasterOnRecord, list_masters, purpose_of
from db.runs.runs import get_run
from db.schema.models import CalibrationSet, Master, Run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from db.runs.masters import NewMaster
    from db.runs.runs import RunRow

_REMEMBERED = 10
"""Changes of one purpose that are looked at."""
_FEW = 2 * _REMEMBERED
"""Masters of a product that mostly tell all."""

_NEAR_K = 2.0
"""Darks of temperatures no farther apart, in kelvin, scale or do not scale alike."""


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


_LATEST = 8
"""Masters that are looked at first."""


def current_reference(session: Session, *, at: datetime) -> list[MasterOnRecord]:
    """Return the champions: the certified master observed last for each purpose; no masks.

    None of an instrument whose entry no longer holds at that time.
    """
    found, most = list[MasterOnRecord](), _LATEST
    while True:
        found = last_masters(session, most)
        known = {_series(one) for one in found if one.is_good}
        if most not in Counter(_series(one) for one in found if _series(one) not in known).values():
            break
        most *= 4  # somewhere none of the last ones is good: an earlier one may be
    latest = {one.purpose: one for one in found if one.is_good and one.kind != "mask"}
    return [one for one in latest.values() if one.valid_to is None or one.valid_to > at]


def _series(one: MasterOnRecord) -> tuple[object, ...]:
    return one.instrument, one.configuration, *(getattr(one, name) for name in SERIES)


def predecessors(session: Session, *, run_id: int, master: NewMaster) -> Predecessors:
    """Return what a master that a run is about to record is judged beside.

    That is what was observed before it, of other sets, with the entry of the instrument that holds at its time: a
    night that is made again, or comes late, is judged beside its own past, and later nights stay as they are.
    """
    run, most = get_run(session, run_id), _FEW
    purpose = purpose_of(master, run.instrument, run.configuration)
    n_read = 0
    while True:
        read = last_masters(session, most, instrument=run.instrument, kind=master.kind, before=master.valid_from)
        before = [one for one in _earlier(session, run, read, master.valid_from) if one.purpose == purpose]
        is_known = any(one.is_good for one in before) and len(_changes(before)) == _REMEMBERED
        if is_known or len(read) == n_read:
            break
        n_read, most = len(read), 4 * most  # what it hangs on may be older
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
        changes=_changes(before),
    )


def _changes(before: Sequence[MasterOnRecord]) -> tuple[float, ...]:
    return tuple(one.certification["change"] for one in before if "change" in one.certification)[-_REMEMBERED:]


def last_not_scaling(session: Session, *, run_id: int, group_c: float | None, before: datetime) -> str | None:
    """Say that, and when, the last darks of several exposures showed that a camera's dark signal does not scale.

    None where they showed that it does, or where there are none. They are of a temperature within 2 K of ``group_c``
    (°C), from before a time, with the same entry of the instrument and in the same configuration.
    """
    run = get_run(session, run_id)
    alike: dict[tuple[int, float | None], list[MasterOnRecord]] = defaultdict(list)
    for one in _earlier(session, run, list_masters(session, kind="dark", instrument=run.instrument), before):
        if one.is_good and distance_k(one.group_c, group_c) <= _NEAR_K:
            alike[one.run_id, one.group_c].append(one)
    told = [some[0] for some in alike.values() if len(some) > 1]
    if not told:
        return None
    last = max(told, key=lambda one: one.valid_from)
    names = product_name("darkrate"), product_name("darkrate", temperature_c=last.group_c)
    reasons = [one.reason for one in run_lacks(session, last.run_id) if one.product in names]
    return next((f"on {last.night} there was {reason}" for reason in reasons if NOT_SCALING in reason), None)


def _earlier(session: Session, run: RunRow, found: Sequence[MasterOnRecord], before: datetime) -> list[MasterOnRecord]:
    """Return of masters those of other sets of a run's camera from before a time, with the entry that holds then."""
    since, _ = span_around(boundaries(session, run.instrument).get(run.instrument, ()), before)
    return [
        one
        for one in found
        if one.configuration == run.configuration
        and one.calibration_set_id != run.set_id
        and one.valid_from < before
        and (since is None or one.valid_from >= since)
    ]


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
