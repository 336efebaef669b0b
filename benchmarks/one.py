"""One measurement in a process of its own: prints seconds and peak memory as JSON."""

from __future__ import annotations

import gzip
import json
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np


def best_of(times: int, function: Callable[[], object]) -> list[float]:
    """Return how long each of several calls took, the quickest first."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return sorted(taken)


def whole_job(paths: Sequence[str], times: int, threads: str = "0") -> dict[str, Any]:
    """Combine files: the first call apart, which compiles or loads what was compiled."""
    from ccdcore.combining.combine import combine

    cold = best_of(1, lambda: combine(paths, threads=int(threads) or None))
    return {"cold": cold[0], "seconds": best_of(times, lambda: combine(paths, threads=int(threads) or None))}


def engine(paths: Sequence[str], times: int) -> dict[str, Any]:
    """Combine arrays that are in memory."""
    from ccdcore.combining.combine import combine
    from ccdcore.io.read import read_image

    stack = [read_image(path) for path in paths]
    combine(stack)
    return {"seconds": best_of(times, lambda: combine(stack))}


def scaled(paths: Sequence[str], times: int, how: str = "equal") -> dict[str, Any]:
    """Combine files that are scaled, as flats are; ``weighted`` as those of different light are."""
    from ccdcore.combining.combine import combine

    scale = np.linspace(0.5, 1.5, len(paths))
    weights = 1 / scale if how == "weighted" else None
    combine(paths[:2])
    combine(paths, scale=scale, weights=weights)
    return {"seconds": best_of(times, lambda: combine(paths, scale=scale, weights=weights))}


def masked(paths: Sequence[str], times: int) -> dict[str, Any]:
    """Combine arrays of which one pixel in a hundred is masked."""
    from ccdcore.combining.combine import combine
    from ccdcore.io.read import read_image

    bad = np.random.default_rng(1).random(read_image(paths[0]).shape) < 0.01
    stack = [np.ma.MaskedArray(read_image(path), bad) for path in paths]
    combine(stack)
    return {"seconds": best_of(times, lambda: combine(stack))}


def decompress(paths: Sequence[str], times: int) -> dict[str, Any]:
    """Decompress files one after the other, without a look at what they hold: gzip by zlib, fpack by astropy."""
    from astropy.io import fits

    def decoded(path: str) -> object:
        if path.endswith(".gz"):
            return gzip.decompress(Path(path).read_bytes())
        with fits.open(path, memmap=False) as hdus:
            return hdus[1].data

    return {"seconds": best_of(times, lambda: [decoded(path) for path in paths])}


def raw_read(paths: Sequence[str], times: int) -> dict[str, Any]:
    """Read all bytes, two threads, each into a buffer of 1 MiB that is used again."""

    def read(some: Sequence[str]) -> None:
        buffer = bytearray(2**20)
        for path in some:
            with Path(path).open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    def all_of_them() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(read, (paths[::2], paths[1::2])))

    return {"seconds": best_of(times + 2, all_of_them)}


def ccdproc_combine(paths: Sequence[str], times: int, spelling: str) -> dict[str, Any]:
    """Combine with ccdproc, as the notebook spelt it or as it is fastest."""
    import ccdproc
    from astropy.stats import mad_std

    how = (
        {"sigma_clip_func": np.ma.median, "sigma_clip_dev_func": mad_std, "mem_limit": 512e6}
        if spelling == "notebook"
        else {"sigma_clip_func": "median", "sigma_clip_dev_func": "mad_std"}
    )
    limits = {"sigma_clip_low_thresh": 7, "sigma_clip_high_thresh": 7}
    result: list[Any] = []

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result[:] = [ccdproc.combine(list(paths), unit="adu", sigma_clip=True, **limits, **how)]

    seconds = best_of(times, run)
    from ccdcore.combining.combine import combine

    return {"seconds": seconds, "difference": float(np.abs(combine(paths).value - result[0].data).max())}


def registration(paths: Sequence[str], times: int) -> dict[str, Any]:
    """Read frames with all that is put on record of them."""
    from ccdcore.io.read import measure_frame

    measure_frame(paths[0])

    def run() -> None:
        for path in paths:
            measure_frame(path)

    return {"seconds": best_of(times, run)}


def ledger(paths: Sequence[str], times: int) -> dict[str, Any]:
    """Register files that are ready as the service does: by its readers, with all that is put on record of them."""
    from db.files import ledger
    from flows.home.home import open_home
    from flows.home.processes import now
    from flows.registration.register import register_files
    from flows.watching.directory_tree import sighting

    taken = []
    for _ in range(times + 1):
        with tempfile.TemporaryDirectory() as folder:
            home = open_home(Path(folder))
            seen = [sighting(str(path.parent), path.name, path.lstat()) for path in map(Path, paths)]
            with home.write_session() as session:
                files = ledger.observe(session, seen, host=home.settings.host, now=now())
                ledger.mark_ready(session, [file.id for file in files], now=now())
            taken += best_of(1, partial(register_files, home))
            home.engine.dispose()
    return {"cold": taken[0], "seconds": sorted(taken[1:])}


def verification(paths: Sequence[str], times: int) -> dict[str, Any]:
    """Hold the inputs of a run against their hashes on record, as each run does before it reads them."""
    from db.files.raw_inputs import raw_inputs
    from flows.commands.process import process
    from flows.home.home import open_home
    from flows.runs.run import Run
    from flows.runs.verification import require_unchanged, verify_inputs

    with tempfile.TemporaryDirectory() as folder:
        home = open_home(Path(folder))
        process(home, [Path(path) for path in paths])
        with home.read_session() as session:
            n_verified = len(raw_inputs(session, 1))
        assert n_verified == len(paths), f"{n_verified} of {len(paths)} files are verified"

        run = Run(home, 1)

        def verify() -> None:
            verify_inputs(run)
            require_unchanged(run)

        taken = best_of(times, verify)
        home.engine.dispose()
    return {"seconds": taken}


def gain(paths: Sequence[str], times: int) -> dict[str, Any]:
    """Measure gain and read noise of two biases and two flats."""
    from ccdcore.photon_transfer.measure import measure_gain

    measure_gain(paths[:2], paths[2:4])
    return {"seconds": best_of(times, lambda: measure_gain(paths[:2], paths[2:4]))}


def clipping(paths: Sequence[str], times: int) -> dict[str, Any]:
    """Clip whole numbers of σ = 1.2 ADU, whose noise is known, at 3 σ: what is lost, and what the uncertainty is worth.

    Neither files nor repeats are used.
    """
    from ccdcore.combining.combine import combine

    found = {}
    for n in (3, 5, 10, 20, 30):
        rng = np.random.default_rng(n)
        truth = 1000 + rng.random((500, 1000))
        frames = list(np.rint(rng.normal(truth, 1.2, (n, *truth.shape))).astype(np.uint16))
        image = combine(frames, clip_sigma=3, noise=np.sqrt(1.2**2 + 1 / 12))
        predicted = np.sqrt(np.mean(np.square(image.uncertainty, dtype=np.float64)))
        rejected = float(np.mean(image.rejected_fraction))
        found[n] = rejected / 0.0026998, float(predicted / np.std(image.value - truth))
    return {"found": found}


def main() -> None:
    """Run the measurement named on the command line: name, repeats, list of files, options."""
    name, times, listed, *options = sys.argv[1:]
    paths = Path(listed).read_text(encoding="utf-8").split("\n")
    found = globals()[name](paths, int(times), *options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("\n" + json.dumps({**found, "peak_mib": peak}))


if __name__ == "__main__":
    main()
