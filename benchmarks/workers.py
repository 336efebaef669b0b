"""Prints what a second worker brings: 16 small sets, a Prefect server, PostgreSQL, workers of one thread each.

Each worker is a host of its own name, on one processor of its own; that of the server, the database and the watcher
is printed apart, for on a machine of two processors they share those with the workers. Ends with status 1 where two
workers are less than 1.5 times as fast as one, or leave other rows.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from subprocess import Popen

from db.files import ledger
from db.runs.runs import list_runs
from db.schema.models import FileState
from flows.home.home import Home
from flows.runs.pictures import are_drawn
from tests.support.observatory import Observatory, opened, running_observatory, total
from tests.support.service import free_port
from tests.support.simulate import simple_night

GOAL = 1.5
LONGEST_SECONDS = 900.0
HEAD = "| {:<22} | {:>8} | {:>10} | {:>9} | {:>9} | {:>8} | {:>8} | {} |"
ROW = "| {:<22} | {:8.1f} | {:10.1f} | {:9.1f} | {:9.1f} | {:8.1f} | {:8.1f} | {} |"


@dataclass
class Taken:
    """What a number of workers took."""

    seconds: float
    registered: float
    workers: float
    server: float
    database: float
    watcher: float
    by: dict[str, int]
    rows: list[list[str]]


def main() -> int:
    """Measure each engine with one and two workers, and print both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sets", type=int, default=16)
    options.add_argument("--engine", choices=["pool", "dask"], action="append", help="default: both")
    options.add_argument("--workers", type=int, action="append", help="default: 1 and 2")
    chosen = options.parse_args()
    counts = chosen.workers or [1, 2]
    print(HEAD.format("workers", "wall s", "registered", "workers s", "Prefect s", "PG s", "watcher", "sets of each"))
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory(prefix="ccdwatch-workers-") as name:
        write_sets(Path(name) / "frames", chosen.sets)
        return max(_compare(Path(name), engine, counts, chosen.sets) for engine in chosen.engine or ["pool", "dask"])


def write_sets(frames: Path, n: int) -> None:
    """Write sets of 9 small frames, each of a camera of its own: none changes what is found of another."""
    for number in range(n):
        night = date(2026, 3, 1) + timedelta(days=number)
        simple_night(frames / f"{number:02}", seed=number, night=night, instrument=f"camera{number:02}")


def _compare(folder: Path, engine: str, counts: list[int], n_sets: int) -> int:
    place = folder / engine
    place.mkdir()
    with running_observatory(place) as observatory:
        taken = [_measure(observatory, engine, n, folder / "frames", n_sets) for n in counts]
    first, last = taken[0], taken[-1]
    ratio, is_same = first.seconds / last.seconds, first.rows == last.rows
    rows = "the same rows" if is_same else "OTHER ROWS"
    share = last.workers / last.seconds
    alone = counts[-1] / counts[0] * first.workers / last.workers
    print(f"{engine}: {ratio:.2f} × as fast, {rows}; the last workers got {share:.2f} processors, of {counts[-1]}")
    print(f"{engine}: {alone:.2f} × by processor time alone, as on machines that have nothing else to do", flush=True)
    return int(len(counts) > 1 and (ratio < GOAL or not is_same))


def _measure(observatory: Observatory, engine: str, n: int, frames: Path, n_sets: int) -> Taken:
    name = f"{engine}{n}"
    with ExitStack() as stack:
        workers, home = stack.enter_context(_workers(observatory, engine, n, name, frames))
        before = [observatory.server_seconds(), observatory.database_seconds(), total(workers)]
        began = time.monotonic()
        watcher = stack.enter_context(observatory.host(home, "watcher", "ccdwatch", "watch"))
        record = opened(home)
        registered = _wait_for_frames(record, n_sets)
        by = _wait_for_sets(record, n_sets, observatory)
        seconds = time.monotonic() - began
        after = [observatory.server_seconds(), observatory.database_seconds(), total(workers)]
        server, database, of_workers = (two - one for one, two in zip(before, after, strict=True))
        taken = Taken(
            seconds, registered - began, of_workers, server, database, total([watcher]), by, observatory.results(home)
        )
        record.engine.dispose()
    shown = [taken.seconds, taken.registered, taken.workers, taken.server, taken.database, taken.watcher]
    print(ROW.format(f"{engine}, {n} of 1 thread", *shown, ", ".join(f"{k} {v}" for k, v in by.items())), flush=True)
    return taken


@contextmanager
def _workers(
    observatory: Observatory, engine: str, n: int, name: str, frames: Path
) -> Iterator[tuple[list[Popen[bytes]], Path]]:
    """Start workers; give them and their home."""
    n_processors = os.cpu_count() or 1
    with ExitStack() as stack:
        if engine == "pool":
            home = observatory.make_home(name, frames)
            if n == 1 or not (observatory.folder / "pool1").exists():
                observatory.make_pool(home)
            names = [f"worker{number}" for number in range(1, n + 1)]
            started = [observatory.worker(home, one, processor=k % n_processors) for k, one in enumerate(names)]
        else:
            port = free_port()
            address = f"tcp://127.0.0.1:{port}"
            home = observatory.make_home(name, frames, f'task_runner = "dask"\ndask_address = "{address}"')
            scheduler = ("dask", "scheduler", "--host", "tcp://127.0.0.1", "--port", port, "--no-dashboard")
            stack.enter_context(observatory.host(home, "scheduler", *scheduler))
            words = ("dask", "worker", address, "--nthreads", 1, "--no-dashboard", "--host", "127.0.0.1")
            started = [observatory.host(home, f"worker{k + 1}", *words, processor=k % n_processors) for k in range(n)]
            stack.enter_context(observatory.host(home, "serve", "ccdwatch", "serve"))
        yield [stack.enter_context(one) for one in started], home


def _wait_for_frames(record: Home, n_sets: int) -> float:
    """Wait until all files are on record; return when that was."""

    def done() -> bool:
        with record.read_session() as session:
            return ledger.counts(session)[FileState.DONE] == 9 * n_sets

    _wait(done, "files are not registered")
    return time.monotonic()


def _wait_for_sets(record: Home, n_sets: int, observatory: Observatory) -> dict[str, int]:
    """Wait until all sets are made and drawn; return how many each host made."""
    by: dict[str, int] = {}

    def done() -> bool:
        with record.read_session() as session:
            made = [one for one in list_runs(session) if one.outcome == "done"]
        by.clear()
        by.update({host: sum(one.host == host for one in made) for host in sorted({one.host for one in made})})
        return len(made) == n_sets and all(are_drawn(record, one.id) for one in made)

    try:
        _wait(done, "sets are not made")
    except TimeoutError:
        print(observatory.said(), file=sys.stderr)
        raise
    return by


def _wait(done: object, what: str) -> None:
    end = time.monotonic() + LONGEST_SECONDS
    while not done():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
