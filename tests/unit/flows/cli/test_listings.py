"""The listing commands on a terminal of 80 columns: no cell is cut, what is odd is said with its reason."""

import os
import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from db.runs.lifecycle import fail_run, finish_run
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from flows.cli import main
from flows.home.home import open_home
from tests.support.command import ccdwatch
from tests.support.long_history import FIRST, put_history
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, certification, gain, master, set_of
from tests.support.simulate import simple_night
from tests.support.terminal import CCDWATCH, COLUMNS, running_terminal

LONG = "a-camera-of-a-long-name-at-the-1.5m-telescope"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with 100 nights of two amplifiers on record; the gain of the second steps by 2 % on the 72nd."""
    path = tmp_path_factory.mktemp("history")
    home = open_home(path)
    with home.write_session() as session:
        put_history(session, instruments=("red",), amplifiers=("L", "R"), nights=100)
    home.engine.dispose()
    return path


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three nights of a camera of a long name, and all that can be odd about masters and runs."""
    path = tmp_path_factory.mktemp("nights")
    home = open_home(path)
    with home.write_session() as session:
        for number in range(3):
            at = NOON + timedelta(days=number, hours=8)
            made = {"instrument": LONG, "night": NIGHT + timedelta(days=number), "joined_at": at, "date_obs": at}
            frame = add_frame(session, f"bias_{number}_of_a_long_name_that_a_camera_gave_to_it", **made)
            run = begin_run(session, set_of(session, frame), digest=f"d{number}", now=at)
            record_measurements(session, run_id=run, measurements=[gain(1.932 + 0.1 * number, observed_at=at)])
            one = {"valid_from": at, "n_combined": 10}
            bad = {
                "verdict": "bad",
                "remark": "its noise is 3.2 times what its frames lead to expect, and that of their differences",
            }
            refused = {"certification": certification("inconsistent", reason="it predicts frames 4.1 % worse")}
            masters = [
                master(f"masters/b{number}.fits", **one, **(bad if number else {})),
                master(f"masters/d{number}.fits", kind="dark", exposure_s=60.0, temperature_c=-20.0, **one, **refused),
            ]
            for one_master in masters:
                record_master(session, run_id=run, master=one_master)
            if number == 2:
                fail_run(session, run_id=run, message="the lamp was off: type ccdwatch retry run:3", now=at)
            else:
                finish_run(session, run_id=run, now=at)
    home.engine.dispose()
    return path


def without_colours(text: str) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if line.strip()]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Ask a command on a terminal of 80 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes what it writes to for a terminal
    monkeypatch.setenv("COLUMNS", str(COLUMNS))

    def answer(*words: object) -> list[str]:
        said = ccdwatch(*words)
        assert (said.status, said.err) == (0, "")
        lines = without_colours(said.text)
        assert max(map(len, lines)) <= COLUMNS
        return lines

    return answer


def test_masters_say_why_they_are_bad(nights: Path, ask: Callable[..., list[str]]) -> None:
    lines = ask("masters", "--home", nights)
    assert f"instrument {LONG}" in lines[0]
    rows = [line.split() for line in lines if line.lstrip()[:1].isdigit() and " 10 " in line]
    assert [row[2] for row in rows] == ["bias", "dark"] * 2
    assert all(row[3:6] == ["60", "s", "-20"] for row in rows if row[2] == "dark")
    text = " ".join(line.strip() for line in lines)
    assert (
        "1 master (3) bad: its noise is 3.2 times what its frames lead to expect, and that of their differences" in text
    )
    assert "2 masters (2, 4) not certified: it predicts frames 4.1 % worse" in text


def test_runs_say_what_failed(nights: Path, ask: Callable[..., list[str]]) -> None:
    lines = ask("runs", "--home", nights)
    assert len([line for line in lines if re.search(r"2022-09-\d\d 20:00:00", line)]) == 3
    assert "1 run (3) failed: the lamp was off: type ccdwatch retry run:3" in " ".join(lines)


def test_frames_have_their_ids(nights: Path, ask: Callable[..., list[str]]) -> None:
    lines = ask("frames", "--home", nights)
    assert lines[1].split()[:3] == ["id", "night", "type"]
    assert [line.split()[:3] for line in lines if re.match(r" *\d+ +2022", line)] == [
        [str(number + 1), f"2022-09-{19 + number}", "bias"] for number in range(3)
    ]


@pytest.mark.parametrize("what", ["status", "doctor"])
def test_long_lines_are_broken_between_words(nights: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def steady(text: str) -> list[str]:
        return re.sub(r"[\d.]+ (s|min|GiB)\b", "", text).split()

    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    as_piped = ccdwatch(what, "--home", nights).text
    assert max(map(len, as_piped.splitlines())) > COLUMNS
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = ccdwatch(what, "--home", nights).text.splitlines()
    assert steady(" ".join(lines)) == steady(as_piped)
    assert all(len(line) <= COLUMNS or len(line.split()) == 1 for line in lines)
    assert len([line for line in lines if not line.startswith("  ")]) == len(as_piped.splitlines())


def test_what_init_saw_fits_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night = simple_night(tmp_path / "raw", instrument=LONG)
    for path in night.paths:
        path.rename(path.with_name(f"{path.stem}_of_a_long_name_that_a_camera_gave_to_it.fits"))
    (tmp_path / "raw" / "cut short.fits").write_bytes(b"no FITS")
    as_piped = ccdwatch("init", tmp_path / "raw", "--home", tmp_path / "one").text
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    lines = without_colours(ccdwatch("init", tmp_path / "raw", "--home", tmp_path / "two").text)
    assert max(map(len, lines)) <= COLUMNS
    words = {word.strip(",") for line in lines for word in line.split()}
    wanted = {word.strip(",") for word in as_piped.split() if not word.endswith(".fits") and "─" not in word}
    assert wanted <= words


@pytest.mark.parametrize(("what", "of_all"), [("masters", 4), ("runs", 3)])
def test_nights_are_chosen_by_time(nights: Path, what: str, of_all: int) -> None:
    def count(*words: str) -> int:
        return len(ccdwatch(what, *words, "--home", nights, "--format", "json").json())

    each = of_all // (2 if what == "masters" else 3)
    assert count() == of_all
    assert count("--since", "2022-09-20") == of_all - each
    assert count("--until", "2022-09-20") == each
    assert count("--since", "2022-09-20", "--until", "2022-09-20") == 0


def test_trends_show_steps(history: Path, ask: Callable[..., list[str]]) -> None:
    text = " ".join(line.strip() for line in ask("trends", "gain", "--home", history))
    found = re.findall(
        r"step since (\S+): gain of red, amplifier (\S+), bin1x1: (\S+) → (\S+), (.*?) \((.*?) %, (\d+) σ\)", text
    )
    ((since, amplifier, before, after, size, percent, sigmas),) = found
    assert since == str(FIRST + timedelta(days=71))
    assert amplifier == "R"
    assert float(before) == pytest.approx(1.5, abs=0.005)
    assert float(after) == pytest.approx(1.53, abs=0.005)
    assert re.fullmatch(r"\+0\.0\d+ ± 0\.00\d+ e⁻/ADU", size)
    assert float(percent) == pytest.approx(2.0, abs=0.4)
    assert int(sigmas) > 5
    assert "suspect: the flats vary in level by 40 %" in text
    assert text.endswith("± is statistical, 1 σ; what is systematic: ccdwatch provenance ID")
    assert "step" not in " ".join(ask("trends", "gain", "--home", history, "--amplifier", "L"))
    assert "step" not in " ".join(ask("trends", "gain", "--home", history, "--until", "2020-02-01"))


def test_two_nights_are_compared(history: Path, nights: Path, ask: Callable[..., list[str]]) -> None:
    words = ("trends", "gain", "--compare", "2020-01-11", "2020-04-01")
    first, second = (
        {
            row["amplifier"]: row
            for row in ccdwatch(
                "trends",
                "gain",
                "--since",
                night,
                "--until",
                f"{night}T23:00:00",
                "--home",
                history,
                "--format",
                "json",
            ).json()
        }
        for night in words[3:]
    )
    rows = {row["amplifier"]: row for row in ccdwatch(*words, "--home", history, "--format", "json").json()}
    assert rows.keys() == {"L", "R"}
    for name, row in rows.items():
        assert row["difference"] == pytest.approx(second[name]["value"] - first[name]["value"])
        assert row["uncertainty"] == pytest.approx(0.004 * 2**0.5)
        assert row["sigmas"] == pytest.approx(row["difference"] / row["uncertainty"])
        assert (row["first_id"], row["second_id"]) == (first[name]["id"], second[name]["id"])
    assert rows["R"]["sigmas"] > 3
    lines = ask(*words, "--home", history)
    (table,) = [line for line in lines if line.lstrip().startswith("R ")]
    assert table.endswith(f"{rows['R']['sigmas']:+.1f}")
    assert f"{rows['R']['difference']:+.4f} ± 0.0057 e⁻/ADU" in table
    assert lines[-2:] == [
        "red: 2020-01-11 by entry 1, 2020-04-01 by entry 1",
        "± and σ are statistical: what is systematic is in both nights alike",
    ]
    said = ccdwatch("trends", "--compare", "2020-01-11", "2030-01-01", "--home", history)
    assert said.status == 2
    assert "nothing of this was measured on the night 2030-01-01" in said.err
    assert ccdwatch(*words, "--since", "2020-01-01", "--home", history).status == 2


def completed(*words: str) -> list[str]:
    *typed, begun = words
    found = BashComplete(main.cli, {}, "ccdwatch", "_CCDWATCH_COMPLETE").get_completions(typed, begun)
    return [one.value for one in found]


def test_the_tab_key_knows_instruments_and_quantities(history: Path, tmp_path: Path) -> None:
    home = ["--home", str(history)]
    assert completed("trends", "dark_current_") == ["dark_current_mode"]
    assert completed("trends", *home, "--instrument", "r") == ["red"]
    assert completed("trends", *home, "--instrument", "x") == []
    assert completed("report", *home, "") == ["red"]
    assert completed("note", *home, "re") == ["red"]
    assert completed("trends", "--home", str(tmp_path / "none"), "--instrument", "") == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_given_what_they_need(shell: str) -> None:
    environment = {**os.environ, "_CCDWATCH_COMPLETE": f"{shell}_source"}
    done = subprocess.run([CCDWATCH], env=environment, capture_output=True, text=True, check=True)
    assert "_CCDWATCH_COMPLETE" in done.stdout


NOWHERE: list[tuple[object, ...]] = [
    ("process", "nowhere"),
    ("identify", "nowhere"),
    ("imstat", "nowhere"),
    ("init", "nowhere"),
    ("combine", "nowhere.fits", "-o", "out.fits"),
    ("up", "--watch", "nowhere"),
    ("watch", "--watch", "nowhere"),
    ("trends", "gain", "--plot", "nowhere/gain.png"),
    ("report", "red", "--month", "2020-02", "-o", "nowhere/red.html"),
    ("db", "backup", "nowhere/copy.db"),
]


@pytest.mark.parametrize("words", NOWHERE, ids=lambda words: words[0])
def test_a_folder_that_is_not_there_is_said(history: Path, tmp_path: Path, words: tuple[object, ...]) -> None:
    named = [str(tmp_path / word) if "nowhere" in str(word) or "out." in str(word) else str(word) for word in words]
    said = ccdwatch(*named, "--home", history)
    assert said.status in {1, 2}
    assert "nowhere" in said.err
    assert "Traceback" not in said.err
    assert len(said.err.splitlines()) == 1, said.err


AT_A_HOME: list[tuple[str, ...]] = [
    *((name,) for name in ("audit", "backfill", "doctor", "frames", "masters", "runs", "status", "trends", "web")),
    ("config", "check"),
    ("db", "adopt"),
    ("db", "check"),
    ("db", "upgrade"),
    ("mark", "frame:1", "bad", "--why", "so"),
    ("note", "red", "so"),
    ("provenance", "1"),
    ("report", "red"),
    ("retry", "run:1"),
]


@pytest.mark.parametrize("words", AT_A_HOME, ids=" ".join)
def test_a_home_that_cannot_be_one_is_said(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("no folder")
    said = ccdwatch(*words, "--home", tmp_path / "file")
    assert said.status in {1, 2} or (said.status, words[0]) == (0, "config")
    assert said.err or said.text
    assert "Traceback" not in said.err + said.text


def test_a_real_terminal_shows_each_row_in_one_line(nights: Path, tmp_path: Path) -> None:
    with running_terminal(tmp_path) as terminal:
        trends = terminal.type(f"{CCDWATCH} trends --home {nights}")
        lines = terminal.type(f"{CCDWATCH} masters --home {nights}")
    rows = [line for line in trends if re.search(r"2022-09-\d\d .*± 0\.0040 e⁻/ADU +unjudged$", line)]
    assert len(rows) == 2
    assert len([line for line in lines if re.search(r"2022-09-\d\d +(bias|dark)\b.* (yes|no)$", line)]) == 4
