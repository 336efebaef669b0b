"""What the prices of masters are reckoned from: their noise and level, and how far they are from one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select

from ccdcore.association.facts import MasterFacts, amplifiers_text
from ccdcore.association.wander import FEWEST_MASTERS, Pair, Wander, fit_wander, prior
from db.judgements.marks import marked_bad
from db.runs.master_files import last_masters
from db.runs.masters import MasterOnRecord, list_masters, masters_of_ids, run_masters
from db.schema.figures import MasterFigures, MasterShift
from db.schema.models import Frame, RunInput
from db.schema.rows import column_value
from db.schema.upsert import insert

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.association.sample import Sample, Shift

STEPS = (1, 2, 3, 5, 8, 13, 21, 34, 55)
"""How many masters before it, of its purpose, are those that a new one is held against: near and far ones."""
_SECONDS_PER_DAY = 86_400.0
_MOST_MASTERS = 300
"""The last ones of a purpose tell how they wander."""
_MOST_PAIRS = 1000


@dataclass(frozen=True, slots=True)
class Unread:
    """A master whose file nobody has read for its price, and the earlier ones that it is to be held against."""

    master: MasterOnRecord
    earlier: tuple[MasterOnRecord, ...]


def unread_masters(
    session: Session, *, instruments: Collection[str] | None = None, run_id: int | None = None
) -> list[Unread]:
    """Return the masters that have no figures yet, of some cameras or all, or of a run, in order of observation."""
    if run_id is not None:
        return _unread(session, _around(session, run_id), {one.id for one in run_masters(session, run_id)})
    of_cameras = [None] if instruments is None else sorted(instruments)
    return _unread(session, (master for name in of_cameras for master in list_masters(session, instrument=name)))


def _around(session: Session, run_id: int) -> list[MasterOnRecord]:
    """Return the masters of a run and those before them that they may be held against, in order of observation."""
    own = masters_of_ids(session, {one.id for one in run_masters(session, run_id)})
    until = max((one.valid_from for one in own), default=None)
    if until is None:
        return []
    # Of so many the last ones that are good are as many as it takes.
    return last_masters(session, 3 * STEPS[-1], instrument=own[0].instrument, before=until + timedelta(microseconds=1))


def _unread(session: Session, masters: Iterable[MasterOnRecord], wanted: Collection[int] | None = None) -> list[Unread]:
    known = select(MasterFigures.master_id)
    if wanted is not None:
        known = known.where(MasterFigures.master_id.in_(wanted))
    done = set(session.scalars(known))
    alike: dict[object, list[MasterOnRecord]] = defaultdict(list)
    found = []
    for one in masters:
        before = alike[one.purpose]
        if one.master_id not in done and (wanted is None or one.master_id in wanted):
            steps = [step for step in STEPS if step <= len(before)] if one.is_good and one.kind != "mask" else []
            found.append(Unread(one, tuple(before[-step] for step in steps)))
        if one.is_good:
            before.append(one)
    return found


def record_figures(
    session: Session,
    master: MasterOnRecord,
    sample: Sample | None,
    shifts: Sequence[tuple[MasterOnRecord, Shift]],
) -> None:
    """Put on record what the file of a master says; ``sample`` is None where it says nothing. The first time counts."""
    of_run = select(Frame.rows, Frame.columns, Frame.amplifiers).join(RunInput, RunInput.frame_id == Frame.id)
    layout = session.execute(
        of_run.where(RunInput.run_id == master.run_id, RunInput.excluded.is_(None), ~RunInput.borrowed).limit(1)
    ).first()
    amplifiers = layout and amplifiers_text((one["name"], one["data"]) for one in layout.amplifiers)
    values = {
        "master_id": master.master_id,
        "rows": layout and layout.rows,
        "columns": layout and layout.columns,
        "amplifiers": amplifiers,
        "uncertainty": sample and column_value(sample.noise),
        "level": sample and column_value(sample.level),
    }
    is_new = insert(session, MasterFigures).values(values).on_conflict_do_nothing().returning(MasterFigures.master_id)
    if session.scalar(is_new) is None or sample is None or not sample.noise:
        return
    frame_variance = sample.noise**2 * master.n_combined
    for earlier, shift in shifts:
        session.add(
            MasterShift(
                master_id=master.master_id,
                earlier_id=earlier.master_id,
                kind=master.kind,
                days=abs((master.valid_from - earlier.valid_from).total_seconds()) / _SECONDS_PER_DAY,
                kelvin=_kelvin(master, earlier),
                half_square=shift.half_square,
                error=shift.error,
                frame_variance=frame_variance,
            )
        )
    session.flush()


def _kelvin(one: MasterOnRecord, other: MasterOnRecord) -> float:
    known = one.temperature_c is not None and other.temperature_c is not None
    return (one.temperature_c or 0.0) - (other.temperature_c or 0.0) if known else 0.0


def wanders(session: Session, masters: Sequence[MasterFacts]) -> Callable[[MasterFacts], Wander]:
    """Return what tells how masters of the purpose of one, of these, wander; each is reckoned when it is asked for.

    Of a purpose with fewer than five good masters nobody knows: then it is what all cameras show together, in units
    of the noise of one frame.
    """
    alike: dict[object, list[MasterFacts]] = defaultdict(list)
    for one in masters:
        if one.is_certified and not one.is_marked_bad and one.verdict != "bad" and one.uncertainty is not None:
            alike[one.purpose].append(one)

    @cache
    def of_all(kind: str) -> Wander | None:
        return _of_all(session, kind)

    @cache
    def of_purpose(purpose: object) -> Wander | None:
        return _of_purpose(session, alike[purpose][-_MOST_MASTERS:])

    def wander_of(master: MasterFacts) -> Wander:
        if (own := of_purpose(master.purpose)) is not None:
            return own
        variance = 1.0 if master.kind == "flat" else (master.uncertainty or 0.0) ** 2 * master.n_combined
        common = of_all(master.kind)
        return prior(master.kind, frame_noise=variance**0.5) if common is None else common.times(variance)

    return wander_of


def _of_purpose(session: Session, masters: Sequence[MasterFacts]) -> Wander | None:
    ids = {one.master_id for one in masters}
    if len(ids) < FEWEST_MASTERS:
        return None
    shift = MasterShift
    query = select(shift.days, shift.kelvin, shift.half_square, shift.error, shift.earlier_id)
    rows = session.execute(query.where(shift.master_id.in_(ids)))
    pairs = [Pair(*row[:4]) for row in rows if row.earlier_id in ids]
    return fit_wander(pairs, n_masters=len(ids)) if len(pairs) >= FEWEST_MASTERS else None


def _of_all(session: Session, kind: str) -> Wander | None:
    """Return how masters of all cameras wander, in units of the noise of one frame; flats as they are."""
    shift = MasterShift
    bad: Select[Any] = marked_bad("master")
    query = (
        select(shift.days, shift.kelvin, shift.half_square, shift.error, shift.frame_variance)
        .where(shift.kind == kind, shift.master_id.not_in(bad), shift.earlier_id.not_in(bad))
        .order_by(shift.id.desc())
        .limit(_MOST_PAIRS)
    )
    pairs = []
    for days, kelvin, half_square, error, frame_variance in session.execute(query):
        scale = 1.0 if kind == "flat" else frame_variance
        pairs.append(Pair(days, kelvin, half_square / scale, error / scale))
    return fit_wander(pairs, n_masters=0) if len(pairs) >= FEWEST_MASTERS else None
