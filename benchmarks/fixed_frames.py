"""A small fixed set of frames, the same bit for bit on every machine: of a camera of two amplifiers, on two nights.

Only integers drawn by PCG64, sums, products and square roots make them, which every machine rounds alike; no
distribution of numpy, which may become another one, and no function of a mathematical library.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits

FloatImage = npt.NDArray[np.float64]

ROWS, COLUMNS, OVERSCAN = 256, 112, 16
GAINS, READ_NOISES, BIASES = (1.2, 1.6), (4.0, 6.0), (1000, 1150)
NIGHTS = (datetime(2024, 3, 1, 18, tzinfo=UTC), datetime(2024, 3, 2, 18, tzinfo=UTC))
LIGHT = {"V": (8000.0, 24000.0), "R": (12000.0, 36000.0)}
"""Electrons a pixel of the flats of a filter: two of each."""
DARK_SECONDS, DARK_RATE, HOT_RATE = 60.0, 0.2, 40.0
N_BIASES, N_DARKS, FLATS_A_LEVEL = 5, 3, 2
_COSMIC_RAYS = 6


def write_fixed_frames(directory: Path) -> list[Path]:
    """Write the frames; return their files."""
    camera = _Camera()
    paths = []
    for night in NIGHTS:
        for number, (frame_type, exposure_s, filter_name, light) in enumerate(_exposures()):
            begin = night + timedelta(seconds=90 * number)
            path = directory / f"{night:%Y%m%d}" / f"{frame_type.split()[0].lower()}_{number + 1:03d}.fits"
            path.parent.mkdir(parents=True, exist_ok=True)
            hdu = fits.PrimaryHDU(camera.expose(light, exposure_s))
            hdu.header.update(_cards(frame_type, begin, exposure_s))
            if filter_name:
                hdu.header["FILTER"] = filter_name
            hdu.writeto(path)
            paths.append(path)
    return paths


def _exposures() -> Iterator[tuple[str, float, str, float]]:
    """Yield frame type, seconds, filter and light in electrons of a night's frames."""
    yield from [("Bias Frame", 0.0, "", 0.0)] * N_BIASES
    yield from [("Dark Frame", DARK_SECONDS, "", 0.0)] * N_DARKS
    for filter_name, levels in LIGHT.items():
        for light in levels:
            yield from [("Flat Field", light / 4000, filter_name, light)] * FLATS_A_LEVEL


def _cards(frame_type: str, begin: datetime, exposure_s: float) -> dict[str, str | float | int]:
    cards: dict[str, str | float | int] = {
        "IMAGETYP": frame_type,
        "INSTRUME": "fixedcam",
        "DATE-OBS": begin.strftime("%Y-%m-%dT%H:%M:%S"),
        "EXPTIME": exposure_s,
        "CCD-TEMP": -90.0,
        "XBINNING": 1,
        "YBINNING": 1,
    }
    for number, (data, overscan) in enumerate(_sections(), start=1):
        for keyword, columns in (("DATASEC", data), ("BIASSEC", overscan)):
            cards[f"{keyword}{number}"] = f"[{columns.start + 1}:{columns.stop},1:{ROWS}]"
    return cards


def _sections() -> Iterator[tuple[slice, slice]]:
    """Yield the columns of light and of overscan of each amplifier: read outwards, overscan in the middle."""
    half = COLUMNS + OVERSCAN
    yield slice(0, COLUMNS), slice(COLUMNS, half)
    yield slice(half + OVERSCAN, 2 * half), slice(half, half + OVERSCAN)


class _Camera:
    """Exposes frames one after the other; all that is drawn follows from one seed."""

    def __init__(self) -> None:
        self.raw = np.random.PCG64(20240301)
        self.shape = (ROWS, 2 * (COLUMNS + OVERSCAN))
        self.gain, self.noise, self.bias = (np.zeros(self.shape) for _ in range(3))
        self.lit = np.zeros(self.shape, dtype=bool)
        for amplifier, (data, overscan) in enumerate(_sections()):
            for columns in (data, overscan):
                self.gain[:, columns] = GAINS[amplifier]
                self.noise[:, columns] = READ_NOISES[amplifier]
                self.bias[:, columns] = BIASES[amplifier]
            self.lit[:, data] = True
        self.bias += 0.5 * self.normal()
        self.response = 1 + 0.01 * self.normal() - 0.1 * (np.arange(ROWS)[:, None] / ROWS - 0.5) ** 2
        self.response[:, 40] *= 0.3  # a bad column
        self.hot = np.zeros(self.shape)
        self.hot.ravel()[self.integers(60) % self.hot.size] = HOT_RATE

    def integers(self, count: int) -> npt.NDArray[np.uint64]:
        """Draw integers of 64 bits: the raw words of the generator."""
        return np.asarray(self.raw.random_raw(count), dtype=np.uint64)

    def normal(self) -> FloatImage:
        """Draw an image of mean 0 and standard deviation 1, nearly normal: sums of twelve numbers of 16 bits."""
        words = self.integers(3 * self.gain.size).view(np.uint16).reshape(*self.shape, 12)
        sums: FloatImage = words.sum(axis=-1, dtype=np.int64) / 65536.0
        return sums - 6.0 * 65535 / 65536

    def expose(self, light_e: float, exposure_s: float) -> npt.NDArray[np.uint16]:
        """Take a frame, in ADU, with a few cosmic rays where it took time."""
        expected = np.where(self.lit, light_e * self.response + exposure_s * (DARK_RATE + self.hot), 0.0)
        electrons = expected + np.sqrt(expected) * self.normal() + self.noise * self.normal()
        if exposure_s:
            hit = self.integers(2 * _COSMIC_RAYS)
            electrons.ravel()[hit[::2] % electrons.size] += 500 + hit[1::2] % 4000
        return np.clip(np.rint(electrons / self.gain + self.bias), 0, 65535).astype(np.uint16)
