"""The masters on record, and those that are the current good ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session, aliased

from ccdcore.quantities import Verdict
from db.certification import (
    BESIDE_CHAMPION,
    Judged,
    NewCertification,
    certified,
    forget_certification,
    record_certification,
    said_of,
)
from db.frames.spans import Boundaries, boundaries, span_around
from db.judgements.marks import Said, marks, told
from db.runs.current import CURRENT_RUN, kept_masters, product_name
from db.schema import models
from db.schema.models import CalibrationSet, Certification, Master, Outcome, Run
from db.schema.rows import Row, column_value, plain
from db.schema.upsert import batches

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
        The half-open span of observation time that it is for: until the next certified one begins, or another
        entry of the instrument; None for no end in sight. The span of one that is bad, not certified or superseded
        is empty, and it ends no other's.
    valid_to_reason : str or None
        What ends it.
    certified : bool
        Whether it was let take the place of the one in force; masks are not judged.
    certified_reason : str or None
        Why, or why not, with the figures.
    certified_at, champion_id : datetime or None, int or None
        When that was said, and beside which master; None where there was none before it.
    certification : dict
        The figures: see `ccdcore.certification.certify.Certification`.
    statistics : dict
        As recorded.
    run_id, flow_run_id, engine
        Where it came from.
    superseded : bool
        Whether a newer run of the same set took its place; not where that run failed to make such a one.
    calibration_set_id : int
        The set it was made of.
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
    valid_to_reason: str | None
    certified: bool
    certified_reason: str | None
    certified_at: datetime | None
    champion_id: int | None
    certification: dict[str, Any]
    statistics: dict[str, Any]
    run_id: int
    flow_run_id: str | None
    engine: str
    superseded: bool
    calibration_set_id: int
    mark: Said | None = None
    mark_reason: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether it may be used: certified, and neither bad, nor marked bad, nor superseded."""
        return self.certified and "bad" not in (self.verdict, self.mark) and not self.superseded

    @property
    def purpose(self) -> Purpose:
        """What it is for: masters that agree in this follow one another."""
        return purpose_of(self, self.instrument, self.configuration)


def purpose_of(master: MasterOnRecord | NewMaster, instrument: str, configuration: str) -> Purpose:
    """Return what a master of a camera is for; darks are of one exposure, to three digits."""
    nominal_s = nominal_exposure(master.kind, master.exposure_s)
    return instrument, master.kind, configuration, master.filter, nominal_s, master.group_c


def nominal_exposure(kind: str, exposure_s: float | None) -> float | None:
    """Return the exposure in seconds that a master is for; None where any will do."""
    return None if kind != "dark" or exposure_s is None else float(f"{exposure_s:.3g}")


def list_masters(
    session: Session, *, kind: str | None = None, instrument: str | None = None, superseded: bool = False
) -> list[MasterOnRecord]:
    """Return the masters on record, in order of observation."""
    where = [] if kind is None else [Master.kind == kind]
    where += [] if instrument is None else [CalibrationSet.instrument == instrument]
    kept = kept_masters(session)
    if not superseded:
        where.append(or_(CURRENT_RUN, Master.id.in_(kept)))
    found = _certified(_rows(session, kept, *where))
    return _with_validity(found, boundaries(session, instrument))


def masters_of_ids(session: Session, ids: Collection[int]) -> list[MasterOnRecord]:
    """Return some of what `list_masters` does, in order of observation; each is valid as if no others were there."""
    kept = kept_masters(session)
    current, sets, rows = or_(CURRENT_RUN, Master.id.in_(kept)), set[int](), dict[int, dict[str, Any]]()
    while True:  # whether one is certified hangs on the champion that it was judged beside, however old
        parts = [_rows(session, kept, current, Master.id.in_(some)) for some in batches(ids)]
        parts += [_rows(session, kept, current, Run.calibration_set_id.in_(some)) for some in batches(sets)]
        rows = {row["master_id"]: row for part in parts for row in part}
        beside = {row["champion_set_id"] for row in rows.values() if row["outcome"] in BESIDE_CHAMPION} - {None}
        if beside <= sets:
            break
        sets |= beside
    found = _certified(sorted(rows.values(), key=lambda row: (row["valid_from"], row["master_id"])))
    return _with_validity([one for one in found if one.master_id in ids], boundaries(session, None))


def _rows(session: Session, kept: Collection[int], *where: ColumnElement[bool]) -> list[dict[str, Any]]:
    """Return masters that fulfil conditions, in order of observation, with what people said of them."""
    marked = marks(session, "master")
    rows = []
    for row in session.execute(_QUERY.where(*where)).mappings():
        said, reason = told(marked.get(row["master_id"]))
        is_superseded = row["superseded"] and row["master_id"] not in kept
        rows.append({**row, "superseded": is_superseded, "mark": said, "mark_reason": reason})
    return rows


def _certified(rows: Sequence[Mapping[str, Any]]) -> list[MasterOnRecord]:
    """Say of masters, in order of observation, which are certified."""
    names = [name for name in Judged.__dataclass_fields__ if name != "purpose"]
    said = (Judged(purpose=_purpose_of_row(row), **{name: row[name] for name in names}) for row in rows)
    found = []
    for row, (is_so, reason) in zip(rows, certified(said), strict=True):
        values = {name: value for name, value in row.items() if name in MasterOnRecord.__dataclass_fields__}
        values["certification"] = row["certification"] or {}
        one = MasterOnRecord(**values, valid_to=None, valid_to_reason=None, certified=is_so, certified_reason=reason)
        found.append(one)
    return found


def _purpose_of_row(row: Mapping[str, Any]) -> Purpose:
    nominal_s = nominal_exposure(row["kind"], row["exposure_s"])
    return row["instrument"], row["kind"], row["configuration"], row["filter"], nominal_s, row["group_c"]


_CHAMPION, _CHAMPION_RUN = aliased(Master), aliased(Run)
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
        Run.calibration_set_id,
        Certification.outcome,
        Certification.reason,
        Certification.judged_at.label("certified_at"),
        Certification.champion_id,
        Certification.figures.label("certification"),
        _CHAMPION_RUN.calibration_set_id.label("champion_set_id"),
    )
    .join(Run, Master.run_id == Run.id)
    .join(CalibrationSet, Run.calibration_set_id == CalibrationSet.id)
    .outerjoin(Certification, Certification.master_id == Master.id)
    .outerjoin(_CHAMPION, Certification.champion_id == _CHAMPION.id)
    .outerjoin(_CHAMPION_RUN, _CHAMPION.run_id == _CHAMPION_RUN.id)
    .where(Run.outcome == Outcome.DONE)
    .order_by(Master.valid_from, Master.id)
)


def _with_validity(found: list[MasterOnRecord], ends_of_entries: Boundaries) -> list[MasterOnRecord]:
    """End each good master where the next one for the same purpose begins, or another entry of its instrument."""
    later: dict[Purpose, MasterOnRecord] = {}
    result = []
    for one in reversed(found):
        if not one.is_good:
            result.append(replace(one, valid_to=one.valid_from, valid_to_reason=_why_not(one)))
            continue
        _, end = span_around(ends_of_entries.get(one.instrument, ()), one.valid_from)
        ends = [(end, "another entry of the instrument")] if end is not None else []
        if (after := later.get(one.purpose)) is not None:
            ends.append((after.valid_from, f"master {after.master_id} of {after.night}"))
        valid_to, reason = min(ends, default=(None, None), key=lambda item: item[0])
        result.append(replace(one, valid_to=valid_to, valid_to_reason=reason))
        later[one.purpose] = one
    return result[::-1]


def _why_not(one: MasterOnRecord) -> str | None:
    """Return why a master is for no time at all."""
    if one.superseded:
        return "its set was made anew"
    return f"marked bad: {one.mark_reason}" if one.mark == "bad" else f"not certified: {one.certified_reason}"


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
    certification : NewCertification or None
        What became of it beside the one in force; without it, it is never in force. A mask needs none.
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
    certification: NewCertification | None = None


def record_master(session: Session, *, run_id: int, master: NewMaster) -> int:
    """Record a master that a run has written; return its id."""
    fields = {name: getattr(master, name) for name in master.__dataclass_fields__ if name != "certification"}
    fields |= {"statistics": plain(master.statistics), "remark": column_value(master.remark)}
    fields["product"] = master.product or product_name(master.kind, master.filter)
    row = models.Master(run_id=run_id, **fields)
    session.add(row)
    session.flush()
    if master.certification is not None:
        record_certification(session, row.id, master.certification)
        session.flush()
    return row.id


def forget_master(session: Session, master_id: int) -> None:
    """Take a master off the record that never was shown, and that has no file any more."""
    forget_certification(session, master_id)
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
    certified: bool
    certified_reason: str | None


def run_masters(session: Session, run_id: int) -> list[MasterRow]:
    """Return the masters that a run made, in the order they were recorded."""
    of_master = [name for name in MasterRow.__dataclass_fields__ if not name.startswith("certified")]
    columns = [getattr(Master, name) for name in of_master]
    query = (
        select(*columns, Certification.outcome, Certification.reason)
        .outerjoin(Certification, Certification.master_id == Master.id)
        .where(Master.run_id == run_id)
        .order_by(Master.id)
    )
    found = []
    for row in session.execute(query).mappings():
        is_so, reason = said_of(row["kind"], row["verdict"], row["remark"], row["outcome"], row["reason"])
        values = {name: row[name] for name in of_master}
        found.append(MasterRow(**values, certified=is_so, certified_reason=reason))
    return found


def master_paths(session: Session) -> set[str]:
    """Return the paths of all masters on record, whatever became of their runs."""
    return set(session.scalars(select(models.Master.path)))
