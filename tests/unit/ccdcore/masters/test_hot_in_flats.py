"""The dark signal in flats: when it matters, which pixels it spoils, and whether what was taken off was theirs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccdcore.masters.hot_in_flats import dark_left, dark_matters, spoilt_by_dark, too_bright
from ccdcore.reduction.master import MaskBit, Master, MasterInput

SHAPE = (128, 128)
HOT = np.zeros(SHAPE, bool)
HOT[5::20, 7::20] = True
LEVEL_ADU = 10_000.0


def master(value: Any, *, kind: Any = "dark", unit: str = "adu/s", exposures: tuple[float, ...] = (10.0,)) -> Master:
    image = np.broadcast_to(np.asarray(value, np.float32), SHAPE).copy()
    inputs = tuple(
        MasterInput(Path(f"{n}.fits"), f"{n}", None, 1 / LEVEL_ADU if kind == "flat" else 1.0, LEVEL_ADU, 0.0, seconds)
        for n, seconds in enumerate(exposures)
    )
    mask, used = np.zeros(SHAPE, np.uint8), np.full(SHAPE, len(inputs), np.uint16)
    return Master(kind, image, np.full(SHAPE, 1e-3, np.float32), mask, used, unit, (5.0, 5.0), inputs)


def flat(noise: float = 0.0, more: Any = 0.0, **about: Any) -> Master:
    """A master flat of light that falls by a fiftieth across the image, with what is added to it."""
    light = 1.01 - 0.02 * np.linspace(0, 1, SHAPE[1])
    return master(light + np.random.default_rng(1).normal(0, noise, SHAPE) + more, kind="flat", unit="", **about)


def pixels(n: int, value: float) -> Any:
    image = np.zeros(SHAPE)
    image.ravel()[100 : 100 + 10 * n : 10] = value
    return image


@pytest.mark.parametrize(
    ("n", "part", "matters"),
    [(3, 1.5e-3, True), (3, 0.7e-3, False), (1, 0.5, False)],  # of 16 384 pixels: more than one in 10 000 are two
)
def test_dark_signal_matters_where_it_is_much_of_the_light_of_enough_pixels(n: int, part: float, matters: bool) -> None:
    rate = master(pixels(n, part * LEVEL_ADU / 10.0))
    assert dark_matters(rate, seconds=10.0, light_adu=LEVEL_ADU) is matters


def test_what_lies_in_no_amplifier_does_not_matter() -> None:
    rate = master(pixels(3, LEVEL_ADU))
    rate.mask[rate.value > 0] = MaskBit.OUTSIDE
    assert not dark_matters(rate, seconds=10.0, light_adu=LEVEL_ADU)


def test_pixels_are_spoilt_by_more_than_half_a_percent_of_the_light() -> None:
    rate = master(pixels(1, 0.006 * LEVEL_ADU / 10.0) + np.roll(pixels(1, 0.004 * LEVEL_ADU / 10.0), 5))
    assert np.flatnonzero(spoilt_by_dark(rate, seconds=10.0, light_adu=LEVEL_ADU)).tolist() == [100]


@pytest.mark.parametrize(
    ("noise", "more", "is_told"),
    [(0.005, 0.05, True), (0.005, 0.015, False), (1e-4, 0.025, True), (1e-4, 0.015, False)],
)
def test_pixels_are_too_bright_beyond_scatter_and_two_percent(noise: float, more: float, is_told: bool) -> None:
    assert np.array_equal(too_bright(flat(noise, HOT * more)), HOT & is_told)


def test_neither_structured_light_nor_masked_pixels_are_too_bright() -> None:
    lines = np.zeros(SHAPE)
    lines[::3] = -0.5  # as of a spectrum
    assert not too_bright(flat(0.002, lines + np.where(HOT, 2.0, 0.0))).any()
    masked = flat(0.002, HOT * 0.5)
    masked.mask[HOT] = MaskBit.SATURATED
    assert not too_bright(masked).any()


SIGNAL = np.where(HOT, np.random.default_rng(2).uniform(0.05, 0.5, SHAPE), 1e-4)
"""Of the light."""


@pytest.mark.parametrize("share", [0.1, 0.875, -2.0])
@pytest.mark.parametrize("unit", ["adu", "adu/s"])
@pytest.mark.parametrize("is_mosaic", [False, True])
def test_what_is_left_of_the_dark_signal_is_measured(share: float, unit: str, is_mosaic: bool) -> None:
    dark = master(SIGNAL * LEVEL_ADU / (1.0 if unit == "adu" else 10.0), unit=unit)
    of = flat(0.003, exposures=(10.0, 10.0, 10.0, 10.0))
    if is_mosaic:
        of.value[::2, ::2] *= 0.5
    of.value[:] += share * SIGNAL
    of.mask[of.value < 0.05] = MaskBit.UNLIT
    found = dark_left(of, (dark,))
    assert found is not None
    assert abs(found.share - share) < 4 * found.sigma < 0.05
    assert np.array_equal(found.spoilt, HOT & (abs(found.share) * SIGNAL > 0.005 * of.value))
    assert np.count_nonzero(found.spoilt) > HOT.sum() / 2


def test_frames_of_several_exposures_have_each_their_dark() -> None:
    darks = (
        master(SIGNAL * LEVEL_ADU, unit="adu"),
        master(2 * SIGNAL * LEVEL_ADU, unit="adu", exposures=(20.0,)),
        master(SIGNAL * LEVEL_ADU / 10),
    )
    of = flat(0.003, 0.5 * 2 * SIGNAL, exposures=(10.0, 20.0, 30.0))
    found = dark_left(of, darks)
    assert found is not None
    assert abs(found.share - 0.5) < 4 * found.sigma


@pytest.mark.parametrize("left", [0.0, 0.03])
def test_what_may_be_left_is_not_told(left: float) -> None:
    assert dark_left(flat(0.003, left * SIGNAL), (master(SIGNAL * LEVEL_ADU, unit="adu"),)) is None


def test_few_pixels_or_noise_tell_nothing() -> None:
    few = SIGNAL * (np.cumsum(HOT).reshape(SHAPE) <= 19)
    assert dark_left(flat(0.003, few), (master(few * LEVEL_ADU, unit="adu"),)) is None
    of_noise = np.where(HOT, np.random.default_rng(3).normal(0, 3.0, SHAPE), 0.0) * SIGNAL
    assert dark_left(flat(0.003, of_noise + 0.1 * SIGNAL), (master(SIGNAL * LEVEL_ADU, unit="adu"),)) is None


def test_masked_pixels_tell_nothing() -> None:
    of = flat(0.003, SIGNAL)
    of.mask[HOT] = MaskBit.SATURATED
    assert dark_left(of, (master(SIGNAL * LEVEL_ADU, unit="adu"),)) is None
