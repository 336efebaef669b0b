"""What people said is where it matters: on pages, in charts, in the reports of a month and of a run."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from db.trends.history import TrendRow, trends
from flows.home.home import Home, open_home
from flows.judgements.judging import mark, note
from flows.orchestration.shown.report import report
from tests.support.long_history import put_history
from tests.support.site import running_site
from web.pages.monthly_report import monthly_report

WHY, NOTE = "a <b>shutter</b> stuck", "mirror <i>washed</i>"
ESCAPED = "a &lt;b&gt;shutter&lt;/b&gt; stuck"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = open_home(tmp_path_factory.mktemp("shown"))
    with home.write_session() as session:
        put_history(session, instruments=("red", "blue"), amplifiers=("L",), nights=30)
    last = gains(home)[-1]
    mark(home, f"measurement:{last.id}", "bad", why=WHY, who="anna")
    mark(home, f"measurement:{gains(home)[0].id}", "good", why="looked at", who="anna")
    note(home, "red", NOTE, who="ben", at=gains(home)[15].observed_at)
    note(home, "blue", "of another camera", who="ben", at=gains(home)[15].observed_at)
    return home


@pytest.fixture(scope="module")
def site(home: Home) -> Iterator[str]:
    with running_site(home.path) as address:
        yield address


def gains(home: Home) -> list[TrendRow]:
    with home.read_session() as session:
        return trends(session, quantity="gain", instrument="red")


def test_a_trend_shows_marks_hollow_and_notes_as_lines(home: Home, site: str) -> None:
    page = httpx.get(f"{site}/trends/gain?instrument=red").text
    (hollow,) = re.findall(r'<a href="/measurements/(\d+)" class="marked"', page)
    assert int(hollow) == gains(home)[-1].id
    assert page.count('<line class="note"') == 1
    assert "mirror &lt;i&gt;washed" in page.partition('<h2 id="notes">')[2]
    assert "of another camera" not in page
    caption = page.partition("<figcaption>")[2].partition("</figcaption>")[0]
    assert f" on {gains(home)[-2].night} " in caption, "what is marked bad is said to be the latest"
    both = httpx.get(f"{site}/trends/gain").text
    assert both.count('<line class="note"') == 2


def test_each_thing_shows_what_was_said_of_it(home: Home, site: str) -> None:
    last = gains(home)[-1]
    for address in (f"/measurements/{last.id}", f"/runs/{last.run_id}"):
        page = httpx.get(site + address).text
        assert "marked bad" in page, address
        said = page.partition('<h2 id="judgements">')[2]
        assert ESCAPED in said, address
        assert f"measurement:{last.id}" in said
    assert "mirror &lt;i&gt;washed" in httpx.get(f"{site}/instruments/red").text
    (row,) = (one for one in httpx.get(f"{site}/api/trends/gain?instrument=red").json() if one["mark"] == "bad")
    assert row["mark_reason"].startswith(f"{WHY} (anna, ")


def test_the_reports_say_it(home: Home) -> None:
    last, noted = gains(home)[-1], gains(home)[15]
    with home.read_session() as session:
        of_mark, of_note = (
            monthly_report(session, instrument="red", month=night, base_url=None, now=datetime.now(UTC))
            for night in (last.night, noted.night)
        )
    assert ESCAPED in of_mark.partition("<h2>Marked measurements</h2>")[2]
    assert "mirror &lt;i&gt;washed" in of_note.partition("<h2>Notes</h2>")[2]
    of_run = report(home, last.run_id).partition("## What people said")[2]
    assert f"measurement\\:{last.id} | bad" in of_run
    assert "a &lt;b&gt;shutter" in of_run


def test_a_month_counts_without_what_is_marked_bad(home: Home) -> None:
    rows = gains(home)
    month = rows[-1].night
    before = len({row.night for row in rows if row.night.replace(day=1) == month.replace(day=1)})
    with home.read_session() as session:
        page = monthly_report(session, instrument="red", month=month, base_url=None, now=datetime.now(UTC))
    line = next(part for part in page.split("<tr>") if ">gain</td>" in part)
    assert f'<td data-label="Nights" class="value">{before - 1}</td>' in line
