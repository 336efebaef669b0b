"""Longitudes to the east and to the west."""

from datetime import UTC, datetime, timedelta

import erfa
import pytest
from astropy.coordinates import Longitude as Angle
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.dialects import KEYWORDS
from ccdcore.cards.longitude import counts_to_the_west, doubtful_nights, east_longitude, site_longitude
from ccdcore.io.read import read_header

WHEN = datetime(2024, 3, 11, 5, tzinfo=UTC)


def site(cards, when=WHEN):
    return site_longitude(cards, KEYWORDS["longitude"], when)


@pytest.mark.parametrize(
    ("value", "degrees"),
    [
        *[(289.25, -70.75), ("-70:45:00", -70.75), ("W 70 45 00", -70.75), ("70.75 W", -70.75), ("70 45 00 W", -70.75)],
        *[("070:45:00W", -70.75), ("W70d45m", -70.75), ("70°45'00\" West", -70.75), ("-70.75 W", -70.75)],
        *[("149 03 00 E", 149.05), ("E149.05", 149.05), ("-17 53 06", -17.885), ("10h00m00s", 150.0), (" 0.0 ", 0.0)],
        *[("70 75 00", None), ("x", None), ("70 O", None), (1234.5, None), ("-33.4 S", None), (True, None)],
    ],
)
def test_a_longitude_is_read_with_letters_and_without(value, degrees):
    assert east_longitude(value) == (degrees if degrees is None else pytest.approx(degrees))


@pytest.mark.parametrize("card", ["SITELON", "LONG-OBS", "GEODLON", "GEOLON", "LONGITUD", "LON", "OBSGEO-L", "TELLONG"])
def test_a_longitude_is_read_from_any_usual_card(card):
    assert site({card: -70.75}).degrees == pytest.approx(-70.75)


@pytest.mark.parametrize(
    ("comment", "value", "west"),
    [
        ("[deg west] Observatory longitude", 93.0, True),
        ("West longitude of the site", "70:45:00", True),
        ("longitude in degrees, positive west", 70.75, True),
        ("[deg W]", 70.75, True),
        ("[deg] Observatory east longitude", 70.8, False),
        ("degrees east (west is negative)", -70.8, False),
        ("longitude (west negative)", -70.8, False),
        ("[deg] +E -W", 70.8, False),
        ("West longitude", "70 45 00 W", False),
        ("Westerbork", 6.6, False),
        ("", 70.8, False),
    ],
)
def test_a_comment_tells_what_counts_to_the_west(comment, value, west):
    assert counts_to_the_west(comment, value) is west


@pytest.mark.parametrize(
    ("cards", "degrees", "words"),
    [
        (
            {"OBS-LONG": 70.81489, "OBSERVAT": "CTIO"},
            -70.81,
            "OBS-LONG = 70.81489 counts to the west, by OBSERVAT = 'CTIO'",
        ),
        ({"OBS-LONG": -70.81489, "OBSERVAT": "CTIO"}, -70.81, None),
        ({"LONG-OBS": "111:36:00", "TELESCOP": "KPNO 4.0 meter"}, -111.6, "counts to the west"),
        ({"SITELON": 93.0, "OBSGEO-L": -93.0}, -93.0, "SITELON = 93.0 counts to the west, by OBSGEO-L"),
        ({"LONGITUD": "4:43:15", "OBSERVAT": "CTIO"}, -70.81, "is in hours to the west"),
        (
            {"GEOLON": 70.4, "OBSGEO-X": 1.9459e6, "OBSGEO-Y": -5.467e6},
            -70.4,
            "counts to the west, by OBSGEO-X and OBSGEO-Y",
        ),
        ({"OBSGEO-X": 1.9459e6, "OBSGEO-Y": -5.467e6}, -70.4, None),
        ({"OBSERVAT": "Keck I"}, -155.47, "no card gives a longitude: that of OBSERVAT = 'Keck I' is used"),
        ({"LONGITUD": 12.0, "OBSERVAT": "KPNO"}, 12.0, "but OBSERVAT = 'KPNO' means a longitude of -111.6"),
        ({"LONGITUD": "70 O", "SITELONG": -70.8}, -70.8, "LONGITUD = '70 O' cannot be used"),
        ({"SITELONG": "4:43:00"}, 4.717, "SITELONG = '4:43:00' is taken for degrees: if it is in hours"),
        ({"SITELONG": "+10 43 00"}, 10.717, None),
        ({"LONGITUD": "Cerro 3"}, None, "LONGITUD = 'Cerro 3' cannot be used"),
        ({"LONGITUD": 12.0, "ST": "99:00:00"}, 12.0, None),
        ({}, None, None),
    ],
)
def test_what_else_says_where_the_site_is(cards, degrees, words):
    found = site(cards)
    assert found.degrees == (degrees if degrees is None else pytest.approx(degrees, abs=0.05))
    assert words in found.words[0] if words else found.words == ()


@given(
    st.floats(5, 175),
    st.sampled_from([1, -1]),
    st.datetimes(datetime(2000, 1, 2), datetime(2030, 1, 1)),  # noqa: DTZ001
)
def test_sidereal_time_tells_the_sign(size, sign, when):
    greenwich = erfa.gmst82(2400000.5, (when - datetime(1858, 11, 17)) / timedelta(days=1))  # noqa: DTZ001
    local = Angle(greenwich, "rad", wrap_angle="360d") + Angle(sign * size, "deg")
    local = Angle(local, wrap_angle="360d").to_string("hour", sep=":", precision=2)
    when = when.replace(tzinfo=UTC)
    assert site({"LONGITUD": sign * size, "LST": local}, when).words == ()
    turned = site({"LONGITUD": -sign * size, "LST": local}, when)
    assert turned.degrees == pytest.approx(sign * size)
    assert "counts to the west, by LST" in turned.words[0]


def test_the_comment_of_a_file_is_used(tmp_path):
    for value, comment in ((93.0, "[deg west] longitude"), (-93.0, "[deg] longitude")):
        unit = fits.PrimaryHDU([[1, 2], [3, 4]])
        unit.header["LONGITUD"] = value, comment
        unit.writeto(tmp_path / f"{value}.fits")
        assert read_header(tmp_path / f"{value}.fits").info.longitude_deg == -93.0


NIGHT = [datetime(2024, 3, 10, 21, 30, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(27)]


@pytest.mark.parametrize(("longitude", "is_doubtful"), [(-70.8, False), (70.8, True), (0.0, False), (-30.0, False)])
def test_a_night_cut_amid_its_frames_is_told(longitude, is_doubtful):
    said = doubtful_nights(NIGHT, longitude)
    assert (said is not None) is is_doubtful
    if said:
        assert "nights are cut at 7:17 UTC, between frames at 7:00 and 7:30" in said
        assert "none from 10:30 to 21:30" in said


def test_cameras_that_never_rest_and_single_frames_leave_no_doubt():
    assert doubtful_nights([NIGHT[0] + timedelta(hours=n) for n in range(24)], 70.8) is None
    assert doubtful_nights(NIGHT[:1], 70.8) is None
    assert doubtful_nights([], 70.8) is None
