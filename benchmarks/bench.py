"""Prints one Markdown table of what combining costs on this machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from benchmarks.peers import Peer, peers

SIDE = 2048
ROW = "| {:<58} | {:>9} | {:>9} | {:>8} | {} |"


def main() -> None:
    """Write the frames, measure, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=int, default=32, help="frames of the main comparison")
    options.add_argument("--quick", action="store_true", help="leave out what takes minutes: ccdproc and the peers")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Bench(Path(folder), chosen.frames, quick=chosen.quick).run()


class Bench:
    """The measurements, in the order of the table."""

    def __init__(self, folder: Path, n_frames: int, *, quick: bool) -> None:
        self.folder = folder
        self.n = n_frames
        self.quick = quick
        self.ours = 0.0
        self.cache = {"NUMBA_CACHE_DIR": str(folder / "cache")}
        rng = np.random.default_rng(1)
        self.biases = [write_bias(folder / f"bias_{i:03d}.fits", rng) for i in range(n_frames)]
        self.flats = [write_flat(folder / f"flat_{i}.fits", rng) for i in range(2)]

    def run(self) -> None:
        """Print the table."""
        print(f"{machine()}; files in the page cache; best and median of several runs.\n")
        print(ROW.format("what", "best s", "median s", "MiB", "remark"))
        print("| --- | ---: | ---: | ---: | --- |")
        name = f"{self.n} × {SIDE}² uint16"
        limit = self.row(f"raw read of {name}, two threads", "raw_read", self.biases, 5)
        whole = self.measure("whole_job", self.biases, 9)
        self.ours = whole["seconds"][0]
        self.show("ccdwatch, first call ever on a machine", {**whole, "seconds": [whole["cold"]]}, "compiles")
        again = self.measure("whole_job", self.biases, 1)
        self.show("ccdwatch, first call of a process", {**again, "seconds": [again["cold"]]}, "loads what was compiled")
        self.show("ccdwatch, whole job", whole, f"{self.ours / limit:.1f} × the raw read")
        one = self.measure("whole_job", self.biases, 5, "1")
        self.show("ccdwatch, whole job, one thread", one, f"{one['seconds'][0] / self.ours:.2f} × all processors")
        self.row("ccdwatch, engine (arrays in memory)", "engine", self.biases, 5)
        self.row("ccdwatch, scaled", "scaled", self.biases, 3)
        self.row("ccdwatch, scaled and weighted", "scaled", self.biases, 3, "weighted")
        self.row("ccdwatch, 1 % of the pixels masked", "masked", self.biases, 3)
        if not self.quick:
            self.others()
        self.growth()
        self.compressed()
        self.frames()
        self.clipping()

    def others(self) -> None:
        """Measure ccdproc and the programs that are installed."""
        for spelling, words in (("notebook", "the notebook's call"), ("fastest", "fastest spelling")):
            taken = self.measure("ccdproc_combine", self.biases, 1, spelling)
            remark = f"{taken['seconds'][0] / self.ours:.0f} × ours; differs by {taken['difference']:.1e} ADU at most"
            self.show(f"ccdproc.combine, {words}", taken, remark)
        where = self.folder / "peers"
        where.mkdir()
        found, missing = peers(self.biases, where)
        for peer in found:
            taken = run_peer(peer, where)
            self.show(peer.name, taken, f"{taken['seconds'][0] / self.ours:.0f} × ours" + taken["failed"])
        for name in missing:
            print(ROW.format(name, "", "", "", "not installed"))

    def growth(self) -> None:
        """Measure how time grows with frames and with pixels."""
        cost = []
        many = self.biases * (256 // len(self.biases) + 1)
        sizes = 8, 16, 32, 64, 128, 256
        # By turns, so that a machine that is slower for a while is so for all of them.
        turns = [[self.measure("whole_job", many[:n], 5) for n in sizes] for _ in range(3)]
        for n, *of in zip(sizes, *turns, strict=True):
            taken = {**of[0], "seconds": sorted(seconds for one in of for seconds in one["seconds"])}
            cost.append(taken["seconds"][0] / (n * SIDE**2) * 1e9)
            spread = f"; the dearest so far {max(cost) / min(cost):.2f} × the cheapest" if n > 8 else ""
            self.show(f"ccdwatch, {n} × {SIDE}²", taken, f"{cost[-1]:.2f} ns a value{spread}")
        for side in (1024, 4096):
            rng = np.random.default_rng(2)
            paths = [write_bias(self.folder / f"side_{side}_{i}.fits", rng, side) for i in range(8)]
            taken = self.measure("whole_job", paths, 3)
            per_value = taken["seconds"][0] / (8 * side**2) * 1e9
            self.show(f"ccdwatch, 8 × {side}²", taken, f"{per_value:.2f} ns a value")

    def compressed(self) -> None:
        """Measure compressed files, beside their mere decompression."""
        for ending in ("gz", "fz"):
            paths = [write_compressed(self.folder / f"{path.stem}.fits.{ending}", path) for path in self.biases[:8]]
            alone = self.row(f"decompressing 8 × {SIDE}² .{ending}", "decompress", paths, 3)
            taken = self.measure("whole_job", paths, 3)
            self.show(f"ccdwatch, 8 × {SIDE}² .{ending}", taken, f"{taken['seconds'][0] / alone:.2f} × that")

    def clipping(self) -> None:
        """Print how clipping treats good values of whole-number data."""
        print("\nWhole numbers of σ = 1.2 ADU, clipped at 3 σ with `noise=` given:\n")
        print("| frames | good values lost, × Gaussian | RMS uncertainty / true scatter |\n| ---: | ---: | ---: |")
        for n, (lost, ratio) in self.measure("clipping", [], 1)["found"].items():
            print(f"| {n} | {lost:.2f} | {ratio:.3f} |")

    def frames(self) -> None:
        """Measure the work on single frames and pairs."""
        for name, what in (("registration", "measuring the frames"), ("ledger", "registration, with the ledger")):
            taken = self.measure(name, self.biases, 3)
            self.show(what, taken, f"{self.n / taken['seconds'][0]:.0f} frames a second")
        self.row("gain and read noise, 2 + 2 frames", "gain", [*self.biases[:2], *self.flats], 9)
        self.row(f"verifying the inputs of a run, {self.n} frames", "verification", self.biases, 3)

    def row(self, what: str, name: str, paths: Sequence[Path], times: int, *options: str) -> float:
        """Measure and print; return the best time."""
        taken = self.measure(name, paths, times, *options)
        self.show(what, taken, "")
        return float(taken["seconds"][0])

    def show(self, what: str, taken: dict[str, Any], remark: str) -> None:
        """Print one row."""
        seconds = taken["seconds"]
        middle = f"{np.median(seconds):.3f}"
        print(ROW.format(what, f"{seconds[0]:.3f}", middle, f"{taken['peak_mib']:.0f}", remark), flush=True)

    def measure(self, name: str, paths: Sequence[Path], times: int, *options: str) -> dict[str, Any]:
        """Run one measurement in a process of its own."""
        listed = self.folder / "list.txt"
        listed.write_text("\n".join(map(str, paths)), encoding="utf-8")
        words = [sys.executable, "-m", "benchmarks.one", name, str(times), str(listed), *options]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, env={**os.environ, **self.cache})
        return dict(json.loads(done.stdout.splitlines()[-1]))  # ccdproc prints what it is at


def run_peer(peer: Peer, folder: Path) -> dict[str, Any]:
    """Run another program; its peak memory is that of its largest process."""
    for name, text in peer.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    seconds, failed, peak = [], "", 0.0
    for _ in range(3):
        for stale in [*folder.glob("out.fit*"), *folder.glob("work/*")]:
            stale.unlink()
        began = time.perf_counter()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(peer.command, cwd=folder, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        seconds.append(time.perf_counter() - began)
        peak = max(peak, usage.ru_maxrss / 1024)
        if not list(folder.glob("out.fit*")):
            failed = "; FAILED: wrote nothing"
    return {"seconds": sorted(seconds), "peak_mib": peak, "failed": failed}


def write_bias(path: Path, rng: np.random.Generator, side: int = SIDE) -> Path:
    """Write a bias with cosmic rays."""
    pixels = rng.normal(1000, 3.5, (side, side)).round()
    pixels[rng.random((side, side)) < 1e-4] += 500
    fits.writeto(path, pixels.astype(np.uint16), fits.Header({"DATE-OBS": "2026-01-01T00:00:00"}))
    return path


def write_compressed(path: Path, plain: Path) -> Path:
    """Write a copy compressed with gzip or, as fpack does, in tiles."""
    pixels = fits.getdata(plain)
    units = fits.PrimaryHDU(pixels) if path.suffix == ".gz" else fits.CompImageHDU(pixels)
    units.writeto(path)
    return path


def write_flat(path: Path, rng: np.random.Generator) -> Path:
    """Write an evenly lit flat of 1.5 e⁻/ADU."""
    pixels = rng.poisson(30_000, (SIDE, SIDE)) / 1.5 + rng.normal(1000, 3.5, (SIDE, SIDE))
    fits.writeto(path, pixels.round().astype(np.uint16))
    return path


def machine() -> str:
    """Return the processor, its cores and the versions at work."""
    import numba

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}"
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, {versions}"


if __name__ == "__main__":
    main()
