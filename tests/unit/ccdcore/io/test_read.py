"""Reading frames and writing products."""

import contextlib
import gzip
import io
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.compression import FITS_NAME
from ccdcore.errors import FrameReadError
from ccdcore.headers.instrument import Instrument
from ccdcore.io import read
from ccdcore.io.digest import pixel_sha256
from ccdcore.io.inventory import inventory
from ccdcore.io.plain_files import file_sha256
from ccdcore.io.read import kept_cards, read_cards, read_frame, read_header, read_image
from ccdcore.io.stream import opened

RNG = np.random.default_rng(20220919)
PIXELS = RNG.poisson(1000, (12, 15)).astype(np.uint16)
INTEGERS = [np.uint8, np.int16, np.uint16, np.int32, np.uint32]
FLOATS = [np.float32, np.float64]


def encoded(*hdus, **options):
    content = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(content, **options)
    return content.getvalue()


def primary(data=PIXELS, **cards):
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(cards)
    return hdu


def with_card(content, keyword, value):
    """Replace the value of a card that stands in the first header."""
    start = content.index(f"{keyword:8}=".encode())
    return content[:start] + f"{keyword:8}= {value:>20}".ljust(80).encode() + content[start + 80 :]


@pytest.fixture
def save(tmp_path):
    def save(content, name="frame.fits"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return save


# The same pixels, however they are kept


def plain(data):
    return encoded(primary(data))


ROUTES = {
    "plain": plain,
    "gzip": lambda data: gzip.compress(plain(data)),
    "cube": lambda data: plain(data[np.newaxis]),
    "checksum": lambda data: encoded(primary(data), checksum=True),
    "extension": lambda data: encoded(fits.PrimaryHDU(), fits.ImageHDU(data)),
    "fpack": lambda data: encoded(
        fits.PrimaryHDU(),
        fits.CompImageHDU(data, compression_type="GZIP_1" if data.dtype.kind == "f" else "RICE_1", quantize_level=0),
        checksum=True,
    ),
}


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(INTEGERS + FLOATS).flatmap(
        lambda dtype: hnp.arrays(dtype, st.tuples(st.integers(2, 9), st.integers(2, 9)))
    )
)
def test_identity_does_not_depend_on_how_a_file_is_kept(data):
    with tempfile.TemporaryDirectory() as directory:
        for name, route in ROUTES.items():
            path = Path(directory) / f"{name}.FIT"
            path.write_bytes(route(data))
            frame = read_frame(path)
            np.testing.assert_array_equal(frame.data, data)
            assert frame.data.dtype == data.dtype, name
            assert frame.data.dtype.isnative
            assert frame.sha256 == pixel_sha256(data), name


def test_file_sha256(save):
    assert file_sha256(save(b"abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_scaled_integers_become_physical_values(save):
    hdu = primary(PIXELS.astype(np.float32))
    hdu.scale("int16", bscale=0.5, bzero=100.0)
    np.testing.assert_allclose(read_image(save(encoded(hdu))), PIXELS, atol=0.25)


def test_reading_one_part_agrees_with_reading_all(save):
    path = save(encoded(primary(IMAGETYP="Bias Frame", EXPTIME=0.0)))
    frame, header = read_frame(path), read_header(str(path))
    assert (header.info, header.shape, header.amplifiers) == (frame.info, frame.shape, frame.amplifiers)
    np.testing.assert_array_equal(read_image(path), frame.data)
    assert frame.amplifiers == (Amplifier("1", Section(1, 15, 1, 12)),)


# Files of several units


def test_extensions_stand_side_by_side_and_overlay_the_primary_cards(save):
    parts = [fits.ImageHDU(PIXELS[:, :5], name="left"), fits.ImageHDU(PIXELS[:, 5:], name="right")]
    parts[0].header["EXPTIME"] = 7.5
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])])
    head = primary(None, IMAGETYP="Flat Field", EXPTIME=3.0)
    frame = read_frame(save(encoded(head, table, *parts)))
    np.testing.assert_array_equal(frame.data, PIXELS)
    assert frame.amplifiers == (
        Amplifier("LEFT", Section(1, 5, 1, 12)),
        Amplifier("RIGHT", Section(6, 15, 1, 12)),
    )
    assert (frame.info.frame_type, frame.info.exposure_time_s) == ("flat", 7.5)


def test_extensions_of_one_name_are_numbered(save):
    parts = [fits.ImageHDU(PIXELS, name="SCI", ver=version) for version in (1, 2, 3)]
    frame = read_frame(save(encoded(fits.PrimaryHDU(), *parts)))
    assert [amplifier.name for amplifier in frame.amplifiers] == ["1", "2", "3"]


def test_masks_and_uncertainties_are_no_pixels_of_the_frame(save):
    companions = [fits.ImageHDU(PIXELS, name=name) for name in ("UNCERT", "MASK")]
    assert read_frame(save(encoded(primary(), *companions))).shape == PIXELS.shape
    science = fits.ImageHDU(PIXELS, name="SCI")
    assert read_frame(save(encoded(fits.PrimaryHDU(), science, *companions))).shape == PIXELS.shape


# Amplifiers of the configuration


def test_amplifiers_of_the_entry(save):
    amplifiers = (Amplifier("A", Section.parse("[1:7,1:12]"), overscan=Section.parse("[8:8,1:12]")),)
    path = save(encoded(primary(INSTRUME="cam")))
    entry = Instrument("cam1", match={"INSTRUME": "cam"}, amplifiers=amplifiers)
    assert read_frame(path, instruments=[entry]).amplifiers == amplifiers


@pytest.mark.parametrize(
    "amplifier",
    [
        Amplifier("A", Section.parse("[1:16,1:12]")),
        Amplifier("A", Section.parse("[1:15,1:12]"), Section.parse("[1:16,1:12]")),
    ],
)
def test_an_amplifier_that_does_not_fit_is_named(save, amplifier):
    entry = Instrument("cam1", amplifiers=(amplifier,))
    with pytest.raises(FrameReadError) as caught:
        read_frame(save(encoded(primary())), instruments=[entry])
    for part in ("amplifier A of instrument cam1", "[1:16,1:12]", "15 columns and 12 rows"):
        assert part in caught.value.reason


# What is no frame


CONTENT = plain(PIXELS)
DATA_END = 2880 + PIXELS.nbytes
TABLE = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])])
WITH_SUM = encoded(primary(), checksum=True)
GZIPPED = gzip.compress(plain(RNG.integers(0, 65535, (40, 50), dtype=np.uint16)))


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize(
    ("content", "reason", "incomplete"),
    [
        (b"", "is not written yet: it is empty", True),
        (bytes(5760), "is not written yet: it is empty or begins with zeros", True),
        (b"SIMP", "is not a FITS file: it begins with b'SIMP'", True),
        (b"Dear colleague,\nhere is the log\n", "is not a FITS file: it begins with b'Dear colleague,", False),
        (with_card(CONTENT, "SIMPLE", "F"), "it says SIMPLE = F", False),
        (with_card(CONTENT, "BITPIX", "12"), "says BITPIX = 12 in unit 0", False),
        (with_card(CONTENT, "NAXIS", "999"), "claims 999 axes in unit 0", False),
        (with_card(CONTENT, "NAXIS1", "-15"), "says '-15' for NAXIS1", False),
        (with_card(CONTENT, "NAXIS2", "'12'"), """says "'12'" for NAXIS2""", False),
        (CONTENT.replace(b"NAXIS2 ", b"NAXISX "), "has no NAXIS2 in the header of unit 0", False),
        (with_card(CONTENT, "NAXIS1", "3000000000"), "claims 67.1 GiB of data in unit 0", False),
        (with_card(CONTENT, "NAXIS2", "13000"), "is cut off: it holds 5760 of at least 392880 bytes", True),
        (CONTENT[:2880].replace(b"END", b"EMD") * 110, "has a header of more than 3600 cards in unit 0", False),
        (
            encoded(primary(None)) + encoded(primary(None), fits.ImageHDU(PIXELS[:2, :2]))[2880:] * 5900,
            "has more than 16 MiB of headers",
            False,
        ),
        (with_card(CONTENT, "BSCALE", "0"), "says BSCALE = 0 and BZERO = 32768", False),
        (plain(PIXELS[0]), "holds one row of 15 pixels (a spectrum?), not an image", False),
        (plain(PIXELS[:1]), "holds one row of 15 pixels (a spectrum?), not an image", False),
        (plain(np.stack([PIXELS] * 5)), "holds a stack of 5 images, not one frame", False),
        (encoded(primary(None)), "holds no image, only an empty primary unit", True),
        (encoded(primary(None), TABLE), "holds tables only, no image", False),
        (
            encoded(primary(None), fits.ImageHDU(PIXELS), fits.ImageHDU(PIXELS.T)),
            "has image extensions of 12, 15 rows, which cannot stand side by side",
            False,
        ),
        (encoded(primary(None, NEXTEND=2), fits.ImageHDU(PIXELS)), "is cut off: 1 of 2 extensions", True),
        (flipped(WITH_SUM, len(WITH_SUM) - 2800), "is damaged: its DATASUM does not match in unit 0", False),
        (WITH_SUM.replace(b"EXTEND", b"EXTENT"), "is damaged: its CHECKSUM does not match in unit 0", False),
        (flipped(GZIPPED, len(GZIPPED) // 2), "is damaged: ", False),
        (flipped(GZIPPED, len(GZIPPED) - 6), "is damaged: CRC check failed", False),
    ],
)
def test_the_reason_why_a_file_is_no_frame(save, content, reason, incomplete):
    path = save(content)
    with pytest.raises(FrameReadError) as caught:
        read_frame(path)
    assert reason in caught.value.reason
    assert caught.value.incomplete is incomplete
    assert str(caught.value).startswith(f"{path}: ")


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.fits")
    (tmp_path / "link.fits").symlink_to(tmp_path / "gone.fits")
    for name, reason in [
        ("pipe.fits", "is not a regular file"),
        ("", "is not a regular file"),
        ("link.fits", "cannot be read: No such file or directory"),
    ]:
        with pytest.raises(FrameReadError, match=reason), opened(tmp_path / name):
            pass


def test_a_link_to_a_frame_is_read(tmp_path, save):
    (tmp_path / "link.fits").symlink_to(save(CONTENT))
    np.testing.assert_array_equal(read_image(tmp_path / "link.fits"), PIXELS)


@given(st.integers(0, len(CONTENT)))
def test_a_cut_file_is_never_taken_as_complete(length):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "frame.fits"
        path.write_bytes(CONTENT[:length])
        if length >= DATA_END:  # only padding is missing
            np.testing.assert_array_equal(read_image(path), PIXELS)
            return
        with pytest.raises(FrameReadError) as caught:
            read_frame(path)
        assert caught.value.incomplete


COMPRESSED = {"frame.fits.gz": gzip.compress(CONTENT), "frame.fits.fz": ROUTES["fpack"](PIXELS)}


@given(st.sampled_from(list(COMPRESSED)), st.floats(0, 1, exclude_max=True))
def test_a_cut_compressed_file_is_never_taken_as_complete(name, fraction):
    content = COMPRESSED[name].rstrip(b"\0") if name.endswith(".fz") else COMPRESSED[name]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        path.write_bytes(content[: int(fraction * len(content))])
        with pytest.raises(FrameReadError) as caught:
            read_frame(path)
        assert caught.value.incomplete


def test_a_sum_is_verified_where_the_padding_is_missing(save):
    np.testing.assert_array_equal(read_image(save(WITH_SUM[:DATA_END])), PIXELS)


def test_what_follows_the_last_unit_is_left_alone(save):
    np.testing.assert_array_equal(read_image(save(CONTENT + b"\0" * 2880)), PIXELS)
    np.testing.assert_array_equal(read_image(save(CONTENT + b"remark" * 1000)), PIXELS)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([CONTENT, WITH_SUM, COMPRESSED["frame.fits.fz"], COMPRESSED["frame.fits.gz"]]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damage_is_refused_in_words_or_does_no_harm(content, changes):
    damaged = bytearray(content)
    for position, byte in changes:
        damaged[int(position * len(damaged))] = byte
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "frame.fits"
        path.write_bytes(damaged)
        with contextlib.suppress(FrameReadError):
            frame = read_frame(path)
            assert content == CONTENT or frame.sha256 == pixel_sha256(PIXELS)  # plain files have no sums


def test_one_garbled_card_does_not_spoil_the_others(save):
    content = encoded(primary(IMAGETYP="flat", EXPTIME=3.0))
    frame = read_frame(save(with_card(content, "EXPTIME", "3.0 seconds !")))
    assert (frame.info.frame_type, frame.info.exposure_time_s) == ("flat", None)


def test_headers_padded_with_nul_are_read(save):
    content = encoded(primary(IMAGETYP="flat", EXPTIME=3.0))
    cards = [content[start : start + 80].rstrip().ljust(80, b"\0") for start in range(0, 2880, 80)]
    value = content.replace(b"'flat    '", b"'flat\0\0\0\0'")
    for with_nul in (b"".join(cards) + content[2880:], value, value.rstrip(b"\0")):
        frame = read_frame(save(with_nul))
        assert (frame.info.frame_type, frame.info.exposure_time_s) == ("flat", 3.0)
        assert frame.sha256 == pixel_sha256(PIXELS)


def test_a_card_that_stands_twice_is_no_value(save):
    hdu = primary(IMAGETYP="flat", FILTER="V")
    for keyword, value in (("EXPTIME", 3.0), ("EXPTIME", 5.0), ("FILTER", "V")):
        hdu.header.append((keyword, value))
    info = read_frame(save(encoded(hdu))).info
    assert (info.exposure_time_s, info.filter) == (None, "V")
    assert info.frame_type_reason == "IMAGETYP = 'flat'; EXPTIME stands more than once, as 3.0 and 5.0"


# Inventory


def test_inventory_lists_what_each_file_is(save, tmp_path):
    save(encoded(primary(IMAGETYP="flat", EXPTIME=2.0, FILTER="V", **{"DATE-OBS": "2022-09-19T18:30:00"})), "b.FIT")
    save(encoded(primary(IMAGETYP="Bias Frame", **{"CCD-TEMP": -70.0})), "a.fits")
    save(b"log", "c.fts")
    save(b"log", "notes.txt")
    save(CONTENT, ".hidden.fits")
    table = inventory(tmp_path)
    assert list(table["file"]) == ["a.fits", "b.FIT", "c.fts"]
    assert list(table["type"]) == ["bias", "flat", "unreadable"]
    assert table["why"][2] == "is not a FITS file: it begins with b'log'"
    assert table["date_obs"][1] == "2022-09-19T18:30:00.000"
    assert table["exposure_time"][1] == 2 * u.s
    assert np.isnan(table["exposure_time"][0])
    assert table["temperature"][0].value == -70
    assert list(table["rows"]) == [12, 12, 0]
    assert list(table["columns"]) == [15, 15, 0]


def test_inventory_of_an_empty_directory_has_its_columns(tmp_path):
    table = inventory(tmp_path)
    assert len(table) == 0
    assert table["exposure_time"].unit == u.s


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.fits", True), ("A.FIT.GZ", True), ("a.fts.fz", True), ("a.fits.part", False), (".a.fits", False)],
)
def test_names_of_frames(name, expected):
    assert (FITS_NAME.fullmatch(name) is not None) is expected


# Real frames


def test_efosc2(shared_data):
    table = inventory(shared_data / "eso-efosc2")
    assert list(table["type"]) == ["bias"] * 3 + ["flat"] * 6
    assert set(table["configuration"]) == {"bin2x2_read-L-port-Fast"}
    info = read_header(next((shared_data / "eso-efosc2").glob("*19:03:08*"))).info
    assert (info.header_gain_e_per_adu, info.header_read_noise_e) == (1.1, 7.8)
    assert info.longitude_deg == -70.7345


def test_ixon_with_decimal_commas(shared_data):
    frame = read_frame(shared_data / "opd-ixon-decimalcomma" / "bias.fits")
    assert (frame.info.frame_type, frame.info.frame_type_reason) == ("bias", "OBJECT = 'BIAS'")
    assert (frame.info.exposure_time_s, frame.info.ccd_temperature_c) == (1e-5, -80.1)
    assert (frame.data.dtype, frame.shape) == (np.uint16, (1024, 1024))
    assert read_header(shared_data / "opd-ixon-decimalcomma" / "star.fits").info.frame_type == "other"


def test_alfosc_with_cards_over_two_units(shared_data):
    frame = read_frame(shared_data / "not-alfosc-uint32" / "NOT.fits.gz")
    assert (frame.info.frame_type, frame.info.instrument, frame.info.filter) == (
        "flat",
        "ALFOSC_FASU",
        "g'_SDSS 480_145",
    )
    assert frame.info.header_gain_e_per_adu == 0.33  # in the extension; the others in the primary unit
    assert (frame.data.dtype, frame.data.max()) == (np.uint32, 124172)


def test_esis_by_its_entry(shared_data):
    taps = tuple(
        Amplifier(str(number), Section.parse(section))
        for number, section in enumerate(("[51:1074,1:520]", "[1079:2102,1:520]"), start=1)
    )
    entry = Instrument(
        "esis",
        match={"CAM_ID": "ESIS*"},
        header={"date_obs": "IMG_TS", "exposure_time": "IMG_EXP"},
        exposure_time_unit_s=0.001,
        amplifiers=taps,
    )
    frame = read_frame(shared_data / "msfc-esis-4tap" / "led" / "ESIS1_04803.fit.gz", instruments=[entry])
    assert frame.info.date_obs == datetime(2017, 7, 12, 18, 32, 31, 951000, tzinfo=UTC)
    assert frame.info.exposure_time_s == pytest.approx(1.999)
    assert (frame.info.instrument, frame.amplifiers) == ("esis", taps)


def with_bytes(content, keyword, text):
    """Replace a card of the first header that may hold it by one with a text of any bytes."""
    start = content.index(f"{keyword:8}=".encode())
    return content[:start] + (f"{keyword:8}= '".encode() + text + b"'").ljust(80) + content[start + 80 :]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Hα".encode(), "Hα"),
        ("Hβ 3nm".encode(), "Hβ 3nm"),
        ("O'III λ".replace("'", "''").encode(), "O'III λ"),
        ("grün".encode("latin-1"), "grün"),
        ("Hα".encode("cp1253"), "Há"),  # what it was written in nobody knows: another name than others at least
        (b"V", "V"),
    ],
)
@pytest.mark.parametrize("in_extension", [False, True])
def test_letters_beyond_ascii_are_read(save, raw, name, in_extension):
    content = encoded(primary(None), fits.ImageHDU(PIXELS, fits.Header({"FILTER": "x"}))) if in_extension else CONTENT
    content = with_bytes(content if in_extension else encoded(primary(FILTER="x")), "FILTER", raw)
    for path in (save(content), save(gzip.compress(content))):
        assert read_header(path).info.filter == name


def test_cameras_and_settings_that_differ_beyond_ascii_only_stay_apart(save):
    def identified(instrument, mode):
        content = with_bytes(encoded(primary(INSTRUME="x", READMODE="x")), "INSTRUME", instrument.encode())
        info = read_header(save(with_bytes(content, "READMODE", mode.encode()))).info
        return info.instrument, info.configuration

    found = [identified(*both) for both in [("カメラ1", "高"), ("カメラ2", "高"), ("カメラ1", "低")]]
    assert len({instrument for instrument, _ in found}) == 2
    assert len({configuration for _, configuration in found}) == 2


def detectors(*shapes, names=None):
    units = [fits.ImageHDU(np.full(shape, n, np.uint16), name=f"S{n}") for n, shape in enumerate(shapes, start=1)]
    return [primary(None), *units]


def test_a_mosaic_of_many_detectors_is_read(save):
    units = detectors(*[(12, 4)] * 70)
    units.insert(30, fits.BinTableHDU(np.zeros(3, dtype="f4,i4"), name="GUIDER"))
    frame = read_frame(save(encoded(*units)))
    assert frame.shape == (12, 280)
    assert [one.name for one in frame.amplifiers[:2]] == ["S1", "S2"]
    assert frame.data[0, -1] == 70


@pytest.mark.parametrize("place", [0, 4, 8])
def test_focus_chips_are_left_aside_and_named(save, place):
    units = detectors(*[(12, 8)] * 8)
    units[1 + place : 1 + place] = [fits.ImageHDU(PIXELS[:6, :8], name=name) for name in ("FS1", "FN2")]
    units.append(fits.ImageHDU(np.zeros(40, np.float32), name="SKYLEVEL"))
    frame = read_frame(save(encoded(*units)))
    assert frame.shape == (12, 64)
    assert (
        "8 image extensions of 12 rows; left aside, being of another size: FS1, FN2, SKYLEVEL"
        in frame.info.frame_type_reason
    )


def test_many_small_chips_are_no_detector(save):
    units = [*detectors((40, 30), (40, 30)), *[fits.ImageHDU(PIXELS[:8, :8], name=f"G{n}") for n in range(16)]]
    frame = read_frame(save(encoded(*units)))
    assert frame.shape == (40, 60)
    assert frame.info.frame_type_reason.endswith("G10, G11, …")


def test_what_trails_a_mosaic_is_told_and_a_lost_unit_is_not_passed_over(save):
    content = encoded(*detectors(*[(40, 40)] * 3))
    assert (
        "1000 bytes behind its last unit are no part" in read_header(save(content + b"?" * 1000)).info.frame_type_reason
    )
    lost = content.rindex(b"XTENSION")
    with pytest.raises(FrameReadError, match="what follows unit 2 is no extension"):
        read_header(save(content[:lost] + b"?" + content[lost + 1 :]))


@pytest.mark.parametrize(
    ("data", "options", "lossy"),
    [
        (PIXELS.astype(np.float32) / 3, {"compression_type": "RICE_1", "quantize_level": 16}, True),
        (
            PIXELS.astype(np.float32) / 3,
            {"compression_type": "RICE_1", "quantize_level": 16, "quantize_method": 1},
            True,
        ),
        (PIXELS.astype(np.float32) / 3, {"compression_type": "GZIP_2", "quantize_level": 0}, False),
        (PIXELS, {"compression_type": "RICE_1"}, False),
        (
            PIXELS.astype(np.int16),
            {"compression_type": "HCOMPRESS_1", "hcomp_scale": 4.0, "tile_shape": (12, 15)},
            True,
        ),
        (PIXELS.astype(np.int16), {"compression_type": "HCOMPRESS_1", "hcomp_scale": 0, "tile_shape": (12, 15)}, False),
    ],
)
def test_compression_with_loss_is_told(save, data, options, lossy):
    header = read_header(save(encoded(primary(None), fits.CompImageHDU(data, **options))))
    assert ("compressed with loss (" in header.info.frame_type_reason) is lossy


def test_a_frame_dated_after_its_file_is_told(save):
    path = save(encoded(primary(**{"DATE-OBS": "2099-01-01T00:00:00"})))
    assert "dated 2099-01-01, but its file was written on 20" in read_header(path).info.frame_type_reason
    written = datetime(2019, 5, 4, tzinfo=UTC).timestamp()
    for seconds_later, is_told in ((3600, False), (3 * 86400, True)):
        taken = datetime.fromtimestamp(written + seconds_later, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        path = save(encoded(primary(**{"DATE-OBS": taken})))
        os.utime(path, (written, written))
        assert ("its file was written" in read_header(path).info.frame_type_reason) is is_told
        os.utime(path, (0, 0))
        assert "its file was written" not in read_header(path).info.frame_type_reason, "an archive gave it no date"


def test_no_configuration_of_astropy_changes_what_a_file_says(save, monkeypatch):
    pixels = np.full((10, 12), 40_000, np.uint16)
    units = [fits.ImageHDU(pixels + k, name=f"amp{k}") for k in (1, 2)]
    for unit in units:
        unit.header["FILTER"] = "V"
    path = save(encoded(fits.PrimaryHDU(), *units))
    usual = read_frame(path)
    for choice, value in {
        "strip_header_whitespace": False,
        "extension_name_case_sensitive": True,
        "enable_record_valued_keyword_cards": False,
        "enable_uint": False,
        "lazy_load_hdus": False,
        "use_memmap": False,
    }.items():
        monkeypatch.setattr(fits.conf, choice, value)
    frame = read_frame(path)
    assert (frame.info, frame.amplifiers, frame.sha256) == (usual.info, usual.amplifiers, usual.sha256)
    assert frame.data.dtype == usual.data.dtype
    assert read_cards(path)["FILTER"] == "V"


def test_kept_cards_are_those_of_the_file_as_it_is(save, monkeypatch):
    path = save(plain(PIXELS))
    first = kept_cards(path)
    assert first == read_cards(path)
    with monkeypatch.context() as without:
        without.setattr(read, "read_cards", lambda path: pytest.fail("read again"))
        assert kept_cards(path) == first
    fits.setval(path, "FILTER", value="R")
    assert kept_cards(path)["FILTER"] == "R"
    path.unlink()
    with pytest.raises(FrameReadError):
        kept_cards(path)
