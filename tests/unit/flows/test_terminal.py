"""Rows in every format: what is written is what is read back."""

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from astropy import units as u
from astropy.table import QTable, Table

from flows.terminal import FORMATS, show, tell
from tests.support.command import printed

GAIN = {
    "id": 1,
    "quantity": "gain",
    "value": 0.9708123456789012,
    "uncertainty": 0.004,
    "unit": "e/ADU",
    "filter": None,
    "n_flat": 9,
    "superseded": False,
    "limit_min": None,
    "limit_max": 1.1,
    "paths": ["/data/a b.fits", "/data/c,d.fits"],
    "night": "2022-09-19",
}
ROWS = [GAIN, {**GAIN, "id": 2, "uncertainty": None, "filter": "g'\"782", "n_flat": None, "superseded": True}]


def written(rows: list[dict[str, Any]], format_name: str, columns: tuple[str, ...] = ("id", "value")) -> bytes:
    out, err = printed(lambda: show(rows, format_name=format_name, columns=columns, empty="nothing here"))
    assert err == ("" if rows else "nothing here\n")
    return out


def test_json_is_the_rows() -> None:
    assert json.loads(written(ROWS, "json")) == ROWS


def test_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        written([{"value": float("nan")}], "json")


def from_csv(data: bytes) -> Table:
    return Table.read(data.decode(), format="ascii.csv")


def from_ecsv(data: bytes) -> Table:
    return QTable.read(data.decode(), format="ascii.ecsv")


def from_votable(data: bytes) -> Table:
    return QTable.read(io.BytesIO(data), format="votable")


READERS = {"csv": from_csv, "ecsv": from_ecsv, "votable": from_votable}


@pytest.mark.parametrize("format_name", READERS)
def test_a_table_is_read_back_whole(format_name: str) -> None:
    table = READERS[format_name](written(ROWS, format_name))
    assert table.colnames == list(GAIN)
    for name in ("id", "quantity", "night"):
        assert list(table[name]) == [row[name] for row in ROWS]
    assert plain(table["value"]) == [GAIN["value"]] * 2
    assert json.loads(table["paths"][0]) == GAIN["paths"]
    assert table["filter"][1] == ROWS[1]["filter"]
    assert [str(value) for value in table["superseded"]] == ["False", "True"]


def plain(column: Any) -> list[float]:
    return [float(getattr(value, "value", value)) for value in column]


@pytest.mark.parametrize("format_name", READERS)
def test_what_is_not_known_is_masked(format_name: str) -> None:
    table = READERS[format_name](written(ROWS, format_name))
    for name, missing in {"uncertainty": 1, "n_flat": 1}.items():
        assert list(table[name].mask) == [row == missing for row in (0, 1)], name
    assert table["limit_min"].mask.all()


@pytest.mark.parametrize("read", [from_ecsv, from_votable])
def test_values_of_one_quantity_carry_their_unit(read: Callable[[bytes], Table]) -> None:
    table = read(written(ROWS, "ecsv" if read is from_ecsv else "votable"))
    for name in ("value", "uncertainty", "limit_max"):
        assert str(table[name].unit) == "electron / adu"
    assert table["id"].unit is None


@pytest.mark.parametrize(("unit", "expected"), [("e", u.electron), ("ADU", u.adu), ("e/ADU", u.electron / u.adu)])
def test_the_units_of_the_record_are_known(unit: str, expected: u.Unit) -> None:
    assert from_ecsv(written([{**GAIN, "unit": unit}], "ecsv"))["value"].unit == expected


def test_values_of_several_quantities_name_their_units_in_a_column() -> None:
    table = from_ecsv(written([GAIN, {**GAIN, "unit": "e"}], "ecsv"))
    assert table["value"].unit is None
    assert list(table["unit"]) == ["e/ADU", "e"]


@pytest.mark.parametrize(
    ("unit", "read"),
    [
        ("e/ADU", u.electron / u.adu),
        ("e", u.electron),
        ("ADU", u.adu),
        ("e/s", u.electron / u.s),
        ("1/e", 1 / u.electron),
        ("pixels", u.pixel),
        ("%", u.percent),
    ],
)
def test_any_unit_of_the_record_is_read_back(unit: str, read: u.UnitBase) -> None:
    table = from_ecsv(written([{**GAIN, "unit": unit}], "ecsv"))
    assert table["value"].unit == table["limit_max"].unit == read


def test_a_unit_that_nobody_knows_is_left_to_its_column() -> None:
    for unit in ("", "furlongs"):
        table = from_ecsv(written([{**GAIN, "unit": unit}], "ecsv"))
        assert table["value"].unit is None
        assert table["value"][0] == GAIN["value"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_rows_are_said_on_standard_error(format_name: str) -> None:
    assert written([], format_name) == {"json": b"[]\n"}.get(format_name, b"")


def test_integers_and_floats_may_stand_in_one_column() -> None:
    rows = [{"mean": 1}, {"mean": 1.5}, {"mean": None}]
    for format_name, read in READERS.items():
        assert plain(read(written(rows, format_name))["mean"][:2]) == [1.0, 1.5]


def test_the_table_has_the_columns_asked_for_and_lines_stay_lines() -> None:
    long = "x" * 300
    text = written([{**GAIN, "filter": long}], "table", ("value", "filter", "limit_min", "paths")).decode()
    header, rule, row = [line for line in text.splitlines() if line.strip()]
    assert header.split() == ["value", "filter", "limit", "min", "paths"]
    assert set(rule) <= {" ", "─"}
    assert row.split() == ["0.97081", long, "–", "/data/a", "b.fits,", "/data/c,d.fits"]


def test_cells_are_shown_as_they_are() -> None:
    text = written([{"name": "[bold]x[/bold] :smile: \x1b[31m\nnext"}], "table", ("name",)).decode()
    assert text.strip().splitlines()[-1].strip() == "[bold]x[/bold] :smile:  [31m next"


def on_a_terminal(patch: pytest.MonkeyPatch, rows: list[dict[str, Any]], short: tuple[str, ...]) -> list[str]:
    """Return the lines of a table on a terminal of 80 columns, without their colours."""
    patch.setenv("FORCE_COLOR", "1")  # rich then takes what it writes to for a terminal
    patch.setenv("COLUMNS", "80")
    out, _ = printed(lambda: show(rows, format_name="table", columns=tuple(rows[0]), short=short, empty=""))
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", out.decode()).splitlines() if line.strip()]


RESULT: dict[str, Any] = {
    "id": 1234,
    "instrument": "a camera of a long name at the 1.5 m telescope",
    "configuration": "bin1x1_fast_gain100_offset50_1024x1024",
    "result": "1.93204 ± 0.00022 e⁻/ADU",
    "began_at": "2022-09-19T21:00:00.123456+00:00",
    "filter": None,
    "verdict": "unjudged",
}


@pytest.mark.parametrize("instruments", [["testcam"], ["testcam"] * 2, ["testcam", RESULT["instrument"]]])
def test_a_table_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, instruments: list[str]) -> None:
    rows = [{**RESULT, "instrument": name} for name in instruments]
    lines = on_a_terminal(monkeypatch, rows, ("id", "instrument", "configuration", "filter", "result", "verdict"))
    assert max(map(len, lines)) <= 80
    whole = [line for line in lines if RESULT["result"] in line and line.endswith("unjudged") and "1234" in line]
    assert len(whole) == len(rows)
    # Whose rows they are is said once where it is the same in all, or has no room; a column of nothing is none.
    said = " ".join(line.strip() for line in lines)
    for name in set(instruments):
        assert said.count(f"instrument {name}, configuration {RESULT['configuration']}") == 1
    assert "filter" not in said


def test_what_is_short_enough_stays_in_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**RESULT, "instrument": name, "configuration": "bin1x1"} for name in ("red", "blue", "red")]
    heading, _, *lines = on_a_terminal(monkeypatch, rows, ("id", "instrument", "result", "verdict"))
    assert heading.split() == ["id", "instrument", "result", "verdict"]
    assert [line.split()[1] for line in lines] == ["red", "blue", "red"]


TEXT = "the flats vary in level by 40 %, and the pattern of their light moved between two-thousand-and-one of them"


@pytest.mark.parametrize("file", ["flat.fits", "a_flat_of_a_name_without_end_that_a_camera_gave_to_it_" * 2 + ".fits"])
def test_no_word_is_cut_and_no_cell_is_one_letter_wide(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    others = {"amplifier": "upper left of the second detector", "quantity": "dark_current_mode_of_the_darks"}
    rows = [{**RESULT, **others, "file": file, "words": TEXT, "of": name} for name in ("V", "Johnson-Cousins R, no. 2")]
    rows = [{**row, "instrument": name} for row in rows for name in ("red", RESULT["instrument"])]
    short = ("id", "instrument", "configuration", "amplifier", "quantity", "file", "of", "result", "verdict", "words")
    lines = on_a_terminal(monkeypatch, rows, short)
    shown = {word.strip(",") for line in lines for word in line.split()}
    for row in rows:
        for name in set(short) - {"file"}:
            assert {word.strip(",") for word in str(row[name]).split()} <= shown, name
    assert max(map(len, lines)) <= 80 or len(file) > 80
    assert file in "".join(line.strip() for line in lines)


def test_lines_are_broken_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    path = "/data/" + "a-folder-of-a-long-name/" * 5
    out, _ = printed(lambda: tell([f"failed run: {TEXT}", path, ""]))
    *parts, whole, empty = out.decode().splitlines()
    assert (whole, empty) == (path, "")
    assert " ".join(part.strip() for part in parts) == f"failed run: {TEXT}"
    assert len(parts) == 2
    assert all(part.startswith("  ") for part in parts[1:])


def test_times_are_to_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "2022-09-19 21:00:00" in on_a_terminal(monkeypatch, [RESULT], ("id", "began_at"))[-1].split("  ")
    assert b"2022-09-19T21:00:00.123456+00:00" in written([RESULT], "json")


def test_all_columns_are_shown_where_nobody_asks_for_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    (heading, *_) = on_a_terminal(monkeypatch, [{"id": 1, "instrument": "testcam", "filter": None}], ())
    assert heading.split() == ["id", "instrument", "filter"]
