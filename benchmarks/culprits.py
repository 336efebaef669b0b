"""How often a frame that spoils a master is found, and one that does not is blamed: `python -m benchmarks.culprits`.

Sets of 5 to 15 frames of 512 × 512 pixels, simulated: good ones, and such with one fault planted in one frame. The
check (`ccdcore.masters.repair`) is to name that frame and no other. It ends with status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import Master, master_bias, master_dark, master_flat
from ccdcore.masters.repair import Repaired, without_culprits
from tests.support.simulate import Camera, FloatImage, expose, uniform_light

SHAPE = 512, 512
GAIN, READ_NOISE = 1.5, 6.0
CAMERA = Camera(gain_e_per_adu=GAIN, read_noise_e=READ_NOISE, bias_adu=1000.0, shape=SHAPE)
COSMIC_RAYS = {"bias": 2e-5, "dark": 1e-3, "flat": 1e-4}
DARK_E, FLAT_E, EXPOSURE_S = 30.0, 20_000.0, 300.0
FEWEST, MOST = 5, 15
LEAST_FOUND, MOST_FALSE = 0.95, 0.01
_Y: FloatImage = np.linspace(-0.5, 0.5, SHAPE[0])[:, np.newaxis]
_X: FloatImage = np.linspace(-0.5, 0.5, SHAPE[1])[np.newaxis]


@cache
def _dark(warmer: float = 1.0) -> FloatImage:
    """Return a dark signal with pixels of many strengths; some are hot. All of it grows with the temperature."""
    rng = np.random.default_rng(11)
    signal: FloatImage = DARK_E * rng.gamma(8.0, 1 / 8.0, SHAPE) * np.where(rng.random(SHAPE) < 1e-3, 100.0, 1.0)
    return signal * warmer


@cache
def _flat() -> FloatImage:
    return uniform_light(SHAPE, FLAT_E, vignetting=0.3) * _dust(np.random.default_rng(12), 12)


def _dust(rng: np.random.Generator, n: int) -> FloatImage:
    """Return the shadows of dust: rings of 6 to 20 pixels that take 2 to 8 % of the light."""
    light = np.ones(SHAPE)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for row, column in rng.uniform(30, 480, (n, 2)):
        distance, radius = np.hypot(x - column, y - row), rng.uniform(6, 20)
        light *= 1 - rng.uniform(0.02, 0.08) / (1 + np.exp((distance - radius) / 1.5)) * (distance > radius / 3)
    return light


def _light(kind: str) -> FloatImage:
    """Return what good frames of a kind see, in electrons."""
    return _dark() if kind == "dark" else _flat() if kind == "flat" else np.zeros(SHAPE)


def _patch(kind: str, rng: np.random.Generator) -> FloatImage:
    """Shift a square of one percent of the pixels by the noise of one of them."""
    side = round(0.1 * SHAPE[0])
    row, column = (int(rng.integers(size - side)) for size in SHAPE)
    light = _light(kind)
    more = np.zeros(SHAPE)
    square = slice(row, row + side), slice(column, column + side)
    more[square] = np.sqrt(np.median(light[square]) + READ_NOISE**2)
    return light + more


def _gradient(_: str, rng: np.random.Generator) -> FloatImage:
    """Let the light change by 0.3 % from one end to the other, in any direction."""
    angle = rng.uniform(0, 2 * np.pi)
    light: FloatImage = _flat() * (1 + 0.003 * (np.cos(angle) * _X + np.sin(angle) * _Y))
    return light


def _filter(_: str, rng: np.random.Generator) -> FloatImage:
    """Put in another filter: with other dust, 1 % more vignetting, and pixels that respond by 0.3 % otherwise."""
    pixels = 1 + 0.003 * rng.normal(size=SHAPE)
    return uniform_light(SHAPE, FLAT_E, vignetting=0.31) * _dust(rng, 12) * pixels


def _temperature(_: str, rng: np.random.Generator) -> FloatImage:
    """Let the detector be 4 K warmer."""
    return _dark(2 ** (4 / 7))


def _leak(kind: str, rng: np.random.Generator) -> FloatImage:
    """Let light in at one edge, as bright there as the noise of a pixel."""
    light = _light(kind)
    axis, side = (_X, _Y)[rng.integers(2)], rng.choice([-1, 1])
    noise = np.sqrt(np.median(light) + READ_NOISE**2)
    leaked: FloatImage = light + noise * np.exp(-(0.5 - side * axis) / rng.uniform(0.05, 0.3))
    return leaked


def _moved_dust(_: str, rng: np.random.Generator) -> FloatImage:
    """Move all dust by 10 to 40 pixels."""
    steps = tuple(int(one) for one in rng.integers(10, 40, 2) * rng.choice([-1, 1], 2))
    clean = uniform_light(SHAPE, FLAT_E, vignetting=0.3)
    moved: FloatImage = clean * np.roll(_flat() / clean, steps, (0, 1))
    return moved


FAULTS: dict[str, tuple[Sequence[str], Callable[[str, np.random.Generator], FloatImage]]] = {
    "patch of 1 %, by 1 σ": (("bias", "dark", "flat"), _patch),
    "gradient of 0.3 %": (("flat",), _gradient),
    "another filter": (("flat",), _filter),
    "another temperature": (("dark",), _temperature),
    "light leak": (("bias", "dark", "flat"), _leak),
    "dust that moved": (("flat",), _moved_dust),
}


def frames(kind: str, lights: Sequence[FloatImage], rng: np.random.Generator) -> list[Frame]:
    """Take frames of a kind, each of its light; lamps and levels vary by some percent."""
    exposure = {"bias": 0.0, "dark": EXPOSURE_S, "flat": 5.0}[kind]
    info = ExposureInfo(FrameType(kind), "told", "simulated", "told", "bin1x1", exposure_time_s=exposure)
    taken = []
    for n, light in enumerate(lights):
        lamp = rng.uniform(0.95, 1.05) if kind == "flat" else 1.0
        level = rng.normal(0, 0.3)
        pixels = expose(CAMERA, rng, light * lamp, cosmic_ray_fraction=COSMIC_RAYS[kind], bias_offset_adu=level)
        taken.append(Frame(Path(f"{kind}{n}.fits"), pixels, info, CAMERA.amplifiers, f"{kind}{n}"))
    return taken


@cache
def _bias() -> Master:
    return master_bias(frames("bias", [_light("bias")] * 15, np.random.default_rng(13)))


def checked(kind: str, taken: Sequence[Frame]) -> Repaired:
    """Make the master of frames, as a run does, without those that spoil it."""
    noise = READ_NOISE / GAIN
    if kind == "bias":
        return without_culprits(partial(master_bias, noise_adu=noise), taken, fewest=3)
    make: Callable[..., Master] = master_dark if kind == "dark" else master_flat
    of_set = partial(make, bias=_bias(), noise_adu=noise, gain_e_per_adu=GAIN)
    return without_culprits(of_set, taken, fewest=3, bias=_bias())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one set: its kind and its fault, whether that frame was named, how many others of how many were."""

    kind: str
    fault: str | None
    is_found: bool
    n_false: int
    n_good: int
    is_doubted: bool


def tried(fault: str | None, seed: int) -> Outcome:
    """Simulate a set, with a fault in one of its frames where one is named, and check it."""
    rng = np.random.default_rng([seed, len(fault or "")])
    kinds, faulty = FAULTS[fault] if fault else (("bias", "dark", "flat"), None)
    kind = kinds[seed % len(kinds)]
    lights = [_light(kind)] * int(rng.integers(FEWEST, MOST + 1))
    odd = int(rng.integers(len(lights)))
    if faulty is not None:
        lights[odd] = faulty(kind, rng)
    made = checked(kind, frames(kind, lights, rng))
    false = made.left_out.keys() - ({f"{kind}{odd}"} if fault else set())
    return Outcome(
        kind,
        fault,
        f"{kind}{odd}" in made.left_out,
        len(false),
        len(lights) - (fault is not None),
        bool(made.doubts),
    )


def outcomes(n_planted: int, n_good: int, processes: int = 1) -> list[Outcome]:
    """Try so many sets with faults of all kinds in turn, and so many good ones."""
    names = list(FAULTS)
    faults = [names[n % len(names)] for n in range(n_planted)] + [None] * n_good
    seeds = [n // len(names) for n in range(n_planted)] + list(range(n_good))
    if processes == 1:
        return list(map(tried, faults, seeds))
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(tried, faults, seeds))


def table(found: Sequence[Outcome]) -> Iterator[str]:
    """Yield the lines of a Markdown table: by fault and kind of frames."""
    yield "| fault | frames | sets | found | good frames blamed | doubted sets |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for fault, kind in dict.fromkeys((one.fault, one.kind) for one in found):
        some = [one for one in found if (one.fault, one.kind) == (fault, kind)]
        share = f"{sum(one.is_found for one in some) / len(some):.1%}" if fault else ""
        blamed = f"{sum(one.n_false for one in some)} of {sum(one.n_good for one in some)}"
        doubted = sum(one.is_doubted for one in some)
        yield f"| {fault or 'none'} | {kind} | {len(some)} | {share} | {blamed} | {doubted} |"


def misses(found: Sequence[Outcome]) -> list[str]:
    """Say which goals are missed."""
    planted, good = ([one for one in found if (one.fault is None) is is_good] for is_good in (False, True))
    share = sum(one.is_found for one in planted) / max(len(planted), 1)
    false = sum(one.n_false > 0 or one.is_doubted for one in good) / max(len(good), 1)
    said = [
        (
            share >= LEAST_FOUND,
            f"culprits found in {share:.1%} of {len(planted)} planted cases, goal {LEAST_FOUND:.0%}",
        ),
        (false <= MOST_FALSE, f"{false:.1%} of {len(good)} good sets blamed or doubted, goal {MOST_FALSE:.0%}"),
    ]
    sys.stdout.writelines(f"{'met' if is_met else 'MISSED'}: {words}\n" for is_met, words in said)
    return [words for is_met, words in said if not is_met]


def main() -> int:
    """Try, print, and return the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="a tenth of the sets")
    options.add_argument("--planted", type=int, default=204, help="sets with a fault")
    options.add_argument("--good", type=int, default=201, help="sets without")
    options.add_argument("--processes", type=int, default=2)
    chosen = options.parse_args()
    share = 10 if chosen.quick else 1
    found = outcomes(chosen.planted // share, chosen.good // share, chosen.processes)
    sys.stdout.writelines(f"{line}\n" for line in table(found))
    return 1 if misses(found) else 0


if __name__ == "__main__":
    sys.exit(main())
