"""Large mosaics, through the real command: worked on detector by detector, put on record as one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from benchmarks.mosaic_frames import Layout, true_gains, write_frames
from ccdcore.masters.file import read_master
from ccdcore.mosaics import detectors as large
from ccdcore.reduction.master import MaskBit
from flows.calibration import figures
from tests.support.command import ccdwatch

LAYOUT = Layout(3, (256, 384), n_small=1)
DEAD = "N2"


def night_with_a_dead_detector(folder: Path) -> None:
    """Write biases and flats; one detector says the same whatever it sees."""
    write_frames(folder, LAYOUT)
    for path in folder.iterdir():
        with fits.open(path, mode="update") as hdus:
            hdus[DEAD].data[:] = 7


def process(home: Path, frames: Path) -> dict[str, Any]:
    answer = ccdwatch("process", frames, "--home", home, "--json").json()
    assert isinstance(answer, dict)
    return answer


def test_detectors_of_a_large_mosaic_are_worked_on_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night_with_a_dead_detector(tmp_path / "frames")
    whole = process(tmp_path / "whole", tmp_path / "frames")
    monkeypatch.setattr(large, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr("flows.calibration.figures._SHOWN_PIXELS", 2**14)
    shown: list[np.ndarray] = []
    thinned = figures._thinned

    def noting(*of: Any) -> tuple[Any, ...]:
        shown.extend(images := thinned(*of))
        return images

    monkeypatch.setattr(figures, "_thinned", noting)
    home = tmp_path / "home"
    answer = process(home, tmp_path / "frames")
    assert answer["failed"] == []
    assert shown
    assert all(image.base is None for image in shown)  # else all pixels of all detectors are held

    found = {row["amplifier"]: row for row in answer["characterisations"]}
    assert list(found) == ["N1-A", "N1-B", "S1-A", "S1-B"]  # in the files S1 comes first
    same = {row["amplifier"]: row["gain_e_per_adu"] for row in whole["characterisations"]}
    for name, row in found.items():
        assert row["gain_e_per_adu"] == same[name]
        assert abs(row["gain_e_per_adu"] - true_gains(LAYOUT)[name]) < 4 * row["gain_uncertainty"]
    lacking = {row["product"]: row["reason"] for row in answer["excluded"]}
    assert "gain and read noise of amplifier N2-A" in lacking
    assert "the same" in lacking["gain and read noise of amplifier N2-A"]

    masters = {row["kind"]: row for row in answer["masters"]}
    assert masters.keys() == {"bias", "flat"}
    assert masters["flat"]["verdict"] == "suspect"
    assert f"no value of detector {DEAD}" in masters["flat"]["remark"]
    flat = read_master(masters["flat"]["path"])
    assert flat.value.shape == (256, 3 * 384)
    assert (flat.mask[:, 2 * 384 :] & MaskBit.NO_DATA).all()
    assert flat.value[flat.good].mean() == pytest.approx(1, rel=1e-4)
    bias = {name: read_master(one["path"]) for name, one in (("parts", masters["bias"]), ("whole", of_bias(whole)))}
    assert np.array_equal(bias["parts"].value[:, : 2 * 384], bias["whole"].value[:, : 2 * 384])
    rows = ccdwatch("masters", "--kind", "mask", "--home", home, "--format", "json").json()
    assert len(rows) == 1
    assert len(list(home.glob("**/*.png"))) == len(list((tmp_path / "whole").glob("**/*.png")))
    assert ccdwatch("audit", "--home", home).status == 0


def of_bias(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the master bias among results."""
    return next(row for row in answer["masters"] if row["kind"] == "bias")


def test_nobody_uses_a_detector_that_was_refused_unawares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "WHOLE_PIXELS", 1000)
    home, refused = tmp_path / "home", slice(384, 2 * 384)
    for night in ("2026-03-02", "2026-03-09"):
        write_frames(tmp_path / night, Layout(3, (256, 384)), flats=0)
        for number, path in enumerate(sorted((tmp_path / night).iterdir())):
            with fits.open(path, mode="update") as hdus:
                hdus[0].header["DATE-OBS"] = f"{night}T22:00:{10 * number:02d}"
                if night == "2026-03-09":  # every other frame of one detector is unlike the others
                    for name, rises in (("S1", 1), ("N1", 30 * (number % 2)), ("N2", 1)):
                        hdus[name].data[:, 100:140:2] += rises
        answer = process(home, tmp_path / night)
    (row,) = answer["masters"]
    with fits.open(row["path"]) as hdus:
        mask = hdus["MASK"].data
        assert (mask[:, refused] & MaskBit.NO_DATA).all()
        assert not (mask[:, : refused.start] & MaskBit.NO_DATA).any()
        assert not (mask[:, refused.stop :] & MaskBit.NO_DATA).any()
        assert np.isfinite(hdus[0].data[:, refused]).all()  # who wants to see why, can
    (listed,) = (
        one for one in ccdwatch("masters", "--home", home, "--format", "json").json() if one["path"] in row["path"]
    )
    assert listed["certified"] is True
    assert "but for 1 of 3 detectors: detector N1" in listed["certified_reason"]
    assert "masked" in listed["certified_reason"]
