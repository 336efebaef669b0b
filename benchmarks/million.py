"""What a new night costs where a million frames are on record: `python -m benchmarks.million`.

Twenty cameras and years of nights are put on record at once, without files of frames. It prints, each as a process of
its own has it, how long a home takes to open, what its dispatcher asks of the record again and again, what of it a new
set takes, and memory; then what the processes of a service that has nothing to do take of a processor. It ends with
status 1 where to plan a new set takes more than 0.1 s, or they take more than 2 % of a core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from benchmarks.archive_frames import write_nights
from db.files.ledger import counts
from db.runs.runs import open_runs
from db.schema.models import FileState
from flows.commands.process import process
from flows.home.home import open_home
from flows.home.processes import now
from flows.products.references import refresh_references
from flows.registration.register import register_files
from flows.runs.pictures import without_pictures
from flows.runs.plan import Looked, plans_of, reconcile
from flows.watching.directory_tree import sighting
from tests.support.long_history import put_frames, put_history
from tests.support.service import COMMAND, free_port

CAMERAS, A_SET = 21, 20
PLAN_S, IDLE = 0.1, 0.02
_OWN = {"watch", "serve", "web", "up"}
_SETTLED_S = 120.0
"""After which a service has started, and done what it does at its start."""


def main() -> int:
    """Measure, print, and return the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10**6)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds to look at an idle service; 0 for none")
    parser.add_argument(
        "--home", type=Path, help="a home that an earlier call filled, or that is to be filled and kept"
    )
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        json.dump(_asked(options.home), sys.stdout)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder, "home")
        if not (home / "ccdwatch.db").exists():
            _fill(home, options.frames)
        answer = subprocess.run(
            [sys.executable, "-m", "benchmarks.million", "--ask", "--home", home], check=True, stdout=subprocess.PIPE
        )
        found = json.loads(answer.stdout)
        for what, seconds in found.items():
            print(f"{seconds:10.3f}  {what}")
        is_missed = found["s: plan a new set"] > PLAN_S
        if options.idle:
            is_missed |= _idle(home, options.idle) > IDLE
    return 1 if is_missed else 0


def _fill(home: Path, frames: int) -> None:
    opened, began = open_home(home), time.perf_counter()
    names = [f"camera {number}" for number in range(CAMERAS)]
    with opened.write_session() as session:
        nights = -(-frames // (A_SET * CAMERAS))
        put_history(session, instruments=names, nights=nights, n_others=9)
        put_frames(session, host=opened.settings.host, identified_with=opened.identified_with, per_set=A_SET)
    with opened.write_session() as session:
        session.execute(text("ANALYZE"))
    opened.engine.dispose()
    print(f"{CAMERAS} cameras, {nights} nights: on record in {time.perf_counter() - began:.0f} s")


def _asked(path: Path) -> dict[str, float]:
    """Return how many seconds each question to a home takes, the quickest of some, and memory at the end."""
    found: dict[str, float] = {}

    def timed(what: str, ask: Callable[[], Any], times: int = 5) -> Any:
        taken, answer = [], None
        for _ in range(times):
            began = time.process_time()
            answer = ask()
            taken.append(time.process_time() - began)
        found[f"s: {what}"] = min(taken)
        return answer

    looked = Looked()
    home = timed("open the home", lambda: open_home(path), 1)

    def tick() -> None:
        with home.read_session() as session:
            counts(session, (FileState.READY, FileState.CLAIMED))
            open_runs(session)

    timed("count files that wait and open runs", tick)
    timed("reconcile, nothing new", lambda: reconcile(home, now(), looked))
    timed("runs without pictures", lambda: without_pictures(home, now()))
    timed("refresh references", lambda: refresh_references(home), 2)
    with tempfile.TemporaryDirectory() as folder:
        write_nights(Path(folder), 1, seed=os.getpid())
        set_ids = _register(home, Path(folder))
        timed("plan a new set", lambda: plans_of(home, set_ids, now()))
        timed("reconcile, two new sets", lambda: reconcile(home, now(), looked))
        taken = timed("make two new sets", lambda: process(home, [Path(folder)]), 1)
    if taken["failed"]:
        raise SystemExit(f"failed: {taken['failed']}")
    found["MiB in memory at the end"] = psutil.Process().memory_info().rss / 2**20
    return found


def _register(home: Any, folder: Path) -> set[int]:
    from db.files import ledger
    from db.frames.series import frames_of_files

    paths = sorted(folder.rglob("*.fits"))
    seen = [sighting(str(folder), str(path.relative_to(folder)), path.stat()) for path in paths]
    with home.write_session() as session:
        ledger.observe(session, seen, host=home.settings.host, now=now())
        ids = [file.id for file in ledger.files_at(session, seen, host=home.settings.host)]
    register_files(home, file_ids=ids)
    with home.read_session() as session:
        return {frame.set_id for frame in frames_of_files(session, ids) if frame.set_id is not None}


def _idle(home: Path, seconds: float) -> float:
    """Start a service, print what its processes take while there is nothing to do; return it, but for Prefect's."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["up", "--home", home, "--watch", folder, "--port", free_port(), "--web-port", free_port()]
        service = psutil.Popen([*COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            time.sleep(_SETTLED_S)
            before = _taken(service)
            time.sleep(seconds)
            after = _taken(service)
        finally:
            service.terminate()
            service.wait(60)
    shares = {what: (took - before.get(what, (took, 0.0))[0]) / seconds for what, (took, _) in after.items()}
    for what, share in shares.items():
        print(f"{100 * share:10.2f}  % of a core: {what}, {after[what][1]:.0f} MiB")
    return sum(share for what, share in shares.items() if what in _OWN)


def _taken(service: psutil.Process) -> dict[str, tuple[float, float]]:
    """Return seconds of the processor and MiB in memory of the processes of a service, by what they do."""
    found: dict[str, tuple[float, float]] = {}
    for one in [service, *service.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            line, times = one.cmdline(), one.cpu_times()
            other = "Prefect's server" if any("uvicorn" in word or "prefect" in word for word in line) else "other"
            what = next((word for word in line if word in _OWN), other)
            took, memory = found.get(what, (0.0, 0.0))
            found[what] = took + times.user + times.system, memory + one.memory_info().rss / 2**20
    return found


if __name__ == "__main__":
    sys.exit(main())
