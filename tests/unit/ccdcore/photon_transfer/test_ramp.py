"""Ramps of light levels and the brighter-fatter effect: known truth in, the same out, within our own uncertainty."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.flat_pairs.faint_cosmic_rays import faint_cosmic_rays
from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import read_frame
from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from ccdcore.photon_transfer.ramp import is_ramp, n_levels
from tests.support.simulate import (
    FOUR_GAINS,
    FOUR_READ_NOISES,
    Camera,
    bias_pixels,
    expose,
    four_amplifiers,
    section_cards,
    standard_cards,
    uniform_light,
    write_frame,
)

Images = list[np.ndarray]

KA_EV, EV_PER_ELECTRON = 5895.0, 3.65
"""Manganese Kα, and what silicon takes for an electron and its hole."""
CHARGE_LOST = 0.01
"""Photons that share their charge between pixels read 5 % low, all of it added up: some of it is lost on the way."""

A00 = -2e-6
CAMERA = Camera(1.5, 5.0, 1000.0, shape=(128, 192), a00=A00)
LEVELS = np.linspace(6_000, 60_000, 7)
"""Electrons."""


def ramp(seed: int, camera: Camera = CAMERA, levels: Sequence[float] = LEVELS) -> tuple[Images, Images]:
    """Biases, and flats in pairs at some levels."""
    rng = np.random.default_rng(seed)
    light = uniform_light(camera.shape, 1.0)
    biases = [bias_pixels(camera, rng) for _ in range(4)]
    return biases, [expose(camera, rng, light * level) for level in levels for _ in range(2)]


def one(results: tuple[PhotonTransfer, ...]) -> PhotonTransfer:
    (result,) = results
    return result


def assert_within(value: float | None, uncertainty: float | None, truth: float, sigmas: float = 4.0) -> None:
    assert value is not None
    assert uncertainty is not None
    assert abs(value - truth) < sigmas * uncertainty


@pytest.fixture(scope="module")
def clean() -> tuple[Images, Images]:
    return ramp(1)


@pytest.mark.parametrize("offset_adu", [-700, 300])
def test_biases_of_another_offset_than_the_ramp_are_told_by_many_pixels(offset_adu: int) -> None:
    camera = Camera(1.5, 5.0, 1000.0, shape=(500, 600), a00=A00)
    biases, flats = ramp(1, camera, np.geomspace(3_000, 60_000, 7))
    honest = one(measure_gain(biases, flats))
    assert not any("level of the biases" in said for said in honest.doubts)
    off = one(measure_gain([bias.astype(np.int32) + offset_adu for bias in biases], flats))
    assert any("of another offset than the flats" in said for said in off.doubts)
    assert off.gain_e_per_adu is not None
    assert abs(off.gain_e_per_adu / 1.5 - 1) > 0.02  # which is what it costs


def test_a_ramp_gives_gain_and_a00_and_says_why(clean: tuple[Images, Images]) -> None:
    result = one(measure_gain(*clean))
    assert (result.method, result.n_flat, result.n_flat_pairs) == ("ptc", 14, 7)
    assert result.reason == "7 light levels from 4005 to 40066 ADU make a curve" or re.fullmatch(
        r"7 light levels from 4\d{3} to 4\d{4} ADU make a curve", result.reason
    )
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 1.5)
    assert_within(result.a00_per_e, result.a00_uncertainty, A00)
    assert (result.gain_corrected_e_per_adu, result.turn_off_adu, result.rejected) == (result.gain_e_per_adu, None, ())
    assert result.gain_uncertainty < 0.012 * 1.5
    assert result.chi2_per_dof == pytest.approx(1, abs=0.3)
    assert all(note.startswith("the curve bends") for note in result.notes)


def test_without_a_ramp_ptc_gives_no_gain_and_the_reason(clean: tuple[Images, Images]) -> None:
    biases, flats = clean
    result = one(measure_gain(biases, flats[:2], method="ptc"))
    assert (result.method, result.gain_e_per_adu) == ("bias only", None)
    assert re.fullmatch(
        r"no gain: method ptc needs a ramp of light levels, 3 or more that span a factor of 3: "
        r"there is one, \d+ ADU",
        result.notes[-1],
    )
    auto = one(measure_gain(biases, flats[:2]))
    assert auto.method == "binned"
    assert auto.reason.startswith("no ramp of light levels, 3 or more")
    assert one(measure_gain(biases, flats, method="binned")).reason == "method binned was asked for"


def test_a_pair_off_the_curve_is_left_out_with_the_reason(clean: tuple[Images, Images]) -> None:
    biases, flats = clean
    rng = np.random.default_rng(2)
    noisy = [np.rint(flat + rng.normal(0, 60, flat.shape)).astype(np.uint16) for flat in flats[6:8]]
    result = one(measure_gain(biases, [*flats[:6], *noisy, *flats[8:]]))
    assert result.n_flat_pairs == 6
    (note,) = [note for note in result.notes if "left out" in note]
    assert re.fullmatch(
        r"pair flat 7, flat 8 left out: its variance is \d+ % above the curve of the others "
        r"\(\d+ times its uncertainty\)",
        note,
    )
    (point,) = result.rejected
    assert point.mean_adu == pytest.approx(22_000, rel=0.02)
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 1.5)


def test_the_turn_off_is_found_and_what_is_beyond_it_left_out() -> None:
    levels = [*np.linspace(6_000, 60_000, 7), 72_000, 80_000]
    biases, flats = ramp(3, levels=levels)
    # The full well of each pixel is another, so that no value piles up.
    well = 1000 + np.random.default_rng(4).normal(65_000, 700, CAMERA.shape) / 1.5
    spill = np.random.default_rng(5)
    flats = [
        np.rint(np.where(flat < well, flat, well + spill.normal(0, 20, well.shape))).astype(np.uint16) for flat in flats
    ]
    exposed = [
        timed(flat, seconds, k) for k, (flat, seconds) in enumerate(zip(flats, np.repeat(levels, 2), strict=True))
    ]
    result = one(measure_gain(biases, exposed))
    assert result.turn_off_adu == pytest.approx(60_000 / 1.5, rel=0.01)
    assert result.n_flat_pairs == 7
    assert len(result.rejected) == 2
    assert any("beyond the turn-off of the curve at" in note for note in result.notes)
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 1.5)


def timed(data: np.ndarray, seconds: float, number: int) -> Frame:
    about = ExposureInfo(FrameType.FLAT, "test", "camera", "test", "bin1x1", exposure_time_s=seconds)
    amplifiers = (Amplifier("1", Section.whole(data.shape)),)
    return Frame(Path(f"flat_{number}.fits"), data, about, amplifiers, str(number))


def test_the_deviation_from_linearity_against_exposure_time(clean: tuple[Images, Images]) -> None:
    biases, flats = clean
    times = np.repeat(LEVELS, 2) / 6_000
    straight = [timed(flat, seconds + 0.2, k) for k, (flat, seconds) in enumerate(zip(flats, times, strict=True))]
    assert one(measure_gain(biases, straight)).nonlinearity < 0.002
    bent = [
        timed(flat, seconds * (1 + 0.004 * seconds), k)
        for k, (flat, seconds) in enumerate(zip(flats, times, strict=True))
    ]
    assert one(measure_gain(biases, bent)).nonlinearity == pytest.approx(0.017, abs=0.005)
    assert one(measure_gain(biases, flats)).nonlinearity is None


def responded(response: Callable[[np.ndarray], np.ndarray], seed: int = 11) -> PhotonTransfer:
    """Measure a ramp to 55 000 ADU of a camera of gain 1.2 whose numbers are not in proportion to its light."""
    rng = np.random.default_rng(seed)
    gain, noise, shape = 1.2, 4.0, (256, 256)
    biases = [np.rint(rng.normal(500, noise / gain, shape)).astype(np.uint16) for _ in range(4)]
    levels = np.repeat([1_000, 3_000, 8_000, 16_000, 25_000, 35_000, 45_000, 55_000], 2)
    light = [response(rng.poisson(level * gain, shape) / gain) for level in levels]
    flats = [np.rint(500 + of + rng.normal(0, noise / gain, shape)).astype(np.uint16) for of in light]
    exposed = zip(flats, levels / 5000, strict=True)
    return one(measure_gain(biases, [timed(flat, seconds, k) for k, (flat, seconds) in enumerate(exposed)]))


@pytest.mark.parametrize(
    ("response", "departs"),
    [
        (lambda s: s * (1 - 0.03 * (s / 60_000) ** 2), 0.025),
        (lambda s: np.where(s < 10_000, s, 10_000 + (s - 10_000) * 0.95), 0.038),
    ],
)
def test_a_bent_response_is_no_brighter_fatter_effect(
    response: Callable[[np.ndarray], np.ndarray], departs: float
) -> None:
    result = responded(response)
    assert result.a00_per_e < -5 * result.a00_uncertainty
    (doubt,) = result.doubts
    assert doubt.startswith("the noise grows more slowly than the light, a00 = (-")
    assert "neighbours do not share it" in doubt or "not in proportion to the exposure time" in doubt
    assert not any("brighter-fatter" in note for note in result.notes)
    assert result.nonlinearity == pytest.approx(departs, abs=0.005)
    assert any(re.match(r"the signal departs by \d\.\d % from a straight line", note) for note in result.notes)


def test_noise_that_grows_faster_than_light_is_doubtful() -> None:
    result = responded(lambda s: s * (1 + 0.03 * (s / 60_000) ** 2))
    assert result.doubts[0].startswith("the noise grows faster than the light, a00 = (1.")
    merged = responded(lambda s: np.where(s < 10_000, s, 10_000 + (s - 10_000) * 1.05))
    assert "a merge of two read-outs" in merged.doubts[0]


def test_a_straight_and_a_brighter_fatter_curve_are_not_doubtful(clean: tuple[Images, Images]) -> None:
    straight = responded(lambda s: s)
    assert (straight.doubts, straight.notes) == ((), ())
    assert one(measure_gain(*clean)).doubts == ()


@pytest.mark.parametrize("faint", [0.5, 2, 20])
def test_a_faint_level_of_a_ramp_costs_no_gain(faint: float) -> None:
    rng = np.random.default_rng(12)
    camera = Camera(1.5, 5.0, 1000.0, shape=(128, 192))
    light = uniform_light(camera.shape, 1.5)
    biases = [bias_pixels(camera, rng) for _ in range(3)]
    flats = [expose(camera, rng, light * level) for level in (faint, 1_000, 3_000, 8_000) for _ in range(2)]
    result = one(measure_gain(biases, flats))
    assert result.method == "ptc"
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 1.5)
    assert result.n_flat_pairs == 4 or any("there is no light above the noise" in note for note in result.notes)
    assert result.doubts == ()


@given(st.lists(st.floats(1, 1e5), min_size=1, max_size=12))
def test_levels_are_counted_once(levels: list[float]) -> None:
    count = n_levels(levels)
    assert 1 <= count <= len(levels)
    assert n_levels(levels * 2) == count
    assert not is_ramp(levels) or (count >= 3 and max(levels) >= 3 * min(levels))


# One light level.


def test_of_one_level_neighbours_tell_the_gain_without_brighter_fatter() -> None:
    camera = Camera(1.5, 5.0, 1000.0, shape=(256, 320), a00=A00)
    results = [one(measure_gain(*ramp(seed, camera, [40_000, 40_000]), method="auto")) for seed in range(6)]
    apparent, corrected, systematic = (
        np.array([getattr(result, name) for result in results])
        for name in ("gain_e_per_adu", "gain_corrected_e_per_adu", "gain_systematic_uncertainty")
    )
    # Eq. 16: 1 / [1 + a00 N + …] at N = 40 000.
    assert apparent.mean() == pytest.approx(1.5 * 1.082, rel=0.004)
    uncertainty = np.array([result.gain_corrected_uncertainty for result in results])
    assert np.abs((corrected - 1.5) / uncertainty).max() < 3.5
    assert abs(corrected.mean() - 1.5) < 2.5 * uncertainty.mean() / 6**0.5 + 0.15 * 0.08 * 1.5
    assert (np.abs(apparent - 1.5) < 2 * systematic).all()
    assert uncertainty.mean() < 0.03 * 1.5


def test_without_brighter_fatter_the_correction_is_nothing_but_its_uncertainty() -> None:
    camera = Camera(1.5, 5.0, 1000.0, shape=(256, 320))
    result = one(measure_gain(*ramp(7, camera, [40_000, 40_000])))
    assert_within(result.gain_corrected_e_per_adu, result.gain_corrected_uncertainty, 1.5)
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 1.5)


# Faint cosmic rays.


def test_what_faint_cosmic_rays_add_is_told_by_bright_ones() -> None:
    rng = np.random.default_rng(8)
    sigma, n, fraction = 100.0, 4_000_000, 2e-3
    charge = np.where(rng.random(n) < fraction, np.exp(rng.uniform(np.log(1), np.log(1e5), n)), 0)
    noise = rng.normal(0, sigma, n)
    seen = noise + charge
    kept = np.abs(seen) < 3.5 * sigma
    clean = noise[np.abs(noise) < 3.5 * sigma]
    added = seen[kept].var() / clean.var() - 1
    hits = np.abs(seen[np.abs(seen) > 5 * sigma])
    told = faint_cosmic_rays(np.stack([hits, np.zeros(hits.size)]), np.array([n]), np.array([sigma]), 3.5)
    # What is added before the cut is undone: 1.036 times as much after it.
    assert told[0] / 1.036 == pytest.approx(added, rel=0.12)
    assert told[0] > 5e-4


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=6), st.floats(1, 100))
def test_without_cosmic_rays_nothing_is_added(n_pixels: list[int], sigma: float) -> None:
    groups = np.array([*n_pixels, 1], dtype=float)
    sigmas = sigma * np.arange(1, groups.size + 1)
    assert not faint_cosmic_rays(np.zeros((2, 0)), groups, sigmas, 3.5).any()


# Four amplifiers: the whole chain from files.


def test_four_amplifiers_with_brighter_fatter_and_overscan(tmp_path: Path) -> None:
    camera = four_amplifiers(a00=A00)
    rng = np.random.default_rng(9)
    begin = datetime(2022, 9, 19, 20, tzinfo=UTC)
    light = uniform_light(camera.shape, 1.0)
    kinds = [("bias", 0.0)] * 10 + [("flat", level) for level in np.linspace(6_000, 60_000, 10) for _ in range(2)]
    paths = []
    for number, (kind, level) in enumerate(kinds):
        data = expose(camera, rng, light * level, bias_offset_adu=rng.normal(0, 3))
        cards = standard_cards(kind, begin, level / 10_000) | section_cards(camera)
        paths.append(write_frame(tmp_path / f"{kind}_{number:02d}.fits", data, cards))
    assert read_frame(paths[0]).amplifiers == camera.amplifiers
    announced = measure_gain(paths[:10], paths[10:])
    for result, gain, read_noise in zip(announced, FOUR_GAINS, FOUR_READ_NOISES, strict=True):
        assert (result.method, result.n_bias, result.n_flat_pairs) == ("ptc", 10, 10)
        assert result.gain_e_per_adu == pytest.approx(gain, rel=0.005)
        assert result.gain_uncertainty <= 0.003 * gain
        assert_within(result.gain_e_per_adu, result.gain_uncertainty, gain)
        assert result.read_noise_e == pytest.approx(read_noise, rel=0.01)
        assert_within(result.a00_per_e, result.a00_uncertainty, A00)
        assert result.nonlinearity < 0.005
    configured = measure_gain([fits.getdata(path) for path in paths[:3]], [], amplifiers=camera.amplifiers)
    again = measure_gain(paths[:3], [])
    assert [one.read_noise_adu for one in configured] == [one.read_noise_adu for one in again]


# A real camera, and X-rays as an independent truth.


def test_iron_55_agrees_with_photon_transfer(shared_data: Path) -> None:
    folder = shared_data / "msfc-esis-4tap"
    sections = "[51:1074,1:520]", "[1079:2102,1:520]", "[51:1074,521:1040]", "[1079:2102,521:1040]"
    amplifiers = [Amplifier(str(k + 1), Section.parse(section)) for k, section in enumerate(sections)]
    names = {"bias": ("led/ESIS1_04860", "led/ESIS1_04861"), "flat": ("led/ESIS1_04803", "led/ESIS1_04804")}
    bias, flat = ([fits.getdata(folder / f"{name}.fit.gz") for name in names[kind]] for kind in ("bias", "flat"))
    results = measure_gain(bias, flat, amplifiers=amplifiers)
    image = fits.getdata(folder / "fe55" / "ESIS1_00002.fit.gz").astype(float)
    photons = np.concatenate(
        [
            result.gain_corrected_e_per_adu * single_pixel_events(image[amplifier.data.slices])
            for result, amplifier in zip(results, amplifiers, strict=True)
        ]
    )
    line = photons[(photons > 1450) & (photons < 1680)]
    assert line.size > 25
    electrons = KA_EV / EV_PER_ELECTRON
    of_line = line.std(ddof=1) / line.size**0.5 / line.mean()
    of_gain = np.hypot.reduce([r.gain_corrected_uncertainty / r.gain_corrected_e_per_adu for r in results]) / 4
    assert abs(line.mean() / electrons - 1) < 3 * np.hypot.reduce([of_line, of_gain, CHARGE_LOST])
    for result in results:
        apparent = result.gain_e_per_adu / result.gain_corrected_e_per_adu * line.mean()
        of_apparent = result.gain_systematic_uncertainty / result.gain_e_per_adu
        assert abs(apparent / electrons - 1) < 3 * np.hypot(of_apparent, CHARGE_LOST)


def single_pixel_events(image: np.ndarray) -> np.ndarray:
    """ADU of the X-rays whose charge stayed in one pixel."""
    image = image - np.median(image, axis=1, keepdims=True)
    image -= np.median(image, axis=0, keepdims=True)
    sigma = 1.4826 * np.median(np.abs(image))
    rows, columns = image.shape
    centre = image[1:-1, 1:-1]
    around = np.stack(
        [
            image[1 + y : rows - 1 + y, 1 + x : columns - 1 + x]
            for y in (-1, 0, 1)
            for x in (-1, 0, 1)
            if (y, x) != (0, 0)
        ]
    )
    return centre[(centre > 60 * sigma) & (np.abs(around) < 3.5 * sigma).all(axis=0)]
