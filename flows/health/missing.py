"""Frames that a camera had night after night, and has not in its last one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from ccdcore.frames.nights import night_of
from ccdcore.headers.instrument import FrameType
from ccdcore.text import listing, number_of
from db.runs.sets import SetSummary, set_summaries
from db.troubled import longitude_of_set
from flows.home.home import Home

HABIT = 3
"""So many sets of a camera and configuration that all had frames of a type make a habit."""
_REACH = timedelta(days=30)
"""Habits older than this are none any more."""
_PLURALS = {FrameType.BIAS: "biases", FrameType.DARK: "darks", FrameType.FLAT: "flats"}


@dataclass(frozen=True, slots=True)
class Missing:
    """A set that lacks frames of types that all of the sets before it had."""

    key: str
    words: str


def missing_frames(home: Home, session: Session, at: datetime, *, is_over: bool = True) -> Iterator[Missing]:
    """Yield the last sets of each camera and configuration that lack what those before them had.

    Parameters
    ----------
    home, session
        The home, and a session of its database.
    at : datetime
        Now.
    is_over : bool
        Whether only windows are looked at that are over; what is not there yet may come in others.
    """
    sets: dict[tuple[str, str], list[SetSummary]] = defaultdict(list)
    since = (at - _REACH).date()
    for one in set_summaries(session, host=home.settings.host, since=since):
        sets[one.instrument, one.configuration].append(one)
    for of_camera in sets.values():
        *before, last = of_camera[-HABIT - 1 :]
        lacking = _lacking(before, last)
        if lacking and (not is_over or _is_over(home, session, last, at)):
            types = listing([_PLURALS[kind] for kind in lacking])
            which = f"{last.instrument} {last.window_first_night} {last.configuration}"
            words = f"{which}: no {types}, which the {number_of(HABIT, 'set')} before had"
            yield Missing(f"set:{last.id} lacks {types}", words)


def _lacking(before: Sequence[SetSummary], last: SetSummary) -> list[FrameType]:
    if len(before) < HABIT:
        return []
    return [kind for kind in _PLURALS if kind not in last.counts and all(kind in one.counts for one in before)]


def _is_over(home: Home, session: Session, one: SetSummary, at: datetime) -> bool:
    """Whether the nights of a set are over, where its camera is."""
    longitude = home.settings.nights.longitude_deg
    if longitude is None:
        longitude = longitude_of_set(session, one.id) or 0.0
    return night_of(at, longitude) >= one.window_first_night + timedelta(days=max(1, one.window_nights))
