"""Which science frames that landed are to be calibrated now.

There is no queue: a frame of which it is not on record what came of the masters that there are is the queue. It waits
until it has lain for as long as sets of calibration frames wait for more of them, all that landed by then is read, and
no set of its camera is at work: so that it is calibrated once, with what it will be calibrated with in the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ccdcore.association.rules import Tolerances
from db.application.science import ScienceFrame, cameras_with_science, choices_of, science_to_do
from db.files.ledger import oldest_unprocessed
from db.schema.models import FileState
from flows.home.home import Home
from flows.retries import FAILED_RUN, RUN_ATTEMPTS
from flows.runs.plan import has_passed

CARE = timedelta(days=7)
"""For so long after it landed a frame is calibrated again by itself where better masters come; later by people."""
MOST = 200
"""Frames that one run calibrates, the oldest first, so that other cameras have their turn."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done to science frames, by camera.

    Parameters
    ----------
    frames : mapping of str to tuple of int
        Ids of those that may be calibrated now, the oldest first.
    waiting : mapping of str to int
        How many others there are, which wait for their time.
    later : datetime or None
        When the first of these may be calibrated.
    """

    frames: Mapping[str, tuple[int, ...]]
    waiting: Mapping[str, int]
    later: datetime | None


def due(home: Home, at: datetime) -> Due:
    """Return what is to be done to science frames at a moment, whether sets are at work or not."""
    settle, since = timedelta(seconds=home.settings.watch.settle_seconds), at - CARE
    with home.read_session() as session:
        unread = oldest_unprocessed(session, (FileState.READY, FileState.CLAIMED))
        found = [
            one
            for camera in cameras_with_science(session, since=since)
            for one in science_to_do(
                session,
                camera,
                choices=choices_of(session, camera, rules=rules_of(home, camera)),
                host=home.settings.host,
                since=since,
            )
        ]
    return reckon(found, at=at, settle=settle, unread=unread)


def reckon(found: Iterable[ScienceFrame], *, at: datetime, settle: timedelta, unread: datetime | None) -> Due:
    """Return what is to be done to science frames.

    Parameters
    ----------
    found : iterable of ScienceFrame
        Those that something may be to be done to, the oldest first.
    at : datetime
        Now.
    settle : timedelta
        How long a frame is waited for that belongs to those that are there.
    unread : datetime or None
        When the first of the files landed that are not read yet; None where all are.
    """
    frames: dict[str, list[int]] = defaultdict(list)
    times: dict[str, list[datetime]] = defaultdict(list)
    for one, ripe_at in _times(found, at, settle):
        is_known = unread is None or unread > min(one.joined_at, at) + settle
        if ripe_at <= at and is_known:
            frames[one.instrument].append(one.frame_id)
        else:
            times[one.instrument].append(ripe_at)
    return Due(
        {camera: tuple(ids) for camera, ids in frames.items()},
        {camera: len(some) for camera, some in times.items()},
        min((when for some in times.values() for when in some if when > at), default=None),
    )


def _times(found: Iterable[ScienceFrame], at: datetime, settle: timedelta) -> Iterator[tuple[ScienceFrame, datetime]]:
    """Yield when each frame is due; those that failed too often are not, until other masters come."""
    for one in found:
        landed = one.joined_at if one.joined_at <= at + settle else at - settle  # by a clock that was ahead
        if one.last is None:
            yield one, landed + settle
        elif one.last.tries < RUN_ATTEMPTS:
            pause = timedelta(seconds=FAILED_RUN.after(one.last.tries))
            yield one, at if has_passed(one.last.tried_at, pause, at) else one.last.tried_at + pause


def rules_of(home: Home, instrument: str) -> str:
    """Return what of the configuration decides on the masters for frames of a camera."""
    entries = [entry.digest for entry in home.settings.instruments if entry.name == instrument]
    return repr((Tolerances.of(home.settings.recipes), sorted(home.settings.science.allow_missing), entries))
