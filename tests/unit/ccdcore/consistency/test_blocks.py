"""Averages over blocks of what is left of frames: closed loops of noise, faint patches, spots, stars, cosmic rays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ccdcore.consistency.blocks import block_residuals
from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias, master_dark, master_flat
from tests.support.simulate import Camera, bias_pixels, dark_pixels, flat_pixels, uniform_light

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=6.0, bias_adu=1000.0, shape=(192, 256))
Y, X = np.mgrid[: CAMERA.shape[0], : CAMERA.shape[1]]
LIGHT = uniform_light(CAMERA.shape, 20_000, vignetting=0.3)


def frames(kind, images, exposure_time_s=1.0):
    info = ExposureInfo(FrameType(kind), "told", "cam", "told", "bin1x1", exposure_time_s=exposure_time_s)
    return [
        Frame(Path(f"{kind}{n}.fits"), image, info, CAMERA.amplifiers, f"{kind}{n}") for n, image in enumerate(images)
    ]


def biases(n=8, seed=0):
    rng = np.random.default_rng(seed)
    return frames("bias", [bias_pixels(CAMERA, rng, cosmic_ray_fraction=1e-3) for _ in range(n)])


def flats(lights, seed=1):
    rng = np.random.default_rng(seed)
    return frames("flat", [flat_pixels(CAMERA, rng, light, cosmic_ray_fraction=1e-3) for light in lights])


def pulls(blocks):
    """Return what each frame differs by from the mean of the others, over what its noise and theirs allow."""
    n, variance = len(blocks.mean), 1 / np.fmax(blocks.weight, 1e-9)
    others = (blocks.mean.sum(axis=0) - blocks.mean) / (n - 1)
    of_others = (variance.sum(axis=0) - variance) / (n - 1) ** 2
    return (blocks.mean - others) / np.sqrt(variance + of_others)


def of_biases():
    some = biases()
    return block_residuals(some, master_bias(some))


def of_darks():
    rng, bias = np.random.default_rng(2), master_bias(biases())
    some = frames("dark", [dark_pixels(CAMERA, rng, 60.0, dark_current_e_per_s=2.0) for _ in range(6)], 60.0)
    return block_residuals(some, master_dark(some, bias=bias), bias=bias)


def of_a_ramp():
    bias = master_bias(biases())
    some = flats([LIGHT * factor for factor in (0.1, 0.2, 0.4, 0.7, 1.0, 1.2)])
    return block_residuals(some, master_flat(some, bias=bias), bias=bias)


@pytest.mark.parametrize("of_good_frames", [of_biases, of_darks, of_a_ramp])
def test_the_noise_of_blocks_is_what_is_said(of_good_frames):
    blocks = of_good_frames()
    found = pulls(blocks)
    assert found.shape == (len(blocks.mean), 24, 32)
    assert np.std(found) == pytest.approx(1, abs=0.06)  # faint cosmic rays, below the clip, are in it
    assert np.std(found, axis=(1, 2)) == pytest.approx(1, abs=0.12)
    assert abs(found.mean()) < 0.05


def test_the_noise_of_a_pixel_is_that_of_the_camera():
    assert np.median(of_biases().pixel_noise) == pytest.approx(np.sqrt(16 + 1 / 12), rel=0.1)
    blocks = of_a_ramp()
    expected = np.array([1 / 0.1, 1 / 0.2, 1 / 0.4, 1 / 0.7, 1.0, 1 / 1.2])
    assert blocks.pixel_variance / blocks.pixel_variance[4] == pytest.approx(expected, rel=0.1)
    assert blocks.response.max() / blocks.response.min() == pytest.approx(1 / 0.7, rel=0.1)


def test_a_faint_patch_is_what_it_is():
    some = biases()
    shifted = some[3].data.astype(float)
    shifted[64:88, 128:160] += 4.0
    some[3] = replace(some[3], data=np.rint(shifted).astype(np.uint16))
    blocks = block_residuals(some, master_bias(some))
    left = (blocks.mean[3] - np.delete(blocks.mean, 3, axis=0).mean(axis=0))[8:11, 16:20]
    assert left == pytest.approx(4.0, abs=5 * 4.1 / 8)
    assert np.argmax(np.abs(pulls(blocks)).max(axis=(1, 2))) == 3


@pytest.mark.parametrize(("depth", "is_seen"), [(0.3, True), (-0.3, False)])
def test_in_a_flat_a_dark_spot_counts_and_a_star_does_not(depth, is_seen):
    bias = master_bias(biases())
    spot = 1 - depth * np.exp(-((X - 100) ** 2 + (Y - 60) ** 2) / 30)
    some = flats([LIGHT * (spot if n == 2 else 1) for n in range(8)])
    blocks = block_residuals(some, master_flat(some, bias=bias), bias=bias)
    near = pulls(blocks)[2, 5:10, 10:15]
    assert (near.min() < -20) == is_seen
    assert np.abs(near).max() < 6 or is_seen
    others = replace(blocks, mean=np.delete(blocks.mean, 2, axis=0), weight=np.delete(blocks.weight, 2, axis=0))
    assert np.abs(pulls(others)).max() < 6


def test_pixels_of_no_use_tell_nothing():
    some = biases()
    master = master_bias(some)
    master.mask[:96] = 1
    blocks = block_residuals(some, master)
    assert not blocks.weight[:, :12].any()
    assert not blocks.mean[:, :12].any()
    assert blocks.weight[:, 12:].all()


def test_of_a_large_frame_some_rows_are_looked_at(monkeypatch):
    some = biases()
    whole = block_residuals(some, master_bias(some))
    monkeypatch.setattr("ccdcore.consistency.blocks._MOST_PIXELS", 1)
    shape = {"shape": (768, 256), "amplifiers": ()}
    camera, rng = replace(CAMERA, **shape), np.random.default_rng(5)
    large = [replace(one, data=bias_pixels(camera, rng), amplifiers=camera.amplifiers) for one in some]
    some_of_it = block_residuals(large, master_bias(large))
    assert some_of_it.mean.shape == (8, 32, 32)
    assert np.median(some_of_it.weight) == pytest.approx(np.median(whole.weight), rel=0.1)
    assert np.std(pulls(some_of_it)) == pytest.approx(1, abs=0.04)


def test_a_foreign_frame_is_scaled_to_the_master():
    bias = master_bias(biases())
    some = flats([LIGHT] * 6)
    master = master_flat(some[:5], bias=bias)
    brighter = replace(flats([LIGHT * 1.3], seed=9)[0], sha256="foreign")
    blocks = block_residuals([*some[:5], brighter], master, bias=bias)
    assert np.average(blocks.mean[5], weights=blocks.weight[5]) == pytest.approx(0, abs=2e-4)
