"""Masters of what is told to be of two kinds, or whose biases are doubted, never come out as "ok"."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.masters.file import read_master
from flows.calibration.steps import STEPS
from flows.commands.process import process
from flows.home.home import open_home
from tests.support.simulate import FloatImage, standard_cards, write_frame

SHAPE = (128, 128)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, as that takes most of the time."""
    monkeypatch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])


def series(
    folder: Path, kind: str, gains: list[float], electrons: float | list[FloatImage] = 0.0, **cards: list[Any]
) -> None:
    """Write a frame for each gain; ``cards`` are of each frame. Biases have a read noise of 5 electrons at 1000 ADU."""
    rng = np.random.default_rng(len(kind) + len(gains))
    level = cards.pop("level", [1000.0] * len(gains))
    for n, gain in enumerate(gains):
        light = electrons[n] if isinstance(electrons, list) else electrons
        pixels = level[n] + (rng.poisson(light, SHAPE) + rng.normal(0, 5.0, SHAPE)) / gain
        when = datetime(2022, 9, 19, 20, tzinfo=UTC) + timedelta(minutes=n + (60 if electrons else 0))
        of_frame = {keyword: values[n] for keyword, values in cards.items()}
        described = {**standard_cards(kind, when, 5.0 if electrons else 0.0), **of_frame}
        write_frame(folder / f"{kind}{n}.fits", np.clip(np.rint(pixels), 0, 65535).astype(np.uint16), described)


def answered(tmp_path: Path) -> dict[str, Any]:
    answer = process(open_home(tmp_path / "home"), [tmp_path / "frames"])
    assert answer["failed"] == []
    return answer


def masters(answer: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["kind"]: (one["verdict"], one["remark"] or "") for one in answer["masters"]}


@pytest.mark.parametrize("taken_in_turn", [True, False])
def test_masters_of_two_gains_are_suspect(tmp_path: Path, taken_in_turn: bool) -> None:
    gains = [1.5, 0.8] * 4 if taken_in_turn else [1.5] * 4 + [0.8] * 4
    series(tmp_path / "frames", "bias", gains)
    series(tmp_path / "frames", "flat", gains, 20_000.0)
    made = masters(answered(tmp_path))
    assert made["bias"][0] == "suspect"
    assert "the biases fall into two groups, 4 with a noise of" in made["bias"][1]
    assert made["flat"][0] in {"suspect", "bad"}
    assert "the biases fall into two groups" in made["flat"][1]


def test_a_master_flat_of_two_gains_is_suspect(tmp_path: Path) -> None:
    series(tmp_path / "frames", "bias", [1.5] * 4)
    series(tmp_path / "frames", "flat", [1.5] * 4 + [1.1] * 4, 20_000.0)
    made = masters(answered(tmp_path))
    assert made["bias"] == ("ok", "")
    assert made["flat"][0] in {"suspect", "bad"}
    assert "the flats fall into two groups" in made["flat"][1]


@pytest.mark.parametrize("n_bias", [5, 1])
def test_a_master_flat_of_biases_that_are_cut_off_is_suspect(tmp_path: Path, n_bias: int) -> None:
    series(tmp_path / "frames", "bias", [1.5] * n_bias, level=[2.0] * n_bias)
    series(tmp_path / "frames", "flat", [1.5] * 4, 20_000.0, level=[2.0] * 4)
    made = masters(answered(tmp_path))
    for kind in ("bias", "flat") if n_bias > 1 else ("flat",):
        assert made[kind][0] == "suspect"
        assert made[kind][1].count("the biases are cut off at 0 ADU") == 1


def test_a_master_flat_of_two_filters_that_no_known_card_names_is_suspect(tmp_path: Path) -> None:
    rows, columns = (np.linspace(-1, 1, n) for n in SHAPE)
    lights = [20_000 * (1 - depth * (rows[:, None] ** 2 + columns**2)) for depth in [0.1] * 4 + [0.14] * 4]
    series(tmp_path / "frames", "bias", [1.5] * 4)
    series(tmp_path / "frames", "flat", [1.5] * 8, lights, FILTPOS=[1] * 4 + [2] * 4)
    answer = answered(tmp_path)
    verdict, remark = masters(answer)["flat"]
    assert verdict == "suspect"
    assert "in 4 flats with FILTPOS = 1 than in 4 with 2: two filters or lamps in one?" in remark
    (row,) = answer["characterisations"]
    assert abs(row["gain_e_per_adu"] - 1.5) < 5 * row["gain_uncertainty"]
    assert row["verdict"] == "unjudged"


def test_two_finished_flats_that_nothing_tells_of_are_held_against_the_nights_before(tmp_path: Path) -> None:
    series(tmp_path / "frames", "bias", [1.5] * 3)
    series(tmp_path / "frames", "flat", [1.5] * 3, 20_000.0)
    (row,) = answered(tmp_path)["characterisations"]
    assert row["verdict"] == "unjudged"
    rng = np.random.default_rng(2)
    for n in range(2):
        raw = 1000 + rng.poisson(20_000.0, (8, *SHAPE)) / 1.5
        when = datetime(2022, 9, 20, 21, n, tzinfo=UTC)
        write_frame(tmp_path / f"frames/f{n}.fits", raw.mean(0).astype(np.uint16), standard_cards("flat", when, 5.0))
    _, after = answered(tmp_path)["characterisations"]
    assert after["gain_e_per_adu"] > 9
    assert after["verdict"] == "suspect"
    assert any("times that of 2022-09-19 (measurement" in note for note in after["notes"])


def test_frames_of_another_shape_without_a_card_are_a_set_of_their_own(tmp_path: Path) -> None:
    series(tmp_path / "frames", "bias", [1.5] * 4)
    series(tmp_path / "frames", "flat", [1.5] * 4, 20_000.0)
    for path in list((tmp_path / "frames").iterdir()):
        with fits.open(path) as hdus:
            halves = hdus[0].data.reshape(64, 2, 64, 2).mean(axis=(1, 3)).astype(np.uint16)
            write_frame(path.with_name(f"half_{path.name}"), halves, dict(hdus[0].header))
    answer = answered(tmp_path)
    assert answer["excluded"] == []
    names = sorted(row["configuration"] for row in answer["characterisations"])
    assert names in (["bin1x1", "bin1x1_64x64"], ["bin1x1", "bin1x1_128x128"]), "the first to come has the plain name"
    assert len(answer["masters"]) == 4


def test_a_master_counts_the_frames_that_are_named_as_left_out(tmp_path: Path) -> None:
    """Also biases whose headers have a filter, and flats that are left out of the master alone."""
    series(tmp_path / "frames", "bias", [1.5] * 5, level=[1000.0] * 4 + [1300.0], FILTER=["V"] * 5)
    light = [np.full(SHAPE, electrons) for electrons in [20_000.0] * 4 + [0.1] * 2]
    series(tmp_path / "frames", "flat", [1.5] * 6, light, FILTER=["V"] * 6, EXPTIME=[5.0] * 4 + [0.01] * 2)
    answer = answered(tmp_path)
    named = [Path(one["path"]).name for one in answer["excluded"] if "/" in one["path"]]
    assert {one["kind"]: one["n_excluded"] for one in answer["masters"]} == {"bias": 1, "flat": 2}, answer["excluded"]
    assert sorted(set(named)) == ["bias4.fits", "flat4.fits", "flat5.fits"]


def test_a_frame_that_spoils_its_master_is_left_out_and_the_master_made_without(tmp_path: Path) -> None:
    lights = [np.full(SHAPE, 20_000.0) for _ in range(6)]
    lights[2][20:60, 30:70] += 300.0
    series(tmp_path / "frames", "bias", [1.5] * 5)
    series(tmp_path / "frames", "flat", [1.5] * 6, lights)
    answer = answered(tmp_path)
    (flat,) = [one for one in answer["masters"] if one["kind"] == "flat"]
    assert (flat["n_combined"], flat["n_excluded"], flat["verdict"], flat["remark"]) == (5, 1, "ok", None)
    (left_out,) = [one for one in answer["excluded"] if "its pattern is not that of 5 others" in one["reason"]]
    assert left_out["path"].endswith("flat2.fits")
    assert left_out["product"] == "master flat"
    made = read_master(Path(flat["path"]))
    scatter, uncertainty = np.std(made.value[made.good]), np.sqrt(np.mean(np.square(made.uncertainty[made.good])))
    assert uncertainty / scatter == pytest.approx(1, abs=0.02)


def test_flats_whose_spots_fade_are_no_good_master(tmp_path: Path) -> None:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    spot = np.exp(-((rows - 40) ** 2 + (columns - 70) ** 2) / 50)
    series(tmp_path / "frames", "bias", [1.5] * 5)
    series(tmp_path / "frames", "flat", [1.5] * 9, [20_000.0 * (1 - d * spot) for d in np.linspace(0.3, 0, 9)])
    verdict, remark = masters(answered(tmp_path))["flat"]
    assert verdict in {"suspect", "bad"}
    assert all(f"flat{n}.fits" in remark for n in range(9))
