"""Closed loops of the combiner, and its agreement with ccdproc."""

from pathlib import Path

import ccdproc
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.stats import mad_std
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ccdcore.combining import PRIOR_DEGREES_OF_FREEDOM, combine
from ccdcore.errors import InsufficientDataError

ROUNDING = np.sqrt(1 / 12)


def integers(rng, sigma, n, shape=(100, 500), level=1000.0):
    """Return frames of whole ADU about levels of any fraction of an ADU."""
    truth = level + rng.random(shape)
    return truth, list(np.rint(rng.normal(truth, sigma, (n, *shape))).astype(np.uint16))


@pytest.mark.parametrize("n", [2, 3, 8, 11])
@pytest.mark.parametrize("clip", [3.0, (4.0, 2.5)])
def test_same_mean_as_ccdproc(n, clip):
    rng = np.random.default_rng(n)
    frames = rng.normal(1000, 3, (n, 20, 30)).astype(np.float32)
    frames[0, :4] += 500
    low, high = clip if isinstance(clip, tuple) else (clip, clip)
    theirs = ccdproc.combine(
        [CCDData(frame, unit="adu") for frame in frames],
        sigma_clip=True,
        sigma_clip_low_thresh=low,
        sigma_clip_high_thresh=high,
        sigma_clip_func="median",
        sigma_clip_dev_func="mad_std",
    )
    ours = combine(list(frames), clip_sigma=clip)
    np.testing.assert_allclose(ours.value, theirs.data, atol=1e-4)


def test_integers_have_the_rounding_as_least_scatter():
    rng = np.random.default_rng(1)
    frames = np.rint(rng.normal(1000, 0.6, (7, 20, 30))).astype(np.int32)
    theirs = ccdproc.combine(
        [CCDData(frame, unit="adu") for frame in frames],
        sigma_clip=True,
        sigma_clip_low_thresh=3,
        sigma_clip_high_thresh=3,
        sigma_clip_func="median",
        sigma_clip_dev_func=lambda values, axis: np.maximum(mad_std(values, axis=axis), ROUNDING),
    )
    np.testing.assert_allclose(combine(list(frames), clip_sigma=3).value, theirs.data, atol=1e-4)


@pytest.mark.parametrize("n", [3, 5, 10, 30])
def test_uncertainty_is_the_scatter_of_the_mean(n):
    truth, frames = integers(np.random.default_rng(n), 2.0, n)
    image = combine(frames, noise=np.hypot(2.0, ROUNDING))
    predicted = np.sqrt(np.mean(np.square(image.uncertainty, dtype=np.float64)))
    assert predicted == pytest.approx(np.std(image.value - truth), rel=0.02)
    pulls = (image.value - truth) / image.uncertainty
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)


def test_uncertainty_without_noise_is_the_sample_scatter_of_the_mean():
    frames = np.random.default_rng(4).normal(1000, 3, (12, 30, 40))
    image = combine(list(frames), clip_sigma=50)
    np.testing.assert_allclose(image.uncertainty, frames.std(axis=0, ddof=1) / np.sqrt(12), rtol=1e-5)


def test_uncertainty_is_pooled_with_the_noise():
    image = combine([np.array([[10.0]]), np.array([[14.0]])], noise=3.0)
    variance = (PRIOR_DEGREES_OF_FREEDOM * 9 + 8) / (PRIOR_DEGREES_OF_FREEDOM + 1)
    assert image.uncertainty[0, 0] == pytest.approx(np.sqrt(variance / 2))


@pytest.mark.parametrize("n", [3, 4, 5, 10, 30])
@pytest.mark.parametrize("sigma", [1.2, 1.8, 3.0])
def test_good_integers_are_kept_when_the_noise_is_known(n, sigma):
    _, frames = integers(np.random.default_rng(n), sigma, n)
    image = combine(frames, clip_sigma=3, noise=np.hypot(sigma, ROUNDING))
    assert np.mean(image.rejected_fraction) <= 1.2 * 0.0027


def test_cosmic_rays_leave_no_trace():
    rng = np.random.default_rng(6)
    truth, frames = integers(rng, 2.0, 10)
    hit = rng.random((10, *truth.shape)) < 1e-3
    struck = [np.where(where, frame + 200, frame).astype(np.uint16) for where, frame in zip(hit, frames, strict=True)]
    image = combine(struck, noise=2.02)
    np.testing.assert_allclose(image.rejected_fraction, hit.mean(axis=(1, 2)), atol=1e-5)
    assert np.abs(image.value - truth).max() < 6 * 2.02 / np.sqrt(8)
    np.testing.assert_array_equal(image.n_used, 10 - hit.sum(axis=0))


def test_dim_frames_are_scaled_before_they_are_clipped():
    rng = np.random.default_rng(7)
    levels = np.array([20_000.0] * 9 + [5_000.0, 5_000.0])
    frames = [rng.poisson(level, (60, 80)).astype(np.uint16) for level in levels]
    frames[0][5, 5] += 2000
    frames[10][6, 6] += 2000
    image = combine(frames, clip_sigma=5, scale=20_000 / levels, noise=0.0, gain_e_per_adu=1.0)
    assert image.rejected_fraction[9] == 0
    assert (image.n_used[5, 5], image.n_used[6, 6]) == (10, 10)
    assert (image.n_used == 11).mean() > 0.999
    measured = np.std(image.value)
    assert np.sqrt(np.mean(image.uncertainty**2)) == pytest.approx(measured, rel=0.05)


def test_a_function_may_give_the_scale():
    frames = [np.full((4, 5), level) for level in (100.0, 50.0)]
    np.testing.assert_allclose(combine(frames, scale=lambda image: 1 / np.median(image)).value, 1.0)


def test_nan_infinite_and_masked_pixels_are_left_out():
    good = np.full((2, 3), 7.0)
    spoiled = good.copy()
    spoiled[0, 0], spoiled[0, 1] = np.nan, np.inf
    masked = np.ma.MaskedArray(good + 100, mask=True)
    image = combine([good, spoiled, masked, CCDData(good + 50, unit="adu", mask=np.ones((2, 3), bool))])
    np.testing.assert_array_equal(image.value, good)
    np.testing.assert_array_equal(image.n_used, [[1, 1, 2], [2, 2, 2]])


def test_what_is_not_known_is_said():
    empty = np.full((1, 2), np.nan)
    nothing = combine([empty])
    assert np.isnan(nothing.value).all()
    assert np.isinf(nothing.uncertainty).all()
    assert (nothing.n_used == 0).all()
    one = np.array([[5.0, 6.0]])
    assert np.isinf(combine([one]).uncertainty).all()
    np.testing.assert_allclose(combine([one], noise=2.0).uncertainty, 2.0)
    np.testing.assert_allclose(combine([one, empty], noise=2.0).uncertainty, 2.0)


STACKS = hnp.arrays(
    st.sampled_from([np.uint16, np.float32]),
    st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 4)),
    elements=st.integers(0, 60_000),
)


@settings(max_examples=60, deadline=None)
@given(stack=STACKS, noise=st.sampled_from([None, 2.5]), rows=st.integers(1, 4))
def test_strips_do_not_matter(stack, noise, rows):
    n, _, columns = stack.shape
    whole = combine(list(stack), noise=noise, gain_e_per_adu=1.5)
    strips = combine(list(stack), noise=noise, gain_e_per_adu=1.5, memory_limit=2 * 48 * n * columns * rows)
    np.testing.assert_array_equal(whole.value, strips.value)
    np.testing.assert_array_equal(whole.uncertainty, strips.uncertainty)
    np.testing.assert_array_equal(whole.n_used, strips.n_used)
    assert whole.rejected_fraction == pytest.approx(strips.rejected_fraction, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(stack=STACKS, data=st.data())
def test_the_order_of_the_frames_does_not_matter(stack, data):
    order = data.draw(st.permutations(range(len(stack))))
    image, shuffled = combine(list(stack)), combine([stack[i] for i in order])
    np.testing.assert_allclose(image.value, shuffled.value, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(image.n_used, shuffled.n_used)
    np.testing.assert_allclose([image.rejected_fraction[i] for i in order], shuffled.rejected_fraction)


@settings(max_examples=60, deadline=None)
@given(stack=STACKS)
def test_the_mean_lies_between_the_values_and_the_counts_agree(stack):
    image = combine(list(stack))
    assert (image.value >= stack.min(axis=0) * (1 - 1e-6)).all()
    assert (image.value <= stack.max(axis=0) * (1 + 1e-6)).all()
    assert stack.size - image.n_used.sum() == pytest.approx(sum(image.rejected_fraction) * stack[0].size, abs=1e-6)


def test_files_are_combined_as_arrays_are(tmp_path):
    frames = np.random.default_rng(8).integers(900, 1100, (4, 30, 20)).astype(np.uint16)
    paths = [tmp_path / f"{i}.fits" for i in range(4)]
    for path, frame in zip(paths, frames, strict=True):
        fits.PrimaryHDU(frame).writeto(path)
    done = []
    by_path = combine(paths, memory_limit=2 * 48 * 4 * 20 * 7, progress=done.append)
    np.testing.assert_array_equal(by_path.value, combine(list(frames)).value)
    read_again_for_each_row = combine(paths, memory_limit=4 * frames[0].nbytes)
    np.testing.assert_array_equal(by_path.value, read_again_for_each_row.value)
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert len(done) == 5


def test_errors_say_what_and_which(tmp_path):
    with pytest.raises(InsufficientDataError, match="nothing to combine: give at least one frame"):
        combine([])
    path = tmp_path / "small.fits"
    fits.PrimaryHDU(np.zeros((3, 3), np.int16)).writeto(path)
    with pytest.raises(InsufficientDataError, match=r"small\.fits: its shape is \(3, 3\), that of image 1 is \(4, 4\)"):
        combine([np.zeros((4, 4)), path])
    with pytest.raises(InsufficientDataError, match="image 2: cannot be scaled by -1"):
        combine([np.zeros((4, 4))] * 2, scale=[1, -1])
    with pytest.raises(InsufficientDataError, match="3 scales for 2 frames: give one for each"):
        combine([np.zeros((4, 4))] * 2, scale=[1, 1, 1])
    with pytest.raises(OSError, match=r"missing\.fits"):
        combine([Path("missing.fits")])
