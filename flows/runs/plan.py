"""Which products are missing or stale, and which run would make them.

There is no queue: what the record lacks is the queue. A run is known by the digest of all its inputs, so
that a restart, a late frame, a changed recipe and a server that was away are the same case.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy.orm import Session

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from db.frames.revisions import digest_of, said_of_frame
from db.frames.series import set_frames
from db.judgements.marks import bad_frames
from db.runs.runs import RunRow, find_run, open_runs
from db.runs.sets import SetSummary, nearest_bias_set, set_summaries, sets_in_question
from db.schema.models import Outcome
from flows.config.settings import Settings
from flows.home.disk import says_disk_full
from flows.home.home import Home
from flows.retries import CUT_SHORT_RUN, DISK_FULL_S, FAILED_RUN, RUN_ATTEMPTS


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that ought to be made: a set, the digest of its inputs, and which attempt at them it is."""

    set_id: int
    instrument: str
    night: date
    configuration: str
    digest: str
    attempt: int

    @property
    def key(self) -> str:
        """What makes two requests of one home for this run the same."""
        return f"{self.set_id}:{self.digest}:a{self.attempt}"


def frames_of_set(session: Session, settings: Settings, set_id: int) -> tuple[list[SeriesFrame], list[SeriesFrame]]:
    """Return the frames of a set, and the biases it borrows from the nearest set where it has none that it needs.

    Those that are marked bad are among them, but no set has all it needs by these.
    """
    own, marked = set_frames(session, set_id, host=settings.host), bad_frames(session)
    types = {frame.info.frame_type for frame in own if frame.sha256 not in marked}
    if FrameType.BIAS in types or not types & {FrameType.FLAT, FrameType.DARK}:
        return own, []
    donor = nearest_bias_set(session, set_id=set_id, reach_nights=settings.nights.reach_nights, host=settings.host)
    lent = set_frames(session, donor, host=settings.host) if donor is not None else []
    return own, [frame for frame in lent if frame.info.frame_type is FrameType.BIAS]


def inputs_digest(
    settings: Settings,
    instrument: str,
    own: Sequence[SeriesFrame],
    borrowed: Sequence[SeriesFrame],
    marked: Collection[str] = (),
) -> str:
    """Return the SHA-256 of all that the results of a set depend on; specification limits are not among it.

    ``marked`` are the hashes of the frames that are marked bad, of other sets too.
    """
    inputs: dict[str, object] = {
        "frames": sorted((frame.sha256, digest_of(said_of_frame(frame))) for frame in own),
        "borrowed": sorted((frame.sha256, digest_of(said_of_frame(frame))) for frame in borrowed),
        "recipes": settings.recipes.describe(),
        "instrument": [entry.digest for entry in settings.instruments if entry.name == instrument],
    }
    if left_out := sorted({frame.sha256 for frame in (*own, *borrowed)}.intersection(marked)):
        inputs["marked_bad"] = left_out
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def settles_at(summary: SetSummary, settle_seconds: float) -> datetime:
    """Return when a set is complete: no frame joined it for `settle_seconds`, or three of its intervals."""
    wait = max(settle_seconds, 3 * (summary.median_interval_s or 0.0))
    return summary.last_joined_at + timedelta(seconds=wait)


def has_passed(since: datetime, pause: timedelta, at: datetime) -> bool:
    """Whether a pause that began at a time on record is over; one told by a clock that was far ahead is."""
    return at >= since + pause or since > at + pause


def pause_after(last: RunRow) -> float | None:
    """Return how many seconds after a run the next one on the same inputs is due; None where none is.

    A run that failed, if only in one product, is tried again after half a minute, then a minute; one that found the
    disk full, as soon as there is room; one whose process was killed, at once, and after some times with growing
    pauses; one that other inputs superseded, where the inputs are again what they were (a frame came and went), at
    once.
    """
    if last.superseded:
        return 0.0
    has_failed = last.outcome is Outcome.FAILED or last.is_done_in_part
    if has_failed and says_disk_full(last.message):
        return DISK_FULL_S
    if has_failed and last.attempt < RUN_ATTEMPTS:
        return FAILED_RUN.after(last.attempt)
    return CUT_SHORT_RUN.after(last.attempt) if last.outcome is Outcome.ABANDONED else None


def next_attempt(last: RunRow | None, at: datetime) -> int | None:
    """Return the attempt to make after the last run on the same inputs; None where none is due yet, or at all."""
    if last is None:
        return 1
    pause = pause_after(last)
    if pause is None:
        return None
    # Without a pause no clock is asked: it may have been read before the run was given up.
    is_due = not pause or (last.ended_at is not None and has_passed(last.ended_at, timedelta(seconds=pause), at))
    return last.attempt + 1 if is_due else None


def plan(
    session: Session, settings: Settings, summary: SetSummary, at: datetime, *, again_after: Collection[Outcome] = ()
) -> Plan | None:
    """Return the run that a set needs now, or None; one whose last attempt ended in one of these ways is made again."""
    own, borrowed = frames_of_set(session, settings, summary.id)
    digest = inputs_digest(settings, summary.instrument, own, borrowed, bad_frames(session))
    last = find_run(session, set_id=summary.id, digest=digest)
    attempt = next_attempt(last, at)
    if attempt is None and last is not None and (last.outcome in again_after or (again_after and last.is_done_in_part)):
        attempt = last.attempt + 1
    if attempt is None:
        return None
    return Plan(summary.id, summary.instrument, summary.window_first_night, summary.configuration, digest, attempt)


class Looked:
    """What was in question at the last look: the next one looks at that, and at what was registered since."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._at_all: datetime | None = None
        self.are_open: set[int] = set()

    def sets(self, session: Session, at: datetime) -> set[int]:
        """Return the sets to look at: now and then, and where a clock was put back, those that all frames tell."""
        is_known = self._at is not None and self._at_all is not None and self._at <= at < self._at_all + _LOOK_AT_ALL
        since = self._at - _SKEW if is_known and self._at is not None else None
        found = sets_in_question(session, at=at, came_since=since)
        if since is None:
            self._at_all = at
        self._at = at
        return found if since is None else found | self.are_open


_LOOK_AT_ALL = timedelta(hours=1)
_SKEW = timedelta(minutes=10)
"""By so much clocks of machines that register frames may differ, and a registration may take."""


def reconcile(home: Home, at: datetime, looked: Looked | None = None) -> tuple[list[Plan], datetime | None]:
    """Compare what every set should have with what is on record.

    Parameters
    ----------
    home : Home
        The open home.
    at : datetime
        Now.
    looked : Looked, optional
        What is known from earlier looks.

    Returns
    -------
    list of Plan
        The runs that are due now.
    datetime or None
        When the next set will be complete, where one is waiting for more frames.
    """
    with home.read_session() as session:
        found = [one for _, one in _lacking(home, session, at, looked)]
    plans = [one for one in found if isinstance(one, Plan)]
    return plans, min((one for one in found if isinstance(one, datetime)), default=None)


def cameras_at_work(home: Home, at: datetime) -> set[str]:
    """Return the cameras of which a set is being calibrated, is to be now, or may get more frames."""
    with home.read_session() as session:
        lacking = {summary.instrument for summary, _ in _lacking(home, session, at)}
        return lacking | {run.instrument for run in open_runs(session)}


def _lacking(
    home: Home, session: Session, at: datetime, looked: Looked | None = None
) -> Iterator[tuple[SetSummary, Plan | datetime]]:
    """Yield the sets that lack a run: with that, or when they will be complete."""
    settle = home.settings.watch.settle_seconds
    believed = at + timedelta(seconds=settle)
    wanted = sets_in_question(session, at=at) if looked is None else looked.sets(session, at)
    summaries = set_summaries(session, host=home.settings.host, believed_until=believed, set_ids=wanted)
    if looked is not None:
        looked.are_open = {summary.id for summary in summaries if is_open(summary, at)}
    for summary in summaries:
        if not is_open(summary, at):
            continue
        if (complete_at := settles_at(summary, settle)) > at and not is_judged(summary):
            yield summary, complete_at
        elif (due := plan(session, home.settings, summary, at)) is not None:
            yield summary, due


UNDONE = frozenset(Outcome) - {Outcome.DONE}


def plans_of(
    home: Home, set_ids: Collection[int], at: datetime, *, again_after: Collection[Outcome] = UNDONE
) -> list[Plan]:
    """Return the runs that these sets need, complete or not, failed or not: for work on request."""
    with home.read_session() as session:
        summaries = set_summaries(session, host=home.settings.host, set_ids=set_ids)
        found = [plan(session, home.settings, summary, at, again_after=again_after) for summary in summaries]
    return [one for one in found if one is not None]


def is_judged(summary: SetSummary) -> bool:
    """Whether somebody marked a frame since the last run: what is in force is of a bad frame, and others may wait."""
    last, judged_at = summary.latest_run, summary.last_judged_at
    return last is not None and judged_at is not None and judged_at >= last.began_at


def is_open(summary: SetSummary, at: datetime) -> bool:
    """Whether something may be missing: frames came since the last run, it did not end well, or the set is of now.

    Sets of other times that a new recipe made stale are left for work on request.
    """
    last = summary.latest_run
    if last is None or not last.is_done or summary.last_registered_at >= last.began_at:
        return True
    if last.began_at > at:  # by a clock that was ahead: what was registered since seems to be older
        return True
    window_end = summary.window_first_night + timedelta(days=summary.window_nights + 1)
    return window_end >= at.date()


def run_name(instrument: str, night: date, configuration: str, *, what: str = "calibrate") -> str:
    """Name of the flow run that calibrates a set, or draws its pictures."""
    return f"{what} {instrument} {night.isoformat()} {configuration}"
