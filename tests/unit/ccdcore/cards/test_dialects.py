"""Headers as cameras and observatories really spell them, each read without any configuration."""

from datetime import UTC, datetime

import pytest

from ccdcore.headers.identify import identify

# Name of the fragment → file name, cards, and what must be read from them.
FRAGMENTS = {
    "MaxIm DL bias": (
        "Bias-0001Bias.fit",
        {"IMAGETYP": "Bias Frame", "DATE-OBS": "2019-05-04T02:11:09", "EXPTIME": 0.0, "EXPOSURE": 0.0}
        | {"SET-TEMP": -20.0, "CCD-TEMP": -19.97, "XPIXSZ": 9.0, "XBINNING": 1, "YBINNING": 1, "XORGSUBF": 0}
        | {"YORGSUBF": 0, "READOUTM": "8 MHz", "EGAIN": 1.3, "SWCREATE": "MaxIm DL Version 6.20", "CALSTAT": ""}
        | {"INSTRUME": "Apogee USB/Net", "JD": 2458607.591076389},
        {"frame_type": "bias", "configuration": "bin1x1_8-MHz", "header_gain_e_per_adu": 1.3},
    ),
    "MaxIm DL twilight taken as light": (
        "AutoFlat-PANoRot-Red-Bin2-003.fit",
        {"IMAGETYP": "LIGHT", "FILTER": "Red", "EXPTIME": 1.7, "XBINNING": 2, "YBINNING": 2, "OBJECT": ""},
        {"frame_type": "flat", "configuration": "bin2x2", "filter": "Red", "exposure_time_s": 1.7},
    ),
    "MaxIm DL flat already calibrated": (
        "flat.fit",
        {"IMAGETYP": "Flat Field", "CALSTAT": "BD", "EXPTIME": 3.0},
        {"frame_type": "other", "frame_type_reason": "CALSTAT = 'BD': reduced already, not a raw frame"},
    ),
    "ASCOM subframe": (
        "d.fits",
        {"IMAGETYP": "DARK", "EXPTIME": 60, "XBINNING": 1, "YBINNING": 1, "XORGSUBF": 100, "YORGSUBF": 0},
        {"frame_type": "dark", "configuration": "bin1x1_2048x100+100+0"},
    ),
    "SBIG CCDOPS": (
        "flat.003.fit",
        {"OBJECT": "", "INSTRUME": "SBIG ST-8", "EXPTIME": 12.0, "DATE-OBS": "24/01/98", "TIME-OBS": "03:12:44"}
        | {"E-GAIN": 2.52, "TEMPERAT": -10.3, "XPIXSZ": 18.0, "YPIXSZ": 18.0, "CCDXBIN": 2, "CCDYBIN": 2}
        | {"SNAPSHOT": 1, "FILTER": "V"},
        {"frame_type": "flat", "configuration": "bin2x2", "header_gain_e_per_adu": 2.52, "ccd_temperature_c": -10.3}
        | {"date_obs": datetime(1998, 1, 24, 3, 12, 44, tzinfo=UTC), "instrument": "SBIG-ST-8"},
    ),
    "CCDSoft by number": (
        "NoName.00000021.FIT",
        {"PICTTYPE": 2, "EXPTIME": 0.0, "CCD-TEMP": -15.2, "INSTRUME": "SBIG ST-10", "SWCREATE": "CCDSoft Version 5"},
        {"frame_type": "bias", "frame_type_reason": "PICTTYPE = 2"},
    ),
    "CCDSoft flat taken as light": (
        "flat.00000003.FIT",
        {"PICTTYPE": 1, "EXPTIME": 4.0},
        {"frame_type": "flat", "frame_type_reason": "the file name 'flat.00000003.FIT', against PICTTYPE = 1"},
    ),
    "CCDSoft light": ("M57.00000001.FIT", {"PICTTYPE": 1, "EXPTIME": 60.0}, {"frame_type": "other"}),
    "Andor Solis": (
        "Flat_ 04.fits",
        {"HEAD": "DU970P_BV", "ACQMODE": "Single Scan", "READMODE": "Image", "IMGRECT": "1, 2048, 100, 1"}
        | {"SUBRECT": "1, 2048, 100, 1", "HBIN": 1, "VBIN": 1, "DATE": "2022-09-21T19:00:12", "EXPOSURE": 8.0}
        | {"TEMP": -70.0, "READTIME": 1e-06, "FRAME": "2022-09-21T19:00:00.125", "CTYPE1": "Pixel number"},
        {"frame_type": "flat", "exposure_time_s": 8.0, "ccd_temperature_c": -70.0}
        | {"date_obs": datetime(2022, 9, 21, 19, 0, 0, 125000, tzinfo=UTC), "configuration": "bin1x1_readtime1e-06"},
    ),
    "Andor with decimal commas": (
        "x_0001.fits",
        {"HEAD": "DU888_BV", "OBJECT": "BIAS", "EXPTIME": "0,00001", "EXPOSURE": "0,00001", "TEMP": "-80,1"}
        | {"GAIN": "3.36", "RDNOISE": "6.66", "READTIME": 1e-06, "PREAMP": "1x", "OUTPTAMP": "Conventional"}
        | {"HBIN": "1", "VBIN": "1", "DATE-OBS": "2017-07-14T08:19:52.905"},
        {"frame_type": "bias", "exposure_time_s": 1e-5, "ccd_temperature_c": -80.1, "header_gain_e_per_adu": 3.36}
        | {"configuration": "bin1x1_readtime1e-06_1x_Conventional", "header_read_noise_e": 6.66},
    ),
    "Andor with electron multiplication": (
        "dark.fits",
        {"HEAD": "DU897_BV", "EXPOSURE": 0.5, "EMREALGN": 300, "HBIN": 1, "VBIN": 1, "READTIME": 1e-07},
        {"frame_type": "dark", "configuration": "bin1x1_readtime1e-07_emgain300"},
    ),
    "ESO bias of no name": (
        "EFOSC.2022-01-26T19:03:08.542.fits",
        {"INSTRUME": "EFOSC", "EXPTIME": 0.0, "DATE-OBS": "2022-01-26T19:03:08.541", "UTC": 68581.0}
        | {"ESO DPR CATG": "CALIB", "ESO DPR TECH": "IMAGE", "ESO DPR TYPE": "DARK", "ESO DET OUT1 GAIN": 0.91}
        | {"ESO DET OUT1 CONAD": 1.1, "ESO DET READ CLOCK": "read L port Fast", "ESO DET WIN1 BINX": 2}
        | {"ESO DET WIN1 BINY": 2, "ESO DET WIN1 STRX": 1, "ESO DET WIN1 STRY": 1, "ESO TEL GEOLON": -70.7345},
        {"frame_type": "bias", "frame_type_reason": "ESO DPR TYPE = 'DARK' with zero exposure"}
        | {"configuration": "bin2x2_read-L-port-Fast", "header_gain_e_per_adu": 1.1, "longitude_deg": -70.7345},
    ),
    "ESO lamp flat in a window": (
        "r.FORS2.fits",
        {"ESO DPR TYPE": "FLAT,LAMP", "EXPTIME": 20.0, "ESO DET READ CLOCK": "100Kps/2ports/low_gain"}
        | {"ESO DET WIN1 BINX": 2, "ESO DET WIN1 BINY": 2, "ESO DET WIN1 STRX": 201, "ESO DET WIN1 STRY": 1},
        {"frame_type": "flat", "configuration": "bin2x2_100Kps-2ports-low-gain_2048x100+200+0"},
    ),
    "ESO dark for flats": ("r.fits", {"ESO DPR TYPE": "FLAT,DARK", "EXPTIME": 5.0}, {"frame_type": "dark"}),
    "ESO arc": ("r.fits", {"ESO DPR TYPE": "WAVE,LAMP", "OBJECT": "WAVE,LAMP"}, {"frame_type": "other"}),
    "ESO product": (
        "M.UVES.fits",
        {"ESO DPR TYPE": "BIAS", "ESO PRO CATG": "MASTER_BIAS_BLUE", "EXPTIME": 0.0},
        {"frame_type": "other"}
        | {"frame_type_reason": "ESO PRO CATG = 'MASTER_BIAS_BLUE': a product, not a raw frame"},
    ),
    "IRAF zero": (
        "n1005.fits",
        {"IMAGETYP": "zero", "OBJECT": "zeros", "DATE-OBS": "24/01/92", "UT": "3:04:05.0", "EXPTIME": 0.0}
        | {"CCDSUM": "1 1", "GAIN": 3.2, "RDNOISE": 4.0, "CCDPICNO": 5, "CAMTEMP": -95},
        {"frame_type": "bias", "date_obs": datetime(1992, 1, 24, 3, 4, 5, tzinfo=UTC), "configuration": "bin1x1"}
        | {"header_gain_e_per_adu": 3.2},
    ),
    "IRAF dome flat": (
        "obj012.fits",
        {"IMAGETYP": "flat", "OBJECT": "dome flat R", "FILTERS": "R Harris", "CCDSUM": "2 2", "EXPTIME": 8},
        {"frame_type": "flat", "filter": "R Harris", "configuration": "bin2x2"},
    ),
    "IRAF flat that ccdproc has reduced": (
        "flat.fits",
        {"IMAGETYP": "flat", "ZEROCOR": "Jan 25 10:12 Zero level correction image is Zero", "EXPTIME": 8},
        {"frame_type": "other"},
    ),
    "IRAF comparison": ("a.fits", {"IMAGETYP": "comp", "OBJECT": "HeNeAr, flat lamp off"}, {"frame_type": "other"}),
    "ING sky flat": (
        "r1234567.fit",
        {"OBSTYPE": "SKY", "IMAGETYP": "sky", "OBJECT": "Sky flat", "WFFBAND": "r", "CCDXBIN": 1, "CCDYBIN": 1}
        | {"CCDSPEED": "FAST", "EXPOSED": 3.01, "DATE-OBS": "2004-03-01", "UTSTART": "19:20:21.3", "CCDTEMP": 153.2},
        {"frame_type": "flat", "filter": "r", "exposure_time_s": 3.01, "configuration": "bin1x1_FAST"}
        | {"ccd_temperature_c": pytest.approx(-119.95)},
    ),
    "NOT sky flat": (
        "ALxh010033.fits",
        {"OBJECT": "skyflat V", "IMAGETYP": "FLAT,SKY", "DETXBIN": 1, "DETYBIN": 1, "AMPLMODE": "A", "UT": 20.578056}
        | {"DATE-OBS": "2011-07-01T20:34:42.071", "FAFLTNM": "Open", "FBFLTNM": "V_Bes 530_80", "ALFLTNM": "Open"},
        {"frame_type": "flat", "filter": "V_Bes 530_80", "configuration": "bin1x1_A"},
    ),
    "LCO bias": (
        "lsc1m005-fa15-20190903-0010-b00.fits.fz",
        {"OBSTYPE": "BIAS", "OBJECT": "N/A", "CCDSUM": "1 1", "BIASSEC": "UNKNOWN", "TRIMSEC": "UNKNOWN"}
        | {"CONFMODE": "full_frame", "EXPTIME": 0.0, "CCDATEMP": -100.1, "INSTRUME": "fa15", "RLEVEL": 0}
        | {"DATE-OBS": "2019-09-03T20:15:11.123", "UTSTART": "20:15:11.123", "GAIN": 3.45},
        {"frame_type": "bias", "instrument": "fa15", "configuration": "bin1x1_full-frame", "ccd_temperature_c": -100.1},
    ),
    "LCO lamp flat": ("a-w00.fits.fz", {"OBSTYPE": "LAMPFLAT", "EXPTIME": 30.0}, {"frame_type": "flat"}),
    "LCO sky flat": ("a-f00.fits.fz", {"OBSTYPE": "SKYFLAT", "FILTER": "rp", "EXPTIME": 5}, {"frame_type": "flat"}),
    "LCO master": ("bias-bin1x1.fits.fz", {"OBSTYPE": "BIAS", "ISMASTER": True}, {"frame_type": "other"}),
    "Liverpool in kelvin": (
        "h_b_20200101_1_1_1_0.fits",
        {"OBSTYPE": "BIAS", "CCDATEMP": 168.15, "CCDXBIN": 2, "CCDYBIN": 2, "CCDWXOFF": 0, "CCDWYOFF": 0}
        | {"FILTER1": "SDSS-R", "FILTER2": "clear", "EXPTIME": 0.0},
        {"frame_type": "bias", "ccd_temperature_c": pytest.approx(-105), "configuration": "bin2x2", "filter": "SDSS-R"},
    ),
    "N.I.N.A. dark for flats": (
        "2024-03-01_DARKFLAT_2.00s_0001.fits",
        {"IMAGETYP": "DARKFLAT", "EXPOSURE": 2.0, "GAIN": 100, "OFFSET": 50, "EGAIN": 0.25, "CCD-TEMP": -10.0}
        | {"XBINNING": 1, "YBINNING": 1, "INSTRUME": "ZWO ASI2600MM Pro", "READOUTM": "High Gain", "USBLIMIT": 40},
        {"frame_type": "dark", "configuration": "bin1x1_High-Gain_gain100_offset50", "header_gain_e_per_adu": 0.25},
    ),
    "INDI without offset": (
        "Bias_001.fits",
        {"FRAME": "Bias", "IMAGETYP": "Bias Frame", "EXPTIME": 1e-4, "GAIN": 120.0, "XBINNING": 2, "YBINNING": 2},
        {"frame_type": "bias", "configuration": "bin2x2_gain120", "header_gain_e_per_adu": None},
    ),
    "SharpCap": (
        "Capture_00001.fits",
        {"EXPOINUS": 32, "CCD-TEMP": 5.6, "GAIN": 0, "XBINNING": 1},
        {"frame_type": "other", "exposure_time_s": pytest.approx(32e-6), "configuration": "bin1x1_gain0"},
    ),
    "PixInsight master": ("masterBias_BIN-1.fits", {"IMAGETYP": "Master Bias"}, {"frame_type": "other"}),
    "PixInsight master by its name": ("masterFlat_V.fits", {}, {"frame_type": "other"}),
    "Gemini flat": (
        "S20190101S0012.fits",
        {"OBSTYPE": "FLAT", "OBSCLASS": "dayCal", "OBJECT": "GCALflat", "CCDSUM": "2 2", "FILTER1": "open1-6"}
        | {"FILTER2": "r_G0326", "EXPTIME": 1.5, "DATE-OBS": "2019-01-01", "TIME-OBS": "11:22:33.4"},
        {"frame_type": "flat", "filter": "r_G0326", "date_obs": datetime(2019, 1, 1, 11, 22, 33, 400000, tzinfo=UTC)},
    ),
    "Gemini twilight": ("S1.fits", {"OBSTYPE": "OBJECT", "OBJECT": "Twilight"}, {"frame_type": "flat"}),
    "NOIRLab zero": (
        "c4d_130901_193838_zri.fits.fz",
        {"OBSTYPE": "zero", "PROCTYPE": "raw", "TIMESYS": "UTC approximate", "DATE-OBS": "2013-09-01T19:38:38.1"},
        {"frame_type": "bias", "date_obs": datetime(2013, 9, 1, 19, 38, 38, 100000, tzinfo=UTC)},
    ),
    "NOIRLab product": ("c4d_zci.fits.fz", {"OBSTYPE": "zero", "PROCTYPE": "MasterCal"}, {"frame_type": "other"}),
    "NOIRLab dome flat": ("k.fits", {"OBSTYPE": "dome flat", "FILTER": "V Harris k1003"}, {"frame_type": "flat"}),
    "Keck DEIMOS": (
        "d0817_0012.fits",
        {"OBSTYPE": "IntFlat", "ELAPTIME": 12},
        {"frame_type": "flat", "exposure_time_s": 12.0},
    ),
    "Keck KCWI lamp": ("kb1.fits", {"IMTYPE": "FLATLAMP", "TTIME": 6.0}, {"frame_type": "flat"}),
    "Keck KCWI bars": ("kb2.fits", {"IMTYPE": "CONTBARS", "OBJECT": "bars flat"}, {"frame_type": "other"}),
    "Lick": (
        "b12.fits",
        {"OBSTYPE": "OBJECT", "OBSNUM": 12, "OBJECT": "bias", "EXPTIME": 0, "CBIN": 1, "RBIN": 2, "GAIN": "high"},
        {"frame_type": "bias", "configuration": "bin1x2_gainhigh", "header_gain_e_per_adu": None},
    ),
    "SDSS": (
        "sdR-b1-00123456.fit.gz",
        {"FLAVOR": "arc", "EXPTIME": 4.0, "TIMESYS": "TAI", "DATE-OBS": "2010-01-01T03:00:34"},
        {"frame_type": "other", "date_obs": datetime(2010, 1, 1, 3, 0, 0, tzinfo=UTC)},
    ),
    "SDSS flat": ("sdR-b1-1.fit.gz", {"FLAVOR": "flat", "COLBIN": 1, "ROWBIN": 1}, {"frame_type": "flat"}),
    "DESI zero": ("desi-1.fits.fz", {"FLAVOR": "science", "OBSTYPE": "ZERO", "EXPTIME": 0}, {"frame_type": "bias"}),
    "ARC": (
        "quad.0001.fits",
        {"IMAGETYP": "Bias", "CCDBIN1": 2, "CCDBIN2": 2, "READAMPS": "Quad", "READRATE": "Fast", "TIMESYS": "TAI"}
        | {"BEGX": 1, "BEGY": 1, "EXPTIME": 0.0, "DATE-OBS": "2015-10-27T17:30:17.291492"},
        {"frame_type": "bias", "configuration": "bin2x2_Fast_Quad"}
        | {"date_obs": datetime(2015, 10, 27, 17, 29, 41, 291492, tzinfo=UTC)},
    ),
    "LSST flat of a wavelength": ("MC_C_1.fits", {"IMGTYPE": "FLAT_500", "BINX": 1, "BINY": 1}, {"frame_type": "flat"}),
    "LSST iron source": ("MC_C_2.fits", {"IMGTYPE": "FE55", "OBJECT": "flat"}, {"frame_type": "other"}),
    "Subaru": (
        "SUPA1.fits",
        {"DATA-TYP": "DOMEFLAT", "FILTER01": "W-S-R+"},
        {"frame_type": "flat", "filter": "W-S-R+"},
    ),
    "HST": ("o1_raw.fits", {"IMAGETYP": "BIAS", "CCDGAIN": 4.0, "CCDAMP": "D"}, {"configuration": "bin1x1_D_ccdgain4"}),
    "HST science": ("j1_raw.fits", {"IMAGETYP": "EXT", "TARGNAME": "NGC188"}, {"frame_type": "other"}),
    "a type that is not said": ("a1.fits", {"IMAGETYP": "UNKNOWN", "EXPTIME": 0.0}, {"frame_type": "bias"}),
    "what was done to it": ("m31_bias_sub_flat_corrected.fits", {"EXPTIME": 60}, {"frame_type": "other"}),
    "superbias": ("superbias_1.fits", {"EXPTIME": 0.0}, {"frame_type": "other"}),
}


@pytest.mark.parametrize("name", FRAGMENTS)
def test_what_a_dialect_says_is_read(name):
    filename, cards, expected = FRAGMENTS[name]
    found = identify(cards, filename=filename, shape=(100, 2048))
    assert {field: getattr(found, field) for field in expected} == expected, found.frame_type_reason
    assert found.frame_type_reason
