"""Light is not everywhere: corners, slits, columns that no card names; and the bias wanders meanwhile."""

import numpy as np
import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from tests.support.simulate import Camera, expose

GAIN, NOISE_E, SIDE = 1.6, 5.0, 240
CAMERA = Camera(GAIN, NOISE_E, 500.0, shape=(SIDE, SIDE))
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE / 2
RADIUS = np.hypot(X, Y)

SHAPES = {
    "stop": RADIUS < 70,
    "round": RADIUS < 105,
    "soft": 1 / (1 + np.exp((RADIUS - 95) / 4)),
    "slit": abs(Y) < 30,
    "square": (abs(X) < 85) & (abs(Y) < 85),
    "half": (X > 0) * (1 + 1e-3 * Y),
    "columns on the left": X > -100,
    "columns on both sides": (abs(X) < 105) * (1 - 0.3 * (RADIUS / 160) ** 2),
    "leak of 1 %": np.where(RADIUS < 105, 1, 0.01),
    "vignetted": np.clip(1 - (RADIUS / 120) ** 2, 0.01, 1),
    "traces": np.exp(-((np.abs(Y % 40 - 20) / 2.5) ** 2) / 2) * (1 + 0.2 * np.sin(X / 15)),
}


def measured(light: np.ndarray, drift_adu: float = 0.0, seed: int = 1) -> PhotonTransfer:
    rng = np.random.default_rng(seed)
    biases = [expose(CAMERA, rng, np.zeros(light.shape)) for _ in range(4)]
    flats = [expose(CAMERA, rng, light, bias_offset_adu=drift_adu * (1 + 0.1 * k)) for k in range(4)]
    (result,) = measure_gain(biases, flats)
    return result


@pytest.mark.parametrize("shape", SHAPES)
def test_unlit_parts_do_no_harm(shape: str) -> None:
    for level_adu, drift in ((18_750, 0.0), (18_750, -0.5), (1_500, 0.5), (18_750, 5.0), (1_500, -5.0)):
        result = measured(SHAPES[shape] * level_adu * GAIN, drift)
        assert abs(result.gain_e_per_adu - GAIN) < 4 * result.gain_uncertainty
        assert result.gain_e_per_adu == pytest.approx(GAIN, rel=0.03)
        assert (result.method, result.doubts, result.notes) == ("binned", (), ())


def test_the_level_of_a_flat_is_that_of_its_lit_part() -> None:
    result = measured(SHAPES["stop"] * 18_750 * GAIN, -0.5)
    assert "there is one, 18" in result.reason


def test_biases_of_another_mode_are_told_by_unlit_parts_and_by_the_overscan() -> None:
    rng = np.random.default_rng(2)
    other = Camera(GAIN / 2, NOISE_E, 500.0, shape=CAMERA.shape)
    biases = [expose(other, rng, np.zeros(CAMERA.shape)) for _ in range(4)]
    flats = [expose(CAMERA, rng, SHAPES["slit"] * 18_750 * GAIN) for _ in range(4)]
    (result,) = measure_gain(biases, flats)
    assert any(doubt.startswith("the unlit part of the flats has a noise of 3.1") for doubt in result.doubts)
    amplifier = Amplifier("1", Section(1, 200, 1, SIDE), Section(201, SIDE, 1, SIDE))
    evenly = [expose(CAMERA, rng, (X < 80) * 18_750 * GAIN) for _ in range(4)]
    (result,) = measure_gain(biases, evenly, amplifiers=[amplifier])
    assert any(doubt.startswith("the overscan of the flats has a noise of 3.1") for doubt in result.doubts)


NOT_READ = {
    "a quadrant": (slice(0, 120), slice(0, 121)),
    "all but a window": (slice(None), slice(50, SIDE)),
    "rows of a margin": (slice(0, 5), slice(None)),
    "columns of a margin": (slice(None), slice(SIDE - 3, SIDE)),
}


@pytest.mark.parametrize("where", NOT_READ)
def test_parts_that_no_detector_fills_are_left_out_and_said(where: str) -> None:
    rng = np.random.default_rng(3)
    biases, flats = (
        [expose(CAMERA, rng, light * np.ones((SIDE, SIDE))) for _ in range(4)] for light in (0.0, 16_000.0)
    )
    for image in (*biases, *flats):
        image[NOT_READ[where]] = 0 if where.startswith("a") else 4321
    (result,) = measure_gain(biases, flats)
    assert result.read_noise_adu == pytest.approx(NOISE_E / GAIN, abs=4 * result.read_noise_adu_uncertainty)
    assert result.bias_level_adu == pytest.approx(500, abs=0.2)
    assert abs(result.gain_e_per_adu - GAIN) < 4 * result.gain_uncertainty
    assert (result.doubts, result.bias_doubts) == ((), ())
    (note,) = result.notes
    assert "no part of the detector" in note


@pytest.mark.parametrize("noise_adu", [0.05, 0.12, 0.2, 0.3, 0.5])
def test_biases_that_hardly_change_are_no_missing_parts(noise_adu: float) -> None:
    rng = np.random.default_rng(4)
    biases = [np.rint(500.2 + rng.normal(0, noise_adu, (SIDE, SIDE))).astype(np.uint16) for _ in range(3)]
    for number, image in enumerate(biases):
        image[number, 4] += 1  # where there is next to no noise
    (result,) = measure_gain(biases, [])
    assert not [note for note in result.notes if "no part of the detector" in note]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("spoilt", [1, 60_000])
def test_a_flat_whose_every_second_pixel_is_spoilt_costs_its_pair_only(place: int, spoilt: int) -> None:
    rng = np.random.default_rng(5)
    biases, flats = ([expose(CAMERA, rng, light * np.ones((SIDE, SIDE))) for _ in range(4)] for light in (0.0, 3_000.0))
    flats[place][(X + Y) % 2 == 0] = spoilt
    (result,) = measure_gain(biases, flats)
    assert abs(result.gain_e_per_adu - GAIN) < 4 * result.gain_uncertainty
    assert f"flat {place + 1}" in result.notes[0]
    assert "left out" in result.notes[0]
