"""Whether the pattern of flats changed between frames: closed loops of condensation, dust, stars and gradients."""

from pathlib import Path

import numpy as np
import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import check_master, master_bias, master_flat

SHAPE = (160, 180)
GAIN, READ_NOISE = 1.2, 4.0
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
VIGNETTING = 1 - 0.25 * ((X - 90) ** 2 + (Y - 80) ** 2) / 15_000
PLACES = np.random.default_rng(0).uniform(10, 150, (15, 2))


def spots(depth, width=2.5, shift=0.0, n=15):
    light = np.ones(SHAPE)
    for x, y in PLACES[:n]:
        light *= 1 - depth * np.exp(-((X - x - shift) ** 2 + (Y - y) ** 2) / (2 * width**2))
    return light


def stars(shift=0.0):
    flux = 10 ** np.random.default_rng(1).uniform(3.5, 5.0, len(PLACES))
    profiles = [np.exp(-((X - x - 1.5 * shift) ** 2 + (Y - y - shift) ** 2) / 10) for x, y in PLACES]
    return sum(f / 31 * profile for f, profile in zip(flux, profiles, strict=True))


def remarks_on(light):
    """Return what is said of the master of flats that see this light."""
    rng = np.random.default_rng(7)
    whole = (Amplifier("1", Section.whole(SHAPE)),)

    def frames(kind, images):
        for n, image in enumerate(images):
            seen = 300 + rng.poisson(image) / GAIN + rng.normal(0, READ_NOISE, SHAPE)
            data, info = np.rint(seen).astype(np.uint16), ExposureInfo(kind, "told", "cam", "told", "bin1x1")
            yield Frame(Path(f"{kind}{n}.fits"), data, info, whole, f"{kind}{n}")

    biases, flats = (
        list(frames(kind, some)) for kind, some in ((FrameType.BIAS, [VIGNETTING * 0] * 5), ("flat", light))
    )
    bias = master_bias(biases, noise_adu=READ_NOISE)
    known = {"noise_adu": READ_NOISE, "gain_e_per_adu": GAIN}
    flat = master_flat(flats, bias=bias, **known)
    return check_master(flat, flats[len(flats) // 2], bias=bias, **known)


LEVEL = 25_000 * VIGNETTING
CHANGED = {
    "condensation dries": [LEVEL * spots(depth) for depth in np.linspace(0.8, 0.1, 9)],
    "faint condensation dries": [LEVEL * spots(depth, 4) for depth in np.linspace(0.12, 0.02, 9)],
    "dust moves half way": [LEVEL * spots(0.3, 5, 12 * (n > 3)) for n in range(8)],
    "dust moves all the time": [LEVEL * spots(0.2, 5, 4 * n) for n in range(8)],
    "stars stand still while the sky fades": [LEVEL * 0.93**n + stars() for n in range(9)],
    "a gradient turns": [LEVEL * (1 + 0.02 * (n - 4) * (X - 90) / 90) for n in range(9)],
}
SAME = {
    "steady spots": [LEVEL * spots(0.5)] * 9,
    "a lamp that drifts": [LEVEL * (1 - 0.02 * n) for n in range(9)],
    "a ramp": [LEVEL * factor for factor in (0.1, 0.2, 0.4, 0.8, 1.0, 1.2)],
    "a fading sky": [LEVEL * 0.82**n for n in range(9)],
    "stars that move on a fading sky": [LEVEL * 0.85**n + stars(7 * n) for n in range(9)],
    "few frames": [LEVEL] * 3,
    "colours": [LEVEL * np.where((X + Y) % 2, 1, 0.3)] * 6,
    "a spectrum": [100 + 20_000 * np.exp(-((Y - 70 - X / 40) ** 2) / 40)] * 8,
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_pattern_that_changed_is_told(name):
    remarks = remarks_on(CHANGED[name])
    assert any("in spots that changed from frame to frame" in remark for remark in remarks)


@pytest.mark.parametrize("name", SAME)
def test_one_that_stayed_is_not(name):
    assert remarks_on(SAME[name]) == ()


def test_frames_without_the_spots_of_the_others_are_named():
    remarks = remarks_on([LEVEL * spots(0.6 * (n < 7)) for n in range(10)])
    assert sum("the pattern changed (condensation that dried, dust that moved)" in remark for remark in remarks) == 3
