"""`ccdwatch calibrate`: against the truth and a script by hand; what is missing, what is there already; no debris."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import ccdproc
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from sqlalchemy import func, select, update

from db.schema.calibrated import Calibrated
from db.schema.models import Measurement
from flows.applying.calibrating.calibrate import Wanted, calibrate_frames
from flows.applying.calibrating.frames import named_frames
from flows.applying.calibrating.leftovers import remove_all_passing, remove_passing
from flows.applying.calibrating.outputs import paths_for
from flows.calibration.steps import STEPS
from flows.home.home import Home, open_home
from flows.home.processes import now
from tests.support.command import Said, ccdwatch
from tests.support.simulate import Camera, expose, standard_cards, uniform_light, write_frame

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(160, 200))
EVENING = datetime(2022, 9, 19, 18, tzinfo=UTC)
SKY_E, DARK_E, EXPOSURE_S = 3000.0, 60.0, 100.0
RESPONSE = uniform_light(CAMERA.shape, 1.0, vignetting=0.2, prnu=0.02)


class Site:
    """A home whose night has been processed, and science frames of that night."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.rng, self.n = folder, folder / "home", np.random.default_rng(8), 0

    def write(
        self, kind: str, electrons: Any, exposure_s: float, name: str = "", *, days: int = 0, **cards: Any
    ) -> Path:
        self.n += 1
        when = EVENING + timedelta(days=days, minutes=2 * self.n)
        described = standard_cards(kind if kind != "light" else "flat", when, exposure_s) | {"CCD-TEMP": -20.0}
        described |= {"IMAGETYP": "Light Frame", "OBJECT": "M 42"} if kind == "light" else {}
        described |= {key.replace("_", "-"): value for key, value in cards.items()}
        path = self.folder / ("science" if kind == "light" else "frames") / (name or f"{kind}{self.n:03d}.fits")
        return write_frame(path, expose(CAMERA, self.rng, electrons), described)

    def light(self, name: str = "", **cards: Any) -> Path:
        return self.write("light", SKY_E * RESPONSE + DARK_E, EXPOSURE_S, name, **{"FILTER": "V", **cards})

    def calibrate(self, *words: object) -> Said:
        return ccdwatch("calibrate", *words, "--home", self.home)

    def masters(self) -> list[dict[str, Any]]:
        rows = ccdwatch("masters", "--home", self.home, "--format", "json").json()
        assert isinstance(rows, list)
        return rows

    def rows(self, *words: object, status: int = 0) -> list[dict[str, Any]]:
        said = self.calibrate(*words, "--format", "json")
        assert said.status == status, said.err
        rows = said.json()
        assert isinstance(rows, list)
        return rows


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("site"))
    for _ in range(20):
        site.write("bias", 0.0, 0.0)
    for _ in range(5):
        site.write("bias", 0.0, 0.0, days=20)
    for _ in range(10):
        site.write("dark", DARK_E, EXPOSURE_S)
    for _ in range(20):
        site.write("flat", 40_000 * RESPONSE / RESPONSE.mean(), 5.0, FILTER="V")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])
        said = ccdwatch("process", site.folder / "frames", "--home", site.home, "--json")
    assert said.status == 0, said.err
    return site


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def debris(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.endswith("_calibrated.fits")]


def test_what_became_of_frames_fits_a_terminal(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = site.light("a_frame_of_a_long_name_that_a_camera_gave_to_it.fits")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", site.calibrate(raw, "-o", tmp_path).text).splitlines()
    *table, end = [line.strip() for line in lines if line.strip()]
    assert max(map(len, table)) <= 80
    assert any("calibrated" in line.split() for line in table), "a cell is cut"
    assert str(tmp_path) in end, "a path that is longer than a line is broken"


@pytest.mark.parametrize("unit", ["adu", "electron"])
def test_it_is_true_and_what_a_script_by_hand_gives(site: Site, tmp_path: Path, unit: str) -> None:
    raw = site.light()
    before = digest(raw)
    (row,) = site.rows(raw, "-o", tmp_path, "--unit", unit)
    assert digest(raw) == before
    assert row["state"] == "calibrated"
    assert Path(row["output"]) == tmp_path / f"{raw.stem}_calibrated.fits"
    found = CCDData.read(row["output"])
    assert found.unit == u.Unit(unit)

    of_night = [one for one in site.masters() if one["night"] == "2022-09-19"]
    masters = {one["kind"]: one for one in of_night}
    header = found.header
    for kind in ("bias", "dark", "flat"):
        one = masters[kind]
        assert row[kind] == one["master_id"]
        assert header[f"{kind}ID"] == f"master:{one['master_id']}"
        assert header[f"{kind}SHA"] == one["sha256"] == digest(site.home / one["path"])
        assert header[f"{kind}FILE"] == Path(one["path"]).name
    assert header["OBJECT"] == "M 42"

    bias, dark, flat = (CCDData.read(site.home / masters[kind]["path"]) for kind in ("bias", "dark", "flat"))
    flat_header = fits.getheader(site.home / masters["flat"]["path"])
    gain = flat_header["EGAIN"] * u.electron / u.adu
    noise = flat_header["RDNOISE"] * u.electron
    for one in (bias, dark, flat):
        one.mask = None
    science = CCDData(fits.getdata(raw).astype(float), unit=u.adu)
    light = ccdproc.subtract_bias(science, CCDData(bias.data.astype(float), unit=u.adu))
    sigma = ccdproc.create_deviation(light, gain=gain, readnoise=noise, disregard_nan=True).uncertainty.array
    science.uncertainty = StdDevUncertainty(sigma)
    science = ccdproc.subtract_bias(science, bias)
    seconds = EXPOSURE_S * u.s
    science = ccdproc.subtract_dark(science, dark, dark_exposure=seconds, data_exposure=seconds)
    science = ccdproc.flat_correct(science, flat, norm_value=1)
    science = ccdproc.gain_correct(science, gain) if unit == "electron" else science
    sigma = science.uncertainty.array
    for ours, theirs in ((found.data, science.data), (found.uncertainty.array, sigma)):
        assert (np.abs(ours - theirs) <= 1e-6 * sigma + 1e-6 * np.abs(theirs)).all()

    # The flat is of mean 1 in the light, the truth in the mean of all.
    truth = SKY_E * RESPONSE.mean() / (1.0 if unit == "electron" else 1.5)
    good = ~found.mask
    if unit == "electron":
        truth *= flat_header["EGAIN"] / 1.5  # what its own gain is off by is told of the gain
    pulls = (found.data - truth)[good] / found.uncertainty.array[good]
    assert good.mean() > 0.99
    assert np.mean(pulls) == pytest.approx(0, abs=0.05)
    assert np.std(pulls) == pytest.approx(1, abs=0.02)


def test_the_same_frame_and_masters_give_the_same_bytes(site: Site, tmp_path: Path) -> None:
    raws = [site.light(), site.light()]
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        site.rows(*(raws if number else reversed(raws)), "-o", folder)
    one, two = ({path.name: digest(path) for path in folder.iterdir()} for folder in folders)
    assert one == two
    assert len(one) == 2


def test_what_stands_is_left_and_made_again_on_request(site: Site, tmp_path: Path) -> None:
    raw = site.light()
    (row,) = site.rows(raw, "-o", tmp_path)
    output = Path(row["output"])
    written = output.stat().st_mtime_ns
    assert site.rows(raw, "-o", tmp_path)[0]["state"] == "stands"
    assert output.stat().st_mtime_ns == written
    (row,) = site.rows(raw, "-o", tmp_path, "--unit", "electron", status=1)
    assert (row["state"], row["output"]) == ("failed", None)
    assert "was calibrated otherwise before: add --again" in row["reason"]
    assert site.rows(raw, "-o", tmp_path, "--unit", "electron", "--again")[0]["state"] == "calibrated"
    assert fits.getheader(output)["BUNIT"] == "electron"
    assert debris(tmp_path) == []


def test_nothing_that_is_not_ours_is_written_over(site: Site, tmp_path: Path) -> None:
    raw = site.light()
    there = tmp_path / f"{raw.stem}_calibrated.fits"
    there.write_text("my thesis")
    (row,) = site.rows(raw, "-o", tmp_path, "--again", status=1)
    assert f"{there}: is there already, and ccdwatch did not write it" in row["reason"]
    assert there.read_text() == "my thesis"
    there.unlink()
    site.rows(raw, "-o", tmp_path)
    with fits.open(there, mode="update") as hdus:
        hdus[0].header["CRVAL1"] = 83.6
    edited = digest(there)
    (row,) = site.rows(raw, "-o", tmp_path, "--again", status=1)
    assert "was changed since ccdwatch wrote it" in row["reason"]
    assert digest(there) == edited
    there.unlink()
    (row,) = site.rows(raw, "-o", tmp_path, "--again")
    assert (row["state"], there.exists()) == ("calibrated", True)


def test_a_raw_frame_is_never_written_over(site: Site, tmp_path: Path) -> None:
    raw = site.light("m42_calibrated.fits")
    shutil.copyfile(raw, tmp_path / "m42_calibrated.fits")
    other = shutil.copyfile(site.light(), tmp_path / "m42.fits")
    before = digest(tmp_path / "m42_calibrated.fits")
    (row,) = site.rows(other, "-o", tmp_path, "--again", status=1)
    assert "is there already" in row["reason"]
    assert digest(tmp_path / "m42_calibrated.fits") == before


def test_frames_of_one_name_have_files_of_their_own(site: Site, tmp_path: Path) -> None:
    raws = [site.light("a/m42.fits"), site.light("b/m42.fits")]
    outputs = {row["output"] for row in site.rows(*raws, "-o", tmp_path)}
    assert len(outputs) == len(list(tmp_path.iterdir())) == 2
    assert {row["state"] for row in site.rows(*raws, "-o", tmp_path)} == {"stands"}


def test_without_a_folder_it_goes_below_the_home(site: Site) -> None:
    raw = site.light()
    (row,) = site.rows(raw)
    assert Path(row["output"]) == site.home / "calibrated" / "testcam" / "2022-09-19" / f"{raw.stem}_calibrated.fits"


def test_what_is_missing_is_said_with_the_rule_and_nothing_is_written(site: Site, tmp_path: Path) -> None:
    raw = site.light(FILTER="B")
    (row,) = site.rows(raw, "-o", tmp_path, status=1)
    assert "filter: B of the frame, V there" in row["reason"]
    assert "--allow-missing flat" in row["reason"]
    assert list(tmp_path.iterdir()) == []
    (row,) = site.rows(raw, "-o", tmp_path, "--allow-missing", "flat")
    assert (row["state"], row["flat"]) == ("calibrated", None)
    assert row["reason"].startswith("without flat")
    header = fits.getheader(row["output"])
    assert (header["CALLACK"], header["CALSTAT"]) == ("flat", "BD")


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"DATE_OBS": None}, "nothing tells when the frame was taken: the age of masters is not in their prices"),
        ({"EXPTIME": 1000 * EXPOSURE_S}, "is its exposure of 100000 in seconds, and its temperature right?"),
    ],
)
def test_what_is_odd_of_a_frame_is_said_of_it_and_in_its_file(
    site: Site, tmp_path: Path, cards: dict[str, Any], words: str
) -> None:
    odd, plain = site.light(**cards), site.light()
    of = {one["file"]: one for one in site.rows(odd, plain, "-o", tmp_path)}
    row, usual = of[str(odd)], of[str(plain)]
    assert row["state"] == "calibrated"
    assert words in row["reason"]
    assert words in " ".join(fits.getheader(row["output"])["HISTORY"])
    assert words not in (usual["reason"] or "")
    assert words in site.rows(odd, "-o", tmp_path)[0]["reason"]  # of what stands, too
    assert f"{odd}: " in site.calibrate(odd, "-o", tmp_path).err


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"INSTRUME": "another"}, "camera: another of the frame, testcam there"),
        ({"EXPTIME": None}, "exposure: unknown of the frame"),
        ({"EXPTIME": -1.0}, "exposure: unknown of the frame, 100 there (EXPTIME = -1.0 cannot be used)"),
        (
            {"CCD_TEMP": "cold"},
            "CCD-TEMP = 'cold' cannot be used): to go on without them, --allow-missing bias --allow",
        ),
        ({"XBINNING": 2, "YBINNING": 2}, "configuration: bin2x2 of the frame, bin1x1 there"),
        ({"CCD_TEMP": 5.0}, "temperature: 5 of the frame, -20 there"),
    ],
)
def test_a_frame_that_no_master_suits_is_refused(site: Site, tmp_path: Path, cards: dict[str, Any], words: str) -> None:
    (row,) = site.rows(site.light(**cards), "-o", tmp_path, status=1)
    assert words in row["reason"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_raw_science_frame_is_refused(site: Site, tmp_path: Path) -> None:
    (row,) = site.rows(site.light(), "-o", tmp_path)
    flat = next((site.folder / "frames").glob("flat*.fits"))
    broken = tmp_path / "broken.fits"
    broken.write_bytes(b"SIMPLE  =                    T")
    reasons = {Path(one["file"]).name: one["reason"] for one in site.rows(row["output"], flat, broken, status=1)}
    assert "is not raw: ZEROCOR = 'ccdwatch': reduced already" in reasons[Path(row["output"]).name]
    assert "is a flat" in reasons[flat.name]
    assert reasons["broken.fits"]
    assert site.rows(site.folder / "frames") == []  # in a folder they are passed over


def test_a_master_that_was_changed_is_not_used(site: Site, tmp_path: Path) -> None:
    raw = site.light()
    (path,) = (site.home / "masters").rglob("flat_*.fits")
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1] + b"x")
        (row,) = site.rows(raw, "-o", tmp_path, status=1)
    finally:
        path.write_bytes(content)
    assert "was changed since it was made: see ccdwatch audit" in row["reason"]
    assert "the next best is" not in row["reason"]


def test_what_is_next_best_of_a_master_that_is_gone_is_said_and_not_taken(site: Site, tmp_path: Path) -> None:
    first, other = [one for one in site.masters() if one["kind"] == "bias"]
    path = (site.home / first["path"]).rename(tmp_path / "away.fits")
    try:
        (row,) = site.rows(site.light(), "-o", tmp_path / "out", status=1)
    finally:
        path.rename(site.home / first["path"])
    assert (
        f"the next best is master:{other['master_id']}, once master:{first['master_id']} is marked bad" in row["reason"]
    )


def test_a_frame_that_is_marked_bad_is_done_where_it_is_named_and_passed_over_in_a_folder(
    site: Site, tmp_path: Path
) -> None:
    raw = site.light("bad.fits")
    site.rows(raw, "-o", tmp_path)
    with fits.open(tmp_path / "bad_calibrated.fits") as hdulist:
        sha256_of_raw = hdulist[0].header["RAWSHA"]
    said = ccdwatch("mark", sha256_of_raw[:12], "bad", "--why", "clouds", "--home", site.home)
    assert said.status == 0, said.err
    (row,) = site.rows(raw, "-o", tmp_path)
    assert row["state"] == "stands"
    assert re.search("it is marked bad by .* on .*: clouds$", row["reason"])
    (row,) = site.rows(raw, "-o", tmp_path, "--again")
    assert row["state"] == "calibrated"
    (folder := tmp_path / "night").mkdir()
    shutil.copy(raw, folder)
    (row,) = site.rows(folder, "-o", tmp_path / "out")
    assert (row["file"], row["state"], row["output"]) == (str(folder / "bad.fits"), "left out", None)
    assert re.fullmatch("it is marked bad by .* on .*: clouds", row["reason"])
    assert not (tmp_path / "out").exists()


def test_without_any_gain_the_reason_says_so_and_what_to_do(site: Site, tmp_path: Path) -> None:
    raw = site.light()
    gains = ccdwatch("trends", "gain", "--home", site.home, "--format", "json").json()
    try:
        for one in gains:
            words = ("mark", f"measurement:{one['id']}", "bad", "--why", "the lamp", "--home", site.home)
            assert ccdwatch(*words).status == 0
        (row,) = site.rows(raw, "-o", tmp_path, status=1)
    finally:
        for one in gains:
            ccdwatch("mark", f"measurement:{one['id']}", "bad", "--undo", "--why", "not it", "--home", site.home)
    assert row["reason"].startswith("gain and read noise of its amplifier 1 are not known: process biases and flats")
    assert site.rows(raw, "-o", tmp_path)[0]["state"] == "calibrated"


def test_a_person_is_told_what_to_type(site: Site) -> None:
    said = site.calibrate()
    assert said.status == 2
    assert "name frames or folders, or give --again" in said.err


def test_what_better_masters_have_come_for_is_done_again_in_its_place(site: Site, tmp_path: Path) -> None:
    (row,) = site.rows(site.light(), "-o", tmp_path)
    first, other = [one["master_id"] for one in site.masters() if one["kind"] == "bias"]
    assert row["bias"] == first

    def affected() -> list[dict[str, Any]]:
        rows = ccdwatch("affected", "--home", site.home, "--format", "json").json()
        return [one for one in rows if one["output"] == row["output"]]

    assert affected() == []
    try:
        ccdwatch("mark", f"master:{first}", "bad", "--why", "a light leak", "--home", site.home)
        (change,) = affected()
        assert (change["kind"], change["master_id"], change["now_master_id"]) == ("bias", first, other)
        assert {one["state"] for one in site.rows("--again")} == {"calibrated"}
        assert affected() == []
        assert fits.getheader(row["output"])["BIASID"] == f"master:{other}"
    finally:
        ccdwatch("mark", f"master:{first}", "bad", "--undo", "--why", "it was none", "--home", site.home)
    site.rows("--again")
    assert fits.getheader(row["output"])["BIASID"] == f"master:{first}"


def test_a_gain_that_is_another_now_makes_its_frames_affected(site: Site, tmp_path: Path) -> None:
    (row,) = site.rows(raw := site.light(), "-o", tmp_path)
    home = open_home(site.home, make=False)
    was = fits.getheader(row["output"])["EGAIN"]

    def multiply(factor: float) -> None:
        with home.write_session() as session:
            gain = Measurement.quantity == "gain"
            session.execute(update(Measurement).where(gain).values(value=Measurement.value * factor))

    multiply(1.1)
    try:
        assert "was calibrated otherwise before: add --again" in site.rows(raw, "-o", tmp_path, status=1)[0]["reason"]
        rows = ccdwatch("affected", "--home", site.home, "--format", "json").json()
        (change,) = [one for one in rows if (one["output"], one["kind"]) == (row["output"], "gain")]
        assert (change["value"], change["now_value"]) == pytest.approx((was, 1.1 * was))
        assert site.rows(raw, "-o", tmp_path, "--again")[0]["state"] == "calibrated"
        assert fits.getheader(row["output"])["EGAIN"] == pytest.approx(1.1 * was)
        assert site.rows(raw, "-o", tmp_path)[0]["state"] == "stands"
    finally:
        multiply(1 / 1.1)
        site.rows("--again")


def test_memory_does_not_grow_with_frames(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccdcore.numerics.threads._LEAST_PIXELS", 2**40)  # one at a time: how many meet is chance
    home = open_home(site.home, make=False)
    found = named_frames(home, [site.light() for _ in range(20)], lambda *_: None)
    wanted = [Wanted(key, frame, str(tmp_path / f"{key}_calibrated.fits")) for key, frame in found.frames.items()]

    def peak_of(some: list[Wanted]) -> int:
        tracemalloc.start()
        assert {one.state for one in calibrate_frames(home, some)} == {"calibrated"}
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_of(wanted[:2])  # what is loaded once
    few, many = peak_of(wanted[2:6]), peak_of(wanted[6:])
    assert many < 1.3 * few


def test_killed_at_any_moment_it_leaves_no_partial_file(site: Site, tmp_path: Path) -> None:
    raws = [site.light() for _ in range(6)]
    command = [sys.executable, "-m", "flows.cli.main", "calibrate", *raws, "--home", site.home, "-o", tmp_path]
    whole: dict[str, str] = {}
    for size in _kills(command, tmp_path):
        for path in tmp_path.glob("*.fits"):
            with fits.open(path, checksum=True) as hdus:  # a warning is an error
                assert [hdu.name for hdu in hdus] == ["PRIMARY", "UNCERT", "MASK"]
            assert whole.setdefault(path.name, digest(path)) == digest(path)
        assert size >= 0
    assert {row["state"] for row in site.rows(*raws, "-o", tmp_path)} <= {"stands", "calibrated"}
    assert len(list(tmp_path.glob("*.fits"))) == len(raws)


def test_a_killed_process_has_no_second_record(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = site.light()
    home = open_home(site.home, make=False)

    def recorded() -> int:
        with home.read_session() as session:
            here = Calibrated.path.startswith(str(tmp_path))
            return session.scalar(select(func.count()).select_from(Calibrated).where(here)) or 0

    wanted = _wanted(home, [raw], tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("ccdcore.io.write._name", Mock(side_effect=KeyboardInterrupt))  # on record, and not named
        with pytest.raises(KeyboardInterrupt):
            list(calibrate_frames(home, wanted))
    assert (list(tmp_path.glob("*.fits")), recorded()) == ([], 1)
    assert site.rows(raw, "-o", tmp_path)[0]["state"] == "calibrated"
    assert recorded() == 1


def _wanted(home: Home, raws: list[Path], folder: Path, **how: Any) -> list[Wanted]:
    found = named_frames(home, raws, lambda *_: None).frames
    paths = paths_for(home, found, folder)
    return [Wanted(key, frame, paths[key], **how) for key, frame in found.items()]


def test_only_what_the_service_made_is_replaced_by_itself(site: Site, tmp_path: Path) -> None:
    home, raws = open_home(site.home, make=False), [site.light(), site.light()]

    def became(**how: Any) -> list[str]:
        return [one.state for one in calibrate_frames(home, _wanted(home, raws, tmp_path, **how), engine="prefect")]

    by_hand, *_ = _wanted(home, raws[:1], tmp_path, unit="electron")
    assert [one.state for one in calibrate_frames(home, [by_hand])] == ["calibrated"]
    assert became(again="changed") == ["stands", "calibrated"]
    assert fits.getheader(tmp_path / by_hand.path)["BUNIT"] == "electron"
    assert became(again="changed") == ["stands", "stands"]
    assert became(again="changed", unit="electron") == ["stands", "calibrated"]
    assert became(again="always") == ["calibrated", "calibrated"]


@pytest.mark.parametrize("hours", [0, 2])
def test_what_a_killed_process_was_writing_goes_later_and_nothing_else(site: Site, tmp_path: Path, hours: int) -> None:
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for one in (folder, elsewhere):
        one.mkdir()
    left = ".light001_calibrated.fits.0a1b2c3d.tmp"
    others = [".light001_calibrated.fits.0a1b2c3.tmp", ".light001.fits.0a1b2c3d.tmp", left[1:], f"{left}.bak"]
    for name in (left, *others):
        (folder / name).write_text("half a frame")
    (elsewhere / left).write_text("of somebody")
    (folder / left.replace("1_", "2_")).symlink_to(elsewhere / left)
    (folder / left.replace("1_", "3_")).mkdir()
    there = {*others, left.replace("1_", "2_"), left.replace("1_", "3_")}
    home, at = open_home(site.home, make=False), now() + timedelta(hours=hours)
    removed = remove_passing(home, [folder, tmp_path / "none"], at)
    assert removed == ([str(folder / left)] if hours else [])
    assert {path.name for path in folder.iterdir()} == there | (set() if hours else {left})
    assert (elsewhere / left).exists()
    below = home.path / "calibrated" / "testcam"
    (below / "2022-09-19").mkdir(parents=True, exist_ok=True)
    (below / "2022-09-19" / left).write_text("half a frame")
    (below / "2022-09-20").symlink_to(elsewhere)
    try:
        assert remove_passing(home, [below / "2022-09-20"], at) == []
        assert len(remove_all_passing(home, at)) == (1 if hours else 0)
        assert (elsewhere / left).exists()
    finally:
        (below / "2022-09-20").unlink()
        (below / "2022-09-19" / left).unlink(missing_ok=True)


def _kills(command: list[Any], folder: Path) -> Iterator[int]:
    """Kill a command when it has written more and more."""
    for size in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(folder.iterdir())) <= size:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        yield size


def test_json_is_one_value(site: Site, tmp_path: Path) -> None:
    rows = json.loads(site.calibrate(site.light(), "-o", tmp_path, "--format", "json").out)
    assert set(rows[0]) == {
        *("file", "state", "bias", "dark", "flat", "mask", "price_e", "unit", "output", "reason"),
    }
