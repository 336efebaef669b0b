"""The cases of ``make accuracy``: frames whose truth is known, with the traps of real ones, and ways to measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from zlib import crc32

import getframes as gf
import numpy as np
import numpy.typing as npt
from getframes import CameraConfig, SensorType

from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from tests.support.simulate import Camera, bias_pixels, expose, moved, spectrum_light, uniform_light

Method = Literal["auto", "pair", "binned", "ptc"]
Images = list[npt.NDArray[Any]]
Row = tuple[float, float]
"""A value over the truth, minus 1, and its 1-σ uncertainty over the truth."""

GAIN, READ_NOISE, A00 = 1.5, 5.0, -2e-6
SPECTRUM, UNIFORM, SMALL, WIDE = (80, 512), (96, 256), (64, 96), (160, 256)
TRAPS = "spectrum, lamp ± 1 %, 0.1 % cosmic rays"
RAMP = "ramp to 60 ke⁻, brighter-fatter"
OTHER_NOISE = "ramp of flats with 15 % more variance at no light than the biases"


@dataclass(frozen=True, slots=True)
class Case:
    """Frames with a trap, the ways to measure them, and how often."""

    name: str
    frames: Callable[[np.random.Generator], tuple[Images, Images]]
    ways: tuple[str, ...]
    times: int
    truth: Mapping[str, float] = field(default_factory=lambda: {"read noise": READ_NOISE})
    counts_for_pulls: bool = False

    def measure(self, seed: int) -> dict[str, Row | None]:
        """Simulate once and measure in each way; None where no value is given."""
        biases, flats = self.frames(np.random.default_rng([seed, crc32(self.name.encode())]))
        found: dict[str, Row | None] = {}
        results: dict[str, PhotonTransfer] = {}
        for way in sorted(self.ways):  # "auto" comes first: it is one of the others
            method: Any = "auto" if way in ("corrected", "read noise") else way
            if method not in results:
                (results[method],) = measure_gain(biases, flats, method=method)
                results.setdefault(results[method].method, results[method])
            found[way] = _row(results[method], way, self.truth.get(way, GAIN))
        return found


def _row(result: PhotonTransfer, way: str, truth: float) -> Row | None:
    value, uncertainty = result.gain_e_per_adu, result.gain_uncertainty
    if way == "corrected":
        value, uncertainty = result.gain_corrected_e_per_adu, result.gain_corrected_uncertainty
    if way == "read noise":
        value, uncertainty = result.read_noise_adu, result.read_noise_adu_uncertainty
    if value is None or uncertainty is None:
        return None
    return value / truth - 1, uncertainty / truth


def series(
    shape: tuple[int, int],
    light: npt.NDArray[np.float64],
    *,
    cosmic: float = 0.0,
    drift: float = 0.0,
    shift: float = 0.0,
    n_flat: int = 4,
) -> Callable[[np.random.Generator], tuple[Images, Images]]:
    """Return five biases and some flats of one light whose lamp drifts and whose pattern moves there and back."""
    camera = Camera(GAIN, READ_NOISE, 1000.3, shape)
    patterns = [light, moved(light, shift) if shift else light]

    def frames(rng: np.random.Generator) -> tuple[Images, Images]:
        flux = 1 + drift * rng.normal(size=n_flat)
        biases = [bias_pixels(camera, rng, cosmic_ray_fraction=cosmic) for _ in range(5)]
        return biases, [
            expose(camera, rng, patterns[k % 2] * flux[k], cosmic_ray_fraction=cosmic) for k in range(n_flat)
        ]

    return frames


def ramp(
    shape: tuple[int, int], levels: Sequence[float], a00: float, *, cosmic: float = 0.0, drift: float = 0.0
) -> Callable[[np.random.Generator], tuple[Images, Images]]:
    """Return five biases and pairs of flats at some levels (electrons)."""
    camera, light = Camera(GAIN, READ_NOISE, 1000.3, shape, a00=a00), uniform_light(shape, 1.0)

    def frames(rng: np.random.Generator) -> tuple[Images, Images]:
        biases = [bias_pixels(camera, rng, cosmic_ray_fraction=cosmic) for _ in range(5)]
        return biases, [
            expose(camera, rng, light * level * (1 + drift * rng.normal()), cosmic_ray_fraction=cosmic)
            for level in levels
            for _ in range(2)
        ]

    return frames


def noisier_ramp(times: float) -> Callable[[np.random.Generator], tuple[Images, Images]]:
    """Return five biases and a ramp whose variance at no light is so many times theirs."""
    of_biases, of_flats = (Camera(GAIN, 10.0 * more**0.5, 1000.3, (256, 512)) for more in (1.0, times))
    lights = [uniform_light(of_flats.shape, level) for level in (100, 300, 1000, 3000, 10_000, 40_000)]
    return lambda rng: (
        [bias_pixels(of_biases, rng) for _ in range(5)],
        [expose(of_flats, rng, light) for light in lights for _ in range(2)],
    )


def by_getframes(
    light: npt.NDArray[np.float64], *, drift: float = 0.0, **about: Any
) -> Callable[[np.random.Generator], tuple[Images, Images]]:
    """Return five biases and four flats as `getframes` simulates them, which nobody of us has written."""
    config = CameraConfig(
        name="third party",
        sensor_type=SensorType.CCD,
        resolution=(light.shape[0], light.shape[1]),
        pixel_size_um=15.0,
        quantum_efficiency=1.0,
        full_well_e=200_000,
        bit_depth=16,
        gain_e_per_adu=GAIN,
        bias_offset_adu=1000.3,
        read_noise_e=READ_NOISE,
        dark_current_e_per_s=0.0,
        bias_pixel_spread_adu=0.3,
        prnu=0.01,
        **about,
    )
    camera, exposure = gf.Camera(config), 10.0

    def frames(rng: np.random.Generator) -> tuple[Images, Images]:
        def seed() -> int:
            return int(rng.integers(2**31))

        lights = [light * (1 + drift * rng.normal()) for _ in range(4)]
        return (
            [camera.bias_frame(seed=seed()).data for _ in range(5)],
            [camera.flat_frame(one / exposure, exposure, seed=seed()).data for one in lights],
        )

    return frames


def biases(
    read_noise_adu: float, level: float, cosmic: float
) -> Callable[[np.random.Generator], tuple[Images, Images]]:
    """Return five biases, without a fixed pattern: the level is the same in all pixels."""
    camera = Camera(1.0, read_noise_adu, level, UNIFORM, pattern_adu=0.0)
    return lambda rng: ([bias_pixels(camera, rng, cosmic_ray_fraction=cosmic) for _ in range(5)], [])


def cases() -> list[Case]:
    """Return all cases; the traps of photon transfer, each alone and together."""
    spectrum = spectrum_light(SPECTRUM, 20_000.0)
    smooth = spectrum_light(SPECTRUM, 20_000.0, prnu=0)
    even = uniform_light(UNIFORM, 20_000.0)
    levels = np.linspace(6_000, 60_000, 10).tolist()
    one, all_of_them = ("pair", "binned", "auto"), ("pair", "binned", "ptc", "auto")
    found = [
        Case("even light", series(UNIFORM, even), one, 150, counts_for_pulls=True),
        Case("spectrum", series(SPECTRUM, spectrum), one, 150, counts_for_pulls=True),
        Case("spectrum, lamp ± 1 %", series(SPECTRUM, spectrum, drift=0.01), one, 150, counts_for_pulls=True),
        Case("even light, 0.1 % cosmic rays", series(UNIFORM, even, cosmic=1e-3), one, 150, counts_for_pulls=True),
        Case(TRAPS, series(SPECTRUM, spectrum, cosmic=1e-3, drift=0.01), one, 300, counts_for_pulls=True),
        Case(RAMP, ramp(SMALL, levels, A00), all_of_them, 200, counts_for_pulls=True),
        Case(
            "the same, lamp ± 1 %, 0.1 % cosmic rays",
            ramp(SMALL, levels, A00, cosmic=1e-3, drift=0.01),
            all_of_them,
            100,
            counts_for_pulls=True,
        ),
        Case(OTHER_NOISE, noisier_ramp(1.15), ("auto",), 40),
        Case("ramp to 60 ke⁻ without brighter-fatter", ramp(SMALL, levels, 0.0), all_of_them, 100),
        Case("one level, 40 ke⁻, brighter-fatter", ramp(WIDE, [40_000] * 2, A00), (*one, "corrected"), 60),
        Case("even light, by getframes", by_getframes(even), one, 150, counts_for_pulls=True),
        Case(
            "spectrum, lamp ± 1 %, cosmic ray tracks, by getframes",
            by_getframes(smooth, drift=0.01, cosmic_ray_rate_per_cm2_s=15.0, cosmic_ray_track_length_px=3.0),
            one,
            150,
            counts_for_pulls=True,
        ),
        Case("spectrum that moves by 0.01 pixels", series(SPECTRUM, smooth, shift=0.01), one, 40),
        Case("spectrum that moves by 0.03 pixels", series(SPECTRUM, smooth, shift=0.03), one, 40),
        Case("spectrum that moves by 0.3 pixels", series(SPECTRUM, smooth, shift=0.3), one, 10),
    ]
    for sigma in (0.6, 0.8, 1.2, 1.8, 3.0, 10.0):
        for level, where in ((1000.0, "a whole"), (1000.5, "half an")):
            name = f"read noise {sigma} ADU, bias at {where} ADU"
            found.append(Case(name, biases(sigma, level, 0.0), ("read noise",), 60, {"read noise": sigma}))
    name = "read noise 3 ADU, 0.1 % cosmic rays"
    return [*found, Case(name, biases(3.0, 1000.3, 1e-3), ("read noise",), 60, {"read noise": 3.0})]
