"""What a home waits for, and until when: sets that settle, runs under way, queued, or tried again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy.orm import Session

from ccdcore.text import number_of, one_line
from db.files import ledger
from db.runs.sets import SetSummary, set_summaries, sets_in_question
from db.schema.models import FileState
from db.schema.rows import Row
from flows.applying.calibrating.due import due
from flows.config.redaction import redact
from flows.home.home import Home
from flows.home.processes import now
from flows.runs.plan import is_judged, is_open, pause_after, plan, settles_at

State = Literal["settling", "queued", "running", "failed", "files", "science"]
_ORDER: tuple[State, ...] = ("files", "settling", "queued", "running", "failed", "science")


@dataclass(frozen=True, slots=True)
class Waiting(Row):
    """A set, or some files, that something is still to be done to.

    Parameters
    ----------
    state : str
        ``settling`` (more frames may join it), ``queued`` (complete, to be calibrated), ``running``, ``failed`` (and
        tried again), ``files`` that are not read yet, or ``science`` frames that are not calibrated yet.
    what : str
        Which set, or how many files.
    since, until : datetime or None
        Since when it is so, and when it ends if nothing happens; None where that is not known.
    run_id : int or None
        The run under way, or that failed.
    instrument, night, configuration : str or None
        Of a set.
    reason : str or None
        Why it failed.
    """

    state: State
    what: str
    since: datetime | None = None
    until: datetime | None = None
    run_id: int | None = None
    instrument: str | None = None
    night: str | None = None
    configuration: str | None = None
    reason: str | None = None

    def words(self, at: datetime) -> str:
        """Return what it waits for, in words, as it is at a time."""
        ends = None if self.until is None else f"{span((self.until - at).total_seconds())} ({self.until:%H:%M:%S} UTC)"
        if self.state == "running" and self.since is not None:
            return f"{self.what}: run:{self.run_id} for {span((at - self.since).total_seconds())}"
        if self.state == "settling":
            return f"{self.what}: complete in {ends}, if no frame joins it"
        if self.state == "failed":
            return f"{self.what}: run:{self.run_id}, tried again in {ends}: {self.reason}"
        return f"{self.what}: is calibrated next" if self.state == "queued" else self.what


def span(seconds: float) -> str:
    """Return for example ``45 s``, ``4 min 10 s``, ``2 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def waiting(home: Home, at: datetime) -> tuple[Waiting, ...]:
    """Return what waits now: files first, then sets in the order of what becomes of them."""
    with home.read_session() as session:
        found = [*_files(home, session), *waiting_sets(home, session, at)]
    found += _science(home, at)
    return tuple(sorted(found, key=lambda one: (_ORDER.index(one.state), one.until or one.since or at)))


def waiting_in_words(home: Home) -> list[tuple[str, str]]:
    """Return what waits now as states and words."""
    at = now()
    return [(one.state, one.words(at)) for one in waiting(home, at)]


def _files(home: Home, session: Session) -> Iterator[Waiting]:
    files = ledger.counts(session, (FileState.SEEN, FileState.SETTLING, FileState.READY, FileState.CLAIMED))
    quiet_s = home.settings.watch.quiet_seconds
    if n := files[FileState.SEEN] + files[FileState.SETTLING]:
        yield Waiting("files", f"{number_of(n, 'file')}, taken as complete when unchanged for {quiet_s:g} s or closed")
    if n := files[FileState.READY] + files[FileState.CLAIMED]:
        yield Waiting("files", f"{number_of(n, 'file')} to be read")


def _science(home: Home, at: datetime) -> Iterator[Waiting]:
    if not home.settings.science.calibrate:
        return
    found = due(home, at)
    for camera in sorted({*found.frames, *found.waiting}):
        n = number_of(len(found.frames.get(camera, ())) + found.waiting.get(camera, 0), "science frame")
        what = f"{camera}, {n}: calibrated when no more frames join them and the sets of this camera are calibrated"
        yield Waiting("science", what, instrument=camera)


def waiting_sets(home: Home, session: Session, at: datetime) -> Iterator[Waiting]:
    """Yield the sets that something is still to be done to."""
    settle = home.settings.watch.settle_seconds
    summaries = set_summaries(
        session,
        host=home.settings.host,
        believed_until=at + timedelta(seconds=settle),
        set_ids=sets_in_question(session, at=at),
    )
    for one in summaries:
        if (found := _waiting_set(home, session, one, at)) is not None:
            yield found


def _waiting_set(home: Home, session: Session, one: SetSummary, at: datetime) -> Waiting | None:
    run, complete_at = one.latest_run, settles_at(one, home.settings.watch.settle_seconds)
    night = one.window_first_night.isoformat()
    n = number_of(sum(one.counts.values()), "frame")
    known: dict[str, Any] = {"instrument": one.instrument, "night": night, "configuration": one.configuration}
    what = f"{one.instrument} {night} {one.configuration}, {n}"
    if run is not None and run.outcome is None:
        return Waiting("running", what, since=run.began_at, run_id=run.id, **known)
    if not is_open(one, at):
        return None
    if plan(session, home.settings, one, at) is not None:
        if complete_at > at and not is_judged(one):
            return Waiting("settling", what, since=one.last_joined_at, until=complete_at, **known)
        return Waiting("queued", what, since=complete_at, **known)
    pause = None if run is None else pause_after(run)
    if run is None or pause is None or run.ended_at is None:
        return None
    reason = redact(one_line(run.message or ""))
    again_at = run.ended_at + timedelta(seconds=pause)
    return Waiting("failed", what, since=run.ended_at, until=again_at, run_id=run.id, reason=reason, **known)
