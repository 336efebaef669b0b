"""A night that a wrong clock dated years ahead: told, in nothing that is in force, and healed when it is put right."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from astropy.io import fits

from db.champions import current_reference
from db.runs.masters import list_masters
from db.trends.history import trends
from db.trends.notices import notices
from flows.commands.inspect_files import identified
from flows.commands.process import process
from flows.health.state import health
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.registration import dates
from tests.support.drawing import no_pictures
from tests.support.simulate import simple_night

FIRST = date(2022, 9, 19)
_FAR = (now() + timedelta(days=400)).date()
LIMITS = "spec.read_noise_e = { max = 1.0 }\n"  # which nothing meets, so that each night is news
ENTRY = '[[instrument]]\nname = "cam"\nmatch = { INSTRUME = "testcam" }\n'


def run(full: bool) -> str:
    n_nights = 10 if full else 1
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory, no_pictures():
        top = Path(directory)
        control, _ = _nights(top / "control", n_nights)
        home, wrong = _nights(top / "wrong", n_nights, clocks=(_FAR, (now() + timedelta(days=3)).date()))
        assert _in_force(home) == _in_force(control)
        _told(home, wrong)
        unset = simple_night(top / "unset", night=date(2000, 1, 1), seed=5)
        process(home, [top / "unset"])
        (odd,) = (one for one in health(home).odd_dates if not one["are_left_out"])
        assert odd["n"] == len(unset.paths)
        assert "never set" in odd["reason"]
        _healed_by_configuration(home, wrong)
        _of_an_older_version(top / "older")
    return f"{n_nights} nights after two of wrong clocks as without these; both measured when put right"


def _nights(top: Path, n: int, clocks: tuple[date, ...] = ()) -> tuple[Home, list[Path]]:
    """Process nights of wrong clocks, whose card TRUE-OBS is right, and then `n` good ones."""
    home = _home(top, ENTRY + LIMITS)
    folders = []
    for number, night in enumerate(clocks):
        folders.append(top / f"clock{number}")
        for path in simple_night(folders[-1], seed=number, night=night).paths:
            begun = fits.getval(path, "DATE-OBS")
            fits.setval(path, "TRUE-OBS", value=f"2021-0{number + 1}-01{begun[10:]}")
        answer = process(home, [folders[-1]])
        assert answer["characterisations"] == answer["masters"] == answer["failed"] == []
        assert len(answer["excluded"]) == 9
        assert all(
            f"{night}" in one["reason"] and "later than its arrival" in one["reason"] for one in answer["excluded"]
        )
    for number in range(n):
        simple_night(top / f"night{number}", seed=10 + number, night=FIRST + timedelta(days=number))
        process(home, [top / f"night{number}"])
    return home, folders


def _home(top: Path, configuration: str) -> Home:
    (top / "home").mkdir(parents=True, exist_ok=True)
    (top / "home" / "ccdwatch.toml").write_text(configuration)
    return open_home(top / "home")


def _in_force(home: Home) -> list[Any]:
    """Return references, spans of masters, latest values and notices; not when or where they were made."""
    with home.read_session() as session:
        spans = [(one.purpose, one.night, one.valid_from, one.valid_to) for one in list_masters(session)]
        current = sorted((one.kind, one.night) for one in current_reference(session, at=now()))
        values = [(row.quantity, row.night, row.value, row.verdict) for row in trends(session)]
        told = [(one.kind, one.quantity, one.observed_at, one.after) for one in notices(session)]
    assert told
    return [spans, current, values, told]


def _told(home: Home, folders: list[Path]) -> None:
    state = health(home)
    assert f"{9 * len(folders)} frames left out for dates that are not believed" in state.judged.problems
    (odd,) = state.odd_dates
    assert odd["n"] == 9 * len(folders)
    rows, _ = identified(home.path, folders)
    assert all("later than its arrival" in row["date_remark"] for row in rows)


def _healed_by_configuration(home: Home, folders: list[Path]) -> None:
    healed = _home(home.path.parent, ENTRY + LIMITS + 'header.date_obs = "TRUE-OBS"\n')
    answer = process(healed, folders)
    assert [one["night"] for one in answer["characterisations"]] == ["2021-01-01", "2021-02-01"]
    assert not answer["excluded"]
    assert not any(one["are_left_out"] for one in health(healed).odd_dates)


def _of_an_older_version(top: Path) -> None:
    """Let a home have what earlier versions made of such a night: it goes when its frames are identified anew."""
    home = _home(top, ENTRY)
    simple_night(top / "good")
    simple_night(top / "wrong", night=_FAR, seed=1)
    with patch.object(dates, "from_the_future", return_value=False):
        process(home, [top / "good"])
        process(home, [top / "wrong"])
    home = _home(top, ENTRY + LIMITS + "exposure_time_unit_s = 1.5\n")
    process(home, [top / "good", top / "wrong"])
    with home.read_session() as session:
        assert {one.night for one in current_reference(session, at=now())} == {FIRST}
        assert {row.night for row in trends(session)} == {FIRST}
    names = {path.name for path in (home.path / "reference").rglob("*.fits")}
    assert len(names) == 2
