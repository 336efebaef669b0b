"""A camera's month as one page that needs nothing else: to be sent to a colleague, or printed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from html import escape
from pathlib import PurePath
from statistics import median

from sqlalchemy.orm import Session

from ccdcore.quantities import WATCHED, gravest, label_of
from ccdcore.text import listing, natural_key
from db.errors import UnknownIdError
from db.judgements.notes import JudgementLine, notes_that_hold
from db.runs.inputs import LeftOut, left_out
from db.runs.masters import list_masters
from db.runs.runs import list_runs
from db.trends.changes import changes
from db.trends.history import TrendRow, trends
from db.trends.notices import notices
from web.charts.trend_panels import Panel, panels
from web.templating import render

_YEAR = timedelta(days=366)
_MOST_POINTS = 250
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity of one amplifier: last row, gravest verdict and median of a month, median of that before."""

    last: TrendRow
    verdict: str
    n_nights: int
    middle: float
    before: float | None

    @property
    def change_percent(self) -> float | None:
        """Of the median against the month before."""
        return None if not self.before else 100 * (self.middle - self.before) / abs(self.before)


@dataclass(frozen=True, slots=True)
class Reason:
    """Frames that were left out for one reason."""

    reason: str
    role: str
    n: int
    names: str


def monthly_report(session: Session, *, instrument: str, month: date, base_url: str | None, now: datetime) -> str:
    """Return the report of an instrument on one month as HTML, with all pictures in it.

    Parameters
    ----------
    month : date
        Any day of the month; what counts is the night.
    base_url : str or None
        Where the pages are that links lead to; None for a page without links.
    now : datetime
        When it is written.

    Raises
    ------
    UnknownIdError
        If nothing of this instrument was measured in that month.
    """
    first = month.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    last = following - timedelta(days=1)
    end = datetime.combine(following, time(), UTC) + timedelta(days=1)  # a night ends the day after
    measured = trends(session, instrument=instrument, since=end - timedelta(days=70), until=end)
    lines = _lines(measured, first, last)
    if not lines:
        raise UnknownIdError(
            f"{instrument}: nothing was measured in {first:%Y-%m}: type ccdwatch trends to see what there is"
        )
    notes = notes_that_hold(session, instrument, since=end - _YEAR, until=end)
    begin = datetime.combine(first, time(12), UTC)
    content = render(
        "report.html",
        instrument=instrument,
        month=first,
        written=now,
        base_url=base_url,
        verdict=gravest(line.verdict for line in lines),
        lines=lines,
        watched=WATCHED,
        watched_words=listing([label_of(name) for name in WATCHED]),
        pictures=[(quantity, _drawn(session, quantity, instrument, end, notes)) for quantity in WATCHED],
        changes=[
            one
            for one in changes(session, instrument=instrument)
            if first <= one.since <= last and one.quantity in WATCHED
        ],
        notices=[
            one
            for one in notices(session, instrument=instrument)
            if first <= (one.observed_at - timedelta(hours=12)).date() <= last
        ],
        notes=[one for one in notes if one.at is not None and begin <= one.at < end],
        marked=[row for row in measured if row.mark and first <= row.night <= last],
        left_out=_reasons(left_out(session, instrument=instrument, first=first, last=last)),
        runs=[one for one in list_runs(session, instrument=instrument) if first <= one.night <= last],
        masters=[one for one in list_masters(session, instrument=instrument) if first <= one.night <= last],
    )
    return _linked(content, base_url)


def _lines(measured: Sequence[TrendRow], first: date, last: date) -> list[Line]:
    """Return a line for each quantity of each amplifier that was measured in the month."""
    of_curve: dict[tuple[str, ...], list[TrendRow]] = defaultdict(list)
    for row in (row for row in measured if row.counts):
        of_curve[row.configuration, row.amplifier, row.filter or "", row.quantity].append(row)
    lines = []
    for _, rows in sorted(of_curve.items(), key=lambda item: tuple(map(natural_key, item[0]))):
        within = [row for row in rows if first <= row.night <= last]
        before = [row.value for row in rows if first - timedelta(days=31) <= row.night < first]
        if within:
            lines.append(
                Line(
                    within[-1],
                    gravest(row.verdict for row in within),
                    len({row.night for row in within}),
                    median(row.value for row in within),
                    median(before) if before else None,
                )
            )
    return lines


def _drawn(
    session: Session, quantity: str, instrument: str, end: datetime, notes: Sequence[JudgementLine]
) -> list[Panel]:
    rows = trends(session, quantity=quantity, instrument=instrument, since=end - _YEAR, until=end, at_most=_MOST_POINTS)
    return panels(rows, notes)


def _reasons(frames: Sequence[LeftOut]) -> list[Reason]:
    """Return what was left out by reason, the most frequent first."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in frames:
        names[one.reason, one.role].append(PurePath(one.path).name)
    return [
        Reason(reason, role, len(of), ", ".join(of[:_MOST_NAMES]) + (", …" if len(of) > _MOST_NAMES else ""))
        for (reason, role), of in sorted(names.items(), key=lambda item: -len(item[1]))
    ]


def _linked(content: str, base_url: str | None) -> str:
    """Make links lead to the pages from wherever the report is read, or nowhere."""
    base = escape((base_url or "").rstrip("/"))
    return re.sub(r' href="(/[^"]*)"', (lambda found: f' href="{base}{found[1]}"') if base_url else "", content)
