"""Cameras drawn by chance, with known truth, and nights of their frames in the spellings of many programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

FloatImage = npt.NDArray[np.float64]
Pixels = npt.NDArray[Any]

BEGIN = datetime(2024, 3, 10, 20, tzinfo=UTC)
SHAPES = ((160, 200), (200, 160), (150, 240))


@dataclass(frozen=True)
class Camera:
    """A camera whose truth is known.

    Parameters
    ----------
    gains : tuple of float
        e⁻ for each unit of the numbers in the file, of each amplifier; the amplifiers lie side by side.
    read_noise_e : float
        In electrons.
    bias : float
        Its level in the file's numbers.
    bits, step : int
        Of the converter, and by what its numbers are multiplied in the file.
    light : ndarray
        Light on each pixel, 1 where it is brightest.
    pattern : ndarray
        Fixed pattern of the bias, in the file's numbers.
    """

    gains: tuple[float, ...]
    read_noise_e: float
    bias: float
    bits: int
    step: int
    light: FloatImage
    pattern: FloatImage

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.light.shape
        return rows, columns

    @property
    def top(self) -> int:
        """The largest number that it writes."""
        return int(2**self.bits - 1) * self.step

    @property
    def gain_map(self) -> FloatImage:
        """e⁻ for each unit, of each pixel."""
        width = self.shape[1] // len(self.gains)
        return np.repeat(np.array(self.gains), width)[None, :]

    @property
    def truths(self) -> tuple[tuple[float, float], ...]:
        """Gain, and read noise in the file's numbers, of each amplifier."""
        return tuple((gain, self.read_noise_e / gain) for gain in self.gains)

    def analogue(self, rng: np.random.Generator, adu: float = 0.0, *, drift: float = 0.0) -> FloatImage:
        """Return an exposure before it is digitised; ``adu`` is the signal where the light is brightest."""
        electrons = rng.poisson(np.maximum(adu * self.gains[0] * self.light, 0)).astype(float)
        electrons += rng.normal(0, self.read_noise_e, self.shape)
        return electrons / self.gain_map + self.bias + drift + self.pattern

    def digitised(self, image: FloatImage) -> Pixels:
        """Return the numbers that the converter makes of it."""
        numbers: Pixels = np.clip(np.rint(image / self.step) * self.step, 0, self.top).astype(np.uint16)
        return numbers


@dataclass(frozen=True)
class Shot:
    """One exposure: what it is, its pixels, and cards of its own."""

    kind: str
    pixels: Pixels
    seconds: float
    filter: str = "V"
    cards: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    lossy: bool = False


@dataclass
class Night:
    """The exposures of a night, and what is true of them.

    Parameters
    ----------
    name : str
        Of its instrument and its folder.
    camera : Camera
        The camera.
    dialect : Dialect
        How its headers are spelt.
    shots : list of Shot
        In the order they were taken.
    truths : list of tuple of (float, float)
        For each camera or mode that took part, gain and read noise of each amplifier.
    planted : str
        Name of the fault; ``""`` where there is none.
    """

    name: str
    camera: Camera
    dialect: Dialect
    shots: list[Shot]
    truths: list[tuple[tuple[float, float], ...]]
    planted: str = ""

    def of(self, kind: str) -> list[int]:
        """Return the numbers of the exposures of a kind."""
        return [number for number, shot in enumerate(self.shots) if shot.kind == kind]

    def change(self, numbers: Sequence[int], change: Callable[[Shot], Shot]) -> None:
        """Replace some exposures."""
        for number in numbers:
            self.shots[number] = change(self.shots[number])

    def write(self, folder: Path) -> None:
        """Write its files into a folder."""
        folder.mkdir(parents=True)
        for number, shot in enumerate(self.shots):
            begin = BEGIN + timedelta(minutes=number)
            hdu: Any = fits.PrimaryHDU(shot.pixels)
            if shot.lossy:
                hdu = fits.CompImageHDU(shot.pixels, compression_type="RICE_1", quantize_level=0.5)
            cards = {**self.dialect.cards(self.name, shot, begin), **_amplifiers(self.camera), **shot.cards}
            for keyword, value in cards.items():
                hdu.header[keyword] = value
            suffix = ".fits.fz" if shot.lossy else ".fits"
            hdu.writeto(folder / ((shot.name or self.dialect.file_name(shot, number)) + suffix))


def _amplifiers(camera: Camera) -> dict[str, str]:
    if len(camera.gains) == 1:
        return {}
    rows, width = camera.shape[0], camera.shape[1] // len(camera.gains)
    return {f"DATASEC{n + 1}": f"[{n * width + 1}:{(n + 1) * width},1:{rows}]" for n in range(len(camera.gains))}


@dataclass(frozen=True)
class Dialect:
    """How a program writes headers and file names."""

    name: str
    cards: Callable[[str, Shot, datetime], dict[str, Any]]
    names: dict[str, str] = field(default_factory=dict)

    def file_name(self, shot: Shot, number: int) -> str:
        """Return a file name without its ending."""
        return f"{self.names.get(shot.kind, 'frame')}_{number:04d}"


def _iso(begin: datetime) -> str:
    return begin.strftime("%Y-%m-%dT%H:%M:%S")


def _maxim(camera: str, shot: Shot, begin: datetime) -> dict[str, Any]:
    kind = {"bias": "Bias Frame", "dark": "Dark Frame", "flat": "Flat Field"}[shot.kind]
    cards = {"IMAGETYP": kind, "INSTRUME": camera, "DATE-OBS": _iso(begin), "EXPTIME": shot.seconds}
    return {**cards, "CCD-TEMP": -20.0, "XBINNING": 1, "YBINNING": 1, "FILTER": shot.filter}


def _nina(camera: str, shot: Shot, begin: datetime) -> dict[str, Any]:
    kind = {"bias": "BIAS", "dark": "DARK", "flat": "FLAT"}[shot.kind]
    cards = {"IMAGETYP": kind, "INSTRUME": camera, "DATE-OBS": _iso(begin) + ".250", "EXPOSURE": shot.seconds}
    return {**cards, "GAIN": 100, "OFFSET": 50, "SET-TEMP": -10.0, "CCD-TEMP": -10.1, "FILTER": shot.filter}


def _sharpcap(camera: str, shot: Shot, begin: datetime) -> dict[str, Any]:
    kind = {"bias": "Bias", "dark": "Dark", "flat": "Flat"}[shot.kind]
    cards = {"FRAMETYP": kind, "INSTRUME": camera, "DATE-OBS": _iso(begin) + ".1234567", "EXPTIME": shot.seconds}
    return {**cards, "GAIN": 120, "BLKLEVEL": 20, "XBINNING": 1, "YBINNING": 1, "FILTER": shot.filter}


def _eso(camera: str, shot: Shot, begin: datetime) -> dict[str, Any]:
    kind = {"bias": "BIAS", "dark": "DARK", "flat": "FLAT,LAMP"}[shot.kind]
    cards = {"INSTRUME": camera, "DATE-OBS": _iso(begin), "EXPTIME": shot.seconds, "HIERARCH ESO DPR TYPE": kind}
    return {**cards, "HIERARCH ESO DPR CATG": "CALIB", "HIERARCH ESO INS FILT1 NAME": shot.filter}


def _iraf(camera: str, shot: Shot, begin: datetime) -> dict[str, Any]:
    kind = {"bias": "zero", "dark": "dark", "flat": "dome flat"}[shot.kind]
    cards = {"OBSTYPE": kind, "OBJECT": kind, "INSTRUME": camera, "EXPTIME": shot.seconds, "FILTER": shot.filter}
    return {**cards, "DATE-OBS": begin.strftime("%Y-%m-%d"), "UT": begin.strftime("%H:%M:%S.0"), "CCDSUM": "1 1"}


def _names_only(camera: str, shot: Shot, begin: datetime) -> dict[str, Any]:
    return {"INSTRUME": camera, "DATE-OBS": _iso(begin), "EXPTIME": shot.seconds, "FILTER": shot.filter}


def _skies(camera: str, shot: Shot, begin: datetime) -> dict[str, Any]:
    kind = {"bias": "Offset", "dark": "Dark", "flat": "Skyflat"}[shot.kind]
    cards = {"IMAGETYP": kind, "CAMERA": camera, "INSTRUME": camera, "EXPTIME": f"{shot.seconds:.3f}"}
    return {
        **cards,
        "DATE-OBS": begin.strftime("%Y-%m-%d"),
        "TIME-OBS": begin.strftime("%H:%M:%S"),
        "FILTER": shot.filter,
    }


DIALECTS = (
    Dialect("MaxIm DL", _maxim),
    Dialect("N.I.N.A.", _nina),
    Dialect("SharpCap", _sharpcap),
    Dialect("ESO", _eso),
    Dialect("IRAF", _iraf, {"bias": "a", "flat": "b", "dark": "c"}),
    Dialect("file names", _names_only, {"bias": "bias", "flat": "flat", "dark": "dark"}),
    Dialect("Offset and Skyflat", _skies),
)


def draw_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera: converter, gain, noise, level, light and pattern."""
    bits, step = [(16, 1), (16, 1), (14, 1), (14, 4), (12, 1), (12, 16), (15, 2)][rng.integers(7)]
    top = (2**bits - 1) * step
    shape = SHAPES[rng.integers(len(SHAPES))]
    # A converter is matched to a full well of 8 000 to 150 000 electrons, and to a noise that it resolves.
    full_well = np.exp(rng.uniform(np.log(8e3), np.log(1.5e5)))
    gain = full_well / top
    read_noise_e = max(np.exp(rng.uniform(np.log(1.2), np.log(12))), 0.7 * gain * step)
    noise = read_noise_e / gain
    n_amplifiers = int(rng.choice([1, 1, 1, 2, 4]))
    gains = tuple(gain * (1 + 0.06 * rng.uniform(-1, 1, n_amplifiers)))
    return Camera(
        gains=gains,
        read_noise_e=float(read_noise_e),
        bias=float(min(6 * noise + step + top * rng.uniform(0.002, 0.03), 0.15 * top)),
        bits=bits,
        step=step,
        light=_light_on_all(rng, shape, n_amplifiers),
        pattern=0.3 * noise * rng.uniform(0, 1) * rng.normal(size=shape),
    )


def _light_on_all(rng: np.random.Generator, shape: tuple[int, int], n_amplifiers: int) -> FloatImage:
    """Draw where the light falls until each amplifier sees some: one in the dark can have no gain."""
    while True:
        light = draw_light(rng, shape)
        if all(np.mean(part > 0.5) > 0.1 for part in np.split(light, n_amplifiers, axis=1)):
            return light


def draw_light(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Draw where the light falls: evenly, vignetted, through a mosaic of colours, a stop or a slit."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.hypot(x - rng.uniform(-0.2, 0.2), y - rng.uniform(-0.2, 0.2))
    light = np.ones(shape)
    choice = rng.choice(["even", "vignetted", "gradient", "mosaic", "stop", "slit", "spectrum", "unlit columns"])
    if choice == "vignetted":
        light -= rng.uniform(0.1, 0.6) * radius**2 / 2
    elif choice == "gradient":
        light += rng.uniform(-0.3, 0.3) * x + rng.uniform(-0.3, 0.3) * y
    elif choice == "mosaic":
        strengths = rng.permutation([1.0, rng.uniform(0.3, 1), rng.uniform(0.3, 1), 1.0])
        for number, strength in enumerate(strengths):
            light[number // 2 :: 2, number % 2 :: 2] *= strength
    elif choice == "stop":
        light *= radius < rng.uniform(0.7, 1.1)
    elif choice == "slit":
        light *= abs(y) < rng.uniform(0.3, 0.8)
    elif choice == "spectrum":
        traces = np.linspace(-0.8, 0.8, 5)[:, None, None]
        light = np.exp(-(((y - traces) / 0.06) ** 2) / 2).sum(axis=0) * (1 - 0.4 * x**2)
    elif choice == "unlit columns":
        light[:, : int(rng.integers(8, 24))] = 0
    light *= 1 + 0.01 * rng.normal(size=shape)
    return np.maximum(light / np.quantile(light, 0.999), 0)


def draw_night(rng: np.random.Generator, name: str) -> Night:
    """Draw a night of frames that are as they should be."""
    camera = draw_camera(rng)
    dialect = DIALECTS[rng.integers(len(DIALECTS))]
    n_bias, wander = int(rng.integers(3, 8)), 0.05 * camera.read_noise_e / camera.gains[0]
    shots = [
        Shot("bias", camera.digitised(camera.analogue(rng, drift=wander * rng.normal())), 0.0) for _ in range(n_bias)
    ]
    span = camera.top - camera.bias
    if rng.random() < 0.3:
        levels = np.repeat(np.geomspace(rng.uniform(0.03, 0.08), rng.uniform(0.5, 0.8), int(rng.integers(4, 8))), 2)
    else:
        levels = np.full(int(rng.integers(3, 8)), rng.uniform(0.15, 0.75))
    lamp = 1 + rng.uniform(0, 0.01) * np.linspace(-1, 1, levels.size)
    hits = rng.choice([0.0, 1e-4, 5e-4])
    for level, flux in zip(levels, lamp, strict=True):
        image = camera.analogue(rng, level * flux * span / camera.light.max(), drift=wander * rng.normal())
        hit = rng.random(camera.shape) < hits
        image[hit] += np.exp(rng.uniform(np.log(50), np.log(5000), np.count_nonzero(hit))) / camera.gains[0]
        shots.append(Shot("flat", camera.digitised(image), round(10 * float(level), 3)))
    if rng.random() < 0.2:  # cameras and converters that write other types of number
        kind = str(rng.choice(["int32", "float32"]))
        shots = [replace(shot, pixels=shot.pixels.astype(kind)) for shot in shots]
    return Night(name, camera, dialect, shots, [camera.truths])
