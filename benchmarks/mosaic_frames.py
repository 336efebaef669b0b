"""Frames of a simulated mosaic: one image HDU a detector, two amplifiers each, overscans, smaller detectors beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from ccdcore.io.structure import BLOCK

BIAS_ADU, LIGHT_ADU, READ_NOISE_ADU = 1000.0, 12_000.0, 4.0
OVERSCAN = 56
"""Columns behind the light of each amplifier, at the outer edges of the detector."""
LETTERS = "AB"


@dataclass(frozen=True)
class Layout:
    """How many detectors stand in a mosaic, of which rows and columns; and the smaller ones for focus and guiding."""

    n_detectors: int
    shape: tuple[int, int]
    n_small: int = 0

    @property
    def megapixels(self) -> float:
        """Of the detectors that count."""
        return self.n_detectors * self.shape[0] * self.shape[1] / 1e6

    def units(self) -> Iterator[tuple[str, int, tuple[int, int]]]:
        """Yield name, number and shape of each image HDU; in no natural order."""
        south = self.n_detectors // 2
        for number in range(1, self.n_detectors + 1):
            name = f"S{south + 1 - number}" if number <= south else f"N{number - south}"
            yield name, number, self.shape
        for number in range(1, self.n_small + 1):
            yield f"F{number}", self.n_detectors + number, (self.shape[0] // 2, self.shape[1])


def true_gains(layout: Layout) -> dict[str, float]:
    """Return the gain in e⁻/ADU of each amplifier, by its name."""
    rng = np.random.default_rng(17)
    return {
        f"{name}-{letter}": float(rng.uniform(0.8, 2.5))
        for name, _, shape in layout.units()
        if shape == layout.shape
        for letter in LETTERS
    }


def write_frames(folder: Path, layout: Layout, *, biases: int = 4, flats: int = 4) -> float:
    """Write the frames of a night; return how many bytes they have."""
    folder.mkdir()
    gains = true_gains(layout)
    for number in range(biases + flats):
        is_flat = number >= biases
        with (folder / f"exposure_{number:04d}.fits").open("wb") as file:
            _put(file, fits.PrimaryHDU(header=_primary(number, layout, is_flat=is_flat)))
            for index, (name, ccd, shape) in enumerate(layout.units()):
                rng = np.random.default_rng((number, index))
                _put(file, _unit(rng, name, ccd, shape, gains, is_flat=is_flat))
    return float(sum(one.stat().st_size for one in folder.iterdir()))


def _put(file: Any, unit: fits.PrimaryHDU | fits.ImageHDU) -> None:
    """Write one unit: never is the whole of a file in memory."""
    file.write(unit.header.tostring().encode("ascii"))
    if unit.data is not None:
        content = (unit.data ^ np.uint16(2**15)).view(np.int16).astype(">i2").tobytes()
        file.write(content + bytes(-len(content) % BLOCK))


def _primary(number: int, layout: Layout, *, is_flat: bool) -> fits.Header:
    return fits.Header(
        {
            "INSTRUME": "Mosaic",
            "OBSTYPE": "dome flat" if is_flat else "zero",
            "EXPTIME": 10.0 if is_flat else 0.0,
            "FILTER": "r",
            "DATE-OBS": f"2026-03-01T{12 + number // 60:02d}:{number % 60:02d}:00",
            "NEXTEND": layout.n_detectors + layout.n_small,
            "DETSIZE": "[1:29400,1:29050]",
        }
    )


def _unit(
    rng: np.random.Generator, name: str, ccd: int, shape: tuple[int, int], gains: Mapping[str, float], *, is_flat: bool
) -> fits.ImageHDU:
    rows, columns = shape
    half = columns // 2
    light = half - OVERSCAN
    pixels = np.empty(shape, np.uint16)
    header = fits.Header({"EXTNAME": name, "CCDNUM": ccd})
    left, bottom = ccd % 8 * (2 * light + 100), ccd // 8 * (rows + 100)
    header["DETSEC"] = f"[{left + 1}:{left + 2 * light},{bottom + 1}:{bottom + rows}]"
    for position, letter in enumerate(LETTERS):
        data = (OVERSCAN, half) if position == 0 else (half, half + light)
        over = (0, OVERSCAN) if position == 0 else (half + light, columns)
        header[f"DATASEC{letter}"] = f"[{data[0] + 1}:{data[1]},1:{rows}]"
        header[f"BIASSEC{letter}"] = f"[{over[0] + 1}:{over[1]},1:{rows}]"
        own = slice(0, half) if position == 0 else slice(half, columns)
        pixels[:, own] = _amplifier(
            rng, (rows, half), data[0] - own.start, light, gains.get(f"{name}-{letter}"), is_flat
        )
    return fits.ImageHDU(pixels, header)


def _amplifier(
    rng: np.random.Generator, shape: tuple[int, int], first: int, light: int, gain: float | None, is_flat: bool
) -> npt.NDArray[np.uint16]:
    """Return the pixels of one amplifier; light of a mean above 5000 electrons, whose noise is as good as normal."""
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(READ_NOISE_ADU)
    if is_flat:
        rows, columns = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : light * 1j].astype(np.float32)
        expected = np.float32(LIGHT_ADU) * (1 - np.float32(0.2) * (rows * rows + columns * columns) / 2)
        noise = rng.standard_normal((shape[0], light), np.float32)
        values[:, first : first + light] += expected + np.sqrt(expected / np.float32(gain or 1.0)) * noise
    values += np.float32(BIAS_ADU + 0.5)
    return values.astype(np.uint16)
