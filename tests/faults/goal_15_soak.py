"""Half an hour of one frame a second, a fault every ten minutes: memory grows by less than 10 %, descriptors do not."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

import psutil
from sqlalchemy import func, select

from db.schema.models import File, FileState
from tests.faults.goals import CannotRunError
from tests.support.service import Service, kill, wait_for
from tests.support.simulate import Camera, simple_night

MINUTES = 30
FAULTS = {5: "watch", 15: "uvicorn", 25: "serve"}
"""Minute → part that is killed."""
PARTS = {"up": "up", "watch": "watcher", "serve": "runner", "uvicorn": "Prefect server", "web": "pages"}
SAMPLE_SECONDS = 5.0
WARM_SECONDS = 180.0
"""How long a process may grow after its start, and work at first with empty hands."""
LARGEST_GROWTH = 0.10
MORE_DESCRIPTORS = 4
"""A connection or two more or less are open at any moment."""
CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(128, 256))
FRAMES_A_SET = 60
PLOT = Path(__file__).parents[2] / "docs" / "soak.png"


@dataclass(frozen=True)
class Sample:
    """A process at a moment: seconds since the beginning, memory in MiB, open file descriptors."""

    at: float
    memory_mib: float
    descriptors: int


History = dict[tuple[str, int], list[Sample]]
"""By part and process."""


def run(full: bool) -> str:
    if not full:
        raise CannotRunError("what half an hour shows, a few seconds do not")
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        service = Service(Path(name))
        service.start(within=120)
        try:
            history, landed = _soak(service)
            done = wait_for(lambda: _done(service) == landed, seconds=120, every=1)
            n_done = _done(service)
        finally:
            service.crash()
    _plot(history)
    assert done, f"{n_done} of {landed} frames done"
    growth = {key: _growth(samples) for key, samples in history.items() if _is_judged(samples)}
    worst = max(growth, key=lambda key: growth[key][0])
    most = max(growth, key=lambda key: growth[key][1])
    said = (
        f"{landed} frames in {MINUTES} min, {len(FAULTS)} faults, all frames done; memory of {len(growth)} processes"
        f" grew by at most {growth[worst][0]:.1%} ({PARTS[worst[0]]}),"
        f" descriptors by {growth[most][1]} ({PARTS[most[0]]})"
    )
    assert growth[worst][0] < LARGEST_GROWTH, said
    assert growth[most][1] <= MORE_DESCRIPTORS, said
    return said


def _soak(service: Service) -> tuple[History, int]:
    history: History = defaultdict(list)
    frames = _frames(service.outside)
    faults = dict(FAULTS)
    began = time.monotonic()
    next_sample = 0.0
    for landed in count(1):
        if (at := time.monotonic() - began) > 60 * MINUTES:
            return history, landed - 1
        path = next(frames)
        folder = service.incoming / path.parent.name
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
        if at >= next_sample:
            _sample(service, at, history)
            next_sample = at + SAMPLE_SECONDS
        for minute in [minute for minute in faults if at >= 60 * minute]:
            kill([service.part(faults.pop(minute))])
        time.sleep(max(0.0, began + landed - time.monotonic()))
    raise AssertionError("unreachable")


def _frames(outside: Path) -> Iterator[Path]:
    """Return frames for ever, a camera a minute."""
    for index in count():
        name = f"cam{index:02}"
        n = FRAMES_A_SET // 2
        yield from simple_night(outside / name, seed=index, instrument=name, camera=CAMERA, n_bias=n, n_flat=n).paths


def _sample(service: Service, at: float, history: History) -> None:
    assert service.process is not None
    up = psutil.Process(service.process.pid)
    for process in [up, *up.children()]:
        with suppress(psutil.Error):
            part = "up" if process == up else next(name for name in PARTS if name in process.cmdline())
            memory = process.memory_info().rss / 2**20
            history[part, process.pid].append(Sample(at, memory, process.num_fds()))


def _done(service: Service) -> int:
    with service.on_record.read_session() as session:
        return session.scalar(select(func.count()).where(File.state == FileState.DONE)) or 0


def _is_judged(samples: list[Sample]) -> bool:
    return samples[-1].at - samples[0].at >= WARM_SECONDS + 120


def _growth(samples: list[Sample]) -> tuple[float, int]:
    """Return by how much memory grew, relatively, and descriptors: of the last minute against the first when warm."""
    warm = [one for one in samples if one.at >= samples[0].at + WARM_SECONDS]
    first = [one for one in warm if one.at < warm[0].at + 60]
    last = [one for one in warm if one.at > warm[-1].at - 60]
    memory = median(one.memory_mib for one in last) / median(one.memory_mib for one in first) - 1
    return memory, round(median(one.descriptors for one in last) - median(one.descriptors for one in first))


def _plot(history: History) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots(2, sharex=True)
    colours = dict(zip(PARTS, ("C0", "C1", "C2", "C3", "C4"), strict=True))
    for (part, _), samples in history.items():
        minutes = [one.at / 60 for one in samples]
        axes[0].plot(minutes, [one.memory_mib for one in samples], colours[part])
        axes[1].plot(minutes, [one.descriptors for one in samples], colours[part])
    for part, name in PARTS.items():
        axes[0].plot([], [], colours[part], label=name)
    for axis in axes:
        for minute in FAULTS:
            axis.axvline(minute, color="0.7", linestyle=":")
        axis.set_ylim(bottom=0)
    axes[0].set_ylabel("memory (MiB)")
    axes[0].legend(loc="upper right", ncols=5, fontsize="small")
    axes[1].set_ylabel("open descriptors")
    axes[1].set_xlabel("minutes; dotted: kill -9 of " + ", ".join(PARTS[part] for part in FAULTS.values()))
    figure.savefig(PLOT, dpi=100)
