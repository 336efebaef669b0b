"""Signs of life of processes at work, in the home: so that a machine that dies does not keep what it works on.

Of a process of its own machine anybody sees whether it is there. Of one of another machine only these tell: each says
a higher number every few seconds. Who listens measures by a clock of his own, so that it does not matter what time it
is on other machines, or when he began to listen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread

from ccdcore.io.write import write_status
from flows.home.output_paths import slug
from flows.home.processes import HOST, is_gone, own_start

EVERY_SECONDS = 10.0
"""How often a process says that it is alive."""
SILENT_SECONDS = 120.0
"""A process of another machine that has said nothing for so long is gone, with its machine or from its network."""
_LONGEST_LOOK = 10.0
"""At most so long a silence was, in seconds, between two looks: who did not look for longer heard nobody meanwhile."""
_FOLDER = ".alive"


@dataclass(frozen=True, slots=True)
class Sign:
    """What a process says of itself.

    Parameters
    ----------
    host, pid, started : str, int, float
        Where it is (`flows.home.processes.HOST`), its number, and its start (`flows.home.processes.start_of`).
    flow_run_id : str
        What it works on, for Prefect.
    n : int
        How often it has said so.
    """

    host: str
    pid: int
    started: float
    flow_run_id: str
    n: int

    @property
    def process(self) -> tuple[str, int, float]:
        """What no other process has."""
        return self.host, self.pid, self.started


@contextmanager
def alive(home: Path, flow_run_id: str) -> Iterator[None]:
    """Say again and again that this process is at work.

    What ends by an error is over for those only who see that its process is gone, or have heard nothing for long: it
    may not have come to say so on record, and its machine may die before it has told Prefect.
    """
    is_over = Event()
    file = _file_of(home, HOST, os.getpid())
    with suppress(OSError):  # a full disk, or one that is away: then nobody hears of it
        file.parent.mkdir(exist_ok=True)
    _say(file, flow_run_id, 0)
    speaker = Thread(target=_say_on, args=(file, flow_run_id, is_over), name="life", daemon=True)
    speaker.start()
    try:
        yield
    finally:
        is_over.set()
        speaker.join(1)  # it may hang on a disk that does not answer
    with suppress(OSError):
        file.unlink(missing_ok=True)


def _file_of(home: Path, host: str, pid: int) -> Path:
    return home / _FOLDER / f"{slug(host)}-{pid}"


def _say_on(file: Path, flow_run_id: str, is_over: Event) -> None:
    n = 1
    while not is_over.wait(EVERY_SECONDS):
        _say(file, flow_run_id, n)
        n += 1


def _say(file: Path, flow_run_id: str, n: int) -> None:
    with suppress(OSError):
        write_status(file, json.dumps(asdict(Sign(HOST, os.getpid(), own_start(), flow_run_id, n))))


def signs(home: Path) -> dict[Path, Sign]:
    """Return the last sign of each process, with the file that it is in."""
    found = {}
    for file in (home / _FOLDER).glob("[!.]*"):
        with suppress(OSError, ValueError, TypeError):  # it goes, or its disk does
            found[file] = Sign(**json.loads(file.read_text()))
    return found


def elsewhere(home: Path) -> set[str]:
    """Return what processes of other machines work on, as Prefect knows it."""
    return {sign.flow_run_id for sign in signs(home).values() if sign.host != HOST}


class Listener:
    """Hears which processes of other machines have fallen silent.

    Parameters
    ----------
    home : Path
        Where they say so.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._heard: dict[Path, tuple[Sign, float]] = {}
        """The last sign of each, and how many seconds it has been silent since."""

    def silent(self, seconds: float) -> Sequence[Sign]:
        """Return those that are gone, again and again until they are forgotten.

        Parameters
        ----------
        seconds : float
            How long ago it was last asked, by a clock that nobody puts right.
        """
        gone = []
        for file, sign in signs(self._home).items():
            last, silence = self._heard.get(file, (None, 0.0))
            silence = silence + min(seconds, _LONGEST_LOOK) if sign == last else 0.0
            self._heard[file] = sign, silence
            if sign.host == HOST:
                if is_gone(sign.pid, sign.started):
                    self.forget(sign)
            elif silence > SILENT_SECONDS:
                gone.append(sign)
        return gone

    def forget(self, sign: Sign) -> None:
        """Listen no more to a process that is gone."""
        file = _file_of(self._home, sign.host, sign.pid)
        self._heard.pop(file, None)
        with suppress(OSError):
            file.unlink(missing_ok=True)
