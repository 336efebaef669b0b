"""What numbers pixels are: closed loops over cameras that do not count from 0 to 65535 in ones."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import FrameReadError, InsufficientDataError
from ccdcore.frames.frame import Frame, SeriesFrame
from ccdcore.frames.statistics import frame_statistics
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import measure_frame
from ccdcore.noise.anatomy import overscan_read_noise
from ccdcore.numerics.histogram import Histogram
from ccdcore.numerics.pixel_values import are_bytes_swapped, missing_number, not_adu
from ccdcore.photon_transfer.measure import measure_gain

SHAPE = (120, 150)
GAIN, READ_NOISE = 1.6, 2.1


def statistics(image):
    return frame_statistics(image, (Amplifier("1", Section.whole(image.shape)),))[0]


def camera(rng, electrons, *, gain=GAIN, read_noise=READ_NOISE, level=300.3, shape=SHAPE):
    """Return a frame in whole numbers of its converter; noise in these."""
    light = rng.poisson(np.full(shape, float(electrons))) / gain
    return np.rint(level + light + rng.normal(0, read_noise, shape))


NUMBERS = {
    "whole": (lambda x: x.astype(np.uint16), 1),
    "14 bits padded": (lambda x: (x * 4).astype(np.uint16), 4),
    "12 bits padded": (lambda x: (x * 16).astype(np.uint16), 16),
    "10 bits padded, an offset": (lambda x: (x * 8 + 5).astype(np.uint16), 8),
    "a driver multiplies by 3": (lambda x: (x * 3).astype(np.int32), 3),
    "stretched by 65535/40000": (lambda x: np.rint(x * 1.638375).astype(np.uint16), 1.638375),
    "stretched by 16.02": (lambda x: np.rint(x * 16.02).astype(np.uint16), 16.02),
    "a ceiling off the grid": (lambda x: np.where(np.arange(x.size).reshape(x.shape) % 2500, x * 16, 65535), 16),
    "less a constant": (lambda x: (x - 17.3125).astype(np.float32), 1),
    "less another constant": (lambda x: (x - 250.5).astype(np.float32), 1),
    "half ADU": (lambda x: (x * 0.5).astype(np.float32), 0.5),
    "BSCALE 0.1": (lambda x: (x * 0.1).astype(np.float64), 0.1),
    "big-endian": (lambda x: (x * 4).astype(">u2"), 4),
}


SCALED = {
    "divided by 65535": (lambda x: (x / np.float32(65535)).astype(np.float32), 1 / 65535),
    "from -1 to 1": (lambda x: (x / np.float32(32768) - 1).astype(np.float32), 1 / 32768),
    "per cent": (lambda x: (x * np.float32(100 / 4095)).astype(np.float32), 100 / 4095),
    "divided by 4095 in double precision": (lambda x: x / 4095, 1 / 4095),
    "divided by 65536 as real numbers": (lambda x: (x + np.random.default_rng(1).random(x.shape)) / 65536, 0),
}


@pytest.mark.parametrize("name", SCALED)
def test_numbers_that_are_no_adu_are_said_to_be_none(name):
    convert, step = SCALED[name]
    rng = np.random.default_rng(len(name))
    biases, flats = ([convert(camera(rng, light)) for _ in range(3)] for light in (0, 1500))
    for found in map(statistics, (biases[0], flats[0])):
        assert found.step == pytest.approx(step, rel=2e-3)
        assert found.n_averaged == 1
    assert "no ADU" in not_adu(statistics(biases[0]).step, statistics(biases[0]).noise)
    with pytest.raises(InsufficientDataError, match=r"its pixels are no ADU: .* write whole numbers of 16 bits"):
        measure_gain(biases, flats)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_step_of_the_values_is_found_and_its_rounding_taken_out(name):
    convert, step = NUMBERS[name]
    rng = np.random.default_rng(len(name))
    biases = [convert(camera(rng, 0)) for _ in range(4)]
    flats = [convert(camera(rng, 1500)) for _ in range(4)]
    assert statistics(biases[0]).step == pytest.approx(step, rel=0.03)
    assert statistics(flats[0]).step == pytest.approx(step, rel=0.03)
    (result,) = measure_gain(biases, flats)
    assert result.read_noise_adu == pytest.approx(READ_NOISE * step, rel=0.02)
    assert abs(result.gain_e_per_adu * step - GAIN) < 4 * result.gain_uncertainty * step + 0.01 * GAIN


@pytest.mark.parametrize("read_noise", [0.6, 0.9, 1.5])
@pytest.mark.parametrize("step", [4, 16, 64])
def test_read_noise_of_padded_numbers_is_free_of_rounding(read_noise, step):
    rng = np.random.default_rng(step)
    level = 300 + rng.random(SHAPE)
    biases = [camera(rng, 0, read_noise=read_noise, level=level) for _ in range(6)]
    (result,) = measure_gain([(bias * step).astype(np.uint16) for bias in biases], [])
    assert result.read_noise_adu == pytest.approx(read_noise * step, rel=0.02)


def test_read_noise_that_rounding_hides_is_said_to_be():
    rng = np.random.default_rng(3)
    biases = [(camera(rng, 0, read_noise=0.12, level=300.5) * 16).astype(np.uint16) for _ in range(4)]
    (result,) = measure_gain(biases, [])
    assert abs(result.read_noise_adu - 0.12 * 16) < 4 * result.read_noise_adu_uncertainty
    assert "the read noise is hidden by rounding to steps of 16 ADU" in result.notes


def test_other_numbers_are_on_no_grid():
    rng = np.random.default_rng(1)
    real = rng.normal(1000, 5, SHAPE)
    assert Histogram.of(real).step == 0
    assert Histogram.of(real.astype(np.float32)).step == 0
    assert Histogram.of((1e6 + real).astype(np.float32)).step < 0.1  # that of single precision
    wide = rng.integers(0, 60_000, SHAPE)
    assert Histogram.of(wide).step == 1
    two_lights = np.where(np.arange(SHAPE[1]) < 70, 100, 1000) + rng.integers(0, 5, SHAPE)
    assert Histogram.of(two_lights).step == 1
    for constant in (np.full(SHAPE, 7), np.where(np.eye(*SHAPE) > 0, 900, 7), np.full(SHAPE, 0.5)):
        assert Histogram.of(constant).step == (constant.dtype.kind == "i")


@pytest.mark.parametrize("n", [2, 3, 5, 10, 64])
def test_means_of_whole_numbers_show_of_how_many(n):
    raw = np.rint(np.random.default_rng(n).normal(1000, 5, (n, 40, 50)))
    for kind in (np.float32, np.float64):
        assert statistics(raw.mean(axis=0).astype(kind)).n_averaged == n
        assert statistics((raw.mean(axis=0) - 123.4).astype(np.float64)).n_averaged == n


def test_other_pixels_show_no_average():
    rng = np.random.default_rng(1)
    whole, real = np.rint(rng.normal(1000, 5, SHAPE)), rng.normal(1000, 5, SHAPE)
    for raw in (whole.astype(np.uint16), whole.astype(np.float32), real, real.astype(np.float32)):
        assert statistics(raw).n_averaged == 1
    for n in range(2, 15):
        assert statistics((whole - 1 / n).astype(np.float32)).n_averaged == 1
        assert statistics((whole / np.float32(65535 / n)).astype(np.float32)).n_averaged == 1
    assert statistics((1e6 + real).astype(np.float32)).n_averaged == 1  # too coarse to tell


@pytest.mark.parametrize(
    ("level", "read_noise", "floor", "step"),
    [(6, 8, 0, 1), (0.5, 1.2, 0, 1), (-1, 3, 0, 1), (20, 8, 16, 1), (66, 4, 64, 1), (3, 2.5, 0, 4), (18, 1.5, 16, 16)],
)
def test_noise_that_is_cut_off_at_a_black_level_is_seen(level, read_noise, floor, step):
    from scipy.stats import norm

    rng = np.random.default_rng(5)
    image = np.maximum(camera(rng, 0, read_noise=read_noise, level=level), floor) * step
    cut = norm.cdf((floor - 0.5 - level) / read_noise)
    assert statistics(image.astype(np.uint16)).cut_fraction == pytest.approx(cut, rel=0.15)


def test_noise_that_is_not_cut_off_is_not_said_to_be():
    rng = np.random.default_rng(6)
    pattern = rng.normal(0, 1, SHAPE[1]) + np.linspace(0, 20, SHAPE[0])[:, None]
    hot = np.where(rng.random(SHAPE) < 0.02, rng.exponential(300, SHAPE), 0)
    for read_noise in (0.15, 0.3, 0.4, 0.5, 0.7, 1, 2, 8):
        for level in (300, 300.25, 300.5, 300.75):
            for extra in (0, hot, pattern):
                image = camera(rng, 0, read_noise=read_noise, level=level + extra)
                assert statistics(image.astype(np.uint16)).cut_fraction == 0, (read_noise, level)
    blank = camera(rng, 0)
    blank[:, 3:5] = 0  # columns that do not exist
    assert statistics(blank.astype(np.uint16)).cut_fraction == 0
    dim = rng.poisson(3.0, SHAPE) * 0 + 40
    assert statistics(dim.astype(np.uint16)).cut_fraction == 0


@pytest.mark.parametrize(("level", "read_noise", "floor"), [(6, 8, 0), (20, 6, 16), (64.5, 3, 64)])
def test_biases_that_are_cut_off_are_doubted(level, read_noise, floor):
    rng = np.random.default_rng(9)

    def frames(light):
        images = [camera(rng, light, gain=0.25, read_noise=read_noise, level=level) for _ in range(3)]
        return [np.maximum(image, floor).astype(np.uint16) for image in images]

    (result,) = measure_gain(frames(0), frames(4000))
    (doubt,) = result.bias_doubts
    assert f"the biases are cut off at {floor} ADU" in doubt
    assert "raise the camera's offset" in doubt
    (free,) = measure_gain([image + 500 for image in frames(0)][:1] + [camera(rng, 0)] * 2, [])
    assert free.n_bias == 2


@pytest.mark.parametrize("step", [4, 16, 64])
def test_gains_of_few_electrons_a_unit_are_measured(step):
    rng = np.random.default_rng(step)
    biases, flats = ([camera(rng, light, gain=1.0) * step for _ in range(4)] for light in (0, 900))
    (result,) = measure_gain(biases, flats)
    assert abs(result.gain_e_per_adu * step - 1) < 4 * result.gain_uncertainty * step + 0.01


def blank(image):
    image[5:9, 20:30] = np.nan
    image[:, 50] = np.nan
    return image


def infinite(image):
    image[::7, ::31] = np.inf
    image[3, 3] = -np.inf
    return image


def one_frame_only(image):
    image[np.random.default_rng(int(image.sum())).integers(0, SHAPE[0], 30), 7] = np.nan
    return image


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("spoil", [blank, infinite, one_frame_only])
def test_pixels_that_are_missing_cost_nothing_else(kind, spoil):
    rng = np.random.default_rng(11)
    biases, flats = ([spoil(camera(rng, light).astype(kind)) for _ in range(4)] for light in (0, 9000))
    (result,) = measure_gain(biases, flats)
    assert result.read_noise_adu == pytest.approx(READ_NOISE, rel=0.02)
    assert abs(result.gain_e_per_adu - GAIN) < 4 * result.gain_uncertainty
    numbers = [value for value in astuple(result)[2:-3] if isinstance(value, float)]
    assert np.isfinite(numbers).all()


def test_copies_in_other_types_are_measured_together():
    rng = np.random.default_rng(12)
    biases, flats = (
        [camera(rng, light).astype(kind) for kind in (np.uint16, np.float32, np.int32, ">f8")] for light in (0, 9000)
    )
    (result,) = measure_gain(biases, flats)
    assert result.read_noise_adu == pytest.approx(READ_NOISE, rel=0.02)
    assert abs(result.gain_e_per_adu - GAIN) < 4 * result.gain_uncertainty


@pytest.mark.parametrize(("step", "top"), [(4, 65532), (16, 65520), (1, 16383), (64, 65472)])
@pytest.mark.parametrize("in_sigma", [2.0, 2.5])
def test_flats_next_to_saturation_are_told_so(step, top, in_sigma):
    rng = np.random.default_rng(step)
    gain, level = 0.9, 300
    light = (top / step - level) * gain
    light -= in_sigma * light**0.5
    biases, flats = (
        [np.minimum(camera(rng, some, gain=gain, level=level) * step, top).astype(np.uint16) for _ in range(3)]
        for some in (0, light)
    )
    (result,) = measure_gain(biases, flats)
    if result.gain_e_per_adu is None:
        assert any(f"so near the limit of {top} ADU" in note for note in result.notes), result.notes
    else:
        assert abs(result.gain_e_per_adu * step - gain) < 4 * result.gain_uncertainty * step + 0.02 * gain


def test_noise_of_pixels_compressed_with_loss_is_doubted():
    rng = np.random.default_rng(1)
    reason = "IMAGETYP; compressed with loss (RICE_1, ZQUANTIZ = SUBTRACTIVE_DITHER_1): its noise is not the camera's"
    info = ExposureInfo(FrameType.BIAS, reason, "cam", "told", "bin1x1")
    whole = (Amplifier("1", Section.whole(SHAPE)),)
    frames = [Frame(Path(f"{n}.fits"), camera(rng, 0).astype(np.float32), info, whole, str(n)) for n in range(3)]
    (result,) = measure_gain(frames, [])
    assert result.bias_doubts == (reason.removeprefix("IMAGETYP; "),)


def test_files_whose_whole_numbers_are_scaled_are_no_averages(tmp_path):
    path = tmp_path / "scaled.fits"
    fits.PrimaryHDU(camera(np.random.default_rng(1), 0).astype(np.int32)).writeto(path)
    content = path.read_bytes()
    end = content.index(b"END".ljust(80))
    cards = b"".join(card.ljust(80) for card in (b"BSCALE  =                  0.5", b"END"))
    path.write_bytes(content[:end] + cards + content[end + len(cards) :])
    (found,) = measure_frame(path).statistics
    assert (found.step, found.n_averaged) == (0.5, 1)


@pytest.mark.parametrize("step", [4, 16, 64])
def test_numbers_that_are_padded_give_the_same_as_those_that_are_not(step):
    rng = np.random.default_rng(3)
    biases, flats = ([camera(rng, light, read_noise=0.7) for _ in range(3)] for light in (0, 9000))
    (plain,) = measure_gain(biases, flats)
    (padded,) = measure_gain([image * step for image in biases], [image * step for image in flats])
    for one, factor in (("gain_e_per_adu", 1 / step), ("read_noise_adu", step), ("read_noise_e", 1)):
        for name in (one, one.replace("_e_per_adu", "").removesuffix("_e") + "_uncertainty"):
            assert getattr(padded, name) == pytest.approx(factor * getattr(plain, name), rel=2e-3), name
    whole = (Amplifier("1", Section(1, 120, 1, 120), Section(121, 150, 1, 120)),)
    info = ExposureInfo(FrameType.BIAS, "told", "cam", "told", "bin1x1")
    one, other = (
        overscan_read_noise(
            [
                SeriesFrame(str(n), Path(), SHAPE, info, whole, frame_statistics(image * factor, whole))
                for n, image in enumerate(biases)
            ]
        )["1"]
        for factor in (1, step)
    )
    assert tuple(other) == pytest.approx(tuple(step * value for value in one), rel=2e-3)


def averaged(rng, n, kind, light, step):
    return np.mean([camera(rng, light) * step for _ in range(n)], axis=0).astype(kind)


@pytest.mark.parametrize(
    ("step", "n", "kind"),
    [(4, 5, np.float32), (16, 3, np.float32), (16, 7, np.float64), (16, 4, np.uint16), (0.8, 3, np.float32)],
)
def test_averages_of_padded_cameras_are_told_by_the_frames_that_are_none(step, n, kind):
    rng = np.random.default_rng(n)
    biases, flats = ([averaged(rng, 1, np.float64, light, step) for _ in range(3)] for light in (0, 2000))
    few_biases, few_flats = ([averaged(rng, n, kind, light, step) for _ in range(3)] for light in (0, 2000))
    (result,) = measure_gain(biases, few_flats)
    assert any(f"the flats are averages of {n}, or" in doubt for doubt in result.doubts)
    assert result.bias_doubts == ()
    (result,) = measure_gain(few_biases, flats)
    assert any(f"the biases are averages of {n}, or" in doubt for doubt in result.bias_doubts)
    (result,) = measure_gain(biases, flats)
    assert (result.doubts, result.bias_doubts) == ((), ())


def marked(rng, image):
    image[:40, :40] = 70_000
    return np.minimum(image * 4, 65_535).astype(np.uint16)  # which is no multiple of 4


def repaired(rng, image):
    some = rng.random(image.shape) < 0.005
    return np.rint(np.where(some, np.roll(image * 2, 1) + np.roll(image * 2, -1), image * 4)).astype(np.uint16)


def with_levels_of_columns(rng, image):
    return (image * 4 + np.arange(image.shape[1]) * 7 % 13).astype(np.uint16)


def stretched(rng, image):
    return np.rint(image * 2.003).astype(np.uint16)


def scaled(rng, image):
    return (image * np.float32(0.8)).astype(np.float32)


def corrected(rng, image):
    return (image * 4 - 100.37).astype(np.float32)


@pytest.mark.parametrize("change", [marked, repaired, with_levels_of_columns, stretched, scaled, corrected])
@pytest.mark.parametrize("read_noise", [0.35, 4.0])
def test_cameras_with_steps_of_their_own_make_no_averages(change, read_noise):
    rng = np.random.default_rng(2)
    biases, flats = ([change(rng, camera(rng, light, read_noise=read_noise)) for _ in range(3)] for light in (0, 6000))
    (result,) = measure_gain(biases, flats)
    assert not [doubt for doubt in (*result.doubts, *result.bias_doubts) if "averages" in doubt]


@given(
    st.integers(0, 2**32),
    st.sampled_from(["uint16", "int16", "int32", "uint8", "float32"]),
    st.floats(-1000, 60_000),
    st.floats(0.05, 3000),
    st.sampled_from([1, 4, 16, 128, 256, 257]),
)
def test_bytes_in_order_are_never_taken_for_swapped_ones(seed, kind, level, noise, step):
    image = np.random.default_rng(seed).normal(level, noise, (32, 40))
    limits = {"uint8": (0, 255), "uint16": (0, 2**16 - 1), "int16": (-(2**15), 2**15 - 1)}.get(kind, (-(2**20), 2**20))
    assert not are_bytes_swapped(np.clip(np.rint(image / step) * step, *limits).astype(kind))


@given(
    st.integers(0, 2**32),
    st.sampled_from(["uint16", "int16", "int32", "float32"]),
    st.floats(600, 30_000),
    st.floats(1, 300),
    st.sampled_from([1, 4, 16]),
)
def test_swapped_bytes_are_seen(seed, kind, level, noise, step):
    image = np.rint(np.random.default_rng(seed).normal(level, max(noise, step), (32, 40)) / step) * step
    assert are_bytes_swapped(np.minimum(image, 32_000).astype(kind).byteswap())


@pytest.mark.parametrize(("shape", "kind"), [((3, 3), "uint16"), ((5, 1), "int32"), ((1, 4), "int16")])
def test_images_of_one_number_or_column_have_no_order(shape, kind):
    assert not are_bytes_swapped(np.full(shape, 7, kind))


@pytest.mark.parametrize("with_bzero", [True, False])
def test_a_file_of_swapped_bytes_is_refused(tmp_path, with_bzero):
    path = tmp_path / "swapped.fits"
    numbers = np.random.default_rng(1).normal(1500, 5, (40, 60)).astype(np.uint16)
    swapped = (numbers ^ 0x8000).byteswap() ^ 0x8000 if with_bzero else numbers.byteswap().view(np.int16)
    fits.PrimaryHDU(swapped).writeto(path)
    with pytest.raises(FrameReadError, match="bytes in the other order"):
        measure_frame(path)


@pytest.mark.parametrize(("noise", "missed"), [(0.8, True), (1.5, True), (6.0, False)])
def test_a_number_that_a_converter_misses_is_told_where_it_matters(noise, missed):
    rng = np.random.default_rng(2)
    whole = np.rint(rng.normal(1007.2, noise, SHAPE)).astype(np.uint16)
    found = [Histogram.of(image) for image in (whole, np.where(whole % 8 == 7, whole - 1, whole))]
    honest, missing = (missing_number(one.values, one.counts, one.step, noise) for one in found)
    assert honest is None
    assert (missing is not None) == missed
    assert missing is None or "never have the number 1007" in missing


def test_numbers_on_an_uneven_grid_have_its_mean_step_though_there_are_few():
    rng = np.random.default_rng(3)
    grid = np.rint((np.arange(2048) / 2048) ** 2 * 16383)  # as of a curve that is written with fewer bits
    bias = grid[np.searchsorted(grid, rng.normal(1000, 1.6, SHAPE))].astype(np.uint16)
    assert Histogram.of(bias).step == pytest.approx(4, abs=0.5)
