"""Noise that neighbours share, and noise without tails: what programs do, told from what cameras do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter, shift, uniform_filter, zoom

from ccdcore.noise.neighbours import resampled, spread, without_tails
from ccdcore.photon_transfer.measure import measure_gain
from tests.support.simulate import Camera, bias_pixels, flat_pixels, uniform_light

SHAPE = (120, 160)


def interpolated(image):
    filled = image.copy()
    filled[:, 1:-1:2] = (image[:, :-2:2] + image[:, 2::2]) / 2
    return filled


PROGRAMS = {
    "colours interpolated": interpolated,
    "smoothed": lambda image: uniform_filter(image, 2),
    "median filter": lambda image: median_filter(image, 3),
    "enlarged": lambda image: np.kron(image[: SHAPE[0] // 2, : SHAPE[1] // 2], np.ones((2, 2))),
    "reduced with a spline": lambda image: zoom(zoom(image, 0.6, order=1), 1 / 0.6, order=1),
    "shifted by half a pixel": lambda image: shift(image, (0.5, 0), order=1, mode="nearest"),
}


def row_noise(image, rng):
    return image + 3 * rng.normal(size=(SHAPE[0], 1))


def pick_up(period):
    def add(image, rng):
        return image + 0.7 * np.sin(2 * np.pi * (np.arange(image.size).reshape(SHAPE) / period + rng.random()))

    return add


def slow_amplifier(image, rng):
    return image + 0.1 * np.roll(image, 1, axis=1)


CAMERAS = {
    "as it should be": lambda image, rng: image,
    "row noise": row_noise,
    "a slow amplifier": slow_amplifier,
    "a fast one": lambda image, rng: image - 0.2 * np.roll(image, 1, axis=1),
    **{f"pick-up of {period} pixels": pick_up(period) for period in (2.7, 7.0, 16.3, 40.0)},
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_frames_that_a_program_made_share_noise(name):
    rng = np.random.default_rng(1)
    image = PROGRAMS[name](rng.normal(0, 1, SHAPE)) - PROGRAMS[name](rng.normal(0, 1, SHAPE))
    assert resampled(spread(image - image.mean())) is not None


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("turned", [True, False])
def test_what_cameras_do_is_no_program(name, turned):
    rng = np.random.default_rng(2)
    image = CAMERAS[name](rng.normal(0, 1, SHAPE), rng) - CAMERAS[name](rng.normal(0, 1, SHAPE), rng)
    image = image.T if turned else image
    assert resampled(spread(image - image.mean())) is None
    assert without_tails(image - image.mean(), 0.0) is None


@given(st.integers(0, 2**32), st.floats(0.3, 5), st.floats(0, 1))
@settings(deadline=None)
def test_rounding_takes_no_tails(seed, noise, phase):
    rng = np.random.default_rng(seed)
    one, two = (np.rint(rng.normal(phase, noise, SHAPE)) for _ in range(2))
    assert without_tails(one - two - (one - two).mean(), 1.0) is None


@pytest.mark.parametrize("noise", [1.5, 8.0])
def test_outliers_that_were_smoothed_away_are_missed(noise):
    rng = np.random.default_rng(3)

    def filtered():
        image = rng.normal(100, noise, (240, 320))
        usual = median_filter(image, 3)
        return np.rint(np.where(abs(image - usual) > 2 * noise, usual, image))

    image = filtered() - filtered()
    said = without_tails(image - image.mean(), 1.0)
    assert said is not None
    assert "stops short" in said


CAMERA = Camera(1.6, 5.0, 500.0, shape=(160, 200))
LIGHT = uniform_light(CAMERA.shape, 20_000.0, vignetting=0.2)


def night(change=lambda image: image, of_flats=lambda image, k: image):
    rng = np.random.default_rng(5)
    biases = [change(bias_pixels(CAMERA, rng).astype(float)) for _ in range(4)]
    flats = [of_flats(change(flat_pixels(CAMERA, rng, LIGHT).astype(float)), k) for k in range(6)]
    return [np.rint(one).astype(np.uint16) for one in biases], flats


def test_gain_of_interpolated_frames_is_doubted():
    (result,) = measure_gain(*night(interpolated))
    assert result.gain_e_per_adu > 1.6 * 1.2
    assert any("of their noise: frames that were interpolated" in said for said in result.bias_doubts)
    assert any("pixels of the flats share" in said for said in result.doubts)


def test_gain_of_raw_frames_is_not_doubted():
    (result,) = measure_gain(*night(of_flats=lambda image, k: np.rint(image).astype(np.uint16)))
    assert abs(result.gain_e_per_adu - 1.6) < 4 * result.gain_uncertainty
    assert result.doubts == result.bias_doubts == ()


def test_flats_of_fractions_beside_whole_biases_are_doubted():
    response = 1 - 0.3 * np.random.default_rng(6).random(CAMERA.shape)
    (result,) = measure_gain(*night(of_flats=lambda image, k: ((image - 500) / response + 500).astype(np.float32)))
    assert any("fractions on no grid" in said for said in result.doubts)
    assert result.doubts == result.flat_doubts  # of no use for a master either


@pytest.mark.parametrize("scatter", [0.01, 0.05])
def test_flats_that_shift_to_and_fro_are_doubted(scatter):
    pattern = 1 + scatter * np.random.default_rng(7).normal(size=CAMERA.shape)

    def shifted(image, k):
        return np.rint((image - 500) * np.roll(pattern, k % 2, axis=1) + 500).astype(np.uint16)

    (result,) = measure_gain(*night(of_flats=shifted))
    words = " ".join([*result.notes, *result.doubts])
    assert "moves to and fro" in words or "the light pattern moved" in words
    assert result.gain_e_per_adu is None or result.doubts


@pytest.mark.parametrize("kind", ["uint8", "int32"])
def test_numbers_of_8_and_of_more_than_16_bits_are_told(kind):
    biases, flats = night()
    if kind == "uint8":
        dithered = [one / 256 + np.random.default_rng(8 + k).random(one.shape) for k, one in enumerate(biases)]
        (result,) = measure_gain([one.astype(kind) for one in dithered], [(one / 256).astype(kind) for one in flats])
        assert any("8 bits" in said for said in result.bias_doubts)
    else:
        (result,) = measure_gain(
            [6 * one.astype(kind) for one in biases], [6 * np.rint(one).astype(kind) for one in flats]
        )
        assert any("if the frames are sums" in said for said in result.notes) == (6 * max(map(np.max, flats)) > 65535)
