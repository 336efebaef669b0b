"""Prints what trends and pages cost: `python -m benchmarks.pages`, and rows of `make bench`."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import httpx
from sqlalchemy import update

from db.schema.models import Run
from db.trends.history import trends
from flows.health.judgement import judge
from flows.health.state import health
from flows.home.home import open_home, read_home
from tests.support.long_history import put_frames, put_history
from tests.support.service import wait_for
from tests.support.site import CHROMIUM, running_browser, running_site

ROW = "| {:<66} | {:>9} | {:>9} | {} |"
TIMES = 5
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main() -> None:
    """Put long histories on record, show them, measure."""
    print(ROW.format("what", "best s", "median s", "remark"))
    print("| --- | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder))


def measure(folder: Path) -> None:
    """Print one row a query, and one or two a page."""
    query(folder / "many")
    of_health(folder / "frames")
    with open_home(folder / "wide").write_session() as session:
        cameras = tuple(f"camera {number}" for number in range(50))
        put_history(session, instruments=cameras, amplifiers=("A", "B", "C", "D"), nights=365)
    with open_home(folder / "long").write_session() as session:
        put_history(session, nights=2000, per_night=50)
    show("overview of 200 amplifiers, a year each", folder / "wide", "/")
    show("trend page of 100 000 points", folder / "long", "/trends/gain?instrument=red&amplifier=1")


def query(home: Path) -> None:
    """Print how long a year of one amplifier takes among a million measurements, up to the rows that are returned."""
    cameras = tuple(f"camera {number}" for number in range(20))
    opened = open_home(home)
    with opened.write_session() as session:
        put_history(session, instruments=cameras, amplifiers=("A", "B", "C", "D"), nights=1140, n_others=9)
    year = {"since": datetime(2021, 3, 1, tzinfo=UTC), "until": datetime(2022, 3, 1, tzinfo=UTC)}
    for quantity in ("gain", None):
        seconds = []
        for _ in range(TIMES + 1):
            began = time.perf_counter()
            with opened.read_session() as session:
                rows = trends(session, quantity=quantity, instrument=cameras[7], amplifier="B", **year)  # type: ignore[arg-type]
            seconds.append(time.perf_counter() - began)
        what = f"a year of {'the gain' if quantity else 'all 11 quantities'} of an amplifier"
        row(f"{what}, of 1 003 200 rows", seconds[1:], f"{len(rows)} rows")


def of_health(path: Path) -> None:
    """Print how long it takes to say how a home does that has 100 000 frames on record, and is well."""
    opened = open_home(path)
    with opened.write_session() as session:
        put_history(session, instruments=tuple(f"camera {number}" for number in range(20)), nights=250)
        put_frames(session, host=opened.settings.host, identified_with=opened.identified_with)
        session.execute(update(Run).values(recipes=opened.settings.recipes.describe()))
    home = read_home(path)
    for what, ask in (("what needs attention", lambda: judge(home)), ("status", lambda: health(home))):
        seconds = []
        for _ in range(TIMES + 1):
            began = time.perf_counter()
            ask()
            seconds.append(time.perf_counter() - began)
        row(f"{what}, of 100 000 frames and 5000 sets", seconds[1:], "without the start of Python")
    show("overview of 20 cameras, 100 000 frames", path, "/")


def show(what: str, home: Path, path: str) -> None:
    """Print how long the server takes for a page, and when Chromium first paints it."""
    with running_site(home) as address:
        answers = [httpx.get(address + path, timeout=60).elapsed.total_seconds() for _ in range(TIMES)]
        row(what + ": answer", answers, "the first one of a process is slower")
        if CHROMIUM.exists():
            row(what + ": first paint", paints(address + path), "Chromium, nothing cached")


def paints(address: str) -> list[float]:
    """Return seconds from the request to the first content on the screen."""
    seconds = []
    with running_browser() as browser:
        for _ in range(TIMES):
            page = browser.new_page()
            page.goto(address)
            # Asked again and again from here: the pages' policy lets nobody wait inside of them.
            painted = wait_for(lambda page=page: page.evaluate(FIRST_PAINT), seconds=60)  # type: ignore[misc]
            seconds.append(painted / 1000)
            page.wait_for_load_state("networkidle")  # what is asked for after the paint is not in the next one's way
            page.close()
    return seconds


def row(what: str, seconds: list[float], remark: str) -> None:
    """Print a row of the table."""
    print(ROW.format(what, f"{min(seconds):.3f}", f"{median(seconds):.3f}", remark), flush=True)


if __name__ == "__main__":
    main()
