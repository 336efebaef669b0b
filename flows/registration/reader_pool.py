"""Processes that read files nobody vouches for: one that kills, stops or bloats its reader costs only itself.

They are forked from a server process that has imported what reading needs, and go on from file to file.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psutil

from ccdcore.errors import CcdError, ExpectedError, FrameReadError
from ccdcore.headers.instrument import Instrument
from ccdcore.io.stream import claimed_bytes
from ccdcore.io.structure import MAX_RATIO, SMALL_BYTES
from flows.home.output_paths import home_above

if TYPE_CHECKING:
    from ccdcore.io.read import MeasuredFrame

Found = TypeVar("Found")

READERS = min(os.cpu_count() or 2, 8)
PRELOADED = ("flows.registration.preload",)

START_SECONDS = 300.0
"""How long a reader may take to start, which is the fault of no file: it imports and compiles, on a busy machine."""
SECONDS, SLOWEST_BYTES_PER_SECOND = 10.0, 10e6
"""How long one file may take, and what is added for a large one on a slow disk.

Both are twice as long with each try: a disk wakes up, or is slower than any should be."""
MEMORY, MEMORY_PER_BYTE = 3 * 2**28, 8
"""How many bytes may be allocated for one file, and what is added for each byte of its pixels.

Those are the bytes that it says it holds when decompressed, as far as what was really written can hold as many: a
sparse file counts as long as what takes room on disk."""
_LOST = {
    *(errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN, errno.ECONNRESET, errno.ECONNABORTED),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENODEV, errno.ENXIO),
}
"""What the system says of files on a share whose server is away, or on a disk that was unplugged."""
_GRACE_SECONDS = 5.0
_NO_LOSS = "No file is to blame, and none is lost: they are read at the next try"


class ReaderStartError(ExpectedError):
    """No reader could be started. No file is to blame, and none is lost: they are read when one starts."""


class ReadingError(Exception):
    """A reader did not come to the end of a file, by its fault or that of the moment; the message is the reason."""


class ShareLostError(ReadingError):
    """The disk or share that a file is on does not answer, which is the fault of no file."""


def require_same(path: Path, root: Path, signature: tuple[int, int, int]) -> None:
    """Make sure that a file is the one on the ledger (size, mtime in ns, inode), and no link into a home.

    Raises
    ------
    FrameReadError
        If it is not.
    """
    target = path.resolve()
    if not target.is_relative_to(root.resolve()) and home_above(target) is not None:
        raise FrameReadError(path, "is a link into a home of ccdwatch")
    status = path.stat()
    if (status.st_size, status.st_mtime_ns, status.st_ino & 2**63 - 1) != signature:  # inode: see `db.files.ledger`
        raise FrameReadError(path, "changed while it was read", incomplete=True)


def _take_as_is() -> None:
    """Check nothing."""


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

    def measure(self, path: Path, *, check: Callable[[], None] = _take_as_is, tries: int = 0) -> MeasuredFrame:
        """Do what `ccdcore.io.read.measure_frame` does, within limits of time and memory.

        Parameters
        ----------
        path : Path
            The file. Not so much as its size is asked for here: on a folder whose server is gone, that hangs too.
        check : callable
            Called by the reader before the file is read and after it; what it raises is raised here. To be pickled.
        tries : int
            How often it was read in vain before.

        Raises
        ------
        CcdError
            As `measure_frame`, and as `check`.
        ReaderStartError
            If there is nobody to read it.
        ReadingError
            If the reader reached a limit, died, or met what nobody foresaw.
        """
        reader = self._idle.get()
        try:
            return reader.measure(path, check, tries)
        finally:
            self._idle.put(reader)


class _Reader:
    """A process that is started when there is a file to read, and again where it died."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)
        self._process: ForkServerProcess | None = None
        self._pipe: Connection | None = None

    def measure(self, path: Path, check: Callable[[], None], tries: int) -> MeasuredFrame:
        patience = 2.0**tries
        seconds = patience * SECONDS
        pipe = self._pipe or self._start()
        try:
            pipe.send((path, check, seconds, SLOWEST_BYTES_PER_SECOND / patience, MEMORY))
            answer: MeasuredFrame | Exception | float | None = self._answer(pipe, seconds)
            if isinstance(answer, float):
                answer = self._answer(pipe, seconds := answer)
        except (EOFError, OSError):
            answer = None
        if answer is None:
            ended = self._end()
            raise ReadingError(f"ended the process that read it ({ended})" if ended else _too_slow(seconds))
        if isinstance(answer, Exception):
            raise answer
        assert not isinstance(answer, float)
        return answer

    @staticmethod
    def _answer(pipe: Connection, seconds: float) -> Any:
        """Return what a reader says: how long it will take for that file, and then what it measured; None in vain.

        It ends itself in time, unless the kernel holds it: in a network folder whose server is gone.
        """
        return pipe.recv() if pipe.poll(seconds + _GRACE_SECONDS) else None

    def _start(self) -> Connection:
        """Start the process, and wait until it says that it can read.

        Raises
        ------
        ReaderStartError
            If it does not.
        """
        multiprocessing.set_forkserver_preload(list(PRELOADED))  # unless that server runs already
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._instruments), daemon=True)
        try:
            process.start()
            theirs.close()
            self._process, self._pipe = process, ours
            if ours.poll(START_SECONDS) and ours.recv():
                return ours
            why = f"was ready within {START_SECONDS:.0f} s"
        except (EOFError, OSError) as error:
            why = f"could be started ({error.strerror if isinstance(error, OSError) else 'it ended at once'})"
        if ended := self._end():
            why = f"could be started ({ended})"
        raise ReaderStartError(f"no process to read files {why}: is this machine busy, or short of memory? {_NO_LOSS}")

    def _end(self) -> str | None:
        """Make an end of a process that gave no answer; return how it had ended itself, None where it was too slow."""
        if self._process is None:
            return None
        self._process.join(1.0)
        code = self._process.exitcode
        self.stop()
        if code in {None, -signal.SIGALRM}:
            return None
        return str(signal.Signals(-code).name if code and code < 0 else code)

    def stop(self) -> None:
        """Let the process end; one that does not is killed."""
        if self._process is None or self._pipe is None:
            return
        self._pipe.close()
        self._process.join(1.0)
        self._process.kill()
        self._process = self._pipe = None


def _too_slow(seconds: float) -> str:
    return f"could not be read within {seconds:.0f} s"


def _serve(pipe: Connection, instruments: Sequence[Instrument]) -> None:
    """Read what is asked for until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # where memory is short, rather this process than others
    at_first = psutil.Process().memory_info().data
    pipe.send(True)
    while True:
        try:
            path, check, seconds, slowest, memory = pipe.recv()
        except (EOFError, OSError):
            return
        _allow(at_first + memory, seconds)
        answer: object = _guarded(partial(_bytes_to_read, path), memory)
        if isinstance(answer, int):
            memory, seconds = memory + MEMORY_PER_BYTE * answer, seconds + answer / slowest
            _allow(at_first + memory, seconds)
            pipe.send(seconds)
            answer = _guarded(partial(_measured, path, instruments, check), memory)
        signal.setitimer(signal.ITIMER_REAL, 0)
        pipe.send(answer)


def _allow(memory: int, seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _bytes_to_read(path: Path) -> int:
    """Return how many bytes a file has when decompressed, as far as it can have as many."""
    on_disk = path.stat().st_blocks * 512
    return max(on_disk, min(claimed_bytes(path), max(SMALL_BYTES, MAX_RATIO * on_disk)))


def _measured(path: Path, instruments: Sequence[Instrument], check: Callable[[], None]) -> MeasuredFrame:
    from ccdcore.mosaics.measure import measure_frame

    check()
    measured = measure_frame(path, instruments=instruments)
    check()
    return measured


def _guarded(look: Callable[[], Found], memory: int) -> Found | Exception:
    """Return what is found, or what stood in the way, in words for who asked."""
    try:
        return look()
    except CcdError as error:
        return _of_the_moment(error.__cause__) or error
    except MemoryError:
        return ReadingError(f"needs more than {memory / 2**20:.0f} MiB of memory to be read")
    except Exception as error:  # noqa: BLE001 - whatever one file does, the others are read
        return _of_the_moment(error) or ReadingError(f"{type(error).__name__}: {error}")


def _of_the_moment(error: BaseException | None) -> ReadingError | None:
    """Return what says nothing of a file: its disk or share did not give it; a disk that is dying (EIO) may be it."""
    if not isinstance(error, OSError) or error.errno not in {*_LOST, errno.EIO}:
        return None
    kind = ReadingError if error.errno == errno.EIO else ShareLostError
    return kind(f"cannot be read: {error.strerror}: is its disk or share there?")
