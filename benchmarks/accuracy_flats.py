"""Flats of ``make accuracy``: the scatter of the response (PRNU), and the noise of the master of a ramp."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias, master_flat
from ccdcore.masters.response_scatter import response_scatter
from ccdcore.reduction.master import Master
from tests.support.simulate import Camera, expose

Row = tuple[float, float]
"""A value over the truth, minus 1, and its 1-σ uncertainty over the truth."""

GAIN, READ_NOISE_E, SHAPE = 1.5, 5.0, (256, 256)
PRNU, LEVEL_E, TIMES = (0.005, 0.01, 0.02), 40_000.0, 200
RAMP = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
_WHOLE = Amplifier("1", Section.whole(SHAPE))
_CAMERA = Camera(GAIN, READ_NOISE_E, 1000.3, SHAPE, amplifiers=(_WHOLE,))


def _frames(kind: FrameType, images: Sequence[npt.NDArray[Any]]) -> list[Frame]:
    begin = datetime(2022, 9, 19, 18, tzinfo=UTC)
    return [
        Frame(
            Path(f"{kind}{n}.fits"),
            image,
            ExposureInfo(kind, "told", "simulated", "told", "bin1x1", date_obs=begin + timedelta(minutes=n)),
            (_WHOLE,),
            f"{kind}{n}",
        )
        for n, image in enumerate(images)
    ]


def _flat(rng: np.random.Generator, light: npt.NDArray[np.float64], flux: Sequence[float]) -> Master:
    """Return the master of flats that are simulated, with lone cosmic rays and a bias that has noise."""
    biases = _frames(FrameType.BIAS, [expose(_CAMERA, rng) for _ in range(10)])
    flats = [expose(_CAMERA, rng, light * one, cosmic_ray_fraction=1e-4) for one in flux]
    noise_adu = READ_NOISE_E / GAIN
    bias = master_bias(biases, noise_adu=noise_adu)
    return master_flat(_frames(FrameType.FLAT, flats), bias=bias, noise_adu=noise_adu, gain_e_per_adu=GAIN)


def prnu_rows(times: int) -> list[Row | None]:
    """Measure the scatter of the response in vignetted light, of each size so many times; None where none is given."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    vignetting = 1 - 0.3 * ((x - 128) ** 2 + (y - 128) ** 2) / 32_768
    found: list[Row | None] = []
    for truth in PRNU:
        for seed in range(times):
            rng = np.random.default_rng([seed, round(1e4 * truth)])
            light = LEVEL_E * vignetting * (1 + truth * rng.normal(size=SHAPE))
            value = response_scatter(_flat(rng, light, (1.0, 0.99, 1.01, 1.0, 0.98)), _WHOLE)
            found.append(None if value is None else (value.value / truth - 1, value.uncertainty / truth))
    return found


def ramp_figures() -> tuple[float, float, float]:
    """Return of the master of a ramp: its noise over that of the best weights, that of equal ones, and u over noise."""
    light = LEVEL_E * (1 + 0.01 * np.random.default_rng(1).normal(size=SHAPE))
    master = _flat(np.random.default_rng(2), light, RAMP.tolist())
    noise = float(np.std(master.value - light / light.mean()))
    variances = (READ_NOISE_E / (LEVEL_E * RAMP)) ** 2 + 1 / (LEVEL_E * RAMP)
    best, equal = (1 / (1 / variances).sum()) ** 0.5, (variances.mean() / RAMP.size) ** 0.5
    stated = float(np.sqrt(np.mean(np.square(master.uncertainty, dtype=np.float64))))
    return noise / best, equal / best, stated / noise
