"""Two entries of one name with limits of their own: every place judges a number by the one that held then."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

from db.trends.history import trends
from db.trends.overview import overview
from flows.commands.process import process
from flows.home.home import open_home
from flows.orchestration.shown.report import report
from tests.support.drawing import no_pictures
from tests.support.simulate import simple_night

NIGHTS = (date(2022, 9, 19), date(2022, 9, 20))
ENTRY = '[[instrument]]\nname = "cam"\nmatch = { INSTRUME = "testcam" }\n'
STRICT, LAX = "spec.gain_e_per_adu = { max = 1.0 }\n", "spec.gain_e_per_adu = { max = 2.0 }\n"  # it is 1.5
BEFORE, AFTER = "valid_to = 2022-09-20T12:00:00Z\n", "valid_from = 2022-09-20T12:00:00Z\n"


def run(full: bool) -> str:
    orders = [
        (ENTRY + BEFORE + STRICT, ENTRY + AFTER + LAX, ("bad", "ok")),
        (ENTRY + BEFORE + LAX, ENTRY + AFTER + STRICT, ("ok", "bad")),
    ]
    for first, second, expected in orders[: 2 if full else 1]:
        with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory, no_pictures():
            _judge(Path(directory), f"{first}{second}", expected)
            # What was measured before anybody wrote down the exchange is judged by the time it is of, too.
            (Path(directory) / "old").mkdir()
            _judge(Path(directory) / "old", f"{first}{second}", expected[:1], known_since=ENTRY)
    return f"{len(NIGHTS)} nights in process, trends, report and overview alike"


def _judge(top: Path, entries: str, expected: tuple[str, ...], known_since: str | None = None) -> None:
    home_path = top / "home"
    home_path.mkdir()
    (home_path / "ccdwatch.toml").write_text(known_since or entries)
    verdicts = []
    for number, night in enumerate(NIGHTS[: len(expected)]):
        simple_night(top / f"night{number}", seed=number, night=night)
        home = open_home(home_path)
        answer = process(home, [top / f"night{number}"])
        verdicts += [row["verdict"] for row in answer["characterisations"]]
    if known_since is None:
        assert tuple(verdicts) == expected, verdicts
    (home_path / "ccdwatch.toml").write_text(entries)
    home = open_home(home_path)
    with home.read_session() as session:
        rows = trends(session, quantity="gain")
        (last,) = overview(session, quantities=("gain",), instrument="cam")
    assert tuple(row.verdict for row in rows) == expected, [row.verdict for row in rows]
    assert last.verdict == expected[-1]
    for row in rows:
        assert f"**{row.verdict}**" in report(home, row.run_id).partition("## Masters")[0]
    home.engine.dispose()
