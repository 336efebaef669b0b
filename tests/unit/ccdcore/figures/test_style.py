"""Pictures: what they show, how large they are."""

import io
from datetime import UTC, datetime, timedelta

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import norm

from ccdcore.figures import images as images_module
from ccdcore.figures import style, thumbnails, transfer_curve, trend
from ccdcore.photon_transfer.measure import PhotonTransfer, PhotonTransferPoint
from ccdcore.quantities import Limits

RNG = np.random.default_rng(1)
NOISE = RNG.normal(300, 3, (2048, 2048)).astype(np.float32)
WIDE = NOISE[:100]


def texts(figure):
    """Return every text of a figure that a reader sees."""
    return {text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_visible()}


def transfer(name, gain=2.0, noise=3.0, **options):
    means = np.geomspace(20, 20_000, 12)
    curve = tuple(PhotonTransferPoint(mean, noise**2 + mean / gain, 1.0, 100) for mean in means.tolist())
    fields = dict.fromkeys(
        ("read_noise_adu_uncertainty", "read_noise_e", "read_noise_uncertainty", "bias_level_adu"), 1.0
    ) | dict.fromkeys(("n_bias", "n_flat", "n_flat_pairs", "n_pixels"), 2)
    given = {"gain_e_per_adu": gain, "gain_uncertainty": 0.0123, "curve": curve} | options
    return PhotonTransfer(
        amplifier=name, method="binned", read_noise_adu=noise, level_range_adu=None, **fields, **given
    )


@pytest.mark.parametrize(
    "frame", [NOISE, WIDE, NOISE[:, :512], NOISE[:40, :50]], ids=["square", "wide", "tall", "small"]
)
def test_pictures_of_noise_are_small(frame):
    figure = images_module.frame_master_residual(frame, frame - 1, frame - 300, title="m2-ml: bias")
    data = style.png(figure)
    assert len(data) < 150_000
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert picture.width == 900


def test_frame_master_residual_says_what_it_shows():
    figure = images_module.frame_master_residual(
        NOISE[:40, :50], NOISE[:40, :50], NOISE[:40, :50], title="flat V", unit=""
    )
    assert {"flat V", "frame", "master", "residual", "ADU", "relative response", "column (pixels)"} <= texts(figure)
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert [image.get_extent() for image in images] == [[0.5, 50.5, 0.5, 40.5]] * 3


def test_wide_images_are_stacked():
    wide = images_module.frame_master_residual(WIDE, WIDE, WIDE, title="")
    left = {round(axis.get_position().x0, 3) for axis in wide.axes if axis.images}
    assert len(left) == 1
    assert wide.axes[0].get_aspect() == "auto"
    assert any("each cell the mean of 5 × 2" in text for text in texts(wide))


def test_masked_pixels_are_told_apart():
    residual = NOISE[:40, :50].copy()
    residual[:10] = np.nan
    figure = images_module.frame_master_residual(residual, residual, residual, title="")
    assert "residual (masked pixels blue)" in texts(figure)
    picture = np.asarray(Image.open(io.BytesIO(style.png(figure))).convert("RGB"), dtype=int)
    blue = picture[..., 2] - picture[..., 0]
    assert (blue > 30).sum() > 10_000
    nothing = np.full((20, 20), np.nan)
    assert len(style.png(images_module.frame_master_residual(nothing, nothing, nothing, title=""))) > 1000


def test_what_is_masked_does_not_decide_on_the_limits():
    master, residual = NOISE[:40, :50].copy(), NOISE[:40, :50].copy()
    master[:, :20], residual[:, :20] = 0.0, np.nan
    figure = images_module.frame_master_residual(NOISE[:40, :50], master, residual, title="")
    (low, high) = next(axis.images[0].get_clim() for axis in figure.axes if axis.get_title() == "master")
    assert NOISE[:40, 20:50].min() <= low < high <= NOISE[:40, 20:50].max()


@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(1, 30),
    columns=st.integers(1, 30),
    block=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    holes=st.floats(0, 0.5),
)
def test_blocks_are_means_of_what_there_is(rows, columns, block, holes):
    rng = np.random.default_rng(rows * columns)
    image = rng.normal(size=(rows, columns))
    image[rng.random(image.shape) < holes] = np.nan
    small = thumbnails.reduced(image, block)
    for (i, j), value in np.ndenumerate(small):
        cell = image[i * block[0] : (i + 1) * block[0], j * block[1] : (j + 1) * block[1]]
        known = cell[np.isfinite(cell)]
        assert value == pytest.approx(known.mean() if known.size else np.nan, nan_ok=True)


@pytest.mark.parametrize("shape", [(2048, 2048), (100, 2048), (4096, 1024), (1, 300_000), (300_000, 1), (6, 7)])
def test_blocks_bound_the_number_of_cells(shape):
    height, width = thumbnails.block_of(shape)
    assert -(-shape[0] // height) * -(-shape[1] // width) <= 1.1 * thumbnails._MOST_CELLS


def test_histogram_counts_every_pixel():
    values = NOISE[:200].copy()
    values[0, :7] = 5000
    values[1, :5] = np.nan
    figure = images_module.histogram(values, title="bias", quantity="signal")
    legend = figure.axes[0].get_legend().get_texts()[0].get_text()
    counts = figure.axes[0].patches[0].get_data().values
    assert f"7 of {values.size - 5} outside" in legend
    assert counts.sum() == values.size - 12
    assert "mean 300, σ 2.99" in legend
    assert "signal (ADU)" in texts(figure)


def test_histogram_of_several_amplifiers_has_no_gaussian():
    values = np.concatenate([NOISE[:100], NOISE[:100] + 50])
    (one,), (mixed,) = (images_module.histogram(values, title="", is_mixed=which).axes for which in (False, True))
    assert (len(one.lines), len(mixed.lines)) == (1, 0)
    assert [text.get_text() for text in mixed.get_legend().get_texts()] == [f"0 of {values.size} outside"]


def test_histogram_has_no_comb_for_whole_numbers():
    whole = np.rint(RNG.normal(300, 30, 200_000)).astype(np.uint16)
    counts, edges, _ = images_module.histogram(whole, title="").axes[0].patches[0].get_data()
    expected = whole.size * np.diff(norm.cdf(edges, 300, 30))
    np.testing.assert_allclose(counts, expected, atol=5 * np.sqrt(expected.max()))


@pytest.mark.parametrize("values", [np.full(5, np.nan), np.zeros((3, 3)), np.full(4, 7, np.int16), np.array([1e9])])
def test_histogram_of_little(values):
    assert len(style.png(images_module.histogram(values, title="odd"))) > 1000


def test_variance_against_mean_draws_points_line_and_gain():
    figure = transfer_curve.variance_against_mean([transfer("A"), transfer("B", gain=2.5)], title="photon transfer")
    axis = figure.axes[0]
    assert {"amplifier A: gain 2.000 ± 0.012 e⁻/ADU", "amplifier B: gain 2.500 ± 0.012 e⁻/ADU"} <= texts(figure)
    assert {"mean signal (ADU)", "variance of one frame (ADU²)"} <= texts(figure)
    line = axis.lines[0]
    np.testing.assert_allclose(line.get_ydata(), 9 + line.get_xdata() / 2.0)
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
    colours = {handle.get_label(): handle[0].get_color() for handle in axis.containers}
    assert len(set(colours.values())) == 2


def test_a_curve_without_gain_and_no_curve():
    without = transfer_curve.variance_against_mean(
        [transfer("A", gain_e_per_adu=None, gain_uncertainty=None)], title=""
    )
    assert "amplifier A" in texts(without)
    nothing = transfer_curve.variance_against_mean([transfer("A", curve=())], title="")
    assert "no flats: no photon transfer curve" in texts(nothing)


def test_trend_shows_values_uncertainties_and_limits():
    begin = datetime(2022, 9, 19, 20, tzinfo=UTC)
    rows = [(begin + timedelta(days=d), 0.97 + 0.001 * d, 0.002, name) for d in (2, 0, 1) for name in ("1", "2")]
    figure = trend.trend(rows, quantity="gain", unit="e⁻/ADU", limits=Limits(0.9, 1.1))
    axis = figure.axes[0]
    assert {"gain (e⁻/ADU)", "time (UTC)", "gain"} <= texts(figure)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {
        "specification",
        "amplifier 1",
        "amplifier 2",
    }
    points = axis.containers[0][0]
    assert list(points.get_ydata()) == pytest.approx([0.97, 0.971, 0.972])
    assert list(points.get_xdata()) == [begin, begin + timedelta(days=1), begin + timedelta(days=2)]
    levels = [line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == "--"]
    assert levels == [0.9, 1.1]
    assert len(style.png(figure)) < 150_000


def test_trend_shows_hollow_what_counts_for_nothing():
    begin = datetime(2022, 9, 19, 20, tzinfo=UTC)
    rows = [(begin + timedelta(days=d), 0.97 + 0.1 * d, 0.002, "1") for d in (1, 0, 2)]
    figure = trend.trend(rows, quantity="gain", unit="e⁻/ADU", hollow=[2])
    (drawn,) = [line for line in figure.axes[0].lines if line.get_label() == "marked bad"]
    assert list(drawn.get_ydata()) == pytest.approx([1.17])
    assert drawn.get_markerfacecolor() == "white"
    assert "marked bad" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_trend_of_one_value_and_of_none():
    begin = datetime(2022, 9, 19, 20, tzinfo=UTC)
    one = trend.trend([(begin, 0.97, None, "1")], quantity="gain", unit="e⁻/ADU", limits=Limits(None, 1.0))
    first, last = one.axes[0].get_xlim()
    assert last - first == pytest.approx(2)
    assert len(style.png(one)) > 1000
    assert "no measurement on record" in texts(trend.trend([], quantity="gain", unit="e⁻/ADU"))


def test_no_state_is_left_behind():
    before = dict(mpl.rcParams)
    style.png(images_module.histogram(NOISE[:10], title="x"))
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in style.__dict__
