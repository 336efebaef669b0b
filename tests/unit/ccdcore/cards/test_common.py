"""Cards that a stack may keep of its frames."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.common import common_cards
from ccdcore.cards.dialects import KEYWORDS, READ_SETTINGS, REDUCTION_CARDS, SERIAL_NUMBERS
from ccdcore.cards.values import RepeatedCard
from ccdcore.cards.writing import set_card

KEPT = """
    INSTRUME TELESCOP OBSERVER XBINNING YBINNING CCDSUM SET-TEMP GAIN OFFSET EGAIN READOUTM READTIME READ-MODE
    FILTER FILTER1 XORGSUBF YORGSUBF XPIXSZ BAYERPAT ROWORDER SITELAT SITELONG OBSGEO-X FOCALLEN PREAMP
    OUTPTAMP STATUS STAGE STATION CAMSERNO DETNAM AMP1 CDS USBLIMIT SHUTTER SLIT HUMIDITY ENCODER PIXSIZE CCDSEC
"""
DROPPED = """
    SIMPLE BITPIX NAXIS1 BZERO BSCALE BLANK BUNIT CHECKSUM DATASUM DATAMAX ZTILE1 ZCMPTYPE EXTNAME PEDESTAL
    SATURATE DATE DATE-OBS DATE-END TIME-OBS UT UTC UTSTART MJD-OBS JD JD-HELIO ST LST HA TIMESYS EXPTIME
    EXPOSURE XPOSURE LIVETIME DARKTIME AIRMASS RA DEC OBJCTRA TELRA CTYPE1 CRPIX1 CRVAL1 CRVAL1A CD1_1 PC1_1
    PV1_1 A_ORDER AP_1_0 WAT0_001 LTV1 LTM1_1 LONPOLE EQUINOX RADESYS EPOCH DATASEC BIASSEC BIASSEC1 TRIMSEC
    CCDSECA DETSEC AMPSEC IMAGETYP OBSTYPE OBJECT FRAME NCOMBINE COMBINED ZEROCOR CALSTAT SWCREATE
"""


def test_cards_that_hold_of_a_stack():
    cards = dict.fromkeys([*KEPT.split(), *DROPPED.split()], 1.5)
    assert list(common_cards([cards, cards])) == KEPT.split()


def test_cards_that_differ_are_left_out():
    one = {"INSTRUME": "cam", "SET-TEMP": -20.0, "CCD-TEMP": -19.9, "GAIN": 100, "FOCUS": 1, "WIND": 3.0}
    two = {"INSTRUME": "cam", "SET-TEMP": -20, "CCD-TEMP": -20.1, "GAIN": 100, "FOCUS": "1", "MOON": 1}
    assert common_cards([one, two]) == {"INSTRUME": "cam", "SET-TEMP": -20.0, "GAIN": 100}
    assert common_cards([one]) == one


def test_settings_are_kept_in_every_dialect():
    of_settings = [keyword for _, keywords, _ in READ_SETTINGS for keyword in keywords] + list(SERIAL_NUMBERS)
    of_settings += [*KEYWORDS["instrument"], *KEYWORDS["gain"], *KEYWORDS["ccd_temperature"], *KEYWORDS["filter"]]
    cards = dict.fromkeys(of_settings, "x")
    assert common_cards([cards, cards]) == cards


def test_nothing_that_was_done_to_a_frame_is_kept():
    cards = dict.fromkeys(
        (*REDUCTION_CARDS, *KEYWORDS["n_averaged"], *KEYWORDS["date_obs"], *KEYWORDS["time_obs"]), "x"
    )
    assert common_cards([cards, cards]) == {}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("TELESCOP", RepeatedCard(("a", "b"))),
        ("NOTE", "x" * 69),
        ("ESO INS NOTE", "x" * 60),
        ("lower", 1),
        ("NOT_ A~KEY", 1),
        ("Ü", 1),
        ("COMPLEX", 1j),
    ],
)
def test_what_cannot_be_written_again_is_left_out(keyword, value):
    assert common_cards([{keyword: value, "GAIN": 1}]) == {"GAIN": 1}


KEYS = st.sampled_from(
    ["INSTRUME", "GAIN", "ESO DET OUT1 CONAD", "ESO INS FILT1 NAME", "FILTER_ID", "X-1", "NOTE", "DATE-OBS"]
)
VALUES = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=80))


@given(st.lists(st.dictionaries(KEYS, VALUES), min_size=1, max_size=4), st.randoms())
def test_any_order_of_frames_gives_the_same_valid_cards(headers, chance):
    common = common_cards(headers)
    shuffled = list(headers)
    chance.shuffle(shuffled)
    assert common_cards(shuffled) == common
    hdu = fits.PrimaryHDU(np.zeros((2, 2), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for keyword, value in common.items():
            set_card(hdu.header, keyword, value)
        hdu.verify("exception")
        again = fits.Header.fromstring(hdu.header.tostring())
    for keyword, value in common.items():
        if not isinstance(value, str | float):
            assert again[keyword] == value
