"""The file of a calibrated frame."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData

from ccdcore.application.file import AppliedMaster, calibrated_hdulist, header_saturation
from ccdcore.application.ingredients import CalibratedFrame, Readout
from ccdcore.cards.sections import Amplifier, Section
from ccdcore.headers.identify import identify
from ccdcore.headers.instrument import FrameType
from ccdcore.io.write import write_hdulist

SHAPE = (12, 15)
RAW = {
    "SIMPLE": True,
    "BZERO": 32768,
    "CHECKSUM": "abc",
    "SATURATE": 60000,
    "INSTRUME": "testcam",
    "DATE-OBS": "2022-09-19T20:00:00",
    "MJD-OBS": 59841.833333333336,
    "EXPTIME": 30.0,
    "CRVAL1": 83.6,
    "GAIN": 1.4,
    "OBJECT": "M 42",
    "IMAGETYP": "Light Frame",
}
APPLIED = {
    "bias": AppliedMaster("bias_bin1x1_r1.fits", "b" * 64, 1, 0.5),
    "flat": AppliedMaster("flat_bin1x1_V_r1.fits", "f" * 64, 3, None),
}


def hdulist_of(unit="adu", n_amplifiers=1, cards=RAW, flat_gain=None):
    rng = np.random.default_rng(1)
    images = [rng.normal(100, 5, SHAPE).astype(">f4") for _ in range(2)]
    found = CalibratedFrame(*images, np.eye(*SHAPE, dtype=np.uint8) * np.uint8(8), unit, flat_gain)
    amplifiers = [Amplifier(str(n + 1), Section(5 * n + 1, 5 * n + 5, 1, 12)) for n in range(n_amplifiers)]
    readout = {one.name: Readout(1.5 + n / 10, 5.0) for n, one in enumerate(amplifiers)}
    return found, calibrated_hdulist(found, amplifiers, readout, APPLIED, raw_cards=cards, cards={"RAWSHA": "0" * 64})


def test_astropy_reads_it_as_it_is(tmp_path):
    found, hdulist = hdulist_of()
    write_hdulist(tmp_path / "one.fits", hdulist)
    ccd = CCDData.read(tmp_path / "one.fits")
    assert ccd.unit == u.adu
    np.testing.assert_array_equal(ccd.data, found.value)
    np.testing.assert_array_equal(ccd.uncertainty.array, found.uncertainty)
    np.testing.assert_array_equal(ccd.mask, found.mask != 0)
    with fits.open(tmp_path / "one.fits", checksum=True) as hdus:
        assert hdus["MASK"].header["MASKB3"] == "SATURATED"


def test_the_header_keeps_what_holds_and_says_what_was_done():
    _, hdulist = hdulist_of()
    header = hdulist[0].header
    for keyword in ("INSTRUME", "DATE-OBS", "EXPTIME", "CRVAL1", "OBJECT", "IMAGETYP"):
        assert header[keyword] == RAW[keyword]
    assert not {"BZERO", "CHECKSUM", "SATURATE"} & set(header)
    assert (header["BIASFILE"], header["BIASSHA"], header["BIASID"], header["BIASPRC"]) == (
        "bias_bin1x1_r1.fits",
        "b" * 64,
        "master:1",
        0.5,
    )
    assert header["FLATID"] == "master:3"
    assert "FLATPRC" not in header
    assert "DARKFILE" not in header
    assert (header["CALSTAT"], header["ZEROCOR"], header["RAWSHA"]) == ("BF", "ccdwatch", "0" * 64)
    assert (header["GAIN"], header["EGAIN"], header["RDNOISE"]) == (1.5, 1.5, 5.0)


def test_electrons_have_the_gain_one():
    header = hdulist_of("electron")[1][0].header
    assert (header["BUNIT"], header["GAIN"], header["EGAIN"]) == ("electron", 1.0, 1.0)


def test_a_gain_that_is_a_setting_stays_one():
    header = hdulist_of(cards={**RAW, "GAIN": 100, "OFFSET": 50})[1][0].header
    assert (header["GAIN"], header["EGAIN"]) == (100, 1.5)


def test_several_amplifiers_stand_in_a_table():
    _, hdulist = hdulist_of(n_amplifiers=3)
    assert not {"EGAIN", "GAIN", "RDNOISE"} & set(hdulist[0].header)
    table = hdulist["AMPLIFIERS"].data
    assert table["amplifier"].tolist() == ["1", "2", "3"]
    assert table["gain_e_per_adu"].tolist() == pytest.approx([1.5, 1.6, 1.7])
    assert "of the raw frame" in str(hdulist["AMPLIFIERS"].header["COMMENT"])


def test_after_a_flat_all_amplifiers_have_one_gain():
    in_adu, in_electrons = (hdulist_of(unit, 3, flat_gain=1.59)[1][0].header for unit in ("adu", "electron"))
    assert (in_adu["EGAIN"], in_adu["GAIN"], "RDNOISE" in in_adu) == (1.59, 1.59, False)
    assert (in_electrons["EGAIN"], in_electrons["GAIN"]) == (1.0, 1.0)
    assert in_electrons.comments["EGAIN"] == "pixels are electrons: times 1.59"


def test_what_is_odd_stands_in_the_history():
    found, _ = hdulist_of()
    amplifier = Amplifier("1", Section(1, 15, 1, 12))
    said = ["its gain is told as if it were 1 e⁻/ADU, and " + "so on " * 20 + "to its end", "another"]
    about = {"raw_cards": {**RAW, "HISTORY": "of the raw frame"}, "cards": {}, "remarks": said}
    header = calibrated_hdulist(found, [amplifier], {"1": Readout(1.5, 5.0)}, APPLIED, **about)[0].header
    assert " ".join(header["HISTORY"]) == f"ccdwatch: {said[0].replace('e⁻', 'electron')} ccdwatch: another"


def test_when_the_raw_file_was_written_is_not_told_of_this_one():
    assert "DATE" not in hdulist_of(cards={**RAW, "DATE": "2022-09-20T08:00:00"})[1][0].header
    only = {keyword: value for keyword, value in RAW.items() if keyword not in {"DATE-OBS", "MJD-OBS"}}
    header = hdulist_of(cards={**only, "DATE": "2022-09-19T20:00:00"})[1][0].header
    assert header["DATE"] == "2022-09-19T20:00:00"  # nothing else says when it was taken


@pytest.mark.parametrize("n_amplifiers", [1, 3])
def test_the_same_content_gives_the_same_bytes(tmp_path, n_amplifiers, monkeypatch):
    for number, name in enumerate(("one.fits", "two.fits")):
        monkeypatch.setattr("astropy.io.fits.hdu.base._ValidHDU._get_timestamp", lambda _, n=number: f"at {n}")
        write_hdulist(tmp_path / name, hdulist_of(n_amplifiers=n_amplifiers)[1])
    assert (tmp_path / "one.fits").read_bytes() == (tmp_path / "two.fits").read_bytes()


@pytest.mark.parametrize("unit", ["adu", "electron"])
def test_it_is_taken_for_no_raw_frame(unit):
    header = hdulist_of(unit, cards={**RAW, "IMAGETYP": "flat"})[1][0].header
    info = identify(dict(header), filename="flat_001.fits", shape=SHAPE)
    assert info.frame_type is FrameType.OTHER


def test_what_a_header_says_of_saturation():
    assert header_saturation(RAW) == 60000
    assert header_saturation({"SATLEVEL": "none"}) is None
