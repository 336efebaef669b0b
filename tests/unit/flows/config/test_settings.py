"""The configuration: what it may say, and what is said where it says something else."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.headers.instrument import FrameRule, FrameType
from ccdcore.quantities import QUANTITIES, Limits
from flows.config.errors import SettingsError
from flows.config.instrument_settings import SpecField
from flows.config.settings import Settings, find_home, load_settings, prefect_api_url

ENTRY = '[[instrument]]\nname = "a"\n'


def write(home: Path, text: str | bytes) -> Path:
    path = home / "ccdwatch.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_nothing_need_be_said(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "nowhere")
    assert settings == Settings(home=tmp_path / "nowhere")
    assert settings.watch.quiet_seconds == 30
    assert settings.watch.stable_seconds == 2
    assert settings.watch.scan_seconds == 60
    assert settings.watch.settle_seconds == 300
    assert settings.watch.include == ("*.fit", "*.fits", "*.fts")
    assert (settings.nights.window_nights, settings.nights.reach_nights, settings.nights.longitude_deg) == (1, 7, None)
    assert settings.recipes.gain.method == "auto"
    assert (settings.recipes.bias.clip_sigma, settings.recipes.flat.clip_sigma) == (7.0, 5.0)


def test_everything_of_the_contract_can_be_said(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
[watch]
directories = ["raw", "/data/other"]
polling = true
[nights]
longitude_deg = -70.7
window_nights = 5
[recipes.bias]
clip_sigma = 6
min_frames = 5
[recipes.flat]
scale = "median"
[recipes.gain]
method = "pair"
region = "[20:11,1:5]"
[database]
url = "sqlite:///other.db"
[prefect]
api_url = "http://127.0.0.1:4300/api"
[[instrument]]
name = "m2-ml"
match = { HEAD = "DU970P_BV", SERNO = 8112 }
valid_from = 2022-01-01
valid_to = 2023-01-01T12:00:00+02:00
header = { date_obs = "DATE", exposure_time = "EXPOSURE", ccd_temperature = "TEMP" }
exposure_time_unit_s = 0.001
frame_type = { bias = { filename = "Bias_*" }, flat = { filename = "Flat_*", LAMP = 1 } }
configuration = ["HBIN", "VBIN"]
amplifiers = [{ name = 1, data = "[1:100,1:50]", overscan = "[101:110,1:50]" }]
spec = { gain_e_per_adu = { min = 0.9, max = 1.1 }, read_noise_e = { max = 3.0 } }
""",
    )
    settings = load_settings(tmp_path)
    assert settings.watch.directories == (tmp_path / "raw", Path("/data/other"))
    assert settings.database_url == f"sqlite:///{tmp_path}/other.db"
    assert settings.recipes.bias.min_frames == 5
    (entry,) = settings.instruments
    assert entry.match == {"HEAD": "DU970P_BV", "SERNO": "8112"}
    assert entry.valid_from == datetime(2022, 1, 1, tzinfo=UTC)
    assert entry.valid_to == datetime(2023, 1, 1, 10, tzinfo=UTC)
    assert entry.header["date_obs"] == "DATE"
    assert entry.exposure_time_unit_s == 0.001
    assert entry.frame_type == {
        FrameType.BIAS: FrameRule(filename="Bias_*"),
        FrameType.FLAT: FrameRule(cards={"LAMP": "1"}, filename="Flat_*"),
    }
    assert entry.amplifiers == (Amplifier("1", Section(1, 100, 1, 50), Section(101, 110, 1, 50)),)
    assert entry.spec == {"gain_e_per_adu": Limits(0.9, 1.1), "read_noise_e": Limits(None, 3.0)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[watchh]", "unknown key watchh: known keys here are watch, nights, recipes, database, prefect, "),
        ("[watch]\nsettle = 3", "unknown key watch.settle: known keys here are directories, quiet_seconds, "),
        ("[recipes]\nbais = {}", "unknown key recipes.bais: known keys here are bias, dark, flat, gain"),
        ("[recipes.bias]\nclip = 3", "unknown key recipes.bias.clip: known keys here are clip_sigma, min_frames"),
        (ENTRY + 'heder = { x = "y" }', "unknown key instrument.0.heder: known keys here are name, match, "),
        (ENTRY + "spec.gain_e_per_adu = { mi = 1 }", "instrument.0.spec.gain_e_per_adu.mi: known keys here are min"),
        (
            ENTRY + 'amplifiers = [{ name = "1", data = "[1:2,1:2]", ovrscan = "" }]',
            "unknown key instrument.0.amplifiers.0.ovrscan: known keys here are name, data, overscan",
        ),
        ('home = "x"', "unknown key home: give it as --home or CCDWATCH_HOME"),
        ("watch = 3", "watch = 3: should be a table of keys"),
        ("[recipes]\nbias = 3", "recipes.bias = 3: should be a table of keys"),
        ("[watch]\nscan_seconds = 0", "watch.scan_seconds = 0: should be greater than 0"),
        ('[watch]\nquiet_seconds = "soon"', "watch.quiet_seconds: should be a valid number"),
        ('[watch]\ndirectories = "/data"', "watch.directories: should be a list in brackets"),
        ("[nights]\nwindow_nights = 0", "nights.window_nights = 0: should be greater than or equal to 1"),
        ("[nights]\nlongitude_deg = 1000", "nights.longitude_deg = 1000: should be less than or equal to 360"),
        ('[recipes.gain]\nmethod = "x"', "recipes.gain.method = 'x': should be 'auto', 'pair', 'binned' or"),
        ("[recipes.gain]\nregion = 3", "recipes.gain.region = 3: should be a valid string"),
        ('[recipes.gain]\nregion = "[1:2]"', "recipes.gain: '[1:2]' is not an image section"),
        ("[recipes.bias]\nclip_sigma = 0.1", "clip_sigma = 0.1 is not from 1 to 100"),
        ("[recipes.flat]\nmin_frames = 0", "min_frames = 0 is below 1"),
        ('[recipes.flat]\nscale = "mean"', "recipes.flat.scale = 'mean': should be 'illuminated' or 'median'"),
        ('[instrument]\nname = "a"', "instrument: should be a list in brackets; an instrument begins"),
        ("[[instrument]]", "instrument.0.name is missing: give it"),
        ('[[instrument]]\nname = "a/b"', "instrument.0.name = 'a/b': should be 1 to 48 letters, digits and . _ + -"),
        (ENTRY + 'header = { date = "X" }', "instrument.0.header.date = 'date': should be 'date_obs', 'exposure_time'"),
        (ENTRY + "frame_type.bias = {}", "instrument.0.frame_type.bias: give header cards, filename, or both"),
        (ENTRY + 'frame_type.zero = { X = "1" }', "frame_type.zero = 'zero': should be 'bias', 'dark', 'flat' or"),
        (ENTRY + "spec.gain = { min = 1 }", "instrument.0.spec.gain = 'gain': should be 'gain_e_per_adu', "),
        (ENTRY + 'valid_from = "yesterday"', "instrument.0.valid_from: should be a valid datetime"),
        (
            ENTRY + 'amplifiers = [{ name = "1", data = "all" }]',
            "instrument.0.amplifiers.0.data = 'all': 'all' is not an image section: write [x1:x2,y1:y2]",
        ),
        ("[watch", "cannot be read as TOML: Expected ']' at the end of a table declaration ("),
        ('"a\\nb" = 3', "unknown key a b: known keys here are watch"),
        (b"\xff\xfe", "cannot be read as TOML: 'utf-8' codec can't decode"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "\n" not in message


def test_a_configuration_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / "ccdwatch.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read as TOML"):
        load_settings(tmp_path)


def test_watched_directories_of_the_command_line_come_first(tmp_path: Path) -> None:
    write(tmp_path, '[watch]\ndirectories = ["raw"]\nsettle_seconds = 5\n')
    settings = load_settings(tmp_path, watch=(Path("/data"),))
    assert settings.watch.directories == (Path("/data"),)
    assert settings.watch.settle_seconds == 5


def test_relative_directories_are_below_the_home_and_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    write(tmp_path, '[watch]\ndirectories = ["link", "~/raw"]\n')
    assert load_settings(tmp_path).watch.directories == (tmp_path / "target", Path("~/raw").expanduser().resolve())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///x.db", "sqlite:////home/x.db"),
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)
def test_a_relative_database_is_in_the_home(url: str, expected: str) -> None:
    assert Settings(home=Path("/home"), database={"url": url}).database_url == expected  # type: ignore[arg-type]


def test_the_home_is_the_option_then_the_environment_then_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCDWATCH_HOME", "/from/environment")
    assert find_home("/given") == Path("/given")
    assert find_home("given") == Path.cwd() / "given"
    assert find_home(None) == Path("/from/environment")
    monkeypatch.setenv("CCDWATCH_HOME", "")
    assert find_home(None) == Path.home() / "ccdwatch"


def test_the_prefect_server_is_the_configured_one_then_that_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    home = Path("/home")
    with pytest.raises(SettingsError, match=r"/home: no Prefect server is known: set \[prefect\] api_url, or type"):
        prefect_api_url(Settings(home=home))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    assert prefect_api_url(Settings(home=home)) == os.environ["PREFECT_API_URL"]
    configured = Settings(home=home, prefect={"api_url": "http://other/api"})  # type: ignore[arg-type]
    assert prefect_api_url(configured) == "http://other/api"


def test_every_quantity_may_have_limits() -> None:
    suffixes = {one.name: "_" + one.unit.lower().replace("/", "_per_") for one in QUANTITIES.values()}
    keys = [name if name.endswith(suffix) else name + suffix for name, suffix in suffixes.items()]
    assert keys == list(get_args(SpecField))


@pytest.mark.parametrize(
    "text",
    [
        '[database.url]\npassword = "hunter2x"\n',
        '[database]\nurl = { user = "ccd", db_passwd = "hunter2x" }\n',
        '[notify]\n"slack://hunter2x/abcdef" = 1\n',
    ],
)
def test_a_secret_in_a_wrong_place_is_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "ccdwatch.toml").write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_settings(tmp_path)
    assert "hunter2x" not in str(raised.value)


def test_limits_of_quality_grow(tmp_path: Path) -> None:
    write(tmp_path, "[science]\nquality = [0.1, 0.2, 1.0]\n")
    assert load_settings(tmp_path).science.quality == (0.1, 0.2, 1.0)
    for wrong in ("[0.2, 0.1, 0.5]", "[0.0, 0.1, 0.5]", "[0.1, 0.2]", '"good"'):
        write(tmp_path, f"[science]\nquality = {wrong}\n")
        with pytest.raises(SettingsError, match="quality"):
            load_settings(tmp_path)
