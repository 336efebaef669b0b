"""From header cards to what a frame is."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.dialects import (
    BINNING,
    BINNING_PAIR,
    GEOCENTRIC,
    KEYWORDS,
    PIPELINE_CARDS,
    PRODUCT_CARDS,
    READ_SETTINGS,
    REDUCTION_CARDS,
    REDUCTION_LEVEL,
    SERIAL_NUMBERS,
    SIDEREAL_TIMES,
    SITE_NAMES,
    TOTAL_EXPOSURE,
    WINDOW_ORIGINS,
    WINDOW_RECTANGLES,
)
from ccdcore.cards.times import moment
from ccdcore.cards.values import RepeatedCard, count, number, slug
from ccdcore.headers.identify import ExposureInfo, find_instrument, identify
from ccdcore.headers.instrument import FrameRule, FrameType, Instrument


def info(cards=None, *, filename="a1b2.fits", shape=(100, 2048), instruments=()):
    return identify(cards or {}, filename=filename, shape=shape, instruments=instruments)


TYPES = [
    # What a camera writes, the file's name, the type, and a part of the reason.
    ({"IMAGETYP": "Bias Frame"}, "x.fits", "bias", "IMAGETYP = 'Bias Frame'"),
    ({"IMAGETYP": "BIAS"}, "x.fits", "bias", "IMAGETYP"),
    ({"IMAGETYP": "zero"}, "x.fits", "bias", "IMAGETYP = 'zero'"),
    ({"IMAGETYP": "Dark Frame", "EXPTIME": 300.0}, "x.fits", "dark", "IMAGETYP"),
    ({"IMAGETYP": "Dark Frame", "EXPTIME": 0}, "x.fits", "bias", "with zero exposure"),
    ({"IMAGETYP": "DARKFLAT", "EXPTIME": 2}, "x.fits", "dark", "IMAGETYP"),
    ({"IMAGETYP": "Flat Field"}, "x.fits", "flat", "IMAGETYP"),
    ({"IMAGETYP": "FLAT"}, "x.fits", "flat", "IMAGETYP"),
    ({"IMAGETYP": "Tricolor Flat"}, "x.fits", "flat", "IMAGETYP"),
    ({"IMAGETYP": "Light Frame"}, "x.fits", "other", "IMAGETYP = 'Light Frame'"),
    ({"IMAGETYP": "Light Frame", "OBJECT": "Flat V"}, "x.fits", "flat", "OBJECT = 'Flat V'"),
    ({"IMAGETYP": "object", "OBJECT": "bias"}, "x.fits", "bias", "OBJECT = 'bias'"),
    ({"IMAGETYP": "Light Frame"}, "bias-007.fit", "bias", "the file name 'bias-007.fit'"),
    ({"IMAGETYP": "Light Frame"}, "dark_nebula.fit", "other", "IMAGETYP = 'Light Frame'"),
    ({"IMAGETYP": "Light Frame", "EXPTIME": 0.0}, "x.fits", "other", "Light Frame"),
    ({"IMAGETYP": "Master Flat"}, "x.fits", "other", "a combined frame"),
    ({"IMAGETYP": "bias", "COMBINED": True}, "x.fits", "other", "COMBINED = T: a combined frame"),
    ({"OBSTYPE": "SKYFLAT"}, "x.fits", "flat", "OBSTYPE = 'SKYFLAT'"),
    ({"OBSTYPE": "LAMPFLAT"}, "x.fits", "flat", "OBSTYPE"),
    ({"OBSTYPE": "EXPOSE", "OBJECT": "M 31"}, "x.fits", "other", "OBSTYPE = 'EXPOSE'"),
    ({"OBSTYPE": "ARC", "OBJECT": "flat"}, "x.fits", "other", "OBSTYPE = 'ARC', against OBJECT = 'flat'"),
    ({"FRAME": "Flat"}, "x.fits", "flat", "FRAME = 'Flat'"),
    ({"FRAME": "2017-07-14T08:19:52.905"}, "x.fits", "other", "no header card"),
    ({"EXPTYPE": "DARK", "EXPTIME": 60}, "x.fits", "dark", "EXPTYPE"),
    ({"ESO DPR TYPE": "BIAS"}, "x.fits", "bias", "ESO DPR TYPE"),
    ({"ESO DPR TYPE": "DARK", "EXPTIME": 0.0}, "x.fits", "bias", "ESO DPR TYPE = 'DARK' with zero exposure"),
    ({"ESO DPR TYPE": "DARK", "EXPTIME": 1800.0}, "x.fits", "dark", "ESO DPR TYPE"),
    ({"ESO DPR TYPE": "LAMP,FLAT"}, "x.fits", "flat", "ESO DPR TYPE"),
    ({"ESO DPR TYPE": "SKY,FLAT", "OBJECT": "SKY,FLAT"}, "x.fits", "flat", "ESO DPR TYPE"),
    ({"ESO DPR TYPE": "WAVE,LAMP"}, "x.fits", "other", "ESO DPR TYPE = 'WAVE,LAMP'"),
    ({"ESO DPR TYPE": "STD"}, "x.fits", "other", "ESO DPR TYPE = 'STD'"),
    ({"OBJECT": "BIAS", "EXPTIME": "0,00001"}, "x.fits", "bias", "OBJECT = 'BIAS'"),
    ({"OBJECT": "FLAT 1"}, "x.fits", "flat", "OBJECT"),
    ({"OBJECT": "domeflat R"}, "x.fits", "flat", "OBJECT"),
    ({"OBJECT": "Dark cloud B68"}, "x.fits", "other", "no header card"),
    ({"OBJECT": "M 31"}, "Bias_ 001.fits", "bias", "the file name 'Bias_ 001.fits'"),
    ({}, "flat_0001.fits.gz", "flat", "the file name"),
    ({}, "FlatV0003.FIT", "flat", "the file name"),
    ({}, "2022-09-19_dark_300s_004.fts", "dark", "the file name"),
    ({}, "zero0012.fits", "bias", "the file name"),
    ({}, "flattened_m31.fits", "other", "no header card"),
    ({"EXPTIME": 0}, "x.fits", "bias", "the exposure time is zero"),
    ({"EXPTIME": 12.0}, "x.fits", "other", "no header card, file name or exposure time tells its type"),
    ({"IMAGETYP": "Flat Field", "OBSTYPE": "bias"}, "x.fits", "other", "unclear: IMAGETYP = 'Flat Field' but OBSTYPE"),
    ({"IMAGETYP": "flat", "OBJECT": "bias"}, "x.fits", "flat", "IMAGETYP = 'flat', against OBJECT = 'bias'"),
    ({"IMAGETYP": "bias", "EXPTIME": 30}, "x.fits", "bias", "against an exposure of 30 s"),
    ({"IMAGETYP": "flat", "EXPTIME": 0}, "x.fits", "flat", "against a zero exposure"),
    ({"OBJECT": "bias or flat"}, "x.fits", "other", "no header card"),
    # A target that has the word of a type in its name.
    ({"IMAGETYP": "LIGHT", "OBJECT": "Flat Rock Nebula"}, "Flat Rock Nebula_001.fits", "other", "IMAGETYP = 'LIGHT'"),
    ({"IMAGETYP": "Light Frame", "OBJECT": "Flat Rock Nebula"}, "flat_01.fits", "other", "IMAGETYP = 'Light Frame'"),
    ({"IMAGETYP": "Light Frame", "OBJECT": "Zero Point Field 7"}, "x.fits", "other", "IMAGETYP = 'Light Frame'"),
    ({"FRAME": "Light", "OBJECT": "Bias"}, "x.fits", "other", "FRAME = 'Light'"),
    ({"OBSTYPE": "object", "OBJECT": "NGC 188 flat"}, "x.fits", "other", "OBSTYPE = 'object'"),
    ({"OBSTYPE": "object", "OBJECT": "dome flat Stromgren b", "FILTER": "Stromgren b"}, "x.fits", "flat", "OBJECT"),
    ({"OBSTYPE": "object", "OBJECT": "quartz flat on 3s"}, "x.fits", "flat", "OBJECT"),
    ({"OBSTYPE": "object", "OBJECT": "evening twilight flats r'"}, "x.fits", "flat", "OBJECT"),
    ({"IMAGETYP": "LIGHT", "OBJECT": ""}, "Flat_L_001.fits", "flat", "the file name 'Flat_L_001.fits', against I"),
    ({"IMAGETYP": "LIGHT"}, "LIGHT_flat_rock_001.fits", "other", "IMAGETYP = 'LIGHT'"),
    # Spellings of other programs and observatories.
    ({"IMAGETYP": "PLU"}, "x.fits", "flat", "IMAGETYP = 'PLU'"),
    ({"KOAIMTYP": "domeflat"}, "x.fits", "flat", "KOAIMTYP"),
    ({"IMGTYP": "twflat"}, "x.fits", "flat", "IMGTYP"),
    ({"IMAGETYP": "Bias Image"}, "x.fits", "bias", "IMAGETYP"),
    ({"IMAGETYP": "zeroframe"}, "x.fits", "bias", "IMAGETYP"),
    ({"IMAGETYP": "DarkFrame", "EXPTIME": 30.0}, "x.fits", "dark", "IMAGETYP"),
    ({"IMAGETYP": "FLATDARKS", "EXPTIME": 2.0}, "x.fits", "dark", "IMAGETYP"),
    # What other programs have made of frames.
    ({"IMAGETYP": "masterdarkflat"}, "x.fits", "other", "a combined frame"),
    ({"IMAGETYP": "superflat"}, "x.fits", "other", "a combined frame"),
    ({"IMAGETYP": "Median Bias"}, "x.fits", "other", "a combined frame"),
    ({"IMAGETYP": "Bias Frame"}, "mbias.fits", "other", "the file name 'mbias.fits': a combined frame"),
    ({"IMAGETYP": "FLAT"}, "masterflat_V.fit", "other", "a combined frame"),
    ({"IMAGETYP": "FLAT"}, "integration1.fit", "other", "a combined frame"),
    ({"IMAGETYP": "FLAT"}, "mFlat_R.fits", "other", "a combined frame"),
    ({"IMAGETYP": "BIAS"}, "bias_median.fits", "other", "a combined frame"),
    ({}, "bias_med.fits", "other", "a combined frame"),
    ({}, "V_flat_ave.fits", "other", "a combined frame"),
    ({}, "bias_comb.fits", "other", "a combined frame"),
    ({"IMAGETYP": "Flat-corrected light"}, "x.fits", "other", "IMAGETYP"),
    ({"IMAGETYP": "Dark subtracted"}, "x.fits", "other", "IMAGETYP"),
    ({"IMG-TYPE": "FLAT"}, "x.fits", "flat", "IMG-TYPE"),
    ({"IMAGETYP": "normalized flat"}, "x.fits", "other", "a combined frame"),
    ({"IMAGETYP": "averaged dark"}, "x.fits", "other", "a combined frame"),
    ({"IMAGETYP": "DOMEFLAT OFF"}, "x.fits", "other", "IMAGETYP = 'DOMEFLAT OFF'"),
    ({"OBSTYPE": "object", "OBJECT": "dome flat lamp off"}, "x.fits", "other", "OBSTYPE = 'object'"),
    ({"IMAGETYP": "Dark for flats", "EXPTIME": 2.0}, "x.fits", "dark", "IMAGETYP"),
    ({"IMAGETYP": "FLAT", "OBJECT": "integrating sphere"}, "x.fits", "flat", "IMAGETYP"),
    ({"IMAGETYP": "FLAT", "EXPTIME": 2.0, "LIVETIME": 40.0}, "x.fits", "other", "LIVETIME = 40, of exposures of 2 s"),
    ({"IMAGETYP": "FLAT", "EXPTIME": 2.0, "LIVETIME": 2.0}, "x.fits", "flat", "IMAGETYP"),
    ({"OBSTYPE": "BIAS", "RLEVEL": 91}, "x.fits", "other", "RLEVEL = 91: a product"),
    ({"OBSTYPE": "BIAS", "RLEVEL": 0, "PIPEVER": "1.0"}, "x.fits", "bias", "OBSTYPE"),
    ({"OBSTYPE": "FLAT", "PIPEVER": "v1.24"}, "x.fits", "other", "PIPEVER = 'v1.24': a product"),
    ({"OBSTYPE": "FLAT", "L1IDBIAS": "bias_20240310.fits"}, "x.fits", "other", "reduced already"),
    ({"IMAGETYP": "flat", "SUBBIAS": "ccd=<CCDData>"}, "x.fits", "other", "reduced already"),
]


@pytest.mark.parametrize(("cards", "filename", "frame_type", "reason"), TYPES)
def test_type_and_its_reason(cards, filename, frame_type, reason):
    found = info(cards, filename=filename)
    assert found.frame_type == frame_type, found.frame_type_reason
    assert reason in found.frame_type_reason


words = st.sampled_from(["Bias", "flat", "DARK", "zero", "Light Frame", "object", "M 31", "arc", "", "sky", "Master"])


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["IMAGETYP", "OBSTYPE", "OBJECT", "FRAME"], words)), words)
def test_a_calibration_type_always_quotes_a_word_that_says_so(cards, stem):
    found = info(cards, filename=f"{stem}_1.fits")
    spelt = {"bias": ("bias", "zero"), "flat": ("flat",), "dark": ("dark",), "other": ("",)}
    said = found.frame_type_reason.lower().split(", against ")[0]
    assert any(word in said for word in spelt[found.frame_type])


CAMERA = Instrument(
    name="m2-ml",
    match={"HEAD": "DU970P*"},
    header={"date_obs": "IMG_TS", "exposure_time": "IMG_EXP", "object": "TARGET", "gain": "GAIN"},
    exposure_time_unit_s=0.001,
    frame_type={
        FrameType.BIAS: FrameRule(filename="b*.fits"),
        FrameType.FLAT: FrameRule(cards={"LAMP": "on", "HIERARCH ESO SHUT": "Open"}, filename="*_f.fits"),
    },
    configuration=("HBIN", "VBIN", "READTIME"),
)
ANDOR = {"HEAD": "DU970P_BV", "INSTRUME": "spectrograph"}


def test_an_entry_names_the_instrument_and_reads_its_own_cards():
    found = info(
        ANDOR | {"IMG_TS": "2017-07-12T18:32:31.951Z", "IMG_EXP": 1999, "EXPTIME": 5, "DATE-OBS": "2000-01-01"},
        instruments=[Instrument("other", match={"HEAD": "iXon"}), CAMERA],
    )
    assert (found.instrument, found.instrument_reason) == ("m2-ml", "entry m2-ml: HEAD = 'DU970P_BV'")
    assert found.exposure_time_s == pytest.approx(1.999)
    assert found.date_obs == datetime(2017, 7, 12, 18, 32, 31, 951000, tzinfo=UTC)


def test_an_entry_without_conditions_matches_every_frame():
    assert info(instruments=[Instrument("cam")]).instrument_reason == "entry cam: it matches every frame"


@pytest.mark.parametrize(
    ("cards", "filename", "frame_type", "reason"),
    [
        ({"IMAGETYP": "flat"}, "B1.fits", "bias", "rule of entry m2-ml: file name 'b*.fits'"),
        ({"LAMP": "ON", "ESO SHUT": "open"}, "1_f.fits", "flat", "LAMP = 'on' and HIERARCH ESO SHUT = 'Open' and file"),
        ({"LAMP": "off", "ESO SHUT": "open"}, "1_f.fits", "other", "no header card"),
        (
            {"LAMP": "on", "ESO SHUT": "open"},
            "b_f.fits",
            "other",
            "unclear: the rules of entry m2-ml for bias and flat",
        ),
        ({"TARGET": "flat"}, "1.fits", "flat", "TARGET = 'flat'"),
    ],
)
def test_rules_of_the_entry_come_first(cards, filename, frame_type, reason):
    found = info(ANDOR | cards, filename=filename, instruments=[CAMERA])
    assert found.frame_type == frame_type
    assert reason in found.frame_type_reason


@pytest.mark.parametrize("image_type", ["Master Bias", "MASTER BIAS", "Master Flat", "Master Mask"])
@pytest.mark.parametrize("software", ["ccdwatch", None])
def test_masters_are_no_raw_frames(image_type, software):
    """Ours keep cards of raw ones, by which rules know those; also where it was written before they did."""
    cards = {
        "IMAGETYP": image_type,
        "COMBINED": True,
        "NCOMBINE": 5,
        "INSTRUME": "cam",
        "EXPTIME": 0.0,
        "SHUT": "closed",
    }
    rule = FrameRule(cards={"SHUT": "closed"})
    entry = Instrument(name="cam", match={"INSTRUME": "cam"}, frame_type={FrameType.BIAS: rule})
    cards |= {"PROCSOFT": software} if software else {}
    assert info(cards).frame_type is FrameType.OTHER
    assert info(cards).frame_type_reason.startswith("COMBINED = T: a combined frame, not a raw one")
    ruled = info(cards, instruments=[entry]).frame_type
    assert ruled is (FrameType.OTHER if software else FrameType.BIAS)
    without = {keyword: value for keyword, value in cards.items() if keyword not in {"COMBINED", "NCOMBINE"}}
    assert info(without).frame_type is FrameType.OTHER  # as other programs may write it again


def test_validity_of_an_entry_is_half_open():
    first = Instrument("first", valid_to=datetime(2022, 1, 1, tzinfo=UTC))
    second = Instrument("second", valid_from=datetime(2022, 1, 1, tzinfo=UTC))

    def name(cards):
        entry = find_instrument(cards, [second, first])
        return entry and entry.name

    assert name({"DATE-OBS": "2021-12-31T23:59:59.9"}) == "first"
    assert name({"DATE-OBS": "2022-01-01T00:00:00"}) == "second"
    assert name({}) is None


@pytest.mark.parametrize(
    ("cards", "name"),
    [
        ({"INSTRUME": "Cam 1", "HEAD": "x"}, "Cam-1"),
        ({"INSTRUME": " ", "HEAD": "DU970P_BV"}, "DU970P_BV"),
        ({"CAM_ID": "ESIS1"}, "ESIS1"),
        ({"INSTRUME": "../../etc"}, "etc"),
        ({"INSTRUME": "///"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_instrument_from_the_header(cards, name):
    assert info(cards).instrument == name


@pytest.mark.parametrize(
    ("cards", "configuration"),
    [
        ({}, "bin1x1"),
        ({"XBINNING": 2, "YBINNING": 3}, "bin2x3"),
        ({"CCDSUM": "2 4"}, "bin2x4"),
        ({"CCDSUM": "2.0 4.0"}, "bin2x4"),
        ({"BINNING": "2x2"}, "bin2x2"),
        ({"HBIN": "1", "VBIN": "1", "READTIME": 1e-06}, "bin1x1_readtime1e-06"),
        ({"HBIN": 1, "VBIN": 1, "READTIME": "1e-6"}, "bin1x1_readtime1e-06"),
        ({"ESO DET WIN1 BINX": 2, "ESO DET WIN1 BINY": 2, "ESO DET READ CLOCK": "L fast"}, "bin2x2_L-fast"),
        ({"XBINNING": 1, "GAIN": 100, "OFFSET": 50, "EGAIN": 0.25}, "bin1x1_gain100_offset50"),
        ({"GAIN": 1.3}, "bin1x1"),
        ({"XORGSUBF": 10, "YORGSUBF": 20}, "bin1x1_2048x100+10+20"),
        ({"XORGSUBF": 0, "YORGSUBF": 0}, "bin1x1"),
        ({"BEGX": 1, "BEGY": 1}, "bin1x1"),
        ({"BEGX": 101, "BEGY": 1}, "bin1x1_2048x100+100+0"),
        ({"BINNING": 2}, "bin2x2"),
        ({"GAIN": 120}, "bin1x1_gain120"),
        ({"GAIN": 0}, "bin1x1_gain0"),
        ({"GAIN": "high"}, "bin1x1_gainhigh"),
        # Settings of CMOS cameras and of those for daylight; what is usual needs no name.
        ({"ISOSPEED": 800}, "bin1x1_iso800"),
        ({"ISO": "1600"}, "bin1x1_iso1600"),
        ({"GAIN": 26, "BLKLEVEL": 20}, "bin1x1_gain26_offset20"),
        ({"GAIN": 26, "EXPOINUS": 1000}, "bin1x1_gain26"),
        ({"GAIN": 10, "USBLIMIT": 40, "INSTRUME": "x"}, "bin1x1_gain10"),
        ({"GAIN": 15, "INSTRUME": "ZWO ASI2600MM Pro"}, "bin1x1_gain15"),
        ({"GAIN": 0, "CAMERA": "QHY268M"}, "bin1x1_gain0"),
        ({"GAIN": 2.5, "INSTRUME": "Asiago 67/92"}, "bin1x1"),
        ({"GAIN": 60, "OFFSET": 30, "READMODE": 1}, "bin1x1_readmode1_gain60_offset30"),
        ({"GAIN": 60, "OFFSET": 30, "READMODE": 0}, "bin1x1_gain60_offset30"),
        ({"GAIN": 3.3, "READMODE": "Image"}, "bin1x1"),
        ({"READ-MODE": "16-bit HDR"}, "bin1x1_readmode16-bit-HDR"),
        ({"READMOD": "12-bit lo-gain"}, "bin1x1_readmode12-bit-lo-gain"),
        ({"CGMODE": "HCG"}, "bin1x1_convgainHCG"),
        ({"CONVGAIN": "LCG", "LOWNOISE": 1}, "bin1x1_convgainLCG_lownoise1"),
        ({"BITDEPTH": 12}, "bin1x1_bits12"),
        ({"BITDEPTH": 16, "ROWORDER": "TOP-DOWN"}, "bin1x1"),
        ({"ROWORDER": "BOTTOM-UP"}, "bin1x1_BOTTOM-UP"),
        ({"IMGRECT": "1, 1024,1024, 1", "SUBRECT": "1, 1024,1024,1"}, "bin1x1"),
        ({"IMGRECT": "1, 1024,1024, 1", "SUBRECT": "1, 512,1024, 1"}, "bin1x1_window-1-512-1024-1"),
    ],
)
def test_configuration(cards, configuration):
    assert info(cards).configuration == configuration


def test_configuration_by_the_entry():
    found = info(ANDOR | {"HBIN": 1, "VBIN": "1,0"}, instruments=[CAMERA])
    assert found.configuration == "hbin1_vbin1_readtimenone"


def test_fields_of_a_cmos_camera():
    found = info(
        {
            "DATE-OBS": "2024-03-01T20:15:30.123",
            "EXPOSURE": "2,5",
            "CCD-TEMP": np.float32(-20.5),
            "FILTER": " Ha ",
            "SITELONG": "-70:44:04.2",
            "GAIN": 100,
            "EGAIN": 0.25,
            "RDNOISE": "1.6",
            "NCOMBINE": 5,
        }
    )
    assert found == ExposureInfo(
        frame_type=FrameType.OTHER,
        frame_type_reason="no header card, file name or exposure time tells its type",
        instrument="unknown",
        instrument_reason="no header card names it",
        configuration="bin1x1_gain100",
        date_obs=datetime(2024, 3, 1, 20, 15, 30, 123000, tzinfo=UTC),
        exposure_time_s=2.5,
        ccd_temperature_c=-20.5,
        filter="Ha",
        longitude_deg=pytest.approx(-70.7345),
        header_gain_e_per_adu=0.25,
        header_read_noise_e=1.6,
        n_averaged=5,
    )


@pytest.mark.parametrize(
    ("cards", "field", "value"),
    [
        ({"ESO DET OUT1 GAIN": 0.91, "ESO DET OUT1 CONAD": 1.1}, "header_gain_e_per_adu", 1.1),
        ({"ESO DET OUT1 GAIN": 0.91}, "header_gain_e_per_adu", None),
        ({"GAIN": 100, "OFFSET": 50}, "header_gain_e_per_adu", None),
        ({"GAIN": "3.36"}, "header_gain_e_per_adu", 3.36),
        ({"GAIN": 0}, "header_gain_e_per_adu", None),
        ({"EXPTIME": "n/a", "EXPOSURE": 3}, "exposure_time_s", 3.0),
        ({"EXPTIME": -1}, "exposure_time_s", None),
        ({"EXPTIME": float("nan")}, "exposure_time_s", None),
        ({"TEMP": "-80,1"}, "ccd_temperature_c", -80.1),
        ({"TEMP": -999}, "ccd_temperature_c", None),
        ({"TEMP": 173.15}, "ccd_temperature_c", pytest.approx(-100)),
        ({"TEMP": 293.15}, "ccd_temperature_c", pytest.approx(20)),
        ({"TEMP": 25.0}, "ccd_temperature_c", 25.0),
        ({"TEMP": 999}, "ccd_temperature_c", None),
        ({"FILTER1": "open1-6", "FILTER2": "open2-8"}, "filter", "open"),
        ({"GAIN": 120}, "header_gain_e_per_adu", None),
        ({"GAIN": "high"}, "header_gain_e_per_adu", None),
        ({"FILTER": ""}, "filter", None),
        ({"FAFLTNM": "g' 480", "FBFLTNM": "Open", "ALFLTNM": "Open"}, "filter", "g' 480"),
        ({"FILTER1": "R", "FILTER2": "ND1"}, "filter", "R+ND1"),
        ({"FILTER1": "clear", "FILTER2": "Air"}, "filter", "open"),
        ({"FILTER": "Clear", "FILTER2": "R"}, "filter", "R"),
        ({"FILTER": "Clear", "FILTER1": "Clear", "FILTER2": "Air"}, "filter", "Clear"),
        ({"FILTER": "Clear", "FILTER1": 3}, "filter", "Clear"),
        ({"FILTER01": "NONE", "FILTER02": "SCFCFLBZ01"}, "filter", "SCFCFLBZ01"),
        ({"ESO INS FILT1 NAME": "free", "ESO INS FILT2 NAME": "R_SPECIAL"}, "filter", "R_SPECIAL"),
        ({"FILTERID": "V"}, "filter", "V"),
        ({"FLTRNM": "Ha"}, "filter", "Ha"),
        ({"LONGITUD": 289.2655}, "longitude_deg", pytest.approx(-70.7345)),
        ({"LONGITUD": "La Silla"}, "longitude_deg", None),
        ({"AVGFCTR": 1}, "n_averaged", 1),
        ({"NUMAVG": "4"}, "n_averaged", 4),
        ({"SNAPSHOT": 3}, "n_averaged", 3),
        ({"COADDS": 10}, "n_averaged", 10),
        ({"ESO DET NDIT": 2}, "n_averaged", 2),
        ({"STACKCNT": 8, "PROGRAM": "Siril 1.4.0"}, "n_averaged", 8),
        ({"FLAT_CNT": 20}, "n_averaged", 20),
        ({"NUMSTACK": "12"}, "n_averaged", 12),
    ],
)
def test_one_field(cards, field, value):
    assert getattr(info(cards), field) == value


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"DATE-OBS": "2022-01-26T19:03:08.541"}, "2022-01-26T19:03:08.541"),
        ({"DATE-OBS": "2022-01-26T19:03:08+02:00"}, "2022-01-26T17:03:08"),
        ({"DATE-OBS": "2022-01-26", "TIME-OBS": "19:03:08.5"}, "2022-01-26T19:03:08.5"),
        ({"DATE-OBS": "2022-01-26", "UT": "19:03:08."}, "2022-01-26T19:03:08"),
        ({"DATE-OBS": "2022-01-26"}, "2022-01-26T00:00:00"),
        ({"DATE-OBS": "", "FRAME": "2022-01-26T19:03:08", "DATE": "2022-01-26T19:04:00"}, "2022-01-26T19:03:08"),
        ({"FRAME": "Light", "DATE": "2022-01-26T19:04:00"}, "2022-01-26T19:04:00"),
        ({"MJD-OBS": 59605.75}, "2022-01-26T18:00:00"),
        ({"DATE-OBS": "2022-01-26T19:03:08", "TIMESYS": "UTC"}, "2022-01-26T19:03:08"),
        ({"DATE-OBS": "2022-01-26T19:03:45", "TIMESYS": "TAI"}, "2022-01-26T19:03:08"),
        ({"DATE-OBS": "24/01/92"}, "1992-01-24T00:00:00"),
        ({"DATE-OBS": "24/01/92", "UT": " 3:04:05.5"}, "1992-01-24T03:04:05.5"),
        ({"DATE-OBS": "2022/01/26 19:03:08"}, "2022-01-26T19:03:08"),
        ({"DATE-OBS": "01/24/92"}, None),
        ({"DATE-OBS": "24/01/12"}, None),
        ({"JD": 2459606.25}, "2022-01-26T18:00:00"),
        ({"JD-OBS": "2459606,25"}, "2022-01-26T18:00:00"),
        ({"MJD-OBS": 59605.75, "TIMESYS": "TAI"}, "2022-01-26T17:59:23"),
        ({"DATE-OBS": "2022-01-26T19:04:17.184", "TIMESYS": "TT"}, "2022-01-26T19:03:08"),
        ({"DATE-OBS": "2022-01-26T19:03:08", "TIMESYS": "UTC approximate"}, "2022-01-26T19:03:08"),
        ({"DATE-OBS": "2022-01-26T19:03:08", "TIMESYS": ""}, "2022-01-26T19:03:08"),
        ({"DATE-OBS": "2022-01-26T19:03:08", "TIMESYS": "LOCAL"}, None),
        ({"DATE-OBS": RepeatedCard(("2022-01-26", "2022-01-27"))}, None),
        ({"DATE-OBS": "0000-00-00T00:00:00"}, None),
        ({"DATE-OBS": 20220126}, "2022-01-26T00:00:00"),
        ({"MJD-OBS": -1e300}, None),
        ({}, None),
    ],
)
def test_begin_of_the_exposure(cards, expected):
    found = info(cards).date_obs
    assert found == (expected and datetime.fromisoformat(expected).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("cards", "doubt"),
    [
        ({"EXPTIME": RepeatedCard((3.0, 5.0))}, "EXPTIME stands more than once, as 3.0 and 5.0"),
        ({"FILTER": RepeatedCard(("V", "R"))}, "FILTER stands more than once, as 'V' and 'R'"),
        ({"EXPTIME": "3 apples"}, "EXPTIME = '3 apples' cannot be used"),
        ({"DATE-OBS": "24/01/12"}, "DATE-OBS = '24/01/12' cannot be used"),
        ({"DATE-OBS": "2022-01-26T19:03:08", "TIMESYS": "local"}, "(TIMESYS = 'local') cannot be used"),
    ],
)
def test_cards_that_cannot_be_used_are_said(cards, doubt):
    found = info(cards | {"IMAGETYP": "flat"})
    assert found.frame_type == "flat"
    assert found.frame_type_reason.startswith("IMAGETYP = 'flat'; ")
    assert found.frame_type_reason.endswith(doubt)
    assert (found.exposure_time_s, found.filter, found.date_obs) == (None, None, None)


def test_a_card_that_stands_twice_gives_way_to_one_that_stands_once():
    assert info({"EXPTIME": RepeatedCard((3.0, 5.0)), "EXPOSURE": 5.0}).exposure_time_s == 5.0


def test_two_types_in_one_header_are_unclear():
    found = info({"IMAGETYP": RepeatedCard(("flat", "bias"))})
    assert found.frame_type == "other"
    assert found.frame_type_reason.startswith("unclear: IMAGETYP = 'flat' but IMAGETYP = 'bias'")


def test_a_date_without_a_zone_is_refused_by_the_type():
    with pytest.raises(ValueError, match="date_obs has no time zone"):
        ExposureInfo(FrameType.BIAS, "", "a", "", "bin1x1", date_obs=datetime(2022, 1, 1))  # noqa: DTZ001


@given(st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)))  # noqa: DTZ001
def test_iso_dates_and_modified_julian_dates_agree(time):
    days = (time - datetime(1858, 11, 17)) / timedelta(days=1)  # noqa: DTZ001
    from_iso = moment({"DATE-OBS": time.isoformat()}, ["DATE-OBS"]).when
    from_mjd = moment({"MJD-OBS": days}, ["MJD-OBS"]).when
    assert from_iso == time.replace(tzinfo=UTC)
    assert abs(from_iso - from_mjd) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        (np.int16(3), 3.0),
        ("3.5 ", 3.5),
        ("0,00001", 1e-5),
        ("1E3", 1000.0),
        ("", None),
        ("3 s", None),
        (True, None),
        (None, None),
        (10**400, None),
        ("inf", None),
        ("1,000.5", None),
    ],
)
def test_number(value, expected):
    assert number(value) == expected


def test_count():
    assert [count(value) for value in (4, "2", 0, "x")] == [4, 2, None, None]


@given(st.text())
def test_a_slug_is_safe_in_a_path(text):
    name = slug(text)
    assert len(name) <= 48
    assert not name.startswith(".")
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-")
    assert slug(name) == name


def test_long_slugs_stay_different():
    assert slug("x" * 60 + "1") != slug("x" * 60 + "2")


ORIGINS = tuple(keyword for *keywords, _ in WINDOW_ORIGINS for keyword in keywords)
CHOSEN = (
    *BINNING_PAIR,
    *ORIGINS,
    *WINDOW_RECTANGLES,
    *REDUCTION_CARDS,
    *PRODUCT_CARDS,
    *SERIAL_NUMBERS,
    *SIDEREAL_TIMES,
    *SITE_NAMES,
    *GEOCENTRIC,
    *(keyword for _, keywords, _ in READ_SETTINGS for keyword in keywords),
    TOTAL_EXPOSURE,
    REDUCTION_LEVEL,
    *PIPELINE_CARDS,
    "TIMESYS",
)


@given(
    st.dictionaries(
        st.sampled_from([keyword for keywords in (*KEYWORDS.values(), *BINNING, CHOSEN) for keyword in keywords]),
        st.one_of(
            *(st.text(), st.floats(), st.integers(), st.booleans(), st.none(), st.complex_numbers()),
            st.builds(RepeatedCard, st.tuples(st.text(), st.floats())),
        ),
    )
)
def test_no_header_stops_identification(cards):
    assert isinstance(info(cards), ExposureInfo)


def test_importing_the_header_module_is_light():
    code = "import sys, ccdcore.headers.identify; sys.exit('numpy' in sys.modules or 'astropy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("cards", "filename", "n"),
    [
        ({"OBJECT": "flat, ave of 5"}, "x.fits", 5),
        ({"HISTORY": "average of 12 exposures"}, "x.fits", 12),
        ({}, "flat_avg_of_5_V.fits", 5),
        ({"OBJECT": "mean of 3", "NCOMBINE": 4}, "x.fits", 4),
        ({"OBJECT": "nave of 5 columns", "OBSERVER": "Ave Maria", "COUNT": 5}, "x.fits", 1),
    ],
)
def test_averages_are_told_by_words_too(cards, filename, n):
    assert info(cards, filename=filename).n_averaged == n
