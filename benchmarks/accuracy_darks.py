"""Darks whose truth is known, for ``make accuracy``: dark current, its scatter, and the rate of several exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.darks.dark_current import measure_dark_current
from ccdcore.darks.rate import dark_rate
from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias, master_dark
from ccdcore.reduction.master import Master
from tests.support.simulate import Camera, FloatImage, expose

Row = tuple[float, float]
"""A value over the truth, minus 1, and its 1-σ uncertainty over the truth."""

GAIN, READ_NOISE_E, SHAPE = 1.5, 5.0, (128, 128)
CAMERA = Camera(GAIN, READ_NOISE_E, 1000.3, SHAPE)
TIMES = 150


@dataclass(frozen=True, slots=True)
class DarkCase:
    """Darks of some exposures in seconds, of a dark current in e⁻/s that scatters from pixel to pixel."""

    name: str
    exposures: tuple[float, ...]
    current: float
    dsnu: float
    hot_fraction: float = 0.0
    cosmic_ray_fraction: float = 0.0

    def truth(self, seed: int) -> FloatImage:
        """Return the dark current of each pixel of a camera, shape (rows, columns), in e⁻/s."""
        rng = np.random.default_rng([seed, 11])
        normal = np.maximum(rng.normal(self.current, self.dsnu, SHAPE), 0.0)
        found: FloatImage = np.where(rng.random(SHAPE) < self.hot_fraction, 100 * self.current, normal)
        return found

    def masters(self, seed: int) -> tuple[list[Master], Master]:
        """Return master darks, and the master bias that was taken off them."""
        rng = np.random.default_rng([seed, len(self.name)])
        bias = master_bias(self._frames(rng, FrameType.BIAS, 0.0, 0.0), noise_adu=READ_NOISE_E / GAIN)
        return [
            master_dark(
                self._frames(rng, FrameType.DARK, seconds, self.truth(seed) * seconds),
                bias=bias,
                noise_adu=READ_NOISE_E / GAIN,
                gain_e_per_adu=GAIN,
            )
            for seconds in self.exposures
        ], bias

    def _frames(
        self, rng: np.random.Generator, kind: FrameType, seconds: float, light: float | FloatImage
    ) -> list[Frame]:
        info = ExposureInfo(kind, "", "", "", "", datetime(2022, 9, 19, tzinfo=UTC), seconds)
        pixels = [expose(CAMERA, rng, light, cosmic_ray_fraction=self.cosmic_ray_fraction) for _ in range(5)]
        return [Frame(Path(f"{n}"), one, info, CAMERA.amplifiers, f"{seconds} {n}") for n, one in enumerate(pixels)]

    def rate(self, seed: int) -> Master:
        """Return the dark rate of a trial."""
        darks, bias = self.masters(seed)
        return dark_rate(darks, bias, read_noise_adu=READ_NOISE_E / GAIN, gain_e_per_adu=GAIN).master


DARKS = (
    DarkCase("darks of 600 s, 0.1 e⁻/s ± 20 %", (600.0,), 0.1, 0.02),
    DarkCase("darks of 1 and 600 s", (1.0, 600.0), 0.1, 0.02),
    DarkCase("darks of 60, 120 and 300 s, 0.5 % hot, cosmic rays", (60.0, 120.0, 300.0), 0.2, 0.04, 0.005, 1e-3),
)


def dark_values(number: int, seed: int) -> tuple[str, dict[str, Row | None]]:
    """Simulate a case of darks once and measure it."""
    case = DARKS[number]
    truth = case.truth(seed)
    normal = truth[truth < 10 * case.current]
    found = measure_dark_current(case.rate(seed), CAMERA.amplifiers[0], gain_e_per_adu=GAIN)
    middle, scatter = float(np.median(truth)), float(normal.std())
    return case.name, {
        "dark current": (found.median / middle - 1, found.median_uncertainty / middle),
        "mode": (found.mode / case.current - 1, found.mode_uncertainty / case.current),
        "DSNU": (found.dsnu / scatter - 1, found.dsnu_uncertainty / scatter),
    }


def rate_rows(times: int = 8) -> list[tuple[str, float, float]]:
    """Return, of each case, the scatter of the rate over the optimum, and its uncertainty over the true scatter."""
    rows = []
    for case in DARKS:
        off, squares, optima = [], [], []
        for seed in range(1000, 1000 + times):
            truth, rate = case.truth(seed) / GAIN, case.rate(seed)
            normal = truth * GAIN < 10 * case.current
            optima.append(_optimum(case, truth[normal]))
            off.append((rate.value - truth)[normal])
            squares.append(float(np.mean(np.square(rate.uncertainty[normal], dtype=np.float64))))
        scatter = float(np.sqrt(np.mean(np.square(np.concatenate(off)))))
        rows.append((case.name, scatter / float(np.mean(optima)), float(np.sqrt(np.mean(squares))) / scatter))
    return rows


def _optimum(case: DarkCase, rate: npt.NDArray[Any]) -> float:
    """Return the least scatter in ADU/s of a rate by five frames an exposure and a bias of five."""
    dark_variance = (READ_NOISE_E / GAIN) ** 2 + 1 / 12
    information = sum(5 * t**2 / (dark_variance + t * rate / GAIN) for t in case.exposures)
    lever = sum(5 * t / (dark_variance + t * rate / GAIN) for t in case.exposures) / information
    return float(np.sqrt(np.mean(1 / information + lever**2 * dark_variance / 5)))


def dark_goals(
    values: Mapping[str, Sequence[Row]], rates: Sequence[tuple[str, float, float]]
) -> list[tuple[str, str, float, str, float, float]]:
    """Return each goal: what, the value in words, how far it is off, the goal in words, the limit, the uncertainty."""
    rows = []
    for name, limit in (("dark current", 0.01), ("DSNU", 0.02)):
        off, uncertainty = np.array(values[name]).T
        n, pulls = off.size, off / uncertainty
        bias, known = float(off.mean()), float(off.std() / n**0.5)
        width = float(pulls.std(ddof=1))
        rows += [
            (
                f"{name} bias",
                f"({100 * bias:+.3f} ± {100 * known:.3f}) %",
                bias,
                f"≤ {100 * limit:g} %",
                limit,
                known,
            ),
            (f"mean of {n} pulls of the {name}", f"{pulls.mean():+.3f}", float(pulls.mean()), "0 ± 0.1", 0.1, n**-0.5),
            ("their width", f"{width:.3f}", width - 1, "1.00 ± 0.05", 0.05, (2 * n) ** -0.5),
        ]
    for name, scatter, ratio in rates:
        rows += [
            (f"scatter of the dark rate over the optimum: {name}", f"{scatter:.3f}", scatter, "≤ 1.1", 1.1, 0.0),
            (f"its uncertainty over true scatter: {name}", f"{ratio:.3f}", ratio - 1, "1.00 ± 0.02", 0.02, 0.0),
        ]
    return rows
