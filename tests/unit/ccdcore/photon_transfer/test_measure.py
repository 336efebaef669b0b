"""Closed loops: frames of known gain and read noise in, the same out, within our own uncertainty."""

import re
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import convolve
from scipy.stats import truncnorm

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import InsufficientDataError, SectionError
from ccdcore.flat_pairs.flat_pair import WIDENED_BY_CUT, untruncated, untruncated_groups
from ccdcore.flat_pairs.residuals import CLIP_SIGMA, Boxes, fit_boxes
from ccdcore.frames.frame import Frame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.noise import exposures
from ccdcore.noise.pair_series import overlap_inflation
from ccdcore.photon_transfer import header_doubts
from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from tests.support.simulate import Camera, bias_pixels, expose, flat_pixels, moved, spectrum_light, uniform_light

Images = list[np.ndarray]
Fluxes = Callable[[np.random.Generator, int], np.ndarray]

SMALL = Camera(shape=(80, 512))
UNIFORM = Camera(shape=(96, 256))


def linear_drift(_: np.random.Generator, n: int) -> np.ndarray:
    return np.linspace(1, 1.01, n)


def random_drift(rng: np.random.Generator, n: int) -> np.ndarray:
    return 1 + 0.01 * rng.normal(size=n)


def series(
    camera: Camera,
    light: np.ndarray,
    seed: int,
    n_bias: int = 5,
    n_flat: int = 4,
    drift: Fluxes = linear_drift,
    cosmic_ray_fraction: float = 1e-3,
) -> tuple[Images, Images]:
    rng = np.random.default_rng(seed)
    options = {"cosmic_ray_fraction": cosmic_ray_fraction}
    biases = [bias_pixels(camera, rng, **options) for _ in range(n_bias)]
    return biases, [flat_pixels(camera, rng, light * flux, **options) for flux in drift(rng, n_flat)]


def one(results: tuple[PhotonTransfer, ...]) -> PhotonTransfer:
    (result,) = results
    return result


def assert_within(value: float | None, uncertainty: float | None, truth: float, sigmas: float = 4.0) -> None:
    assert value is not None
    assert uncertainty is not None
    assert abs(value - truth) < sigmas * uncertainty


def frame(data: np.ndarray, number: int = 1, *, kind: FrameType = FrameType.FLAT, **info: object) -> Frame:
    about = ExposureInfo(kind, "test", "camera", "test", "bin1x1", **info)
    return Frame(Path(f"{kind}_{number}.fits"), data, about, (Amplifier("1", Section.whole(data.shape)),), str(number))


# The whole chain on the notebook's kind of frames.


@pytest.mark.parametrize("drift", [linear_drift, random_drift])
def test_a_spectrograph_series(drift: Fluxes) -> None:
    camera = Camera(gain_e_per_adu=0.971, read_noise_e=2.836, shape=(100, 2048))
    light = spectrum_light(camera.shape, 15_000.0)
    result = one(measure_gain(*series(camera, light, seed=1, n_bias=32, n_flat=9, drift=drift)))
    assert result.gain_e_per_adu == pytest.approx(0.971, rel=0.01)
    assert result.read_noise_e == pytest.approx(2.836, rel=0.01)
    assert result.gain_uncertainty < 0.01 * 0.971
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 0.971)
    assert_within(result.read_noise_e, result.read_noise_uncertainty, 2.836)
    assert_within(result.read_noise_adu, result.read_noise_adu_uncertainty, 2.836 / 0.971)
    assert (result.method, result.n_bias, result.n_flat, result.n_flat_pairs) == ("binned", 32, 9, 8)
    assert result.bias_level_adu == pytest.approx(300, abs=0.1)
    assert 0.95 * light.size < result.n_pixels <= light.size
    assert result.chi2_per_dof == pytest.approx(1, abs=0.35)
    assert result.notes == ()
    low, high = result.level_range_adu
    assert low < 20
    assert 8000 < high < 15_000 / 0.971 * 1.05
    assert [point.mean_adu for point in result.curve] == sorted(point.mean_adu for point in result.curve)
    assert sum(point.n_pixels for point in result.curve) > 7 * light.size


def test_the_textbook_pair_is_far_off_on_such_frames() -> None:
    # A lamp 1 % brighter in the second flat adds (1 % of the light)² to the variance of the
    # difference, and a cosmic ray counts with its full height squared: not a mistake of the code.
    light = spectrum_light((100, 2048), 40_000.0)
    biases, flats = series(Camera(), light, seed=2, n_bias=2, n_flat=2)
    textbook = one(measure_gain(biases, flats, method="pair"))
    assert textbook.gain_e_per_adu < 0.6 * 0.971
    assert textbook.read_noise_e > 10 * 2.836
    without_cosmic_rays = series(Camera(), light, 2, 2, 2, cosmic_ray_fraction=0)
    assert one(measure_gain(*without_cosmic_rays, method="pair")).gain_e_per_adu < 0.7 * 0.971
    assert one(measure_gain(biases, flats)).gain_e_per_adu == pytest.approx(0.971, rel=0.02)


@pytest.mark.parametrize("drift", [linear_drift, random_drift])
def test_no_bias_and_honest_uncertainties_over_many_seeds(drift: Fluxes) -> None:
    light = spectrum_light(SMALL.shape, 15_000.0)
    results = [one(measure_gain(*series(SMALL, light, seed, drift=drift))) for seed in range(40)]
    gains = np.array([result.gain_e_per_adu for result in results])
    pulls = (gains - 0.971) / np.array([result.gain_uncertainty for result in results])
    assert abs(gains.mean() / 0.971 - 1) < 0.003
    assert 0.7 < pulls.std(ddof=1) < 1.3
    noises = np.array([result.read_noise_adu for result in results])
    noise_pulls = (noises - 2.836 / 0.971) / np.array([result.read_noise_adu_uncertainty for result in results])
    assert abs(noises.mean() * 0.971 / 2.836 - 1) < 0.003
    assert 0.7 < noise_pulls.std(ddof=1) < 1.3


@pytest.mark.parametrize(
    ("gain", "read_noise_adu"), [(0.5, 0.6), (0.5, 10.0), (1.0, 1.2), (1.0, 2.9), (2.0, 5.0), (3.0, 0.6), (3.0, 10.0)]
)
def test_uniform_light(gain: float, read_noise_adu: float) -> None:
    camera = Camera(gain, gain * read_noise_adu, shape=UNIFORM.shape)
    light = uniform_light(camera.shape, 10_000.0 * gain)
    results = [one(measure_gain(*series(camera, light, seed, 4, 3))) for seed in range(10)]
    for result in results:
        assert_within(result.gain_e_per_adu, result.gain_uncertainty, gain)
        assert_within(result.read_noise_adu, result.read_noise_adu_uncertainty, read_noise_adu)
    assert np.mean([r.read_noise_adu for r in results]) == pytest.approx(read_noise_adu, rel=0.003)
    assert np.mean([r.gain_e_per_adu for r in results]) == pytest.approx(gain, rel=0.008)


def test_a_pattern_that_changes_colour_or_moves_a_little_does_no_harm() -> None:
    rng = np.random.default_rng(5)
    columns = np.linspace(-0.5, 0.5, SMALL.shape[1])
    light = spectrum_light(SMALL.shape, 15_000.0)
    slope = np.gradient(light, axis=0)
    biases = [bias_pixels(SMALL, rng) for _ in range(4)]
    flats = [flat_pixels(SMALL, rng, light * (1 + 0.02 * k * columns) + 0.01 * k * slope) for k in range(5)]
    result = one(measure_gain(biases, flats))
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 0.971)
    assert result.chi2_per_dof < 1.4


def test_a_pattern_that_moves_far_gives_no_gain_and_the_reason() -> None:
    rng = np.random.default_rng(6)
    light = spectrum_light(SMALL.shape, 15_000.0)
    biases = [bias_pixels(SMALL, rng) for _ in range(4)]
    flats = [flat_pixels(SMALL, rng, moved(light, 0.1 * k)) for k in range(4)]
    result = one(measure_gain(biases, flats))
    assert (result.method, result.gain_e_per_adu, result.n_flat_pairs) == ("bias only", None, 0)
    reason = r"pair flat 1, flat 2 left out: the light pattern moved by 0\.\d\d pixels from one to the other"
    assert re.fullmatch(reason, result.notes[0])


@pytest.mark.parametrize("pixels", [1, 2, 5])
def test_a_pattern_that_moves_by_pixels_gives_no_gain(pixels: int) -> None:
    rng = np.random.default_rng(6)
    light = spectrum_light(SMALL.shape, 15_000.0)
    biases = [bias_pixels(SMALL, rng) for _ in range(4)]
    result = one(measure_gain(biases, [flat_pixels(SMALL, rng, np.roll(light, pixels * k, 0)) for k in range(2)]))
    assert result.gain_e_per_adu is None
    assert any("the light pattern moved" in note for note in result.notes)


def test_a_bend_is_fitted_where_the_signals_span_a_range() -> None:
    gain, a00, shape = 0.75, -2e-6, (192, 512)
    electrons = np.broadcast_to(np.linspace(500, 60_000, shape[1]), shape)
    variance = np.expm1(2 * a00 * electrons) / (2 * a00)

    def measure(seed: int) -> PhotonTransfer:
        rng = np.random.default_rng(seed)
        biases = [np.rint(300 + rng.normal(0, 4, shape)) for _ in range(4)]
        noise = [np.sqrt(variance + 9) * rng.normal(size=shape) for _ in range(6)]
        return one(measure_gain(biases, [np.rint(300 + (electrons + each) / gain) for each in noise]))

    results = [measure(seed) for seed in range(6)]
    for result in results:
        assert_within(result.gain_e_per_adu, result.gain_uncertainty, gain)
        # No charge went to neighbours here, as far as their noise tells.
        (said,) = (said for said in (*result.notes, *result.doubts) if "16 bits" not in said)
        assert "a response that is not linear" in said or "neighbours do not share it" in said
        assert result.chi2_per_dof < 1.5
    assert np.mean([r.gain_e_per_adu for r in results]) == pytest.approx(gain, rel=0.006)


# Amplifiers, regions, overscan, saturation, holes.


def test_each_amplifier_has_its_own_gain_and_its_overscan_follows_the_bias_level() -> None:
    amplifiers = (
        Amplifier("A", Section(1, 128, 1, 96), Section(257, 266, 1, 96)),
        Amplifier("B", Section(129, 256, 1, 96), Section(267, 276, 1, 96)),
    )
    camera = Camera((0.8, 1.6), (4.0, 6.0), (300.0, 900.0), shape=(96, 276), amplifiers=amplifiers)
    rng = np.random.default_rng(7)
    light = uniform_light(camera.shape, 20_000.0, vignetting=0.9)
    biases = [bias_pixels(camera, rng, bias_offset_adu=offset) for offset in (0, 40, -15, 5)]
    flats = [flat_pixels(camera, rng, light, bias_offset_adu=offset) for offset in (200, -100, 30, 90)]
    for result, gain, noise in zip(measure_gain(biases, flats, amplifiers=amplifiers), (0.8, 1.6), (4, 6), strict=True):
        assert_within(result.gain_e_per_adu, result.gain_uncertainty, gain)
        assert_within(result.read_noise_e, result.read_noise_uncertainty, noise)
        # The bias offset of a flat must not be taken for light: 200 ADU of 10 000 is 2 %.
        assert result.gain_uncertainty < 0.015 * gain
    assert [r.amplifier for r in measure_gain(biases, [], amplifiers=amplifiers)] == ["A", "B"]


def test_a_region_limits_the_pixels_and_amplifiers() -> None:
    amplifiers = (Amplifier("A", Section(1, 128, 1, 96)), Amplifier("B", Section(129, 256, 1, 96)))
    biases, flats = series(UNIFORM, uniform_light(UNIFORM.shape, 8000.0), seed=8)
    result = one(measure_gain(biases, flats, amplifiers=amplifiers, region="[140:400,11:60]"))
    assert result.amplifier == "B"
    assert 0.9 * 50 * 117 < result.n_pixels <= 50 * 117
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 0.971)
    with pytest.raises(SectionError, match=r"region \[300:400,1:9\] has no pixel in the data section of any amplifier"):
        measure_gain(biases, flats, region=Section(300, 400, 1, 9))


@pytest.mark.parametrize("limit", [9_000, 44_000])
def test_saturation_is_found_wherever_it_is(limit: int) -> None:
    camera = Camera(shape=UNIFORM.shape, saturation_adu=limit)
    light = uniform_light(camera.shape, 1.0) * np.linspace(0.02, 1.4, 256) * (limit - 300) * 0.971
    result = one(measure_gain(*series(camera, light, seed=9)))
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 0.971)
    assert result.n_pixels < 0.75 * light.size
    assert result.level_range_adu[1] < limit - 300


def test_non_finite_pixels_are_left_out() -> None:
    biases, flats = series(UNIFORM, uniform_light(UNIFORM.shape, 8000.0), seed=10)
    holes = [image.astype(np.float32) for image in (*biases, *flats)]
    for k, image in enumerate(holes):
        image[10 * k, 5:50] = np.nan
    expected = one(measure_gain(biases, flats))
    result = one(measure_gain(holes[: len(biases)], holes[len(biases) :]))
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 0.971)
    assert result.gain_e_per_adu == pytest.approx(expected.gain_e_per_adu, rel=0.01)
    # Digitised values stay digitised in a float array: the same rounding is taken out.
    assert result.read_noise_adu == pytest.approx(expected.read_noise_adu, rel=0.005)
    assert one(measure_gain(holes[:2], holes[-2:], method="pair")).n_pixels < light_pixels(holes[:2] + holes[-2:]) + 1


def light_pixels(images: Sequence[np.ndarray]) -> int:
    return int(np.logical_and.reduce([np.isfinite(image) for image in images]).sum())


# Which frames form pairs.


def test_pairs_are_formed_within_filter_and_exposure_time() -> None:
    rng = np.random.default_rng(11)
    biases = [frame(bias_pixels(UNIFORM, rng), k, kind=FrameType.BIAS) for k in range(3)]

    def taken(number: int, level: float, filter_name: str, time: float) -> Frame:
        pixels = flat_pixels(UNIFORM, rng, uniform_light(UNIFORM.shape, level))
        return frame(pixels, number, filter=filter_name, exposure_time_s=time)

    flats = [
        taken(1, 8000, "g", 10.3120),
        taken(2, 5000, "r", 4.0),
        taken(3, 8000, "g", 10.3131),
        taken(4, 5000, "r", 4.0),
        taken(5, 8000, "g", 20.0),
        taken(6, 5000, "i", 4.0),
    ]
    result = one(measure_gain(biases, flats))
    assert (result.n_flat, result.n_flat_pairs) == (4, 2)
    assert result.notes == (
        "flat_5.fits left out: no other flat of its filter and exposure time",
        "flat_6.fits left out: no other flat of its filter and exposure time",
    )
    assert_within(result.gain_e_per_adu, result.gain_uncertainty, 0.971)


def test_a_pair_of_unequal_flux_is_left_out_by_name() -> None:
    rng = np.random.default_rng(12)
    biases = [bias_pixels(UNIFORM, rng) for _ in range(3)]
    flats = [flat_pixels(UNIFORM, rng, uniform_light(UNIFORM.shape, level)) for level in (8000, 8100, 4000, 4200)]
    result = one(measure_gain(biases, flats[:3]))
    assert (result.n_flat, result.n_flat_pairs) == (2, 1)
    assert re.fullmatch(r"pair flat 3, flat 1 left out: their flux differs by 5\d %, more than 10 %", *result.notes)
    # From one level of a ramp to the next nobody looks for a pair.
    assert one(measure_gain(biases, flats)).notes == ()


NO_LIGHT = (
    "pair flat 1, flat 2 left out: there is no light above the noise in both (the light pattern moved?), "
    "or all of it is saturated"
)


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        ((8000,), "flat 1 left out: no other flat of its filter and exposure time"),
        ((0, 0), NO_LIGHT),
        (
            (90_000, 91_000),
            NO_LIGHT,
        ),
        ((8000, 5000), "pair flat 2, flat 1 left out: their flux differs by 37 %, more than 10 %"),
    ],
)
def test_without_a_usable_pair_the_read_noise_is_left(levels: tuple[float, ...], reason: str) -> None:
    rng = np.random.default_rng(13)
    biases = [bias_pixels(UNIFORM, rng, cosmic_ray_fraction=1e-3) for _ in range(3)]
    # A dark edge keeps saturated frames from being copies of each other.
    dimmed = np.where(np.arange(UNIFORM.shape[1]) < 3, 0, uniform_light(UNIFORM.shape, 1.0))
    flats = [flat_pixels(UNIFORM, rng, level * dimmed) for level in levels]
    result = one(measure_gain(biases, flats))
    assert (result.method, result.n_flat, result.n_flat_pairs, result.notes) == ("bias only", 0, 0, (reason,))
    assert result.gain_e_per_adu is result.gain_uncertainty is result.read_noise_e is None
    assert_within(result.read_noise_adu, result.read_noise_adu_uncertainty, 2.836 / 0.971)


def test_made_up_flats_without_shot_noise() -> None:
    rng = np.random.default_rng(23)
    biases = [bias_pixels(UNIFORM, rng) for _ in range(3)]
    made_up = [(flat_pixels(UNIFORM, rng, np.zeros(UNIFORM.shape)) * 0.1 + 5000).round() for _ in range(2)]
    result = one(measure_gain(biases, made_up))
    assert result.method == "bias only"
    assert result.notes == (
        "pair flat 1, flat 2 left out: there is no shot noise in their difference: "
        "they are averages, made of one frame, beyond full well, or the biases are noisier than they",
    )


def test_copies_and_averages_are_no_raw_frames() -> None:
    rng = np.random.default_rng(14)
    flat = flat_pixels(UNIFORM, rng, uniform_light(UNIFORM.shape, 8000.0))
    biases = [bias_pixels(UNIFORM, rng) for _ in range(2)]
    copied = one(measure_gain([*biases, biases[1]], [flat, flat]))
    assert copied.notes == (
        "pair bias 2, bias 3 left out: their pixels are the same: one is a copy of the other",
        "pair flat 1, flat 2 left out: their pixels are the same: one is a copy of the other",
    )
    averaged = [frame(flat, 1), frame(flat, 2, n_averaged=5)]
    assert (
        "flat_2.fits left out: an average of 5 exposures has too little noise"
        in measure_gain(biases, averaged)[0].notes
    )


def test_too_few_biases() -> None:
    image = bias_pixels(UNIFORM, np.random.default_rng(15))
    with pytest.raises(InsufficientDataError, match=r"read noise needs two raw biases, 1 usable: add biases"):
        measure_gain([image], [])
    with pytest.raises(InsufficientDataError, match=r"1 usable.*bias_2.fits left out: an average of 9 exposures"):
        measure_gain([frame(image), frame(image, 2, kind=FrameType.BIAS, n_averaged=9)], [])
    with pytest.raises(InsufficientDataError, match=r"amplifier 1 has no usable pair of biases: .* copy of the other"):
        measure_gain([image, image], [])


@pytest.mark.parametrize("method", ["binned", "pair"])
def test_frames_of_different_size(method: str) -> None:
    rng = np.random.default_rng(16)
    biases = [bias_pixels(UNIFORM, rng) for _ in range(2)]
    with pytest.raises(
        InsufficientDataError,
        match=r"flat 1 has shape \(80, 512\), the frames before it \(96, 256\): give frames of one size",
    ):
        measure_gain(biases, [flat_pixels(SMALL, rng, np.ones(SMALL.shape)) for _ in range(2)], method=method)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="method 'ptc2' is unknown: write auto, pair, binned or ptc"):
        measure_gain([], [], method="ptc2")
    with pytest.raises(InsufficientDataError, match=r"bias 1 has shape \(3, 4, 5\): give images of two dimensions"):
        measure_gain([np.zeros((3, 4, 5))] * 2, [])


def test_few_frames_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    biases, flats = series(UNIFORM, uniform_light(UNIFORM.shape, 8000.0), 17, n_bias=7, n_flat=7)
    alive: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
    most = 0

    def read_frame(path: Path) -> Frame:
        nonlocal most
        kind, number = path.stem.split("_")
        data = (biases if kind == "bias" else flats)[int(number)].copy()
        alive[id(data)] = data
        most = max(most, len(alive))
        return frame(data, int(number), kind=FrameType(kind))

    monkeypatch.setattr(exposures, "read_frame", read_frame)
    monkeypatch.setattr(exposures, "read_header", lambda path: frame(biases[0]))
    monkeypatch.setattr(header_doubts, "kept_cards", lambda path: {})
    paths = [[Path(f"{kind}_{k}.fits") for k in range(7)] for kind in ("bias", "flat")]
    assert one(measure_gain(*paths)) == one(measure_gain(biases, flats))
    assert most <= 4


# The parts.


def test_pair_is_the_textbook_estimator_with_its_statistical_uncertainty() -> None:
    light = uniform_light(UNIFORM.shape, 8000.0, prnu=0)
    results = []
    for seed in range(30):
        biases, flats = series(UNIFORM, light, seed, 3, 3, drift=lambda _, n: np.ones(n), cosmic_ray_fraction=0)
        results.append(one(measure_gain(biases, flats, method="pair")))
        b1, b2, f1, f2 = (image.astype(float) for image in (*biases[:2], *flats[:2]))
        gain = (f1.mean() + f2.mean() - b1.mean() - b2.mean()) / (np.var(f1 - f2) - np.var(b1 - b2))
        assert results[-1].gain_e_per_adu == pytest.approx(gain, rel=1e-12)
        assert results[-1].read_noise_e == pytest.approx(gain * np.std(b1 - b2) / 2**0.5, rel=1e-12)
    pulls = [(result.gain_e_per_adu - 0.971) / result.gain_uncertainty for result in results]
    assert 0.7 < np.std(pulls) < 1.3
    assert (results[0].method, results[0].n_bias, results[0].n_flat, results[0].n_pixels) == ("pair", 2, 2, light.size)


def test_pair_without_light_has_no_gain() -> None:
    biases, flats = series(UNIFORM, np.zeros(UNIFORM.shape), 18, 2, 2, cosmic_ray_fraction=0)
    dark = one(measure_gain(flats, [b - np.uint16(5) for b in biases], method="pair"))
    assert (dark.method, dark.gain_e_per_adu, dark.n_flat_pairs) == ("bias only", None, 0)
    assert dark.notes == ("no gain: the flats have no more light, or no more noise, than the biases",)
    assert one(measure_gain(biases, [], method="pair")).gain_e_per_adu is None


@pytest.mark.parametrize("noise", [0.6, 0.7, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("level", [300.0, 300.25, 300.5])
def test_rounding_to_whole_numbers_does_not_bias_the_read_noise(noise: float, level: float) -> None:
    """Where the bias sits between the whole numbers matters below 0.7 ADU only, and there by less than 0.3 %."""
    rng = np.random.default_rng([int(100 * noise), int(100 * level)])
    frames = [np.rint(rng.normal(level, noise, (512, 512))).astype(np.uint16) for _ in range(12)]
    (result,) = measure_gain(frames, [])
    assert result.read_noise_adu == pytest.approx(noise, rel=0.003)


def test_noise_hidden_by_rounding_is_said() -> None:
    rng = np.random.default_rng(19)
    result = one(measure_gain([(rng.random((64, 64)) < 0.03) + 300 for _ in range(3)], []))
    assert result.read_noise_adu == 0
    assert 0 < result.read_noise_adu_uncertainty < 0.3
    assert result.notes == ("the read noise is hidden by rounding to whole ADU",)


def test_box_fit_is_weighted_least_squares_with_its_leverage() -> None:
    rng = np.random.default_rng(20)
    image, level, weight = (rng.normal(size=(16, 22)) for _ in range(3))
    weight = np.where(weight < -1, 0, np.exp(weight))
    boxes = Boxes(np.array([0, 7, 16]), np.array([0, 9, 22]))
    templates = np.stack([np.ones_like(image), level, *np.gradient(level)])
    residual, leverage = fit_boxes(image, templates, weight, boxes)
    box = np.s_[7:16, 0:9]
    root = np.sqrt(weight[box].ravel())
    design = np.stack([template[box].ravel() for template in templates], axis=1)
    solution, *_ = np.linalg.lstsq(design * root[:, None], image[box].ravel() * root, rcond=None)
    orthonormal, _ = np.linalg.qr(design * root[:, None])
    np.testing.assert_allclose(residual[box].ravel(), image[box].ravel() - design @ solution, atol=1e-10)
    np.testing.assert_allclose(leverage[box].ravel(), (orthonormal**2).sum(axis=1), atol=1e-10)


def test_a_template_that_adds_nothing_is_ignored() -> None:
    image = np.random.default_rng(21).normal(size=(8, 8))
    boxes = Boxes(np.array([0, 8]), np.array([0, 8]))
    ones = np.ones_like(image)
    np.testing.assert_array_equal(
        fit_boxes(image, np.stack([ones, 7 * ones, 0 * ones]), ones, boxes)[0],
        fit_boxes(image, ones[np.newaxis], ones, boxes)[0],
    )


@pytest.mark.parametrize("true", [0.8, 1.0, 1.2])
def test_truncation_is_undone_also_where_the_model_is_wrong(true: float) -> None:
    k = 3.5 / true**0.5
    cut = truncnorm(-k, k).var() * true
    assert untruncated(np.array([cut]), 3.5)[0] == pytest.approx(true, rel=1e-5)


@pytest.mark.parametrize("true", [0.9, 1.0, 1.1])
def test_the_cut_of_small_groups_is_undone_without_bias(true: float) -> None:
    n_groups, n_pixels = 20_000, 100
    values = np.random.default_rng(31).normal(scale=true**0.5, size=(n_groups, n_pixels))
    kept = np.abs(values) < CLIP_SIGMA
    n_kept = kept.sum(axis=1)
    found = untruncated_groups((values**2 * kept).sum(axis=1) / n_kept, n_kept.astype(float), CLIP_SIGMA)
    sigma = WIDENED_BY_CUT * true * (2 / n_pixels) ** 0.5
    assert_within(float(found.mean()), sigma / n_groups**0.5, true)
    assert found.std() == pytest.approx(sigma, rel=0.02)


def test_overlapping_pairs_scatter_as_predicted() -> None:
    frames = np.random.default_rng(22).normal(size=(20_000, 6))
    means = (np.diff(frames, axis=1) ** 2).mean(axis=1)
    independent = 2 * 2**2 / 5
    assert means.var() == pytest.approx(independent * overlap_inflation(5, 4), rel=0.05)


# Real frames.


def real(directory: Path, names: Sequence[str]) -> Images:
    paths = [directory / name for name in names]
    if not all(path.exists() for path in paths):
        pytest.skip(f"{directory} lacks some of {', '.join(names)}")
    return [np.asarray(fits.getdata(path)) for path in paths]


def test_esis_four_taps(shared_data: Path) -> None:
    names = [f"ESIS1_0{number}.fit.gz" for number in (4860, 4861, 4803, 4804)]
    images = real(shared_data / "msfc-esis-4tap" / "led", names)
    # Lower left, lower right, upper left, upper right: published gain and read noise (ADU).
    published = {
        "[51:1074,1:520]": (2.535, 3.99),
        "[1079:2102,1:520]": (2.505, 3.84),
        "[51:1074,521:1040]": (2.540, 4.14),
        "[1079:2102,521:1040]": (2.500, 4.20),
    }
    amplifiers = [Amplifier(section, Section.parse(section)) for section in published]
    for result in measure_gain(images[:2], images[2:], amplifiers=amplifiers):
        gain, read_noise = published[result.amplifier]
        assert result.gain_e_per_adu == pytest.approx(gain, rel=0.015)
        assert result.read_noise_adu == pytest.approx(read_noise, rel=0.02)


def test_efosc2_lamp_flats(shared_data: Path) -> None:
    bias = [f"EFOSC.2022-01-26T19:0{time}.fits" for time in ("3:08.542", "3:39.513", "4:10.535")]
    flat = [f"EFOSC.2022-01-26T19:{time}.fits" for time in ("18:58.464", "21:12.485", "21:57.491")]
    images = real(shared_data / "eso-efosc2", [*bias, *flat])
    result = one(measure_gain(images[:3], images[3:], region="[20:1000,30:1000]"))
    assert result.gain_e_per_adu == pytest.approx(1.20, rel=0.03)
    assert result.read_noise_adu == pytest.approx(10.24, rel=0.03)
    # The converter's steps are uneven: the gain is 1.24 in faint and 1.195 in bright light.
    assert result.chi2_per_dof > 3


def test_a_bias_level_that_wanders_between_evenings_does_no_harm() -> None:
    """The mean bias is not the level under a flat of another evening: without an offset in the fit χ²/dof is 3 to 7."""
    rng = np.random.default_rng(11)
    light = spectrum_light((64, 512), 15_000.0)
    camera = Camera(gain_e_per_adu=0.971, read_noise_e=2.836, shape=(64, 512))
    biases = [bias_pixels(camera, rng, bias_offset_adu=0.8 * (i % 3 - 1)) for i in range(12)]
    flats = [expose(camera, rng, light, bias_offset_adu=0.8) for _ in range(8)]
    (result,) = measure_gain(biases, flats)
    assert result.gain_e_per_adu == pytest.approx(0.971, abs=4 * result.gain_uncertainty)
    assert result.gain_uncertainty < 0.01 * 0.971
    assert result.chi2_per_dof < 1.5


@pytest.mark.parametrize("excess", [0.98, 1.02])
def test_flats_at_full_well_below_the_limit_of_the_converter_are_doubted(excess: float) -> None:
    rng = np.random.default_rng(1)
    shape, gain = (160, 200), 1.5
    full_well = 61_500 * gain * (1 + 0.005 * rng.normal(size=shape))
    light = excess * 61_500 * gain * (1 + 0.008 * rng.normal(size=shape))
    biases = [np.rint(rng.normal(500, 3, shape)).astype(np.uint16) for _ in range(3)]
    flats = []
    for k in range(5):
        electrons = rng.poisson(light * (1 + 0.003 * k))
        held = electrons / (1 + (electrons / full_well) ** 12) ** (1 / 12)
        flats.append(np.rint(held / gain + rng.normal(500, 3, shape)).astype(np.uint16))
    result = one(measure_gain(biases, flats))
    assert result.gain_e_per_adu is None or result.gain_e_per_adu > 3 * gain
    assert any("full well" in doubt for doubt in result.doubts)


def with_stars(shift: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:240, :240]
    light = np.full((240, 240), 48_000.0)
    for row, column, electrons in zip(*rng.uniform(20, 220, (2, 60)), 10 ** rng.uniform(3.7, 5.7, 60), strict=True):
        distance = (y - row - shift) ** 2 + (x - column - 2 * shift) ** 2
        light += electrons / (2 * np.pi * 2.2**2) * np.exp(-distance / (2 * 2.2**2))
    return light


def test_stars_that_move_between_twilight_flats_are_told_and_charge_that_moves_is_not() -> None:
    rng = np.random.default_rng(1)
    camera, evenly = Camera(1.6, 5.0, shape=(240, 240)), np.full((240, 240), 60_000.0)
    biases = [bias_pixels(camera, rng) for _ in range(4)]
    (result,) = measure_gain(biases, [flat_pixels(camera, rng, with_stars(9 * k)) for k in range(4)])
    assert any("a pattern that moved between flats (stars, clouds)" in doubt for doubt in result.doubts)
    alpha = 0.02
    capacitance = np.array(
        [[alpha / 8, alpha, alpha / 8], [alpha, 1 - 4.5 * alpha, alpha], [alpha / 8, alpha, alpha / 8]]
    )
    shared = [
        convolve(rng.poisson(evenly) / 1.6, capacitance) + rng.normal(1000, 5.0 / 1.6, evenly.shape) for _ in "1234"
    ]
    pushed = Camera(1.6, 5.0, shape=(240, 240), a00=-2e-6)
    for flats in ([np.rint(image) for image in shared], [flat_pixels(pushed, rng, evenly) for _ in range(4)]):
        (result,) = measure_gain(biases, flats)
        assert result.doubts == ()


def test_flats_whose_middle_is_at_full_well_are_doubted_for_that() -> None:
    """No number piles up: the full well of each pixel is another, and the edges are below it."""
    rng = np.random.default_rng(2)
    shape, gain = (160, 200), 1.5
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = 100_000 * np.exp(-((x - 100) ** 2 + (y - 80) ** 2) / (2 * 70.0**2))
    full_well = 52_000 * (1 + 0.003 * rng.standard_normal(shape))
    biases = [np.rint(500 + rng.normal(0, 3, shape)).astype(np.uint16) for _ in range(6)]
    flats = [
        np.rint(np.minimum(500 + rng.poisson(light) / gain, full_well) + rng.normal(0, 3, shape)).astype(np.uint16)
        for _ in range(6)
    ]
    result = one(measure_gain(biases, flats))
    assert any("full well" in doubt for doubt in result.doubts)
    assert not any("parts of the image" in doubt for doubt in result.doubts)


@pytest.mark.parametrize("seed", range(6))
def test_even_light_is_at_no_full_well_by_chance(seed: int) -> None:
    """Of differences of two reads (CDS): its range of light is that of noise, over which no noise collapses."""
    rng = np.random.default_rng(100 + seed)

    def frame(electrons: float) -> np.ndarray:
        reads = rng.normal(0, 12, (2, 120, 120))
        return np.rint((rng.poisson(electrons, (120, 120)) + reads[0] - reads[1]) / 2.2).astype(np.int32)

    result = one(measure_gain([frame(0.0) for _ in range(8)], [frame(25_000.0) for _ in range(8)]))
    assert result.doubts == ()
