"""A copy made while 4 processes write: it passes the checks of integrity, references and schema, and its rows agree."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path

from sqlalchemy import Engine, func, select

from db.engine import backup, check, make_engine, session_factory, upgrade
from db.schema.models import File, Frame
from tests.support.on_record import add_frame
from tests.support.service import wait_for

WRITERS = 4


def run(full: bool) -> str:
    n_copies, n_between = (50, 50) if full else (3, 2)
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        url = f"sqlite:///{directory}/ccdwatch.db"
        engine = make_engine(url)
        upgrade(engine)
        stop = spawn.Event()
        writers = [spawn.Process(target=_write, args=(url, number, stop)) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        rows = [0]
        try:
            for number in range(n_copies):
                _wait_for_frames(engine, rows[-1] + n_between)
                rows.append(_copy(engine, Path(directory) / f"copy{number}.db"))
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        assert [writer.exitcode for writer in writers] == [0] * WRITERS, "a writer failed"
        assert not check(engine)
        engine.dispose()
    assert rows == sorted(rows), "a later copy has fewer rows"
    return (
        f"{n_copies} copies while {WRITERS} processes wrote, of {rows[1]} to {rows[-1]} frames: all whole, rows agree"
    )


def _wait_for_frames(engine: Engine, n: int) -> None:
    def are_there() -> bool:
        with session_factory(engine, read_only=True)() as session:
            return (session.scalar(select(func.count()).select_from(Frame)) or 0) >= n

    assert wait_for(are_there, seconds=120), "nobody writes"


def _copy(engine: Engine, target: Path) -> int:
    """Copy the database and check the copy; return its number of frames."""
    backup(engine, target)
    copy = make_engine(f"sqlite:///{target}")
    assert not check(copy), f"{target.name}: {check(copy)}"
    with session_factory(copy, read_only=True)() as session:
        frames, files = (session.scalar(select(func.count()).select_from(table)) or 0 for table in (Frame, File))
    copy.dispose()
    # Each frame comes with its file, in one transaction.
    assert frames == files, f"{target.name}: {frames} frames and {files} files"
    return frames


def _write(url: str, number: int, stop: Event) -> None:
    engine = make_engine(url)
    sessions = session_factory(engine)
    count = 0
    while not stop.is_set():
        with sessions.begin() as session:
            add_frame(session, f"writer {number} frame {count}")
        count += 1
        time.sleep(0.005)
    engine.dispose()
