"""Which masters are certified: ``python -m benchmarks.certification``.

Simulates challengers and the champions they are held against, of 5 to 15 frames of 512² each: good ones, honest
changes of the camera, and faults planted in a minority of the frames or in all of them; prints by kind how many took
the champion's place. Exits with 1 where fewer than 99 % of the good ones did, or less than 95 % of a fault was refused.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ccdcore.certification.certify import Certification, certify
from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias, master_dark, master_flat
from ccdcore.reduction.master import Master
from tests.support.simulate import Camera, expose

Image = npt.NDArray[Any]

SIDE = 512
CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(SIDE, SIDE))
FLAT_E, DARK_S, DARK_E_PER_S, HOT = 30_000.0, 120.0, 0.2, 0.001
PATCH, GRADIENT, LEAK_SIGMA, WARMER = 0.01, 0.003, 2.0, 2 ** (4 / 7)
"""Part of the pixels; of the light; peak in units of a frame's noise; dark current of a detector 4 K warmer."""
RAYS = 2e-4

GOOD = {
    "good biases": "bias",
    "good darks": "dark",
    "good flats": "flat",
    "new dust in all flats": "flat",
    "more hot pixels in all darks": "dark",
}
"""What is to be promoted, and its kind."""
FAULTS = {
    "patch in some biases": "bias",
    "patch in some darks": "dark",
    "patch in some flats": "flat",
    "gradient in some flats": "flat",
    "wrong filter in some flats": "flat",
    "wrong filter in all flats": "flat",
    "wrong temperature in some darks": "dark",
    "wrong temperature in all darks": "dark",
    "light leak in some darks": "dark",
    "light leak in all darks": "dark",
}
"""What is to be refused, and its kind."""
LEAST_PROMOTED, LEAST_REFUSED = 0.99, 0.95


def noise_adu(kind: str) -> float:
    """Return the noise of one frame in a normal pixel, in ADU."""
    electrons = {"bias": 0.0, "dark": DARK_S * DARK_E_PER_S, "flat": FLAT_E}[kind]
    return float(np.hypot(np.sqrt(electrons), 5.0)) / 1.5


@lru_cache(maxsize=8)
def _flat_light(seed: int, vignetting: float) -> Image:
    x = np.linspace(-1, 1, SIDE)
    response = 1 + 0.01 * np.random.default_rng(seed).normal(size=(SIDE, SIDE))
    return np.asarray(FLAT_E * response * (1 - vignetting * (x[:, None] ** 2 + x**2) / 2))


def _dark_light(factor: float = 1.0, hot: float = HOT) -> Image:
    where = np.random.default_rng(3).random((SIDE, SIDE)) < hot
    return DARK_S * DARK_E_PER_S * factor * np.where(where, 200.0, 1.0)


def _dust(rng: np.random.Generator) -> Image:
    """Return the response with a new dust ring: 20 % less light over some thirty pixels."""
    centre, radius = rng.integers(40, SIDE - 40, 2), rng.uniform(10, 25)
    rows, columns = np.indices((SIDE, SIDE))
    return np.where(np.hypot(rows - centre[0], columns - centre[1]) < radius, 0.8, 1.0)


def _patch(rng: np.random.Generator) -> Image:
    """Return a square of one per cent of the pixels."""
    side = round(SIDE * PATCH**0.5)
    row, column = rng.integers(0, SIDE - side, 2)
    patch = np.zeros((SIDE, SIDE))
    patch[row : row + side, column : column + side] = 1.0
    return patch


def _gradient(rng: np.random.Generator) -> Image:
    """Return a slope from −½ to +½ in some direction."""
    rows, columns = np.indices((SIDE, SIDE)) / (SIDE - 1) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    slope = rows * np.cos(angle) + columns * np.sin(angle)
    return np.asarray(slope / np.ptp(slope))


def _glow(rng: np.random.Generator) -> Image:
    """Return light that leaks in at a corner, its peak 1."""
    rows, columns = np.indices((SIDE, SIDE)) / SIDE
    corner = rng.integers(0, 2, 2)
    return np.asarray(np.exp(-np.hypot(rows - corner[0], columns - corner[1]) / 0.4))


def frames(kind: str, n: int, rng: np.random.Generator, what: str = "") -> list[Frame]:
    """Take n frames of a kind, with what is planted in them."""
    if what.endswith(f"in all {kind}s"):
        spoilt = set(range(n))
    else:
        spoilt = set(rng.permutation(n)[: rng.integers(1, (n - 1) // 2 + 1)].tolist()) if "in some" in what else set()
    fault = _Fault(rng)
    taken = []
    for number in range(n):
        planted = what if number in spoilt else ""
        light = _LIGHT[kind](planted, fault, rng)
        pixels = expose(CAMERA, rng, light, cosmic_ray_fraction=RAYS, bias_offset_adu=0.02 * rng.normal())
        if "patch" in planted:
            shift = np.rint(fault.sign * noise_adu(kind) * fault.patch + rng.random((SIDE, SIDE)) - 0.5)
            pixels = np.clip(pixels + shift, 0, 65535).astype(np.uint16)
        taken.append(_frame(kind, number, pixels))
    return taken


class _Fault:
    """What may be planted in a set: the same in all frames that are spoilt."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.patch, self.dust, self.gradient, self.glow = _patch(rng), _dust(rng), _gradient(rng), _glow(rng)
        self.sign = rng.choice([-1.0, 1.0])


def _dark_of(planted: str, fault: _Fault, rng: np.random.Generator) -> Image:
    """Return the electrons of a dark; the temperature wanders by 0.1 K."""
    warmth = WARMER if "temperature" in planted else 1 + 0.01 * rng.normal()
    leak = LEAK_SIGMA * noise_adu("dark") * 1.5 * fault.glow if "leak" in planted else 0.0
    return _dark_light(warmth, 1.2 * HOT if "hot pixels" in planted else HOT) + leak


def _flat_of(planted: str, fault: _Fault, rng: np.random.Generator) -> Image:
    """Return the electrons of a flat; the lamp drifts."""
    light = (1 + 0.01 * rng.normal()) * (_flat_light(4, 0.2) if "filter" in planted else _flat_light(2, 0.1))
    if "dust" in planted:
        light = light * fault.dust
    return light * (1 + GRADIENT * fault.gradient) if "gradient" in planted else light


_LIGHT: dict[str, Callable[[str, _Fault, np.random.Generator], Image | float]] = {
    "bias": lambda *_: 0.0,
    "dark": _dark_of,
    "flat": _flat_of,
}
"""Kind of a frame → electrons in it."""


def _frame(kind: str, number: int, pixels: Image) -> Frame:
    info = ExposureInfo(
        FrameType(kind),
        "simulated",
        "camera",
        "simulated",
        "bin1x1",
        date_obs=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        exposure_time_s={"bias": 0.0, "dark": DARK_S, "flat": 5.0}[kind],
    )
    return Frame(Path(f"{kind}{number}.fits"), pixels, info, CAMERA.amplifiers, f"{kind}{number}")


@lru_cache(maxsize=1)
def _bias() -> Master:
    return master_bias(frames("bias", 10, np.random.default_rng(1)), noise_adu=5.0 / 1.5)


def made(kind: str, of: Sequence[Frame]) -> Master:
    """Return a master of frames."""
    if kind == "bias":
        return master_bias(of, noise_adu=5.0 / 1.5)
    make = master_dark if kind == "dark" else master_flat
    return make(of, bias=_bias(), noise_adu=5.0 / 1.5, gain_e_per_adu=1.5)


def judged(what: str, seed: int) -> Certification:
    """Simulate a champion and a challenger with what is planted in it, and judge the challenger."""
    kind, rng = (GOOD | FAULTS)[what], np.random.default_rng([seed, *what.encode()])
    champion = made(kind, frames(kind, int(rng.integers(5, 16)), rng))
    of = frames(kind, int(rng.integers(5, 16)), rng, what)
    return certify(made(kind, of), of, champion=champion, bias=None if kind == "bias" else _bias())


def jobs(n: int) -> list[tuple[str, int]]:
    """Return what to plant, and a seed, for each of n challengers: half of them good, all kinds equally often."""
    kinds = zip([*GOOD] * n, [*FAULTS] * n, strict=False)
    return [(what, number) for number, both in zip(range(n // 2), kinds, strict=False) for what in both]


def counts(n: int, processes: int) -> dict[str, Counter[str]]:
    """Judge n challengers; return how often each outcome came of what."""
    found: dict[str, Counter[str]] = {what: Counter() for what in GOOD | FAULTS}
    with Progress() as progress, ProcessPoolExecutor(processes, initializer=_alone) as pool:
        task = progress.add_task("simulating and judging", total=len(jobs(n)))
        for what, outcome in pool.map(_outcome, jobs(n)):
            found[what][outcome] += 1
            progress.advance(task)
    return found


def _alone() -> None:
    """One thread a process: there are as many processes as processors."""
    os.environ["NUMBA_NUM_THREADS"] = "1"


def _outcome(job: tuple[str, int]) -> tuple[str, str]:
    return job[0], judged(*job).outcome


def shares(found: dict[str, Counter[str]], group: dict[str, str]) -> tuple[int, int]:
    """Return how many of a group were certified, and of how many."""
    return sum(found[what]["certified"] for what in group), sum(found[what].total() for what in group)


def main() -> int:
    """Print the table; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=500, help="challengers (default: 500)")
    parser.add_argument("--quick", action="store_true", help="30 challengers")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    found = counts(30 if asked.quick else asked.n, asked.processes)
    table = Table("planted", "challengers", "certified", "refused: own frames", "champion better", "changed all over")
    for what, outcomes in found.items():
        if outcomes.total():
            cells = [outcomes.total(), *(outcomes[one] for one in ("certified", "inconsistent", "worse", "changed"))]
            table.add_row(what, *map(str, cells))
    console = Console(width=120)
    console.print(table)
    promoted, n_good = shares(found, GOOD)
    missed = promoted < LEAST_PROMOTED * n_good
    console.print(f"good ones promoted: {promoted} of {n_good} ({promoted / n_good:.1%}; goal {LEAST_PROMOTED:.0%})")
    for what in FAULTS:
        kept, n = shares(found, {what: ""})
        missed = missed or n - kept < LEAST_REFUSED * n
    kept, n_bad = shares(found, FAULTS)
    console.print(f"faults refused: {n_bad - kept} of {n_bad} ({1 - kept / n_bad:.1%}; goal {LEAST_REFUSED:.0%} each)")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
