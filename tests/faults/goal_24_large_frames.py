"""A full-frame camera of 61 megapixels: a whole run takes 2 GiB at most of the 4 that our units allow."""

from __future__ import annotations

import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from astropy.io import fits

from ccdcore.io.read import read_frame
from ccdcore.masters.build import check_master, master_bias, master_flat

SHAPE, N_WHOLE = (6388, 9576), 10
LARGEST_GIB = 2.0
"""Of a whole run on as many biases, darks and flats: what only it has in memory, which the system cannot take back."""
N_FRAMES = 3
KINDS = ("Bias Frame", 500.0, 3.0, 0.0), ("Dark", 502.0, 4.0, 2.0), ("Flat", 20_000.0, 110.0, 2.0)
"""Of frames: their level, noise and exposure."""
SHORT_SHAPE = 1200, 1600
MOST_MIB_PER_MEGAPIXEL = 100.0
"""Of making a small master flat and its check; what is combined at a time, and two masters, are in it."""


def run(full: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        return _whole_run(Path(name)) if full else _master_flat(Path(name))


def _whole_run(top: Path) -> str:
    list(_frames(top / "frames", SHAPE, N_WHOLE))
    command = [Path(sys.executable).with_name("ccdwatch"), "process", top / "frames", "--home", top / "home"]
    own = 0
    with (top / "said").open("wb") as said:
        process = psutil.Popen(command, stdout=said, stderr=said)
        while process.poll() is None:
            with suppress(psutil.Error):
                taken = process.memory_info()
                own = max(own, taken.rss - taken.shared)
            time.sleep(0.02)
    text = (top / "said").read_text()
    assert process.returncode == 0, text
    assert text.count("master flat") == 0, text  # none is missing
    gib = own / 2**30
    megapixels = SHAPE[0] * SHAPE[1] / 1e6
    told = f"{N_WHOLE} biases, darks and flats each of {megapixels:.0f} megapixels: at most {gib:.2f} GiB"
    assert gib < LARGEST_GIB, told
    return told


def _master_flat(top: Path) -> str:
    frames = [read_frame(path) for path in _frames(top, SHORT_SHAPE, N_FRAMES)]
    biases, flats = frames[:N_FRAMES], frames[-N_FRAMES:]
    tracemalloc.start()
    try:
        bias = master_bias(biases)
        flat = master_flat(flats, bias=bias)
        remarks = check_master(flat, flats[1], bias=bias)
        mib = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert not remarks, remarks
    megapixels = SHORT_SHAPE[0] * SHORT_SHAPE[1] / 1e6
    told = f"a master flat of {N_FRAMES} and its check: {mib / megapixels:.0f} MiB a megapixel"
    assert mib / megapixels < MOST_MIB_PER_MEGAPIXEL, told
    return told


def _frames(folder: Path, shape: tuple[int, int], n_frames: int) -> Iterator[Path]:
    """Write biases, darks and flats made of one frame of noise each, rolled, with a row noise of their own."""
    rng = np.random.default_rng(24)
    folder.mkdir(exist_ok=True)
    for number_of_kind, (kind, level, noise, seconds) in enumerate(KINDS):
        base = rng.standard_normal(shape, np.float32)
        base *= np.float32(noise)
        for number in range(n_frames):
            pixels = np.roll(base, (37 * number, 91 * number), (0, 1))
            pixels += np.float32(level) + rng.random((shape[0], 1), np.float32)
            hdu = fits.PrimaryHDU(np.rint(pixels).astype(np.uint16))
            hdu.header.update({"IMAGETYP": kind, "EXPTIME": seconds, "FILTER": "V", "INSTRUME": "full frame"})
            hdu.header["DATE-OBS"] = f"2024-03-10T{20 + number_of_kind}:{number:02d}:00"
            path = folder / f"{kind[:4]}{number}.fits"
            hdu.writeto(path)
            yield path
