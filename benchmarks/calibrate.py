"""What `ccdwatch calibrate` takes, against a script by hand: `python -m benchmarks.calibrate`.

Frames of 2048 × 2048 pixels and masters of them are made once. Then both calibrate the same frames, in turns, each in a
process of its own, hashing and writing included: ours with frames and results on record; the script as the manual of
ccdproc has it, masters read once. It ends with status 1 where ours takes more than 0.7 of the script's time.

With `--memory` 1000 frames of 256 × 256 pixels are calibrated in one process instead: it ends with status 1 where the
most memory that it held grew by more than 2 MiB a 100 frames, after the first 100.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flows.applying.calibrating.calibrate import Wanted, calibrate_frames
from flows.applying.calibrating.frames import named_frames
from flows.applying.calibrating.outputs import paths_for
from flows.home.home import open_home
from tests.support.simulate import Camera, FloatImage, expose, standard_cards, uniform_light, write_frame

GOAL = 0.7
GOAL_MIB = 2.0
"""What memory may grow by with 100 frames."""
EXPOSURE_S = 100.0
BEGIN = datetime(2022, 9, 19, 20, tzinfo=UTC)

SCRIPT = """
import hashlib, sys
from pathlib import Path
import ccdproc
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty

*masters, out = sys.argv[1:5]
bias, dark, flat = (CCDData.read(one) for one in masters)
gain, noise = flat.header["EGAIN"] * u.electron / u.adu, flat.header["RDNOISE"] * u.electron
for path in map(Path, sys.argv[5:]):
    ccd = CCDData.read(path, unit="adu")
    light = ccdproc.subtract_bias(ccd, CCDData(bias.data, unit="adu"))
    deviation = ccdproc.create_deviation(light, gain=gain, readnoise=noise, disregard_nan=True)
    ccd.uncertainty = StdDevUncertainty(deviation.uncertainty.array)
    ccd = ccdproc.subtract_bias(ccd, bias)
    ccd = ccdproc.subtract_dark(ccd, dark, exposure_time="EXPTIME", exposure_unit=u.second, scale=True)
    ccd = ccdproc.flat_correct(ccd, flat, norm_value=1)
    written = Path(out) / path.name
    ccd.write(written)
    hashlib.file_digest(written.open("rb"), "sha256").hexdigest()
"""


def main() -> int:
    """Measure, and print a line for each turn; return the status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=int, default=32, help="how many are calibrated in each turn")
    options.add_argument("--size", type=int, default=2048, help="rows and columns")
    options.add_argument("--turns", type=int, default=2)
    options.add_argument("--memory", action="store_true", help="whether memory grows with frames")
    asked = options.parse_args()
    if asked.memory:
        return memory(1000, 256)
    with tempfile.TemporaryDirectory() as folder:
        site = _Site(Path(folder), asked.size)
        masters = site.masters()
        ours, theirs = [], []
        for turn in range(asked.turns):
            lights = [site.light(f"turn{turn}/light{number:03d}.fits") for number in range(asked.frames)]
            (by_hand := site.folder / f"by_hand{turn}").mkdir()
            theirs.append(_timed([sys.executable, "-c", SCRIPT, *masters, by_hand, *lights]))
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "flows.cli.main",
                "calibrate",
                *lights,
                "--home",
                site.home,
            ]
            ours.append(_timed([*command, "-o", site.folder / f"ours{turn}", "--format", "csv"]))
            print(f"{asked.frames} frames: ours {_words(ours[-1])}, by hand {_words(theirs[-1])}", flush=True)
            for name in ("by_hand", "ours", "turn"):
                shutil.rmtree(site.folder / f"{name}{turn}")
    ratio = sum(one.wall_s for one in ours) / sum(one.wall_s for one in theirs)
    of_processor = sum(one.processor_s for one in ours) / sum(one.processor_s for one in theirs)
    print(f"ours takes {ratio:.2f} of the time by hand (goal: {GOAL}), and {of_processor:.2f} of its processor time")
    return 1 if ratio > GOAL else 0


def memory(frames: int, size: int) -> int:
    """Calibrate frames in this process, and print the most memory that it held by the way; return the status."""
    with tempfile.TemporaryDirectory() as folder:
        site = _Site(Path(folder), size)
        site.masters()
        for number in range(frames):
            site.light(f"lights/light{number:04d}.fits")
        home = open_home(site.home, make=False)
        raw = named_frames(home, [site.folder / "lights"], lambda *_: None).frames
        paths = paths_for(home, raw, site.folder / "ours")
        held, states = [], set()
        for number, one in enumerate(calibrate_frames(home, [Wanted(key, raw[key], paths[key]) for key in raw]), 1):
            states.add(one.state)
            if number % 100 == 0:
                held.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        home.engine.dispose()
    growth = (held[-1] - held[0]) / (len(held) - 1)
    print(f"{', '.join(states)}: at most {held[0]:.0f} MiB with 100 frames, {held[-1]:.0f} MiB with {frames}")
    print(f"{growth:.2f} MiB more with each 100 (goal: {GOAL_MIB:g} MiB)")
    return 1 if growth > GOAL_MIB or states != {"calibrated"} else 0


class _Site:
    """Frames of a camera, and a home that has made masters of some."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.home = folder, folder / "home"
        self._camera = Camera(1.5, 5.0, 1000.0, (size, size))
        self._response = uniform_light(self._camera.shape, 1.0, vignetting=0.2, prnu=0.02)
        self._rng, self._n = np.random.default_rng(1), 0

    def masters(self) -> list[Path]:
        """Make master bias, dark and flat, and return their files."""
        for electrons, kind, exposure_s in ((0.0, "bias", 0.0), (60.0, "dark", EXPOSURE_S), (40_000.0, "flat", 5.0)):
            for number in range(3):
                light = electrons * self._response if kind == "flat" else electrons
                self._write(f"night/{kind}{number}.fits", light, kind, exposure_s)
        _run([sys.executable, "-m", "flows.cli.main", "process", self.folder / "night", "--home", self.home])
        return [next((self.home / "masters").rglob(f"{kind}_*.fits")) for kind in ("bias", "dark", "flat")]

    def light(self, name: str) -> Path:
        """Write a science frame."""
        return self._write(name, 3000.0 * self._response + 60.0, "flat", EXPOSURE_S, IMAGETYP="Light Frame")

    def _write(self, name: str, electrons: FloatImage | float, kind: str, exposure_s: float, **cards: str) -> Path:
        self._n += 1
        described = standard_cards(kind, BEGIN + timedelta(minutes=self._n), exposure_s, filter_name="V")
        return write_frame(self.folder / name, expose(self._camera, self._rng, electrons), {**described, **cards})


class _Taken(NamedTuple):
    """Seconds that a process took, and those of processors."""

    wall_s: float
    processor_s: float


def _timed(command: Sequence[str | Path]) -> _Taken:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    _run(command)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return _Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _words(taken: _Taken) -> str:
    return f"{taken.wall_s:.1f} s ({taken.processor_s:.1f} s of processors)"


if __name__ == "__main__":
    sys.exit(main())
