"""`best` and `gaps` in a home: masters whose files are read once, frames by path and id, what is missing."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from sqlalchemy import select

from ccdcore.frames.nights import night_of
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.file import master_hdulist
from ccdcore.reduction.master import Master, MasterInput
from db.judgements.write import mark, take_back
from db.runs.inputs import NewInput, record_inputs
from db.runs.lifecycle import finish_run
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from db.schema.figures import MasterFigures, MasterShift
from flows.applying.best import answers_of
from flows.applying.gaps import find_gaps
from flows.home.home import Home, open_home
from flows.products.figures import complete_figures
from flows.telling.nightly import summary
from tests.support.command import ccdwatch
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, gain, hash_of, master, register, set_of
from tests.support.terminal import CCDWATCH, running_terminal

SHAPE = (40, 60)
NOISE = {"bias": 3.0, "flat": 0.004, "dark": 3.0}
DAY = timedelta(days=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


def made(home: Home, kind: str, day: int, *, n: int = 16, pattern: float = 0.0, **about: object) -> int:
    """A master on record with its file: of so many frames, and with a pattern of its own besides."""
    rng = np.random.default_rng([day, n, len(kind)])
    noise = NOISE[kind] / n**0.5
    level = {"bias": 300.0, "flat": 1.0, "dark": 0.5}[kind]
    value = level + rng.normal(0, noise, SHAPE) + pattern * rng.normal(0, 1, SHAPE)
    inputs = (MasterInput(Path("a.fits"), "0" * 64, NOON, 1.0, level, 0.0, 300.0),)
    image = Master(
        kind,  # type: ignore[arg-type]
        value.astype(np.float32),
        np.full(SHAPE, noise, np.float32),
        np.zeros(SHAPE, np.uint8),
        np.full(SHAPE, n, np.uint16),
        "" if kind == "flat" else "adu",
        (7.0, 7.0),
        inputs,
        (300.0, 300.0),
    )
    name = f"masters/{kind}_{day}.fits"
    path = home.path / name
    path.parent.mkdir(exist_ok=True)
    master_hdulist(image).writeto(path)
    with home.write_session() as session:
        of = {"night": NIGHT + day * DAY, "date_obs": NOON + day * DAY, "shape": SHAPE}
        frame_id = add_frame(session, f"{kind} {day}", **of)
        run_id = begin_run(session, set_of(session, frame_id), digest=f"{kind} {day}")
        frame = NewInput(role=kind, sha256=hash_of(f"{kind} {day}"), path=f"{kind} {day}.fits", excluded=None)
        record_inputs(session, run_id=run_id, inputs=[frame])
        row = master(name, kind=kind, valid_from=NOON + day * DAY, n_combined=n, unit=image.unit, **about)
        master_id = record_master(session, run_id=run_id, master=row)
        values = [gain(2.0, observed_at=NOON), gain(6.0, quantity="read_noise", observed_at=NOON)]
        record_measurements(session, run_id=run_id, measurements=values)
        finish_run(session, run_id=run_id, now=NOON)
    return master_id


def science(home: Home, name: str, day: int, **about: object) -> int:
    of = {"date_obs": NOON + day * DAY, "night": NIGHT + day * DAY, "exposure_time_s": 300.0, "filter": "V"}
    with home.write_session() as session:
        return register(session, name, FrameType.OTHER, shape=SHAPE, **{**of, **about})


def chosen(home: Home, names: Sequence[str]) -> list[dict[str, int]]:
    found = answers_of(home, names)
    assert not found.failed
    return [{one.kind: one.master.master_id for one in answer.choices} for answer in found.answers]


def test_the_least_noisy_is_chosen_until_masters_show_that_they_wander(home: Home) -> None:
    """Of equal dates but for the noise; then each night has a pattern of its own, and the nearest is the best."""
    deep = made(home, "bias", 1, n=64)
    near = made(home, "bias", 9, n=9)
    key = science(home, "science", 9)
    assert chosen(home, [f"frame:{key}"]) == [{"bias": deep}]
    (answer,) = answers_of(home, [f"frame:{key}"]).answers
    choice = answer.choice("bias")
    assert choice is not None
    assert choice.price is not None
    assert choice.price.random_e == pytest.approx(2.0 * 3.0 / 8)
    assert any("is not on record yet" in words for words in answer.remarks)
    for day in range(20, 30):
        made(home, "bias", day, n=16, pattern=0.2 * (day - 15))
    assert chosen(home, [f"frame:{key}"]) == [{"bias": near}]


def test_a_master_that_is_marked_bad_tells_nothing_of_how_others_wander(home: Home) -> None:
    spoilt = [made(home, "bias", day, pattern=9.0 if day == 2 else 0.0) for day in range(9)][2]
    key = science(home, "science", 200)

    def systematic() -> float:
        choice = answers_of(home, [f"frame:{key}"]).answers[0].choice("bias")
        assert choice is not None
        assert choice.price is not None
        return choice.price.systematic_e

    assert systematic() > 3
    with home.write_session() as session:
        mark(session, "master", spoilt, "bad", why="dew", who="ann", now=NOON)
    assert systematic() < 1


def test_what_files_say_is_put_on_record_once(home: Home) -> None:
    keys = [made(home, "bias", day) for day in range(4)]
    complete_figures(home)
    with home.read_session() as session:
        rows = session.scalars(select(MasterFigures).order_by(MasterFigures.master_id)).all()
        pairs = session.execute(select(MasterShift.master_id, MasterShift.earlier_id, MasterShift.days)).all()
    assert [one.master_id for one in rows] == keys
    assert [one.uncertainty for one in rows] == pytest.approx([0.75] * 4)
    assert (rows[0].rows, rows[0].columns, rows[0].level) == (*SHAPE, pytest.approx(300, abs=0.1))
    steps = {(late - early) for late, early, _ in pairs}
    assert (len(pairs), steps, {round(days) for *_, days in pairs}) == (6, {1, 2, 3}, {1, 2, 3})
    (home.path / "masters/bias_0.fits").unlink()
    complete_figures(home)  # nothing is read again
    with home.read_session() as session:
        assert len(session.scalars(select(MasterFigures)).all()) == 4


def test_a_master_without_its_file_has_no_price_and_is_the_last_choice(home: Home) -> None:
    gone, there = made(home, "bias", 2), made(home, "bias", 0, n=3)
    (home.path / "masters/bias_2.fits").unlink()
    key = science(home, "science", 2)
    assert chosen(home, [f"frame:{key}"]) == [{"bias": there}]
    (home.path / "masters/bias_0.fits").unlink()
    assert gone


def test_a_file_that_is_on_no_record_gets_the_masters_of_its_camera(home: Home, tmp_path: Path) -> None:
    bias = made(home, "bias", 0)
    path = tmp_path / "light.fits"
    hdu = fits.PrimaryHDU(np.random.default_rng(1).integers(310, 350, SHAPE).astype(np.uint16))
    hdu.header["INSTRUME"], hdu.header["DATE-OBS"], hdu.header["IMAGETYP"] = "m2-ml", "2022-09-20T01:00:00", "Light"
    hdu.writeto(path)
    assert chosen(home, [str(path)])[0].get("bias") is None  # the master's frame has an amplifier with overscan
    (answer,) = answers_of(home, [str(path)], kinds=["bias"]).answers
    assert [rule.rule for one in answer.candidates for rule in one.failed] == ["amplifiers"]
    assert bias


def test_the_command_says_why_this_and_why_not_the_others(home: Home) -> None:
    bias, flat = made(home, "bias", 0), made(home, "flat", 1, filter="R")
    key = science(home, "science", 2)
    home.engine.dispose()
    said = ccdwatch("best", f"frame:{key}", "--home", str(home.path), "--format", "json")
    (found,) = said.json()
    assert said.status == 1
    assert [(one["kind"], one["master_id"], one["quality"]) for one in found["choices"]] == [("bias", bias, 2)]
    assert found["choices"][0]["path"] == str(home.path / "masters/bias_0.fits")
    of_flat = next(one for one in found["candidates"] if one["master_id"] == flat)
    assert not of_flat["passes"]
    assert {"rule": "filter", "frame": "V", "master": "R", "passes": False} in of_flat["rules"]
    assert {one["kind"] for one in found["missing"]} == {"dark", "flat", "mask"}
    said = ccdwatch("best", f"frame:{key}", "--home", str(home.path), "--kind", "bias")
    assert said.status == 0
    assert "no master" not in said.text
    said = ccdwatch("best", "frame:999", "--home", str(home.path))
    assert (said.status, said.text) == (1, "")
    assert "frame:999" in said.err


def test_its_tables_fit_a_terminal_of_80_columns(home: Home, tmp_path: Path) -> None:
    """Whatever numbers masters have: no cell is broken, and what fails in the same stands in one line."""
    made(home, "bias", 0, n=9)
    made(home, "bias", 1)
    others = [made(home, "flat", day, filter="Sloan r'") for day in (3, 4, 5)]
    key = science(home, "science", 2)
    home.engine.dispose()
    with running_terminal(tmp_path) as terminal:
        seen = terminal.type(f"{CCDWATCH} best frame:{key} --kind bias --kind flat --home {home.path}")
    lines = [line.strip() for line in seen]
    headers = [line.split() for line in lines if line.startswith("kind ")]
    assert headers == [
        ["kind", "master", "date", "frames", "quality", "price", "(e⁻)", "doubles", "after"],
        ["kind", "master", "date", "frames", "passes", "price", "(e⁻)", "random", "systematic"],
    ]
    rows = [line.split() for line in lines if line.startswith(("bias ", "flat "))]
    assert [len(row) for row in rows] == [8, *[8] * 5]
    assert {row[2] for row in rows if row[0] == "flat"} == {"2022-09-22", "2022-09-23", "2022-09-24"}
    ids = ", ".join(map(str, others))
    assert f"3 masters ({ids}) filter: V / Sloan r'" in lines


def test_planted_gaps_are_found_and_no_others(home: Home) -> None:
    made(home, "bias", 0, n=49)
    made(home, "flat", 1, n=25, filter="V")
    made(home, "dark", 2, n=49, exposure_s=300.0)
    fine = [science(home, f"fine {n}", 3) for n in range(3)]
    no_flat = [science(home, f"no flat {n}", 3, filter="R") for n in range(2)]
    no_dark = [science(home, f"no dark {n}", 4, exposure_time_s=60.0) for n in range(2)]
    binned = [science(home, "binned", 4, configuration="bin2x2")]
    science(home, "reduced", 4, configuration="bin3x3", frame_type_reason="FLATCOR = T: a product, not a raw frame")
    rows = find_gaps(home)
    told = {(one["kind"], one["configuration"], one["filter"], one["exposure_s"]): one["frame_ids"] for one in rows}
    assert told == {
        ("flat", "bin1x1", "R", None): no_flat,
        ("dark", "bin1x1", None, 60.0): no_dark,
        ("bias", "bin2x2", None, None): binned,
        ("dark", "bin2x2", None, 300.0): binned,
        ("flat", "bin2x2", "V", None): binned,
    }
    assert not set(fine) & {key for row in rows for key in row["frame_ids"]}
    night = (NIGHT + 4 * DAY).isoformat()
    home.engine.dispose()
    said = ccdwatch("gaps", "--night", night, "--format", "json", "--home", str(home.path))
    assert said.status == 0
    assert {tuple(one["frame_ids"]) for one in said.json()} == {tuple(no_dark), tuple(binned)}


@pytest.mark.parametrize(
    ("at", "longitude_deg"), [("2022-09-20T02:00", 0.0), ("2022-09-20T16:00", -70.0), ("2022-09-19T05:00", 110.0)]
)
def test_gaps_tell_the_nights_that_they_can_be_asked_for(home: Home, at: str, longitude_deg: float) -> None:
    """Not the date in Greenwich: a frame after midnight there, one before noon in Chile, one at noon in China."""
    taken_at = datetime.fromisoformat(f"{at}+00:00")
    night = night_of(taken_at, longitude_deg)
    assert night == NIGHT
    key = science(home, "science", 0, date_obs=taken_at, night=night)
    rows = find_gaps(home)
    assert {tuple(one["nights"]) for one in rows} == {("2022-09-19",)}
    assert find_gaps(home, night=night) == rows
    assert {tuple(one["frame_ids"]) for one in rows} == {(key,)}


def test_a_frame_that_is_marked_bad_lacks_nothing(home: Home) -> None:
    key = science(home, "science", 0)
    with home.write_session() as session:
        mark(session, "frame", key, "bad", why="clouds", who="ann", now=NOON)
    assert find_gaps(home) == []
    with home.write_session() as session:
        take_back(session, "frame", key, "bad", why="none after all", who="ann", now=NOON)
    assert len(find_gaps(home)) == 3


def test_no_darks_are_asked_for_that_nobody_can_take(home: Home) -> None:
    for number, exposure_s in enumerate((None, 100_000.0, 0.0, -3.0)):
        science(home, f"science {number}", 0, exposure_time_s=exposure_s, ccd_temperature_c=-20.0 + number)
    rows = [one for one in find_gaps(home) if one["kind"] == "dark"]
    no = "no dark can be taken for it: its header has"
    said = {(one["take"], one["reason"], one["n_to_take"]) for one in rows}
    assert {words for words, *_ in said} == {
        f"{no} no exposure time",
        *(f"{no} an exposure time of {seconds} s" for seconds in ("100000", "0", "-3")),
    }
    assert all(take == reason and n == 0 for take, reason, n in said)
    assert "dark" not in summary(home, NOON + timedelta(hours=1))[1].partition("To take")[2]


def test_gaps_are_one_where_the_same_new_frames_are_a_remedy(home: Home) -> None:
    """Temperatures and exposures are cut at their gaps, not rounded; what is asked for suits all that it is for."""
    for number, temperature_c in enumerate((-19.4, -19.6, -20.6, -20.8)):
        science(home, f"cold {number}", 0, ccd_temperature_c=temperature_c, exposure_time_s=[60.04, 60.06][number % 2])
    science(home, "warm", 0, ccd_temperature_c=-12.0, exposure_time_s=60.04)
    rows = find_gaps(home)
    asked = sorted((one["kind"], one["temperature_c"], one["exposure_s"], one["n_frames"]) for one in rows)
    assert asked == [
        ("bias", -20.1, None, 4),
        ("bias", -12.0, None, 1),
        ("dark", -20.7, 60.04, 2),
        ("dark", -19.5, 60.04, 2),
        ("dark", -12.0, 60.04, 1),
        ("flat", -20.1, None, 4),
        ("flat", -12.0, None, 1),
    ]
    for day, one in enumerate(rows):
        of = {"bias": {}, "dark": {"exposure_s": one["exposure_s"]}, "flat": {"filter": "V"}}[one["kind"]]
        temperature = {"temperature_c": one["temperature_c"], "group_c": one["temperature_c"]}
        made(home, one["kind"], day, n=64, **of, **temperature)
    assert find_gaps(home) == []


def test_gaps_fit_a_terminal(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = "a-camera-of-a-long-name-at-the-1.5m-telescope"
    science(home, "one", 3, instrument=camera, exposure_time_s=1800.0, ccd_temperature_c=-20.0, filter="Sloan r'")
    science(home, "later", 4, instrument=camera, exposure_time_s=1800.0, ccd_temperature_c=-20.0, filter="Sloan r'")
    home.engine.dispose()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    said = ccdwatch("gaps", "--home", home.path)
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", said.text).splitlines() if line.strip()]
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[:2] == ["instrument", camera + ","]
    rows = {line.split()[0]: re.split(r"  +", line) for line in lines if line.startswith(("bias ", "dark ", "flat "))}
    assert rows["dark"] == ["dark", "1800 s -20 °C", "2 frames", "2022-09-22 and 1 more", "10"]
    assert rows["flat"] == ["flat", "Sloan r' -20 °C", "2 frames", "2022-09-22 and 1 more", "10"]
    assert f"1 kind (flat Sloan r' -20 °C) missing: no master flat of {camera}" in " ".join(map(str.strip, lines))


def test_what_gaps_tell_to_take_fills_them(home: Home) -> None:
    made(home, "bias", 0, n=3)
    science(home, "science", 1)
    (row,) = [one for one in find_gaps(home) if one["kind"] == "bias"]
    assert row["quality"] == 3
    assert "adds" in row["reason"]
    made(home, "bias", 1, n=row["n_to_take"])
    assert [one["kind"] for one in find_gaps(home)] == ["dark", "flat"]


def test_the_summary_of_a_night_says_what_to_take(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    made(home, "bias", 0, n=49)
    made(home, "flat", 1, n=25, filter="V")
    made(home, "dark", 2, n=49, exposure_s=300.0)
    science(home, "fine", 0)
    title, body, _ = summary(home, NOON + timedelta(hours=1))
    assert "to take" not in f"{title} {body}".lower()
    science(home, "no flat", 0, filter="R")
    title, body, _ = summary(home, NOON + timedelta(hours=1))
    assert "1 set to take" in title
    assert "To take:\n- m2-ml: 10 flats R in bin1x1, for 1 frame" in body
    assert "to take" not in summary(home, NOON + timedelta(days=3))[0]
    monkeypatch.setattr("flows.telling.nightly.find_gaps", lambda *_, **__: 1 // 0)
    _, body, _ = summary(home, NOON + timedelta(hours=1))
    assert "To take:\n- could not be found: ZeroDivisionError" in body
