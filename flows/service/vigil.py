"""How `up` sees that one of its processes runs, but does not work: by what it says of itself, or answers."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from flows.prefect_server.client import FLOWS, PrefectApi, PrefectUnavailableError
from flows.watching.heartbeat import read_heartbeat

HUNG_SECONDS = 180.0
"""A process that has said nothing for so long hangs, and is started again."""
STARTING_SECONDS = 600.0
"""The same of a server that has never worked yet: where nothing is compiled and others keep the processors busy, it
needs minutes, and would need them anew each time it is started again."""
BROKEN_SECONDS = 60.0
"""A server that has answered with errors for so long has lost its database, and makes another one as it starts."""
_LOOK_SECONDS = 5.0
_START_SECONDS = 0.5


class WatcherVigil:
    """Listens to the watcher; by a clock that nobody can put right, whatever time its signs of life are of.

    Parameters
    ----------
    home : Path
        Where they are.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._last: datetime | None = None
        self._heard_at = time.monotonic()

    def is_silent(self) -> bool:
        """Whether nothing new was heard for long; where nothing ever was, it is not known."""
        heartbeat = read_heartbeat(self._home)
        if heartbeat is None or heartbeat.at != self._last:
            self._last, self._heard_at = heartbeat.at if heartbeat else None, time.monotonic()
        return time.monotonic() - self._heard_at > HUNG_SECONDS


class ServerVigil:
    """Asks the Prefect server something that it needs its database for.

    Parameters
    ----------
    api : PrefectApi
        Whom to ask; it must not take long to find that there is no answer.
    """

    def __init__(self, api: PrefectApi) -> None:
        self._api = api
        self._next = 0.0
        self._well_at = time.monotonic()
        self._patience = self._silence = STARTING_SECONDS

    def is_broken(self) -> bool:
        """Whether it has not answered as it should for long."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LOOK_SECONDS
            try:
                self._api.deployment_id("ingest")
                self._note_well(now)
            except PrefectUnavailableError as error:
                if not error.is_passing:
                    self._note_well(now)
                self._patience = self._silence if error.status is None else BROKEN_SECONDS
        return now - self._well_at > self._patience

    def _note_well(self, now: float) -> None:
        self._well_at, self._silence = now, HUNG_SECONDS

    def begin_again(self) -> None:
        """Give it the time to start."""
        self._well_at = time.monotonic()


class StartVigil:
    """Sees how far a start has come: the server answers; then it knows our flows, and work can be asked for.

    Where nothing is compiled yet, minutes may lie between the two.

    Parameters
    ----------
    api : PrefectApi
        Whom to ask.
    """

    def __init__(self, api: PrefectApi) -> None:
        self._api = api
        self._next = 0.0
        self.has_answered = False
        """Whether the server has answered since the start."""

    def is_over(self) -> bool:
        """Whether work can be asked for: all of our flows are registered; looks twice a second at most."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _START_SECONDS
        self.has_answered = self.has_answered or self._api.is_ready()
        try:
            return self.has_answered and all(self._api.deployment_id(flow) for flow in FLOWS)
        except PrefectUnavailableError:
            return False
