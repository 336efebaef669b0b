"""Darks of several exposures and temperatures, through the real command: one master a group, and what lacks is told."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.masters.file import read_master
from flows.calibration.steps import STEPS
from tests.support.command import ccdwatch
from tests.support.simulate import Camera, dark_pattern, dark_pixels, expose, standard_cards, uniform_light, write_frame

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(128, 128))
EVENING = datetime(2022, 9, 19, 18, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, as that takes most of the time."""
    monkeypatch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])


class Night:
    """Writes the frames of one night."""

    def __init__(self, folder: Path, *, day: int = 0, seed: int = 0) -> None:
        self.folder, self.begin = folder, EVENING + timedelta(days=day)
        self.rng, self.n = np.random.default_rng([seed, day]), 0

    def write(self, kind: str, pixels: Any, exposure_s: float, **cards: Any) -> Path:
        self.n += 1
        when = self.begin + timedelta(minutes=self.n)
        described = {**standard_cards(kind, when, exposure_s), **{key.replace("_", "-"): v for key, v in cards.items()}}
        described = {key: value for key, value in described.items() if value is not None}
        return write_frame(self.folder / f"{kind}_{when:%d}_{self.n:03d}.fits", pixels, described)

    def biases(self, n: int = 5, **cards: Any) -> list[Path]:
        return [self.write("bias", expose(CAMERA, self.rng), 0.0, **cards) for _ in range(n)]

    def darks(self, exposure_s: float, n: int = 5, *, rate: float = 0.1, **cards: Any) -> list[Path]:
        some = [dark_pixels(CAMERA, self.rng, exposure_s, dark_current_e_per_s=rate) for _ in range(n)]
        return [self.write("dark", pixels, exposure_s, **cards) for pixels in some]

    def flats(self, n: int = 4) -> list[Path]:
        light = uniform_light(CAMERA.shape, 30_000.0)
        return [self.write("flat", expose(CAMERA, self.rng, light), 5.0) for _ in range(n)]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path / "frames")


def processed(tmp_path: Path, folder: str = "frames") -> dict[str, Any]:
    answer = ccdwatch("process", tmp_path / folder, "--home", tmp_path / "home", "--json").json()
    assert isinstance(answer, dict)
    assert answer["failed"] == []
    return answer


def masters(answer: dict[str, Any], kind: str = "dark") -> list[dict[str, Any]]:
    return [one for one in answer["masters"] if one["kind"] == kind]


def reasons(rows: Sequence[dict[str, Any]]) -> str:
    return "\n".join(row["reason"] for row in rows)


def measured(tmp_path: Path, quantity: str) -> list[dict[str, Any]]:
    rows = ccdwatch("trends", quantity, "--home", tmp_path / "home", "--format", "json").json()
    assert isinstance(rows, list)
    return rows


def assert_honest(path: Path) -> None:
    """The uncertainty of a master's pixels is their scatter about the truth: root mean squares, within 0.02."""
    master = read_master(path)
    usual = master.good & (dark_pattern(CAMERA) == 1)
    uncertainty = np.sqrt(np.mean(np.square(master.uncertainty[usual])))
    assert uncertainty / np.std(master.value[usual]) == pytest.approx(1, abs=0.02)


def references(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "home" / "reference").rglob("*.fits")}


def test_two_temperatures_make_two_masters_within_a_percent_of_the_truth(tmp_path: Path, night: Night) -> None:
    night.biases()
    night.flats()
    truths = {-20.0: 0.1, -16.0: 0.16}
    for temperature, rate in truths.items():
        night.darks(600.0, rate=rate, CCD_TEMP=temperature)
    answer = processed(tmp_path)
    made = masters(answer)
    assert [(one["temperature_c"], one["exposure_s"], one["verdict"]) for one in made] == [
        (-20.0, 600.0, "ok"),
        (-16.0, 600.0, "ok"),
    ]
    for one in made:
        path = Path(one["path"])
        assert path.name.startswith(f"dark_bin1x1_600s_{one['temperature_c']:g}C_r")
        master = read_master(path)
        assert (master.unit, fits.getval(path, "EXPTIME")) == ("adu", 600.0)
        normal = np.median(master.value[master.good])
        assert normal == pytest.approx(600 * truths[one["temperature_c"]] / 1.5, rel=0.01)
        assert_honest(path)
    assert {"master_dark_bin1x1_600s_-20C.fits", "master_dark_bin1x1_600s_-16C.fits"} <= references(tmp_path)
    assert "master_bias_bin1x1.fits" in references(tmp_path)
    assert {"master_darkrate_bin1x1_-20C.fits", "master_darkrate_bin1x1_-16C.fits"} <= references(tmp_path)
    cold, warm = measured(tmp_path, "dark_current")
    assert (cold["ccd_temperature_c"], warm["ccd_temperature_c"]) == (-20.0, -16.0)
    for row, rate in zip((cold, warm), truths.values(), strict=True):
        assert abs(row["value"] - rate) < 4 * row["uncertainty"] < 0.1 * rate
    (doubling,) = measured(tmp_path, "doubling_temperature")
    truth = 4 * np.log(2) / np.log(1.6)
    assert doubling["value"] == pytest.approx(truth, abs=4 * doubling["uncertainty"])
    assert doubling["uncertainty"] < 0.1 * truth


def test_a_dark_current_of_milliseconds_taken_for_seconds_says_so(tmp_path: Path, night: Night) -> None:
    night.biases()
    night.flats()
    for _ in range(5):
        night.write("dark", dark_pixels(CAMERA, night.rng, 50.0, dark_current_e_per_s=0.5), 50_000.0)
    answer = processed(tmp_path)
    (current,) = measured(tmp_path, "dark_current")
    assert current["value"] == pytest.approx(0.0005, rel=0.1)
    assert current["verdict"] == "suspect"
    assert current["remark"].startswith("5 exposures of 50000 to 50000 s were taken within 240 s: the exposure time")
    (rate,) = masters(answer, "darkrate")
    assert current["remark"] in rate["remark"]


def test_short_darks_do_not_spoil_the_rate_of_long_ones(tmp_path: Path, night: Night) -> None:
    night.biases()
    night.flats()
    night.darks(1.0)
    night.darks(600.0)
    answer = processed(tmp_path)
    assert [(one["exposure_s"], one["verdict"]) for one in masters(answer)] == [(1.0, "ok"), (600.0, "ok")]
    (made,) = masters(answer, "darkrate")
    assert (made["verdict"], made["exposure_s"], made["n_combined"]) == ("ok", 1.0, 10)
    assert Path(made["path"]).name.startswith("darkrate_bin1x1_r")
    rate, long = (read_master(one["path"]) for one in (made, masters(answer)[1]))
    header = fits.getheader(made["path"])
    assert (header["BUNIT"], header["EXPTIME"]) == ("adu/s", 1.0)
    normal = long.value < np.median(long.value) + 20
    assert np.std(rate.value[normal]) <= 1.1 * np.std(long.value[normal] / 600)
    assert np.median(rate.value) == pytest.approx(0.1 / 1.5, rel=0.01)
    (current,) = measured(tmp_path, "dark_current")
    assert current["value"] == pytest.approx(0.1, abs=4 * current["uncertainty"])
    assert measured(tmp_path, "hot_pixel_fraction")[0]["value"] == pytest.approx(1e-3, abs=7e-4)
    assert {row["unit"] for row in measured(tmp_path, "dsnu")} == {"e/s"}


def test_a_camera_that_does_not_scale_offers_no_rate(tmp_path: Path, night: Night) -> None:
    night.biases()
    night.flats()
    glow = np.zeros(CAMERA.shape)
    glow[:64, :64] = 400.0
    for seconds in (60.0, 300.0):
        for _ in range(5):
            night.write("dark", expose(CAMERA, night.rng, 0.1 * seconds + glow), seconds)
    answer = processed(tmp_path)
    assert [one["verdict"] for one in masters(answer)] == ["ok", "ok"]
    assert masters(answer, "darkrate") == []
    (told,) = [row["reason"] for row in answer["excluded"]]
    assert told.startswith("no master darkrate: the dark signal of 60, 300 s does not scale with the exposure: of the")
    assert told.endswith("only darks of equal exposure are used")
    current, *_ = ccdwatch("trends", "dark_current", "--home", tmp_path / "home", "--format", "json").json()
    assert current["verdict"] == "suspect"
    assert current["remark"].endswith("this is that of 300 s alone")


def test_a_dark_current_below_none_is_told_with_its_cause(tmp_path: Path, night: Night) -> None:
    night.biases()
    night.flats()
    for _ in range(5):
        night.write("dark", expose(CAMERA, night.rng, 0.01 * 60, bias_offset_adu=-4.0), 60.0)
    answer = processed(tmp_path)
    (current,), (dsnu,) = measured(tmp_path, "dark_current"), measured(tmp_path, "dsnu")
    assert current["value"] == pytest.approx(0.01 - 4 * 1.5 / 60, abs=4 * current["uncertainty"])
    assert current["verdict"] == "suspect"
    assert current["remark"].startswith("less than none, by ")
    assert "the bias level fell by 3." in current["remark"]
    assert "less than none" not in (dsnu["remark"] or "")
    assert answer["failed"] == []


def test_a_second_temperature_gives_the_first_its_name(tmp_path: Path, night: Night) -> None:
    night.biases()
    night.darks(60.0)
    processed(tmp_path)
    assert references(tmp_path) == {
        "master_bias_bin1x1.fits",
        "master_dark_bin1x1_60s.fits",
        "master_darkrate_bin1x1.fits",
    }
    later = Night(tmp_path / "later", day=1)
    later.biases()
    later.darks(60.0, CCD_TEMP=-16.0)
    assert masters(processed(tmp_path, "later"))[0]["temperature_c"] == -16.0
    assert references(tmp_path) >= {"master_dark_bin1x1_60s_-20C.fits", "master_dark_bin1x1_60s_-16C.fits"}
    assert "master_dark_bin1x1_60s.fits" not in references(tmp_path)
    assert ccdwatch("audit", "--home", tmp_path / "home").status == 0


def test_darks_without_flats_are_ok_by_the_gain_on_record(tmp_path: Path, night: Night) -> None:
    night.biases()
    night.flats()
    processed(tmp_path)
    later = Night(tmp_path / "later", day=1)
    later.biases()
    later.darks(600.0)
    (made,) = masters(processed(tmp_path, "later"))
    assert made["verdict"] == "ok"
    assert "gain of 2022-09-19 (measurement" in made["remark"]
    assert_honest(Path(made["path"]))


def test_darks_without_any_gain_are_ok(tmp_path: Path, night: Night) -> None:
    night.biases()
    night.darks(600.0)
    (made,) = masters(processed(tmp_path))
    assert (made["verdict"], made["remark"]) == ("ok", None)
    assert_honest(Path(made["path"]))


def test_what_the_header_does_not_tell_is_told(tmp_path: Path, night: Night) -> None:
    night.biases(CCD_TEMP="cold")
    night.darks(60.0, CCD_TEMP=None)
    unknown = night.darks(30.0, 3, EXPTIME=None, CCD_TEMP=None)
    answer = processed(tmp_path)
    (made,) = masters(answer)
    assert (made["temperature_c"], made["exposure_s"], made["verdict"]) == (None, 60.0, "ok")
    assert made["remark"] == "the temperature of the detector is not known"
    (bias,) = masters(answer, "bias")
    assert bias["remark"] == "the temperature of the detector is not known; CCD-TEMP = 'cold' cannot be used"
    left_out = [row for row in answer["excluded"] if row["path"] in set(map(str, unknown))]
    assert len(left_out) == 3
    assert "its exposure time is None" in reasons(left_out)


def test_biases_of_each_temperature_make_their_master(tmp_path: Path, night: Night) -> None:
    night.biases(CCD_TEMP=-20.0)
    night.biases(4, CCD_TEMP=-10.0)
    night.biases(1, CCD_TEMP=5.0)
    answer = processed(tmp_path)
    made = masters(answer, "bias")
    assert [(one["temperature_c"], one["n_combined"], one["verdict"]) for one in made] == [
        (-20.0, 5, "ok"),
        (-10.0, 4, "ok"),
    ]
    assert "detector at 5.0 °C, the other bias frames at -20.0 °C" in reasons(answer["excluded"])
