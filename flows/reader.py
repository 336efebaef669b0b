"""Processes that read files nobody vouches for: one that kills, stops or bloats its reader costs only itself.

They are forked from a server process that has imported what reading needs, and go on from file to file.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

import psutil

from ccdcore.errors import CcdError
from ccdcore.instrument import Instrument

if TYPE_CHECKING:
    from ccdcore.fits_io import MeasuredFrame

READERS = min(os.cpu_count() or 2, 8)
PRELOADED = ("flows.warm_reading",)

SECONDS, SLOWEST_BYTES_PER_SECOND = 10.0, 10e6
"""How long one file may take, and what is added for a large one on a slow disk."""
MEMORY, MEMORY_PER_BYTE = 3 * 2**28, 8
"""How many bytes may be allocated for one file, and what is added for each byte that somebody really wrote."""
_GRACE_SECONDS = 5.0


class ReadingError(Exception):
    """A reader did not come to the end of a file, by its fault or that of the moment; the message is the reason."""


class Readers:
    """As many readers as there are processors, for as many threads.

    Parameters
    ----------
    instruments : sequence of Instrument
        Entries of the configuration.
    """

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._all = [_Reader(instruments) for _ in range(READERS)]
        self._idle: SimpleQueue[_Reader] = SimpleQueue()
        for reader in self._all:
            self._idle.put(reader)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._all:
            reader.stop()

    def measure(self, path: Path) -> MeasuredFrame:
        """Do what `ccdcore.fits_io.measure_frame` does, within limits of time and memory.

        Raises
        ------
        CcdError
            As `measure_frame`.
        ReadingError
            If the reader reached a limit, died, or met what nobody foresaw.
        """
        reader = self._idle.get()
        try:
            return reader.measure(path)
        finally:
            self._idle.put(reader)


class _Reader:
    """A process that is started when there is a file to read, and again where it died."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)
        self._process: ForkServerProcess | None = None
        self._pipe: Connection | None = None

    def measure(self, path: Path) -> MeasuredFrame:
        size = _bytes_on_disk(path)
        seconds = SECONDS + size / SLOWEST_BYTES_PER_SECOND
        pipe = self._pipe or self._start()
        try:
            pipe.send((path, seconds, MEMORY + MEMORY_PER_BYTE * size))
            # It ends itself in time, unless the kernel holds it: in a network folder whose server is gone.
            answer: MeasuredFrame | Exception | None = pipe.recv() if pipe.poll(seconds + _GRACE_SECONDS) else None
        except (EOFError, OSError):
            answer = None
        if answer is None:
            raise ReadingError(self._end_of(seconds))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _start(self) -> Connection:
        multiprocessing.set_forkserver_preload(list(PRELOADED))  # unless that server runs already
        context = multiprocessing.get_context("forkserver")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._instruments), daemon=True)
        self._process.start()
        theirs.close()
        return self._pipe

    def _end_of(self, seconds: float) -> str:
        """Make an end of a process that gave no answer; return in words how it came to that."""
        assert self._process is not None
        self._process.join(1.0)
        code = self._process.exitcode
        self.stop()
        if code in {None, -signal.SIGALRM}:
            return f"could not be read within {seconds:.0f} s"
        return f"ended the process that read it ({signal.Signals(-code).name if code and code < 0 else code})"

    def stop(self) -> None:
        """Let the process end; one that does not is killed."""
        if self._process is None or self._pipe is None:
            return
        self._pipe.close()
        self._process.join(1.0)
        self._process.kill()
        self._process = self._pipe = None


def _bytes_on_disk(path: Path) -> int:
    """Return what a file takes on disk: of a sparse one only what was written."""
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def _serve(pipe: Connection, instruments: Sequence[Instrument]) -> None:
    """Read what is asked for until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # where memory is short, rather this process than others
    at_first = psutil.Process().memory_info().data
    while True:
        try:
            path, seconds, memory = pipe.recv()
        except (EOFError, OSError):
            return
        resource.setrlimit(resource.RLIMIT_DATA, (at_first + memory, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer = _measured(path, instruments, memory)
        signal.setitimer(signal.ITIMER_REAL, 0)
        pipe.send(answer)


def _measured(path: Path, instruments: Sequence[Instrument], memory: int) -> MeasuredFrame | Exception:
    from ccdcore.fits_io import measure_frame

    try:
        return measure_frame(path, instruments=instruments)
    except CcdError as error:
        return error
    except MemoryError:
        return ReadingError(f"needs more than {memory / 2**20:.0f} MiB of memory to be read")
    except Exception as error:  # noqa: BLE001 - whatever one file does, the others are read
        return ReadingError(f"{type(error).__name__}: {error}")
