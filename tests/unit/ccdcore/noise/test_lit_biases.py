"""Light that all biases of a set hold: without a shutter, with a leak, smeared by the lamp."""

import numpy as np
import pytest

from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain

SHAPE, GAIN, NOISE_E = (128, 256), 1.3, 5.0
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
LIGHTS = {
    "a gradient along the rows": 60 * X / SHAPE[1],
    "a gradient along the columns": 200 * Y / SHAPE[0],
    "smear of a lamp": 150 * np.exp(-(((X - 128) / 40) ** 2)),
    "a corner": 300 * np.exp(-(X + Y) / 80),
}


def measured(
    light_e: np.ndarray | float,
    level: np.ndarray | float = 500.0,
    noise: np.ndarray | float = 1.0,
    *,
    flats: bool = True,
) -> PhotonTransfer:
    """Measure biases that hold some light, at levels in ADU and noises times the usual one of each place."""
    rng = np.random.default_rng(7)

    def frame(electrons: np.ndarray | float) -> np.ndarray:
        seen = rng.poisson(np.broadcast_to(np.asarray(electrons, float), SHAPE)) + noise * rng.normal(0, NOISE_E, SHAPE)
        return np.rint(level + seen / GAIN).astype(np.uint16)

    (result,) = measure_gain([frame(light_e) for _ in range(6)], [frame(15_000.0) for _ in range(4)] if flats else [])
    return result


@pytest.mark.parametrize("with_flats", [True, False])
@pytest.mark.parametrize("light", LIGHTS)
def test_light_on_all_biases_is_told(light: str, with_flats: bool) -> None:
    result = measured(LIGHTS[light], flats=with_flats)
    assert result.read_noise_adu > 1.1 * NOISE_E / GAIN
    (doubt,) = result.bias_doubts
    assert "light fell on them" in doubt


@pytest.mark.parametrize(
    ("level", "noise"),
    [
        (500.0, 1.0),
        (500 + 40 * X / SHAPE[1], 1.0),
        (500 + 8 * np.sin(X), 1.0),
        (np.where(X == 77, 20_000, 500), np.where(X == 77, 60.0, 1.0)),
        (500 + np.where((X * 7919 + Y * 104_729) % 997 == 0, 300, 0), 1.0),
        (np.where(X < 128, 500, 540), np.where(X < 128, 1.0, 1.05)),
    ],
    ids=["even", "a gradient of the level", "columns", "a hot column", "hot pixels", "two amplifiers"],
)
def test_levels_that_vary_from_place_to_place_are_no_light(
    level: np.ndarray | float, noise: np.ndarray | float
) -> None:
    assert measured(0.0, level, noise).bias_doubts == ()
    assert measured(0.0, level, noise, flats=False).bias_doubts == ()


def test_noise_that_grows_otherwise_than_by_the_gain_is_no_light() -> None:
    assert measured(0.0, 500 + 100 * X / SHAPE[1], 1 + 0.2 * X / SHAPE[1]).bias_doubts == ()


@pytest.mark.parametrize("n_biases", [2, 3, 8])
@pytest.mark.parametrize("skewness", [0.4, 0.7, 1.0])
def test_noise_with_a_tail_to_one_side_is_no_light(skewness: float, n_biases: int) -> None:
    """Where its mean is higher by chance it is larger too, and by as much as light is at this gain."""
    rng, noise_adu = np.random.default_rng(2), 2.0
    shape = 4 / skewness**2
    gain = 1 / (skewness * noise_adu)

    def frame(electrons: float) -> np.ndarray:
        noise = noise_adu * (rng.gamma(shape, 1, SHAPE) - shape) / shape**0.5
        return np.rint(500 + rng.poisson(electrons, SHAPE) / gain + noise).astype(np.uint16)

    (result,) = measure_gain([frame(0.0) for _ in range(n_biases)], [frame(15_000.0) for _ in range(4)])
    assert not any("light fell" in said for said in result.bias_doubts)


def test_a_frame_of_one_row_has_no_rows_beside_it() -> None:
    (result,) = measure_gain([np.random.default_rng(n).normal(500, 5, (1, 4096)).round() for n in range(3)], [])
    assert not any("light fell" in said for said in result.bias_doubts)
