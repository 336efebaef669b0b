"""What a night costs in an archive: `python -m benchmarks.archive [--nights 5 50 500]`.

Small frames of two cameras are simulated, so many nights of them, and worked on by what `ccdwatch process` calls. It
prints the processor time of a night and where it goes, beside what the same measurements and combinations cost when
they are called directly; and ends with status 1 where a night of the longest archive costs more than 1.2 × one of the
shortest, or more than twice what its science does.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.archive_frames import CAMERAS, write_nights

GROWTH, TIMES = 1.2, 2.0
_PR_SET_CHILD_SUBREAPER = 36
_MOST_PLACES = 16


def main() -> int:
    """Measure, print, and return the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, nargs="+", default=[5, 50, 500])
    parser.add_argument("--size", type=int, default=256, help="rows and columns of a frame")
    parser.add_argument("--stacks", type=Path, help="write where the longest archive's time went into this file")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what readers took is counted, too
    costs, science = [], 0.0
    for nights in sorted(options.nights):
        with tempfile.TemporaryDirectory() as folder:
            frames, home = Path(folder, "frames"), Path(folder, "home")
            write_nights(frames, nights, size=options.size)
            costs.append(_process(home, frames, nights, options.stacks))
            if not science:
                science = _science(home, min(2 * nights, 10))
    growth, times = costs[-1] / costs[0], costs[-1] / science
    print(f"a night of the longest archive costs {growth:.2f} × one of the shortest (goal: {GROWTH:g})")
    print(f"and {times:.2f} × what its science does (goal: {TIMES:g})")
    return 1 if growth > GROWTH or times > TIMES else 0


def _process(home: Path, frames: Path, nights: int, stacks: Path | None) -> float:
    """Work on an archive, print what it cost, and return the seconds of processors of a night."""
    found, seconds = _asked("work", home, frames)
    if found["failed"]:
        raise SystemExit(f"failed: {found['failed'][:3]}")
    tenth = max(1, len(found["sets"]) // 10)
    first, last = (sum(some) / tenth for some in (found["sets"][1 : tenth + 1], found["sets"][-tenth:]))
    readers = seconds - found["seconds"]
    print(f"{nights} nights: {seconds / nights:.2f} s of processors a night, {seconds:.1f} s in all")
    print(f"  start {found['began']:.1f} s, readers {readers / nights:.3f} s a night")
    print(f"  the first sets {first:.3f} s each, the last {last:.3f} s")
    places = sorted(found["places"].items(), key=lambda item: -item[1])
    for place, took in places[:_MOST_PLACES]:
        print(f"  {took / nights:8.4f} s a night  {place}")
    if stacks is not None:
        stacks.write_text("".join(f"{stack} {1000 * took:.0f}\n" for stack, took in found["stacks"]))
    return float(seconds / nights)


def _science(home: Path, n_sets: int) -> float:
    """Print and return the seconds of the processor of a night whose science is called directly."""
    found, _ = _asked("science", home, n_sets)
    reading, rest = (float(len(CAMERAS) * sum(some) / len(some)) for some in zip(*found["sets"], strict=True))
    print(f"directly: {reading + rest:.3f} s a night, {reading:.3f} of them for the statistics and hashes of frames")
    return reading + rest


def _asked(what: str, home: Path, argument: object) -> tuple[Any, float]:
    """Have it done by a process of its own; return its answer, and what it and its children took of processors."""
    before = _of_children()
    command: Sequence[str] = [sys.executable, "-m", "benchmarks.archive_work", what, str(home), str(argument)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    for one in psutil.Process().children():
        one.wait(30)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return json.loads(answer), _of_children() - before


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
