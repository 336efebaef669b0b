"""Masters on record as a choice sees them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from ccdcore.association.facts import MasterFacts, Span
from db.certification import BESIDE_CHAMPION, Judged, certified
from db.frames.spans import boundaries
from db.judgements.marks import marks
from db.runs.current import CURRENT_RUN, kept_masters
from db.runs.masters import nominal_exposure
from db.schema.figures import MasterFigures
from db.schema.models import CalibrationSet, Certification, Master, Outcome, Run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_MASTER, _SET, _RUN = Master.__table__.c, CalibrationSet.__table__.c, Run.__table__.c
_FIGURES, _SAID = MasterFigures.__table__.c, Certification.__table__.c
# Of tables, not of classes: of ten thousand masters nothing is made but what is needed.
_QUERY = (
    select(
        *(_MASTER.id, _MASTER.kind, _SET.instrument, _SET.configuration, _MASTER.filter, _MASTER.exposure_s),
        *(_MASTER.temperature_c, _MASTER.group_c, _MASTER.valid_from, _MASTER.path, _MASTER.sha256, _MASTER.unit),
        *(_MASTER.n_combined, _MASTER.verdict, _MASTER.remark, _RUN.superseded_by_id, _RUN.calibration_set_id),
        *(_SAID.outcome, _SAID.reason, _SAID.champion_id),
        *(_FIGURES.rows, _FIGURES.columns, _FIGURES.amplifiers, _FIGURES.uncertainty, _FIGURES.level),
    )
    .join_from(Master.__table__, Run.__table__, _MASTER.run_id == _RUN.id)
    .join(CalibrationSet.__table__, _RUN.calibration_set_id == _SET.id)
    .outerjoin(Certification.__table__, _SAID.master_id == _MASTER.id)
    .outerjoin(MasterFigures.__table__, _FIGURES.master_id == _MASTER.id)
    .where(_RUN.outcome == Outcome.DONE)
)
_IN_ORDER = itemgetter(8, 0)
"""When a master was observed, and its number."""
# Of few masters, so that the thousands of others need no look at the champions that they were certified beside.
_CHAMPION_SETS = (
    select(_SAID.champion_id, _RUN.calibration_set_id)
    .join_from(Certification.__table__, Master.__table__, _SAID.champion_id == _MASTER.id)
    .join(Run.__table__, _MASTER.run_id == _RUN.id)
    .where(_SAID.outcome.in_(BESIDE_CHAMPION))
)


def masters_for(session: Session, instrument: str) -> list[MasterFacts]:
    """Return the masters of a camera that were not made anew, good or not; of one that has none, those of all others.

    They are in order of observation.
    """
    return _masters(session, instrument) or _masters(session, None)


def _masters(session: Session, instrument: str | None) -> list[MasterFacts]:
    kept, marked = kept_masters(session), marks(session, "master")
    query = _QUERY.where(or_(CURRENT_RUN, _MASTER.id.in_(kept)) if kept else CURRENT_RUN)
    rows = session.connection().execute(query if instrument is None else query.where(_SET.instrument == instrument))
    set_of_champion = dict(session.execute(_CHAMPION_SETS).tuples().all())
    entry_at, found, said = _entries(session), [], []
    for row in sorted(rows, key=_IN_ORDER):  # by a database, of so many columns, it takes as long as all else
        key, kind, of, configuration, filter_name, exposure_s, temperature_c, group_c, at, path, sha256, unit = row[:12]
        n_combined, verdict, remark, superseded_by, set_id, outcome, reason, champion_id = row[12:20]
        n_rows, columns, amplifiers, uncertainty, level = row[20:]
        mark = marked.get(key)
        purpose = of, kind, configuration, filter_name, nominal_exposure(kind, exposure_s), group_c
        is_superseded = superseded_by is not None and key not in kept
        its, why = (None, None) if mark is None else (mark.said, mark.reason)
        of_champion = champion_id, set_of_champion.get(champion_id), set_id
        said.append(Judged(kind, verdict, remark, outcome, reason, *of_champion, is_superseded, its, why, purpose))
        found.append(
            MasterFacts(
                *(key, kind, of, configuration, filter_name, exposure_s),
                *(temperature_c if kind == "flat" else group_c, at, path, sha256, unit, n_combined, verdict),
                is_marked_bad=mark is not None and mark.is_bad,
                entry=entry_at(of, at),
                shape=None if n_rows is None else (n_rows, columns),
                amplifiers=amplifiers,
                uncertainty=uncertainty,
                level=level,
            )
        )
    for one, of_it, (is_so, why) in zip(found, said, certified(said), strict=True):
        one.is_certified, one.why_not = is_so, of_it.mark_reason if one.is_marked_bad else why
    return found


def _entries(session: Session) -> Callable[[str, datetime], Span]:
    """Return what tells the span of the entry of an instrument that holds at a time."""
    spans: dict[str, tuple[Sequence[datetime], list[Span]]] = {}
    for name, times in boundaries(session).items():
        edges: list[Any] = [None, *times, None]
        spans[name] = times, list(pairwise(edges))

    def entry_at(instrument: str, at: datetime) -> Span:
        times, between = spans.get(instrument, ((), [(None, None)]))
        return between[bisect_right(times, at)]

    return entry_at
