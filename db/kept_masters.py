"""Masters that stay in force although a newer run took the place of theirs, since it failed to make them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import CalibrationSet, Frame, Instrument, Lack, Master, Outcome, Run


def product_name(kind: str, filter_name: str | None = None) -> str:
    """Return what a master is called where it is not made."""
    return f"master {kind} {filter_name or ''}".strip()


@dataclass(slots=True)
class _Made:
    """What a run made, and what it did not: its product, and whether it failed."""

    masters: list[Master] = field(default_factory=list)
    lacks: dict[str, bool] = field(default_factory=dict)

    def failed(self, of: Master) -> bool:
        """Whether it failed to make such a master, if only as one of its kind."""
        names = (product_name(of.kind, of.filter), product_name(of.kind))
        return next((self.lacks[name] for name in names if name in self.lacks), False)

    def has(self, of: Master) -> bool:
        return any((one.kind, one.filter) == (of.kind, of.filter) for one in self.masters)


def kept_masters(session: Session) -> set[int]:
    """Return the ids of these masters: each the last one that was made of its set, kind and filter.

    None is kept from before the meaning of a frame changed: it may be of frames that were taken for something else.
    Nor is one that a newer run did not make for a reason of its frames.
    """
    failing = select(Lack.run_id).where(Lack.is_failure)
    standing = Run.outcome == Outcome.DONE, Run.superseded_by_id.is_(None), Run.message.is_not(None)
    sets = list(session.scalars(select(Run.calibration_set_id).where(*standing, Run.id.in_(failing))))
    return {one.id for set_id in sets for one in _last_made(session, set_id)}


def _last_made(session: Session, set_id: int) -> list[Master]:
    """Return the superseded masters of a set that every newer run of it failed to make."""
    done = [Run.calibration_set_id == set_id, Run.outcome == Outcome.DONE]
    if since := _changed_at(session, set_id):
        done.append(Run.began_at >= since)
    runs = {run_id: _Made() for run_id in session.scalars(select(Run.id).where(*done))}
    for master in session.scalars(select(Master).join(Run, Master.run_id == Run.id).where(*done)):
        runs[master.run_id].masters.append(master)
    for lack in session.scalars(select(Lack).join(Run, Lack.run_id == Run.id).where(*done)):
        runs[lack.run_id].lacks[lack.product] = lack.is_failure
    newer: list[_Made] = []
    found: list[Master] = []
    for _, made in sorted(runs.items(), reverse=True):
        if newer:
            found += [one for one in made.masters if all(run.failed(one) and not run.has(one) for run in newer)]
        newer.append(made)
    return found


def _changed_at(session: Session, set_id: int) -> datetime | None:
    """Return when a frame of a set was last taken for something else, or its entry was edited; None for never."""
    corrected = session.scalar(select(CalibrationSet.changed_at).where(CalibrationSet.id == set_id))
    entries = select(func.max(Instrument.recorded_at)).join(Frame, Frame.instrument_id == Instrument.id)
    edited = session.scalar(entries.where(Frame.calibration_set_id == set_id))
    return max((at for at in (corrected, edited) if at is not None), default=None)
