"""Which masters suit a frame, on its page, on that of its camera, and by the API: from what is on record alone."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from benchmarks.best_nights import Nights, expected, simulate
from flows.home.home import Home, open_home
from tests.support.site import running_site


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return open_home(tmp_path_factory.mktemp("nights"))


@pytest.fixture(scope="module")
def truth(home: Home) -> Nights:
    first = datetime.now(UTC) - timedelta(days=40)
    with home.write_session() as session:
        return simulate(session, nights=35, frames=12, seed=6, first=first)


@pytest.fixture(scope="module")
def site(home: Home, truth: Nights) -> Iterator[str]:
    assert truth.frames
    with running_site(home.path) as address:
        yield address


def ask(site: str, **of: Any) -> httpx.Response:
    return httpx.get(f"{site}/api/best", params=of, timeout=60)


def test_the_api_answers_as_brute_force_does(site: str, truth: Nights) -> None:
    for frame in truth.frames[:6]:
        answer = ask(site, frame=frame["id"]).json()
        chosen = {one["kind"]: one["master_id"] for one in answer["choices"]}
        wanted = {kind: expected(truth, frame, kind)[0] for kind in ("bias", "dark", "flat", "mask")}
        assert chosen == {kind: key for kind, key in wanted.items() if key is not None}
        assert {one["kind"] for one in answer["missing"]} == set(wanted) - set(chosen)
        assert {"rule", "frame", "master", "passes"} == set(answer["candidates"][0]["rules"][0])


def test_programs_without_a_file_ask_by_settings(site: str, truth: Nights) -> None:
    at = max(one["night"] for one in truth.masters)
    answer = ask(
        site, instrument="beta", configuration="bin1x1_gain100", exposure=60, filter="V", at=at.isoformat()
    ).json()
    assert {one["kind"] for one in answer["choices"]} >= {"bias", "flat"}
    assert any("level of the frame is not known" in words for words in answer["remarks"])
    assert {one["kind"] for one in ask(site, instrument="beta", kind="flat").json()["candidates"]} == {"flat"}


def test_what_is_not_there_or_not_asked_is_told(site: str) -> None:
    assert ask(site, frame=999_999).status_code == 404
    assert ask(site, frame="master:1").status_code == 404
    assert ask(site).status_code == 404
    assert "name a frame" in ask(site).json()["detail"]
    assert ask(site, instrument="beta", exposure=-1).status_code == 422


def test_the_page_of_a_frame_shows_the_choice_and_why_not_the_others(site: str, truth: Nights) -> None:
    frame = next(one for one in truth.frames if expected(truth, one, "bias")[0] is not None)
    page = httpx.get(f"{site}/frames/{frame['id']}", timeout=60).text
    chosen, failed = expected(truth, frame, "bias")
    section = page.partition('id="masters"')[2].partition('id="uses"')[0]
    assert f'<th scope="row" data-label="For">bias</th><td data-label="Master"><a href="/masters/{chosen}">' in section
    assert "Why not the others" in section
    loser = next(key for key, rules in failed.items() if rules)
    assert f'<a href="/masters/{loser}">' in section


def test_the_page_of_a_camera_shows_what_would_be_used_now(site: str, truth: Nights) -> None:
    page = httpx.get(f"{site}/instruments/beta", timeout=60).text
    section = page.partition('id="in-use"')[2].partition("</table>")[0]
    assert {f"flat {name}" in section for name in "VRI"} == {True}
    assert "Price doubles" in section
    used = {int(part.partition('"')[0]) for part in section.split('href="/masters/')[1:]}
    good = {one["id"] for one in truth.masters if one["camera"] == "beta" and one["fate"] == "good"}
    assert used
    assert used <= good


def test_the_list_of_masters_understands_each_kind_that_it_offers(site: str) -> None:
    page = httpx.get(f"{site}/masters").text
    kinds = re.findall(r"<option>(\w+)", page)
    assert {"bias", "dark", "darkrate", "flat"} <= set(kinds)
    for kind in kinds:
        assert httpx.get(f"{site}/masters", params={"instrument": "", "kind": kind}).status_code == 200, kind
