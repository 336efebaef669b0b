"""Closed loops of the combiner, and its agreement with ccdproc."""

import os
import threading
import time
import tracemalloc
import warnings
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import ccdproc
import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.stats import mad_std
from astropy.utils.exceptions import AstropyUserWarning
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ccdcore.combining import combine as combining
from ccdcore.combining.combine import PRIOR_DEGREES_OF_FREEDOM, combine
from ccdcore.combining.pixel_stack import HeldPixels, Spool, SpooledPixels
from ccdcore.combining.sorting_network import network
from ccdcore.errors import FrameReadError, InsufficientDataError
from ccdcore.io.stored_pixels import StoredPixels
from tests.support.clipped_stack import clipped_stack

ROUNDING = np.sqrt(1 / 12)


@contextmanager
def small_strips(n_pixels):
    """Work on strips of this many pixels."""
    with patch.object(
        combining, "_strips", lambda n, *_: [slice(i, min(i + n_pixels, n)) for i in range(0, n, n_pixels)]
    ):
        yield


def same(one, other):
    """Require two combined images to be equal in all."""
    np.testing.assert_array_equal(one.value, other.value)
    np.testing.assert_array_equal(one.uncertainty, other.uncertainty)
    np.testing.assert_array_equal(one.n_used, other.n_used)
    assert one.rejected_fraction == other.rejected_fraction


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
    np.testing.assert_allclose(ours.value, theirs.data, rtol=0, atol=1e-9)


def test_integers_of_known_noise_have_the_rounding_as_least_scatter():
    frames = [np.full((1, 1), level, np.uint16) for level in (100, 100, 100, 101, 104)]
    assert combine(frames, clip_sigma=4, noise=0.0).n_used == 4  # within 4 √(1/12) + 1 ADU of the median
    assert combine(frames, clip_sigma=4).n_used == 3  # the MAD is 0


def test_same_mean_of_integers_as_ccdproc_however_small_their_noise():
    for sigma, n in ((0.3, 5), (0.6, 7), (1.2, 5), (3.5, 9)):
        _, frames = integers(np.random.default_rng(n), sigma, n, (60, 80), level=30_000.0)
        theirs = ccdproc.combine(
            [CCDData(frame, unit="adu") for frame in frames],
            sigma_clip=True,
            sigma_clip_low_thresh=3,
            sigma_clip_high_thresh=3,
            sigma_clip_func="median",
            sigma_clip_dev_func="mad_std",
        )
        np.testing.assert_allclose(combine(frames, clip_sigma=3).value, theirs.data, rtol=0, atol=1e-9)


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


RAMP = np.array([300.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0, 30_000.0])


@pytest.mark.parametrize("response", [1.0, 0.03])
@pytest.mark.parametrize("known", [True, False])
def test_the_uncertainty_of_a_weighted_mean_is_its_scatter(response, known):
    rng = np.random.default_rng(8)
    frames = [rng.normal(rng.poisson(response * level, (300, 400)), 10.0) for level in RAMP]
    weights = 1 / (10**2 / RAMP**2 + 1 / RAMP)  # those of a response of 1
    model = {"noise": 10.0, "scale_noise": True, "gain_e_per_adu": 1.0} if known else {}
    image = combine(frames, clip_sigma=50, scale=1 / RAMP, weights=weights, **model)
    assert np.mean(image.value) == pytest.approx(response, abs=5e-5)
    variances = 10**2 / RAMP**2 + response / RAMP
    assert np.std(image.value) == pytest.approx(np.sqrt(np.sum(weights**2 * variances)) / weights.sum(), rel=0.01)
    if known or response == 1:  # of what scatters otherwise than its weight says, only a model can tell
        assert np.sqrt(np.mean(image.uncertainty**2)) == pytest.approx(np.std(image.value), rel=0.01)
    plain = combine(frames, clip_sigma=50, scale=1 / RAMP, **model)
    assert np.std(image.value) < 0.4 * np.std(plain.value)


def test_frames_that_are_missing_or_clipped_take_their_weights_along():
    frames = [np.array([[10.0, 10.0, 10.0]]), np.array([[14.0, np.nan, 14.0]]), np.array([[11.0, 11.0, 900.0]])]
    image = combine(frames, clip_sigma=5, noise=2.0, weights=[2, 6, 4])
    np.testing.assert_allclose(image.value, [[(20 + 84 + 44) / 12, (20 + 44) / 6, (20 + 84) / 8]])
    np.testing.assert_array_equal(image.n_used, [[3, 2, 2]])


def test_what_is_far_for_the_noise_of_its_own_frame_is_left_out_however_faint_the_others_are():
    rng = np.random.default_rng(9)
    levels = np.array([500.0, 500.0, 700.0, 1000.0, 1500.0, 2000.0, 20_000.0, 40_000.0])
    frames = [rng.poisson(level, (80, 90)).astype(np.float64) for level in levels]
    frames[7][:, 20] *= 1.1  # 20 σ of its own noise, 2 σ of that of the faintest
    frames[6][:, 40] *= 0.85
    image = combine(
        frames, clip_sigma=5, scale=1 / levels, weights=levels, noise=0.1, scale_noise=True, gain_e_per_adu=1
    )
    assert (image.n_used[:, [20, 40]] == 7).all()
    assert (np.delete(image.n_used, [20, 40], axis=1) == 8).mean() > 0.999
    pulls = (image.value - 1) / image.uncertainty
    assert abs(pulls[:, 20].mean()) < 0.5
    assert abs(pulls[:, 40].mean()) < 0.5
    np.testing.assert_allclose(image.rejected_fraction[6:], 1 / 90, rtol=0.05)


def test_none_of_equal_values_is_far():
    frames = [np.full((1, 1), value, np.uint8) for value in (60, 56, 60, 60, 60)]
    scales, weights = (2.0, 0.5, 2.0, 0.5, 2.0), (1.6, 1.6, 1.0, 0.6, 0.1)
    image = combine(frames, clip_sigma=(7, np.inf), scale=scales, weights=weights, noise=0, gain_e_per_adu=1.5)
    assert (image.value[0, 0], image.n_used[0, 0]) == (120, 3)


def test_none_of_equal_values_is_far_where_others_were_left_out():
    """What is left of a pixel may be one value, several times, and its weighted mean off by rounding."""
    rng = np.random.default_rng(2)
    stack = rng.choice([60.0, 63.0, 56.0, 120.0], p=[0.5, 0.2, 0.15, 0.15], size=(8, 40, 40))
    for weights in rng.uniform(0.1, 10, (10, 8)):
        options = {"weights": weights, "passes": 1, "noise": 0.0}
        image = combine(list(stack), clip_sigma=(0, 0.5), scale_noise=True, gain_e_per_adu=1.5, **options)
        expected = clipped_stack(stack, low=0, high=0.5, photon=1 / 1.5, **options)
        np.testing.assert_array_equal(image.n_used, expected.n_used)


def test_equal_weights_are_none():
    frames = [np.full((3, 4), level, np.uint16) for level in (7, 9, 10)]
    same(combine(frames, noise=1.0, weights=[3, 3, 3]), combine(frames, noise=1.0))


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


KINDS = [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float16, np.float32, np.float64]
NOT_THERE = [np.nan, np.inf, -np.inf, 1e38, -1e38]


@st.composite
def stacks(draw):
    """Values with outliers and ties, of any number of frames and any type, floats with some that are not there."""
    kind = np.dtype(draw(st.sampled_from(KINDS))).newbyteorder(draw(st.sampled_from("<>")))
    n = draw(st.integers(1, 9) | st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scatter = draw(st.sampled_from([0.0, 0.4, 1.2, 5.0]))
    stack = rng.normal(60, scatter, (n, 3, 40))
    stack += rng.choice([0, 0, 0, 0, 0, 0, 3, -4, 60], stack.shape)
    stack = np.clip(stack, 0, 127)
    if kind.kind == "f":
        gone = rng.random(stack.shape) < draw(st.sampled_from([0.0, 0.2, 0.9]))
        stack[gone] = rng.choice(NOT_THERE[: 5 if kind.itemsize > 2 else 3], gone.sum())
    else:
        stack = np.rint(stack)
    return stack.astype(kind)


@settings(max_examples=200)
@given(
    stack=stacks(),
    clip=st.tuples(*[st.sampled_from([np.inf, np.inf, 7.0, 3.0, 2.0, 0.5, 0.0])] * 2),
    passes=st.sampled_from([0, 1, 1, 2, 10]),
    method=st.sampled_from(["mean", "median"]),
    noise=st.sampled_from([None, 0.0, 2.0]),
    masked=st.booleans(),
    scaled=st.booleans(),
    weighted=st.booleans(),
)
def test_the_compiled_loops_do_what_the_definition_says(stack, clip, passes, method, noise, masked, scaled, weighted):
    values, frames = stack.astype(np.float64), list(stack)
    values[np.abs(values) > 1e37] = np.nan
    if masked:
        mask = np.random.default_rng(len(stack)).random(stack.shape) < 0.3
        values, frames = np.where(mask, np.nan, values), list(np.ma.MaskedArray(stack, mask))
    quantum = float(stack.dtype.kind in "iu")
    scales = np.where(np.arange(len(stack)) % 2, 0.5, 2.0) if scaled else np.ones(len(stack))  # they are exact
    weights = np.random.default_rng(len(stack)).uniform(0.1, 10, len(stack)) if weighted and method == "mean" else None
    values = values * scales.reshape(-1, 1, 1)
    options = {"passes": passes, "method": method, "noise": noise, "weights": weights}
    gain = None if noise is None else 1.5
    photon = 0.0 if gain is None else 1 / gain
    expected = clipped_stack(
        values, low=clip[0], high=clip[1], photon=photon, scales=scales, quantum=quantum, **options
    )
    image = combine(frames, clip_sigma=clip, scale=scales, scale_noise=True, gain_e_per_adu=gain, **options)
    np.testing.assert_array_equal(image.n_used, expected.n_used)
    np.testing.assert_allclose(image.value, expected.value, rtol=1e-12, atol=0)
    np.testing.assert_allclose(image.uncertainty, expected.uncertainty, rtol=1e-5, atol=1e-6)
    assert np.isfinite(image.value[image.n_used > 0]).all()
    n_valid = np.isfinite(values).reshape(len(values), -1).sum(axis=1)
    np.testing.assert_allclose(image.rejected_fraction, expected.rejected / np.maximum(n_valid, 1))


@pytest.mark.parametrize("clip", [np.inf, (5.0, np.inf), (np.inf, 5.0)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_an_infinite_threshold_keeps_no_pixel_that_is_not_there(clip, kind):
    good = np.array([[10.0, 11.0, 12.0, 13.0]], kind)
    spoiled = np.array([[np.nan, np.inf, -np.inf, 13.0]], kind)
    masked = np.ma.MaskedArray(np.full((1, 4), 1000.0, kind), mask=[[False, False, False, True]])
    image = combine([good, spoiled, masked, good + 1], clip_sigma=clip, passes=0 if clip is np.inf else 1)
    assert (image.n_used <= 3).all()
    assert np.isfinite(image.value).all()
    assert (image.value[0] < 1001).all()


@settings(max_examples=40)
@given(stack=stacks(), clip=st.sampled_from([(3.0, 3.0), (7.0, 7.0), (2.0, 4.0)]))
def test_same_mean_as_ccdproc_whatever_the_stack(stack, clip):
    stack = np.where(np.abs(stack.astype(np.float64)) < 1e37, stack, np.nan)  # ccdproc takes 1e38 for a number
    combiner = ccdproc.Combiner(
        [CCDData(frame.astype(np.float64), unit="adu", mask=~np.isfinite(frame)) for frame in stack]
    )
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", (RuntimeWarning, AstropyUserWarning))  # pixels that are NaN in all frames
        combiner.sigma_clipping(
            low_thresh=clip[0],
            high_thresh=clip[1],
            func="median",
            dev_func=lambda values, axis: mad_std(values, axis=axis, ignore_nan=True),
        )
        theirs = combiner.average_combine()
    ours = combine(list(stack), clip_sigma=clip)
    np.testing.assert_allclose(ours.value, np.where(theirs.mask, np.nan, theirs.data), rtol=0, atol=1e-9)


def test_values_at_the_threshold_are_kept():
    column = np.array([100, 100, 100, 100, 100, 97, 103, 96, 104], np.uint16).reshape(-1, 1, 1)
    for kind in (np.uint16, np.float32, np.float64):
        image = combine(list(column.astype(kind)), clip_sigma=2.0, noise=1.0 if kind == np.uint16 else 1.5)
        assert image.n_used == 7, kind


@given(st.integers(1, 70), st.integers(0, 2**32))
def test_the_network_sorts(n, seed):
    values = np.random.default_rng(seed).integers(0, 9, n)
    expected = np.sort(values)
    for one, two in network(n):
        values[one], values[two] = min(values[one], values[two]), max(values[one], values[two])
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("n", [3, 4, 10, 31])
def test_uncertainty_of_a_median(n):
    frames = np.random.default_rng(n).normal(1000, 3, (n, 200, 300))
    image = combine(list(frames), method="median", noise=3.0)
    assert np.sqrt(np.mean(image.uncertainty**2)) == pytest.approx(np.std(image.value), rel=0.03)


def test_frames_are_shifted_then_scaled():
    frames = [np.full((4, 5), level, np.uint16) for level in (110, 60)]
    image = combine(frames, zero=lambda _: -10.0, scale=lambda pixels: 1 / np.median(pixels))
    np.testing.assert_allclose(image.value, 1.0)
    per_frame = combine(frames, scale=[1.0, 2.0], noise=np.array([1.0, 3.0]).reshape(2, 1, 1), scale_noise=True)
    one_noise = combine(frames, scale=[1.0, 2.0], noise=[[6.0]])
    assert per_frame.n_used.min() == one_noise.n_used.min() == 2
    assert combine(frames, noise=2.0, scale_noise=True, scale=[3.0, 3.0]).uncertainty[0, 0] == pytest.approx(
        combine([3.0 * frame for frame in frames], noise=6.0).uncertainty[0, 0]
    )


STACKS = hnp.arrays(
    st.sampled_from([np.uint16, np.float32]),
    st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 4)),
    elements=st.integers(0, 60_000),
)


@settings(max_examples=60)
@given(stack=STACKS, noise=st.sampled_from([None, 2.5]), rows=st.integers(1, 4))
def test_strips_do_not_matter(stack, noise, rows):
    columns = stack.shape[2]
    whole = combine(list(stack), noise=noise, gain_e_per_adu=1.5)
    with small_strips(columns * rows):
        strips = combine(list(stack), noise=noise, gain_e_per_adu=1.5, threads=3)
    np.testing.assert_array_equal(whole.value, strips.value)
    np.testing.assert_array_equal(whole.uncertainty, strips.uncertainty)
    np.testing.assert_array_equal(whole.n_used, strips.n_used)
    assert whole.rejected_fraction == strips.rejected_fraction


@settings(max_examples=60)
@given(stack=STACKS, data=st.data())
def test_the_order_of_the_frames_does_not_matter(stack, data):
    order = data.draw(st.permutations(range(len(stack))))
    image, shuffled = combine(list(stack)), combine([stack[i] for i in order])
    np.testing.assert_allclose(image.value, shuffled.value, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(image.n_used, shuffled.n_used)
    np.testing.assert_allclose([image.rejected_fraction[i] for i in order], shuffled.rejected_fraction)


@settings(max_examples=60)
@given(stack=STACKS)
def test_the_mean_lies_between_the_values_and_the_counts_agree(stack):
    image = combine(list(stack))
    assert (image.value >= stack.min(axis=0) * (1 - 1e-6)).all()
    assert (image.value <= stack.max(axis=0) * (1 + 1e-6)).all()
    assert stack.size - image.n_used.sum() == pytest.approx(sum(image.rejected_fraction) * stack[0].size, abs=1e-6)


def write(path, pixels, **cards):
    hdu = fits.PrimaryHDU(pixels)
    hdu.header.update(cards)
    hdu.writeto(path)
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_are_combined_as_arrays_are(tmp_path, kind, ending):
    frames = np.random.default_rng(8).integers(0, 120, (4, 30, 20)).astype(kind)
    paths = [write(tmp_path / f"{i}.fits{ending}", frame) for i, frame in enumerate(frames)]
    done = []
    with small_strips(140):
        image = combine(paths, progress=done.append)
    same(image, combine(list(frames)))
    assert done == [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1]


def test_compressed_files_that_do_not_fit_are_put_aside(tmp_path):
    frames = np.random.default_rng(8).integers(900, 1100, (4, 30, 20)).astype(np.uint16)
    paths = []
    for i, frame in enumerate(frames):
        paths.append(tmp_path / f"{i}.fits.fz")
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(frame)]).writeto(paths[-1])
    masked = np.ma.MaskedArray(frames[0], frames[0] > 1000)
    for more in ([], [lambda: masked]):
        held, aside = (combine([*paths, *more], memory_limit=limit) for limit in (2**29, 2 * frames[0].nbytes))
        same(held, aside)
    same(combine(paths), combine(list(frames)))


def test_pixels_that_are_no_plain_numbers_are_decoded(tmp_path):
    stored = np.arange(12, dtype=np.int16).reshape(3, 4)
    blank = write(tmp_path / "blank.fits", stored, BLANK=3)
    image = combine([blank], noise=1.0)
    assert image.n_used.tolist() == [[1, 1, 1, 0], [1] * 4, [1] * 4]
    scaled = fits.PrimaryHDU(stored)
    scaled.header["BSCALE"], scaled.header["BZERO"] = 2.0, 5.0
    scaled.writeto(tmp_path / "scaled.fits")
    cube = write(tmp_path / "cube.fits", (2 * stored + 5)[None])
    with fits.open(tmp_path / "scaled.fits") as hdus:
        expected = hdus[0].data.copy()
    for path in (tmp_path / "scaled.fits", cube):
        np.testing.assert_array_equal(combine([path]).value, expected)


@contextmanager
def before_second_strip(action):
    """Do something to a file when its first strip has been read, and before the next one is."""
    read = StoredPixels.read
    pending = [action]

    def acting(pixels, start, into):
        if start > 0 and pending:
            pending.pop()()
        read(pixels, start, into)

    with patch.object(StoredPixels, "read", acting):
        yield
    assert not pending


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: os.truncate(path, 4000), "changed while it was read: try again"),
        (lambda path: path.write_bytes(path.read_bytes()), "changed while it was read: try again"),
    ],
)
def test_a_file_that_vanishes_or_changes_is_named(tmp_path, action, reason):
    frames = np.zeros((3, 60, 50), np.uint16)
    paths = [write(tmp_path / f"{i}.fits", frame) for i, frame in enumerate(frames)]
    time.sleep(0.02)  # file systems date changes by the tick of the kernel
    with (
        small_strips(100),
        before_second_strip(lambda: action(paths[1])),
        pytest.raises(FrameReadError, match=rf"1\.fits.*{reason}"),
    ):
        combine(paths, threads=1)


def test_an_interrupt_stops_the_work():
    def interrupt(_):
        raise KeyboardInterrupt

    with small_strips(10), pytest.raises(KeyboardInterrupt):
        combine([np.zeros((100, 100), np.uint16)], progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("combine")]


PLAIN = np.zeros((4, 4))


@pytest.mark.parametrize(
    ("sources", "options", "error", "words"),
    [
        ([PLAIN], {"method": "Median"}, ValueError, "method = 'Median' is unknown: write 'mean' or 'median'"),
        ([PLAIN], {"method": "average"}, ValueError, "write 'mean' or 'median'"),
        ([PLAIN], {"method": None}, ValueError, "method = None is unknown"),
        ([PLAIN], {"clip_sigma": np.nan}, ValueError, "clip_sigma = nan: give a number from 0 on, or two"),
        ([PLAIN], {"clip_sigma": (3, -1)}, ValueError, r"clip_sigma = \(3, -1\)"),
        ([PLAIN], {"clip_sigma": (3, 4, 5)}, ValueError, r"\(below, above\); infinity clips nothing"),
        ([PLAIN], {"clip_sigma": None}, ValueError, "clip_sigma = None"),
        ([PLAIN], {"clip_sigma": "sigma"}, ValueError, "clip_sigma = 'sigma'"),
        ([PLAIN], {"passes": -1}, ValueError, "passes = -1: give a whole number from 0 on"),
        ([PLAIN], {"passes": 1.5}, ValueError, "passes = 1.5"),
        ([PLAIN], {"noise": -1.0}, ValueError, "noise: give numbers from 0 on"),
        ([PLAIN], {"noise": np.nan}, ValueError, "noise: give numbers from 0 on, none of them NaN"),
        ([PLAIN], {"noise": 1j}, ValueError, "noise"),
        ([PLAIN], {"noise": np.ones((3, 3))}, InsufficientDataError, r"noise has shape \(3, 3\)"),
        ([PLAIN], {"gain_e_per_adu": 0.0}, ValueError, "gain_e_per_adu: give positive numbers"),
        ([PLAIN], {"zero": [np.nan]}, InsufficientDataError, "give a finite number for each frame"),
        ([PLAIN], {"weights": [0]}, InsufficientDataError, "image 1: its weight is 0, which is no positive number"),
        ([PLAIN] * 2, {"weights": [1]}, InsufficientDataError, "1 weights for 2 frames: give one for each"),
        ([PLAIN], {"weights": [1], "method": "median"}, ValueError, "weights are those of a mean: leave them out"),
        ([PLAIN + 1j], {}, InsufficientDataError, "image 1: its pixels are complex numbers"),
        ([PLAIN, PLAIN.astype("c8")], {}, InsufficientDataError, "image 2: its pixels are complex numbers"),
        ([PLAIN.astype(str)], {}, InsufficientDataError, "image 1: its pixels are of type <U"),
        ([PLAIN.astype(object)], {}, InsufficientDataError, "image 1: its pixels are of type object"),
        ([lambda: PLAIN + 1j], {}, InsufficientDataError, "complex numbers: give images of real numbers"),
        ((frame for frame in [PLAIN]), {}, TypeError, r"not a generator: write combine\(list\(…\)\)"),
        (iter([PLAIN]), {}, TypeError, "not a list_iterator"),
        (map(abs, [PLAIN]), {}, TypeError, "not a map"),
        ({"a": PLAIN}, {}, TypeError, "not a dict"),
        ("bias.fits", {}, TypeError, r"write combine\(\['bias.fits', …\]\)"),
        (Path("bias.fits"), {}, TypeError, "combine wants a list of frames"),
        (None, {}, TypeError, "combine wants a list of frames, not a NoneType"),
        (PLAIN, {}, InsufficientDataError, "combine two-dimensional frames"),
        ([3.0], {}, InsufficientDataError, r"its shape is \(\)"),
        ((), {}, InsufficientDataError, "nothing to combine"),
        (np.zeros((0, 4, 4)), {}, InsufficientDataError, "nothing to combine"),
        ([CCDData(PLAIN, unit="adu"), CCDData(PLAIN, unit="electron")], {}, InsufficientDataError, "'electron'.*'adu'"),
        ([PLAIN, CCDData(PLAIN, unit="adu"), PLAIN * units.s], {}, InsufficientDataError, "image 3: its unit is 's'"),
    ],
)
def test_what_it_cannot_do_it_says(sources, options, error, words):
    with pytest.raises(error, match=words):
        combine(sources, **options)


def test_counts_of_all_names_are_one_unit_and_files_have_theirs(tmp_path):
    frames = [np.full((4, 4), 5, np.uint16)] * 2
    raw, dn = write(tmp_path / "raw.fits", frames[0]), write(tmp_path / "dn.fits.gz", frames[0], BUNIT="DN")
    assert combine([raw, dn, CCDData(PLAIN, unit="adu"), PLAIN]).value[0, 0] == 2.5
    for name in ("rate.fits", "rate.fits.gz"):
        rate = write(tmp_path / name, frames[0], BUNIT="adu/s")
        with pytest.raises(InsufficientDataError, match=r"its unit is 'adu/s', that of .*raw.fits is 'adu'"):
            combine([PLAIN, raw, rate])
        assert combine([rate, rate]).n_used[0, 0] == 2


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


def test_a_temporary_file_is_read_in_as_many_calls_as_it_takes(monkeypatch):
    held = HeldPixels("flat.fits.gz", np.arange(5000, dtype=np.uint16).reshape(50, 100))
    spooled = SpooledPixels.of(held, Spool())
    at_once = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, into, position: at_once(file, [into[0][:300]], position))
    np.testing.assert_array_equal(spooled.image(), held.data)
    spooled.spool.file.truncate(4000)
    with pytest.raises(FrameReadError, match=r"flat\.fits\.gz: its decoded pixels in .* were cut off: try again"):
        spooled.image()


def memory_of_noise_in_each_pixel(rows, weights):
    """Return the bytes that combining frames of so many rows takes at most, with a noise and a gain for each pixel."""
    shape = (rows, 1024)
    frames = [np.full(shape, 1000 + k, np.uint16) for k in range(3)]
    noise, gain = np.full(shape, 5, np.float32), np.full(shape, 1.5, np.float32)
    tracemalloc.start()
    try:
        with small_strips(2**18):
            combine(frames, noise=noise, gain_e_per_adu=gain, weights=weights, dtype=np.float32, threads=1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("weights", [None, [1, 2, 3]])
def test_the_noise_of_each_pixel_takes_no_room_of_its_own(weights):
    combining.warm_up()
    per_pixel = (memory_of_noise_in_each_pixel(3072, weights) - memory_of_noise_in_each_pixel(1024, weights)) / 2**21
    assert per_pixel < 24  # the result is 10; of a model of all pixels it is more than 40
