"""Work that stands still, or takes longer than any should: told, and ended, so that it keeps nobody waiting.

A process that reads from a network folder whose server is gone waits for ever, and says nothing. It shows by its
standing still: it neither reckons nor reads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from db.files import ledger
from db.runs.runs import RunRow
from db.runs.sets import pixels_of
from flows.home.home import Home
from flows.home.processes import HOST, is_gone
from flows.orchestration.slots import free_slot_of, notes

logger = logging.getLogger(__name__)

STILL_SECONDS = 75.0
"""Work that has stood still for so long is told."""
ENDED_SECONDS = 300.0
"""Work that has stood still for so long is ended."""
LONGEST_SECONDS, PIXELS_PER_SECOND = 900.0, 3e5
"""How long a run may take, and how many pixels of its frames a second the slowest machine gets through."""
_LEAST_SECONDS, _LEAST_BYTES = 0.5, 2**16
"""Processor time and bytes read; less is Prefect's sign of life, not work."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process at work.

    Parameters
    ----------
    key, name : str
        What it works on, for us and in words.
    pid, started : int, float
        The process, and its start in seconds since 1970.
    n_pixels : int
        Of the frames that it works on.
    may_be_ended : bool
        Whether the service started it; what a person did is told only.
    """

    key: str
    name: str
    pid: int
    started: float
    n_pixels: int
    may_be_ended: bool

    @property
    def limit_seconds(self) -> float:
        """How long it may take."""
        return time_limit(self.n_pixels)


def time_limit(n_pixels: int) -> float:
    """Return how many seconds a run on frames of so many pixels may take, all together."""
    return LONGEST_SECONDS + n_pixels / PIXELS_PER_SECOND


@dataclass(slots=True)
class _Course:
    """How a worker got on; times are those of the monotonic clock, which nobody puts right."""

    since: float
    moved_at: float
    effort: tuple[float, int]
    why_ended: str | None = None


def workers_of(home: Home, under_way: Sequence[RunRow]) -> list[Worker]:
    """Return the processes of this machine that make runs, read files for the ledger, or calibrate science frames.

    Those of a Dask cluster are others; ours waits for them and stands still.
    """
    is_dask = home.settings.prefect.task_runner == "dask"
    here = [run for run in under_way if run.host == HOST and not is_dask]
    with home.read_session() as session:
        owners = ledger.claimants(session, host=home.settings.host)
        n_pixels = pixels_of(session, {run.set_id for run in here}) if here else {}
    found = []
    for run in here:
        name = f"run:{run.id} ({run.instrument} {run.night})"
        n = n_pixels.get(run.set_id, 0)
        found.append(Worker(f"run:{run.id}", name, run.pid, run.pid_started, n, run.engine == "prefect"))
    found += [Worker(one.flow_run_id, one.name, one.pid, one.started, one.n_pixels, True) for one in notes(home.path)]
    for owner in owners:
        machine, pid, started, _ = owner.rsplit(":", 3)
        if machine == HOST:
            found.append(Worker(owner, "the process that reads files", int(pid), float(started), 0, _is_flow(int(pid))))
    return found


def _is_flow(pid: int) -> bool:
    """Whether a process was forked for a flow run, rather than started by a person."""
    try:
        return any("forkserver" in word for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


class Overseer:
    """Looks at processes at work again and again.

    Parameters
    ----------
    home : Path
        The home; its slots are freed of those who cannot be ended.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._courses: dict[str, _Course] = {}

    def look(self, workers: Iterable[Worker]) -> list[str]:
        """Look at all that is at work now, and end what must be; return what is to be told."""
        current = {worker.key: worker for worker in workers}
        self._courses = {key: course for key, course in self._courses.items() if key in current}
        return [told for worker in current.values() if (told := self._look_at(worker))]

    def why_ended(self, key: str) -> str | None:
        """Return why a worker was ended; None where it was not."""
        course = self._courses.get(key)
        return course.why_ended if course else None

    def _look_at(self, worker: Worker) -> str | None:
        try:
            process = psutil.Process(worker.pid)
            if is_gone(worker.pid, worker.started):
                return None
            effort = _effort(process)
        except psutil.Error:
            return None
        now = time.monotonic()
        course = self._courses.setdefault(worker.key, _Course(now, now, effort))
        if effort[0] > course.effort[0] + _LEAST_SECONDS or effort[1] > course.effort[1] + _LEAST_BYTES:
            course.moved_at, course.effort = now, effort
        still, taken = now - course.moved_at, now - course.since
        if course.why_ended is None and worker.may_be_ended and (why := _too_long(worker, still, taken)):
            course.why_ended = why
            logger.warning("%s %s: it is ended", worker.name, why)
        if course.why_ended is not None:
            return self._end(worker, process, course.why_ended)
        if still > STILL_SECONDS:
            todo = "see whether the folder of its frames, and the database, answer"
            return f"{worker.name} has stood still for {_minutes(still)}: {todo}"
        if taken > worker.limit_seconds:
            return f"{worker.name} has taken {_minutes(taken)}"
        return None

    def _end(self, worker: Worker, process: psutil.Process, why: str) -> str | None:
        """End a process; one that the kernel holds gives up its slot at least."""
        with suppress(psutil.Error):
            process.kill()
        with suppress(psutil.Error):
            process.wait(0.5)
        if is_gone(worker.pid, worker.started):
            return None
        free_slot_of(self._home, worker.pid)
        return f"{worker.name} {why} and cannot be ended before the folder of its frames answers"


def _too_long(worker: Worker, still: float, taken: float) -> str | None:
    if still > ENDED_SECONDS:
        return f"stood still for {_minutes(still)}"
    return f"took longer than {_minutes(worker.limit_seconds)}" if taken > worker.limit_seconds else None


def _effort(process: psutil.Process) -> tuple[float, int]:
    """Return what a process has done: processor time in seconds, and bytes read."""
    times = process.cpu_times()
    try:
        counters = process.io_counters()
    except (psutil.AccessDenied, AttributeError):
        return times.user + times.system, 0
    return times.user + times.system, counters.read_bytes + getattr(counters, "read_chars", 0)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
