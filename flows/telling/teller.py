"""What is told while the service runs: each thing at its time, again and again until it was."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from flows.home.home import Home
from flows.home.processes import now
from flows.telling.concerns import Concerns
from flows.telling.nightly import Nightly
from flows.telling.notifier import tell

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
LOOK_SECONDS = 60.0
"""How often it is looked at what needs attention, and whether the night is over."""


def keep_telling(home: Home, stop: Event) -> None:
    """Tell what there is to tell, until told to stop: for a thread of its own."""
    concerns, nightly = Concerns(home), Nightly(home)
    look_at = time.monotonic()
    while not stop.wait(EVERY_SECONDS):
        _try(lambda: tell(home))
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + LOOK_SECONDS
            _try(lambda: concerns.tell(now()))
            _try(lambda: nightly.tell(now()))


def _try(do: Callable[[], object]) -> None:
    try:
        do()
    except Exception:  # whatever a receiver or the database does, the watcher goes on and this is tried again
        logger.exception("notices could not be sent; they are sent later")
