"""What `init` says of a folder, and the configuration that it writes."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.recipe import Recipes
from flows.commands.init import MOST_ODD, start
from flows.commands.inspect_files import identified
from flows.config.errors import SettingsError
from flows.config.settings import Settings, load_settings
from flows.config.template import quoted
from tests.support.simulate import notebook_series, simple_night, standard_cards, write_frame

BEGIN = datetime(2022, 9, 19, 18, tzinfo=UTC)
PIXELS = np.arange(16, dtype=np.uint16).reshape(4, 4)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    directory = tmp_path / "raw"
    directory.mkdir()
    return directory


@pytest.fixture
def init(home: Path, raw: Path) -> Callable[[], list[str]]:
    """Begin a home for the raw frames; return what was said."""

    def begin() -> list[str]:
        said: list[str] = []
        start(home, raw, say=said.append)
        return said

    return begin


def as_identified(home: Path, raw: Path) -> list[dict[str, Any]]:
    """What the frames are, apart from the evidence for the camera, which an entry changes."""
    rows, _ = identified(home, (raw,))
    return [{name: value for name, value in row.items() if name != "instrument_because"} for row in rows]


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", text)


def test_the_configuration_watches_the_folder_and_changes_no_frame(
    home: Path, raw: Path, init: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    simple_night(raw / "first", n_bias=2, n_flat=1)
    notebook_series(raw / "second", n_bias=(1, 0, 0), n_flat=2)
    before = as_identified(home, raw)
    (said,) = init()
    settings = load_settings(home)
    assert settings.watch.directories == (raw,)
    assert [(entry.name, entry.match) for entry in settings.instruments] == [
        ("testcam", {"INSTRUME": "testcam"}),
        ("DU970P_BV", {"HEAD": "DU970P_BV"}),
    ]
    assert as_identified(home, raw) == before
    assert said.startswith(f"{home / 'ccdwatch.toml'}: written; ")
    shown = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert ["testcam", "bin1x1", "bias", "2", "first/bias_20220919_001.fits", "IMAGETYP = 'Bias Frame'"] in shown
    assert ["DU970P_BV", "bin1x1_readtime1e-06", "flat", "2", "second/Flat_ 01.fits"] in [row[:5] for row in shown]


def test_what_is_commented_out_is_the_default(home: Path, raw: Path, init: Callable[[], list[str]]) -> None:
    write_frame(raw / "a.fits", PIXELS, standard_cards("bias", BEGIN, 0.0))
    init()
    general, _ = (home / "ccdwatch.toml").read_text().split("[[instrument]]", 1)
    lines = uncommented(general).splitlines()
    defaults = Settings(home=home)
    content = tomllib.loads("\n".join(line for line in lines if "# example" not in line))
    assert content["watch"].pop("directories") == [str(raw)]
    assert Settings(home=home, **content) == defaults
    (home / "ccdwatch.toml").write_text("\n".join(lines))
    assert load_settings(home).nights.longitude_deg == -17.9
    every = tomllib.loads("\n".join(lines))
    for section in ("watch", "nights", "database", "prefect", "web", "notify"):
        assert set(every[section]) == set(type(getattr(defaults, section)).model_fields)
    assert {name: set(keys) for name, keys in every["recipes"].items()} == {
        kind.name: {one.name for one in fields(getattr(defaults.recipes, kind.name))} for kind in fields(Recipes)
    }


def test_the_examples_can_be_taken_as_they_are(home: Path, raw: Path, init: Callable[[], list[str]]) -> None:
    write_frame(raw / "a.fits", PIXELS, standard_cards("bias", BEGIN, 0.0))
    init()
    path = home / "ccdwatch.toml"
    path.write_text(uncommented(path.read_text()))
    (entry,) = load_settings(home).instruments
    assert entry.header
    assert entry.frame_type
    assert entry.configuration
    assert entry.amplifiers
    assert entry.spec
    assert entry.valid_from


def test_the_hints_name_the_cards_that_hold_time_and_exposure(
    home: Path, raw: Path, init: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    cards = {"CAM_ID": "ESIS1", "IMG_TS": "2017-07-12T16:38:19.971Z", "IMG_EXP": 1999}
    write_frame(raw / "x_1.fits", PIXELS, cards)
    init()
    out = capsys.readouterr().out
    assert re.search(r"time unknown +1 +x_1\.fits +no known card holds it; IMG_TS may", out)
    assert re.search(r"no calibration frame +1 +x_1\.fits +no header card, file name or exposure time tells", out)
    path = home / "ccdwatch.toml"
    hinted, _ = path.read_text().split("# What else")
    assert "# The time of 1 frame is not known, for example of x_1.fits." in hinted
    path.write_text(uncommented(hinted).replace("Flat_*", "x_*").replace('OBSTYPE = "sky*", ', ""))
    (row,) = as_identified(home, raw)
    assert row["date_obs"] == "2017-07-12T16:38:19.971000+00:00"
    assert row["exposure_time_s"] == pytest.approx(1.999)
    assert row["type"] == "flat"


def test_a_camera_without_a_name_gets_no_entry_but_a_hint(
    home: Path, raw: Path, init: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    write_frame(raw / "bias.fits", PIXELS, {"DATE-OBS": "2022-09-19T18:00:00"})
    (raw / "broken.fits").write_bytes(b"\x00" * 2880)
    init()
    out = capsys.readouterr().out
    assert re.search(r"camera unknown +1 +bias\.fits +no header card names it", out)
    assert re.search(r"unreadable +1 +broken\.fits +\w", out)
    assert load_settings(home).instruments == ()
    hint = (home / "ccdwatch.toml").read_text().split("# What else")[0].split("To name it:\n")[1]
    named = uncommented(hint).replace('{ KEYWORD = "value" }', "{}")
    (home / "ccdwatch.toml").write_text(named)
    assert [row["instrument"] for row in as_identified(home, raw)] == ["my-camera", None]


HOSTILE = ['a"b', "a\\u0041\\", "x*?[y]", "[!z]", "'''", '"""', "{}", "{name}", "#]", "a = 1", "Cam 1", "Cam-1", "0x10"]


def test_header_values_are_taken_as_they_are(home: Path, raw: Path, init: Callable[[], list[str]]) -> None:
    for index, value in enumerate(HOSTILE):
        cards = standard_cards("bias", BEGIN, 0.0, instrument=value) | {"HEAD": "same"}
        write_frame(raw / f"b{index:02}.fits", PIXELS, cards)
    write_frame(raw / "head.fits", PIXELS, {"HEAD": "same", "SERNO": 1})
    write_frame(raw / "number.fits", PIXELS, {"DETECTOR": 42})
    before = as_identified(home, raw)
    init()
    load_settings(home)
    assert as_identified(home, raw) == before
    assert {row["instrument"] for row in before} >= {"same", "42", "Cam-1", "x-y"}


def test_cameras_whose_names_differ_in_case_only_are_left_as_they_are(
    home: Path, raw: Path, init: Callable[[], list[str]]
) -> None:
    for name in ("CamA", "cama"):
        write_frame(raw / f"{name}.fits", PIXELS, standard_cards("bias", BEGIN, 0.0, instrument=name))
    before = as_identified(home, raw)
    init()
    assert load_settings(home).instruments == ()
    assert as_identified(home, raw) == before
    assert "different names (CamA, cama)" in (home / "ccdwatch.toml").read_text()


@given(st.text())
def test_any_text_can_be_quoted(text: str) -> None:
    assert tomllib.loads(f"text = {quoted(text)}") == {"text": text}


def test_names_of_folders_and_files_stay_on_their_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'new\nline "quoted" {brace}'
    write_frame(folder / "a\n[watch]\x1b[31m.fits", PIXELS, {"CAM_ID": "x"})
    start(home, folder, say=print)
    assert load_settings(home).watch.directories == (folder,)
    assert "\x1b" not in capsys.readouterr().out


def test_what_is_odd_in_many_ways_is_cut_short(
    raw: Path, init: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(MOST_ODD + 3):
        write_frame(raw / f"{index}.fits", PIXELS, standard_cards("bias", BEGIN, 0.0) | {"IMAGETYP": f"image {index}"})
    init()
    assert "… and 3 more rows: type ccdwatch identify" in capsys.readouterr().out


def test_a_configuration_is_never_overwritten(home: Path, raw: Path, init: Callable[[], list[str]]) -> None:
    write_frame(raw / "a.fits", PIXELS, standard_cards("bias", BEGIN, 0.0))
    home.mkdir()
    (home / "ccdwatch.toml").write_text("# mine\n")
    with pytest.raises(SettingsError, match=r"home/ccdwatch\.toml: exists and stays as it is") as raised:
        init()
    assert "\n" not in str(raised.value)
    assert (home / "ccdwatch.toml").read_text() == "# mine\n"


def test_a_link_to_a_configuration_on_a_disk_that_is_away_stays(home: Path, raw: Path, tmp_path: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    link = home / "ccdwatch.toml"
    link.symlink_to(tmp_path / "away" / "ccdwatch.toml")
    with pytest.raises(SettingsError, match="exists and stays as it is"):
        start(home, raw, say=print)
    assert link.is_symlink()


def test_a_folder_without_frames_is_described(home: Path, raw: Path, init: Callable[[], list[str]]) -> None:
    with pytest.raises(SettingsError, match="no FITS files in it, but nothing"):
        init()
    (raw / "sub").mkdir()
    for name in ("a.cr2", "b.CR2", "sub/README"):
        (raw / name).touch()
    with pytest.raises(SettingsError, match=r"but 2 \.cr2, 1 folders, 1 files without an ending: give the frames'"):
        init()
    assert not home.exists()


def test_a_folder_that_is_none_is_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere: No such file or directory: check the path"):
        start(home, tmp_path / "nowhere", say=print)
    (tmp_path / "file.fits").touch()
    with pytest.raises(SettingsError, match=r"file\.fits: is no folder"):
        start(home, tmp_path / "file.fits", say=print)


def test_a_home_that_cannot_be_written_is_named(raw: Path, tmp_path: Path) -> None:
    write_frame(raw / "a.fits", PIXELS, standard_cards("bias", BEGIN, 0.0))
    (tmp_path / "taken").touch()
    with pytest.raises(SettingsError, match=r"taken/ccdwatch\.toml: cannot be written: .*: give another --home"):
        start(tmp_path / "taken", raw, say=print)


@pytest.mark.parametrize("camera", ["eso-efosc2", "msfc-esis-4tap", "not-alfosc-uint32", "opd-ixon-decimalcomma"])
def test_real_cameras_stay_what_they_are(camera: str, home: Path, shared_data: Path) -> None:
    before = as_identified(home, shared_data / camera)
    start(home, shared_data / camera, say=print)
    assert len(load_settings(home).instruments) == 1
    assert as_identified(home, shared_data / camera) == before
