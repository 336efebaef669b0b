"""Darks in place of biases, through the real command."""

from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits

from flows.calibration.steps import STEPS
from tests.support.command import ccdwatch
from tests.support.simulate import simple_night


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, as that takes most of the time."""
    monkeypatch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])


def night_without_biases(directory: Path, exposure_time_s: float) -> None:
    """Write flats of 5 s, and biases that say that they are darks."""
    for path in simple_night(directory, n_flat=6).biases:
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.update({"IMAGETYP": "Dark Frame", "EXPTIME": exposure_time_s})


def process(home: Path, frames: Path) -> dict[str, Any]:
    answer = ccdwatch("process", frames, "--home", home, "--json").json()
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(
    ("exposure_time_s", "said", "made"),
    [
        (0.05, "no biases: 5 darks of 0.05 s stand in for them", {"bias", "flat"}),
        (5.0, "no biases: 5 darks of 5 s, as long as flats, stand in for them", {"flat"}),
    ],
)
def test_darks_stand_in_for_biases_and_the_result_says_so(
    tmp_path: Path, exposure_time_s: float, said: str, made: set[str]
) -> None:
    night_without_biases(tmp_path / "frames", exposure_time_s)
    answer = process(tmp_path / "home", tmp_path / "frames")
    (row,) = answer["characterisations"]
    assert abs(row["gain_e_per_adu"] - 1.5) < 4 * row["gain_uncertainty"]
    assert (row["n_bias"], row["n_flat"]) == (5, 6)
    assert [note for note in row["notes"] if note.startswith(said)]
    masters = {master["kind"]: master for master in answer["masters"]}
    assert masters.keys() == made
    assert all(master["remark"].startswith(said) and master["verdict"] == "ok" for master in masters.values())
    assert answer["failed"] == []
    lacking = {row["product"]: row["reason"] for row in answer["excluded"]}
    assert lacking.keys() == (set() if "bias" in made else {"master bias", "bad pixels"})
    assert lacking.get("master bias", "").endswith("stand in for biases hold their dark signal" if lacking else "")


def test_darks_of_another_exposure_are_no_biases(tmp_path: Path) -> None:
    night_without_biases(tmp_path / "frames", 60.0)
    answer = process(tmp_path / "home", tmp_path / "frames")
    assert (answer["characterisations"], answer["masters"]) == ([], [])
    assert any("without biases" in row["reason"] for row in answer["excluded"])
