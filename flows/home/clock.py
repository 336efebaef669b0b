"""The system's clock may be ahead when the machine starts, and be put right later: who waits for a time must know.

Nothing on record is changed for it: it cannot be told which of two times was the right one, and a clock may as well be
behind. Whoever decides by a time on record does not believe one that lies farther before us than it can.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

JUMP = timedelta(seconds=2)
"""A clock that falls behind by more was put back; less is how clocks are kept right."""


class ClockWatch:
    """Notices that the clock was put back, which the clock itself does not tell."""

    def __init__(self) -> None:
        self._ahead: timedelta | None = None
        """How far the clock was ahead of one that nobody can put right, when last looked at."""

    def was_put_back(self, at: datetime) -> bool:
        """Whether it was put back since the last look, or may have been: before the first one nobody looked."""
        ahead = timedelta(seconds=at.timestamp() - time.monotonic())
        before, self._ahead = self._ahead, ahead
        return before is None or before - ahead > JUMP
