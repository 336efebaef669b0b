"""Nights whose flats are of another filter than their cards say: what is in force, and what is said of it."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from db.champions import current_reference
from db.runs.masters import list_masters
from flows.calibration.steps import STEPS
from flows.commands.process import process
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.orchestration.shown.report import report, text
from tests.support.simulate import SeriesTruth, simple_night

NIGHTS = tuple(date(2022, 9, day) for day in (19, 20, 21))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, as that takes most of the time."""
    monkeypatch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])


def night(folder: Path, of: date, *, other_filter: bool = False, **about: Any) -> SeriesTruth:
    """Write a night; light of another filter is less, by up to a third, in a third of the image."""
    truth = simple_night(folder, night=of, **about)
    for path in truth.flats if other_filter else ():
        with fits.open(path, mode="update") as hdus:
            columns = np.linspace(-1, 1, hdus[0].data.shape[1])
            light = hdus[0].data.astype(float) - 1000.0
            hdus[0].data = np.rint(1000.0 + light * (1 - 0.3 * (columns**2 > 0.4))).astype(np.uint16)
    return truth


def answered(home: Home, folder: Path) -> dict[str, Any]:
    answer = process(home, [folder])
    assert answer["failed"] == []
    return {one["kind"]: one for one in answer["masters"]}


def in_force(home: Home) -> dict[str, date]:
    with home.read_session() as session:
        return {one.kind: one.night for one in current_reference(session, at=now())}


def test_another_light_waits_for_a_second_night_and_is_told_everywhere(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    night(tmp_path / "1", NIGHTS[0])
    first = answered(home, tmp_path / "1")
    assert {kind: one["certified"] for kind, one in first.items()} == {"bias": True, "flat": True}
    assert first["flat"]["certified_reason"].startswith("the first of its purpose")
    reference = home.path / "reference/testcam/master_flat_bin1x1_V.fits"
    assert reference.read_bytes() == Path(first["flat"]["path"]).read_bytes()

    night(tmp_path / "2", NIGHTS[1], other_filter=True)
    second = answered(home, tmp_path / "2")
    assert (second["bias"]["certified"], second["flat"]["certified"]) == (True, False)
    assert "another filter" in second["flat"]["certified_reason"]
    assert in_force(home) == {"bias": NIGHTS[1], "flat": NIGHTS[0]}
    assert reference.read_bytes() == Path(first["flat"]["path"]).read_bytes()
    header = fits.getheader(second["flat"]["path"])
    assert header["CERTIFD"] is False
    assert "another filter" in header["CERTWHY"]
    assert header["CERTREF"] == f"master:{first['flat']['master_id']}"
    assert header["CERTCHNG"] > 1
    with home.read_session() as session:
        flat = next(one for one in list_masters(session, kind="flat") if one.night == NIGHTS[1])
        mask = next(one for one in list_masters(session, kind="mask") if one.night == NIGHTS[1])
    assert "dead pixels" in (mask.remark or "")  # which no refused flat may tell
    page = report(home, flat.run_id)
    assert "flat V not certified" in page
    assert "another filter" in page

    night(tmp_path / "3", NIGHTS[2], other_filter=True)
    third = answered(home, tmp_path / "3")
    assert third["flat"]["certified"], third["flat"]["certified_reason"]
    assert "two sets show the same" in third["flat"]["certified_reason"]
    assert reference.read_bytes() == Path(third["flat"]["path"]).read_bytes()


def test_a_bias_whose_frames_contradict_each_other_is_not_in_force_and_casts_doubt(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    truth = night(tmp_path / "1", NIGHTS[0], n_bias=3)  # no more can be left out
    with fits.open(truth.biases[2], mode="update") as hdus:
        hdus[0].data[16:48, 100:164] += 4  # ADU: 1.2 times its noise
    made = answered(home, tmp_path / "1")
    assert not made["bias"]["certified"]
    assert truth.biases[2].name in made["bias"]["certified_reason"]
    assert made["flat"]["verdict"] == "suspect"
    assert "its master bias is suspect" in made["flat"]["remark"]
    assert "bias" not in in_force(home)
    with home.read_session() as session:
        assert list_masters(session, kind="mask") == []


def test_biases_two_against_two_are_suspect_and_not_in_force(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    truth = night(tmp_path / "1", NIGHTS[0], n_bias=4)
    for path in truth.biases[1::2]:
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[16:48, 100:164] += 4
    made = answered(home, tmp_path / "1")
    assert made["bias"]["verdict"] == "suspect"
    assert not made["bias"]["certified"]
    assert made["bias"]["certified_reason"] in made["bias"]["remark"]
    assert not list((home.path / "reference").rglob("master_bias*"))


def test_what_changed_since_the_master_in_force_is_told_in_remark_and_report(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    night(tmp_path / "1", NIGHTS[0])
    before = answered(home, tmp_path / "1")["flat"]
    truth = night(tmp_path / "2", NIGHTS[1])
    for path in truth.flats:
        with fits.open(path, mode="update") as hdus:
            light = hdus[0].data[32:64, 64:96] - 1000.0
            hdus[0].data[32:64, 64:96] = np.rint(1000.0 + 0.9 * light).astype(np.uint16)
    flat = answered(home, tmp_path / "2")["flat"]
    assert (flat["verdict"], flat["certified"]) == ("ok", True)
    told = "% from that of the master in force in rows 33 to 64, columns 65 to 96"
    assert "its response is -10." in flat["certified_reason"]
    assert told in flat["certified_reason"]
    assert told in flat["remark"]
    assert flat["remark"].endswith(f"(master {before['master_id']})")
    with home.read_session() as session:
        run_id = next(one.run_id for one in list_masters(session, kind="flat") if one.night == NIGHTS[1])
    assert text(told) in report(home, run_id)


def test_a_champion_whose_file_is_gone_is_told_and_costs_nothing(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    night(tmp_path / "1", NIGHTS[0])
    first = answered(home, tmp_path / "1")
    Path(first["flat"]["path"]).unlink()
    night(tmp_path / "2", NIGHTS[1])
    second = answered(home, tmp_path / "2")
    assert second["flat"]["certified"]
    assert f"not held against master {first['flat']['master_id']}" in second["flat"]["certified_reason"]
    assert second["bias"]["certified_reason"].startswith("predicts its frames at least as well")
