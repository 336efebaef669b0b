"""The page of a run that failed says why, what was made all the same, and what to type."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from db.runs.lacks import record_lack
from db.runs.lifecycle import fail_run, finish_run
from db.runs.masters import record_master
from flows.home.home import Home, open_home
from tests.support.on_record import NOON, add_frame, begin_run, master, set_of
from tests.support.site import running_site

WHY = "cannot reshape array of size <7>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Run 1 failed, run 2 of the same set lacks a product that failed, run 3 of another set failed."""
    home = open_home(tmp_path_factory.mktemp("failed"))
    with home.write_session() as session:
        set_id = set_of(session, add_frame(session, "a"))
        fail_run(session, run_id=begin_run(session, set_id), message=f"ValueError: {WHY}", now=NOON)
        in_part = begin_run(session, set_id, attempt=2)
        record_master(session, run_id=in_part, master=master())
        record_lack(session, run_id=in_part, product="master flat V", reason=WHY, is_failure=True)
        finish_run(session, run_id=in_part, now=NOON)
        other = set_of(session, add_frame(session, "b", instrument="other"))
        fail_run(session, run_id=begin_run(session, other), message=WHY, now=NOON)
    return home


@pytest.fixture(scope="module")
def site(home: Home) -> Iterator[str]:
    with running_site(home.path) as address:
        yield address


def failure(site: str, run_id: int) -> str:
    return httpx.get(f"{site}/runs/{run_id}").text.partition('<section class="failure"')[2].partition("</section>")[0]


def test_why_it_failed_and_what_to_type(site: str) -> None:
    said = failure(site, 3)
    assert "Why it came to no result" in said
    assert "cannot reshape array of size &lt;7&gt;" in said
    assert "Nothing of it counts" in said
    assert "ccdwatch retry run:3" in said


def test_one_that_was_made_again_leads_there(site: str) -> None:
    said = failure(site, 1)
    assert '<a href="/runs/2">run 2</a>' in said
    assert "ccdwatch retry" not in said


def test_what_was_made_all_the_same(site: str, home: Home) -> None:
    said = failure(site, 2)
    assert "What failed" in said
    assert "one product failed: master flat V" in said
    assert "All else was made: 0 measurements and 1 master" in said
    assert "ccdwatch retry run:2" in said


def test_a_run_that_is_done_has_no_such_section(site: str, tmp_path: Path) -> None:
    home = open_home(tmp_path)
    with home.write_session() as session:
        finish_run(session, run_id=begin_run(session, set_of(session, add_frame(session, "a"))), now=NOON)
    with running_site(tmp_path) as address:
        assert failure(address, 1) == ""
