"""`ccdwatch export`: what other programs get of a night, that nothing of others is lost, and what comes again."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db.judgements.write import mark
from flows.calibration.steps import STEPS
from flows.home.home import open_home
from flows.home.processes import now
from tests.support.command import Said, ccdwatch
from tests.support.simulate import Camera, expose, standard_cards, uniform_light, write_frame
from tests.support.watcher_said import say_watcher

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(64, 128), pattern_adu=0.0)
SETTINGS = {"SET-TEMP": -20.0, "GAIN": 100, "OFFSET": 50}
BEGIN = datetime(2022, 9, 19, 20, tzinfo=UTC)
LIST = "ccdwatch-export.json"
SIRIL = {
    "bias": "bias_G100_O50_T-20C_B1.fit",
    "dark": "dark_without_bias_100s_G100_O50_T-20C_B1.fit",
    "flat": "flat_V_G100_O50_T-20C_B1.fit",
}


def write_night(folder: Path, rng: np.random.Generator, *, days: int = 0, n_bias: int = 12) -> None:
    light = uniform_light(CAMERA.shape, 40_000.0, vignetting=0.3)
    kinds: list[tuple[str, int, float, Any]] = [
        ("bias", n_bias, 0.0, 0.0),
        ("dark", 8, 100.0, 5.0),
        ("flat", 12, 5.0, light),
    ]
    begin = BEGIN + timedelta(days=days)
    for kind, n, exposure_s, electrons in kinds:
        for number in range(n):
            begin += timedelta(seconds=exposure_s + 5)
            cards = standard_cards(kind, begin, exposure_s, filter_name="V" if kind == "flat" else None)
            pixels = expose(CAMERA, rng, electrons)
            write_frame(folder / f"{kind}{days}_{number:02d}.fits", pixels, cards | SETTINGS | {"CCD-TEMP": -20.0})


def process(home: Path, folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])
        said = ccdwatch("process", folder, "--home", home, "--json")
    assert said.status == 0, said.err


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose night has been processed; not to be changed."""
    folder = tmp_path_factory.mktemp("night")
    write_night(folder / "frames", np.random.default_rng(3))
    process(folder / "home", folder / "frames")
    return folder / "home"


@pytest.fixture
def home(night: Path, tmp_path: Path) -> Path:
    """One of its own."""
    shutil.copytree(night, tmp_path / "home", ignore=shutil.ignore_patterns("*.lock"))
    return tmp_path / "home"


def exported(home: Path, program: str, folder: Path, *words: object, status: int = 0) -> list[dict[str, Any]]:
    said = ccdwatch("export", "--for", program, folder, "--home", home, "--format", "json", *words)
    assert said.status == status, said.err
    rows = said.json()
    assert isinstance(rows, list)
    return rows


def refused(home: Path, program: str, folder: Path) -> Said:
    said = ccdwatch("export", "--for", program, folder, "--home", home)
    assert said.status == 1
    assert len(said.err.splitlines()) == 1
    return said


def masters(home: Path) -> dict[str, dict[str, Any]]:
    rows = ccdwatch("masters", "--home", home, "--format", "json").json()
    return {row["kind"]: row for row in rows}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def states(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {row["kind"]: row["state"] for row in rows if row["kind"] != "darkrate"}


ALL = ("bias", "dark", "flat")


def test_siril_gets_copies_whose_names_it_can_make_of_the_header_of_a_frame(night: Path, tmp_path: Path) -> None:
    rows = exported(night, "siril", tmp_path)
    of = masters(night)
    for row in (one for one in rows if one["kind"] in ALL):
        path = tmp_path / "testcam" / SIRIL[row["kind"]]
        assert Path(row["file"]) == path
        assert path.read_bytes() == Path(of[row["kind"]]["path"]).read_bytes()
        assert path.stat().st_nlink == 1
        assert row["masters"] == [{"master_id": row["master_id"], "sha256": of[row["kind"]]["sha256"]}]
    assert states(rows) == dict.fromkeys(ALL, "written")
    said = (tmp_path / "testcam" / "README.txt").read_text()
    assert (
        "dark_without_bias_$EXPTIME:%.0f$s_G$GAIN:%.0f$_O$OFFSET:%.0f$_T$SET-TEMP:%.0f$C_B$XBINNING:%.0f$.fit" in said
    )
    assert "flat_$FILTER:%s$_G$GAIN" in said


def test_the_list_says_what_there_is_and_nothing_is_written_twice(night: Path, tmp_path: Path) -> None:
    first = exported(night, "ccdproc", tmp_path)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    listed = json.loads(before[f"testcam/{LIST}"])
    assert {one["file"] for one in listed["files"]} | {LIST} == {Path(name).name for name in before}
    assert [row["state"] for row in exported(night, "ccdproc", tmp_path)] == ["stands"] * len(first)
    assert contents(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


@pytest.mark.parametrize("program", ["siril", "wbpp", "ccdproc"])
def test_a_later_champion_takes_the_place_of_the_earlier_one(home: Path, tmp_path: Path, program: str) -> None:
    before = {row["kind"]: row for row in exported(home, program, tmp_path / "out")}
    write_night(tmp_path / "later", np.random.default_rng(4), days=3)
    process(home, tmp_path / "later")
    rows = exported(home, program, tmp_path / "out")
    assert states(rows) == dict.fromkeys(ALL, "replaced")
    for row in (one for one in rows if one["kind"] in ALL):
        assert row["file"] == before[row["kind"]]["file"]
        assert row["sha256"] != before[row["kind"]]["sha256"]
        assert row["master_id"] > before[row["kind"]]["master_id"]


def test_what_is_not_ours_stays_and_then_nothing_is_written(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "testcam"
    folder.mkdir()
    (folder / SIRIL["flat"]).write_text("mine")
    assert (
        f"{folder / SIRIL['flat']}: is there already, and ccdwatch did not write it"
        in refused(home, "siril", tmp_path).err
    )
    assert [path.name for path in folder.iterdir()] == [SIRIL["flat"]]
    (folder / SIRIL["flat"]).unlink()
    (folder / LIST).write_text('{"files": []}')
    assert "is no list of ccdwatch export" in refused(home, "siril", tmp_path).err
    (folder / LIST).unlink()
    (folder / "README.txt").symlink_to(tmp_path / "elsewhere")
    refused(home, "siril", tmp_path)
    assert [path.name for path in folder.iterdir()] == ["README.txt"]
    assert not (tmp_path / "elsewhere").exists()


def test_the_same_bytes_are_no_matter_who_wrote_them(home: Path, tmp_path: Path) -> None:
    (tmp_path / "testcam").mkdir()
    shutil.copyfile(masters(home)["flat"]["path"], tmp_path / "testcam" / SIRIL["flat"])
    assert states(exported(home, "siril", tmp_path)) == {"bias": "written", "dark": "written", "flat": "stands"}


def test_what_was_changed_since_stays(home: Path, tmp_path: Path) -> None:
    exported(home, "siril", tmp_path / "out")
    changed = tmp_path / "out" / "testcam" / SIRIL["dark"]
    changed.write_bytes(b"better")
    before = contents(tmp_path / "out")
    assert "was changed since ccdwatch wrote it" in refused(home, "siril", tmp_path / "out").err
    assert contents(tmp_path / "out") == before


def test_a_folder_is_for_one_program(home: Path, tmp_path: Path) -> None:
    exported(home, "siril", tmp_path)
    assert "holds masters of testcam for siril: give another directory" in refused(home, "ccdproc", tmp_path).err


def test_what_is_in_force_no_more_goes_unless_it_was_changed(home: Path, tmp_path: Path) -> None:
    exported(home, "siril", tmp_path / "out")
    folder = tmp_path / "out" / "testcam"
    (folder / "mine.fit").write_text("mine")
    (folder / SIRIL["bias"]).write_text("changed")
    with open_home(home).write_session() as session:
        for row in masters(home).values():
            mark(session, "master", row["master_id"], "bad", why="dew", who="ann", now=now())
    rows = exported(home, "siril", tmp_path / "out")
    assert states(rows) == {"bias": "left", "dark": "removed", "flat": "removed"}
    assert {path.name for path in folder.iterdir()} == {"mine.fit", SIRIL["bias"]}, "a list of nothing"
    assert exported(home, "siril", tmp_path / "out", status=1) == []


def test_names_in_a_list_lead_nowhere_else(home: Path, tmp_path: Path) -> None:
    exported(home, "siril", tmp_path / "out")
    file = tmp_path / "out" / "testcam" / LIST
    (mine := tmp_path / "mine.fit").write_bytes(b"mine")
    said = json.loads(file.read_text())
    sha256 = hashlib.sha256(b"mine").hexdigest()
    said["files"].append({**said["files"][0], "file": "../../mine.fit", "sha256": sha256})
    file.write_text(json.dumps(said))
    exported(home, "siril", tmp_path / "out")
    assert mine.read_bytes() == b"mine"


def test_a_master_that_was_changed_in_the_home_is_not_given_away(home: Path, tmp_path: Path) -> None:
    exported(home, "siril", tmp_path / "out")
    before = contents(tmp_path / "out")
    path = Path(masters(home)["dark"]["path"])
    path.chmod(0o644)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    for folder in (tmp_path / "out", tmp_path / "new"):
        rows = exported(home, "siril", folder, status=1)
        assert states(rows)["dark"] == "failed"
        assert {states(rows)[kind] for kind in ("bias", "flat")} <= {"stands", "written"}
    kept = contents(tmp_path / "out")
    assert kept["testcam/" + SIRIL["dark"]] == before["testcam/" + SIRIL["dark"]]
    assert SIRIL["dark"] in json.loads(kept[f"testcam/{LIST}"])["files"][-1]["file"]


def test_no_export_into_a_home(home: Path) -> None:
    said = ccdwatch("export", "--for", "siril", home / "reference", "--home", home)
    assert said.status == 2
    assert "lies in the home" in said.err


@pytest.mark.parametrize("told_by", ["configuration", "watcher"])
def test_no_export_into_a_watched_folder(home: Path, tmp_path: Path, told_by: str) -> None:
    watched = tmp_path / "incoming"
    watched.mkdir()
    if told_by == "configuration":
        (home / "ccdwatch.toml").write_text(f"[watch]\ndirectories = ['{watched}']\n")
    else:
        say_watcher(home, mounts={str(watched): "/"})
    said = ccdwatch("export", "--for", "siril", watched / "masters", "--home", home)
    assert said.status == 2
    assert said.err.splitlines() == [
        f"ccdwatch: {watched / 'masters' / 'testcam'}: lies in the watched folder {watched}, which is for raw frames: "
        "give a directory outside of it"
    ]
    assert list(watched.iterdir()) == []


def test_an_unknown_camera_has_nothing(home: Path, tmp_path: Path) -> None:
    assert exported(home, "siril", tmp_path, "--instrument", "other", status=1) == []
    assert not list(tmp_path.glob("testcam"))
