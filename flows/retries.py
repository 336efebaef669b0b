"""What is done again after it failed: how often, and after what pauses. All of these numbers are here.

Where the record keeps the tries (a file's, a run's, a notice's), it is told what follows from them. What people
are told of them is in the guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Pauses:
    """Pauses between tries that fail one after the other; each is longer than the one before.

    Parameters
    ----------
    first_s, longest_s : float
        The first one, and what none exceeds, in seconds.
    doubling : bool
        Whether each is twice the one before, rather than longer by the first one.
    at_once : int
        After how many failures there is no pause yet.
    """

    first_s: float
    longest_s: float
    doubling: bool = True
    at_once: int = 0

    def after(self, failures: int) -> float:
        """Return how many seconds to wait after so many failures in a row."""
        n = failures - self.at_once
        if n <= 0:
            return 0.0
        return min(self.first_s * (2.0 ** min(n - 1, 60) if self.doubling else n), self.longest_s)


FILE_TRIES = 3
"""How often a file is read in vain before it is put into quarantine."""
FILE_REST = timedelta(seconds=30)
"""How long a file that could not be read for reasons of the moment waits before the next try."""
FILE_ON_REQUEST = Pauses(2.0, 30.0)
"""The same while somebody waits for it: a disk that was asleep has begun to wake up."""

RUN_ATTEMPTS = 3
"""Runs that fail one after the other on the same inputs before somebody must look at it."""
FAILED_RUN = Pauses(30.0, 3600.0)
DISK_FULL_S = 10.0
"""How long a run that found the disk full waits before it is tried again, as often as it may be."""
CUT_SHORT_RUN = Pauses(30.0, 3600.0, doubling=False, at_once=5)
"""Of a run whose process is killed each time, maybe of its own doing."""

ASK_AGAIN_AFTER = timedelta(seconds=60)
"""How long a run that Prefect was asked for may take to begin before it is asked for again."""
PREFECT_PAUSE_S = 0.5
"""Between two tries of one who waits for Prefect to answer."""
PATIENCE_S = 60.0
"""How long work on request waits for what others owe it: an answer of Prefect, a run on another machine."""

NOTICE = Pauses(30.0, 3600.0)
"""Of a receiver of notices that cannot be reached."""

PROCESS = Pauses(0.5, 30.0)
"""Of a process of the service that ends; one that ran for longer than the longest begins with the first again."""

OBSERVER = Pauses(10.0, 600.0)
"""Of an observer of a watched directory that is started again, while that does not help."""
