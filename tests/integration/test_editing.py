"""Marks and notes on the pages: read-only unless allowed, and only by editors, on pages of ours, in forms of ours."""

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from db.judgements.marks import bad_frames
from db.judgements.notes import notes_that_hold
from db.schema.models import Judgement
from flows.home.home import Home, open_home
from tests.support.command import ccdwatch
from tests.support.on_record import add_frame, hash_of
from tests.support.site import running_site

PASSWORD = "a password of anna"


def make_home(path: Path, configuration: str) -> Home:
    path.mkdir()
    (path / "ccdwatch.toml").write_text(configuration)
    home = open_home(path)
    with home.write_session() as session:
        add_frame(session, "a")
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = make_home(tmp_path_factory.mktemp("editing") / "home", "[web]\nallow_edits = true\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))
        said = ccdwatch("web", "passwd", "anna", "--home", home.path)
    assert said.status == 0, said.err
    assert PASSWORD not in said.err
    return home


@pytest.fixture(scope="module")
def site(home: Home) -> Iterator[str]:
    with running_site(home.path) as address:
        yield address


@pytest.fixture
def browser(site: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site, headers={"Origin": site}) as client:
        yield client


def token(browser: httpx.Client, path: str) -> str:
    (found,) = re.findall(r'name="token" value="([^"]+)"', browser.get(path).text)
    return str(found)


def filled(browser: httpx.Client, path: str = "/edit/frame/1", **fields: str) -> dict[str, str]:
    known = {"token": token(browser, path), "name": "anna", "password": PASSWORD, "said": "bad", "why": "dome light"}
    return {**known, "do": "mark", **fields}


def n_lines(home: Home) -> int:
    with home.read_session() as session:
        return session.scalar(select(func.count()).select_from(Judgement)) or 0


def test_an_editor_marks_and_takes_back_with_a_name(home: Home, browser: httpx.Client) -> None:
    assert 'href="/edit/frame/1"' in browser.get("/frames/1").text
    answer = browser.post("/edit/frame/1", data=filled(browser))
    assert (answer.status_code, answer.headers["location"]) == (303, "/frames/1")
    with home.read_session() as session:
        (words,) = bad_frames(session).values()
    assert re.fullmatch(r"marked bad by anna on .* UTC: dome light", words)
    assert "dome light" in browser.get("/frames/1").text
    assert browser.post("/edit/frame/1", data=filled(browser, do="undo", why="another")).status_code == 303
    with home.read_session() as session:
        assert bad_frames(session) == {}
    assert browser.post("/edit/frame/1", data=filled(browser, do="undo")).status_code == 400
    assert browser.post("/edit/frame/1", data=filled(browser, why=" ")).status_code == 400
    assert browser.post("/edit/frame/1", data=filled(browser, said="odd")).status_code == 400
    assert browser.get("/edit/frame/99").status_code == 404
    assert n_lines(home) == 2


def test_an_editor_notes(home: Home, browser: httpx.Client) -> None:
    path = "/edit/notes/m2-ml"
    before = n_lines(home)
    note = filled(browser, path, words="<b>mirror</b> washed", at="2022-09-01 10:00", do="note")
    assert browser.post(path, data=note).status_code == 303
    with home.read_session() as session:
        (line,) = notes_that_hold(session, "m2-ml")
    assert (line.words, line.who, f"{line.at:%Y-%m-%d %H:%M}") == ("<b>mirror</b> washed", "anna", "2022-09-01 10:00")
    shown = browser.get(path).text
    assert "&lt;b&gt;mirror" in shown
    assert "<b>mirror" not in shown
    assert browser.post(path, data=filled(browser, path, words="x", at="yesterday")).status_code == 400
    assert browser.post("/edit/notes/m3", data=filled(browser, "/edit/notes/m3", words="x")).status_code == 404
    assert browser.post(path, data=note | {"do": "undo"}).status_code == 303
    assert n_lines(home) == before + 2


FORGED = {
    "no origin": ({}, {"Origin": ""}, 403),
    "another origin": ({}, {"Origin": "http://evil.example"}, 403),
    "another scheme": ({}, {"Origin": "https://127.0.0.1"}, 403),
    "sent by another site": ({}, {"Sec-Fetch-Site": "cross-site"}, 403),
    "no token": ({"token": ""}, {}, 403),
    "a token made up": ({"token": "99999999." + 64 * "0"}, {}, 403),
    "no cookie": ({}, {"Cookie": ""}, 403),
    "another's cookie": ({}, {"Cookie": "ccdwatch-form=another"}, 403),
    "wrong password": ({"password": "a password of ben", "name": "anna "}, {}, 403),
    "unknown name": ({"name": "ben"}, {}, 403),
    "no name": ({"name": ""}, {}, 403),
    "too much": ({"why": 20_000 * "x"}, {}, 413),
    "no form": ({}, {"Content-Type": "application/json"}, 415),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_is_not_of_an_editor_in_a_form_of_ours_does_nothing(home: Home, browser: httpx.Client, what: str) -> None:
    fields, headers, status = FORGED[what]
    before = n_lines(home)
    form = filled(browser, **fields)
    answer = browser.post("/edit/frame/1", data=form, headers=headers)
    assert answer.status_code == status, answer.text
    assert form["password"] not in answer.text
    assert "scrypt" not in answer.text
    assert n_lines(home) == before


def test_a_token_of_one_form_is_good_for_no_other(home: Home, browser: httpx.Client) -> None:
    before = n_lines(home)
    other = token(browser, "/edit/notes/m2-ml")
    assert browser.post("/edit/frame/1", data=filled(browser, token=other)).status_code == 403
    assert n_lines(home) == before


def test_attempts_are_slowed(
    home: Home, browser: httpx.Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = filled(browser, name="carl", password="wrong password of carl")
    assert browser.post("/edit/frame/1", data=wrong).status_code == 403
    assert browser.post("/edit/frame/1", data=wrong).status_code in {403, 429}
    answer = browser.post("/edit/frame/1", data=wrong)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    said = caplog.text + "".join(capfd.readouterr())
    assert "wrong password of carl" not in said
    assert "scrypt" not in said


@pytest.mark.parametrize("configuration", ["", "[web]\nallow_edits = true\n"])
def test_pages_are_read_only_unless_allowed_and_there_are_editors(tmp_path: Path, configuration: str) -> None:
    home = make_home(tmp_path / "home", configuration)
    with running_site(home.path) as address:
        assert "/edit/" not in httpx.get(f"{address}/frames/1").text
        for path in ("/edit/frame/1", "/edit/notes/m2-ml"):
            assert httpx.get(address + path).status_code == 404
            assert httpx.post(address + path, data={"name": "anna"}).status_code in {404, 405}
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert httpx.request(method, f"{address}/frames/1").status_code == 405
    assert n_lines(home) == 0


@pytest.mark.parametrize(
    ("web", "mode", "told"),
    [
        ('host = "0.0.0.0"', 0o600, "https"),
        ('public_url = "http://x.org"\nhost = "::"', 0o600, "https"),
        ("", 0o640, "600"),
    ],
)
def test_unsafe_editing_is_refused_at_the_start(tmp_path: Path, web: str, mode: int, told: str) -> None:
    home = make_home(tmp_path / "home", f"[web]\nallow_edits = true\n{web}\n")
    (home.path / "editors").write_text(f"anna: {hash_of('x')}\n")
    (home.path / "editors").chmod(mode)
    for words in (("web", "--port", "1"), ("up", "--watch", tmp_path)):
        said = ccdwatch(*words, "--home", home.path)
        assert said.status == 2
        assert told in said.err
        assert said.err.count("\n") == 1
        assert hash_of("x") not in said.err
