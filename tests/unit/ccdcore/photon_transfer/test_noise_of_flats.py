"""Flats that have other noise at no light than the biases: their curve tells, and gives the gain."""

from __future__ import annotations

import numpy as np
import pytest

from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from tests.support.simulate import Camera, bias_pixels, expose, uniform_light

GAIN, READ_NOISE_E = 1.5, 10.0
LEVELS_E = (100, 300, 1000, 3000, 10_000, 40_000)
SHAPE = (256, 512)
SEEDS = 6
OTHER_NOISE = "by their curve flats have a noise of"


def camera(more_variance: float = 0.0) -> Camera:
    return Camera(GAIN, READ_NOISE_E * (1 + more_variance) ** 0.5, 1000.3, SHAPE)


def ramp(seed: int, more_variance: float) -> PhotonTransfer:
    """Measure flats of two frames a level, with so much more variance at no light, relative, than the biases."""
    rng = np.random.default_rng([seed, 815])
    biases = [bias_pixels(camera(), rng) for _ in range(5)]
    flats = [
        expose(camera(more_variance), rng, (1 + 0.01 * rng.normal()) * uniform_light(SHAPE, level, vignetting=0.2))
        for level in LEVELS_E
        for _ in range(2)
    ]
    (found,) = measure_gain(biases, flats)
    return found


@pytest.mark.parametrize("more_variance", [0.15, -0.15])
def test_flats_of_other_noise_give_the_true_gain_and_it_is_said(more_variance: float) -> None:
    found = [ramp(seed, more_variance) for seed in range(SEEDS)]
    gains = np.array([one.gain_e_per_adu for one in found])
    pulls = (gains - GAIN) / np.array([one.gain_uncertainty for one in found])
    assert abs(gains.mean() / GAIN - 1) < 0.003
    assert abs(pulls).max() < 3.5
    assert all(any(OTHER_NOISE in note for note in one.notes) for one in found)
    side = "below" if more_variance > 0 else "above"
    assert all(any(f"ADU {side} the level" in note for note in one.notes) for one in found)
    assert [doubt for one in found for doubt in one.doubts] == []
    for one in found:  # that of the biases
        assert one.read_noise_adu == pytest.approx(READ_NOISE_E / GAIN, rel=0.01)


def test_flats_of_the_noise_of_the_biases_are_measured_by_it() -> None:
    found = [ramp(seed, 0.0) for seed in range(SEEDS)]
    said = [note for one in found for note in (*one.notes, *one.doubts) if OTHER_NOISE in note]
    assert len(said) <= 1  # 3 σ by chance


def test_biases_of_another_read_mode_are_doubted() -> None:
    found = ramp(1, 1.0)
    assert any(OTHER_NOISE in doubt and "another gain setting or read mode" in doubt for doubt in found.doubts)
    assert found.gain_e_per_adu == pytest.approx(GAIN, abs=4 * (found.gain_uncertainty or 0.0))


def test_what_is_too_little_to_be_sure_of_is_in_the_systematic_uncertainty() -> None:
    """Of all between two and three σ the gain is by the biases, and says how far it would be off."""
    found = [ramp(seed, 0.02) for seed in range(2 * SEEDS)]
    unsure = [one for one in found if (one.gain_systematic_uncertainty or 0.0) > 0]
    assert unsure
    for one in unsure:
        assert not any(OTHER_NOISE in note for note in one.notes)
    total = [np.hypot(one.gain_uncertainty or 0.0, one.gain_systematic_uncertainty or 0.0) for one in found]
    assert max(abs(one.gain_e_per_adu - GAIN) / of for one, of in zip(found, total, strict=True)) < 3.5
