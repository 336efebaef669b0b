"""The same frame by 5 routes (copy, rename, gzip, fpack, another watched folder): one frame, all paths recorded."""

from __future__ import annotations

import gzip
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
from astropy.io import fits

from db.frames.listing import list_frames
from db.runs.runs import list_runs
from flows.commands.process import process
from flows.home.home import Home, open_home
from flows.home.processes import now
from tests.faults.hostile import PIXELS, encoded, primary

N_BIASES = 4


def run(full: bool) -> str:
    n_sets = 20 if full else 1
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        home = open_home(Path(directory) / "home")
        one, other = Path(directory) / "one", Path(directory) / "other"
        for number in range(n_sets):
            _land(np.random.default_rng(number), one, number)
        process(home, [one])
        before = _on_record(home)
        paths = [_by_five_routes(path, other) for path in sorted(one.rglob("*.fits"))]
        process(home, [one, other])
        after = _on_record(home)
        home.engine.dispose()
    n = N_BIASES * n_sets
    assert after["runs"] == before["runs"], "a set was worked on again"
    assert len(after["runs"]) == n_sets
    assert len(after["frames"]) == n, f"{len(after['frames'])} frames on record, not {n}"
    for at in paths:
        assert {str(path) for path in at} in after["frames"], f"of {at} not all are on record"
    return f"{n} frames by 5 routes each: {n} frames and {5 * n} paths on record, {n_sets} runs before and after"


def _land(rng: np.random.Generator, folder: Path, number: int) -> None:
    """Write the biases of one night."""
    folder = folder / str(number)
    folder.mkdir(parents=True)
    for bias in range(N_BIASES):
        taken = now() - timedelta(days=number, minutes=bias)
        pixels = rng.normal(1000, 5, PIXELS.shape).astype(np.uint16)
        cards = {"DATE-OBS": taken.replace(tzinfo=None).isoformat(timespec="seconds"), "INSTRUME": f"cam{number}"}
        (folder / f"{bias}.fits").write_bytes(encoded(primary(pixels, **cards)))


def _by_five_routes(path: Path, other: Path) -> list[Path]:
    """Let a frame come again: copied, packed in two ways, moved to a new name, and into another folder."""
    content = path.read_bytes()
    copy, zipped, moved = (path.with_name(f"{path.stem}-{how}") for how in ("copy.fits", "zip.fits.gz", "moved.fits"))
    copy.write_bytes(content)
    zipped.write_bytes(gzip.compress(content))
    packed = path.with_name(f"{path.stem}-packed.fits.fz")
    with fits.open(path) as hdus:
        hdu = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="RICE_1")
        packed.write_bytes(encoded(fits.PrimaryHDU(), hdu))
    elsewhere = other / path.parent.name / path.name
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    elsewhere.write_bytes(content)
    path.rename(moved)
    return [copy, zipped, packed, moved, elsewhere]


def _on_record(home: Home) -> dict[str, list[object]]:
    with home.read_session() as session:
        frames, runs = list_frames(session), list_runs(session, superseded=True)
    return {
        "frames": [{path for path in frame.paths if Path(path).exists()} for frame in frames],
        "runs": [(run.id, run.outcome, run.superseded) for run in runs],
    }
