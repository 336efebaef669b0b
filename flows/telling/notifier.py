"""Telling people of trends, through Apprise: what could not be told is told later, and no work waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from ccdcore.quantities import label_of
from ccdcore.text import one_line
from db.runs.measurements import run_of_measurement
from db.trends.notices import NoticeOnRecord, due_notices, record_told
from flows.home.home import Home
from flows.home.processes import now
from flows.home.service_address import trend_url, web_url
from flows.retries import NOTICE
from flows.runs.news import NEWS_FOR
from flows.runs.pictures import trend_picture
from flows.telling.receivers import receivers_of, send
from web.formatting import sentence


def tell(home: Home, *, at: datetime | None = None) -> int:
    """Tell every receiver of ``[notify] urls`` what it has not been told; return how many notices are done.

    Notices of one camera are one message. A receiver that cannot be reached is tried again later, the others are not
    told twice.
    """
    at = at or now()
    with home.read_session() as session:
        due = due_notices(
            session, at=at, believed_until=at + timedelta(seconds=NOTICE.longest_s), raised_since=at - NEWS_FOR
        )
    done = 0
    for _, group in groupby(sorted(due, key=_camera), key=_camera):
        done += _tell_of(home, list(group))
    return done


def _camera(notice: NoticeOnRecord) -> tuple[str, str]:
    return notice.instrument, notice.configuration


def _tell_of(home: Home, group: Sequence[NoticeOnRecord]) -> int:
    receivers = receivers_of(home.settings)
    told = {notice.id: dict(notice.told) for notice in group}
    for key, url in receivers.items():
        news = [notice for notice in group if key not in notice.told]
        if news and _send(home, url, news):
            for notice in news:
                told[notice.id][key] = now().isoformat()
    done = 0
    with home.write_session() as session:
        for notice in group:
            is_done = receivers.keys() <= told[notice.id].keys()
            pause = timedelta(seconds=NOTICE.after(notice.tries + 1))
            record_told(session, notice.id, told=told[notice.id], next_try_at=None if is_done else now() + pause)
            done += is_done
    return done


def _send(home: Home, url: str, news: Sequence[NoticeOnRecord]) -> bool:
    return send(url, title=title_of(news), body=body_of(home, news), pictures=_pictures(home, news))


def title_of(news: Sequence[NoticeOnRecord]) -> str:
    """Return what a message is about, on one line."""
    is_well = all(one.kind in {"inside", "back"} for one in news)
    quantities = ", ".join(dict.fromkeys(label_of(one.quantity) for one in news))
    return one_line(f"{news[0].instrument}: {quantities} {'well again' if is_well else 'changed'}")


def body_of(home: Home, news: Sequence[NoticeOnRecord]) -> str:
    """Return a message: a sentence for each notice, and where to look."""
    lines = [one_line(sentence(one)) for one in news]
    if base := web_url(home.settings):
        shown = dict.fromkeys((one.quantity, one.amplifier) for one in news)
        lines += [trend_url(base, of, instrument=news[0].instrument, amplifier=name) for of, name in shown]
    return "\n".join(lines)


def _pictures(home: Home, news: Iterable[NoticeOnRecord]) -> list[Path]:
    """Return the pictures of the trends that were drawn when these notices were put on record."""
    with home.read_session() as session:
        wanted = {(run_of_measurement(session, one.measurement_id), one.quantity): None for one in news}
    paths = [home.path / trend_picture(run_id, quantity) for run_id, quantity in wanted]
    return [path for path in paths if path.exists()]
