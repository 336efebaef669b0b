"""`ccdwatch config check`: a configuration held against frames and measurements on record."""

import os
import shutil
from pathlib import Path

import pytest

from flows.calibration.steps import STEPS
from flows.commands.doctor import doctor
from flows.commands.process import process
from flows.config.settings import WebSettings
from flows.home.home import open_home
from flows.home.processes import HOST, own_start
from flows.home.service_address import RunningService, write_service
from tests.support.command import ccdwatch
from tests.support.simulate import simple_night

ENTRY = '[[instrument]]\nname = "testcam"\nmatch = { INSTRUME = "testcam" }\n'


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where one night of a camera of 1.5 e⁻/ADU has been worked on."""
    directory = tmp_path_factory.mktemp("processed")
    simple_night(directory / "raw", n_bias=3, n_flat=2)
    (directory / "home").mkdir()
    (directory / "home" / "ccdwatch.toml").write_text(ENTRY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])
        home = open_home(directory / "home")
        assert process(home, [directory / "raw"])["failed"] == []
    home.engine.dispose()
    return directory / "home"


@pytest.fixture
def home(processed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(processed, tmp_path / "home")


def check(home: Path, text: str) -> list[str]:
    (home / "ccdwatch.toml").write_text(text)
    said = ccdwatch("config", "check", "--home", home)
    told = [line.removeprefix(f"{home}/ccdwatch.toml: ") for line in said.text.splitlines()]
    assert (said.status, said.err) == ((1, "") if told else (0, f"{home}/ccdwatch.toml: nothing odd\n"))
    return told


def test_entries_are_held_against_frames(home: Path) -> None:
    assert check(home, ENTRY) == []
    of_none = '[[instrument]]\nname = "b"\nmatch = { INSTRUME = "testcma" }\n'
    (told,) = check(home, of_none + ENTRY)
    assert told.startswith("[[instrument]] 1 (b) match (INSTRUME = testcma) fits no frame on record")
    # Entries that no frame was identified by yet are held against the headers themselves.
    assert check(home, ENTRY.replace('name = "testcam"', 'name = "renamed"')) == []
    above = '[[instrument]]\nname = "above"\nmatch = { INSTRUME = "testca*" }\n'
    (told,) = check(home, above + ENTRY.replace('name = "testcam"', 'name = "below"'))
    assert told.startswith("[[instrument]] 2 (below) match fits frames on record, but entry 1 (above) above takes them")


def test_limits_are_held_against_measurements(home: Path) -> None:
    assert check(home, f"{ENTRY}spec.gain_e_per_adu = {{ min = 1.4, max = 1.6 }}\n") == []
    (told,) = check(home, f"{ENTRY}spec.gain_e_per_adu = {{ min = 1400, max = 1600 }}\n")
    assert "e⁻/ADU was measured: it is in another unit: write { min = 1.4, max = 1.6 }" in told
    (told,) = check(home, f"{ENTRY}spec.gain_e_per_adu = {{ min = 1.5, max = 1.500001 }}\n")
    assert "max = 1.500001 } is narrower than ± 1 σ: 1.4" in told or "± 1 σ: 1.5" in told


def test_sections_are_held_against_the_frames_on_record(home: Path) -> None:
    wide = 'amplifiers = [{ name = "A", data = "[1:200,1:64]", overscan = "[201:257,1:64]" }]\n'
    (told,) = check(home, ENTRY + wide)
    outside = "lies outside 5 frames on record, of 256 columns and 64 rows"
    start = f"[[instrument]] 1 (testcam) amplifiers the overscan [201:257,1:64] of A {outside}: correct it"
    assert told.startswith(start)
    (told,) = check(home, f'{ENTRY}amplifiers = [{{ name = "A", data = "[1:256,1:65]" }}]\n')
    assert f"amplifiers the data [1:256,1:65] of A {outside}" in told
    (told,) = check(home, f'[recipes.gain]\nregion = "[1:300,1:64]"\n{ENTRY}')
    assert told.startswith(f"[recipes.gain] region = [1:300,1:64] {outside}, of testcam: write one inside [1:256,1:64]")
    fit = wide.replace("257", "256")
    assert check(home, f'[recipes.gain]\nregion = "[1:256,1:64]"\n{ENTRY}{fit}') == []


def test_doctor_warns_of_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (told,) = check(home, f"{ENTRY}spec.gain_e_per_adu = {{ min = 1.6, max = 1.4 }}\n")
    doctor(home)
    assert told in capsys.readouterr().out


def test_programs_get_a_list(home: Path) -> None:
    (home / "ccdwatch.toml").write_text("[watch]\nsettle_seconds = 30000\n")
    said = ccdwatch("config", "check", "--json", "--home", home)
    (one,) = said.json()
    assert said.status == 1
    assert (one["file"], one["table"], one["key"]) == (str(home / "ccdwatch.toml"), "[watch]", "settle_seconds")
    assert one["todo"].startswith("it is in seconds: write 30,")
    (home / "ccdwatch.toml").unlink()
    said = ccdwatch("config", "check", "--json", "--home", home)
    assert (said.status, said.json()) == (0, [])


def test_a_home_that_is_none_is_not_made(tmp_path: Path) -> None:
    said = ccdwatch("config", "check", "--home", tmp_path / "home")
    assert (said.status, said.out) == (0, b"")
    assert "not held against what is on record" in said.err
    assert "not there, so the defaults hold" in said.err
    assert not (tmp_path / "home").exists()


def test_status_says_that_the_service_must_be_started_again_for_its_pages(home: Path) -> None:
    url, web = "http://127.0.0.1:1", WebSettings(port=4301).model_dump(mode="json")
    write_service(home, RunningService(os.getpid(), own_start(), HOST, f"{url}/api", url, url, web))
    told = f"{home}/ccdwatch.toml: [web] is another one since the service started: restart it"
    for text, is_told in (
        ("[web]\nport = 4301\n", False),
        ("[web]\nport = 4301\npublic_url = 'https://ccd.example'\n", True),
        ("", True),
    ):
        (home / "ccdwatch.toml").write_text(text)
        said = ccdwatch("status", "--json", "--home", home)
        concerns = [one["words"] for one in said.json()["attention"] if one["kind"] == "pages"]
        assert any(one.startswith(told) for one in concerns) is is_told
        assert "1 setting of the pages that does not hold" in said.json()["problems"] or not is_told
