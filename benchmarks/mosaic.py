"""What mosaics of many detectors cost: `python -m benchmarks.mosaic [--full | --detectors N… --side ROWS COLUMNS]`.

Frames are written into a temporary folder, `ccdwatch process` works on them in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks.mosaic_frames import Layout, true_gains, write_frames

FULL = Layout(62, (4146, 2160), 8)
DETECTORS, SIDE = (8, 62, 190), (1024, 512)
MOST_GIB, MOST_SIGMA, MOST_OFF, MOST_GROWTH = 2.0, 4.0, 0.01, 1.2
LOOK_S = 0.1
ROW = "| {:>9} | {:>6} | {:>7} | {:>7} | {:>8} | {:>7} | {:>8} | {:>5} | {:>4} | {:>12} |"
HEADS = "detectors", "Mpx", "wall s", "CPU s", "system s", "GiB", "mapped", "gains", "off", "CPU s / det."
_COMMAND = "import sys; from flows.cli.main import main; sys.exit(main())"


@dataclass(frozen=True)
class Cost:
    """What a run took: seconds of the clock, of processors, of these in the system; GiB of its largest processes."""

    seconds: tuple[float, float, float]
    own_gib: float
    resident_gib: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; return 0 where all goals are reached, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mosaic", description=__doc__)
    parser.add_argument("--full", action="store_true", help="71 HDUs at full size: 9 GB of frames, once")
    parser.add_argument("--detectors", type=int, nargs="+", default=DETECTORS, metavar="N")
    parser.add_argument("--side", type=int, nargs=2, default=SIDE, metavar=("ROWS", "COLUMNS"))
    options = parser.parse_args(arguments)
    layouts = [FULL] if options.full else [Layout(n, tuple(options.side)) for n in options.detectors]
    print(ROW.format(*HEADS))
    print("| " + " | ".join("---:" for _ in HEADS) + " |", flush=True)
    costs, missed = [], []
    for layout in layouts:
        with tempfile.TemporaryDirectory(prefix="mosaic-") as folder:
            cost, failed = measure(Path(folder), layout)
        costs.append((layout.n_detectors, cost.seconds[1]))
        missed += failed
    # One detector more, without what a run takes whatever its frames; of processors, for others may use them as well.
    slopes = [(two[1] - one[1]) / (two[0] - one[0]) for one, two in pairwise(costs)]
    if slopes and max(slopes) > MOST_GROWTH * slopes[0]:
        missed.append(f"one detector more takes {max(slopes) / slopes[0]:.2f} times as much where there are many")
    print("\n".join(missed) or "all goals reached")
    return 1 if missed else 0


def measure(folder: Path, layout: Layout) -> tuple[Cost, list[str]]:
    """Work on one mosaic, and print its row; return its cost, and what it missed."""
    write_frames(folder / "night", layout)
    home, answer = folder / "home", folder / "answer.json"
    cost, status = _run(["process", str(folder / "night"), "--home", str(home), "--json"], answer)
    found = json.loads(answer.read_text(encoding="utf-8") or "{}")
    gains = {one["amplifier"]: one for one in found.get("characterisations", ()) if one["gain_e_per_adu"] is not None}
    truth = true_gains(layout)
    off = [name for name, gain in truth.items() if name in gains and _is_off(gains[name], gain)]
    masters = {one["kind"] for one in found.get("masters", ())}
    numbers = layout.n_detectors, f"{layout.megapixels:.0f}", *(f"{one:.1f}" for one in cost.seconds)
    sizes = f"{cost.own_gib:.2f}", f"{cost.resident_gib:.2f}"
    print(ROW.format(*numbers, *sizes, len(gains), len(off), f"{cost.seconds[1] / layout.n_detectors:.2f}"), flush=True)
    failed = {
        f"ended with status {status}": status != 0,
        f"{len(truth) - len(gains)} gains are missing": truth.keys() != gains.keys(),
        f"more than {MOST_SIGMA:g} sigma or 1 % off the truth: {', '.join(off)}": bool(off),
        f"masters made: {', '.join(sorted(masters)) or 'none'}": not {"bias", "flat"} <= masters,
        f"a process took {cost.own_gib:.2f} GiB for itself": cost.own_gib > MOST_GIB,
    }
    return cost, [f"{layout.n_detectors} detectors: {words}" for words, is_so in failed.items() if is_so]


def _is_off(found: dict[str, Any], truth: float) -> bool:
    off, sigma = abs(found["gain_e_per_adu"] - truth), found["gain_uncertainty"]
    return bool(off > MOST_SIGMA * sigma or off > MOST_OFF * truth)


def _run(words: Sequence[str], answer: Path) -> tuple[Cost, int]:
    """Run ``ccdwatch`` with these words, and look at its processes until it ends."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with answer.open("wb") as into:
        process = subprocess.Popen([sys.executable, "-c", _COMMAND, *words], stdout=into)
    own, resident = 0, 0
    while process.poll() is None:
        for status in _statuses(psutil.Process(process.pid)):
            own = max(own, status.get("RssAnon:", 0) + status.get("RssShmem:", 0))
            resident = max(resident, status.get("VmHWM:", 0))
        time.sleep(LOOK_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    seconds = time.perf_counter() - began, user + system, system
    return Cost(seconds, own / 2**20, resident / 2**20), process.returncode


def _statuses(root: psutil.Process) -> Iterator[dict[str, int]]:
    """Yield what the system says of the memory of a process and of all below it, in KiB."""
    with suppress(psutil.Error):
        for one in [root, *root.children(recursive=True)]:
            with suppress(OSError):
                text = Path(f"/proc/{one.pid}/status").read_text(encoding="utf-8", errors="replace")
                words = map(str.split, text.splitlines())
                yield {each[0]: int(each[1]) for each in words if each[-1:] == ["kB"]}


if __name__ == "__main__":
    sys.exit(main())
