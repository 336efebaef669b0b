"""A byte flipped in 20 files, 5 files added, 5 deleted: the audit names exactly these."""

from __future__ import annotations

import gzip
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from flows.commands.audit import audit
from flows.commands.process import process
from flows.home.home import open_home
from tests.faults.hostile import PIXELS, encoded, flipped, primary


def run(full: bool) -> str:
    n_frames = 2_000 if full else 60
    rng = np.random.default_rng(13)
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        home, frames = open_home(Path(directory) / "home"), Path(directory) / "frames"
        paths = [_frame(rng, frames, number) for number in range(n_frames)]
        process(home, [frames])
        before, n_before = audit(home)
        assert not before, before[:3]
        chosen = [paths[number] for number in rng.permutation(n_frames)[:25]]
        for path in chosen[:20]:
            content = path.read_bytes()
            path.write_bytes(flipped(content, int(rng.integers(len(content)))))
        for path in chosen[20:]:
            path.unlink()
        added = [_frame(rng, frames, n_frames + number) for number in range(5)]
        found, _ = audit(home)
        home.engine.dispose()
    expected = {"changed": chosen[:20], "missing": chosen[20:], "unregistered": added}
    assert {(row["finding"], row["path"]) for row in found} == {
        (finding, str(path)) for finding, of in expected.items() for path in of
    }
    counts = Counter(row["finding"] for row in found)
    return f"{n_before} files: " + ", ".join(f"{counts[finding]} {finding}" for finding in expected)


def _frame(rng: np.random.Generator, frames: Path, number: int) -> Path:
    """Write a frame of no calibration type, some of them compressed, so that registration is all that is done."""
    pixels = (PIXELS + rng.integers(0, 50, PIXELS.shape)).astype(np.uint16)
    content = encoded(primary(pixels, IMAGETYP="object"))
    path = frames / f"night{number % 7}" / (f"f{number}.fits" + ".gz" * (number % 3 == 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
