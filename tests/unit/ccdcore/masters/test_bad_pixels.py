"""Bad pixels: those put into simulated frames are found, and no others."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.frames.frame import Frame, SeriesFrame
from ccdcore.frames.statistics import frame_statistics
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.io.write import write_hdulist
from ccdcore.masters.bad_pixels import BadPixels, find_bad_pixels
from ccdcore.masters.build import master_bias, master_dark, master_flat
from ccdcore.masters.file import mask_hdulist
from ccdcore.reduction.master import MaskBit, Master
from flows.products.measurements import bad_pixel_rows
from tests.support.simulate import spectrum_light, uniform_light

SHAPE = (96, 200)
AMPLIFIERS = (
    Amplifier("L", Section(1, 98, 1, 96), Section(99, 100, 1, 96)),
    Amplifier("R", Section(103, 200, 1, 96), Section(101, 102, 1, 96)),
)
NOISE_ADU, GAIN = 4.0, 1.5
LIGHT = uniform_light(SHAPE, 15_000.0, vignetting=0.3)

HOT = [(10, 10), (50, 150), (95, 197)]
NOISY = [(20, 30), (60, 180)]
DEAD = [(5, 5), (33, 120), (34, 120)]
COLUMN = 77
CURVED = [(70, 20), (71, 160)]

Image = npt.NDArray[Any]


def at(places: list[tuple[int, int]]) -> Any:
    return tuple(np.array(places).T)


class Detector:
    """A detector with bad pixels that are known."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng([seed, 0xBAD])
        self.n = 0

    def frame(self, kind: str, light: Image | float = 0.0, seconds: float = 0.0) -> Frame:
        self.n += 1
        seen = np.broadcast_to(np.asarray(light, dtype=float), SHAPE).copy()
        seen[:, 98:102] = 0  # overscan
        seen[at(DEAD)] *= 0.2
        seen[:, COLUMN] *= 0.1
        seen[at(CURVED)] *= 1 - seen[at(CURVED)] / 60_000
        scatter = np.full(SHAPE, NOISE_ADU)
        scatter[at(NOISY)] = 8 * NOISE_ADU
        adu = 1000 + self.rng.poisson(seen) / GAIN + scatter * self.rng.normal(size=SHAPE)
        adu[at(HOT)] += 60 if kind == "bias" else 60 + 5 * seconds
        info = ExposureInfo(
            FrameType(kind), "told", "cam", "told", "bin1x1", datetime(2022, 9, 19, tzinfo=UTC), seconds, filter="V"
        )
        data = np.rint(adu).clip(0, 65535).astype(np.uint16)
        return Frame(Path(f"/nights/{kind}{self.n}.fits"), data, info, AMPLIFIERS, f"{kind}{self.n}")


@pytest.fixture(scope="module")
def biases() -> list[Frame]:
    detector = Detector()
    return [detector.frame("bias") for _ in range(10)]


def found(bad: BadPixels, bit: MaskBit) -> set[tuple[int, int]]:
    return {(int(row), int(column)) for row, column in np.argwhere((bad.mask & bit) != 0)}


def test_every_kind_is_found_and_nothing_else(biases: list[Frame]) -> None:
    detector = Detector(1)
    bias = master_bias(biases, noise_adu=NOISE_ADU)
    flats = [detector.frame("flat", LIGHT, 5.0) for _ in range(4)]
    flat = master_flat(flats, bias=bias, noise_adu=NOISE_ADU)
    bad = find_bad_pixels(bias, amplifiers=AMPLIFIERS, read_noise_adu={"L": NOISE_ADU, "R": NOISE_ADU}, flats=[flat])
    column = {(row, COLUMN) for row in range(SHAPE[0])}
    assert found(bad, MaskBit.HOT) == set(HOT)
    assert found(bad, MaskBit.NOISY) == set(NOISY)
    assert found(bad, MaskBit.DEAD) == set(DEAD) | column
    assert found(bad, MaskBit.OUTSIDE) == {(row, n) for row in range(SHAPE[0]) for n in range(98, 102)}
    assert bad.counts["L"] == {MaskBit.HOT: 1, MaskBit.NOISY: 1, MaskBit.DEAD: 1 + SHAPE[0]}
    assert bad.counts["R"] == {MaskBit.HOT: 2, MaskBit.NOISY: 1, MaskBit.DEAD: 2}
    assert bad.n_bad == {"L": 3 + SHAPE[0], "R": 5}
    assert {entry.sha256 for entry in bad.inputs} == {one.sha256 for one in (*biases, *flats)}


def test_good_pixels_are_hardly_ever_called_bad() -> None:
    rng = np.random.default_rng(2)
    whole = (Amplifier("1", Section.whole((256, 256))),)
    info = ExposureInfo(FrameType.BIAS, "told", "cam", "told", "bin1x1")
    frames = [
        Frame(Path(f"{n}"), np.rint(rng.normal(300, 3, (256, 256))).astype(np.uint16), info, whole, str(n))
        for n in range(6)
    ]
    bad = find_bad_pixels(master_bias(frames, noise_adu=3.0), amplifiers=whole, read_noise_adu=3.0)
    assert bad.n_bad["1"] <= 1
    assert set(bad.counts["1"]) == {MaskBit.HOT, MaskBit.NOISY}


def test_a_dark_shows_hot_pixels_that_biases_do_not(biases: list[Frame]) -> None:
    detector = Detector(3)
    bias = master_bias([replace(one, data=one.data.copy()) for one in biases], noise_adu=NOISE_ADU)
    dark = master_dark([detector.frame("dark", 0.0, 60.0) for _ in range(5)], bias=bias, noise_adu=NOISE_ADU)
    bad = find_bad_pixels(bias, amplifiers=AMPLIFIERS, read_noise_adu=NOISE_ADU, dark=dark)
    assert set(HOT) <= found(bad, MaskBit.HOT) <= set(HOT) | set(NOISY)


def test_too_few_biases_tell_of_no_noise(biases: list[Frame]) -> None:
    bad = find_bad_pixels(master_bias(biases[:4]), amplifiers=AMPLIFIERS, read_noise_adu=NOISE_ADU)
    assert MaskBit.NOISY not in bad.counts["L"]


def on_disk(folder: Path, frame: Frame) -> SeriesFrame:
    path = folder / frame.path.name
    fits.PrimaryHDU(frame.data).writeto(path)
    statistics = frame_statistics(frame.data, frame.amplifiers)
    return SeriesFrame(frame.sha256, path, frame.shape, frame.info, frame.amplifiers, statistics)


def test_flats_of_two_levels_show_what_is_not_linear(tmp_path: Path, biases: list[Frame]) -> None:
    detector = Detector(4)
    flats = [on_disk(tmp_path, detector.frame("flat", LIGHT * level, 5.0 * level)) for level in (0.3, 0.3, 1, 1, 1)]
    bias = master_bias(biases, noise_adu=NOISE_ADU)
    bad = find_bad_pixels(bias, amplifiers=AMPLIFIERS, read_noise_adu=NOISE_ADU, flat_frames=flats)
    assert (
        set(CURVED)
        <= found(bad, MaskBit.NONLINEAR)
        <= set(CURVED) | set(DEAD) | set(HOT) | {(row, COLUMN) for row in range(SHAPE[0])}
    )
    alike = find_bad_pixels(bias, amplifiers=AMPLIFIERS, read_noise_adu=NOISE_ADU, flat_frames=flats[2:])
    assert MaskBit.NONLINEAR not in alike.counts["L"]


def test_of_many_filters_one_master_is_in_memory_at_a_time(biases: list[Frame]) -> None:
    detector = Detector(7)
    bias = master_bias(biases, noise_adu=NOISE_ADU)
    light = np.where(np.arange(SHAPE[1]) < 50, 0, LIGHT)  # of every other filter
    frames = [detector.frame("flat", LIGHT if n % 2 else light, 5.0) for n in range(8)]
    alive: list[weakref.ref[Any]] = []

    def flats() -> Iterator[Master]:
        for n in (0, 1):
            assert not any(one() is not None for one in alive), "the last one is still held"
            flat = master_flat(frames[n::2], bias=bias, noise_adu=NOISE_ADU)
            alive.append(weakref.ref(flat.value))
            yield flat
            del flat

    bad = find_bad_pixels(bias, amplifiers=AMPLIFIERS, read_noise_adu=NOISE_ADU, flats=flats())
    assert len(alive) == 2
    assert found(bad, MaskBit.DEAD) == set(DEAD) | {(row, COLUMN) for row in range(SHAPE[0])}  # (5, 5) by the second
    assert {entry.sha256 for entry in bad.inputs} == {one.sha256 for one in (*biases, *frames)}


def test_structured_light_calls_no_pixel_dead(biases: list[Frame]) -> None:
    detector = Detector(5)
    bias = master_bias(biases, noise_adu=NOISE_ADU)
    light = spectrum_light(SHAPE, 30_000.0, width=1.0)
    flat = master_flat([detector.frame("flat", light, 5.0) for _ in range(3)], bias=bias, noise_adu=NOISE_ADU)
    bad = find_bad_pixels(bias, amplifiers=AMPLIFIERS, read_noise_adu=NOISE_ADU, flats=[flat])
    assert MaskBit.DEAD not in bad.counts["L"]


def test_pixels_beyond_the_edge_of_the_light_are_not_dead(biases: list[Frame]) -> None:
    detector = Detector(6)
    bias = master_bias(biases, noise_adu=NOISE_ADU)
    light = LIGHT.copy()
    light[:50] = 0  # two rows of a box of sixteen
    flat = master_flat([detector.frame("flat", light, 5.0) for _ in range(3)], bias=bias, noise_adu=NOISE_ADU)
    bad = find_bad_pixels(bias, amplifiers=AMPLIFIERS, read_noise_adu=NOISE_ADU, flats=[flat])
    assert found(bad, MaskBit.DEAD) <= {(row, COLUMN) for row in range(SHAPE[0])}


def test_the_file_names_its_bits_and_its_frames(tmp_path: Path, biases: list[Frame]) -> None:
    bad = find_bad_pixels(master_bias(biases), amplifiers=AMPLIFIERS, read_noise_adu=NOISE_ADU)
    path = tmp_path / "badpixels.fits"
    write_hdulist(path, mask_hdulist(bad, {"INSTRUME": "cam"}))
    header = fits.getheader(path)
    names = [header[f"MASKB{n}"] for n in range(8)]
    assert names == ["NO_DATA", "OUTSIDE", "UNLIT", "SATURATED", "HOT", "DEAD", "NOISY", "NONLINEAR"]
    assert (header["IMAGETYP"], header["INSTRUME"], header["NCOMBINE"]) == ("Master Mask", "cam", 10)
    assert set(fits.getdata(path, "PROVENANCE")["sha256"]) == {one.sha256 for one in biases}
    read = CCDData.read(path)
    assert np.array_equal(read.data, bad.mask)


def colours(strengths: tuple[float, ...], shape: tuple[int, int]) -> Image:
    """Return the light behind the filters of a colour camera."""
    pattern = np.empty(shape)
    for n, strength in enumerate(strengths):
        pattern[n // 2 :: 2, n % 2 :: 2] = strength
    return pattern


@pytest.mark.parametrize(
    "strengths",
    [
        (0.35, 1.0, 1.0, 0.55),
        (1.0, 0.12, 0.12, 0.03),
        (0.94, 1.0, 1.0, 0.97),
        (0.2, 0.2, 1.0, 0.2),
        (1.0, 1.0, 1.0, 1.0),
    ],
)
@pytest.mark.parametrize("origin", [0, 1])
def test_pixels_behind_colour_filters_are_judged_by_their_own_colour(
    strengths: tuple[float, ...], origin: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    shape, dead, curved = (131, 150), (rng.integers(5, 125, 12), rng.integers(5, 145, 12)), (50, 61)
    whole = (Amplifier("1", Section(1 + origin, 150, 1, 131)),)
    light = colours(strengths, shape) * uniform_light(shape, 40_000.0, vignetting=0.3)
    light[dead] *= 0.2

    def frames(kind: FrameType, factor: float, n: int) -> list[Frame]:
        seen = factor * light
        seen[curved] *= 1 - 0.3 * factor
        info = ExposureInfo(kind, "told", "cam", "told", "bin1x1", None, 2.0, filter="V")
        images = [np.rint(500 + rng.poisson(seen) / 0.8 + rng.normal(0, 3.75, shape)) for _ in range(n)]
        return [
            Frame(tmp_path / f"{kind}{factor}{k}", image.astype(np.uint16), info, whole, f"{kind}{factor}{k}")
            for k, image in enumerate(images)
        ]

    bias = master_bias(frames(FrameType.BIAS, 0.0, 5), noise_adu=3.75)
    bright = frames(FrameType.FLAT, 1.0, 4)
    flat = master_flat(bright, bias=bias, noise_adu=3.75, gain_e_per_adu=0.8)
    ramp = [on_disk(tmp_path, one) for one in (*frames(FrameType.FLAT, 0.3, 4), *bright)]
    bad = find_bad_pixels(bias, amplifiers=whole, read_noise_adu=3.75, flats=[flat], flat_frames=ramp)
    assert found(bad, MaskBit.DEAD) == set(zip(*map(list, dead), strict=True))
    assert curved in found(bad, MaskBit.NONLINEAR)
    assert bad.counts["1"][MaskBit.NONLINEAR] < 4
    assert np.count_nonzero(flat.mask & MaskBit.UNLIT) == 0
    assert bad.not_looked_for("1") is None


def test_what_was_not_looked_for_is_said(biases: list[Frame]) -> None:
    bad = find_bad_pixels(master_bias(biases[:4]), amplifiers=AMPLIFIERS, read_noise_adu=NOISE_ADU)
    said = bad.not_looked_for("L")
    assert said is not None
    assert said.startswith("not looked for: noisy pixels (5 biases show them); dead pixels (a master flat with smooth")
    rows = bad_pixel_rows(bad, {"observed_at": datetime(2022, 9, 19, tzinfo=UTC)})
    assert all(row.details["notes"] == [said] for row in rows if row.amplifier == "L")
