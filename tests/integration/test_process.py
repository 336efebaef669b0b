"""The main job through the real command: frames of known truth in, values, masters and reasons out."""

import gzip
import hashlib
import json
import operator
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from math import hypot
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

import flows.commands.process
from ccdcore.io.read import MeasuredFrame
from db.files import ledger
from db.schema.models import FileState
from flows.calibration.engine import run_locally
from flows.calibration.steps import STEPS
from flows.commands.process import process
from flows.home.home import Home, open_home, read_home
from flows.home.processes import now
from flows.registration import reader_pool
from flows.registration.reader_pool import Readers, ReadingError
from flows.registration.register import LEASE, register_files
from flows.retries import FILE_TRIES, Pauses
from flows.runs.pictures import pictures_of
from flows.watching.named_files import find_files
from tests.support.command import ccdwatch
from tests.support.simulate import (
    NOTEBOOK_NIGHTS,
    SeriesTruth,
    flat_pixels,
    flux_ramp,
    notebook_series,
    simple_night,
    spectrum_light,
    standard_cards,
    write_frame,
)

COMMAND = Path(sys.executable).with_name("ccdwatch")
FIVE_NIGHTS = "[nights]\nwindow_nights = 5\n"

CHARACTERISATION = {
    "instrument", "configuration", "night", "amplifier", "gain_e_per_adu", "gain_uncertainty", "read_noise_e",
    "read_noise_uncertainty", "read_noise_adu", "method", "n_bias", "n_flat", "n_flat_pairs", "verdict", "engine",
    "flow_run_id", "gain_id", "read_noise_id",
}  # fmt: skip
MASTER = {
    "kind", "path", "sha256", "instrument", "configuration", "night", "filter", "n_combined", "n_excluded", "verdict",
    "engine", "flow_run_id", "master_id",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A home, and room for frames beside it."""

    home: Path
    frames: Path

    def configure(self, text: str) -> None:
        (self.home / "ccdwatch.toml").write_text(text)

    def process(self, *paths: Path, status: int = 0) -> dict[str, Any]:
        said = ccdwatch("process", *(paths or [self.frames]), "--home", self.home, "--json")
        assert (said.status, said.err) == (status, "")
        answer = said.json()
        assert isinstance(answer, dict)
        return answer

    def summary(self, *paths: Path) -> str:
        said = ccdwatch("process", *(paths or [self.frames]), "--home", self.home)
        return said.err + said.text

    def on_record(self, what: str, *options: str) -> list[dict[str, Any]]:
        rows = ccdwatch(what, "--home", self.home, "--format", "json", *options).json()
        assert isinstance(rows, list)
        return rows

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """All that is on record, but for which files hold a frame."""
        record = {what: self.on_record(what, "--superseded") for what in ("trends", "masters", "runs")}
        return {**record, "frames": [{**row, "paths": None} for row in self.on_record("frames")]}


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing in this process, as that takes most of the time; `notebook_run`, in one of its own, draws."""
    monkeypatch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("home", "frames"):
        (tmp_path / name).mkdir()
    return Place(tmp_path / "home", tmp_path / "frames")


@pytest.fixture(scope="session")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> SeriesTruth:
    """The notebook's frames."""
    return notebook_series(tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="session")
def notebook_run(notebook: SeriesTruth, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict[str, Any]]:
    """The notebook's frames, worked on by the command in a process of its own; to be read, not changed."""
    place = Place(tmp_path_factory.mktemp("home"), notebook.paths[0].parent)
    place.configure(FIVE_NIGHTS)
    command = [COMMAND, "process", place.frames, "--home", place.home, "--json"]
    before = contents(place.frames)
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert contents(place.frames) == before
    return place, json.loads(done.stdout)


def contents(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {Path(row["path"]).name for row in rows}


def reasons(rows: list[dict[str, Any]]) -> str:
    return "\n".join(row["reason"] for row in rows)


def edit_cards(paths: Iterator[Path] | tuple[Path, ...], **cards: object) -> None:
    """Change cards of files; None takes one out."""
    for path in paths:
        with fits.open(path, mode="update") as hdus:
            for keyword, value in cards.items():
                if value is None:
                    hdus[0].header.remove(keyword.replace("_", "-"))
                else:
                    hdus[0].header[keyword.replace("_", "-")] = value


# The notebook's series


def test_recovers_the_true_gain_and_read_noise(
    notebook: SeriesTruth, notebook_run: tuple[Place, dict[str, Any]]
) -> None:
    (row,) = notebook_run[1]["characterisations"]
    for name, error, truth in (
        ("gain_e_per_adu", "gain_uncertainty", notebook.camera.gain_e_per_adu),
        ("read_noise_e", "read_noise_uncertainty", notebook.camera.read_noise_e),
    ):
        assert row[name] == pytest.approx(truth, rel=0.01)
        assert abs(row[name] - truth) < 4 * row[error]
    assert row["gain_uncertainty"] / row["gain_e_per_adu"] < 0.01
    assert (row["n_bias"], row["n_flat"], row["n_flat_pairs"]) == (32, 9, 8)
    assert (row["method"], row["verdict"], row["engine"]) == ("binned", "unjudged", "local")
    assert row["read_noise_adu"] == pytest.approx(row["read_noise_e"] / row["gain_e_per_adu"])


def test_combines_every_bias_and_the_flats_of_a_steady_lamp(
    notebook: SeriesTruth, notebook_run: tuple[Place, dict[str, Any]]
) -> None:
    _, answer = notebook_run
    made = {row["kind"]: (row["n_combined"], row["n_excluded"], row["verdict"]) for row in answer["masters"]}
    assert made == {"bias": (32, 0, "ok"), "flat": (9, 2, "ok")}
    assert names(answer["excluded"]) == {path.name for path in notebook.misfits}
    assert all("below its neighbours (lamp warming up?)" in row["reason"] for row in answer["excluded"])
    assert (answer["failed"], answer["other"], answer["other_reasons"]) == ([], 0, {})


def test_json_has_every_key_of_the_contract(notebook_run: tuple[Place, dict[str, Any]]) -> None:
    _, answer = notebook_run
    assert set(answer) == {"characterisations", "masters", "excluded", "failed", "other", "other_reasons"}
    assert set(answer["characterisations"][0]) >= CHARACTERISATION
    assert all(set(row) >= MASTER for row in answer["masters"])
    assert all(set(row) == {"path", "reason"} for row in answer["excluded"])


def test_masters_are_what_the_files_hold(notebook_run: tuple[Place, dict[str, Any]]) -> None:
    place, answer = notebook_run
    for row in answer["masters"]:
        path = Path(row["path"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = CCDData.read(path)
            with fits.open(path, checksum=True) as hdus:
                header, provenance = hdus[0].header, hdus["PROVENANCE"].data
                used = np.array(hdus["NCOMBINE"].data)
        assert str(image.unit) == {"bias": "adu", "flat": ""}[row["kind"]]
        assert image.shape == image.uncertainty.array.shape == image.mask.shape == used.shape == (100, 2048)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
        assert (header["COMBINED"], header["NCOMBINE"], len(provenance)) == (True, row["n_combined"], row["n_combined"])
        (of,) = answer["characterisations"]
        total = hypot(of["gain_uncertainty"], of["gain_systematic_uncertainty"])
        assert (header["EGAIN"], header["EGAINERR"]) == (of["gain_e_per_adu"], pytest.approx(total))
        assert (header["RDNOISE"], header["RDNOIERR"] > of["read_noise_uncertainty"]) == (of["read_noise_e"], True)
        kept = {"HEAD": "DU970P_BV", "HBIN": 1, "READTIME": 1e-6, "SERNO": 8112, "INSTRUME": "DU970P_BV"}
        assert {keyword: header[keyword] for keyword in kept} == kept
        assert (header["EXPTIME"], header["CCD-TEMP"]) == ({"bias": 1e-5, "flat": 8.0}[row["kind"]], -70.0)
        assert not {"FRAME", "DATE", "EXPOSURE", "BZERO"} & set(header)
        assert used.max() == row["n_combined"]
        reference = place.home / "reference" / row["instrument"] / f"master_{row['kind']}_{row['configuration']}.fits"
        assert reference.read_bytes() == path.read_bytes()
    assert len(list((place.home / "reference").rglob("*"))) == 3


def test_pictures_are_kept(notebook_run: tuple[Place, dict[str, Any]]) -> None:
    pictures = pictures_of(read_home(notebook_run[0].home), 1)
    assert [path.stem for path in pictures] == [
        "Photon-transfer",
        "Trend-of-the-gain",
        "Trend-of-the-read-noise",
        "Master-bias-frames",
        "Master-bias-histogram",
        "Master-flat-frames",
        "Master-flat-histogram",
        "Noise-spectrum",
        "All-on-one-page",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_the_same_frames_by_another_route_change_nothing(
    notebook: SeriesTruth, notebook_run: tuple[Place, dict[str, Any]], tmp_path: Path
) -> None:
    place, answer = notebook_run
    before = place.everything()
    for number, path in enumerate(notebook.paths):
        match number % 3:
            case 0:
                (tmp_path / f"x{number}.fits.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
            case 1:
                with fits.open(path) as hdus:
                    fits.writeto(tmp_path / f"x{number}.fts", hdus[0].data[0], hdus[0].header)
            case 2:
                shutil.copy(path, tmp_path / f"x{number}.FIT")
    assert place.process(tmp_path) == answer
    assert place.process() == answer
    assert place.everything() == before
    assert len({path for row in place.on_record("frames") for path in row["paths"]}) == 2 * len(notebook.paths)


def test_leaves_out_a_flat_dimmed_by_a_cloud(place: Place) -> None:
    truth = notebook_series(place.frames, seed=1, n_flat=12, dimmed=7, n_bias=(4, 0, 0))
    place.configure(FIVE_NIGHTS)
    answer = place.process()
    assert names(answer["excluded"]) == {path.name for path in truth.misfits}
    assert {row["kind"]: row["n_combined"] for row in answer["masters"]} == {"bias": 4, "flat": 9}


def test_leaves_out_no_frame_of_a_ramp(place: Place) -> None:
    truth = flux_ramp(place.frames)
    answer = place.process()
    assert (answer["excluded"], answer["failed"]) == ([], [])
    (row,) = answer["characterisations"]
    assert row["n_flat"] == len(truth.flats)
    assert abs(row["gain_e_per_adu"] - 1.5) < 4 * row["gain_uncertainty"]


def test_the_textbook_pair_stays_selectable_and_is_replaced_when_it_is_not(place: Place) -> None:
    """The estimator of the textbook gives 0.10 where the lamp steps by 3 %; that is the estimator."""
    truth = notebook_series(
        place.frames, n_bias=(4, 0, 0), n_flat=6, peak_adu=60_000.0, cosmic_ray_fraction=1e-4, drift=0.0
    )
    with fits.open(truth.flats[3], mode="update") as hdus:
        hdus[0].data = (300 + 1.03 * (hdus[0].data.astype(float) - 300)).astype(np.uint16)
    bias_1, bias_2, flat_1, flat_2 = (fits.getdata(p).astype(float) for p in (*truth.biases[:2], *truth.flats[2:4]))
    light = flat_1.mean() + flat_2.mean() - bias_1.mean() - bias_2.mean()
    textbook = light / ((flat_1 - flat_2).var() - (bias_1 - bias_2).var())

    place.configure(FIVE_NIGHTS)
    usual = place.process()
    place.configure(FIVE_NIGHTS + '[recipes.gain]\nmethod = "pair"\n')
    answer = place.process()
    (row,) = answer["characterisations"]
    assert row["gain_e_per_adu"] == pytest.approx(textbook, rel=1e-4)
    assert row["gain_e_per_adu"] < 0.2
    assert (row["method"], row["n_bias"], row["n_flat"]) == ("pair", 2, 2)
    assert "bad" not in {row["verdict"] for row in answer["masters"]}

    place.configure(FIVE_NIGHTS)
    again = place.process()
    assert again["characterisations"][0]["gain_e_per_adu"] == usual["characterisations"][0]["gain_e_per_adu"]
    assert again["characterisations"][0]["gain_e_per_adu"] == pytest.approx(0.971, rel=0.02)
    assert len(place.on_record("trends", "gain")) == 1  # type: ignore[arg-type]
    assert len(place.on_record("runs", "--superseded")) == 3


# What comes later


def test_a_late_frame_makes_a_new_result_in_place_of_the_old(place: Place) -> None:
    truth = simple_night(place.frames, n_flat=5)
    late = truth.flats[-1].rename(place.home / "late.fits")
    first = place.process()
    late.rename(truth.flats[-1])
    second = place.process()
    assert [answer["characterisations"][0]["n_flat"] for answer in (first, second)] == [4, 5]
    (point,) = place.on_record("trends", "gain")
    assert point["value"] == second["characterisations"][0]["gain_e_per_adu"]
    assert [row["superseded"] for row in place.on_record("trends", "gain", "--superseded")] == [True, False]
    current = {row["kind"]: row["n_combined"] for row in place.on_record("masters")}
    assert current == {"bias": 5, "flat": 5}
    reference = place.home / "reference/testcam/master_flat_bin1x1_V.fits"
    assert fits.getval(reference, "NCOMBINE") == 5


def test_an_edited_frame_is_another_frame(place: Place) -> None:
    truth = simple_night(place.frames)
    first = place.process()
    with fits.open(truth.flats[0], mode="update") as hdus:
        hdus[0].data[3, 3] += 1
    second = place.process()
    assert first["characterisations"][0]["gain_id"] != second["characterisations"][0]["gain_id"]
    assert second["characterisations"][0]["n_flat"] == 4
    assert len(place.on_record("frames")) == 10
    assert len(place.on_record("trends", "gain")) == 1


def test_a_new_entry_identifies_the_same_frames_anew(place: Place) -> None:
    simple_night(place.frames)
    place.process()
    place.configure('[[instrument]]\nname = "dome"\nmatch = { INSTRUME = "testcam" }\n')
    answer = place.process()
    assert answer["characterisations"][0]["instrument"] == "dome"
    for what in ("trends", "masters", "runs", "frames"):
        assert {row["instrument"] for row in place.on_record(what)} == {"dome"}
    old = [row for row in place.on_record("trends", "--superseded") if row["instrument"] == "testcam"]
    assert old
    assert all(row["superseded"] for row in old)
    assert {path.parent.name for path in (place.home / "reference").rglob("*.fits")} == {"dome"}

    place.configure("")
    assert place.process()["characterisations"][0]["instrument"] == "testcam"
    assert {row["instrument"] for row in place.on_record("trends")} == {"testcam"}
    assert {path.parent.name for path in (place.home / "reference").rglob("*.fits")} == {"testcam"}


def test_limits_judge_again_without_measuring_again(place: Place) -> None:
    simple_night(place.frames)
    entry = '[[instrument]]\nname = "dome"\n'
    place.configure(entry)
    first = place.process()
    place.configure(entry + "spec.gain_e_per_adu = { max = 1.2 }\n")
    second = place.process()
    assert [answer["characterisations"][0]["verdict"] for answer in (first, second)] == ["unjudged", "bad"]
    assert first["characterisations"][0]["gain_id"] == second["characterisations"][0]["gain_id"]
    assert place.on_record("trends", "gain")[0]["verdict"] == "bad"
    assert len(place.on_record("runs", "--superseded")) == 1


# Sets that lack something


def test_biases_alone_give_read_noise_in_adu_then_in_electrons_by_an_earlier_gain(place: Place) -> None:
    later, latest = (place.frames / name for name in ("later", "latest"))
    simple_night(later, night=NOTEBOOK_NIGHTS[1], n_flat=0)
    (row,) = place.process()["characterisations"]
    assert (row["gain_e_per_adu"], row["gain_id"], row["read_noise_e"]) == (None, None, None)
    assert row["read_noise_adu"] == pytest.approx(5.0 / 1.5, rel=0.05)
    assert row["read_noise_id"] in {point["id"] for point in place.on_record("trends", "read_noise_adu")}

    simple_night(later, night=NOTEBOOK_NIGHTS[1], n_bias=0)
    (row,) = place.process(later)["characterisations"]
    gain = row["gain_e_per_adu"]
    simple_night(latest, night=NOTEBOOK_NIGHTS[2], n_flat=0)
    (row,) = place.process(latest)["characterisations"]
    assert row["gain_e_per_adu"] is None
    assert row["read_noise_e"] == pytest.approx(gain * row["read_noise_adu"])
    assert row["notes"] == [f"electrons by the gain of 2022-09-20 (measurement {gain_id(place)})"]


def gain_id(place: Place) -> int:
    (point,) = place.on_record("trends", "gain")
    return int(point["id"])


def test_flats_borrow_the_nearest_biases_and_say_so(place: Place) -> None:
    simple_night(place.frames, night=NOTEBOOK_NIGHTS[0], n_flat=0)
    truth = simple_night(place.frames, night=NOTEBOOK_NIGHTS[2], n_bias=0)
    answer = place.process()
    row = answer["characterisations"][1]
    assert row["night"] == "2022-09-21"
    assert (row["n_bias"], row["n_flat"]) == (5, 4)
    assert row["notes"] == ["biases borrowed from another window, of 2022-09-19"]
    assert row["read_noise_e"] > 0, "what was measured on borrowed biases is still given"
    nights = {
        quantity: [one["night"] for one in place.on_record("trends", quantity)]
        for quantity in ("gain", "read_noise", "read_noise_adu", "bias_level")
    }
    of_biases = ["2022-09-19"]
    assert nights == {
        "gain": [row["night"]],
        "read_noise": [],
        "read_noise_adu": of_biases,
        "bias_level": of_biases,
    }, "borrowed biases make a new point of a trend"
    assert abs(row["gain_e_per_adu"] - 1.5) < 4 * row["gain_uncertainty"]
    assert [(one["kind"], one["night"]) for one in answer["masters"]] == [
        ("bias", "2022-09-19"),
        ("flat", "2022-09-21"),
    ]
    (point,) = place.on_record("trends", "gain")
    assert point["observed_at"].startswith("2022-09-21")
    assert "borrowed" in ccdwatch("provenance", point["id"], "--home", place.home).text
    assert len(truth.flats) == 4


def test_flats_out_of_reach_of_any_bias_are_left_out(place: Place) -> None:
    simple_night(place.frames, night=NOTEBOOK_NIGHTS[0], n_flat=0)
    simple_night(place.frames, night=NOTEBOOK_NIGHTS[0] + timedelta(days=8), n_bias=0)
    answer = place.process()
    assert len(answer["characterisations"]) == 1
    assert "read noise needs two raw biases, 0 usable" in reasons(answer["excluded"])
    assert "no master flat without biases: none of bin1x1 in this window or within 7 nights" in reasons(
        answer["excluded"]
    )
    assert "the reasons are below" not in place.summary()


@pytest.mark.parametrize(
    ("case", "n_excluded", "reason"),
    [
        ("one flat", 1, "no other flat of its filter and exposure time"),
        ("averaged", 9, "average or sum of 5 exposures, not a raw frame"),
        ("other binning", 4, "read noise needs two raw biases, 0 usable"),
        ("other filters", 2, "no other flat of its filter and exposure time"),
    ],
)
def test_a_set_that_lacks_something_is_told_apart_from_failure(
    place: Place, case: str, n_excluded: int, reason: str
) -> None:
    truth = simple_night(place.frames, n_flat={"one flat": 1, "other filters": 2}.get(case, 4))
    match case:
        case "averaged":
            edit_cards(truth.paths, NCOMBINE=5)
        case "other binning":
            edit_cards(truth.flats, XBINNING=2, YBINNING=2)
        case "other filters":
            edit_cards(truth.flats[:1], FILTER="R")
    answer = place.process()
    assert answer["failed"] == []
    assert len(names(answer["excluded"])) == n_excluded
    assert reason in reasons(answer["excluded"])
    assert not any(row["kind"] == "flat" for row in answer["masters"])
    assert place.process() == answer


def test_each_flat_that_forms_no_pair_is_told_its_own_reason(place: Place) -> None:
    truth = simple_night(place.frames, n_flat=2)
    edit_cards(truth.flats[:1], FILTER="R")
    for row in place.process()["excluded"]:
        if "no other flat" in row["reason"]:
            assert row["reason"].count(".fits") == 1
            assert Path(row["path"]).name in row["reason"]


def test_frames_without_a_date_are_left_out_with_what_to_type(place: Place) -> None:
    truth = simple_night(place.frames)
    edit_cards(truth.paths, DATE_OBS=None)
    answer = place.process()
    assert names(answer["excluded"]) == {path.name for path in truth.paths}
    assert "header = { date_obs = … } of an [[instrument]]" in reasons(answer["excluded"])
    assert answer["characterisations"] == answer["masters"] == answer["failed"] == []


# Files that cannot be used, and other frames


def test_broken_files_are_named_and_the_rest_is_done(place: Place) -> None:
    truth = simple_night(place.frames)
    good = truth.biases[0].read_bytes()
    broken = {
        "cut.fits": good[:10_000],
        "empty.fits": b"",
        "text.fits": b"hello",
        "cut.fits.gz": gzip.compress(good)[:-9],
    }
    for name, data in broken.items():
        (place.frames / name).write_bytes(data)
    before = contents(place.frames)
    answer = place.process(status=1)
    assert {Path(row["path"]).name: row["reason"][:21] for row in answer["failed"]} == {
        "cut.fits": "is cut off: it holds ",
        "cut.fits.gz": "is cut off: the compr",
        "empty.fits": "is not written yet: i",
        "text.fits": "is not a FITS file: i",
    }
    assert answer["characterisations"][0]["n_bias"] == 5
    assert {row["kind"] for row in answer["masters"]} == {"bias", "flat"}
    assert contents(place.frames) == before
    assert place.process(status=1) == answer
    (place.frames / "cut.fits").write_bytes(truth.biases[1].read_bytes())
    assert names(place.process(status=1)["failed"]) == set(broken) - {"cut.fits"}


def test_a_disk_that_wakes_up_slowly_costs_no_frame(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Readers.measure

    def wakes(readers: Readers, path: Path, *, check: Callable[[], None], tries: int) -> MeasuredFrame:
        if tries < FILE_TRIES - 1:
            raise ReadingError("could not be read within 10 s")
        return measure(readers, path, check=check, tries=tries)

    monkeypatch.setattr(Readers, "measure", wakes)
    monkeypatch.setattr("flows.commands.process.FILE_ON_REQUEST", Pauses(0.01, 0.01))
    simple_night(place.frames, n_bias=2, n_flat=2)
    answer = place.process()
    assert answer["failed"] == []
    assert [row["n_flat"] for row in answer["characterisations"]] == [2]


def test_a_machine_where_no_reader_starts_loses_no_frame(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    simple_night(place.frames, n_bias=2, n_flat=0)
    with monkeypatch.context() as patch:
        patch.setattr(reader_pool, "_serve", operator.is_)  # which ends at once
        said = ccdwatch("process", place.frames, "--home", place.home)
        assert said.status == 2
        assert said.err.startswith("ccdwatch: no process to read files could be started (0): is this machine busy")
    with read_home(place.home).read_session() as session:
        assert {(row.state, row.tries, row.reason) for row in ledger.files_of(session, range(10))} == {
            (FileState.CLAIMED, 0, None)
        }
    monkeypatch.setattr("flows.registration.register.is_gone", lambda *_: True)  # as the process is that has said so
    assert place.process()["failed"] == []


def test_file_names_may_be_any_bytes(place: Place) -> None:
    truth = simple_night(place.frames, n_flat=1)
    for path in truth.paths:
        path.rename(path.with_name("\udcff" + path.name))
    (place.frames / "\udcfe.fits").write_text("hello")
    answer = place.process(status=1)
    assert [row["path"] for row in answer["failed"]] == [f"{place.frames}/\\udcfe.fits"]
    assert names(answer["excluded"]) == {"\\udcff" + truth.flats[0].name}
    assert answer["characterisations"][0]["n_bias"] == 5
    assert "\\udcff" + truth.flats[0].name in place.summary()


def test_other_frames_are_counted_and_said_why(place: Place) -> None:
    truth = simple_night(place.frames, n_bias=12, n_flat=0)
    edit_cards(truth.biases[:8], IMAGETYP="Light Frame")
    edit_cards(truth.biases[8:], IMAGETYP="object")
    for number, path in enumerate(truth.biases):
        path.rename(place.frames / f"ngc{number}.fits")
    answer = place.process()
    assert answer["other"] == sum(answer["other_reasons"].values()) == 12
    assert answer["excluded"] == answer["failed"] == answer["characterisations"] == []
    said = place.summary()
    assert "no gain and no read noise: none of these is a calibration frame" in said
    assert "12 other frames (science and the like): 8 × IMAGETYP = 'Light Frame'; 4 × IMAGETYP = 'object'" in said


def test_an_empty_folder_says_so(place: Place) -> None:
    (place.frames / "notes.txt").write_text("no frame")
    assert place.process() == {
        "characterisations": [], "masters": [], "excluded": [], "failed": [], "other": 0, "other_reasons": {}
    }  # fmt: skip
    assert "no frames here: which names count is said by include" in place.summary()


def test_the_summary_shows_what_a_person_wants_to_know(place: Place) -> None:
    simple_night(place.frames, n_flat=1)
    (place.frames / "text.fits").write_text("hello")
    said = place.summary()
    for expected in ("testcam", "3.31", "ADU", "unjudged", "bias_bin1x1_r1.fits", "left out:", "failed:", "text.fits"):
        assert expected in said


@pytest.mark.parametrize(
    ("configuration", "path", "said"),
    [
        ("", "nowhere", "nowhere: no such file or folder"),
        ("[watchh]\n", "frames", "unknown key watchh: known keys here are watch, nights, "),
        ('[database]\nurl = "somewhere"\n', "frames", "[database] url is no database address: write sqlite:///"),
        (
            '[database]\nurl = "sqlite:////nowhere/x.db"\n',
            "frames",
            "sqlite:////nowhere/x.db: cannot open the database",
        ),
        ('[recipes.gain]\nregion = "[1:2]"\n', "frames", "'[1:2]' is not an image section: write [x1:x2,y1:y2]"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(place: Place, configuration: str, path: str, said: str) -> None:
    place.configure(configuration)
    answer = ccdwatch("process", place.home.parent / path, "--home", place.home, "--json")
    assert (answer.status, answer.out) == (2, b"")
    assert answer.err.startswith("ccdwatch: ")
    assert answer.err.count("\n") == 1
    assert said in answer.err


# Crashes and company


def test_a_frame_that_is_gone_is_left_out_by_name(place: Place) -> None:
    truth = simple_night(place.frames)
    aside = truth.flats[0].rename(place.home / "aside.fits")
    place.process()
    shutil.move(aside, truth.flats[0])
    gone = truth.flats[1].rename(place.home / "gone.fits")
    answer = place.process()
    assert (answer["characterisations"][0]["n_flat"], answer["failed"]) == (3, [])
    assert answer["excluded"] == [
        {"path": str(truth.flats[1]), "reason": "its file is gone: deleted, moved, or not mounted"}
    ]
    gone.rename(truth.flats[1])
    (run,) = place.on_record("runs")
    again = ccdwatch("retry", f"run:{run['id']}", "--home", place.home, "--json").json()
    assert (again["characterisations"][0]["n_flat"], again["excluded"]) == (4, [])


def test_where_too_few_frames_are_left_the_earlier_results_stand(place: Place) -> None:
    truth = simple_night(place.frames, n_flat=3)
    late = truth.biases[0].rename(place.home / "late.fits")
    place.process()
    shutil.move(late, truth.biases[0])
    gone = truth.flats[1].rename(place.home / "gone.fits")
    answer = place.process(status=1)
    ((name, reason),) = [tuple(row.values()) for row in answer["failed"]]
    assert name == "calibrate testcam 2022-09-19 bin1x1"
    assert reason.startswith(f"1 of 3 flat frames are gone, for example {truth.flats[1]}: bring them back")
    assert answer["characterisations"][0]["n_flat"] == 3
    gone.rename(truth.flats[1])
    assert place.process()["characterisations"][0]["n_bias"] == len(truth.biases)


def test_a_frame_is_read_from_a_copy_that_is_still_there(place: Place, tmp_path: Path) -> None:
    truth = simple_night(place.frames, n_flat=5)
    late = truth.flats[-1].rename(place.home / "late.fits")
    copies = shutil.copytree(place.frames, tmp_path / "copies")
    place.process()
    place.process(copies)
    shutil.rmtree(copies)
    late.rename(truth.flats[-1])
    assert place.process()["characterisations"][0]["n_flat"] == 5


def killed(place: Place, at: str) -> None:
    """Let a process work on the frames until it is killed where ``die`` is called."""
    code = (
        "import os, signal, sys; from pathlib import Path; from flows.calibration import engine, steps\n"
        "from flows.registration import register\n"
        "from flows.home.home import open_home; from flows.commands.process import process\n"
        f"def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n{at}\n"
        "process(open_home(Path(sys.argv[1])), [Path(sys.argv[2])])"
    )
    ended = subprocess.run([sys.executable, "-c", code, place.home, place.frames], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL


def test_the_run_of_a_killed_process_is_made_again_at_once(place: Place) -> None:
    simple_night(place.frames)
    killed(place, 'engine.STEPS = [*steps.STEPS[:3], steps.Step("x", die)]')
    assert [run["outcome"] for run in place.on_record("runs")] == ["running"]
    assert place.on_record("trends") == place.on_record("masters") == []
    assert place.process()["characterisations"][0]["n_flat"] == 4
    assert [run["outcome"] for run in place.on_record("runs", "--superseded")] == ["abandoned", "done"]
    assert len(place.on_record("trends", "gain", "--superseded")) == 1


def test_claims_of_a_killed_process_do_not_wait_for_their_lease(place: Place) -> None:
    simple_night(place.frames)
    killed(place, "register._record = die")
    began = time.monotonic()
    assert place.process()["characterisations"][0]["n_flat"] == 4
    assert time.monotonic() - began < LEASE.total_seconds() / 2


def test_two_at_once_do_the_work_once(place: Place) -> None:
    simple_night(place.frames)
    homes = [open_home(place.home) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda home: process(home, [place.frames]), homes)
    assert one == two
    assert one["characterisations"][0]["n_flat"] == 4
    assert [run["outcome"] for run in place.on_record("runs", "--superseded")] == ["done"]


def test_who_begins_between_a_look_and_the_plans_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    simple_night(place.frames)
    look, make_plans = flows.commands.process._wait_for_others, flows.commands.process.plans_of
    begun, planned, others = Event(), Event(), []

    def look_and_let_another_begin(home: Home, set_ids: Collection[int]) -> None:
        look(home, set_ids)
        if not others:
            (plan,) = make_plans(home, set_ids, now())
            slow = partial(run_locally, open_home(place.home), plan, progress=wait_for_the_plans)
            others.append(Thread(target=slow))
            others[0].start()
            assert begun.wait(60)

    def wait_for_the_plans(_: str) -> None:
        begun.set()
        assert planned.wait(60)

    def plan_and_say_so(*words: Any, **options: Any) -> Any:
        plans = make_plans(*words, **options)
        planned.set()
        return plans

    monkeypatch.setattr(flows.commands.process, "_wait_for_others", look_and_let_another_begin)
    monkeypatch.setattr(flows.commands.process, "plans_of", plan_and_say_so)
    answer = process(open_home(place.home), [place.frames])
    others[0].join()
    assert answer["characterisations"][0]["n_flat"] == 4
    assert [run["outcome"] for run in place.on_record("runs", "--superseded")] == ["done"]


# Again, on purpose


def test_a_run_is_made_again_by_its_id(place: Place) -> None:
    simple_night(place.frames)
    before = place.process()
    (run,) = place.on_record("runs")
    answer = ccdwatch("retry", f"run:{run['id']}", "--home", place.home, "--json").json()
    again = place.on_record("runs", "--superseded")
    assert [(row["attempt"], row["outcome"], row["superseded"]) for row in again] == [
        (1, "done", True),
        (2, "done", False),
    ]
    assert answer["masters"][0]["path"] != before["masters"][0]["path"]
    assert answer["characterisations"][0]["gain_e_per_adu"] == before["characterisations"][0]["gain_e_per_adu"]


def test_a_file_is_read_again_by_its_id(place: Place) -> None:
    truth = simple_night(place.frames)
    whole = truth.flats[0].read_bytes()
    truth.flats[0].write_bytes(b"no frame, but a remark")
    assert place.process(status=1)["characterisations"][0]["n_flat"] == 3
    (file,) = ccdwatch("status", "--home", place.home, "--json").json()["quarantined"]
    truth.flats[0].write_bytes(whole)
    answer = ccdwatch("retry", file["id"], "--home", place.home, "--json").json()
    assert (answer["failed"], answer["characterisations"][0]["n_flat"]) == ([], 4)


@pytest.mark.parametrize(
    ("identifier", "said"),
    [("12", "12 is no id of a file or a run"), ("run:7", "nothing on record here is run:7"), ("file:9", "is file:9")],
)
def test_an_id_that_names_nothing(place: Place, identifier: str, said: str) -> None:
    open_home(place.home).engine.dispose()
    answer = ccdwatch("retry", identifier, "--home", place.home)
    assert answer.status == 2
    assert said in answer.err


def test_backfill_makes_anew_what_another_recipe_made(place: Place) -> None:
    simple_night(place.frames / "one")
    place.process()
    place.configure("[watch]\nsettle_seconds = 0\n")
    assert ccdwatch("backfill", "--home", place.home).err == "nothing is stale\nno masters\n"
    place.configure("[watch]\nsettle_seconds = 0\n[recipes.bias]\nclip_sigma = 6.0\n")
    late = ccdwatch("backfill", "--home", place.home, "--json", "--since", "2022-09-20").json()
    assert late["characterisations"] == []
    answer = ccdwatch("backfill", "--home", place.home, "--json").json()
    assert [row["night"] for row in answer["characterisations"]] == ["2022-09-19"]
    assert [row["outcome"] for row in place.on_record("runs", "--superseded")] == ["done", "done"]


def test_backfill_identifies_anew_by_other_rules(place: Place) -> None:
    simple_night(place.frames)
    place.process()
    place.configure('[watch]\nsettle_seconds = 0\n[[instrument]]\nname = "cam1"\nmatch = { INSTRUME = "testcam" }\n')
    answer = ccdwatch("backfill", "--home", place.home, "--json").json()
    assert {row["instrument"] for row in answer["characterisations"]} == {"cam1"}
    assert {row["instrument"] for row in place.on_record("frames")} == {"cam1"}


def test_what_status_calls_stale_is_made_anew_at_once(place: Place) -> None:
    simple_night(place.frames)
    place.process()
    for text, instrument in (
        ("[recipes.bias]\nclip_sigma = 6.0\n", "testcam"),
        ('[[instrument]]\nname = "cam1"\nmatch = { INSTRUME = "testcam" }\n', "cam1"),
    ):
        place.configure(text)  # the frames landed a moment ago, and more might come
        state = ccdwatch("status", "--home", place.home, "--json").json()
        assert state["stale"]
        answer = ccdwatch("backfill", "--home", place.home, "--json").json()
        assert [row["instrument"] for row in answer["characterisations"]] == [instrument]
        state = ccdwatch("status", "--home", place.home, "--json").json()
        assert (state["stale"], state["identified_otherwise"]) == ([], 0)
    assert ccdwatch("backfill", "--home", place.home).err == "nothing is stale\nno masters\n"


def test_backfill_says_until_when_a_set_waits(place: Place) -> None:
    simple_night(place.frames)
    home = open_home(place.home)
    with home.write_session() as session:
        sightings = find_files(home, [place.frames]).sightings
        files = ledger.observe(session, sightings, host=home.settings.host, now=now())
    register_files(home, file_ids=[file.id for file in files])
    said = ccdwatch("backfill", "--home", place.home)
    assert said.status == 0
    assert re.search(r"1 set: waits for more frames until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: ", said.text)
    assert place.on_record("runs") == []


# Disk and record


def test_audit_names_what_is_not_as_on_record(place: Place) -> None:
    truth = simple_night(place.frames)
    masters = {row["kind"]: Path(row["path"]) for row in place.process()["masters"]}
    quiet = ccdwatch("audit", "--home", place.home)
    assert (quiet.status, quiet.out) == (0, b"")
    assert "all as on record" in quiet.err
    raw = truth.biases[0].read_bytes()
    truth.biases[0].write_bytes(raw[:-1] + b"x")
    truth.flats[0].unlink()
    stranger = place.frames / "late.fits"
    stranger.write_bytes(raw)
    stray = masters["bias"].with_name("bias_of_mine.fits")
    stray.write_bytes(raw)
    masters["flat"].unlink()
    reference = next((place.home / "reference").rglob("master_bias_*.fits"))
    reference.unlink()
    reference.write_bytes(raw)
    answer = ccdwatch("audit", "--home", place.home, "--format", "json")
    assert answer.status == 1
    (run,) = place.on_record("runs")
    again = f"run:{run['id']}"
    rows = [(row["finding"], row["kind"], row["path"]) for row in answer.json()]
    assert sorted(rows) == sorted(
        [
            ("changed", "raw", str(truth.biases[0])),
            ("missing", "raw", str(truth.flats[0])),
            ("unregistered", "raw", str(stranger)),
            ("unregistered", "master", str(stray)),
            ("missing", "master", str(masters["flat"])),
            ("changed", "reference", str(reference)),
        ]
    )
    assert {row["id"] for row in answer.json() if row["kind"] != "raw"} == {again, None}


# Real cameras


def test_real_four_amplifier_camera(place: Place, shared_data: Path) -> None:
    deployed = Path(__file__).parents[2] / "deploy/demo/ccdwatch.toml"
    place.configure(deployed.read_text())
    answer = place.process(shared_data / "msfc-esis-4tap" / "led")
    rows = answer["characterisations"]
    assert [row["amplifier"] for row in rows] == ["1", "2", "3", "4"]
    np.testing.assert_allclose([row["gain_e_per_adu"] for row in rows], [2.535, 2.505, 2.540, 2.500], rtol=0.05)
    np.testing.assert_allclose([row["read_noise_adu"] for row in rows], [3.99, 3.84, 4.14, 4.20], rtol=0.02)
    assert {row["verdict"] for row in rows} == {"ok"}
    assert answer["failed"] == answer["excluded"] == []


def test_real_camera_without_configuration(place: Place, shared_data: Path) -> None:
    """Its lamp flats differ in flux by 1.2 %, and the prescan that its header announces sees light."""
    answer = place.process(shared_data / "eso-efosc2")
    lamp = next(row for row in answer["characterisations"] if row["gain_e_per_adu"])
    assert lamp["gain_e_per_adu"] == pytest.approx(1.20, rel=0.025)
    assert lamp["read_noise_e"] == pytest.approx(12.2, rel=0.03)
    assert lamp["read_noise_adu"] == pytest.approx(10.24, rel=0.02)
    assert {row["filter"] for row in answer["masters"] if row["kind"] == "flat"} == {"Free", "g#782"}
    path = next((shared_data / "eso-efosc2").glob("*.fits"))
    (told,) = ccdwatch("identify", path, "--home", place.home, "--format", "json").json()
    assert told["amplifiers"] == "1 [1:1030,1:1030]"
    assert "the first 6 columns and the last 6 rows are overscan, says ESO DET OUT1" in told["amplifiers_because"]


def test_real_overscan_that_is_none_is_told_and_not_used(place: Place, shared_data: Path) -> None:
    entry = """
[[instrument]]
name = "efosc2"
match = { INSTRUME = "EFOSC" }
amplifiers = [{ name = "L", data = "[7:1030,1:1024]", overscan = "[1:6,1:1024]" }]
"""
    place.configure(entry)
    answer = place.process(*sorted((shared_data / "eso-efosc2").glob("*2022-01-26*.fits")))
    (row,) = answer["characterisations"]
    assert row["gain_e_per_adu"] == pytest.approx(1.20, rel=0.025)
    assert row["read_noise_e"] == pytest.approx(12.2, rel=0.03)
    told = "overscan [1:6,1:1024] of amplifier L is none and was not used: under flats of "
    assert any(note.startswith(told) for note in row["notes"])
    assert not [one for one in place.on_record("trends") if one["quantity"].startswith("overscan")]


def test_bad_pixels_are_counted_and_masked(place: Place) -> None:
    truth = simple_night(place.frames)
    for path in truth.biases:
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[10, 20] += 500
    place.process()
    counted = {row["quantity"]: row["value"] for row in place.on_record("trends") if row["unit"] == "pixels"}
    assert counted == {"bad_pixels": 1, "hot_pixels": 1, "noisy_pixels": 0, "dead_pixels": 0}
    (row,) = place.on_record("masters", "--kind", "mask")
    assert Path(row["path"]).name.startswith("badpixels_bin1x1_r")
    assert np.argwhere(fits.getdata(row["path"]) != 0).tolist() == [[10, 20]]
    origin = ccdwatch("provenance", f"master:{row['master_id']}", "--home", place.home, "--format", "json").json()
    assert len(origin["wasDerivedFrom"]) == len(truth.biases) + len(truth.flats)
    assert ccdwatch("provenance", row["path"], "--home", place.home, "--format", "json").json() == origin
    assert "mask" not in {one["kind"] for one in place.on_record("masters")}


# Frames that cannot give a number


def test_means_of_five_by_their_pixels_alone_give_none(place: Place) -> None:
    truth = simple_night(place.frames / "raw", n_bias=15, n_flat=10)
    for kind, paths in (("bias", truth.biases), ("flat", truth.flats)):
        for number in range(0, len(paths), 5):
            some = [fits.getdata(path).astype(np.float32) for path in paths[number : number + 5]]
            path = place.frames / f"{kind}_{number}.fits"
            fits.PrimaryHDU(np.mean(some, axis=0, dtype=np.float32), fits.getheader(paths[number])).writeto(path)
    shutil.rmtree(place.frames / "raw")
    answer = place.process()
    assert answer["characterisations"] == answer["masters"] == []
    told = "average of 5 exposures, not a raw frame: its pixels are multiples of 1/5 ADU"
    assert [row["reason"] for row in answer["excluded"]].count(told) == 5


def test_a_lamp_whose_pattern_moves_gives_none(place: Place) -> None:
    truth = simple_night(place.frames, n_flat=0)
    rng = np.random.default_rng(1)
    light = spectrum_light(truth.camera.shape, 30_000.0)
    for number in range(3):
        cards = standard_cards("flat", datetime(2022, 9, 19, 19, number, tzinfo=UTC), 5.0)
        moved = np.roll(light, 2 * number, axis=0)
        write_frame(place.frames / f"flat_{number}.fits", flat_pixels(truth.camera, rng, moved), cards)
    answer = place.process()
    (row,) = answer["characterisations"]
    assert (row["gain_e_per_adu"], row["read_noise_e"]) == (None, None)
    assert row["read_noise_adu"] is not None
    assert "the light pattern moved" in reasons(answer["excluded"])


def test_biases_of_another_temperature_flag_the_gain_and_make_no_master_flat(place: Place) -> None:
    truth = simple_night(place.frames)
    edit_cards(truth.biases, **{"CCD-TEMP": -10.0})
    answer = place.process()
    (row,) = answer["characterisations"]
    assert row["verdict"] == "suspect"
    told = "detector at -10.0 °C in the biases, at -20.0 °C in the other frames"
    assert told in row["notes"]
    assert {one["kind"] for one in answer["masters"]} == {"bias"}
    assert f"no master flat with biases of another temperature: {told}" in reasons(answer["excluded"])


def test_a_gain_like_that_of_averages_is_suspect(place: Place) -> None:
    truth = simple_night(place.frames)
    edit_cards(truth.flats, EGAIN=0.3)
    (row,) = place.process()["characterisations"]
    assert row["verdict"] == "suspect"
    assert any("times the header's 0.3 e⁻/ADU: are the flats averages of 5?" in note for note in row["notes"])
