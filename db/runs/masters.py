"""The masters on record, and those that are the current good ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from ccdcore.quantities import Verdict
from db.frames.spans import Boundaries, boundaries, span_around
from db.judgements.marks import Said, marks, told
from db.runs.current import CURRENT_RUN, kept_masters, product_name
from db.schema import models
from db.schema.models import CalibrationSet, Master, Outcome, Run
from db.schema.rows import Row, column_value, plain

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


Purpose = tuple[str, str, str, str | None, float | None, float | None]
"""Instrument, kind, configuration, filter, exposure in seconds, and temperature in °C."""


@dataclass(frozen=True, slots=True)
class MasterOnRecord(Row):
    """A master of a finished run.

    Parameters
    ----------
    master_id : int
        Its number.
    kind, instrument, configuration, night, filter
        What it corrects: its kind, and the set it was made of.
    product : str
        What it is called.
    exposure_s, temperature_c, group_c : float or None
        Mean exposure and temperature of its inputs; and the temperature that its group goes by.
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
    mark, mark_reason : str or None
        What somebody marked it, ``bad`` or ``good``; why, who and when. One that is marked bad is for nothing.
    """

    master_id: int
    kind: str
    instrument: str
    configuration: str
    night: date
    filter: str | None
    product: str
    exposure_s: float | None
    temperature_c: float | None
    group_c: float | None
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
    mark: Said | None = None
    mark_reason: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether it may be used: neither bad, nor marked bad, nor superseded."""
        return "bad" not in (self.verdict, self.mark) and not self.superseded

    @property
    def purpose(self) -> Purpose:
        """What it is for: masters that agree in this follow one another; darks of one exposure, to three digits."""
        exposure_s = self.exposure_s if self.kind == "dark" else None
        nominal_s = None if exposure_s is None else float(f"{exposure_s:.3g}")
        return self.instrument, self.kind, self.configuration, self.filter, nominal_s, self.group_c


def list_masters(
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
        query = query.where(or_(CURRENT_RUN, Master.id.in_(kept)))
    marked = marks(session, "master")
    found = []
    for row in session.execute(query).mappings():
        values = {**row, "superseded": row["superseded"] and row["master_id"] not in kept}
        said, reason = told(marked.get(row["master_id"]))
        found.append(MasterOnRecord(**values, valid_to=None, mark=said, mark_reason=reason))
    return _with_validity(found, boundaries(session, instrument))


_QUERY = (
    select(
        Master.id.label("master_id"),
        Master.kind,
        CalibrationSet.instrument,
        CalibrationSet.configuration,
        CalibrationSet.window_first_night.label("night"),
        Master.filter,
        Master.product,
        Master.exposure_s,
        Master.temperature_c,
        Master.group_c,
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
    ends: dict[Purpose, datetime | None] = {}
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
    """Return the good master observed last for each purpose; no masks.

    None of an instrument whose entry no longer holds at that time.
    """
    good = (one for one in list_masters(session) if one.is_good and one.kind != "mask")
    latest = {one.purpose: one for one in good}
    return [one for one in latest.values() if one.valid_to is None or one.valid_to > at]


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


@dataclass(frozen=True, slots=True)
class NewMaster:
    """A master that has been written.

    Parameters
    ----------
    kind : str
        ``bias``, ``dark``, ``darkrate``, ``flat`` or ``mask``.
    filter : str or None
        Of a flat.
    path : str
        Relative to the home.
    sha256 : str
        Of the file.
    unit : str
        ``adu``, ``adu/s``, or empty for a flat and a mask.
    n_combined, n_excluded : int
        Frames used and left out.
    verdict : str
        ``ok``, ``suspect``, ``bad`` or ``unjudged``.
    valid_from : datetime
        DATE-OBS of its first input.
    statistics : mapping
        Plain JSON values.
    remark : str or None
        What is odd about it.
    product : str
        What it is called; if not given, by its kind and filter.
    exposure_s, temperature_c, group_c : float or None
        Mean exposure and temperature of its inputs; and the temperature that its group goes by.
    """

    kind: str
    filter: str | None
    path: str
    sha256: str
    unit: str
    n_combined: int
    n_excluded: int
    verdict: Verdict
    valid_from: datetime
    statistics: Mapping[str, Any] = field(default_factory=dict)
    remark: str | None = None
    product: str = ""
    exposure_s: float | None = None
    temperature_c: float | None = None
    group_c: float | None = None


def record_master(session: Session, *, run_id: int, master: NewMaster) -> int:
    """Record a master that a run has written; return its id."""
    fields = {name: getattr(master, name) for name in master.__dataclass_fields__}
    fields |= {"statistics": plain(master.statistics), "remark": column_value(master.remark)}
    fields["product"] = master.product or product_name(master.kind, master.filter)
    row = models.Master(run_id=run_id, **fields)
    session.add(row)
    session.flush()
    return row.id


def forget_master(session: Session, master_id: int) -> None:
    """Take a master off the record that never was shown, and that has no file any more."""
    session.execute(delete(models.Master).where(models.Master.id == master_id))


@dataclass(frozen=True, slots=True)
class MasterRow:
    """One master that a run made; ``path`` is relative to the home."""

    id: int
    kind: str
    product: str
    filter: str | None
    exposure_s: float | None
    temperature_c: float | None
    group_c: float | None
    path: str
    sha256: str
    unit: str
    n_combined: int
    n_excluded: int
    verdict: str
    remark: str | None
    statistics: dict[str, Any]


def run_masters(session: Session, run_id: int) -> list[MasterRow]:
    """Return the masters that a run made, in the order they were recorded."""
    columns = [getattr(models.Master, name) for name in MasterRow.__dataclass_fields__]
    query = select(*columns).where(models.Master.run_id == run_id).order_by(models.Master.id)
    return [MasterRow(*row) for row in session.execute(query)]


def master_paths(session: Session) -> set[str]:
    """Return the paths of all masters on record, whatever became of their runs."""
    return set(session.scalars(select(models.Master.path)))
