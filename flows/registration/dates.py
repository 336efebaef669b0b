"""Dates of frames: whether they can be believed, and the window of nights that they fall into."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from ccdcore.frames.nights import window_of
from ccdcore.headers.identify import ExposureInfo
from db.frames.odd_dates import oddly_dated
from db.frames.spans import span_around
from flows.config.settings import Settings
from flows.home.processes import now

TOLERANCE = timedelta(days=1)
"""How much later than its arrival a frame may say it was taken: its date may be in the time of another zone."""

_CLOCKS_SET_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
"""By a clock that says less, nothing arrived: this machine's own was not set then, and no date is doubted for it."""
_UNSET = (date(1970, 1, 1), date(1980, 1, 1), date(1980, 1, 6), date(2000, 1, 1))
"""What clocks begin with that nobody has set."""


def arrival(path: Path) -> datetime:
    """Return when a file arrived, as the ledger has it."""
    status = path.stat()
    return min(datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), tz=UTC), now())


def from_the_future(date_obs: datetime | None, arrived: datetime) -> bool:
    """Whether a frame says that it was taken after its file arrived."""
    return date_obs is not None and date_obs > arrived + TOLERANCE and arrived >= _CLOCKS_SET_SINCE


def doubt_about_date(date_obs: datetime | None, arrived: datetime) -> str | None:
    """Return why a frame's date is not believed, or is odd, with what to do; None where nothing is wrong with it."""
    if date_obs is None:
        return None
    if from_the_future(date_obs, arrived):
        when = f"its date, {date_obs:%Y-%m-%d %H:%M}, is later than its arrival, {arrived:%Y-%m-%d %H:%M}"
        todo = "set the camera's clock and correct the card, or name another one as header = { date_obs = … }"
        return f"{when}, and not believed: {todo} of an [[instrument]]"
    if date_obs.date() in _UNSET and arrived - date_obs > TOLERANCE:
        return f"its date, {date_obs:%Y-%m-%d %H:%M}, is what clocks begin with that were never set: set the camera's"
    return None


def odd_dates(session: Session, *, host: str) -> list[dict[str, Any]]:
    """Return what is odd about the dates of frames on record, as plain JSON values.

    One row for each instrument and kind of oddity: ``instrument``, ``n`` frames, whether they ``are_left_out``, and
    one of them with its ``path`` and the ``reason``.
    """
    rows: dict[tuple[str, bool], dict[str, Any]] = {}
    for one in oddly_dated(session, host=host, days=_UNSET):
        left_out, reason = from_the_future(one.date_obs, one.joined_at), doubt_about_date(one.date_obs, one.joined_at)
        if reason is not None:
            known = {"instrument": one.instrument, "n": 0, "are_left_out": left_out, "path": str(one.path)}
            rows.setdefault((one.instrument, left_out), {**known, "reason": reason})["n"] += 1
    return list(rows.values())


def window_of_frame(settings: Settings, info: ExposureInfo, arrived: datetime) -> tuple[date | None, int]:
    """Return the first night of the window that a frame falls into, and how many nights it has.

    None where the date is not known or not believed. A window ends where another entry of the instrument begins to
    hold; what is left of a night after that is a window of 0 nights.
    """
    nights = settings.nights
    night = nights.night_of(info)
    if night is None or info.date_obs is None or from_the_future(info.date_obs, arrived):
        return None, nights.window_nights
    first = window_of(night, nights.window_nights)
    same = [entry for entry in settings.instruments if entry.name == info.instrument]
    times = sorted({one for entry in same for one in (entry.valid_from, entry.valid_to) if one is not None})
    since, until = span_around(times, info.date_obs)
    start, end = first, first + timedelta(days=nights.window_nights - 1)
    just = timedelta(microseconds=1)
    cut = None
    if since is not None:
        start = max(start, nights.night_of(replace(info, date_obs=since)) or start)
        cut = nights.night_of(replace(info, date_obs=since - just))
    if until is not None:
        end = min(end, nights.night_of(replace(info, date_obs=until - just)) or end)
    return start, 0 if start == end == cut else (end - start).days + 1
