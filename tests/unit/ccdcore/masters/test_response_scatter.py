"""The scatter of the response of pixels: closed loops of master flats whose truth is known."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.masters.response_scatter import response_scatter
from ccdcore.reduction.master import MaskBit, Master

SHAPE = (256, 320)
WHOLE = Amplifier("1", Section.whole(SHAPE))
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def master(response, noise, rng, mask=None):
    value = response + noise * rng.normal(size=SHAPE)
    uncertainty = np.broadcast_to(noise, SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, np.uint8) if mask is None else mask
    return Master("flat", value.astype(np.float32), uncertainty, mask, np.full(SHAPE, 5, np.uint16), "", (5, 5), ())


def response_of(prnu, rng):
    vignetting = 1 - 0.4 * ((X - 160) ** 2 + (Y - 128) ** 2) / 42_000
    return vignetting * (1 + prnu * rng.normal(size=SHAPE))


@pytest.mark.parametrize("prnu", [0.003, 0.01, 0.05])
@pytest.mark.parametrize("noise", [0.001, 0.003])
def test_values_are_right_and_pulls_are_of_width_one(prnu, noise):
    rng = np.random.default_rng([int(1e4 * prnu), int(1e4 * noise)])
    found = [response_scatter(master(response_of(prnu, rng), noise, rng), WHOLE) for _ in range(20)]
    values, errors = np.array(found).T
    assert np.mean(values) == pytest.approx(prnu, rel=0.01)
    pulls = (values - prnu) / errors
    assert abs(pulls.mean()) < 4 / np.sqrt(20)
    assert np.std(pulls) == pytest.approx(1, abs=4 / np.sqrt(40))


def test_the_light_of_a_block_is_that_of_all_its_pixels():
    """Light that is brightest in the middle of every block, by twice that of the corners."""
    rng = np.random.default_rng(7)
    light = 1 - 0.25 * (((X % 16 - 7.5) / 7.5) ** 2 + ((Y % 16 - 7.5) / 7.5) ** 2)
    found = response_scatter(master(light * (1 + 0.02 * rng.normal(size=SHAPE)), 0.001, rng), WHOLE)
    assert found.value == pytest.approx(0.02, abs=4 * found.uncertainty)
    assert found.uncertainty < 0.005 * found.value


def test_bad_pixels_dust_and_stars_are_no_scatter():
    rng = np.random.default_rng(2)
    response = response_of(0.01, rng)
    response[rng.random(SHAPE) < 1e-3] = 0.2
    response[rng.random(SHAPE) < 1e-3] *= 1.5
    response *= 1 - 0.3 * np.exp(-((X - 100) ** 2 + (Y - 50) ** 2) / 30)
    mask = np.where(X > 300, np.uint8(MaskBit.SATURATED), np.uint8(0))
    response[X > 300] = 7
    found = response_scatter(master(response, 0.002, rng, mask), WHOLE)
    assert found.value == pytest.approx(0.01, abs=4 * found.uncertainty)
    assert found.uncertainty < 0.01 * found.value


def test_each_colour_is_compared_with_its_own():
    rng = np.random.default_rng(3)
    colours = np.where((X + Y) % 2, 1.0, 0.4)
    found = response_scatter(master(response_of(0.01, rng) * colours, 0.001, rng), WHOLE)
    assert found.value == pytest.approx(0.01, abs=4 * found.uncertainty)


def test_only_the_pixels_of_the_amplifier_count():
    rng = np.random.default_rng(4)
    response = np.where(X < 160, response_of(0.01, rng), response_of(0.03, rng))
    left, right = (
        response_scatter(master(response, 0.001, rng), Amplifier("a", Section(x1, x2, 1, 256)))
        for x1, x2 in ((1, 160), (161, 320))
    )
    assert (left.value, right.value) == pytest.approx((0.01, 0.03), rel=0.03)


@pytest.mark.parametrize(
    "light",
    [
        100 + 20_000 * np.exp(-((Y % 8 - 4 - X / 400) ** 2) / 4),
        1 + 0.05 * np.sin((X + Y) / 2.0),
        np.where(X < 20, 1.0, 0.0),
    ],
    ids=["spectra", "fringes", "hardly any light"],
)
def test_structured_light_gives_none(light):
    rng = np.random.default_rng(5)
    assert response_scatter(master(light / light.max(), 0.001, rng), WHOLE) is None


def test_what_is_lost_in_the_noise_gives_none():
    rng = np.random.default_rng(6)
    assert response_scatter(master(np.ones(SHAPE), 0.01, rng), WHOLE) is None
    few = replace(WHOLE, data=Section(1, 40, 1, 40))
    assert response_scatter(master(response_of(0.01, rng), 0.001, rng), few) is None


def memory_of(rows):
    """Return the bytes that a flat of so many rows takes at most while it is looked at."""
    shape = (rows, 1024)
    value = np.random.default_rng(rows).normal(1, 0.01, shape).astype(np.float32)
    uncertainty, mask = np.full(shape, 0.003, np.float32), np.zeros(shape, np.uint8)
    flat = Master("flat", value, uncertainty, mask, np.full(shape, 5, np.uint16), "", (5, 5), ())
    tracemalloc.start()
    try:
        response_scatter(flat, Amplifier("1", Section.whole(shape)))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_large_flat_takes_little_more_memory_than_a_small_one():
    per_pixel = (memory_of(3072) - memory_of(1024)) / (2048 * 1024)
    assert per_pixel < 16  # of all blocks at once it is a hundred
