"""The command line: quick to answer, every command with an example, every format readable by a program."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from astropy.table import QTable, Table

from flows.calibration.steps import STEPS
from flows.cli import main
from flows.commands.process import process
from flows.config.errors import SettingsError
from tests.support.command import Said, ccdwatch
from tests.support.simulate import NOTEBOOK_NIGHTS, simple_night

COMMAND = Path(sys.executable).with_name("ccdwatch")
RECORD = ("trends", "frames", "masters", "runs")


def commands(group: click.Group, *above: str) -> list[tuple[str, ...]]:
    found = [above]
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += commands(command, *above, name) if isinstance(command, click.Group) else [(*above, name)]
    return found


EVERY = commands(main.cli)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two nights on record, one of them measured twice."""
    path, frames = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("frames")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])
        from flows.home.home import open_home

        simple_night(frames)
        process(open_home(path), [frames])
        simple_night(frames, night=NOTEBOOK_NIGHTS[1], n_flat=0)
        late = simple_night(frames / "late", seed=1, n_bias=1, n_flat=0)
        assert process(open_home(path), [frames])["failed"] == []
        assert late.biases
    return path


def ask(home: Path, *words: str) -> Said:
    said = ccdwatch(*words, "--home", home)
    assert (said.status, said.err) == (0, "")
    return said


# Quick

LIBRARIES = sys.executable, "-c", "import sqlalchemy.orm, pydantic"
"""What trends cannot do without, about half of its time: more of it is granted where this alone takes long."""
CLICK = sys.executable, "-c", "import click"
"""The same of help: most of its time."""


def seconds(*command: object) -> float:
    """Processor time of a command, the best of three, so that a busy machine does not count."""
    taken = []
    for _ in range(3):
        before = os.times()
        subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(taken)


def imported(*words: object) -> set[str]:
    """The packages that a command imports."""
    tell = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    command = [sys.executable, "-c", f"{tell}; from flows.cli.main import main; main()", *map(str, words)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in run.stderr.split()}


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    assert seconds(COMMAND, "--help") < max(0.5, 3 * seconds(*CLICK))
    assert not imported("--help") & {"numpy", "prefect", "astropy", "sqlalchemy", "pydantic", "rich", "httpx"}


def test_trends_are_quick_and_import_nothing_that_they_do_not_need(home: Path) -> None:
    assert seconds(COMMAND, "trends", "--home", home) < max(1.0, 3 * seconds(*LIBRARIES))
    assert not imported("trends", "--home", home) & {"numpy", "prefect", "astropy", "alembic", "matplotlib", "httpx"}


# Help


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_explains_itself_with_an_example(words: tuple[str, ...]) -> None:
    said = ccdwatch(*words, "--help")
    assert said.status == 0
    first, *_ = [line.strip() for line in said.text.split("\n\n")[1].splitlines()]
    assert first[0].isupper()
    assert not {"\b", "\\b"} & set(said.text.split())
    example = said.text.partition("Example:\n")[2].splitlines()[0].split()
    assert example[: 1 + len(words)] == ["ccdwatch", *words] or not words


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_option_of_every_command_is_explained(words: tuple[str, ...]) -> None:
    command: Any = main.cli
    for word in words:
        command = command.get_command(click.Context(command), word)
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, f"{words} {parameter.name}"
    if not isinstance(command, click.Group):
        assert "--home" in {option for parameter in command.params for option in parameter.opts}


def test_the_list_of_commands_says_what_each_command_says() -> None:
    context = click.Context(main.cli)
    for name, (_, line) in main.COMMANDS.items():
        command = main.cli.get_command(context, name)
        assert command is not None
        assert (command.help or "").partition("\n")[0] == line


def test_the_version_is_said() -> None:
    assert ccdwatch("--version").text.startswith("ccdwatch, version ")


def test_the_examples_of_questions_are_understood(home: Path) -> None:
    for words in EVERY:
        if words and words[0] in RECORD:
            text = ccdwatch(*words, "--help").text.partition("Example:\n")[2].splitlines()[0]
            typed = [word for word in text.split()[1:] if not word.endswith(".png") and word != "--plot"]
            assert ccdwatch(*typed, "--home", home).status == 0


# Answers


def from_csv(data: bytes) -> Table:
    return Table.read(data.decode(), format="ascii.csv")


def from_ecsv(data: bytes) -> Table:
    return QTable.read(data.decode(), format="ascii.ecsv")


def from_votable(data: bytes) -> Table:
    return QTable.read(io.BytesIO(data), format="votable")


@pytest.mark.parametrize("read", [from_csv, from_ecsv, from_votable])
@pytest.mark.parametrize("what", [*RECORD, "trends gain"])
def test_every_format_is_read_back(home: Path, what: str, read: Any) -> None:
    rows = ask(home, *what.split(), "--format", "json").json()
    format_name = read.__name__.removeprefix("from_")
    table = read(ask(home, *what.split(), "--format", format_name).out)
    assert table.colnames == list(rows[0])
    assert len(table) == len(rows)
    key = "master_id" if what == "masters" else "id"
    assert list(table[key]) == [row[key] for row in rows]
    if what == "trends gain":
        assert [float(getattr(value, "value", value)) for value in table["value"]] == [row["value"] for row in rows]
        if format_name != "csv":
            assert str(table["value"].unit) == "electron / adu"


@pytest.mark.parametrize("what", RECORD)
def test_a_table_for_people_is_the_default(home: Path, what: str) -> None:
    lines = [line for line in ask(home, what).text.splitlines() if line.strip()]
    assert "instrument" in lines[0]
    assert lines[-1].startswith("± is statistical") == (what == "trends")
    assert len(lines) == 2 + len(ask(home, what, "--format", "json").json()) + (what == "trends")


def test_questions_narrow_the_answer(home: Path) -> None:
    def count(*words: str) -> int:
        return len(ask(home, *words, "--format", "json").json())

    assert count("frames") == 15
    assert count("frames", "--type", "flat") == 4
    assert count("frames", "--since", "2022-09-20") == 5
    assert count("frames", "--until", "2022-09-20") == 10
    assert count("masters", "--kind", "bias") == 2
    assert count("masters", "--kind", "bias", "--superseded") == 3
    assert count("runs") == 2
    assert count("runs", "--superseded") == 3
    assert count("trends", "gain") == 1
    assert count("trends", "gain", "--superseded") == 2
    assert count("trends", "--amplifier", "1") == count("trends")


@pytest.mark.parametrize("words", [("trends", "gain", "--instrument", "other"), ("frames", "--since", "2030-01-01")])
def test_no_answer_is_an_empty_one(home: Path, words: tuple[str, ...]) -> None:
    said = ccdwatch(*words, "--home", home, "--format", "json")
    assert (said.status, said.json()) == (0, [])
    assert said.err.count("\n") == 1


def test_masters_are_named_by_their_whole_path(home: Path) -> None:
    for row in ask(home, "masters", "--format", "json").json():
        assert Path(row["path"]).is_file()


def test_a_plot_is_a_picture(home: Path, tmp_path: Path) -> None:
    picture = tmp_path / "gain.png"
    ask(home, "trends", "gain", "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")


def state(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@pytest.mark.parametrize("kind", ["frame", "picture", "link", "folder", "own"])
@pytest.mark.parametrize("words", [("trends", "gain", "--plot"), ("report", "testcam", "--month", "2022-09", "-o")])
def test_no_file_of_anybodys_is_written_over(home: Path, tmp_path: Path, words: tuple[str, ...], kind: str) -> None:
    path, raw = tmp_path / "bias_0001.fits", tmp_path / "raw.fits"
    raw.write_bytes(b"SIMPLE  =                    T / made by ccdwatch")
    if kind == "frame":
        raw.rename(path)
    elif kind == "picture":
        path.write_bytes(b"\x89PNG\r\n of the telescope" if words[0] == "trends" else b"<!doctype html> of my own")
    elif kind == "link":
        path.symlink_to(raw)
    elif kind == "folder":
        path.mkdir()
    else:
        assert ccdwatch(*words, path, "--home", home).status == 0
    before = state(path)
    said = ccdwatch(*words, path, "--home", home)
    if kind == "own":
        assert (said.status, state(path) != before) == (0, True)
        return
    assert said.status == 2
    assert f"{path}: is there already, and not written by ccdwatch: give another name" in said.err
    assert state(path) == before


def test_a_plot_shows_one_quantity(home: Path, tmp_path: Path) -> None:
    said = ccdwatch("trends", "--plot", tmp_path / "all.png", "--home", home)
    assert said.status == 2
    assert "a plot shows one quantity: type for example ccdwatch trends gain --plot" in said.err


def test_provenance_leads_down_to_the_raw_files(home: Path) -> None:
    (point,) = ask(home, "trends", "gain", "--format", "json").json()
    tree = ask(home, "provenance", str(point["id"]), "--format", "json").text
    frames = ask(home, "frames", "--until", "2022-09-20", "--format", "json").json()
    assert all(frame["sha256"] in tree for frame in frames)
    assert frames[0]["sha256"] in ask(home, "provenance", str(point["id"])).text
    assert json.loads(tree)


# What cannot be answered


@pytest.mark.parametrize("what", RECORD)
def test_a_home_without_a_record_says_what_to_type(tmp_path: Path, what: str) -> None:
    said = ccdwatch(what, "--home", tmp_path)
    assert (said.status, said.out) == (2, b"")
    assert said.err == (
        f"ccdwatch: {tmp_path}: nothing is on record here: type ccdwatch process DIR, or give another --home\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["backfill"],
        ["retry", "run:1"],
        ["mark", "frame:1", "bad", "--why", "lamp"],
        ["note", "testcam", "new controller"],
        ["db", "upgrade"],
        ["db", "check"],
        ["db", "rename-host", "dome"],
    ],
)
def test_a_mistyped_home_does_not_become_one(tmp_path: Path, words: list[str]) -> None:
    nowhere = tmp_path / "ccdwtach"
    said = ccdwatch(*words, "--home", nowhere)
    assert (said.status, said.out) == (2, b"")
    assert said.err.startswith(f"ccdwatch: {nowhere}: nothing is on record here: type ccdwatch process DIR")
    assert not nowhere.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("frobnicate",), "No such command 'frobnicate'"),
        (("process",), "Missing argument 'PATHS...'"),
        (("trends", "--format", "xml"), "'xml' is not one of 'table', 'json', 'csv', 'ecsv', 'votable'"),
        (("trends", "--since", "yesterday"), "'yesterday' does not match the formats"),
        (("up", "--port", "0"), "0 is not in the range 1<=x<=65535"),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...], said: str) -> None:
    answer = ccdwatch(*words)
    assert answer.status == 2
    assert said in answer.err


def test_an_unknown_id_is_said_to_be_one(home: Path) -> None:
    said = ccdwatch("provenance", "9999", "--home", home)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert "9999" in said.err


def test_an_error_of_our_own_making_is_not_hidden(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("flows.commands.query.runs", fail)
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        ccdwatch("runs", "--home", home)


def test_an_expected_error_is_one_line(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SettingsError("this and that: do so")

    monkeypatch.setattr("flows.commands.query.runs", fail)
    assert ccdwatch("runs", "--home", home) == Said(2, b"", "ccdwatch: this and that: do so\n")


# The database


def test_the_database_is_well_and_can_be_copied(home: Path, tmp_path: Path) -> None:
    assert "the database is well" in ccdwatch("db", "check", "--home", home).err
    copy = tmp_path / "copy.db"
    assert ccdwatch("db", "backup", copy, "--home", home).status == 0
    other = tmp_path / "other"
    other.mkdir()
    copy.rename(other / "ccdwatch.db")
    assert ask(other, "trends", "--format", "json").json() == ask(home, "trends", "--format", "json").json()
    assert "the schema is up to date" in ccdwatch("db", "upgrade", "--home", other).err


def test_a_quantity_that_does_not_exist_is_told_with_those_that_do(home: Path) -> None:
    said = ccdwatch("trends", "gian", "--home", home)
    assert (said.status, said.text) == (2, "")
    assert said.err.startswith("ccdwatch: there is no quantity 'gian': write one of gain, corrected_gain, ")
