"""What the prices of masters are reckoned from, read from their files once: when they are made, or first asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path

from ccdcore.association.sample import Sample, Shift, read_sample, shift_between
from ccdcore.errors import FrameReadError
from db.association.figures import Unread, record_figures, unread_masters
from db.runs.masters import MasterOnRecord
from flows.home.home import Home

logger = logging.getLogger(__name__)

_KEPT = 64
"""Samples that are kept while those of many masters are read, each of some megabytes at most."""
_AT_ONCE = 50
"""Masters whose figures are put on record together."""


def complete_figures(
    home: Home,
    *,
    instruments: Collection[str] | None = None,
    run_id: int | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> None:
    """Read what is not on record yet of the masters of some cameras, or of one run alone.

    A file that is gone, or is no master any more, says nothing: its master has no price, and is the last choice.
    """
    with home.read_session() as session:
        unread = unread_masters(session, instruments=instruments, run_id=run_id)

    @lru_cache(maxsize=_KEPT)
    def sample(path: Path) -> Sample | None:
        try:
            return read_sample(path)
        except FrameReadError as error:
            logger.warning("%s", error)
            return None

    for start in range(0, len(unread), _AT_ONCE):
        progress("reading masters", start, len(unread))
        some = [(one, *_figures(home, one, sample)) for one in unread[start : start + _AT_ONCE]]
        home.require_there()
        with home.write_session() as session:
            for one, own, shifts in some:
                record_figures(session, one.master, own, shifts)


def _figures(
    home: Home, one: Unread, sample: Callable[[Path], Sample | None]
) -> tuple[Sample | None, list[tuple[MasterOnRecord, Shift]]]:
    """Return what the file of a master says, and how far it is from earlier ones."""
    own = sample(home.path / one.master.path) if one.master.kind != "mask" else None
    shifts = []
    for earlier in one.earlier if own is not None else ():
        other = sample(home.path / earlier.path)
        if own is not None and other is not None and (shift := shift_between(own, other)) is not None:
            shifts.append((earlier, shift))
    return own, shifts
