"""Calibrating: against the truth, and against the same by hand with ccdproc."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import ccdproc
import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty

from ccdcore.application import apply
from ccdcore.application.apply import calibrate
from ccdcore.application.flat_gain import flat_gain
from ccdcore.application.ingredients import Masters, Readout
from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import Frame
from ccdcore.frames.statistics import overscan_level
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.build import master_bias, master_flat
from ccdcore.reduction.master import MaskBit, Master, MasterInput
from tests.support.simulate import FOUR_GAINS, FOUR_READ_NOISES, Camera, expose, four_amplifiers, uniform_light

SKY_E, DARK_E_PER_S, EXPOSURE_S = 3000.0, 2.0, 100.0
CAMERA = four_amplifiers(rows=100, columns=120, overscan=16, pattern_adu=0.0)
READOUT = {str(n): Readout(*of) for n, of in enumerate(zip(FOUR_GAINS, FOUR_READ_NOISES, strict=True), start=1)}


def frame_of(pixels, amplifiers, exposure_s: float = EXPOSURE_S) -> Frame:
    info = ExposureInfo(
        FrameType.OTHER, "", "testcam", "", "bin1x1", datetime(2022, 9, 19, tzinfo=UTC), exposure_time_s=exposure_s
    )
    return Frame(Path("light.fits"), pixels, info, tuple(amplifiers), "0" * 64)


def master(kind, value, uncertainty, rng, unit="adu") -> Master:
    """Draw a master about its true value."""
    value = np.asarray(value, np.float64)
    drawn = rng.normal(value, uncertainty).astype(np.float32)
    sigma = np.full(value.shape, uncertainty, np.float32)
    zeros = np.zeros(value.shape, np.uint8)
    return Master(kind, drawn, sigma, zeros, zeros.astype(np.uint16), unit, (5.0, 5.0), ())


@pytest.fixture(scope="module")
def night():
    """A frame, masters of some uncertainty, and the true light of each pixel in electrons."""
    rng = np.random.default_rng(11)
    response = uniform_light(CAMERA.shape, 1.0, vignetting=0.3, prnu=0.02)
    gains, inside = np.ones(CAMERA.shape), np.zeros(CAMERA.shape, bool)
    for one, gain in zip(CAMERA.amplifiers, FOUR_GAINS, strict=True):
        gains[one.data.slices], inside[one.data.slices] = gain, True
    response /= response[inside].mean()
    pixels = expose(CAMERA, rng, SKY_E * response + DARK_E_PER_S * EXPOSURE_S)
    masters = Masters(
        bias=master("bias", np.zeros(CAMERA.shape), 1.0, rng),
        dark=master("darkrate", DARK_E_PER_S / gains, 0.05, rng, "adu/s"),
        flat=master("flat", response / gains / (response / gains)[inside].mean(), 0.01, rng, ""),
    )
    return frame_of(pixels, CAMERA.amplifiers), masters


FLAT_GAIN = 4 / sum(1 / gain for gain in FOUR_GAINS)
"""About that of the flat, which has the same light in all amplifiers."""


@pytest.mark.parametrize("unit", ["adu", "electron"])
def test_results_are_true_within_their_uncertainty(night, unit):
    found = calibrate(*night, READOUT, unit=unit)
    assert found.flat_gain_e_per_adu == pytest.approx(FLAT_GAIN, rel=0.01)
    pulls = []
    for one in CAMERA.amplifiers:
        truth = SKY_E / (found.flat_gain_e_per_adu if unit == "adu" else 1.0)
        value, uncertainty = (image[one.data.slices] for image in (found.value, found.uncertainty))
        pulls.append((value - truth) / uncertainty)
        assert not found.mask[one.data.slices].any()
    assert np.mean(pulls) == pytest.approx(0, abs=0.02)
    assert np.std(pulls) == pytest.approx(1, abs=0.02)


def exposed(camera, rng, kind, number, light=0.0, seconds=0.0) -> Frame:
    info = ExposureInfo(FrameType(kind), "", "testcam", "", "bin1x1", exposure_time_s=seconds)
    name = f"{kind}{number}"
    return Frame(Path(f"{name}.fits"), expose(camera, rng, light), info, camera.amplifiers, name)


@pytest.fixture(scope="module", params=[FOUR_GAINS, (1.0, 1.0, 1.0, 2.0)])
def real(request):
    """Masters as they are made of frames of four amplifiers of unlike gain, and the light of each pixel."""
    camera, rng = replace(CAMERA, gain_e_per_adu=request.param), np.random.default_rng(11)
    response = uniform_light(camera.shape, 1.0, vignetting=0.1, prnu=0.02)
    bias = master_bias([exposed(camera, rng, "bias", number) for number in range(9)])
    flats = [exposed(camera, rng, "flat", number, 20_000 * response, 5.0) for number in range(9)]
    readout = {one.name: Readout(g, 4.0) for one, g in zip(camera.amplifiers, request.param, strict=True)}
    readout = {name: replace(of, read_noise_e=READOUT[name].read_noise_e) for name, of in readout.items()}
    return camera, response, Masters(bias=bias, flat=master_flat(flats, bias=bias)), readout


def pulls_of(camera, found, truth):
    for one in camera.amplifiers:
        value, uncertainty, mask = (image[one.data.slices] for image in (found.value, found.uncertainty, found.mask))
        yield ((value - truth[one.data.slices]) / uncertainty)[mask == 0]


def lit_mean(camera, image):
    return np.mean([image[one.data.slices].mean() for one in camera.amplifiers])


def test_electrons_are_true_in_amplifiers_of_unlike_gain(real):
    camera, response, masters, readout = real
    frame = frame_of(expose(camera, np.random.default_rng(12), SKY_E * response), camera.amplifiers)
    adu, found = (calibrate(frame, masters, readout, unit=unit) for unit in ("adu", "electron"))
    truth = np.full(frame.shape, SKY_E * lit_mean(camera, response))
    for pulls in pulls_of(camera, found, truth):
        assert np.mean(pulls) == pytest.approx(0, abs=0.06)
        assert np.std(pulls) == pytest.approx(1, abs=0.03)
    for name in ("value", "uncertainty"):
        np.testing.assert_allclose(getattr(found, name), getattr(adu, name) * adu.flat_gain_e_per_adu, rtol=1e-6)


def test_without_a_flat_each_amplifier_has_its_own_gain(real):
    camera, response, masters, readout = real
    frame = frame_of(expose(camera, np.random.default_rng(13), SKY_E * response), camera.amplifiers)
    found = calibrate(frame, replace(masters, flat=None), readout, unit="electron")
    assert found.flat_gain_e_per_adu is None
    for pulls in pulls_of(camera, found, SKY_E * response):
        assert np.mean(pulls) == pytest.approx(0, abs=0.06)


def test_a_cut_of_the_flat_leaves_the_gain_of_all_of_it(real):
    camera, _, masters, readout = real
    gains = {name: one.gain_e_per_adu for name, one in readout.items()}
    gain, window = flat_gain(masters.flat, camera.amplifiers, gains), camera.amplifiers[3].data
    frame = frame_of(expose(camera, np.random.default_rng(14), SKY_E), camera.amplifiers)
    part = frame_of(frame.data[window.slices], [Amplifier("4", Section.whole(window.shape))])
    raised = replace(masters, bias=replace(masters.bias, value=masters.bias.value + np.float32(1070.0)))
    found = calibrate(part, raised.cut(window), readout, unit="electron", flat_gain_e_per_adu=gain)
    whole = calibrate(frame, masters, readout, unit="electron")
    np.testing.assert_allclose(found.value, whole.value[window.slices], atol=2.0)


def test_an_unlit_amplifier_and_masked_pixels_have_no_say_in_the_gain(real):
    camera, response, masters, readout = real
    gains = {name: one.gain_e_per_adu for name, one in readout.items()}
    light = response.copy()
    light[camera.amplifiers[0].data.slices] = 0.001
    rng = np.random.default_rng(15)
    flats = [exposed(camera, rng, "flat", number, 20_000 * light, 5.0) for number in range(9)]
    flat = master_flat(flats, bias=masters.bias)
    flat.value[camera.amplifiers[1].data.slices][3, 4:9] = 1e6
    flat.mask[camera.amplifiers[1].data.slices][3, 4:9] = MaskBit.HOT
    frame = frame_of(expose(camera, rng, SKY_E * light), camera.amplifiers)
    found = calibrate(frame, Masters(bias=masters.bias, flat=flat), readout, unit="electron")
    lit = camera.amplifiers[1:]
    truth = SKY_E * np.mean([light[one.data.slices].mean() for one in lit])
    for pulls in list(pulls_of(camera, found, np.full(frame.shape, truth)))[1:]:
        assert np.mean(pulls) == pytest.approx(0, abs=0.06)
    assert flat_gain(flat, camera.amplifiers, {name: gains[name] for name in "234"}) == found.flat_gain_e_per_adu
    with pytest.raises(InsufficientDataError, match="no good pixel in an amplifier whose gain is known"):
        flat_gain(flat, camera.amplifiers, {})


def test_one_amplifier_keeps_its_gain_whatever_the_flat():
    _, masters, _ = plain()
    amplifier = Amplifier("1", Section.whole((40, 50)))
    assert flat_gain(masters.flat, [amplifier], {"1": 1.5}) == 1.5
    assert flat_gain(masters.cut(Section(1, 20, 1, 20)).flat, [amplifier], {"1": 1.5}) == 1.5


def by_hand(frame: Frame, masters: Masters, amplifier: Amplifier, *, electrons: bool) -> CCDData:
    """Calibrate an amplifier as somebody does who has ccdproc and a page of its manual."""

    def ccd_of(one: Master, unit) -> CCDData:
        value, sigma = (image[amplifier.data.slices].astype(float) for image in (one.value, one.uncertainty))
        return CCDData(value, unit=unit, uncertainty=StdDevUncertainty(sigma))

    readout = READOUT[amplifier.name]
    gain = readout.gain_e_per_adu * u.electron / u.adu
    level = overscan_level(frame.data, amplifier.overscan)
    science = CCDData(frame.data[amplifier.data.slices].astype(float) - level, unit=u.adu)
    bias, flat = ccd_of(masters.bias, u.adu), ccd_of(masters.flat, u.dimensionless_unscaled)
    dark = ccd_of(masters.dark, u.adu / u.s).multiply(EXPOSURE_S * u.s)
    dark.unit = u.adu
    noise = ccdproc.create_deviation(
        ccdproc.subtract_bias(science, CCDData(bias.data, unit=u.adu)), gain, readout.read_noise_e * u.electron, True
    )
    science.uncertainty = StdDevUncertainty(noise.uncertainty.array)
    science = ccdproc.subtract_bias(science, bias)
    seconds = EXPOSURE_S * u.s
    science = ccdproc.subtract_dark(science, dark, dark_exposure=seconds, data_exposure=seconds)
    science = ccdproc.flat_correct(science, flat, norm_value=1)
    if not electrons:
        return science
    lit = [
        gains * masters.flat.value[one.data.slices] for one, gains in zip(CAMERA.amplifiers, FOUR_GAINS, strict=True)
    ]
    return ccdproc.gain_correct(science, np.mean(lit, dtype=float) * u.electron / u.adu)


@pytest.mark.parametrize("unit", ["adu", "electron"])
def test_it_is_what_ccdproc_gives(night, unit):
    found = calibrate(*night, READOUT, unit=unit)
    for one in CAMERA.amplifiers:
        hand = by_hand(*night, one, electrons=unit == "electron")
        sigma = hand.uncertainty.array
        for ours, theirs in ((found.value, hand.data), (found.uncertainty, sigma)):
            off = np.abs(ours[one.data.slices] - theirs)
            assert (off <= 1e-6 * sigma + 1e-6 * np.abs(theirs)).all()


def test_strips_leave_no_trace(night, monkeypatch):
    whole = calibrate(*night, READOUT)
    monkeypatch.setattr(apply, "_STRIP_PIXELS", 7 * 120)
    parts = calibrate(*night, READOUT)
    for name in ("value", "uncertainty", "mask"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def plain(shape=(40, 50), exposure_s: float = EXPOSURE_S):
    """Return a frame of one amplifier, its masters without noise, and its readout: 1000 ADU bias, 500 of light."""
    camera = Camera(1.5, 5.0, 1000.0, shape, pattern_adu=0.0)
    pixels = expose(camera, np.random.default_rng(3), 750.0)
    rng = np.random.default_rng(4)
    masters = Masters(
        bias=master("bias", np.full(shape, 1000.0), 0.0, rng),
        dark=master("darkrate", np.zeros(shape), 0.0, rng, "adu/s"),
        flat=master("flat", np.ones(shape), 0.0, rng, ""),
    )
    return frame_of(pixels, camera.amplifiers, exposure_s), masters, {"1": Readout(1.5, 5.0)}


def test_it_is_the_light_that_makes_noise_and_not_the_bias_under_it():
    frame, masters, readout = plain((200, 250))
    found = calibrate(frame, masters, readout)
    assert np.std((found.value - 500) / found.uncertainty) == pytest.approx(1, abs=0.02)


def test_a_sub_frame_takes_a_cut_of_the_masters():
    frame, masters, readout = plain()
    masters = replace(masters, bad_pixels=np.eye(40, 50, dtype=np.uint8) * np.uint8(MaskBit.HOT))
    window = Section(11, 30, 6, 25)
    part = frame_of(frame.data[window.slices], [Amplifier("1", Section.whole((20, 20)))])
    whole, found = calibrate(frame, masters, readout), calibrate(part, masters.cut(window), readout)
    for name in ("value", "uncertainty", "mask"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[window.slices])
    assert found.mask.any()


def test_masks_join_and_what_nobody_knows_is_no_number():
    frame, masters, readout = plain()
    frame.data[3, 4], frame.data[5, 6], frame.data[9, 9] = 65535, 60000, 59999
    masters.flat.value[0, 0] = 0
    masters.bias.value[1, 1] = np.nan
    masters.bias.mask[2, 2] = MaskBit.NO_DATA
    masters.flat.mask[2, 2] = MaskBit.UNLIT
    bad = np.zeros(frame.shape, np.uint8)
    bad[2, 2] = MaskBit.HOT
    found = calibrate(frame, replace(masters, bad_pixels=bad), readout, saturation_adu=60000)
    expected = np.zeros(frame.shape, np.uint8)
    expected[3, 4] = expected[5, 6] = MaskBit.SATURATED
    expected[0, 0] = expected[1, 1] = MaskBit.NO_DATA
    expected[2, 2] = MaskBit.NO_DATA | MaskBit.UNLIT | MaskBit.HOT
    np.testing.assert_array_equal(found.mask, expected)
    unknown = (found.mask & MaskBit.NO_DATA != 0) & (found.mask & MaskBit.HOT == 0)
    np.testing.assert_array_equal(~np.isfinite(found.value), unknown)
    np.testing.assert_array_equal(~np.isfinite(found.uncertainty), unknown)


def test_a_header_that_calls_all_pixels_saturated_is_not_believed():
    frame, masters, readout = plain()
    assert not calibrate(frame, masters, readout, saturation_adu=255).mask.any()


def test_pixels_outside_the_light_are_masked(night):
    frame, _ = night
    found = calibrate(*night, READOUT)
    outside = np.ones(frame.shape, bool)
    for one in CAMERA.amplifiers:
        outside[one.data.slices] = False
    np.testing.assert_array_equal(found.mask == MaskBit.OUTSIDE, outside)
    assert not found.value[outside].any()


def test_an_overscan_that_the_bias_did_without_is_left_alone():
    frame, masters, readout = plain()
    shifted = frame_of(frame.data, [Amplifier("1", Section(11, 50, 1, 40), Section(1, 10, 1, 40))])
    found = calibrate(shifted, masters, readout)  # its bias is that of the whole level
    assert np.nanmedian(found.value[:, 10:]) == pytest.approx(500, abs=5)


def test_without_a_bias_the_overscan_is_taken_off(night):
    frame, masters = night
    found = calibrate(frame, replace(masters, bias=None), READOUT)
    for one in CAMERA.amplifiers:
        assert np.median(found.value[one.data.slices]) * FLAT_GAIN == pytest.approx(SKY_E, rel=0.01)


def test_a_dark_of_the_exposure_is_scaled_by_what_little_they_differ():
    frame, masters, readout = plain(exposure_s=100.5)
    dark = master("dark", np.full(frame.shape, 100.0), 1.0, np.random.default_rng(5))
    of_100_s = replace(dark, exposure_range_s=(100.0, 100.0), inputs=(_input(100.0),))
    without = calibrate(frame, replace(masters, dark=None), readout)
    found = calibrate(frame, replace(masters, dark=of_100_s), readout)
    np.testing.assert_allclose(without.value - found.value, 1.005 * dark.value, rtol=1e-5)


def _input(seconds):
    return MasterInput(Path("dark.fits"), "0", None, 1.0, 0.0, 0.0, seconds)


def test_what_does_not_fit_is_refused():
    frame, masters, readout = plain()
    with pytest.raises(InsufficientDataError, match=r"light\.fits: its shape is \(40, 50\), that of the master bias"):
        calibrate(frame, masters.cut(Section(1, 20, 1, 20)), readout)
    with pytest.raises(InsufficientDataError, match=r"light\.fits: gain and read noise of its amplifier 1 are not kn"):
        calibrate(frame, masters, {})
    with pytest.raises(InsufficientDataError, match=r"light\.fits: its shape .* mask of bad pixels"):
        calibrate(frame, replace(masters, bad_pixels=np.zeros((2, 2), np.uint8)), readout)
    dark = replace(masters.dark, unit="adu", kind="dark", inputs=(_input(30.0),))
    with pytest.raises(InsufficientDataError, match=r"its exposure is 100 s, that of the master dark 30 s"):
        calibrate(frame, replace(masters, dark=dark), readout)
