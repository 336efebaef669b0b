"""Frames that are not of one kind with the others: left out where they are few, told where they are not."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccdcore.noise.odd_frames import frame_means, sort_out, split
from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from tests.support.simulate import Camera, bias_pixels, flat_pixels, spectrum_light, uniform_light

Images = list[np.ndarray]

CAMERA = Camera(1.6, 5.0, 500.0, shape=(160, 200))
UNIFORM = uniform_light(CAMERA.shape, 1.0, vignetting=0.2)


def measured(biases: Sequence[np.ndarray], flats: Sequence[np.ndarray]) -> PhotonTransfer:
    (result,) = measure_gain(biases, flats)
    return result


def night(seed: int, gain: float = 1.6, n: int = 8, level_adu: float = 12_500.0) -> tuple[Images, Images]:
    """Biases and flats of one camera, its lamp rising by 0.4 % from each to the next."""
    rng = np.random.default_rng(seed)
    camera = Camera(gain, 5.0, 500.0, shape=CAMERA.shape)
    light = UNIFORM * level_adu * gain
    return [bias_pixels(camera, rng) for _ in range(n)], [
        flat_pixels(camera, rng, light * (1 + 0.004 * k)) for k in range(n)
    ]


def averaged(flats: Sequence[np.ndarray]) -> np.ndarray:
    """A master flat as other programs make it."""
    return np.mean([flat * (np.median(flats[0]) / np.median(flat)) for flat in flats], axis=0).astype(np.float32)


@pytest.fixture(scope="module")
def honest() -> tuple[Images, Images]:
    return night(1)


def assert_right(result: PhotonTransfer, gain: float = 1.6) -> None:
    assert abs(result.gain_e_per_adu - gain) < 4 * result.gain_uncertainty
    assert result.doubts == ()


@pytest.mark.parametrize("place", [0, 1, 4, 8])
@pytest.mark.parametrize("whole", [True, False])
def test_a_master_among_flats_is_left_out_wherever_it_lies(
    honest: tuple[Images, Images], place: int, whole: bool
) -> None:
    biases, flats = honest
    master = averaged(flats)
    result = measured(biases, [*flats[:place], np.rint(master).astype(np.uint16) if whole else master, *flats[place:]])
    assert_right(result)
    assert result.n_flat == 8
    (note,) = result.notes
    assert note.startswith(f"flat {place + 1} left out: its noise is less than 20 % of that of the other flats at")


def test_two_masters_among_eight_flats_and_one_among_two(honest: tuple[Images, Images]) -> None:
    biases, flats = honest
    masters = [averaged(flats), averaged(flats[:4])]
    together = measured(biases, [*masters, *flats])
    apart = measured(biases, [masters[0], flats[0], masters[1], *flats[1:]])
    assert_right(together)
    assert together.gain_e_per_adu == apart.gain_e_per_adu
    for few in ([masters[0], *flats[:2]], [flats[0], masters[0], flats[1]], [*flats[:2], masters[0]]):
        assert_right(measured(biases, few))
    assert_right(measured(biases, [flats[0], masters[0], *flats[1:3]]))


def test_where_most_are_foreign_a_mixture_is_told(honest: tuple[Images, Images]) -> None:
    biases, flats = honest
    masters = [averaged(flats), averaged(flats[:4]), averaged(flats[2:7])]
    result = measured(biases, [*masters, *flats[:2]])
    assert result.gain_e_per_adu is None
    assert any("two groups" in doubt for doubt in result.doubts)


def test_an_averaged_bias_and_a_lit_one_are_left_out(honest: tuple[Images, Images]) -> None:
    biases, flats = honest
    plain = measured(biases, flats)
    master = np.mean(biases, axis=0)
    for some in ([master, *biases], [*biases[:3], np.rint(master), *biases[3:]]):
        result = measured(some, flats)
        assert_right(result)
        assert result.read_noise_adu == plain.read_noise_adu
        assert "(an average of several?)" in result.notes[0]
    leaked = measured([biases[0], biases[1] + np.uint16(60), *biases[2:]], flats)
    assert_right(leaked)
    assert leaked.bias_level_adu == pytest.approx(500, abs=0.5)
    assert leaked.notes == ("bias 2 left out: its level is 60.0 ADU above that of the other biases (light?)",)


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(9)), st.permutations(range(8)))
def test_the_order_of_frames_does_not_matter(order: list[int], of_biases: list[int]) -> None:
    biases, flats = night(2)
    flats = [averaged(flats), *flats]
    assert_right(measured([biases[k] for k in of_biases], [flats[k] for k in order]))


RAMP = [(level, k) for level in (500, 2_000, 6_000, 12_000, 20_000) for k in range(2)]


@settings(max_examples=4, deadline=None)
@given(st.permutations(range(len(RAMP))))
def test_the_order_of_a_ramp_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(3)
    biases = [bias_pixels(CAMERA, rng) for _ in range(3)]
    flats = [flat_pixels(CAMERA, rng, UNIFORM * 1.6 * level) for level, _ in RAMP]
    result = measured(biases, [flats[k] for k in order])
    assert (result.method, result.n_flat_pairs) == ("ptc", 5)
    assert abs(result.gain_e_per_adu - 1.6) < 4 * result.gain_uncertainty


@pytest.mark.parametrize("gain", [0.8, 1.43])
@pytest.mark.parametrize("alternating", [True, False])
@pytest.mark.parametrize("equal_flux", [True, False])
def test_two_gains_in_one_set_are_told(
    honest: tuple[Images, Images], gain: float, alternating: bool, equal_flux: bool
) -> None:
    biases, flats = honest
    _, others = night(4, gain, 4, 12_500.0 * (1.6 / gain if equal_flux else 1))
    mixed = [flat for both in zip(flats, others, strict=False) for flat in both]
    result = measured(biases, mixed if alternating else [*flats[:4], *others])
    assert (result.gain_e_per_adu, result.read_noise_e, result.n_flat) == (None, None, 0)
    (doubt,) = result.doubts
    assert doubt.startswith("the flats fall into two groups, 4 with a variance/mean of ")
    guess = "two gain settings, read modes or cameras in one set, or a light pattern that moves or flickers?"
    assert doubt.endswith(f": {guess}")


def test_two_kinds_of_biases_are_told(honest: tuple[Images, Images]) -> None:
    biases, flats = honest
    others, _ = night(5, 1.43, 4)
    result = measured([*biases[:4], *others], flats)
    assert result.gain_e_per_adu is None
    assert result.bias_doubts[0].startswith("the biases fall into two groups, 4 with a noise of 3.1")
    raised = measured([*biases[:4], *(bias + np.uint16(40) for bias in biases[4:])], flats)
    assert raised.gain_e_per_adu is None
    assert raised.bias_doubts[0].startswith("the biases fall into two groups, 4 with a level of 500 ADU and 4 with")


def test_a_ramp_in_two_gains_is_told(honest: tuple[Images, Images]) -> None:
    rng = np.random.default_rng(6)
    biases, _ = honest
    cameras = [CAMERA, Camera(0.8, 5.0, 500.0, shape=CAMERA.shape)]
    levels = [1_000, 3_000, 6_000, 10_000, 15_000]
    flats = [flat_pixels(camera, rng, UNIFORM * 1.6 * n) for camera in cameras for n in levels for _ in range(2)]
    result = measured(biases, flats)
    assert result.gain_e_per_adu is None
    assert any("two groups" in doubt for doubt in result.doubts)


def test_honest_sets_are_left_alone() -> None:
    rng = np.random.default_rng(7)
    spectra = spectrum_light(CAMERA.shape, 30_000.0)
    for k in range(9):
        n = int(rng.integers(2, 9))
        light = [UNIFORM * 20_000, UNIFORM * 900, spectra][k % 3]
        drift = 1 + 0.01 * rng.normal(size=n)
        biases = [bias_pixels(CAMERA, rng, cosmic_ray_fraction=1e-3) for _ in range(n)]
        flats = [flat_pixels(CAMERA, rng, light * flux, cosmic_ray_fraction=1e-3) for flux in drift]
        result = measured(biases, flats)
        assert (result.notes, result.doubts, result.n_bias, result.n_flat) == ((), (), n, n)
        assert_right(result)


# The parts.


def solver(pairs: list[tuple[int, int]], values: list[float]):
    return lambda odd: frame_means(pairs, np.array(values), np.full(len(values), 0.001), odd)


def test_three_pairs_of_three_frames_tell_each() -> None:
    frames = frame_means([(1, 2), (2, 3), (1, 3)], np.array([1.5, 2.5, 2.0]), np.ones(3), ())
    assert frames.values == pytest.approx([1, 2, 3])
    alone = frame_means([(1, 2), (1, 3), (4, 5)], np.array([1.0, 1.0, 3.0]), np.ones(3), ())
    assert alone.values == pytest.approx([1, 1, 1, 3, 3])
    assert (frames.n_parts, alone.n_parts) == (1, 2)


def test_who_is_odd() -> None:
    pairs = [(1, 2), (2, 3), (3, 4), (1, 3), (2, 4)]
    found = sort_out(solver(pairs, [1, 1.5, 1.5, 1.5, 1]), 0.05)
    assert (list(found.odd), found.usual, found.groups) == ([3], pytest.approx(1), None)
    two = sort_out(solver(pairs, [1, 1.5, 2, 1.5, 1.5]), 0.05)
    assert not two.odd
    assert two.groups is not None
    assert two.groups.low.numbers.tolist() == [1, 2]
    assert split(solver(pairs, [1, 1, 1, 1, 1])(()), 0.05) is None


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (lambda x: x + np.linspace(0, 600, x.shape[1]), r"differ by a smooth pattern, 99%"),
        (lambda x: x + 15, r"differ by 15\.\d ADU in level \(light\? drift\?\)"),
        (lambda x: x + np.linspace(-8, 8, x.shape[0])[:, None], r"differ by a smooth pattern, \d\d% of what is taken"),
    ],
)
def test_two_biases_that_contradict_each_other_are_doubted(honest: tuple[Images, Images], spoilt, words: str) -> None:
    biases, flats = honest
    for pair in ([biases[0], spoilt(biases[1]).astype(np.uint16)], [spoilt(biases[0]).astype(np.uint16), biases[1]]):
        (doubt,) = [said for said in measured(pair, flats[:2]).bias_doubts if "the only two biases" in said]
        assert re.search(words, doubt)


def test_two_biases_of_one_kind_are_not_doubted(honest: tuple[Images, Images]) -> None:
    biases, flats = honest
    rng = np.random.default_rng(3)
    with_row_noise = [b + rng.integers(-8, 9, (b.shape[0], 1)).astype(np.int32) for b in biases[:2]]
    for pair in (biases[:2], [biases[0], biases[1] + 3], with_row_noise):
        assert measured(pair, flats[:2]).bias_doubts == ()


@pytest.mark.parametrize("n_averaged", [2, 7])
@pytest.mark.parametrize("first", [True, False])
def test_one_master_and_one_raw_frame_are_told_apart(
    honest: tuple[Images, Images], n_averaged: int, first: bool
) -> None:
    biases, flats = honest
    step = 1 if first else -1
    masters = averaged(flats[1 : 1 + n_averaged]), np.mean(biases[1 : 1 + n_averaged], axis=0).astype(np.float32)
    for result, kind in (
        (measured(biases[:3], [masters[0], flats[0]][::step]), "flat"),
        (measured([masters[1], biases[0]][::step], flats[:2]), "bias"),
    ):
        assert result.gain_e_per_adu is None
        (doubt,) = (*result.doubts, *result.bias_doubts)
        assert doubt.startswith(f"{kind} {1 if first else 2} has ")
        assert "an average of several" in doubt
        assert abs(float(doubt.split(" has ")[1].split(" %")[0]) - 100 * n_averaged**-0.5) < 4


@pytest.mark.parametrize(
    ("light", "tilt"), [(spectrum_light(CAMERA.shape, 40_000.0), 0.0), (UNIFORM * 60_000.0, 0.002)]
)
def test_two_honest_frames_of_a_lamp_that_changes_are_not_told_apart(light: np.ndarray, tilt: float) -> None:
    rng = np.random.default_rng(3)
    biases = [bias_pixels(CAMERA, rng) for _ in range(2)]
    tilted = 1.05 + tilt * np.linspace(-1, 1, CAMERA.shape[1])
    result = measured(biases, [flat_pixels(CAMERA, rng, light * lamp) for lamp in (1, tilted)])
    assert result.doubts == ()
    assert result.gain_e_per_adu is not None
