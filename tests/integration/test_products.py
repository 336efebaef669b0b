"""One product's lack costs no other: what there is of frames that support only some products, and what is said."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from db.runs.runs import list_runs
from flows.calibration.figures import draw_pictures
from flows.calibration.steps import STEPS
from flows.commands.process import process
from flows.home.home import open_home
from flows.runs.run import Run
from tests.support.simulate import (
    NOTEBOOK_NIGHTS,
    Camera,
    four_amplifiers,
    section_cards,
    simple_night,
    standard_cards,
    write_frame,
)

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(64, 256))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, as that takes most of the time."""
    monkeypatch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])


def flats(folder: Path, name: str, levels_adu: list[float], **cards: object) -> None:
    """Write flats of some levels, whatever their exposure time says."""
    rng = np.random.default_rng(len(name))
    for number, level in enumerate(levels_adu):
        electrons = rng.poisson(1.5 * level, CAMERA.shape) + rng.normal(0, 5.0, CAMERA.shape)
        when = datetime(2022, 9, 19, 20, number, tzinfo=UTC)
        pixels = np.rint(1000 + electrons / 1.5).astype(np.uint16)
        write_frame(folder / f"{name}{number}.fits", pixels, {**standard_cards("flat", when, 5.0), **cards})


def answered(tmp_path: Path) -> dict[str, Any]:
    answer = process(open_home(tmp_path / "home"), [tmp_path / "frames"])
    assert answer["failed"] == []
    return answer


def made(answer: dict[str, Any]) -> list[tuple[str, str | None, int, str]]:
    return [(one["kind"], one["filter"], one["n_combined"], one["verdict"]) for one in answer["masters"]]


def lacking(answer: dict[str, Any]) -> dict[str, str]:
    """Product → why there is none; only of whole sets."""
    return {one["product"]: one["reason"] for one in answer["excluded"] if "/" not in one["path"]}


def gain(answer: dict[str, Any]) -> float:
    (row,) = answer["characterisations"]
    assert row["read_noise_adu"] == pytest.approx(5 / 1.5, abs=5 * row["read_noise_adu_uncertainty"])
    assert abs(row["gain_e_per_adu"] - 1.5) < 5 * row["gain_uncertainty"]
    return float(row["gain_e_per_adu"])


@pytest.mark.parametrize("n_flat", [2, 6])
def test_two_biases_give_all_but_a_master_bias(tmp_path: Path, n_flat: int) -> None:
    simple_night(tmp_path / "frames", n_bias=2, n_flat=n_flat)
    answer = answered(tmp_path)
    assert gain(answer)
    assert made(answer) == ([("flat", "V", 6, "ok")] if n_flat == 6 else [])
    lacks = lacking(answer)
    assert lacks["master bias"].startswith("no master bias: at least 3 are needed, 2 usable")
    assert ("master flat V" in lacks) == (n_flat == 2)
    assert len(answer["excluded"]) == len(lacks)  # no frame: something was made of each


def test_one_bias_gives_a_master_flat_and_a_reason(tmp_path: Path) -> None:
    simple_night(tmp_path / "frames", n_bias=1)
    answer = answered(tmp_path)
    assert answer["characterisations"] == []
    assert made(answer) == [("flat", "V", 4, "ok")]
    assert "read noise needs two raw biases, 1 usable" in lacking(answer)["gain"]


@pytest.mark.parametrize("level_adu", [0.0, 5.0])
def test_a_filter_whose_lamp_was_off_costs_no_other(tmp_path: Path, level_adu: float) -> None:
    simple_night(tmp_path / "frames")
    flats(tmp_path / "frames", "u", [level_adu] * 4, FILTER="U")
    answer = answered(tmp_path)
    assert gain(answer)
    assert made(answer) == [("bias", None, 5, "ok"), ("flat", "V", 4, "ok")]
    assert "cannot be scaled" in " ".join(one["reason"] for one in answer["excluded"])


def test_a_faint_level_of_a_ramp_is_left_out_of_the_master_flat_alone(tmp_path: Path) -> None:
    simple_night(tmp_path / "frames", n_flat=0)
    flats(tmp_path / "frames", "v", [2.0, 2.0, 2000.0, 2000.0, 8000.0, 8000.0, 30000.0, 30000.0], FILTER="V")
    for number, seconds in enumerate((0.001, 0.001, 1.0, 1.0, 4.0, 4.0, 15.0, 15.0)):
        with fits.open(tmp_path / "frames" / f"v{number}.fits", mode="update") as hdus:
            hdus[0].header["EXPTIME"] = seconds
    answer = answered(tmp_path)
    assert gain(answer)
    assert made(answer) == [("bias", None, 5, "ok"), ("flat", "V", 6, "ok")]
    assert {(Path(one["path"]).name, one["product"]) for one in answer["excluded"]} == {
        ("v0.fits", "master flat V"),
        ("v1.fits", "master flat V"),
    }


def test_no_gain_makes_no_bad_master_flat(tmp_path: Path) -> None:
    """Each flat of another exposure: no pair, and so no gain for the noise model."""
    simple_night(tmp_path / "frames", n_flat=0)
    flats(tmp_path / "frames", "v", [10_000.0, 13_000.0, 17_000.0, 22_000.0, 29_000.0], FILTER="V")
    for number, seconds in enumerate((1.0, 1.3, 1.7, 2.2, 2.9)):
        with fits.open(tmp_path / "frames" / f"v{number}.fits", mode="update") as hdus:
            hdus[0].header["EXPTIME"] = seconds
    answer = answered(tmp_path)
    assert made(answer) == [("bias", None, 5, "ok"), ("flat", "V", 5, "ok")]
    assert "no other flat of its filter and exposure time" in lacking(answer)["gain"]
    assert len(answer["excluded"]) == 1


def test_what_was_used_is_not_among_what_was_left_out(tmp_path: Path) -> None:
    truth = simple_night(tmp_path / "frames", night=NOTEBOOK_NIGHTS[1])
    with fits.open(truth.biases[0], mode="update") as hdus:
        hdus[0].data = hdus[0].data + np.uint16(200)
    (row,) = answered(tmp_path)["excluded"]
    assert (Path(row["path"]), set(row)) == (truth.biases[0], {"path", "reason"})


def test_a_dead_amplifier_costs_no_other(tmp_path: Path) -> None:
    camera = four_amplifiers(rows=64, columns=100)
    truth = simple_night(tmp_path / "frames", camera=camera)
    dead = camera.amplifiers[2]
    for path in truth.paths:
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[dead.data.slices] = 1000
            hdus[0].header.update(section_cards(camera))
    answer = answered(tmp_path)
    rows = answer["characterisations"]
    assert [row["amplifier"] for row in rows] == ["1", "2", "4"], answer
    for row in rows:
        assert row["gain_e_per_adu"], answer
        true = camera.gain_e_per_adu[int(row["amplifier"]) - 1]  # type: ignore[index]
        assert abs(row["gain_e_per_adu"] - true) < 5 * row["gain_uncertainty"]
    assert [kind for kind, *_ in made(answer)] == ["bias", "flat"]
    assert "amplifier 3 has no usable pair of biases" in lacking(answer)["gain and read noise of amplifier 3"]


def test_no_picture_shows_pixels_that_are_not_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = simple_night(tmp_path / "frames", n_bias=3, n_flat=0)
    answered(tmp_path)
    home = open_home(tmp_path / "home")
    drawn: list[str] = []
    monkeypatch.setattr("flows.calibration.figures._draw", lambda *about: drawn.append(about[2]))
    with home.read_session() as session:
        (run,) = list_runs(session)
    draw_pictures(Run(home, run.id))
    assert {"Master bias frames", "Master bias histogram"} <= set(drawn)
    drawn.clear()
    with fits.open(truth.biases[0], mode="update") as hdus:
        hdus[0].data[:] += 100
    draw_pictures(Run(home, run.id))
    assert [name for name in drawn if "bias" in name] == []
    (failed,) = Run(home, run.id).failures
    assert failed.product == "pictures of the master bias"
    assert str(truth.biases[0]) in failed.reason
