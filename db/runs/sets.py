"""Reading what a calibration set has and what was made of it: what decides on the next run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType
from db.files.homes import on_disk
from db.frames.spans import boundaries, span_around
from db.judgements.marks import last_judged, marked_bad
from db.runs.runs import RunRow, latest_runs
from db.schema.models import CalibrationSet, Frame, Outcome, Run
from db.schema.rows import Row

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_PAUSE_S = 3600.0
"""An interval as long as this is a pause between series, not the rhythm of one."""
_MOST_NAMED = 10_000
"""Where more sets are asked for, all are read: no database takes any number of ids."""


@dataclass(frozen=True, slots=True)
class SetSummary:
    """A calibration set at a glance.

    Parameters
    ----------
    id : int
        Of the set.
    instrument, configuration : str
        What makes its frames comparable.
    window_first_night, window_nights : date, int
        Its window of nights.
    counts : mapping of FrameType to int
        Its frames by type; no entry for a type without frames.
    last_joined_at : datetime
        When its last frame arrived on disk.
    last_registered_at : datetime
        When its last frame was registered, or what its frames are last changed.
    median_interval_s : float or None
        Median time between arrivals in seconds, pauses of an hour left out.
    latest_run : RunRow or None
        The last run that began on it.
    last_judged_at : datetime or None
        When somebody last marked a frame of it, or took that back.
    """

    id: int
    instrument: str
    configuration: str
    window_first_night: date
    window_nights: int
    counts: Mapping[FrameType, int]
    last_joined_at: datetime
    last_registered_at: datetime
    median_interval_s: float | None
    latest_run: RunRow | None
    last_judged_at: datetime | None = None


def nearest_bias_set(session: Session, *, set_id: int, reach_nights: int, host: str) -> int | None:
    """Return the set whose biases are nearest in time to the window of ``set_id``.

    It is of the same instrument and configuration, has two biases at least (read
    noise comes from a difference), and one of them was taken no more than
    ``reach_nights`` nights outside the window. Of two as near, the earlier. No
    bias is lent to a time at which another entry of the instrument holds, and
    none that is marked bad.
    """
    own = session.get_one(CalibrationSet, set_id)
    first = own.window_first_night
    last = first + timedelta(days=max(own.window_nights, 1) - 1)
    taken_at = session.scalar(select(func.min(Frame.date_obs)).where(Frame.calibration_set_id == set_id))
    since, until = _span(session, own.instrument, taken_at)
    reach = timedelta(days=reach_nights)
    query = (
        select(CalibrationSet.id, func.min(Frame.night), func.max(Frame.night))
        .join(Frame, Frame.calibration_set_id == CalibrationSet.id)
        .where(
            CalibrationSet.instrument == own.instrument,
            CalibrationSet.configuration == own.configuration,
            CalibrationSet.id != set_id,
            Frame.frame_type == FrameType.BIAS,
            Frame.id.not_in(marked_bad("frame")),
            Frame.night.between(first - reach, last + reach),
            *([] if since is None else [Frame.date_obs >= since]),
            *([] if until is None else [Frame.date_obs < until]),
            on_disk(host),
        )
        .group_by(CalibrationSet.id)
        .having(func.count() > 1)
    )
    near = [
        (max((first - newest).days, (oldest - last).days, 0), oldest, candidate)
        for candidate, oldest, newest in session.execute(query)
        if oldest is not None and newest is not None
    ]
    return min(near)[2] if near else None


def _span(session: Session, instrument: str, at: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Return when the entry that holds at a time began and ends to hold; None where no other one holds."""
    return (None, None) if at is None else span_around(boundaries(session, instrument).get(instrument, ()), at)


def instruments_on_record(session: Session) -> list[str]:
    """Return the names of all instruments that have sets."""
    return list(session.scalars(select(CalibrationSet.instrument).distinct().order_by(CalibrationSet.instrument)))


def sets_in_question(session: Session, *, at: datetime, came_since: datetime | None = None) -> set[int]:
    """Return the sets that may lack a run at a time; of all others nothing came since their run was done.

    Some of them lack none: this is for who would otherwise look at the frames of many years, one by one. With
    ``came_since`` only frames registered since then count as come: whoever knows what was in question before spares
    the look at all frames there are.
    """
    newest = select(func.max(Run.id).label("id")).group_by(Run.calibration_set_id).subquery()
    last = select(Run).join(newest, Run.id == newest.c.id).subquery()
    longest = session.scalar(select(func.max(CalibrationSet.window_nights))) or 1
    came: ColumnElement[bool] = exists().where(
        Frame.calibration_set_id == CalibrationSet.id, Frame.registered_at >= last.c.began_at
    )
    if came_since is not None:  # those few by their time of registration, not set by set
        lately = select(Frame.calibration_set_id).where(Frame.registered_at >= came_since)
        came = and_(CalibrationSet.id.in_(lately), came)
    query = select(CalibrationSet.id).outerjoin(last, last.c.calibration_set_id == CalibrationSet.id)
    return set(
        session.scalars(
            query.where(
                or_(
                    last.c.id.is_(None),
                    last.c.outcome.is_distinct_from(Outcome.DONE),
                    last.c.message.is_not(None),
                    last.c.began_at > at,
                    CalibrationSet.changed_at >= last.c.began_at,
                    CalibrationSet.window_first_night >= at.date() - timedelta(days=longest + 1),
                    came,
                )
            )
        )
    )


def set_summaries(
    session: Session,
    *,
    host: str,
    since: date | None = None,
    believed_until: datetime | None = None,
    set_ids: Collection[int] | None = None,
) -> list[SetSummary]:
    """Return the sets that have frames on ``host``, oldest window first.

    Parameters
    ----------
    since : date or None
        Leave out windows that begin before this night.
    believed_until : datetime or None
        Frames that arrived after it did so by a clock that was ahead: long ago, for all that is known.
    set_ids : collection of int or None
        Only these; None for all.
    """
    in_reach = [] if since is None else [CalibrationSet.window_first_night >= since]
    if set_ids is not None and len(set_ids) <= _MOST_NAMED:
        in_reach.append(CalibrationSet.id.in_(set_ids))
    arrivals: dict[int, list[tuple[datetime, datetime, FrameType]]] = defaultdict(list)
    frames = (
        select(Frame.calibration_set_id, Frame.joined_at, Frame.registered_at, Frame.frame_type)
        .join(CalibrationSet)
        .where(*in_reach, on_disk(host))
    )
    for set_id, joined_at, registered_at, frame_type in session.execute(frames):
        arrivals[set_id or 0].append((joined_at, registered_at, FrameType(frame_type)))
    runs = latest_runs(session, where=in_reach)
    sets = (
        select(CalibrationSet)
        .where(*in_reach)
        .order_by(CalibrationSet.window_first_night, CalibrationSet.id)
        .execution_options(populate_existing=True)
    )
    wanted = arrivals.keys() if set_ids is None else arrivals.keys() & set(set_ids)
    found = [one for one in session.scalars(sets) if one.id in wanted]
    judged = last_judged(session)
    return [_summary(one, runs.get(one.id), judged.get(one.id), arrivals[one.id], believed_until) for one in found]


def _summary(
    one: CalibrationSet,
    run: RunRow | None,
    judged_at: datetime | None,
    arrivals: list[tuple[datetime, datetime, FrameType]],
    believed_until: datetime | None,
) -> SetSummary:
    joined = sorted(arrival[0] for arrival in arrivals)
    if believed_until is not None:
        joined = [at for at in joined if at <= believed_until] or [_LONG_AGO]
    gaps = [(after - before).total_seconds() for before, after in pairwise(joined)]
    rhythm = [gap for gap in gaps if gap < _PAUSE_S]
    types = [arrival[2] for arrival in arrivals]
    return SetSummary(
        id=one.id,
        instrument=one.instrument,
        configuration=one.configuration,
        window_first_night=one.window_first_night,
        window_nights=one.window_nights,
        counts={kind: types.count(kind) for kind in FrameType if kind in types},
        last_joined_at=joined[-1],
        last_registered_at=max([*(arrival[1] for arrival in arrivals), *filter(None, [one.changed_at])]),
        last_judged_at=judged_at,
        median_interval_s=median(rhythm) if rhythm else None,
        latest_run=run,
    )


def pixels_of(session: Session, set_ids: Collection[int]) -> dict[int, int]:
    """Return how many pixels the frames of these sets have."""
    query = select(Frame.calibration_set_id, func.sum(Frame.rows * Frame.columns)).group_by(Frame.calibration_set_id)
    return {key or 0: int(n) for key, n in session.execute(query.where(Frame.calibration_set_id.in_(set_ids)))}


def largest_frames(session: Session, set_ids: Collection[int]) -> dict[int, int]:
    """Return how many pixels the largest frame of each of these sets has."""
    query = select(Frame.calibration_set_id, func.max(Frame.rows * Frame.columns)).group_by(Frame.calibration_set_id)
    return {key or 0: int(n) for key, n in session.execute(query.where(Frame.calibration_set_id.in_(set_ids)))}


@dataclass(frozen=True, slots=True)
class SetOnRecord(Row):
    """The frames of one instrument and configuration in one window of nights, which begins with ``night``."""

    id: int
    instrument: str
    configuration: str
    night: date
    window_nights: int


def calibration_set(session: Session, set_id: int) -> SetOnRecord | None:
    """Return a set by its id; None where there is none."""
    row = session.get(CalibrationSet, set_id)
    if row is None:
        return None
    return SetOnRecord(row.id, row.instrument, row.configuration, row.window_first_night, row.window_nights)
