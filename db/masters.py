"""The masters on record, and those that are the current good ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.kept_masters import kept_masters
from db.models import CalibrationSet, Master, Outcome, Run
from db.rows import Row
from db.spans import Boundaries, boundaries, span_around


@dataclass(frozen=True, slots=True)
class MasterOnRecord(Row):
    """A master of a finished run.

    Parameters
    ----------
    master_id : int
        Its number.
    kind, instrument, configuration, night, filter
        What it corrects: its kind, and the set it was made of.
    path, sha256 : str
        Its file, relative to the home.
    unit : str
        Of its pixels.
    n_combined, n_excluded : int
        Frames used and left out.
    verdict, remark : str, str or None
        What the check before release said.
    valid_from, valid_to : datetime, datetime or None
        The half-open span of observation time that it is for: until the next good one begins, or another
        entry of the instrument; None for no end in sight. The span of a bad or a superseded one is empty, and it
        ends no other's.
    statistics : dict
        As recorded.
    run_id, flow_run_id, engine
        Where it came from.
    superseded : bool
        Whether a newer run of the same set took its place; not where that run failed to make such a one.
    """

    master_id: int
    kind: str
    instrument: str
    configuration: str
    night: date
    filter: str | None
    path: str
    sha256: str
    unit: str
    n_combined: int
    n_excluded: int
    verdict: str
    remark: str | None
    valid_from: datetime
    valid_to: datetime | None
    statistics: dict[str, Any]
    run_id: int
    flow_run_id: str | None
    engine: str
    superseded: bool

    @property
    def is_good(self) -> bool:
        """Whether it may be used: neither bad nor superseded."""
        return self.verdict != "bad" and not self.superseded

    @property
    def purpose(self) -> tuple[str, str, str, str | None]:
        """What it is for: masters that agree in this follow one another."""
        return self.instrument, self.kind, self.configuration, self.filter


def masters(
    session: Session, *, kind: str | None = None, instrument: str | None = None, superseded: bool = False
) -> list[MasterOnRecord]:
    """Return the masters on record, in order of observation."""
    query = _QUERY
    if kind is not None:
        query = query.where(Master.kind == kind)
    if instrument is not None:
        query = query.where(CalibrationSet.instrument == instrument)
    kept = kept_masters(session)
    if not superseded:
        query = query.where(or_(Run.superseded_by_id.is_(None), Master.id.in_(kept)))
    rows = session.execute(query).mappings()
    found = [
        MasterOnRecord(valid_to=None, **{**row, "superseded": row["superseded"] and row["master_id"] not in kept})
        for row in rows
    ]
    return _with_validity(found, boundaries(session, instrument))


_QUERY = (
    select(
        Master.id.label("master_id"),
        Master.kind,
        CalibrationSet.instrument,
        CalibrationSet.configuration,
        CalibrationSet.window_first_night.label("night"),
        Master.filter,
        Master.path,
        Master.sha256,
        Master.unit,
        Master.n_combined,
        Master.n_excluded,
        Master.verdict,
        Master.remark,
        Master.valid_from,
        Master.statistics,
        Master.run_id,
        Run.flow_run_id,
        Run.engine,
        Run.superseded_by_id.is_not(None).label("superseded"),
    )
    .join(Run, Master.run_id == Run.id)
    .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
    .where(Run.outcome == Outcome.DONE)
    .order_by(Master.valid_from, Master.id)
)


def _with_validity(found: list[MasterOnRecord], ends_of_entries: Boundaries) -> list[MasterOnRecord]:
    """End each good master where the next one for the same purpose begins, or another entry of its instrument."""
    ends: dict[tuple[str, str, str, str | None], datetime | None] = {}
    result = []
    for one in reversed(found):
        if one.is_good:
            _, end = span_around(ends_of_entries.get(one.instrument, ()), one.valid_from)
            known = [at for at in (ends.get(one.purpose), end) if at is not None]
            result.append(replace(one, valid_to=min(known, default=None)))
            ends[one.purpose] = one.valid_from
        else:
            result.append(replace(one, valid_to=one.valid_from))
    return result[::-1]


def current_reference(session: Session, *, at: datetime) -> list[MasterOnRecord]:
    """Return the good master observed last for each instrument, kind, configuration and filter; no masks.

    None of an instrument whose entry no longer holds at that time.
    """
    good = (one for one in masters(session) if one.is_good and one.kind != "mask")
    latest = {one.purpose: one for one in good}
    return [one for one in latest.values() if one.valid_to is None or one.valid_to > at]
