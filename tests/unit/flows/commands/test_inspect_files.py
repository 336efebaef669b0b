"""What `identify` and `imstat` say of files."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ccdcore.errors import SectionError
from ccdcore.frames.imstat import MAD_TO_SIGMA
from ccdcore.io.read import read_image
from flows.commands.inspect_files import identified, image_statistics
from flows.config.errors import SettingsError
from tests.support.simulate import SeriesTruth, notebook_series, simple_night, standard_cards, write_frame

ENTRY = """
[nights]
longitude_deg = -150
[[instrument]]
name = "small-camera"
match = { INSTRUME = "testcam" }
amplifiers = [
  { name = "left", data = "[1:100,1:64]", overscan = "[101:110,1:64]" },
  { name = "right", data = "[120:256,1:64]" },
]
"""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> SeriesTruth:
    return simple_night(tmp_path_factory.mktemp("night") / "raw", n_bias=2, n_flat=1, n_dark=1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_every_frame_of_a_folder_is_identified_with_the_reason(home: Path, tmp_path: Path) -> None:
    series = notebook_series(tmp_path / "deep" / "down", n_bias=(1, 0, 0), n_flat=2)
    rows, failed = identified(home, (tmp_path,))
    assert not failed
    assert not home.exists()
    assert [row["file"] for row in rows] == [str(path) for path in series.paths]
    assert [row["type"] for row in rows] == ["bias", "flat", "flat"]
    assert rows[1] == {
        "file": str(series.flats[0]),
        "type": "flat",
        "because": "the file name 'Flat_ 01.fits'",
        "instrument": "DU970P_BV",
        "instrument_because": "HEAD = 'DU970P_BV'",
        "configuration": "bin1x1_readtime1e-06",
        "amplifiers": "1 [1:2048,1:100]",
        "amplifiers_because": "the whole image: no header card names a section",
        "night": "2022-09-21",
        "date_obs": "2022-09-21T19:00:00+00:00",
        "date_remark": None,
        "exposure_time_s": 8.0,
        "ccd_temperature_c": -70.0,
        "filter": None,
        "n_averaged": 1,
    }


def test_the_entries_and_the_longitude_of_the_home_are_used(home: Path, night: SeriesTruth) -> None:
    home.mkdir()
    (home / "ccdwatch.toml").write_text(ENTRY)
    (row,), _ = identified(home, night.flats)
    assert row["instrument"] == "small-camera"
    assert row["amplifiers"] == "left [1:100,1:64] overscan [101:110,1:64]; right [120:256,1:64]"
    assert row["amplifiers_because"] == "entry small-camera"
    assert row["filter"] == "V"
    assert row["night"] == "2022-09-18"  # 18 h UTC is 8 h in the morning there


def test_a_broken_file_is_unreadable_and_the_others_are_not(home: Path, night: SeriesTruth, tmp_path: Path) -> None:
    broken = tmp_path / "broken.fits"
    broken.write_bytes(b"no FITS at all")
    rows, failed = identified(home, (broken, night.biases[0]))
    assert failed
    assert [row["type"] for row in rows] == ["unreadable", "bias"]
    assert rows[0].keys() == rows[1].keys()
    assert rows[0]["because"]
    assert rows[0]["instrument"] is None


def test_a_date_that_no_night_can_be_made_of_does_no_harm(home: Path, tmp_path: Path) -> None:
    cards = standard_cards("bias", datetime(1, 1, 1, tzinfo=UTC), 0.0) | {"DATE-OBS": "0001-01-01T00:00:00"}
    path = write_frame(tmp_path / "old.fits", np.zeros((4, 4), dtype=np.uint16), cards)
    (row,), failed = identified(home, (path,))
    assert (row["type"], row["night"], failed) == ("bias", None, False)


def test_a_file_named_twice_is_one_row_and_the_home_is_passed_over(night: SeriesTruth) -> None:
    folder = night.paths[0].parent
    rows, _ = identified(folder.parent / "elsewhere", (folder, folder / "..", night.paths[0]))
    assert len(rows) == len(night.paths)
    assert identified(folder, (folder.parent,)) == ([], False)


@pytest.mark.parametrize("ask", [identified, lambda *a: image_statistics(*a, fmt=None, region=None)])
def test_a_path_that_is_not_there_is_named(ask, home: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SettingsError, match=r"nowhere\.fits: No such file or directory: check the path"):
        ask(home, (tmp_path / "nowhere.fits",))


def test_statistics_are_those_of_the_pixels(home: Path, night: SeriesTruth) -> None:
    rows, failed = image_statistics(home, night.paths, fmt=None, region="[11:30,5:60]")
    assert not failed
    for row, path in zip(rows, night.paths, strict=True):
        pixels = read_image(path)[4:60, 10:30].astype(float)
        assert row["file"] == str(path)
        assert (row["npix"], row["min"], row["max"]) == (pixels.size, pixels.min(), pixels.max())
        assert row["mean"] == pytest.approx(pixels.mean())
        assert row["std"] == pytest.approx(pixels.std())
        assert row["mad"] == pytest.approx(MAD_TO_SIGMA * np.median(abs(pixels - np.median(pixels))))
        assert row["unit"] == "adu"
    json.dumps(rows, allow_nan=False)


def test_numbers_are_formatted_for_the_table(home: Path, night: SeriesTruth) -> None:
    (row,), _ = image_statistics(home, night.biases[:1], fmt=".1f", region=None)
    assert row["mean"] == f"{read_image(night.biases[0]).mean():.1f}"
    assert row["npix"] == 64 * 256
    with pytest.raises(SettingsError, match=r"--fmt '%d' is no format of a number: write for example \.3f"):
        image_statistics(home, night.biases, fmt="%d", region=None)


def test_a_product_keeps_its_own_unit(home: Path, tmp_path: Path) -> None:
    rate, pure = (
        write_frame(tmp_path / f"{name}.fits", np.arange(16, dtype=np.float32).reshape(4, 4), {"BUNIT": unit})
        for name, unit in (("rate", "adu/s"), ("pure", ""))
    )
    rows, _ = image_statistics(home, (rate, pure), fmt=None, region=None)
    assert [row["unit"] for row in rows] == ["adu/s", ""]


def test_what_cannot_be_measured_is_said_and_the_rest_shown(
    home: Path, night: SeriesTruth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "bro\x1b[31mken.fits"
    broken.write_bytes(b"")
    small = write_frame(tmp_path / "small.fits", np.ones((4, 4), dtype=np.uint16), {})
    blank = write_frame(tmp_path / "blank.fits", np.full((64, 64), np.nan, dtype=np.float32), {})
    rows, failed = image_statistics(home, (broken, small, blank, night.biases[0]), fmt=None, region="[1:20,1:20]")
    assert failed
    assert [row["file"] for row in rows] == [str(night.biases[0])]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith(f"{tmp_path}/bro [31mken.fits: ")
    assert said[1].endswith("small.fits: section [1:20,1:20] lies outside the image of 4 columns and 4 rows")
    assert "blank.fits: the image has no finite pixel" in said[2]


def test_a_region_that_cannot_be_read_is_refused(home: Path, night: SeriesTruth) -> None:
    with pytest.raises(SectionError, match="'here' is not an image section"):
        image_statistics(home, night.paths, fmt=None, region="here")
