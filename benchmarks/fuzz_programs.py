"""What programs do to frames before anybody sees them, planted into a night, which changes the noise and no card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from benchmarks.fuzz_cameras import FloatImage, Night, Shot

Plant = Callable[[np.random.Generator, Night], None]
Change = Callable[[FloatImage], FloatImage]


def _light_of(night: Night, shot: Shot) -> float:
    """Return what the exposure has where the light is brightest, in ADU."""
    if shot.kind != "flat":
        return 0.0
    camera = night.camera
    bright = camera.light > 0.5 * camera.light.max()
    return max(float(np.mean((shot.pixels - camera.bias)[bright] / camera.light[bright])), 0.0)


def _taken(
    rng: np.random.Generator, night: Night, number: int, change: Change, light: FloatImage | None = None
) -> Shot:
    """Take an exposure again, and change its image before it is digitised."""
    shot, camera = night.shots[number], night.camera
    seen = camera if light is None else replace(camera, light=light)
    image = change(seen.analogue(rng, _light_of(night, shot)))
    return replace(shot, pixels=camera.digitised(image).astype(shot.pixels.dtype))


def _interpolate(image: FloatImage) -> FloatImage:
    """Fill every second column with the mean of those beside it, as colours are."""
    filled = image.copy()
    inner = filled[:, 1:-1:2]
    inner[:] = (image[:, :-2:2] + image[:, 2::2])[:, : inner.shape[1]] / 2
    return filled


def _enlarge(image: FloatImage) -> FloatImage:
    rows, columns = image.shape
    return np.asarray(np.kron(image[: rows // 2, : columns // 2], np.ones((2, 2))), np.float64)


def resample(rng: np.random.Generator, night: Night) -> None:
    """Interpolate, smooth or enlarge all frames."""
    if rng.random() < 1 / 3:
        centre = _enlarge(night.camera.light)
        if all(np.mean(part > 0.5) > 0.1 for part in np.split(centre, len(night.camera.gains), axis=1)):
            _change_all(rng, night, _enlarge)
            return
    _change_all(rng, night, [_interpolate, lambda image: uniform_filter(image, 2)][rng.integers(2)])


def _change_all(rng: np.random.Generator, night: Night, change: Change) -> None:
    for number in range(len(night.shots)):
        night.shots[number] = _taken(rng, night, number, change)


def swap_bytes(rng: np.random.Generator, night: Night) -> None:
    """Write all numbers with their bytes in the order of the processor."""
    lift = int(rng.integers(300, 2000))  # numbers of one byte have no order

    def change(shot: Shot) -> Shot:
        return replace(shot, pixels=np.minimum(shot.pixels + lift, 65535).astype(np.uint16).byteswap())

    night.change(range(len(night.shots)), change)


def bend_to_8_bits(rng: np.random.Generator, night: Night) -> None:
    """Write numbers of 8 bits, bent as for a screen; no gain is right."""
    top = night.camera.top

    def change(shot: Shot) -> Shot:
        return replace(shot, pixels=np.rint(255 * (shot.pixels / top) ** (1 / 2.2)).astype(np.uint8))

    night.change(range(len(night.shots)), change)
    night.truths = [tuple((0.0, 0.0) for _ in truth) for truth in night.truths]


def divide_flats(rng: np.random.Generator, night: Night) -> None:
    """Divide the flats by a flat, and leave the biases raw."""
    dark = np.mean([night.shots[number].pixels for number in night.of("bias")], axis=0)
    light = np.maximum(night.camera.light / night.camera.light.mean(), 0.05)

    def change(shot: Shot) -> Shot:
        pixels: Any = (shot.pixels - dark) / light + dark
        return replace(shot, pixels=pixels.astype(np.float32))

    night.change(night.of("flat"), change)


def shift(rng: np.random.Generator, night: Night) -> None:
    """Shift every second flat by some pixels, or turn it, with a pattern of 1 %, as drivers do that lose count."""
    pattern = night.camera.light * (1 + 0.01 * rng.normal(size=night.camera.shape))
    turned = rng.random() < 0.5
    for place, number in enumerate(night.of("flat")):
        moved = pattern[::-1] if turned else np.roll(pattern, int(rng.integers(1, 4)), 1)
        night.shots[number] = _taken(rng, night, number, lambda image: image, moved if place % 2 else pattern)


def flicker(rng: np.random.Generator, night: Night) -> None:
    """Let a lamp flicker while a rolling shutter goes over the rows."""
    rows = np.arange(night.camera.shape[0])
    period, depth = rng.uniform(4, 60), rng.uniform(0.005, 0.04)
    for number in night.of("flat"):
        band = np.sin(2 * np.pi * (rows / period + rng.random()))
        light = night.camera.light * (1 + depth * (np.sign(band) if rng.random() < 0.5 else band))[:, None]
        night.shots[number] = _taken(rng, night, number, lambda image: image, light)
