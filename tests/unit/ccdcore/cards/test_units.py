"""Units of exposures and temperatures, in the value of a card or in its comment."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.cards.units import celsius, seconds, with_unit_of_comment
from ccdcore.headers.identify import identify
from ccdcore.headers.instrument import Instrument
from ccdcore.io.read import read_cards


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("30.0 s", (30.0, True)),
        ("0,5 sec", (0.5, True)),
        ("1500 ms", (1.5, True)),
        ("12us", (1.2e-5, True)),
        ("10 min", (600.0, True)),
        ("1/250", (0.004, True)),
        ("1/60 s", (1 / 60, True)),
        ("1e-3", (0.001, False)),
        (3, (3.0, False)),
        ("5 apples", None),
        ("1/0", None),
        ("", None),
        (True, None),
    ],
)
def test_seconds(value: object, found: tuple[float, bool] | None) -> None:
    assert seconds(value) == (found and pytest.approx(found))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("-20.1 C", (-20.1, True)),
        ("-20,5 °C", (-20.5, True)),
        ("263.15 K", (-10.0, True)),
        ("37 kelvin", (-236.15, True)),
        (-20.0, (-20.0, False)),
        ("1/3", None),
        ("hot", None),
    ],
)
def test_celsius(value: object, found: tuple[float, bool] | None) -> None:
    assert celsius(value) == (found and pytest.approx(found))


@pytest.mark.parametrize(
    ("name", "comment", "seen"),
    [
        ("exposure_time", "[ms] exposure time", "1500 ms"),
        ("exposure_time", "exposure time [ms]", "1500 ms"),
        ("exposure_time", "Exposure time in milliseconds", "1500 milliseconds"),
        ("exposure_time", "exposure time, us", "1500 us"),
        ("exposure_time", "[s] exposure (ms resolution)", 1500),
        ("exposure_time", "Exposure time in seconds", 1500),
        ("exposure_time", "Total Exposure Time", 1500),
        ("ccd_temperature", "[K] detector temperature", "1500 k"),
        ("set_temperature", "set point, K", "1500 k"),
        ("ccd_temperature", "CCD temperature in C", 1500),
    ],
)
def test_the_comment_names_the_unit(name: str, comment: str, seen: object) -> None:
    assert with_unit_of_comment(name, 1500, comment) == seen
    assert with_unit_of_comment(name, "1500 s", comment) == "1500 s"


@pytest.mark.parametrize(
    ("keyword", "value", "comment", "exposure_s", "temperature_c"),
    [
        ("EXPTIME", 1500.0, "[ms] exposure time", 1.5, None),
        ("EXPOSURE", "0,25 min", "", 15.0, None),
        ("EXPOINUS", 2000, "exposure time in microseconds", 0.002, None),
        ("DETTEMP", 37.0, "[K] detector", None, -236.15),
        ("CCD-TEMP", "-20.1 C", "", None, -20.1),
        ("CCD-TEMP", 253.15, "", None, -20.0),
    ],
)
def test_units_of_a_file(
    tmp_path: Path, keyword: str, value: object, comment: str, exposure_s: float | None, temperature_c: float | None
) -> None:
    unit = fits.PrimaryHDU(np.zeros((8, 8), np.int16))
    unit.header[keyword] = (value, comment)
    unit.writeto(tmp_path / "a.fits")
    cards = read_cards(tmp_path / "a.fits")
    for instruments in ((), (Instrument("in ms", exposure_time_unit_s=0.001),)):
        info = identify(cards, filename="a.fits", shape=(8, 8), instruments=instruments)
        assert (info.exposure_time_s, info.ccd_temperature_c) == pytest.approx((exposure_s, temperature_c))


@pytest.mark.parametrize(
    ("cards", "exposure_s", "frame_type"),
    [
        ({"EXPTIME": 0.0, "EXPOSURE": 300.0}, 300.0, "dark"),
        ({"EXPTIME": 60.0, "EXPOSURE": 0}, 60.0, "dark"),
        ({"EXPTIME": "0 s", "EXPOSURE": "1500 ms"}, 1.5, "dark"),
        ({"EXPTIME": 0.0, "EXPOSURE": 0.0}, 0.0, "bias"),
        ({"EXPTIME": 0.0, "ELAPTIME": 30.0}, 0.0, "bias"),
    ],
)
def test_an_exposure_that_a_driver_lost(cards: dict[str, object], exposure_s: float, frame_type: str) -> None:
    info = identify({"IMAGETYP": "Dark Frame", **cards}, filename="a.fits", shape=(8, 8))
    assert (info.exposure_time_s, info.frame_type) == (exposure_s, frame_type)
    assert ("but another card says" in info.frame_type_reason) == (exposure_s > 0)
