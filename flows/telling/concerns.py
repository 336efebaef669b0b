"""Telling of what needs attention: failed runs, masters that may not be used, missing frames; each once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache

from ccdcore.text import one_line
from flows.health.attention import Concern, attention, in_short
from flows.home.home import Home
from flows.home.service_address import web_url
from flows.telling.pace import Pace
from flows.telling.receivers import Message, send_untold

LEAST_PAUSE_S = 300.0
"""Between two messages: what comes to light together is told together."""
MOST_LINES = 20
_TOLD_ELSEWHERE = frozenset({"trend", "stopped"})
"""Trends have notices of their own, with pictures; and a home that is stopped has nobody who tells."""


class Concerns:
    """Tells every receiver of ``[notify] urls`` of each concern that it has not been told of, and nobody looked at.

    Parameters
    ----------
    home : Home
        The open home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._pace = Pace(LEAST_PAUSE_S)

    def tell(self, at: datetime) -> int:
        """Tell what there is; return how many messages were taken."""

        @cache
        def concerns() -> list[Concern]:
            found = attention(self._home, at)
            return [one for one in found if one.kind not in _TOLD_ELSEWHERE and not one.may_pass]

        def message_for(told: frozenset[str]) -> Message | None:
            news = [one for one in concerns() if one.key not in told]
            return Message([one.key for one in news], title_of(news), body_of(self._home, news)) if news else None

        return send_untold(self._home, self._pace, message_for)


def title_of(news: Sequence[Concern]) -> str:
    """Return what a message is about, on one line."""
    return f"ccdwatch: {', '.join(in_short(news))}"


def body_of(home: Home, news: Sequence[Concern]) -> str:
    """Return a message: a line for each, and where to look."""
    lines = [f"{one.kind}: {one_line(one.words)}" for one in news[:MOST_LINES]]
    if (more := len(news) - MOST_LINES) > 0:
        lines.append(f"… and {more} more: ccdwatch status")
    base = web_url(home.settings)
    return "\n".join([*lines, *([f"{base}/health"] if base else [])])
