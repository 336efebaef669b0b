"""A home on which no service runs, though there is work for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy.orm import Session

from ccdcore.text import listing, number_of
from db.files import ledger
from db.schema.models import FileState
from flows.health.condition import is_stopped
from flows.health.waiting import waiting_sets
from flows.home.home import Home
from flows.watching.directory_tree import Tree
from flows.watching.heartbeat import read_heartbeat

_LOOK_SECONDS = 2.0
"""So long it is looked for files that nobody has seen; there may be very many, on a slow disk."""
_WAITING = (FileState.SEEN, FileState.SETTLING, FileState.READY, FileState.CLAIMED)


def stopped_with_work(home: Home, session: Session, at: datetime) -> tuple[str, str] | None:
    """Return what waits on a home without a service, as a key and in words; None where nothing does, or one runs."""
    if not is_stopped(home, read_heartbeat(home.path)):
        return None
    n_waiting = sum(ledger.counts(session, _WAITING).values())
    n_unseen = sum(1 for _ in _unseen_files(home, session))
    n_sets = sum(one.state in {"queued", "settling"} for one in waiting_sets(home, session, at))
    waits = [
        *([f"{number_of(n_waiting, 'file')} on record"] if n_waiting else []),
        *([f"{number_of(n_unseen, 'new file')} in watched folders"] if n_unseen else []),
        *([number_of(n_sets, "set")] if n_sets else []),
    ]
    if not waits:
        return None
    verb = "waits" if n_waiting + n_unseen + n_sets == 1 else "wait"
    words = f"no service runs on this home, and {listing(waits)} {verb}: ccdwatch up --home {home.path}"
    return f"stopped {n_waiting} {n_unseen} {n_sets}", words


def _unseen_files(home: Home, session: Session) -> Iterator[str]:
    """Yield paths below the watched folders of the configuration that are not on the ledger."""
    directories = [directory for directory in home.settings.watch.directories if directory.is_dir()]
    if not directories:
        return
    known = {f"{one.root}/{one.relative_path}" for one in ledger.sightings(session, host=home.settings.host)}
    until = time.monotonic() + _LOOK_SECONDS
    for directory in directories:
        tree = Tree(str(directory), include=home.settings.watch.include, exclude=str(home.path.resolve()))
        for folder, _, names in os.walk(directory):
            for path in (f"{folder}/{name}" for name in names):
                if path not in known and tree.wants(path):
                    yield path
            if time.monotonic() > until:
                return
