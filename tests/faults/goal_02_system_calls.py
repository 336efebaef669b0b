"""A kill, EIO or ENOSPC at the persistence system calls of a run of 3 frames (strace): 0 bad recoveries."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import select

from ccdcore.io.plain_files import file_sha256
from ccdcore.io.read import measure_frame
from db.engine import check
from db.runs.masters import list_masters, master_paths
from db.runs.runs import list_runs
from db.schema.models import File, FileState
from flows.commands.process import process
from flows.home.home import open_home, read_home
from flows.products.cleanup import sweep
from tests.faults.goals import CannotRunError
from tests.support.service import wait_for
from tests.support.simulate import Camera, simple_night

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate", "rename", "link", "unlink", "mkdir")
ERRORS = ("EIO", "ENOSPC")
N_ERRORS = 50
"""Calls that are sampled for each error."""
CAMERA = Camera(shape=(32, 64))
SECONDS = 300.0

Point = tuple[str, int]
"""A system call and which one of its kind."""


def run(full: bool) -> str:
    if shutil.which("strace") is None:
        raise CannotRunError("there is no strace: install Debian's package strace")
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name, _alone():
        directory = Path(name)
        simple_night(directory / "frames", camera=CAMERA, n_bias=3, n_flat=0)
        open_home(directory / "template").engine.dispose()
        process(open_home(directory / "warm"), [directory / "frames"])  # so that what is forked has everything imported
        points = list(_points(directory))
        chance = random.Random(2)
        kills = points if full else chance.sample(points, 3)
        n_errors = min(len(points), N_ERRORS) if full else 1
        for error in ERRORS:
            for point in chance.sample(points, n_errors):
                _suffer(directory, point, f"error={error}")
        for point in kills:
            _suffer(directory, point, "signal=KILL")
    return (
        f"killed at {len(kills)} of {len(points)} calls of {len({call for call, _ in points})} kinds,"
        f" {' and '.join(ERRORS)} at {n_errors} each: 0 bad recoveries"
    )


@contextmanager
def _alone() -> Iterator[None]:
    """Do all in one thread, whose calls are counted; reading, which writes nothing, needs no processes here."""

    class Here:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> Here:
            return self

        def __exit__(self, *_: object) -> None: ...

        def measure(self, path: Path, *, check: Callable[[], None], tries: int) -> Any:
            check()
            measured = measure_frame(path, instruments=())
            check()
            return measured

        def shutdown(self, **_: object) -> None: ...

        def submit(self, function: Callable[..., Any], *words: Any) -> Future[Any]:
            future: Future[Any] = Future()
            try:
                future.set_result(function(*words))
            except Exception as error:  # noqa: BLE001 - who asks for the result gets it
                future.set_exception(error)
            return future

    at_once = timedelta()
    with (
        patch("flows.registration.register.Readers", Here),
        patch("flows.registration.register.ThreadPoolExecutor", Here),
        patch("flows.products.leftovers.GRACE", at_once),
        patch("flows.products.references.GRACE", at_once),
    ):
        yield


def _points(directory: Path) -> Iterator[Point]:
    """Yield every persistence call of an undisturbed run."""
    log = directory / "calls"
    _work(directory, ["-o", str(log), "-e", f"trace={','.join(CALLS)}"])
    _examine(directory, "an undisturbed run")
    made = Counter(line.split("(")[0] for line in log.read_text().splitlines())
    for call in CALLS:
        yield from ((call, number) for number in range(1, made[call] + 1))


def _suffer(directory: Path, point: Point, harm: str) -> None:
    """Work with one call disturbed, then again without."""
    call, number = point
    _work(directory, ["-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:{harm}:when={number}"])
    _work(directory, None, again=True)
    _examine(directory, f"{harm} at {call} {number}")


def _work(directory: Path, strace: list[str] | None, *, again: bool = False) -> None:
    """Process the frames in a process of its own, which strace looks at."""
    home = directory / "home"
    if not again:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(directory / "template", home)
    pid = os.fork()
    if pid == 0:
        _process(directory, waits=strace is not None)
    if strace is not None:
        os.waitpid(pid, os.WUNTRACED)
        with subprocess.Popen(["strace", "-qq", *strace, "-p", str(pid)], stderr=subprocess.DEVNULL) as tracer:
            assert wait_for(lambda: _is_traced(pid), seconds=30, every=0.005), "strace cannot attach"
            os.kill(pid, signal.SIGCONT)
            _wait(pid)
            tracer.wait(SECONDS)
    else:
        _wait(pid)


def _process(directory: Path, *, waits: bool) -> None:
    """Be the process that works; never returns."""
    try:
        output = os.open(directory / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if waits:
            os.kill(os.getpid(), signal.SIGSTOP)
        home = open_home(directory / "home")
        sweep(home)
        process(home, [directory / "frames"])
    finally:
        os._exit(0)


def _is_traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return "TracerPid:\t0\n" not in status


def _wait(pid: int) -> None:
    end = time.monotonic() + SECONDS
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"the work hangs for {SECONDS:g} s")
        time.sleep(0.01)


def _examine(directory: Path, harm: str) -> None:
    """Hold the record and the files against each other, as they ought to be after any harm."""
    home = read_home(directory / "home")
    said = f"{harm}: {(directory / 'said').read_text()[-1000:]}"
    assert check(home.engine) == [], said
    with home.read_session() as session:
        files = session.scalars(select(File)).all()
        current = [one for one in list_runs(session) if one.outcome == "done"]
        made = list_masters(session)
    assert [file.state for file in files] == [FileState.DONE] * 3, f"{[file.reason for file in files]} {said}"
    assert len(current) == 1, f"{current} {said}"
    kinds = [one.kind for one in made]
    assert "bias" in kinds, said
    assert len(set(kinds)) == len(kinds), f"{kinds} {said}"
    with home.read_session() as session:  # a run that failed late keeps what it had recorded, unseen
        on_record = {home.path / path for path in master_paths(session)}
    on_disk = {path for path in (home.path / "masters").rglob("*") if path.is_file()}
    assert on_disk <= on_record, f"{on_disk} on disk, {on_record} on record {said}"
    assert all(file_sha256(home.path / one.path) == one.sha256 for one in made), said
    referred = {file_sha256(path) for path in (home.path / "reference").rglob("*") if path.is_file()}
    assert referred <= {one.sha256 for one in made}, said
    assert next(one.sha256 for one in made if one.kind == "bias") in referred, said
    home.engine.dispose()
