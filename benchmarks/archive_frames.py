"""Nights of small frames of two cameras, quickly made: noise is drawn once, and shifted for each frame."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.support.simulate import standard_cards, uniform_light, write_frame

CAMERAS = {"blue": (1.4, 4.0), "red": (1.7, 5.0)}
"""Gain in e⁻/ADU and read noise in e⁻ by name."""
FIRST = datetime(2020, 1, 1, 19, tzinfo=UTC)
BIAS_ADU, FLAT_E = 1000.0, 20_000.0
_POOL = 32


def write_nights(folder: Path, nights: int, *, a_night: int = 20, size: int = 256, seed: int = 1) -> None:
    """Write half as many biases and flats as there are frames a night of each of two cameras, a folder a night.

    Parameters
    ----------
    folder : Path
        Where they go.
    nights, a_night : int
        How many nights, and frames of both cameras in each.
    size : int
        Rows and columns.
    seed : int
        All follows from it.
    """
    rng = np.random.default_rng(seed)
    light = uniform_light((size, size), FLAT_E, vignetting=0.2, prnu=0.01)
    noise = rng.normal(size=(_POOL, size, size)).astype(np.float32)

    def drawn() -> npt.NDArray[np.float32]:
        return np.roll(noise[rng.integers(_POOL)], rng.integers(size, size=2), axis=(0, 1))

    each = a_night // len(CAMERAS)
    for night in range(nights):
        for name, (gain, read_noise_e) in CAMERAS.items():
            for number in range(each):
                kind = "bias" if number < each // 2 else "flat"
                electrons = read_noise_e * drawn()
                if kind == "flat":
                    electrons += light + np.sqrt(light) * drawn()
                pixels = np.rint(electrons / gain + BIAS_ADU).astype(np.uint16)
                begin = FIRST + timedelta(days=night, minutes=number)
                cards = standard_cards(kind, begin, float(kind == "flat"), instrument=name)
                write_frame(folder / f"{begin:%Y-%m-%d}" / f"{name}_{number:02d}.fits", pixels, cards)
