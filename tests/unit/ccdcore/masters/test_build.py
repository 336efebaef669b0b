"""Masters of simulated frames: right values, right uncertainties, right files."""

import re
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.consistency.blocks import block_residuals
from ccdcore.errors import FrameReadError, InsufficientDataError
from ccdcore.frames.frame import Frame, SeriesFrame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import read_frame
from ccdcore.io.write import write_hdulist
from ccdcore.masters.build import (
    MaskBit,
    Master,
    MasterInput,
    check_master,
    illuminated_region,
    master_bias,
    master_dark,
    master_flat,
    master_hdulist,
    read_master,
    residual,
)
from ccdcore.masters.file import MeasuredAmplifier
from ccdcore.recipe import BiasRecipe, DarkRecipe, FlatRecipe
from tests.support.simulate import (
    Camera,
    bias_pixels,
    cosmic_rays,
    dark_pixels,
    flat_pixels,
    four_amplifiers,
    spectrum_light,
    uniform_light,
)

GAIN, READ_NOISE_E = 1.5, 5.0
NOISE_ADU = READ_NOISE_E / GAIN
BEGIN = datetime(2022, 9, 19, 18, 30, tzinfo=UTC)
CAMERA = Camera(gain_e_per_adu=GAIN, read_noise_e=READ_NOISE_E, bias_adu=1000.0, shape=(64, 256))
SPECTROGRAPH = replace(CAMERA, shape=(100, 2048), amplifiers=(Amplifier("1", Section.whole((100, 2048))),))
FOUR_TAPS = Camera(
    gain_e_per_adu=(1.5, 1.6),
    read_noise_e=(4.0, 8.0),
    bias_adu=(1000.0, 1300.0),
    shape=(64, 136),
    amplifiers=(
        Amplifier("left", Section(3, 64, 1, 64), Section(65, 68, 1, 64)),
        Amplifier("right", Section(73, 134, 1, 64), Section(69, 72, 1, 64)),
    ),
)


def frame(camera, number, kind, data, exposure_time_s=0.0):
    """Return a frame in memory."""
    info = ExposureInfo(
        FrameType(kind),
        "told",
        "testcam",
        "told",
        "bin1x1",
        date_obs=BEGIN + timedelta(minutes=number),
        exposure_time_s=exposure_time_s,
    )
    return Frame(Path(f"/nights/{kind}_{number}.fits"), data, info, camera.amplifiers, f"{kind}{number}")


def biases(camera, n=10, seed=0, **options):
    rng = np.random.default_rng([seed, 1])
    return [frame(camera, i, "bias", bias_pixels(camera, rng, **options)) for i in range(n)]


def flats(camera, light, flux=(1.0, 1.0, 1.0, 1.0, 1.0), seed=0, **options):
    rng = np.random.default_rng([seed, 2])
    return [frame(camera, i, "flat", flat_pixels(camera, rng, light * f, **options), 5.0) for i, f in enumerate(flux)]


@pytest.fixture(scope="module")
def bias():
    return master_bias(biases(CAMERA))


def rms(values):
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def truth_of(light, region=None):
    """Return the flat that light without noise gives."""
    return light / light[illuminated_region(light) if region is None else region].mean()


class TestBias:
    def test_value_and_uncertainty(self):
        camera = replace(CAMERA, pattern_adu=0.0)
        master = master_bias(biases(camera, cosmic_ray_fraction=1e-3))
        expected = np.hypot(NOISE_ADU, np.sqrt(1 / 12)) / np.sqrt(10)
        assert master.unit == "adu"
        assert master.good.all()
        assert rms(master.value - 1000.0) == pytest.approx(expected, rel=0.03)
        assert rms(master.uncertainty) == pytest.approx(expected, rel=0.02)
        assert np.abs(master.value - 1000).max() < 7 * expected

    def test_the_noise_may_be_given_for_each_amplifier(self):
        frames = [replace(one, amplifiers=FOUR_TAPS.amplifiers) for one in biases(FOUR_TAPS, n=3)]
        master = master_bias(frames, noise_adu={"left": 4 / 1.5, "right": 8 / 1.6})
        measured = [rms(master.uncertainty[a.data.slices]) for a in FOUR_TAPS.amplifiers]
        assert measured == pytest.approx([4 / 1.5 / np.sqrt(3), 8 / 1.6 / np.sqrt(3)], rel=0.05)

    def test_inputs_are_on_record(self):
        frames = biases(CAMERA, n=3)
        master = master_bias(frames)
        assert [entry.sha256 for entry in master.inputs] == ["bias0", "bias1", "bias2"]
        assert master.inputs[1].date_obs == BEGIN + timedelta(minutes=1)
        assert master.inputs[0].level_adu == np.median(frames[0].data)
        assert master.inputs[0].scale == 1.0
        assert master.exposure_range_s == (0.0, 0.0)
        assert master.clip_sigma == (7.0, 7.0)

    def test_overscan_is_subtracted_and_the_outside_masked(self):
        frames = biases(FOUR_TAPS, n=5)
        drifting = [replace(one, data=one.data + np.uint16(30 * i)) for i, one in enumerate(frames)]
        master = master_bias(drifting)
        inside = (master.mask & MaskBit.OUTSIDE) == 0
        expected = np.zeros(FOUR_TAPS.shape, bool)
        for amplifier in FOUR_TAPS.amplifiers:
            expected[amplifier.data.slices] = True
        np.testing.assert_array_equal(inside, expected)
        assert (master.value[~inside] == 0).all()
        assert abs(master.value[inside].mean()) < 0.5
        assert rms(master.uncertainty[inside]) < 3

    def test_too_few_frames(self):
        with pytest.raises(
            InsufficientDataError, match=r"needs 3 frames, there are 2: .*min_frames in \[recipes.bias\]"
        ):
            master_bias(biases(CAMERA, n=2))
        assert master_bias(biases(CAMERA, n=1), recipe=BiasRecipe(min_frames=1)).n_used.max() == 1

    def test_other_shape(self):
        frames = biases(CAMERA, n=3)
        frames[2] = replace(frames[2], data=frames[2].data[:-1])
        with pytest.raises(InsufficientDataError, match=r"bias_2\.fits: its shape is \(63, 256\), .*bias_0\.fits"):
            master_bias(frames)

    def test_frames_may_be_read_from_their_paths(self, tmp_path):
        frames = biases(CAMERA, n=3)
        series = []
        for one in frames:
            path = tmp_path / one.path.name
            fits.PrimaryHDU(one.data).writeto(path)
            series.append(SeriesFrame(one.sha256, path, one.shape, one.info, one.amplifiers, ()))
        np.testing.assert_array_equal(master_bias(series).value, master_bias(frames).value)


class TestDark:
    def test_signal_of_one_exposure(self, bias):
        rng = np.random.default_rng(3)
        times = (299.0, 300.0, 300.0, 300.0, 301.0)
        frames = [
            frame(CAMERA, i, "dark", dark_pixels(CAMERA, rng, t, dark_current_e_per_s=0.3, hot_fraction=0), t)
            for i, t in enumerate(times)
        ]
        master = master_dark(frames, bias=bias, gain_e_per_adu=GAIN)
        error = master.value - 300 * 0.3 / GAIN
        assert (master.unit, master.exposure_s) == ("adu", 300.0)
        assert master.exposure_range_s == (299.0, 301.0)
        assert abs(error.mean()) < 0.05
        assert rms(error / master.uncertainty) == pytest.approx(1, abs=0.1)
        assert check_master(master, frames[0], bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN) == ()

    def test_exposures_are_not_mixed(self, bias):
        frames = [frame(CAMERA, i, "dark", CAMERA_DARK, t) for i, t in enumerate((1.0, 600.0, 600.0))]
        with pytest.raises(InsufficientDataError, match=r"dark_0\.fits was exposed for 1 s, .*dark_1\.fits for 600 s"):
            master_dark(frames, bias=bias)

    def test_exposure_must_be_known(self, bias):
        frames = [frame(CAMERA, i, "dark", CAMERA_DARK, None) for i in range(3)]
        with pytest.raises(InsufficientDataError, match=r"dark_0\.fits: its exposure time is None"):
            master_dark(frames, bias=bias, recipe=DarkRecipe())


CAMERA_DARK = np.full(CAMERA.shape, 1000, np.uint16)


class TestFlat:
    @pytest.mark.parametrize(
        ("camera", "light"),
        [
            (CAMERA, uniform_light(CAMERA.shape, 30_000)),
            (CAMERA, uniform_light(CAMERA.shape, 30_000, vignetting=0.4)),
            (SPECTROGRAPH, spectrum_light(SPECTROGRAPH.shape, 20_000)),
            (SPECTROGRAPH, spectrum_light(SPECTROGRAPH.shape, 20_000, n_traces=1, width=1.0)),
        ],
        ids=["uniform", "vignetted", "spectra", "one trace"],
    )
    def test_response_of_every_kind_of_light(self, camera, light):
        bias = master_bias(biases(camera))
        frames = flats(camera, light, (1.0, 0.5, 1.01, 0.98, 0.99), cosmic_ray_fraction=1e-3)
        master = master_flat(frames, bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN)
        region = illuminated_region(light)
        response = truth_of(light, region)
        pulls = (master.value - response)[master.good] / master.uncertainty[master.good]
        assert master.unit == ""
        assert master.value[region].mean() == pytest.approx(1, abs=1e-3)
        assert np.sqrt(np.mean(np.clip(pulls, -5, 5) ** 2)) == pytest.approx(1, abs=0.08)
        assert [entry.level_adu for entry in master.inputs] == pytest.approx(
            [light[region].mean() / GAIN * f for f in (1.0, 0.5, 1.01, 0.98, 0.99)], rel=0.01
        )
        assert max(entry.rejected_fraction for entry in master.inputs) < 0.002
        np.testing.assert_array_equal((master.mask & MaskBit.UNLIT) != 0, master.value < 0.05)
        assert check_master(master, frames[1], bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN) == ()

    def test_hot_pixels_and_cosmic_rays_do_not_make_the_region(self):
        rng = np.random.default_rng(9)
        light = spectrum_light(SPECTROGRAPH.shape, 1_000)
        hits = [cosmic_rays(light.shape, 3e-3, rng) for _ in range(3)]
        bias = master_bias(biases(SPECTROGRAPH, n=3))
        frames = [
            frame(SPECTROGRAPH, i, "flat", flat_pixels(SPECTROGRAPH, rng, light + hit), 5.0)
            for i, hit in enumerate(hits)
        ]
        master = master_flat(frames, bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN)
        region = illuminated_region(light)
        assert master.value[region].mean() == pytest.approx(1, abs=0.02)

    def test_dim_flats_are_used_like_any_other(self, bias):
        light = uniform_light(CAMERA.shape, 30_000)
        frames = flats(CAMERA, light, (1, 1, 1, 1, 1, 1, 1, 1, 1, 0.25, 0.25))
        master = master_flat(frames, bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN)
        assert max(entry.rejected_fraction for entry in master.inputs) < 1e-3

    def test_a_dark_of_another_exposure_is_not_removed(self, bias):
        rng = np.random.default_rng(5)
        darks = [frame(CAMERA, i, "dark", dark_pixels(CAMERA, rng, 60.0), 60.0) for i in range(3)]
        dark = master_dark(darks, bias=bias, gain_e_per_adu=GAIN)
        with pytest.raises(InsufficientDataError, match=r"its exposure is 5 s, that of the master dark 60 s"):
            master_flat(flats(CAMERA, uniform_light(CAMERA.shape, 3_000)), bias=bias, dark=dark)

    def test_dark_is_removed(self, bias):
        rng = np.random.default_rng(5)
        hot = {"dark_current_e_per_s": 1.0, "hot_fraction": 0.02}
        darks = [frame(CAMERA, i, "dark", dark_pixels(CAMERA, rng, 5.0, **hot), 5.0) for i in range(5)]
        dark = master_dark(darks, bias=bias, gain_e_per_adu=GAIN)
        light = uniform_light(CAMERA.shape, 3_000)
        current = 5.0 * np.where(np.random.default_rng(3).random(CAMERA.shape) < 0.02, 200.0, 1.0)
        frames = flats(CAMERA, light + current)
        master = master_flat(frames, bias=bias, dark=dark, gain_e_per_adu=GAIN)
        pulls = (master.value - truth_of(light)) / master.uncertainty
        assert np.abs(pulls[current > 500]).mean() < 1.2
        assert rms(pulls) == pytest.approx(1, abs=0.1)

    def test_median_of_the_whole_frame(self, bias):
        light = uniform_light(CAMERA.shape, 30_000)
        frames = flats(CAMERA, light)
        master = master_flat(frames, bias=bias, recipe=FlatRecipe(scale="median"), gain_e_per_adu=GAIN)
        assert master.inputs[0].level_adu == pytest.approx(np.median(frames[0].data - bias.value), rel=1e-6)
        illuminated = master_flat(frames, bias=bias, gain_e_per_adu=GAIN)
        np.testing.assert_allclose(master.value, illuminated.value, rtol=1e-4)

    def test_a_median_of_nothing_is_refused(self):
        light = spectrum_light(SPECTROGRAPH.shape, 20_000, n_traces=1)
        bias = master_bias(biases(SPECTROGRAPH, n=3))
        with pytest.raises(InsufficientDataError, match=r"flat_0\.fits: the median of the whole frame.*illuminated"):
            master_flat(flats(SPECTROGRAPH, light), bias=bias, recipe=FlatRecipe(scale="median"))

    def test_no_light_is_refused(self, bias):
        with pytest.raises(InsufficientDataError, match=r"flat_\d\.fits: the level of the illuminated region"):
            master_flat(flats(CAMERA, np.zeros(CAMERA.shape)), bias=bias)

    def test_a_bias_of_another_window_is_refused(self, bias):
        frames = flats(FOUR_TAPS, np.full(FOUR_TAPS.shape, 1000.0))
        with pytest.raises(
            InsufficientDataError, match=r"flat_0\.fits: its shape is \(64, 136\), that of the master bias"
        ):
            master_flat(frames, bias=bias)

    def test_outside_the_amplifiers_the_response_is_one(self):
        bias = master_bias(biases(FOUR_TAPS, n=5))
        light = np.full(FOUR_TAPS.shape, 20_000.0)
        master = master_flat(flats(FOUR_TAPS, light), bias=bias, gain_e_per_adu={"left": 1.5, "right": 1.6})
        outside = (master.mask & MaskBit.OUTSIDE) != 0
        assert (master.value[outside] == 1).all()
        assert (master.uncertainty[outside] == 0).all()
        left, right = (master.value[a.data.slices].mean() for a in FOUR_TAPS.amplifiers)
        assert left / right == pytest.approx(1.6 / 1.5, rel=1e-3)


class TestCheck:
    def test_good_bias(self):
        frames = biases(CAMERA, n=5)
        master = master_bias(frames)
        for one in (frames[0], biases(CAMERA, n=1, seed=8)[0]):
            assert check_master(master, one, noise_adu=NOISE_ADU) == ()

    def test_a_frame_that_does_not_belong(self):
        frames = biases(CAMERA, n=5)
        master = master_bias(frames)
        brighter = replace(frames[0], data=frames[0].data + np.uint16(5), sha256="other")
        noisier = frame(CAMERA, 7, "bias", bias_pixels(replace(CAMERA, read_noise_e=10.0), np.random.default_rng(1)))
        assert "bias_0.fits: it lies +5" in check_master(master, brighter)[0]
        assert "bias_7.fits: its residual scatters" in check_master(master, noisier)[0]

    def test_a_frame_of_two_kinds_of_pixels_has_a_scatter(self):
        frames = biases(CAMERA, n=5)
        data = frames[0].data.copy()
        data[::2] = 60_000  # exactly half of them: nothing lies near the middle of all
        (_, scatter) = check_master(master_bias(frames), replace(frames[0], data=data, sha256="spoilt"))
        assert re.search(r"its residual scatters \d+\.\d\d times", scatter)

    def test_a_level_that_drifts(self):
        frames = [replace(one, data=one.data + np.uint16(15 * i)) for i, one in enumerate(biases(CAMERA, n=5))]
        master = master_bias(frames, noise_adu=NOISE_ADU)
        remarks = check_master(master, frames[0], noise_adu=NOISE_ADU)
        assert any("times what a read noise of 3.33 ADU and 5 frames give" in remark for remark in remarks)

    def test_rejections_and_missing_pixels(self):
        frames = biases(CAMERA, n=5)
        struck = frames[0].data.copy()
        struck[:4] += 1000
        frames[0] = replace(frames[0], data=struck)
        master = master_bias(frames)
        mask = master.mask.copy()
        mask[:8] = MaskBit.NO_DATA
        remarks = check_master(replace(master, mask=mask), frames[1])
        assert "12.5% of the pixels have no value in any frame" in remarks
        assert "/nights/bias_0.fits: 6.2% of its pixels were rejected: it does not belong to this series" in remarks
        nothing = replace(master, mask=np.full_like(mask, MaskBit.NO_DATA))
        assert check_master(nothing, frames[1]) == ("no pixel of this master bias has a usable value",)

    def test_residual_is_masked_and_scaled(self, bias):
        frames = flats(CAMERA, uniform_light(CAMERA.shape, 30_000), (1.0, 0.5, 1.0))
        master = master_flat(frames, bias=bias, gain_e_per_adu=GAIN)
        left = residual(frames[1], master, bias=bias)
        assert abs(np.nanmedian(left)) < 1e-3
        assert np.nanstd(left) == pytest.approx(np.sqrt(2 / 30_000), rel=0.3)


CARDS = {
    "GAIN": (1.5, "[electron/adu] measured"),
    "FOCALLEN": np.float32(0.01),
    "RDNOISE": float("nan"),
    "FILTER": None,
    "CALIBID": np.int64(7),
    "PROCVER": "0.1.0",
    "INSTRUME": "caméra\n№1 " + "x" * 90,
    "DATE": datetime(2022, 9, 20, 1, 2, 3, tzinfo=UTC),
}


class TestFile:
    @pytest.fixture(params=["bias", "flat", "dark"])
    def master(self, request, bias):
        if request.param == "bias":
            return bias
        if request.param == "flat":
            return master_flat(flats(CAMERA, uniform_light(CAMERA.shape, 30_000)), bias=bias)
        rng = np.random.default_rng(3)
        return master_dark(
            [frame(CAMERA, i, "dark", dark_pixels(CAMERA, rng, 60.0), 60.0) for i in range(3)], bias=bias
        )

    def test_astropy_reads_it_without_being_told(self, master, tmp_path):
        path = tmp_path / "master.fits"
        write_hdulist(path, master_hdulist(master, CARDS))
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            ccd = CCDData.read(path)
            with fits.open(path, checksum=True) as hdus:
                hdus.verify("exception")
                names = [hdu.name for hdu in hdus[1:] if hdu.data is not None]
        assert [str(warning.message) for warning in heard] == []
        assert names == ["UNCERT", "MASK", "NCOMBINE", "PROVENANCE"]
        units = {"bias": u.adu, "dark": u.adu, "flat": u.dimensionless_unscaled}
        assert ccd.unit == units[master.kind]
        assert isinstance(ccd.uncertainty, StdDevUncertainty)
        np.testing.assert_array_equal(ccd.data, master.value)
        np.testing.assert_array_equal(ccd.uncertainty.array, master.uncertainty)
        np.testing.assert_array_equal(ccd.mask, ~master.good)

    def test_cards(self, master, tmp_path):
        path = tmp_path / "master.fits"
        write_hdulist(path, master_hdulist(master, CARDS))
        header = fits.getheader(path)
        assert header["IMAGETYP"] == f"Master {master.kind.title()}"
        assert header["COMBINED"] is True
        assert header["NCOMBINE"] == len(master.inputs)
        assert header["IMCMB001"] == f"{master.kind}_0.fits"
        assert header["DATE-OBS"] == "2022-09-19T18:30:00.000000"
        last = master.inputs[-1]
        assert datetime.fromisoformat(header["DATE-END"] + "Z") == last.date_obs + timedelta(
            seconds=last.exposure_time_s
        )
        assert (header["CLIPLOW"], header["CLIPHIGH"]) == master.clip_sigma
        assert header["EXPTIME"] == (1.0 if master.unit == "adu/s" else last.exposure_time_s)
        assert (header["GAIN"], header["CALIBID"]) == (1.5, 7)
        assert header.comments["GAIN"] == "[electron/adu] measured"
        assert header["INSTRUME"] == "camera?No1 " + "x" * 90
        assert header["DATE"] == "2022-09-20T01:02:03"
        assert not {"RDNOISE", "FILTER"} & set(header)

    @pytest.mark.parametrize(
        ("of_frames", "gain"),
        [({"GAIN": 1.4}, 0.97), ({"GAIN": 100, "OFFSET": 50}, 100), ({}, None)],
        ids=["electrons per ADU", "a setting", "none"],
    )
    def test_what_was_measured_stands_where_it_means_electrons(self, bias, of_frames, gain):
        one = MeasuredAmplifier(CAMERA.amplifiers[0], 0.97, 0.02, 2.8, 0.05)
        hdulist = master_hdulist(bias, {"RDNOISE": 5.0, "EGAIN": 1.3, **of_frames}, [one])
        header = hdulist[0].header
        assert [header[name] for name in ("EGAIN", "EGAINERR", "RDNOISE", "RDNOIERR")] == [0.97, 0.02, 2.8, 0.05]
        # Beside an EGAIN of the frames their GAIN is a setting.
        assert header.get("GAIN") == of_frames.get("GAIN")
        without = master_hdulist(bias, of_frames, [one])[0].header
        assert without.get("GAIN") == gain
        assert ("AMPLIFIERS" in hdulist, header["DATASEC"]) == (False, "[1:256,1:64]")
        not_measured = master_hdulist(bias, {"EGAIN": 1.3}, [MeasuredAmplifier(CAMERA.amplifiers[0])])[0].header
        assert (not_measured["EGAIN"], "RDNOISE" in not_measured) == (1.3, False)

    def test_several_amplifiers_are_a_table(self, bias, tmp_path):
        amplifiers = four_amplifiers().amplifiers
        measured = [MeasuredAmplifier(one, 1.0 + n, 0.1, 3.0 + n, None) for n, one in enumerate(amplifiers)]
        path = tmp_path / "master.fits"
        write_hdulist(path, master_hdulist(bias, {"GAIN": 1.4, "RDNOISE": 3.0, "CCDSEC": "[1:9,1:9]"}, measured))
        table = QTable.read(path, hdu="AMPLIFIERS")
        assert [str(name) for name in table["amplifier"]] == ["1", "2", "3", "4"]
        assert list(table["datasec"]) == [str(one.data) for one in amplifiers]
        assert list(table["gain_e_per_adu"]) == [1.0, 2.0, 3.0, 4.0]
        assert list(table["read_noise_e"]) == [3.0, 4.0, 5.0, 6.0]
        assert np.ma.getmaskarray(table["read_noise_uncertainty"]).all()
        header = fits.getheader(path)
        assert not {"EGAIN", "GAIN", "RDNOISE", "RDNOISE10", "CCDSEC", "DATASEC"} & set(
            header
        )  # nobody's number for all
        assert read_master(path).kind == "bias"

    @pytest.mark.parametrize(
        ("unit", "exposures", "said"),
        [("adu", (600.0, 602.0), 601.0), ("adu", (1.0, 600.0), None), ("adu/s", (1.0, 600.0), 1.0), ("", None, None)],
    )
    def test_exposure(self, bias, unit, exposures, said):
        master = replace(bias, unit=unit, exposure_range_s=exposures)
        assert master_hdulist(master)[0].header.get("EXPTIME") == said

    def test_types_in_capitals_as_they_were_written(self, bias, tmp_path):
        hdulist = master_hdulist(bias)
        hdulist[0].header["IMAGETYP"] = "MASTER BIAS"
        path = tmp_path / "master.fits"
        write_hdulist(path, hdulist)
        assert read_master(path).kind == "bias"

    def test_nobody_takes_a_rate_for_a_dark(self, bias, tmp_path):
        hdulist = master_hdulist(replace(bias, kind="darkrate", unit="adu/s"))
        assert hdulist[0].header["IMAGETYP"] == "Master Rate"
        for number, said in enumerate(["Master Rate", "Master Darkrate", "MASTER DARKRATE"]):
            hdulist[0].header["IMAGETYP"] = said
            path = tmp_path / f"{number}.fits"
            write_hdulist(path, hdulist)
            assert read_master(path).kind == "darkrate"

    def test_round_trip(self, master, tmp_path):
        path = tmp_path / "master.fits"
        write_hdulist(path, master_hdulist(master))
        again = read_master(path)
        for name in ("value", "uncertainty", "mask", "n_used"):
            np.testing.assert_array_equal(getattr(again, name), getattr(master, name))
            assert getattr(again, name).dtype == getattr(master, name).dtype
        for name in ("kind", "unit", "clip_sigma", "inputs", "exposure_range_s"):
            assert getattr(again, name) == getattr(master, name)

    def test_more_frames_than_card_names(self, bias, tmp_path):
        many = replace(bias, inputs=bias.inputs * 101)
        path = tmp_path / "many.fits"
        write_hdulist(path, master_hdulist(many))
        assert "IMCMB999" in fits.getheader(path)
        assert len(read_master(path).inputs) == 1010

    def test_not_a_master(self, tmp_path):
        path = tmp_path / "raw.fits"
        fits.PrimaryHDU(np.zeros((3, 3))).writeto(path)
        with pytest.raises(FrameReadError, match=r"raw\.fits: is not a master"):
            read_master(path)
        with pytest.raises(FrameReadError, match=r"missing\.fits: is not a master"):
            read_master(tmp_path / "missing.fits")


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=100)


@settings(max_examples=50, deadline=None)
@given(name=NAMES, card=st.text(max_size=200))
def test_hostile_text_makes_a_valid_file(name, card, tmp_path_factory):
    pixels = np.zeros((2, 2), np.float32)
    entry = MasterInput(Path("/data") / name, "ab" * 32, None, 1.0, 2.0, 0.0, None)
    master = Master("bias", pixels, pixels, pixels.astype(np.uint8), pixels.astype(np.uint16), "adu", (7, 7), (entry,))
    path = tmp_path_factory.getbasetemp() / "hostile.fits"
    hdulist = master_hdulist(master, {"OBSERVER": card, "GAIN": (1.0, card[:40])})
    hdulist.writeto(path, checksum=True, overwrite=True)
    assert read_master(path).inputs == (entry,)
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert all(" " <= character <= "~" for character in hdus[0].header["OBSERVER"])


def test_real_sky_flats(shared_data):
    frames = [read_frame(path) for path in sorted((shared_data / "eso-efosc2").glob("*.fits"))]
    bias_frames = [one for one in frames if one.info.frame_type is FrameType.BIAS]
    sky = [one for one in frames if one.path.name.startswith("EFOSC.2022-01-28")]
    bias = master_bias(bias_frames)
    master = master_flat(sky, bias=bias, gain_e_per_adu=1.2)
    assert rms(bias.uncertainty[bias.good]) == pytest.approx(10.24 / np.sqrt(3), rel=0.1)
    assert check_master(bias, bias_frames[0], noise_adu=10.24) == ()
    assert np.median(master.value[master.good]) == pytest.approx(1, abs=0.01)
    assert check_master(master, sky[0], bias=bias, noise_adu=10.24, gain_e_per_adu=1.2) == ()


@pytest.mark.parametrize(("level", "noise"), [(16.0, 0.25), (16.4, 0.25), (16.5, 0.4), (16.2, 0.8)])
def test_biases_of_coarse_steps_may_hardly_scatter(level, noise):
    """Ten bits shifted by six: the read noise is less than a step."""
    rng = np.random.default_rng(10)
    images = (64 * np.rint(level + rng.normal(0, noise, (8, *CAMERA.shape)))).astype(np.uint16)
    frames = [frame(CAMERA, n, "bias", image) for n, image in enumerate(images)]
    measured = max(float(np.var(images[0])) - 64**2 / 12, 0.0) ** 0.5
    assert check_master(master_bias(frames, noise_adu=measured), frames[4], noise_adu=measured) == ()


@pytest.mark.parametrize("limit", [4_000, 44_000, 65_535])
def test_saturated_pixels_of_flats_are_masked_wherever_the_limit_is(limit):
    rng = np.random.default_rng(limit)
    light = uniform_light(CAMERA.shape, 0.5 * limit * GAIN)
    light[20:24, 30:60] *= 4
    camera = replace(CAMERA, saturation_adu=limit)
    flats = [frame(camera, n, "flat", flat_pixels(camera, rng, light), 5.0) for n in range(5)]
    master = master_flat(flats, bias=master_bias(biases(CAMERA)))
    saturated = (master.mask & MaskBit.SATURATED) != 0
    assert saturated[20:24, 30:60].all()
    assert saturated.sum() == 4 * 30
    assert np.isfinite(master.value[~saturated]).all()
    assert master.value[master.good].mean() == pytest.approx(1, abs=0.01)


def test_where_one_flat_of_a_ramp_saturates_the_fainter_ones_give_the_value():
    rng = np.random.default_rng(3)
    camera = replace(CAMERA, saturation_adu=20_000)
    light = uniform_light(CAMERA.shape, 8_000.0 * GAIN)
    light[10:12, 10:20] *= 1.6
    ramp = [
        frame(camera, n, "flat", flat_pixels(camera, rng, light * flux), 5.0) for n, flux in enumerate((0.8, 1, 1, 1.6))
    ]
    master = master_flat(ramp, bias=master_bias(biases(CAMERA)))
    assert (master.mask[10:12, 10:20] == MaskBit.SATURATED).all()
    assert set(master.n_used[10:12, 10:20].ravel()) <= {2, 3}  # the 5 σ clip is tight for three values
    assert master.value[10:12, 10:20].mean() == pytest.approx(1.6, rel=0.02)


RAMP = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0])


@pytest.fixture(scope="module")
def ramp():
    """Flats from 800 to 40 000 electrons, their master, and what it would be of equal weights and the best ones."""
    camera = replace(CAMERA, shape=(150, 300), amplifiers=(Amplifier("1", Section.whole((150, 300))),), pattern_adu=0.0)
    light, bias = uniform_light(camera.shape, 40_000), master_bias(biases(camera, n=20))
    frames = flats(camera, light, flux=RAMP[[3, 7, 0, 9, 4, 8, 1, 6, 2, 5]], cosmic_ray_fraction=1e-4)
    made = master_flat(frames, bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN)
    variances = (READ_NOISE_E / (40_000 * RAMP)) ** 2 + 1 / (40_000 * RAMP)
    return (
        frames,
        bias,
        made,
        truth_of(light),
        np.sqrt(variances.mean() / RAMP.size),
        np.sqrt(1 / (1 / variances).sum()),
    )


def test_the_flats_of_a_ramp_count_by_their_noise(ramp):
    frames, bias, made, truth, equal, best = ramp
    scatter = np.std(made.value - truth)
    assert scatter < 1.05 * best < 0.5 * equal  # the bias adds something
    assert rms(made.uncertainty) == pytest.approx(scatter, rel=0.02)
    assert check_master(made, frames[0], bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN) == ()
    assert check_master(made, frames[3], bias=bias, noise_adu=NOISE_ADU, gain_e_per_adu=GAIN) == ()
    levels = [entry.level_adu for entry in made.inputs]
    weights = [entry.weight for entry in made.inputs]
    assert np.argsort(levels).tolist() == np.argsort(weights).tolist()
    assert np.mean(weights) == pytest.approx(1)


def test_residuals_of_a_ramp_have_the_noise_of_each_frame(ramp):
    frames, bias, made, *_ = ramp
    blocks = block_residuals(frames, made, bias=bias)
    scales = np.array([entry.scale for entry in made.inputs])
    expected = NOISE_ADU**2 * scales**2 + scales / GAIN
    np.testing.assert_allclose(blocks.pixel_variance / blocks.pixel_variance[0], expected / expected[0], rtol=0.05)


def test_flats_of_nearly_one_level_count_the_same(bias):
    drifting = flats(CAMERA, uniform_light(CAMERA.shape, 30_000), flux=(1.0, 1.05, 0.95, 1.1, 0.9))
    assert {entry.weight for entry in master_flat(drifting, bias=bias).inputs} == {1.0}


def test_faint_flats_of_a_ramp_are_not_told_against_by_their_overscan():
    light = uniform_light(FOUR_TAPS.shape, 60_000.0)
    ramp = flats(FOUR_TAPS, light, flux=(0.1, 0.1, 0.5, 0.5, 0.8, 0.8, 1.0, 1.0))
    bias = master_bias(biases(FOUR_TAPS))
    master = master_flat(ramp, bias=bias, gain_e_per_adu={"left": 1.5, "right": 1.6})
    assert max(entry.rejected_fraction for entry in master.inputs) < 1e-3
    assert check_master(master, ramp[0], bias=bias) == ()
