"""The dark signal in flats, through the real command: taken off where it is known, or the hot pixels are masked."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccdcore.masters.file import read_master
from ccdcore.reduction.master import MaskBit, Master
from flows.calibration.steps import STEPS
from tests.support.command import ccdwatch
from tests.support.simulate import Camera, expose, standard_cards, uniform_light, write_frame

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(128, 128))
LIGHT = uniform_light(CAMERA.shape, 20_000.0)
HOT = np.zeros(CAMERA.shape, bool)
HOT[5::20, 7::20] = True
RATE = np.where(HOT, 1000.0, 0.1)
"""Electrons a second; in 10 s half of the light."""


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, as that takes most of the time."""
    monkeypatch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])


class Night:
    """Writes the frames of one night."""

    def __init__(self, folder: Path, *, day: int = 0) -> None:
        self.folder, self.begin, self.n = folder, datetime(2022, 9, 19 + day, 18, tzinfo=UTC), 0
        self.rng = np.random.default_rng(day)

    def write(
        self,
        kind: str,
        exposure_s: float,
        n: int,
        *,
        light: Any = 0.0,
        said: str = "",
        rate: Any = None,
        camera: Camera = CAMERA,
        **more: Any,
    ) -> list[Path]:
        found, rate = [], RATE if rate is None else rate
        for _ in range(n):
            self.n += 1
            when = self.begin + timedelta(minutes=self.n)
            cards = standard_cards(kind, when, exposure_s) | ({"IMAGETYP": said} if said else {}) | more
            cards = {name: value for name, value in cards.items() if value is not None}
            pixels = expose(camera, self.rng, light + rate * exposure_s)
            found.append(write_frame(self.folder / f"{kind}_{when:%d}_{self.n:03d}.fits", pixels, cards))
        return found


def flat_of(tmp_path: Path, *paths: Path) -> tuple[Master, dict[str, Any]]:
    answer = ccdwatch("process", *paths, "--home", tmp_path / "home", "--json").json()
    assert answer["failed"] == []
    (row,) = (one for one in answer["masters"] if one["kind"] == "flat")
    return read_master(Path(row["path"])), row


def require_right_or_masked(master: Master, *, may_be_masked: bool) -> None:
    off = np.abs(master.value[HOT] * LIGHT.mean() / LIGHT[HOT] - 1)
    right = off < 0.01 + 4 * master.uncertainty[HOT]
    masked = (master.mask[HOT] & MaskBit.HOT) != 0
    assert (masked if may_be_masked else right).all()
    assert not (master.mask[~HOT] & MaskBit.HOT).any()
    evened, uncertainty = (image[~HOT] * LIGHT.mean() / LIGHT[~HOT] for image in (master.value, master.uncertainty))
    assert np.median(np.abs(evened - 1)) < 0.005
    assert np.sqrt(np.mean(np.square(uncertainty))) / np.std(evened) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("said", ["DARKFLAT", "FLATDARK", "Dark Flat"])
def test_darks_of_the_exposure_of_flats_are_taken_off(tmp_path: Path, said: str) -> None:
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5)
    night.write("dark", 10.0, 4, said=said)
    night.write("dark", 600.0 / 20, 4)
    night.write("flat", 10.0, 5, light=LIGHT)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=False)
    assert (row["verdict"], row["remark"]) == ("ok", "4 darks of 10 s taken off")


def test_other_darks_are_scaled_where_their_signal_matters(tmp_path: Path) -> None:
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5)
    night.write("dark", 40.0, 5)
    night.write("flat", 10.0, 5, light=LIGHT)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=False)
    assert (row["verdict"], row["remark"]) == ("ok", "darks of 40 s, scaled, taken off the flats of 10 s")


def test_they_are_left_alone_where_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.RATE", np.full(CAMERA.shape, 0.1))
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5)
    night.write("dark", 40.0, 5)
    night.write("flat", 10.0, 5, light=LIGHT)
    _, row = flat_of(tmp_path, tmp_path / "frames")
    assert row["remark"] is None


GLOW = np.where(HOT, 10_000.0, 0.0)
"""Electrons of pixels that are full at once, however long they are exposed: this camera does not scale."""
_TOLD = "no darks are scaled to the flats of 10 s ("


def test_darks_that_do_not_scale_are_not_scaled_and_the_hot_pixels_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.RATE", np.full(CAMERA.shape, 0.1))
    night, later = Night(tmp_path / "frames"), Night(tmp_path / "later", day=1)
    for one in (night, later):
        one.write("bias", 0.0, 5)
        one.write("flat", 10.0, 5, light=LIGHT + GLOW)
        one.write("dark", 40.0, 5, light=GLOW)
    night.write("dark", 120.0, 5, light=GLOW)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=True)
    assert row["verdict"] == "ok"
    assert row["remark"].startswith(f"{_TOLD}no master darkrate: the dark signal of 40, 120 s does not scale with")
    masked = f"{HOT.sum()} pixels are masked that are hot in darks of 40 s, or far brighter than those around them"
    assert row["remark"].endswith(masked)

    # By the darks of one exposure alone nobody could tell; the night before could.
    answer = ccdwatch("process", tmp_path / "later", "--home", tmp_path / "home", "--json").json()
    made = {one["kind"]: one for one in answer["masters"]}
    assert {"flat", "darkrate"} <= made.keys(), (made, answer["excluded"], answer["failed"])
    flat, rate = made["flat"], made["darkrate"]
    require_right_or_masked(read_master(Path(flat["path"])), may_be_masked=True)
    earlier = (
        "its darks are of one exposure, and on 2022-09-19 there was no master darkrate: the dark signal of 40, 120 s"
    )
    assert flat["remark"].startswith(f"{_TOLD}{earlier}")
    assert (rate["verdict"], rate["remark"].startswith(earlier)) == ("suspect", True)


def test_the_rate_of_all_exposures_is_what_is_scaled(tmp_path: Path) -> None:
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5)
    night.write("dark", 40.0, 5)
    night.write("dark", 20.0, 5)
    night.write("flat", 10.0, 5, light=LIGHT)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=False)
    assert (row["verdict"], row["remark"]) == ("ok", "darks of 20 s to 40 s, scaled, taken off the flats of 10 s")


def test_without_darks_the_pixels_that_a_master_on_record_knows_are_masked(tmp_path: Path) -> None:
    before, night = Night(tmp_path / "before"), Night(tmp_path / "frames", day=1)
    before.write("bias", 0.0, 5)
    before.write("dark", 40.0, 5)
    before.write("flat", 10.0, 5, light=LIGHT)
    flat_of(tmp_path, tmp_path / "before")
    night.write("bias", 0.0, 5)
    night.write("flat", 10.0, 5, light=LIGHT)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=True)
    assert row["remark"].startswith(f"no darks: {HOT.sum()} pixels are masked that are hot in dark_bin1x1_40s")


def test_where_nothing_is_known_pixels_that_are_far_too_bright_are_masked(tmp_path: Path) -> None:
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5)
    night.write("flat", 10.0, 5, light=LIGHT)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=True)
    said = f"no darks: {HOT.sum()} pixels are masked that are far brighter than those around them"
    assert (row["verdict"], row["remark"]) == ("ok", said)


def test_dark_flats_of_several_exposures_stand_for_bias_and_dark(tmp_path: Path) -> None:
    night = Night(tmp_path / "frames")
    for exposure in (4.0, 10.0):
        night.write("dark", exposure, 4, said="DARKFLAT")
        night.write("flat", exposure, 4, light=LIGHT * exposure / 10)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=False)
    assert row["verdict"] == "ok"
    assert row["remark"].startswith("4 darks of 10 s taken off; no biases: 4 darks of 4 s, as long as flats, stand in")


def test_an_exposure_without_dark_flats_is_told(tmp_path: Path) -> None:
    night = Night(tmp_path / "frames")
    night.write("dark", 4.0, 4, said="DARKFLAT")
    night.write("flat", 4.0, 4, light=LIGHT * 0.4)
    night.write("flat", 10.0, 4, light=LIGHT)
    _, row = flat_of(tmp_path, tmp_path / "frames")
    assert row["verdict"] == "suspect"
    assert row["remark"].startswith("the flats of 10 s have no darks of their exposure, nor are there biases: what is")


def test_the_scatter_of_the_response_is_on_record_for_each_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.RATE", np.full(CAMERA.shape, 0.1))
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5)
    for name, prnu in (("B", 0.02), ("V", 0.01)):
        response = 1 + prnu * np.random.default_rng(1).normal(size=CAMERA.shape)
        night.write("flat", 10.0, 6, light=20_000.0 * response, FILTER=name)
    ccdwatch("process", tmp_path / "frames", "--home", tmp_path / "home", "--json")
    rows = ccdwatch("trends", "prnu", "--home", tmp_path / "home", "--format", "json").json()
    found = {row["filter"]: (row["value"], row["uncertainty"]) for row in rows}
    assert found.keys() == {"B", "V"}
    assert abs(found["B"][0] - 0.02) < 4 * found["B"][1] < 0.002
    assert abs(found["V"][0] - 0.01) < 4 * found["V"][1] < 0.001


def test_a_master_dark_without_biases_is_told_to_lack_what_the_dark_flats_hold(tmp_path: Path) -> None:
    night = Night(tmp_path / "frames")
    night.write("dark", 4.0, 4, said="DARKFLAT")
    night.write("dark", 20.0, 4)
    night.write("flat", 4.0, 4, light=LIGHT)
    answer = ccdwatch("process", tmp_path / "frames", "--home", tmp_path / "home", "--json").json()
    (dark,) = (one for one in answer["masters"] if one["kind"] == "dark")
    assert dark["verdict"] == "suspect"
    assert dark["remark"].startswith("no biases: its signal is that of 16 s, since darks of 4 s are taken off")
    (rate,) = (one for one in answer["masters"] if one["kind"] == "darkrate")
    assert (rate["verdict"], dark["remark"] in rate["remark"]) == ("suspect", True)
    hot = read_master(Path(rate["path"])).value[HOT] * CAMERA.gain_e_per_adu / RATE[HOT]
    assert np.median(hot) == pytest.approx(1, abs=0.01)  # of the 16 s that are left, not of 20 s
    (current,) = ccdwatch("trends", "dark_current", "--home", tmp_path / "home", "--format", "json").json()
    assert (current["verdict"], dark["remark"] in current["remark"]) == ("suspect", True)


@pytest.mark.parametrize("times", [0.125, 0.5, 3.0])
def test_darks_that_are_not_those_of_the_flats_are_told(tmp_path: Path, times: float) -> None:
    """Colder or warmer ones of a camera without a thermometer, or with another exposure or gain than they say."""
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5)
    night.write("dark", 10.0, 4, said="DARKFLAT", rate=times * RATE)
    night.write("flat", 10.0, 5, light=LIGHT)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=True)
    said = re.match(
        r"it held (\d+\.\d\d) ± (\d+\.\d\d) times the dark signal that is taken off, as its hot", row["remark"]
    )
    assert said, row["remark"]
    assert abs(float(said[1]) - 1 / times) < 0.05 / times
    assert (row["verdict"], float(said[2]) < 0.05) == ("suspect", True)
    assert f"{HOT.sum()} of them are masked (darks of another temperature, exposure or gain than" in row["remark"]


def test_darks_that_are_a_little_off_are_told_and_no_more(tmp_path: Path) -> None:
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5)
    night.write("dark", 10.0, 4, said="DARKFLAT", rate=RATE / 1.2)
    night.write("flat", 10.0, 5, light=LIGHT)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=True)
    assert row["verdict"] == "ok"
    assert row["remark"].startswith("4 darks of 10 s taken off; it held 1.20 ± 0.0")


@pytest.mark.parametrize(
    ("of_flats", "off_k"),
    [((-20.0,) * 5, -3.0), ((7.0, 11.0, 15.0, 19.0, 23.0), 0.0)],
    ids=["colder darks", "flats that warm about the darks"],
)
def test_darks_of_another_temperature_are_not_taken_off(
    tmp_path: Path, of_flats: tuple[float, ...], off_k: float
) -> None:
    night, at = Night(tmp_path / "frames"), sum(of_flats) / len(of_flats)
    night.write("bias", 0.0, 5, **{"CCD-TEMP": at})
    night.write("dark", 10.0, 4, said="DARKFLAT", rate=RATE * 2 ** (off_k / 6), **{"CCD-TEMP": at + off_k})
    for each in of_flats:
        night.write("flat", 10.0, 1, light=LIGHT, rate=RATE * 2 ** ((each - at) / 6), **{"CCD-TEMP": each})
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=True)
    assert row["remark"].startswith(f"no darks of their temperature: {HOT.sum()} pixels are masked that are far")


def test_of_darks_of_two_temperatures_the_nearer_are_taken_off(tmp_path: Path) -> None:
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5, **{"CCD-TEMP": -18.5})
    for at, times in ((-20.0, 0.8), (-18.5, 1.0)):
        night.write("dark", 10.0, 4, said="DARKFLAT", rate=times * RATE, **{"CCD-TEMP": at})
    night.write("flat", 10.0, 5, light=LIGHT, **{"CCD-TEMP": -18.5})
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=False)
    assert (row["verdict"], row["remark"]) == ("ok", "4 darks of 10 s taken off")


def test_pixels_that_became_hot_since_the_darks_on_record_are_masked(tmp_path: Path) -> None:
    before, night = Night(tmp_path / "before"), Night(tmp_path / "frames", day=1)
    before.write("bias", 0.0, 5)
    before.write("dark", 40.0, 5, rate=np.where(np.arange(128) < 64, RATE, 0.1))
    before.write("flat", 10.0, 5, light=LIGHT)
    flat_of(tmp_path, tmp_path / "before")
    night.write("bias", 0.0, 5)
    night.write("flat", 10.0, 5, light=LIGHT)
    master, row = flat_of(tmp_path, tmp_path / "frames")
    require_right_or_masked(master, may_be_masked=True)
    assert row["remark"].startswith(f"no darks: {HOT.sum()} pixels are masked that are hot in dark_bin1x1_40s")


def test_two_darks_of_an_exposure_are_enough_to_scale_and_the_longest_are_scaled(tmp_path: Path) -> None:
    """Their signal matters in the longer flats only."""
    night, rate = Night(tmp_path / "frames"), np.where(HOT, 5.0, 0.1)
    night.write("bias", 0.0, 5)
    night.write("dark", 20.0, 2, rate=rate)
    night.write("dark", 60.0, 2, rate=rate)
    night.write("flat", 2.0, 3, light=LIGHT, rate=rate)
    night.write("flat", 10.0, 3, light=LIGHT, rate=rate)
    _, row = flat_of(tmp_path, tmp_path / "frames")
    assert (row["verdict"], row["remark"]) == ("ok", "darks of 60 s, scaled, taken off the flats of 2 s and 10 s")


def test_one_dark_is_none_and_flats_of_unknown_exposure_have_none(tmp_path: Path) -> None:
    for name, n, seconds, said in (
        ("one", 1, 10.0, "no darks: "),
        ("unknown", 4, None, "their exposure is not known: "),
    ):
        night = Night(tmp_path / name)
        night.write("bias", 0.0, 5)
        night.write("dark", 10.0, n)
        night.write("flat", 10.0, 5, light=LIGHT, EXPTIME=seconds)
        master, row = flat_of(tmp_path / f"{name}s", tmp_path / name)
        require_right_or_masked(master, may_be_masked=True)
        assert row["remark"].startswith(f"{said}{HOT.sum()} pixels are masked"), row


@pytest.mark.parametrize("seconds", [10.0, 40.0])
def test_what_is_wrong_with_the_darks_is_wrong_with_the_flat(tmp_path: Path, seconds: float) -> None:
    """They scatter more than the read noise allows."""
    night = Night(tmp_path / "frames")
    night.write("bias", 0.0, 5)
    night.write("dark", seconds, 5, camera=replace(CAMERA, read_noise_e=12.0))
    night.write("flat", 10.0, 5, light=LIGHT)
    _, row = flat_of(tmp_path, tmp_path / "frames")
    assert row["verdict"] == "suspect"
    product = "master dark 10 s" if seconds == 10.0 else "master darkrate"
    assert row["remark"].startswith(f"its {product} is suspect: "), row["remark"]
