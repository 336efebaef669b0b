"""What a run needs of memory, what it may take, and what is said where that is not enough."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ccdcore.errors import CcdError, FrameReadError
from ccdcore.mosaics.detectors import detectors_of, is_large
from ccdcore.text import one_line
from db.frames.series import set_frames
from db.runs.lifecycle import PROCESS_GONE
from db.runs.runs import RunRow, attempts_at, get_run
from db.runs.sets import largest_frames
from db.schema.models import Outcome
from flows.home.home import Home

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

logger = logging.getLogger(__name__)

AT_REST_MIB, MIB_PER_MEGAPIXEL = 700, 30
"""What a run takes at most: whatever its frames, and for each megapixel of a frame (docs/performance.md)."""
LIKELY_SHARE = 0.5
"""A run that needs more than this of what it may take was most likely killed for it: two are made at a time."""
MOST_KILLED = 2
"""Times that a run may be killed for memory, one after the other."""
OUT_OF_MEMORY = "memory ran out: "
"""Begin of the message of a run that was refused memory."""

_GIB = 2**30


class NotEnoughMemoryError(CcdError):
    """A run that was killed for memory again and again, and would be once more."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many bytes of memory a process may take, and by what: the file of a control group, or None."""

    n_bytes: int
    by: Path | None = None

    def __str__(self) -> str:
        amount = f"{self.n_bytes / _GIB:.1f} GiB"
        return f"{one_line(self.by)} allows {amount}" if self.by else f"this machine has {amount}"

    @property
    def todo(self) -> str:
        """What to do about it."""
        if self.by:
            return "raise MemoryMax= of the unit or mem_limit of the container, and start it again"
        return "use a machine that has more"


def allowance(
    pid: int | str = "self", *, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")
) -> Allowance:
    """Return what a process may take: all that the machine has, or less, by the control groups that it is in."""
    limits = [Allowance(psutil.virtual_memory().total), *_limits(pid, proc, groups)]
    return min(limits, key=lambda one: one.n_bytes)


def _limits(pid: int | str, proc: Path, groups: Path) -> Iterator[Allowance]:
    """Give the limits of the groups of a process, of both versions, and of all that these are in."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
        group = top / path.strip("/")
        for folder in (group, *(one for one in group.parents if one.is_relative_to(top))):
            try:
                yield Allowance(int((folder / name).read_text()), folder / name)
            except (OSError, ValueError):  # none there, or "max"
                continue


def needed(n_pixels: int) -> int:
    """Return about how many bytes a run takes at most, from the pixels of one frame.

    Frames are combined strip by strip: their number adds what is held of them at most, which is in the first part.
    """
    return AT_REST_MIB * 2**20 + int(MIB_PER_MEGAPIXEL * 2**20 * n_pixels / 1e6)


def pixels_at_once(home: Home, session: Session, set_id: int) -> int:
    """Return the pixels of a frame of a set that a run has in its hands at a time: of a large mosaic a detector's.

    Its mask of bad pixels is made as a whole, a byte a pixel.
    """
    n_pixels = largest_frames(session, {set_id}).get(set_id, 0)
    if not is_large((n_pixels,)):
        return n_pixels
    frames = set_frames(session, set_id, host=home.settings.host)
    largest = max(frames, key=lambda one: prod(one.shape), default=None)
    try:
        detectors = detectors_of([largest]) if largest else ()
    except FrameReadError:  # who reads it says so
        return n_pixels
    if largest is None or not detectors:
        return n_pixels
    return largest.shape[0] * max(one.n_columns for one in detectors) + n_pixels // MIB_PER_MEGAPIXEL


def too_little(n_pixels: int, allowed: Allowance) -> str | None:
    """Say that a run on frames of so many pixels needs more than it may take; None where it does not."""
    return _words(n_pixels, allowed) if needed(n_pixels) > allowed.n_bytes else None


def require_memory(home: Home, run_id: int) -> None:
    """Look, before a run begins in earnest, whether there is memory enough; say so where there is not.

    Raises
    ------
    NotEnoughMemoryError
        If runs on the same inputs were killed twice, one after the other, and this one needs so much of what there is
        that it would be, too.
    """
    with home.read_session() as session:
        run = get_run(session, run_id)
        n_pixels = pixels_at_once(home, session, run.set_id)
        before = attempts_at(session, set_id=run.set_id, digest=run.digest, before=run_id)
    allowed = allowance()
    killed = sum(1 for _ in takewhile(_was_killed, filter(_says_something, before)))
    if killed >= MOST_KILLED and needed(n_pixels) > LIKELY_SHARE * allowed.n_bytes:
        raise NotEnoughMemoryError(
            f"killed {killed} times one after the other, most likely for memory: {_words(n_pixels, allowed)}, then "
            f"type ccdwatch retry run:{run_id}; it is not tried again by itself"
        )
    if words := too_little(n_pixels, allowed):
        logger.warning("run:%d (%s %s) may be killed: %s", run_id, run.instrument, run.night, words)


def out_of_memory(home: Home, run_id: int, error: MemoryError) -> str:
    """Return what is said of a run that was refused memory."""
    with home.read_session() as session:
        set_id = get_run(session, run_id).set_id
        n_pixels = pixels_at_once(home, session, set_id)
    return f"{OUT_OF_MEMORY}{_words(n_pixels, allowance())} ({type(error).__name__}: {error})"


def _words(n_pixels: int, allowed: Allowance) -> str:
    need = f"a run on frames of {n_pixels / 1e6:.1f} megapixels needs about {needed(n_pixels) / _GIB:.1f} GiB"
    return f"{need}, and {allowed}: {allowed.todo}"


def _was_killed(run: RunRow) -> bool:
    if run.outcome is Outcome.FAILED:
        return (run.message or "").startswith(OUT_OF_MEMORY)
    return run.outcome is Outcome.ABANDONED


def _says_something(run: RunRow) -> bool:
    """Whether the end of a run tells of its memory: not where it ended before it began, or lost its database."""
    return run.outcome is not Outcome.ABANDONED or run.message == PROCESS_GONE
