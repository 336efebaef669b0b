from pathlib import Path

import numpy as np
import pytest
from astropy import stats
from astropy.nddata import CCDData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import InsufficientDataError, SectionError
from ccdcore.frames.frame import Frame
from ccdcore.frames.imstat import half_sample_mode, imstat
from ccdcore.frames.statistics import frame_statistics
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.numerics.histogram import Histogram
from ccdcore.numerics.robust import median

SHAPE = (96, 160)
WHOLE = (Amplifier("1", Section.whole(SHAPE)),)
INTEGERS = hnp.arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(-500, 500))


def bias(seed: int, sigma: float = 2.9, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(300, sigma, shape).round().astype(np.uint16)


@given(hnp.arrays(st.sampled_from([np.int32, np.float32, np.float64]), st.integers(1, 40), elements=st.integers(-9, 9)))
def test_the_median_is_that_of_numpy(values: np.ndarray) -> None:
    assert median(values) == np.median(values)


def test_imstat_agrees_with_numpy_and_astropy() -> None:
    image = bias(1).astype(float) + np.random.default_rng(2).normal(0, 0.1, SHAPE)
    row = imstat([image])[0]
    assert row["npix"] == image.size
    assert (row["min"], row["max"]) == (image.min(), image.max())
    assert row["mean"] == pytest.approx(image.mean(), rel=1e-12)
    assert row["median"] == np.median(image)
    assert row["std"] == pytest.approx(image.std(), rel=1e-12)
    assert row["mad"] == pytest.approx(stats.mad_std(image), rel=1e-12)
    assert row["mode"] == pytest.approx(300, abs=1)


def test_imstat_takes_frames_ccddata_and_arrays() -> None:
    info = ExposureInfo(FrameType.BIAS, "test", "camera", "test", "bin1x1")
    data = bias(3)
    ccd = CCDData(data.astype(float), unit="electron", mask=np.zeros(SHAPE, dtype=bool))
    ccd.mask[0] = True
    table = imstat([Frame(Path("night/bias_1.fits"), data, info, WHOLE, "0"), ccd, data.astype(int) - 300])
    assert list(table["name"]) == ["bias_1.fits", "2", "3"]
    assert list(table["unit"]) == ["adu", "electron", "adu"]
    assert list(table["npix"]) == [data.size, data.size - SHAPE[1], data.size]
    assert table["mean"][2] == pytest.approx(data.mean() - 300)


def test_imstat_names_format_and_region() -> None:
    image = np.zeros((4, 5))
    image[1:3, 1:4] = 7.25
    table = imstat([image], names=["residual"], fmt=".1f", region="[2:4,2:3]")
    assert table["npix"][0] == 6
    assert table.pformat()[-1].split() == ["residual", "6", "7.2", "7.2", "7.2", "7.2", "7.2", "0.0", "0.0", "adu"]
    assert table["mean"][0] == 7.25


def test_imstat_leaves_non_finite_pixels_out() -> None:
    image = np.array([[1.0, np.nan, 3.0], [np.inf, 2.0, -np.inf]])
    row = imstat([image])[0]
    assert (row["npix"], row["mean"], row["max"]) == (3, 2.0, 3.0)


@pytest.mark.parametrize(
    ("image", "region", "message"),
    [
        (np.zeros((2, 3, 4)), None, r"1 has shape \(2, 3, 4\): give images of two dimensions"),
        (np.full((2, 3), np.nan), None, "1 has no finite pixel"),
    ],
)
def test_imstat_says_what_is_wrong_with_an_image(image: np.ndarray, region: str | None, message: str) -> None:
    with pytest.raises(InsufficientDataError, match=message):
        imstat([image], region=region)


def test_imstat_refuses_a_region_outside() -> None:
    with pytest.raises(SectionError, match=r"section \[1:9,1:2\] lies outside the image of 5 columns and 4 rows"):
        imstat([np.zeros((4, 5))], region="[1:9,1:2]")


@given(hnp.arrays(np.int32, st.integers(1, 60), elements=st.integers(-20, 20)))
def test_mode_is_a_value_near_the_data_and_moves_with_it(values: np.ndarray) -> None:
    ordered = np.sort(values)
    mode = half_sample_mode(ordered)
    assert ordered[0] <= mode <= ordered[-1]
    assert half_sample_mode(ordered + 1000) == mode + 1000


def test_mode_ignores_bright_minority_and_cosmic_rays() -> None:
    rng = np.random.default_rng(4)
    dark = rng.normal(300, 3, 60_000).round()
    light = rng.uniform(400, 20_000, 30_000).round()
    assert half_sample_mode(np.sort(np.concatenate([dark, light]))) == pytest.approx(300, abs=1.5)


@given(INTEGERS)
def test_histogram_median_is_exact(data: np.ndarray) -> None:
    assert Histogram.of(data).median == np.median(data)
    assert Histogram.of(data.astype(float) / 3).median == np.median(data / 3)
    assert Histogram.of(data).n == data.size


@given(INTEGERS, st.floats(0, 0.4))
def test_trimmed_mean_of_ties_equals_that_of_sorted_values(data: np.ndarray, fraction: float) -> None:
    ordered = np.sort(data, axis=None).astype(float)
    ranks = np.arange(ordered.size + 1, dtype=float)
    weights = np.diff(np.clip(ranks, fraction * ordered.size, (1 - fraction) * ordered.size))
    expected = np.average(ordered, weights=weights)
    assert Histogram.of(data).trimmed_mean(fraction) == pytest.approx(expected, abs=1e-9)


def test_histogram_of_a_wide_range_counts_the_same() -> None:
    data = np.array([0, 5, 5, 2**31 + 7], dtype=np.uint32)
    histogram = Histogram.of(data)
    assert histogram.values.tolist() == [0, 5, 2**31 + 7]
    assert histogram.counts.tolist() == [1, 2, 1]


@pytest.mark.parametrize("sigma", [1.2, 1.8, 2.9, 30.0])
def test_robust_sigma_does_not_jump_in_steps_on_whole_numbers(sigma: float) -> None:
    # 1.4826 × the median absolute deviation reads 1.483 for both 1.2 and 1.8.
    values = np.random.default_rng(5).normal(300.3, sigma, 200_000).round()
    assert Histogram.of(values).sigma == pytest.approx(np.hypot(sigma, 12**-0.5), rel=0.03)


def test_robust_sigma_has_a_floor_on_whole_numbers() -> None:
    assert Histogram.of(np.full(100, 7)).sigma == pytest.approx(0.341, abs=1e-3)


def test_clipped_variance_is_that_of_the_data_without_cosmic_rays() -> None:
    rng = np.random.default_rng(6)
    clean = rng.normal(0, 4.1, 200_000).round()
    dirty = clean.copy()
    dirty[:400] += rng.uniform(60, 5000, 400) * rng.choice([-1, 1], 400)
    moments = Histogram.of(dirty).clipped(6.0)
    assert moments.n == 200_000 - 400
    assert moments.variance == pytest.approx(clean[400:].var(ddof=1), rel=1e-4)
    assert moments.mean == pytest.approx(clean[400:].mean(), abs=1e-3)


def test_frame_statistics_of_known_truth() -> None:
    y, _ = np.indices(SHAPE)
    image = (bias(7) + 5 * y).astype(np.uint16)
    (result,) = frame_statistics(image, WHOLE)
    assert (result.amplifier, result.n_pixels) == ("1", image.size)
    assert (result.minimum, result.maximum, result.median) == (image.min(), image.max(), np.median(image))
    assert result.level == pytest.approx(image.mean(), rel=1e-3)
    assert result.noise == pytest.approx(2.9, rel=0.03)
    assert result.saturated_fraction == 0
    assert result.overscan_level is None


def test_level_follows_the_flux_of_a_spectrum_and_not_cosmic_rays() -> None:
    spectrum = np.zeros(SHAPE)
    spectrum[20:35] = np.linspace(2000, 10_000, SHAPE[1])
    dim, bright = (300 + flux * spectrum for flux in (1.0, 1.01))
    hit = bright.copy()
    hit[5, ::40] = 60_000
    dim_level, bright_level, hit_level = (frame_statistics(image, WHOLE)[0].level for image in (dim, bright, hit))
    assert (bright_level - 300) / (dim_level - 300) == pytest.approx(1.01, abs=1e-6)
    assert (hit_level - 300) / (bright_level - 300) == pytest.approx(1, abs=3e-3)
    assert np.median(bright) == np.median(dim)


def test_saturation_is_a_pile_up_at_any_value() -> None:
    light = np.random.default_rng(8).normal(44_000, 600, SHAPE).round()
    (clipped,) = frame_statistics(np.minimum(light, 44_500).astype(np.uint16), WHOLE)
    (free,) = frame_statistics(light.astype(np.uint16), WHOLE)
    assert clipped.saturated_fraction == pytest.approx(np.mean(light >= 44_500), abs=1e-9)
    assert free.saturated_fraction == 0


def test_the_tail_of_a_narrow_distribution_is_no_pile_up() -> None:
    image = bias(9, sigma=0.6, shape=(1024, 1024))
    assert np.count_nonzero(image == image.max()) > 10
    assert frame_statistics(image, (Amplifier("1", Section.whole(image.shape)),))[0].saturated_fraction == 0


def test_each_amplifier_by_itself_with_overscan_and_holes() -> None:
    image = bias(10).astype(np.float32)
    image[:, 80:150] += 1000
    image[3, 3] = np.nan
    left = Amplifier("left", Section(1, 80, 1, 96))
    right = Amplifier("right", Section(81, 150, 1, 96), Section(151, 160, 1, 96))
    one, two = frame_statistics(image, (left, right))
    assert one.level == pytest.approx(300, abs=0.2)
    assert two.level == pytest.approx(1300, abs=0.2)
    assert one.overscan_level is None
    assert two.overscan_level == pytest.approx(300, abs=0.4)
    assert np.isfinite([one.minimum, one.maximum, one.median, one.noise]).all()


def test_statistics_of_a_section_that_does_not_fit() -> None:
    with pytest.raises(SectionError, match=r"section \[1:200,1:96\] lies outside the image of 160 columns and 96 rows"):
        frame_statistics(bias(11), (Amplifier("1", Section(1, 200, 1, 96)),))


def test_statistics_of_nothing() -> None:
    with pytest.raises(InsufficientDataError, match="amplifier 1 has no finite pixel"):
        frame_statistics(np.full(SHAPE, np.nan), WHOLE)
