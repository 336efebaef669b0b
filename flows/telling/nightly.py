"""The summary of a night: frames, results, what failed, what is missing, and a picture; once a day."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType
from ccdcore.quantities import WATCHED, label_of
from ccdcore.text import number_of, one_line, unit_text, value_text
from db.frames.listing import frames_since
from db.runs.masters import run_masters
from db.runs.measurements import run_measurements
from db.runs.runs import RunRow, lately_done
from flows.applying.gaps import find_gaps
from flows.calibration.results import verdicts_of
from flows.health.attention import attention, in_short
from flows.health.missing import missing_frames
from flows.health.waiting import waiting
from flows.home.home import Home
from flows.home.service_address import web_url
from flows.runs.lacks import in_words
from flows.runs.pictures import pictures_of, trend_picture
from flows.telling.pace import Pace
from flows.telling.receivers import Message, send_untold

logger = logging.getLogger(__name__)

_DAY = timedelta(days=1)
_LATEST = timedelta(hours=12)
"""A summary that could not be sent for so long is left to the next one."""
MOST_LINES = 20


class Nightly:
    """Sends every receiver of ``[notify] urls`` the summary of the night at ``[notify] nightly``, local time.

    Parameters
    ----------
    home : Home
        The open home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._pace = Pace()

    def tell(self, at: datetime) -> int:
        """Send it, where it is due and was not sent yet; return how many receivers took it."""
        key = due_summary(self._home.settings.notify.nightly, at)
        if key is None:
            return 0

        @cache
        def message() -> Message:
            title, body, picture = summary(self._home, at)
            return Message([key], title, body, [picture] if picture else [])

        return send_untold(self._home, self._pace, lambda told: None if key in told else message())


def due_summary(nightly: str | None, at: datetime) -> str | None:
    """Return the key of the summary that is due at a time, local to this machine; None where none is."""
    if nightly is None:
        return None
    hour, minute = map(int, nightly.split(":"))
    local = at.astimezone()
    since = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if since > local:
        since -= _DAY
    return f"night {since:%Y-%m-%d}" if local < since + _LATEST else None


def summary(home: Home, at: datetime) -> tuple[str, str, Path | None]:
    """Return title, text and picture of what the last day brought."""
    since = at - _DAY
    with home.read_session() as session:
        frames = frames_since(session, since=since)
        runs = lately_done(session, since=since)
        results = [_result(session, run) for run in runs[-MOST_LINES:]]
        missing = [one.words for one in missing_frames(home, session, at, is_over=False)]
    concerns, waits, to_take = attention(home, at), waiting(home, at), _to_take(home, since)
    of_night = [one for one in concerns if one.kind != "missing frames"]
    n = sum(count for _, _, count in frames)
    counts = [number_of(n, "frame"), number_of(len(runs), "result"), *in_short(of_night)]
    if missing:
        counts.append(f"{number_of(len(missing), 'set')} that lacks frames")
    if to_take:
        counts.append(f"{number_of(len(to_take), 'set')} to take")
    lines = [
        *(_frames(frames) or ["No frame came in the last 24 hours."]),
        *_listed("Results", results, len(runs)),
        *_listed("To be looked at", [f"{one.kind}: {one.words}" for one in of_night], len(of_night)),
        *_listed("Missing", missing, len(missing)),
        *_listed("To take", to_take, len(to_take)),
        *_listed("Waiting", [f"{one.state}: {one.words(at)}" for one in waits], len(waits)),
    ]
    base = web_url(home.settings)
    body = "\n".join(one_line(line) for line in [*lines, *([f"{base}/"] if base else [])])
    return f"ccdwatch: {', '.join(counts)}", body, _picture(home, runs)


def _to_take(home: Home, since: datetime) -> list[str]:
    """Return what is missing for the science frames of the night; whatever fails there costs no summary."""
    try:
        gaps = (one for one in find_gaps(home, since=since) if one["n_to_take"])
        return [f"{one['instrument']}: {one['take']}, for {one['frames']}" for one in gaps]
    except Exception as error:
        logger.exception("what is missing for science frames could not be found")
        return [f"could not be found: {in_words(error)}: type ccdwatch gaps"]


def _frames(frames: Iterable[tuple[str, str, int]]) -> list[str]:
    of_camera: dict[str, list[str]] = {}
    for instrument, kind, n in frames:
        words = f"{n} biases" if kind == FrameType.BIAS and n != 1 else number_of(n, kind)
        of_camera.setdefault(instrument, []).append(words)
    return [f"{instrument}: {', '.join(words)}" for instrument, words in of_camera.items()]


def _result(session: Session, run: RunRow) -> str:
    """Return what a run found, in words."""
    verdicts = verdicts_of(session, run.id)
    measured = run_measurements(session, run.id)
    values = [
        f"{label_of(row.quantity)} {value_text(row.value, row.uncertainty)} {unit_text(row.unit)} "
        f"(amplifier {row.amplifier}, {verdicts.get(row.amplifier, 'unjudged')})"
        for row in measured
        if row.quantity in WATCHED
    ]
    masters = [f"{row.product}: {row.verdict}" for row in run_masters(session, run.id) if row.kind != "mask"]
    return f"{run.instrument} {run.night} {run.configuration}: {'; '.join([*values, *masters]) or 'nothing made'}"


def _listed(what: str, lines: Sequence[str], n: int) -> Iterator[str]:
    if lines:
        yield f"{what}:"
        yield from (f"- {line}" for line in lines[:MOST_LINES])
        if n > MOST_LINES:
            yield f"- … and {n - MOST_LINES} more"


def _picture(home: Home, runs: Sequence[RunRow]) -> Path | None:
    """Return a picture of the newest results: a trend, else the first of them."""
    for run in reversed(runs):
        trends = [home.path / trend_picture(run.id, quantity) for quantity in WATCHED]
        for path in [*(one for one in trends if one.is_file()), *pictures_of(home, run.id)]:
            return path
    return None
