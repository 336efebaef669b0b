"""Darks of a detector whose temperature changed, by its hot pixels; the truth is known."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.consistency.warming import warming
from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias, master_dark
from ccdcore.masters.check import check_master
from ccdcore.masters.repair import without_culprits

SHAPE = (150, 200)
GAIN, NOISE_ADU, SECONDS = 1.5, 4.0, 120.0
WHOLE = (Amplifier("1", Section.whole(SHAPE)),)


def taken(rng, kind, electrons, n=6, offset_adu=1000.0, seconds=SECONDS):
    found = []
    for number, each in enumerate(electrons):
        image = offset_adu + rng.poisson(np.broadcast_to(each, SHAPE)) / GAIN + rng.normal(0, NOISE_ADU, SHAPE)
        info = ExposureInfo(
            kind, "test", "cam", "test", "bin1x1", datetime(2022, 9, 19, 20, number, tzinfo=UTC), seconds
        )
        name = f"{kind}{number}"
        found.append(Frame(Path(f"{name}.fits"), np.rint(np.maximum(image, 0)).astype(np.uint16), info, WHOLE, name))
    return found


def current(rng, hot=0.003):
    return SECONDS * np.where(rng.random(SHAPE) < hot, rng.uniform(3, 60, SHAPE), 0.2)


@pytest.fixture(scope="module")
def bias():
    return master_bias(taken(np.random.default_rng(1), FrameType.BIAS, [0.0] * 8, seconds=0.0), noise_adu=NOISE_ADU)


def checked(frames, bias):
    return without_culprits(
        lambda some: master_dark(some, bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN), frames, fewest=3, bias=bias
    )


@pytest.mark.parametrize(("last", "word"), [(0.7, "fell by"), (1.3, "rose by")])
def test_darks_of_a_temperature_that_changed_are_told(bias, last, word):
    rng = np.random.default_rng(2)
    signal = current(rng)
    frames = taken(rng, FrameType.DARK, [signal * factor for factor in np.linspace(1, last, 6)])
    found = checked(frames, bias)
    assert any(f"the signal of its hot pixels {word}" in said for said in found.doubts)
    assert found.contradiction is not None
    shuffled = [frames[n] for n in (3, 0, 5, 1, 4, 2)]
    assert any(word in said for said in checked(shuffled, bias).doubts)  # in their time, whatever the order given


@pytest.mark.parametrize("seed", range(4))
def test_steady_darks_whose_hot_pixels_blink_and_whose_bias_drifts_are_not(bias, seed):
    rng = np.random.default_rng([3, seed])
    signal = current(rng)
    blinking = rng.random(SHAPE) < 0.3
    electrons = [
        np.where(blinking & (signal > SECONDS), signal * rng.choice([0.5, 1.5], SHAPE), signal) + GAIN * 0.3 * n
        for n in range(6)
    ]
    master = checked(frames := taken(rng, FrameType.DARK, electrons), bias).master
    assert warming(frames, master, bias=bias) is None


def test_few_hot_pixels_or_frames_tell_nothing(bias):
    rng = np.random.default_rng(4)
    frames = taken(rng, FrameType.DARK, [0.2 * SECONDS * factor for factor in np.linspace(1, 0.5, 6)])
    assert warming(frames, checked(frames, bias).master, bias=bias) is None
    signal = current(rng)
    three = taken(rng, FrameType.DARK, [signal, signal * 0.8, signal * 0.6])
    assert warming(three, checked(three, bias).master, bias=bias) is None


@pytest.mark.parametrize(("offset_adu", "told"), [(1000.0, False), (996.0, False), (900.0, True), (100.0, True)])
def test_a_master_dark_below_none_is_suspect(bias, offset_adu, told):
    rng = np.random.default_rng(5)
    frames = taken(rng, FrameType.DARK, [0.01] * 6, offset_adu=offset_adu)
    master = master_dark(frames, bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN)
    remarks = check_master(master, replace(frames[0]), bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN)
    assert any("less than none" in said for said in remarks) == told
