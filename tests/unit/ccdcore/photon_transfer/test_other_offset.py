"""Flats whose offset is not that of the biases, by no card: their noise tells where their light begins."""

import numpy as np
import pytest

from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from tests.support.simulate import Camera, expose

SHAPE = (160, 160)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
GAIN = 1.2
CAMERA = Camera(GAIN, 5.0, 1000.0, shape=SHAPE, pattern_adu=0.0)
SLOPE = np.linspace(0.4, 1, SHAPE[1])[None, :]
VIGNETTED = 1 - 0.7 * ((X - 80) ** 2 + (Y - 80) ** 2) / 2 / 80**2
UNLIT = np.where(X < 20, 0.0, 1.0)


def measured(
    lights: list[np.ndarray], offset_adu: float, *, a00: float = 0.0, dark_off: bool = False
) -> PhotonTransfer:
    rng = np.random.default_rng(8)
    camera = Camera(GAIN, 5.0, 1000.0, shape=SHAPE, pattern_adu=0.0, a00=a00)

    def flat(light: np.ndarray) -> np.ndarray:
        seen = expose(camera, rng, light, bias_offset_adu=offset_adu)
        return seen - expose(CAMERA, rng, np.zeros(SHAPE)) + np.uint16(1000) if dark_off else seen

    biases = [expose(CAMERA, rng, np.zeros(SHAPE)) for _ in range(6)]
    (result,) = measure_gain(biases, [flat(light) for light in lights for _ in range(6)])
    return result


@pytest.mark.parametrize("offset_adu", [-800.0, 700.0])
@pytest.mark.parametrize(
    "lights",
    [[3000 * SLOPE, 3500 * SLOPE], [5000 * SLOPE], [5000 * VIGNETTED], [5000 * UNLIT]],
    ids=["two levels and a slope", "a slope", "vignetted", "unlit columns"],
)
def test_another_offset_of_the_flats_is_told(lights: list[np.ndarray], offset_adu: float) -> None:
    result = measured(lights, offset_adu)
    side = "below" if offset_adu < 0 else "above"
    assert any(f"ADU {side} the level of the biases" in doubt for doubt in result.doubts)
    assert any("another offset" in doubt for doubt in result.flat_doubts)


@pytest.mark.parametrize("offset_adu", [-800.0, 700.0])
def test_of_two_even_levels_it_is_one_of_two_causes(offset_adu: float) -> None:
    result = measured([2000 + 0 * X, 3500 + 0 * X], offset_adu)
    assert result.gain_e_per_adu is None
    assert any("two gain settings" in doubt and "another offset" in doubt for doubt in result.flat_doubts)


def test_a_dark_taken_off_the_flats_alone_is_told_by_unlit_columns() -> None:
    result = measured([6000 * UNLIT], -900.0, dark_off=True)
    assert any("another offset" in doubt for doubt in result.flat_doubts)


@pytest.mark.parametrize("offset_adu", [0.0, 1.0, -3.0])
@pytest.mark.parametrize(
    ("lights", "a00"),
    [
        ([3000 * SLOPE, 3500 * SLOPE], 0.0),
        ([60_000 * VIGNETTED], -2e-6),
        ([60_000 * SLOPE, 45_000 * SLOPE], -3e-6),
        ([5000 * UNLIT], 0.0),
        ([20_000 + 0 * X], 0.0),
        ([300 * SLOPE], 0.0),
        ([8000 * np.exp(-(((Y % 20) - 10) ** 2) / 18)], 0.0),
    ],
    ids=["two levels", "charge that pushes", "two levels of it", "unlit", "even", "faint", "traces"],
)
def test_one_offset_is_no_other(lights: list[np.ndarray], a00: float, offset_adu: float) -> None:
    result = measured(lights, offset_adu, a00=a00)
    assert not any("another offset" in doubt for doubt in (*result.doubts, *result.flat_doubts))
    assert result.gain_e_per_adu is not None
