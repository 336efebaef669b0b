"""Pixels of several gains in one amplifier: read-outs that no card names, colours that a camera scaled."""

import numpy as np
import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from tests.support.simulate import Camera, expose

SHAPE = (160, 192)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
RIGHT, UPPER, EVEN, ODD_ROW = SHAPE[1] // 2 <= X, SHAPE[0] // 2 <= Y, X % 2 == 1, Y % 2 == 1
SPLITS = {
    "two halves": (np.where(RIGHT, 1.8, 1.4), "right"),
    "upper and lower": (np.where(UPPER, 1.3, 1.5), "last rows"),
    "four quarters, alike across": (np.where(RIGHT ^ UPPER, 1.2, 1.0), "left, last rows"),
    "even and odd columns": (np.where(EVEN, 1.0, 1.15), "even columns"),
    "even and odd rows": (np.where(ODD_ROW, 1.0, 1.3), "even rows"),
    "one colour scaled": (np.where(EVEN & ODD_ROW, 1.0, 1.25), "even columns, even rows"),
}


def measured(gain: np.ndarray | float, light_e: np.ndarray | float, *, a00: float = 0.0, n: int = 6) -> PhotonTransfer:
    rng = np.random.default_rng(3)
    camera = Camera(1.0, 5.0, 0.0, shape=SHAPE, pattern_adu=0.0, a00=a00, saturation_adu=10**7)

    def frame(electrons: np.ndarray | float) -> np.ndarray:
        light = np.broadcast_to(np.asarray(electrons, float), SHAPE)
        offset = 10_000.0  # numbers that are cut off nowhere
        seen = expose(camera, rng, light, bias_offset_adu=offset).astype(float) - offset
        return np.rint(500 + seen / gain).astype(np.uint16)

    (result,) = measure_gain([frame(0.0) for _ in range(n)], [frame(light_e) for _ in range(n)])
    return result


@pytest.mark.parametrize("split", SPLITS)
def test_parts_of_other_gains_are_told(split: str) -> None:
    gain, place = SPLITS[split]
    result = measured(gain, 20_000.0)
    (doubt,) = (one for one in result.doubts if "parts of the image have other gains" in one)
    assert place in doubt
    assert doubt in result.flat_doubts


@pytest.mark.parametrize(
    ("light", "a00"),
    [
        (20_000.0, 0.0),
        (20_000.0 * np.where(RIGHT, 1.0, 0.2), 0.0),
        (30_000.0 * (1 - 0.4 * ((X - 96) ** 2 + (Y - 80) ** 2) / 96**2), -2e-6),
        (40_000.0 * np.where(EVEN & ODD_ROW, 1.0, np.where(EVEN ^ ODD_ROW, 0.8, 0.35)), -2e-6),
        (30_000.0 * (Y > 60) * (X > 20), 0.0),
    ],
    ids=["even light", "a half in the shade", "vignetted", "a mosaic of colours", "corners without light"],
)
def test_one_gain_is_none_of_several_whatever_the_light(light: np.ndarray | float, a00: float) -> None:
    assert measured(1.5, light, a00=a00).doubts == ()


def test_named_amplifiers_are_measured_each_by_itself() -> None:
    rng = np.random.default_rng(4)
    halves = (Amplifier("L", Section(1, 96, 1, 160)), Amplifier("R", Section(97, 192, 1, 160)))
    camera = Camera((1.4, 1.8), 5.0, 500.0, shape=SHAPE, amplifiers=halves)
    biases, flats = ([expose(camera, rng, np.full(SHAPE, light)) for _ in range(6)] for light in (0.0, 20_000.0))
    results = measure_gain(biases, flats, amplifiers=halves)
    assert [one.gain_e_per_adu for one in results] == pytest.approx([1.4, 1.8], rel=0.03)
    assert [one.doubts for one in results] == [(), ()]
