"""200 random `kill -9` while 500 frames land, 50 of them hitting work: all done exactly once, no partial master."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from socket import gethostname
from threading import Event, Thread

import psutil
from sqlalchemy import select

from ccdcore.io.plain_files import file_sha256
from db.engine import check
from db.files.ledger import claimants
from db.runs.masters import list_masters
from db.runs.runs import open_runs
from db.schema.models import File, FileState
from tests.faults.goals import CannotRunError
from tests.support.service import Service, free_port, kill, wait_for
from tests.support.simulate import Camera, simple_night

N_SETS, N_BIAS, N_FLAT = 25, 12, 8
N_FRAMES = N_SETS * (N_BIAS + N_FLAT)
N_KILLS, LEAST_HITS = 200, 50
CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(256, 512))
TARGETS = ("watch", "serve", "flow", "uvicorn")
LONGEST_WORK_SECONDS = 4.0
"""Were work always killed as it begins, nothing would ever be done until the last kill."""
RECOVERY_SECONDS = 600.0

WITHOUT_LONG_PAUSES = (
    "from flows.cli import main; from flows.retries import Pauses; from flows.service import supervisor as s; "
    "s.PROCESS = Pauses(0.5, 1.0); main.main()"
)
"""`up` starts what is killed every few seconds ever more slowly; there are hours enough, but not that many."""


@dataclass
class Onlooker:
    """Reads every master as soon as it is there, and as long as it is."""

    masters: Path
    seen: set[Path] = field(default_factory=set)
    partial: list[str] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)

    def __enter__(self) -> Onlooker:
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.02):
            for path in set(self.masters.rglob("[!.]*.fits")) - self.seen:
                with suppress(FileNotFoundError):  # of a run that was cut short
                    content = path.read_bytes()
                    if len(content) % 2880 or b"DATASUM" not in content or b"PROVENANCE" not in content:
                        self.partial.append(str(path))
                self.seen.add(path)


def run(full: bool) -> str:
    if not full:
        raise CannotRunError("tests/e2e/test_crash.py is the short version: it kills each part once")
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        service = Service(Path(name), port=free_port(), command=(sys.executable, "-c", WITHOUT_LONG_PAUSES))
        service.start(within=120)
        try:
            frames = _frames(service.outside)
            with Onlooker(service.home / "masters") as onlooker:
                hits = _kill_while_frames_land(service, frames)
                seconds = _wait_until_all_is_done(service)
            _examine(service, onlooker)
        finally:
            service.crash()
    n = Counter(hits)
    assert n[True] >= LEAST_HITS, f"only {n[True]} of {len(hits)} kills hit work"
    return (
        f"{len(hits)} kills of {', '.join(TARGETS)} in turn, {n[True]} hitting work, while {N_FRAMES} frames landed:"
        f" each frame done once, database whole, 0 partial of {len(onlooker.seen)} masters seen;"
        f" done {seconds:.0f} s after the last kill"
    )


def _frames(outside: Path) -> Iterator[Path]:
    """Return all frames in the order in which they land: set after set."""
    paths = []
    for index in range(N_SETS):
        name = f"cam{index:02}"
        paths += simple_night(
            outside / name, seed=index, instrument=name, camera=CAMERA, n_bias=N_BIAS, n_flat=N_FLAT
        ).paths
    return iter(paths)


def _kill_while_frames_land(service: Service, frames: Iterator[Path]) -> list[bool]:
    """Kill each kind of process in turn; return of each kill whether it hit work."""
    chance = random.Random(1)
    hits = []
    for number, target in zip(range(N_KILLS), cycle(TARGETS)):
        for _ in range(N_FRAMES * (number + 1) // N_KILLS - N_FRAMES * number // N_KILLS):
            path = next(frames)
            folder = service.incoming / path.parent.name
            folder.mkdir(exist_ok=True)
            path.rename(folder / path.name)
        time.sleep(chance.uniform(0, 1))
        victims, is_hit = _victims(service, target, chance.uniform(0, LONGEST_WORK_SECONDS))
        kill(victims)
        hits.append(is_hit)
    return hits


def _victims(service: Service, target: str, seconds: float) -> tuple[list[psutil.Process], bool]:
    """Return what is to be killed, and whether it is at work, which it may have been for so many seconds."""
    if target in {"flow", "serve"}:
        wait_for(lambda: _working(service), seconds=40, every=0.02)
        time.sleep(seconds)
        working = _working(service)
        if target == "flow" and working:
            return working[:1], True
        return _part(service, "serve"), bool(working)
    if target == "watch":
        waiting = wait_for(lambda: _waiting(service), seconds=5, every=0.02)
        return _part(service, target), bool(waiting)
    return _part(service, target), bool(_working(service))


def _part(service: Service, name: str) -> list[psutil.Process]:
    def find() -> list[psutil.Process]:
        with suppress(StopIteration, psutil.Error):
            return [service.part(name)]
        return []

    found: list[psutil.Process] = wait_for(find, seconds=60)
    assert found, f"{name} is not started again\n{service.said()}"
    return found


def _working(service: Service) -> list[psutil.Process]:
    """Return the processes that hold files, or a run."""
    with service.on_record.read_session() as session:
        pids = {int(one.rsplit(":", 3)[1]) for one in claimants(session, host=gethostname())}
        pids |= {run.pid for run in open_runs(session)}
    family = {process.pid: process for process in service.family()}
    return [family[pid] for pid in sorted(pids) if pid in family]


def _waiting(service: Service) -> bool:
    waiting = File.state.in_((FileState.SEEN, FileState.SETTLING))
    with service.on_record.read_session() as session:
        return session.scalar(select(File.id).where(waiting).limit(1)) is not None


def _wait_until_all_is_done(service: Service) -> float:
    began = time.monotonic()
    for index in range(N_SETS):
        left = RECOVERY_SECONDS - (time.monotonic() - began)
        service.wait_until_done(f"cam{index:02}", N_BIAS + N_FLAT, seconds=left)
    return time.monotonic() - began


def _examine(service: Service, onlooker: Onlooker) -> None:
    """Hold the record, the files and what was seen of them against each other."""
    assert not onlooker.partial, f"partial masters were seen: {onlooker.partial}"
    assert check(service.on_record.engine) == []
    with service.on_record.read_session() as session:
        files = session.scalars(select(File)).all()
        made = list_masters(session)
    assert Counter(file.state for file in files) == {FileState.DONE: N_FRAMES}
    assert len({file.frame_id for file in files}) == N_FRAMES, "a frame was registered twice"
    for index in range(N_SETS):
        current = [run for run in service.runs(f"cam{index:02}") if run.outcome == "done" and not run.superseded]
        assert len(current) == 1, f"results of cam{index:02} stand {len(current)} times"
    assert set(Counter((one.instrument, one.kind, one.filter) for one in made).values()) == {1}
    assert {kind: n for kind, n in Counter(one.kind for one in made).items() if kind in {"bias", "flat"}} == {
        "bias": N_SETS,
        "flat": N_SETS,
    }
    assert all(file_sha256(service.home / one.path) == one.sha256 for one in made)
