"""Frames of known truth: a camera of known gain and noise, written as real cameras write their files.

Everything follows from a seed. Light maps are expected electrons per pixel; pixels come out as the integers that
an analogue-to-digital converter gives. No two frames have the same pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from scipy.ndimage import convolve, shift

from ccdcore.cards.sections import Amplifier, Section

Cards = Mapping[str, Any]
FloatImage = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint16]
PerAmplifier = float | tuple[float, ...]

_REACH = np.array([[0.03, 0.1, 0.03], [0.1, 1.0, 0.1], [0.03, 0.1, 0.03]])
"""Potential that the charge of one pixel makes in its neighbourhood, in units of that in the pixel itself."""

_STEPS = 12
"""Steps of an exposure, within which the charge collected so far stands for the mean of the step."""

NOTEBOOK_NIGHTS = (date(2022, 9, 19), date(2022, 9, 20), date(2022, 9, 21))


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera whose truth is known.

    Parameters
    ----------
    gain_e_per_adu, read_noise_e, bias_adu : float or tuple of float
        One value for all amplifiers, or one for each.
    shape : tuple of int
        Rows and columns, overscan included.
    amplifiers : tuple of Amplifier
        Read-out channels; the whole image as amplifier ``"1"`` if none is given. Overscan sees no light.
    pattern_adu : float
        RMS of the fixed pattern of the bias.
    saturation_adu : int
        Where the converter stops.
    a00 : float
        Relative loss of a pixel's area for each electron in it, in 1/e⁻, negative: the brighter-fatter effect.
    """

    gain_e_per_adu: PerAmplifier = 0.971
    read_noise_e: PerAmplifier = 2.836
    bias_adu: PerAmplifier = 300.0
    shape: tuple[int, int] = (100, 2048)
    amplifiers: tuple[Amplifier, ...] = ()
    pattern_adu: float = 0.3
    saturation_adu: int = 65535
    a00: float = 0.0

    def __post_init__(self) -> None:
        if not self.amplifiers:
            object.__setattr__(self, "amplifiers", (Amplifier("1", Section.whole(self.shape)),))


FOUR_GAINS, FOUR_READ_NOISES = (1.10, 1.31, 1.55, 1.78), (3.1, 4.2, 5.3, 6.4)


def four_amplifiers(rows: int = 320, columns: int = 400, overscan: int = 32, **about: Any) -> Camera:
    """Return a camera read at its four corners, each amplifier with its overscan between the halves."""
    width = 2 * (columns + overscan)
    amplifiers = []
    for number in range(4):
        right, top = number % 2, number // 2
        x = width - columns + 1 if right else 1
        y = top * rows + 1
        over = columns + overscan + 1 if right else columns + 1
        data = Section(x, x + columns - 1, y, y + rows - 1)
        amplifiers.append(Amplifier(str(number + 1), data, Section(over, over + overscan - 1, y, y + rows - 1)))
    return Camera(
        gain_e_per_adu=FOUR_GAINS,
        read_noise_e=FOUR_READ_NOISES,
        bias_adu=(1000.0, 1150.0, 900.0, 1070.0),
        shape=(2 * rows, width),
        amplifiers=tuple(amplifiers),
        **about,
    )


def section_cards(camera: Camera) -> dict[str, str]:
    """Return the cards that announce data and overscan sections."""
    cards = {f"DATASEC{one.name}": str(one.data) for one in camera.amplifiers}
    return cards | {f"BIASSEC{one.name}": str(one.overscan) for one in camera.amplifiers if one.overscan}


@lru_cache(maxsize=64)
def _map(camera: Camera, values: PerAmplifier) -> FloatImage:
    """Spread one value for each amplifier over its pixels."""
    each = values if isinstance(values, tuple) else (values,) * len(camera.amplifiers)
    image = np.full(camera.shape, each[0])
    for amplifier, value in zip(camera.amplifiers, each, strict=True):
        for section in filter(None, (amplifier.data, amplifier.overscan)):
            image[section.slices] = value
    return image


@lru_cache(maxsize=64)
def _lit(camera: Camera) -> npt.NDArray[np.bool_]:
    """Which pixels see light."""
    lit = np.zeros(camera.shape, dtype=bool)
    for amplifier in camera.amplifiers:
        lit[amplifier.data.slices] = True
    for amplifier in camera.amplifiers:
        if amplifier.overscan is not None:
            lit[amplifier.overscan.slices] = False
    return lit


@lru_cache(maxsize=64)
def _pattern(camera: Camera) -> FloatImage:
    """Return the fixed pattern of the bias, in ADU: columns and pixels in equal parts."""
    rng = np.random.default_rng(1)
    columns, pixels = rng.normal(size=camera.shape[1]), rng.normal(size=camera.shape)
    pattern: FloatImage = camera.pattern_adu * (columns + pixels) / np.sqrt(2)
    return pattern


def uniform_light(
    shape: tuple[int, int], electrons: float, *, vignetting: float = 0.0, prnu: float = 0.01
) -> FloatImage:
    """Return flat light: ``electrons`` in the middle, less by the fraction ``vignetting`` in the corners.

    ``prnu`` is the RMS of the pixels' response, the same for every frame.
    """
    rows, columns = (np.linspace(-1, 1, n) for n in shape)
    response = 1 + prnu * np.random.default_rng(2).normal(size=shape)
    light: FloatImage = electrons * response * (1 - vignetting * (rows[:, None] ** 2 + columns**2) / 2)
    return light


def spectrum_light(
    shape: tuple[int, int], peak_electrons: float, *, n_traces: int = 5, width: float = 1.5, prnu: float = 0.01
) -> FloatImage:
    """Return a lamp seen through a spectrograph: slightly curved traces of smooth spectra, darkness between them."""
    rows, columns = np.arange(shape[0])[:, None], np.linspace(-1, 1, shape[1])
    light = np.zeros(shape)
    for trace in range(n_traces):
        centre = shape[0] * ((trace + 0.5) / n_traces + 0.02 * columns**2)
        lamp = np.exp(-((columns - 0.3) ** 2)) * (1 + 0.1 * np.sin(4 * columns + trace)) / (1 + 0.15 * trace)
        light += lamp * np.exp(-(((rows - centre) / width) ** 2) / 2)
    light *= 1 + prnu * np.random.default_rng(2).normal(size=shape)
    spectra: FloatImage = peak_electrons * light / light.max()
    return spectra


def cosmic_rays(shape: tuple[int, int], fraction: float, rng: np.random.Generator) -> FloatImage:
    """Return electrons left by particles: short tracks of 50 to 5000 e⁻ a pixel over ``fraction`` of the pixels."""
    lengths = rng.integers(1, 6, size=rng.poisson(fraction * shape[0] * shape[1] / 3))
    steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows, columns = (
        np.repeat(rng.integers(0, size, len(lengths)), lengths)
        + steps * np.repeat(rng.integers(-1, 2, len(lengths)), lengths)
        for size in shape
    )
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    deposits = np.repeat(np.exp(rng.uniform(np.log(50), np.log(5000), len(lengths))), lengths)
    image = np.zeros(shape)
    image[rows[inside], columns[inside]] = deposits[inside]
    return image


def area_changes() -> FloatImage:
    """Return a_ij / |a00|, shape (5, 5), with a00 in the middle: they add up to nothing, for light is not lost.

    A charge moves the boundary between two pixels by the difference of its potential in them, so that the area of a
    pixel changes by the Laplacian of the potential.
    """
    padded = np.pad(_REACH, 1)
    laplacian = np.array([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    changes = convolve(padded, laplacian, mode="constant")
    return np.asarray(changes / -changes[2, 2])


def collect(light: FloatImage, a00: float, rng: np.random.Generator) -> FloatImage:
    """Return the electrons that light leaves where charge pushes charge (brighter-fatter effect).

    The exposure goes in steps. Charge that is already there moves the boundaries of the pixels, and light that
    would have gone to one goes to the other. To the first order the covariances are those of Astier et al. 2019
    (A&A 629, A36, eq. 18), whatever the number of steps, with the a_ij of `area_changes`.

    Parameters
    ----------
    light : ndarray
        Expected electrons of each pixel.
    a00 : float
        In 1/e⁻; 0 for no effect.
    rng : Generator
        The source of photon noise.
    """
    if a00 == 0:
        return rng.poisson(light).astype(np.float64)
    padded = np.pad(_REACH, 1)
    unit = 4 * (padded[2, 2] - padded[2, 1])
    # In its own step a charge moves no boundary, which the other steps make up for.
    strength = -a00 / unit * _STEPS / (_STEPS - 1)
    step = light / _STEPS
    lit = light > 0
    electrons = np.zeros(light.shape)
    for _ in range(_STEPS):
        potential = strength * convolve(electrons, _REACH, mode="nearest")
        expected = step.copy()
        for low, high in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
            moved = (potential[low] - potential[high]) * (step[low] + step[high]) / 2 * (lit[low] & lit[high])
            expected[low] -= moved
            expected[high] += moved
        electrons += rng.poisson(np.maximum(expected, 0))
    return electrons


def moved(light: FloatImage, rows: float, columns: float = 0.0) -> FloatImage:
    """Return a light pattern that has moved by part of a pixel."""
    return np.maximum(shift(light, (rows, columns), order=5, mode="nearest"), 0)


def expose(
    camera: Camera,
    rng: np.random.Generator,
    light: float | FloatImage = 0.0,
    *,
    cosmic_ray_fraction: float = 0.0,
    bias_offset_adu: float = 0.0,
) -> Image:
    """Take one frame.

    Parameters
    ----------
    camera : Camera
        The camera.
    rng : Generator
        The source of photon and read noise.
    light : float or ndarray
        Expected electrons of each pixel; pixels outside the data sections see none.
    cosmic_ray_fraction : float
        Fraction of pixels hit by cosmic rays.
    bias_offset_adu : float
        How far the bias level has drifted in this frame.

    Returns
    -------
    ndarray of uint16, shape ``camera.shape``
        Pixel values in ADU.
    """
    gain = _map(camera, camera.gain_e_per_adu)
    electrons = np.zeros(camera.shape)
    if np.any(light):
        electrons += collect(np.where(_lit(camera), light, 0.0), camera.a00, rng)
    if cosmic_ray_fraction:
        electrons += cosmic_rays(camera.shape, cosmic_ray_fraction, rng) * _lit(camera)
    electrons += _map(camera, camera.read_noise_e) * rng.normal(size=camera.shape)
    adu = electrons / gain + _map(camera, camera.bias_adu) + _pattern(camera) + bias_offset_adu
    return np.clip(np.rint(adu), 0, camera.saturation_adu).astype(np.uint16)


def bias_pixels(camera: Camera, rng: np.random.Generator, **options: float) -> Image:
    """Take a bias; options as for `expose`."""
    return expose(camera, rng, **options)


def dark_pixels(
    camera: Camera,
    rng: np.random.Generator,
    exposure_time_s: float,
    *,
    dark_current_e_per_s: float = 0.1,
    hot_fraction: float = 0.001,
    **options: float,
) -> Image:
    """Take a dark: a uniform dark current and hot pixels, the same in every frame, of 200 times as much."""
    return expose(camera, rng, exposure_time_s * dark_current_e_per_s * dark_pattern(camera, hot_fraction), **options)


def dark_pattern(camera: Camera, hot_fraction: float = 0.001) -> FloatImage:
    """Return the dark current of each pixel over that of most."""
    return np.where(np.random.default_rng(3).random(camera.shape) < hot_fraction, 200.0, 1.0)


def flat_pixels(camera: Camera, rng: np.random.Generator, light: FloatImage, **options: float) -> Image:
    """Take a flat of ``light`` (expected electrons of each pixel); options as for `expose`."""
    return expose(camera, rng, light, **options)


def write_frame(path: Path, data: npt.NDArray[Any], cards: Cards, *, cube: bool = False) -> Path:
    """Write one FITS file (uint16 with BZERO); ``cube`` adds a first axis of length one, as Andor Solis does."""
    hdu = fits.PrimaryHDU(data[np.newaxis] if cube else data)
    hdu.header.update(cards)
    path.parent.mkdir(parents=True, exist_ok=True)
    hdu.writeto(path)
    return path


@dataclass(frozen=True, slots=True)
class SeriesTruth:
    """What is true of a simulated series.

    `flat_flux` is the flux of each flat relative to the series' light map; `misfits` are the frames that a health
    check ought to leave out.
    """

    camera: Camera
    biases: tuple[Path, ...] = ()
    darks: tuple[Path, ...] = ()
    flats: tuple[Path, ...] = ()
    flat_flux: tuple[float, ...] = ()
    misfits: tuple[Path, ...] = ()
    nights: tuple[date, ...] = field(default=(NOTEBOOK_NIGHTS[0],))

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file written."""
        return self.biases + self.darks + self.flats


def andor_cards(begin: datetime, exposure_time_s: float, *, shape: tuple[int, int] = (100, 2048)) -> dict[str, Any]:
    """Return the cards of Andor Solis: no IMAGETYP; FRAME is the begin of the exposure, DATE the file's."""
    rectangle = f"1, {shape[1]}, {shape[0]}, 1"
    end = begin + timedelta(seconds=exposure_time_s)
    return {
        "HEAD": "DU970P_BV",
        "ACQMODE": "Single Scan",
        "READMODE": "Image",
        "IMGRECT": rectangle,
        "HBIN": 1,
        "VBIN": 1,
        "SUBRECT": rectangle,
        "DATE": end.strftime("%Y-%m-%dT%H:%M:%S"),
        "TRIGGER": "Internal",
        "EXPOSURE": exposure_time_s,
        "TEMP": -70.0,
        "READTIME": 1.0e-06,
        "SERNO": 8112,
        "FRAME": begin.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3],
    }


def standard_cards(
    frame_type: str,
    begin: datetime,
    exposure_time_s: float,
    *,
    instrument: str = "testcam",
    filter_name: str | None = None,
) -> dict[str, Any]:
    """Return cards as MaxIm DL writes them, with IMAGETYP and INSTRUME."""
    return {
        "IMAGETYP": {"bias": "Bias Frame", "dark": "Dark Frame", "flat": "Flat Field"}[frame_type],
        "INSTRUME": instrument,
        "DATE-OBS": begin.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3],
        "EXPTIME": exposure_time_s,
        "CCD-TEMP": -20.0,
        "XBINNING": 1,
        "YBINNING": 1,
    } | ({"FILTER": filter_name} if filter_name else {})


def _evening(night: date, hour: float) -> datetime:
    return datetime(night.year, night.month, night.day, tzinfo=UTC) + timedelta(hours=hour)


def notebook_flux(n_flat: int = 11, *, dimmed: int | None = None, drift: float = 0.01) -> tuple[float, ...]:
    """Return the lamp of the notebook's flats: two at half level, a linear drift over the others, one dimmed by 5 %."""
    flux = np.concatenate([[0.5, 0.51], np.linspace(1, 1 + drift, n_flat - 2)])
    if dimmed is not None:
        flux[dimmed] *= 0.95
    return tuple(flux.tolist())


def notebook_series(
    directory: Path,
    *,
    seed: int = 0,
    camera: Camera | None = None,
    n_bias: Sequence[int] = (10, 11, 11),
    n_flat: int = 11,
    peak_adu: float = 15_000.0,
    drift: float = 0.01,
    dimmed: int | None = None,
    cosmic_ray_fraction: float = 1e-3,
) -> SeriesTruth:
    """Write the series of the notebook that this project grew from.

    Biases of three evenings and the flats of the last one, as an Andor Solis camera writes them: cubes of length one,
    spaces in the names, no IMAGETYP. The lamp is warming up during the first two flats, then drifts by ``drift``.

    Parameters
    ----------
    directory : Path
        Where to write; made if need be.
    seed : int
        Of the noise.
    camera : Camera, optional
        Else gain 0.971 e⁻/ADU, read noise 2.836 e⁻, 100 × 2048 pixels.
    n_bias : sequence of int
        Biases of each of the three evenings.
    n_flat : int
        Number of flats.
    peak_adu : float
        Brightest pixel of the spectra.
    drift : float
        Relative change of the lamp over the flats, the first two apart.
    dimmed : int, optional
        Index of a flat that is 5 % dimmer (0 and 1 are the warm-up flats).
    cosmic_ray_fraction : float
        Fraction of pixels hit in each frame.

    Returns
    -------
    SeriesTruth
        The truth and the paths.
    """
    rng = np.random.default_rng([seed, 0xCCD])
    camera = camera or Camera()
    biases: list[Path] = []
    flats: list[Path] = []
    for night, count in zip(NOTEBOOK_NIGHTS, n_bias, strict=True):
        drifted = rng.normal(0, 0.5)
        for index in range(count):
            begin = _evening(night, 18.5) + timedelta(seconds=4 * index)
            data = expose(camera, rng, bias_offset_adu=drifted, cosmic_ray_fraction=cosmic_ray_fraction)
            path = directory / f"Bias_ {len(biases) + 1:03d}.fits"
            biases.append(write_frame(path, data, andor_cards(begin, 1e-5, shape=camera.shape), cube=True))
    light = spectrum_light(camera.shape, peak_adu * float(np.max(camera.gain_e_per_adu)))
    flux = notebook_flux(n_flat, dimmed=dimmed, drift=drift)
    for index, relative in enumerate(flux):
        begin = _evening(NOTEBOOK_NIGHTS[-1], 19.0) + timedelta(seconds=12 * index)
        data = expose(camera, rng, light * relative, cosmic_ray_fraction=cosmic_ray_fraction)
        path = directory / f"Flat_ {index + 1:02d}.fits"
        flats.append(write_frame(path, data, andor_cards(begin, 8.0, shape=camera.shape), cube=True))
    misfits = [flats[index] for index in sorted({0, 1, *([] if dimmed is None else [dimmed])})]
    return SeriesTruth(camera, tuple(biases), (), tuple(flats), flux, tuple(misfits), NOTEBOOK_NIGHTS)


def flux_ramp(
    directory: Path,
    *,
    seed: int = 0,
    camera: Camera | None = None,
    levels_adu: Sequence[float] = tuple(np.linspace(4_000, 58_000, 10).tolist()),
    n_bias: int = 10,
    instrument: str = "testcam",
    cosmic_ray_fraction: float = 1e-4,
) -> SeriesTruth:
    """Write biases and pairs of flats at ``levels_adu`` above bias: uniform light, one exposure time, nothing wrong."""
    rng = np.random.default_rng([seed, 0xCCD + 1])
    camera = camera or Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(128, 256))
    flux = tuple(level / max(levels_adu) for level in levels_adu for _ in range(2))
    light = uniform_light(camera.shape, 1.0) * _map(camera, camera.gain_e_per_adu) * max(levels_adu)
    return _standard_series(
        directory,
        rng,
        camera,
        ["bias"] * n_bias + ["flat"] * len(flux),
        flat_light=[light * relative for relative in flux],
        flat_flux=flux,
        instrument=instrument,
        cosmic_ray_fraction=cosmic_ray_fraction,
    )


def simple_night(
    directory: Path,
    *,
    seed: int = 0,
    night: date = NOTEBOOK_NIGHTS[0],
    n_bias: int = 5,
    n_flat: int = 4,
    n_dark: int = 0,
    camera: Camera | None = None,
    instrument: str = "testcam",
    filter_name: str | None = "V",
    level_adu: float = 20_000.0,
    cosmic_ray_fraction: float = 0.0,
) -> SeriesTruth:
    """Write the calibration frames of one night of a small camera (64 × 256), with IMAGETYP and INSTRUME cards."""
    rng = np.random.default_rng([seed, 0xCCD + 2, night.toordinal()])
    camera = camera or Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(64, 256))
    light = uniform_light(camera.shape, 1.0, vignetting=0.3) * _map(camera, camera.gain_e_per_adu) * level_adu
    return _standard_series(
        directory,
        rng,
        camera,
        ["bias"] * n_bias + ["dark"] * n_dark + ["flat"] * n_flat,
        flat_light=[light] * n_flat,
        flat_flux=(1.0,) * n_flat,
        night=night,
        instrument=instrument,
        filter_name=filter_name,
        cosmic_ray_fraction=cosmic_ray_fraction,
    )


def _standard_series(
    directory: Path,
    rng: np.random.Generator,
    camera: Camera,
    frame_types: Sequence[str],
    *,
    flat_light: Sequence[FloatImage],
    flat_flux: tuple[float, ...],
    night: date = NOTEBOOK_NIGHTS[0],
    instrument: str,
    filter_name: str | None = "V",
    cosmic_ray_fraction: float,
) -> SeriesTruth:
    paths: dict[str, list[Path]] = {"bias": [], "dark": [], "flat": []}
    for index, frame_type in enumerate(frame_types):
        number = len(paths[frame_type])
        begin = _evening(night, 18.0) + timedelta(seconds=70 * index)
        exposure_time_s = {"bias": 0.0, "dark": 60.0, "flat": 5.0}[frame_type]
        if frame_type == "dark":
            data = dark_pixels(camera, rng, exposure_time_s, cosmic_ray_fraction=cosmic_ray_fraction)
        else:
            light = flat_light[number] if frame_type == "flat" else 0.0
            data = expose(camera, rng, light, cosmic_ray_fraction=cosmic_ray_fraction)
        cards = standard_cards(
            frame_type,
            begin,
            exposure_time_s,
            instrument=instrument,
            filter_name=filter_name if frame_type == "flat" else None,
        )
        path = directory / f"{frame_type}_{night:%Y%m%d}_{number + 1:03d}.fits"
        paths[frame_type].append(write_frame(path, data, cards))
    biases, darks, flats = (tuple(paths[frame_type]) for frame_type in ("bias", "dark", "flat"))
    return SeriesTruth(camera, biases, darks, flats, flat_flux, nights=(night,))
