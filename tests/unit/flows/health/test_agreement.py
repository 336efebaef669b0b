"""One judgement of health: `status`, `doctor`, the overview, `/health` and `/api/health` agree in every state."""

import asyncio
import html
import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import click
import httpx
import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from sqlalchemy import text, update

from ccdcore.headers.instrument import FrameType
from db.application.science import record_try
from db.files import ledger
from db.judgements.write import mark
from db.runs.lifecycle import abandon_run, fail_run, finish_run
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from db.schema.models import File, FileState, Frame, Notice, Outcome, Run
from flows.cli.admin import doctor, status
from flows.health import condition
from flows.health.attention import in_short
from flows.health.judgement import judge
from flows.home import disk
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.judgements.editors import set_password
from flows.prefect_server.client import FLOWS
from flows.runs.lacks import put_lack
from flows.runs.news import NEWS_FOR
from flows.runs.run import Run as OpenRun
from flows.service.web_server import record_of
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, certification, gain, master, set_of, sighting
from tests.support.prefect_says import Server, flow_run, prefect_says
from tests.support.watcher_said import pretend_service, say_watcher
from web.app import make_app

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TYPES = (FrameType.BIAS, FrameType.FLAT)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home with one good night."""
    home = open_home(tmp_path / "home")
    night(home, 0)
    yield home
    home.engine.dispose()


def night(
    home: Home, number: int, *, types: tuple[FrameType, ...] = TYPES, camera: str = "m2-ml", **made: object
) -> int:
    """A night's frames, and a run that is done; of what it made, a master bias and a gain, some things may differ."""
    at = NOON + number * DAY
    with home.write_session() as session:
        for kind in types:
            frame = add_frame(
                session,
                f"{camera} {kind} {number}",
                kind,
                host=home.settings.host,
                instrument=camera,
                night=at.date(),
                date_obs=at,
            )
        run_id = begin_run(session, set_of(session, frame), digest=f"{camera} {number}", now=at + HOUR)
        if made.pop("is_fruitful", True):
            of = {"valid_from": at, **made}
            record_master(session, run_id=run_id, master=master(f"masters/{camera}{number}.fits", **of))
            record_measurements(session, run_id=run_id, measurements=[gain(observed_at=at)])
        finish_run(session, run_id=run_id, now=at + HOUR)
    return run_id


def recent(days_ago: int) -> int:
    """The number of the night that many days ago."""
    return (now().date() - NIGHT).days - days_ago


# Each makes a home so, and may return what to undo.


def prefect_is_silent(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        pretend_service(home.path, taken.getsockname()[1])


def pages_have_no_editors(home: Home) -> None:
    (home.path / "ccdwatch.toml").write_text("[web]\nallow_edits = true\n")
    prefect_is_silent(home)


def pages_were_given_editors(home: Home) -> None:
    pages_have_no_editors(home)
    set_password(open_home(home.path).settings, "anna", "a password of anna")


def run_fails(home: Home) -> int:
    with home.write_session() as session:
        frame = add_frame(session, "f", host=home.settings.host, night=NIGHT + 9 * DAY)
        run_id = begin_run(session, set_of(session, frame), attempt=3, now=NOON + HOUR)
        fail_run(session, run_id=run_id, message="the lamp was off", now=NOON + HOUR)
    say_watcher(home.path)
    return run_id


def one_product_fails(home: Home) -> None:
    put_lack(OpenRun(home, 1), "master flat V", "the lamp was off", is_failure=True)
    say_watcher(home.path)


def file_is_quarantined(home: Home, reason: str = "no FITS") -> None:
    with home.write_session() as session:
        (file,) = ledger.observe(session, [sighting("bad.fits", at=now())], host=home.settings.host, now=now())
        ledger.quarantine(session, file.id, owner=None, reason=reason, now=now())


def put_notice(home: Home, kind: str, *, ago: timedelta = HOUR, number: int = 1) -> None:
    at = now() - ago
    details = {"limit_min": 0.9, "limit_max": 1.1, "uncertainty": 0.01, "temperature_change_c": None, "is_new_entry": 0}
    with home.write_session() as session:
        session.add(
            Notice(
                **{"kind": kind, "instrument": "m2-ml", "configuration": "bin1x1", "amplifier": "1", "filter": None},
                **{"quantity": "gain", "unit": "e/ADU", "measurement_id": number, "since": at, "observed_at": at},
                **{"before": 1.0, "after": 1.2, "details": details, "raised_at": now(), "told": {}, "tries": 0},
                next_try_at=now() if ago < NEWS_FOR else None,
            )
        )


def frames_are_from_the_future(home: Home) -> None:
    with home.write_session() as session:
        key = add_frame(session, "x", host=home.settings.host, joined_at=now())
        session.execute(
            update(Frame).where(Frame.id == key).values(date_obs=now() + 900 * DAY, calibration_set_id=None)
        )


def flats_are_missing(home: Home) -> None:
    for days_ago in (5, 4, 3):
        night(home, recent(days_ago))
    night(home, recent(2), types=(FrameType.BIAS,))
    say_watcher(home.path)


def file_waits(home: Home, *, ago: timedelta = 2 * HOUR) -> None:
    waits = {"state": FileState.SETTLING, "changed_at": now() - ago}
    with home.write_session() as session:
        session.execute(update(File).where(File.id == 1).values(waits))


def new_files_in_watched_folder(home: Home) -> None:
    (folder := home.path.parent / "raw").mkdir()
    (folder / "new.fits").write_bytes(b"")
    (home.path / "ccdwatch.toml").write_text(f"[watch]\ndirectories = ['{folder}']\n")


def run_is_open_for_days(home: Home) -> None:
    with home.write_session() as session:
        values = {"began_at": now() - 8 * DAY, "outcome": None, "ended_at": None, "host": "elsewhere"}
        session.execute(update(Run).where(Run.id == 1).values(values))


def run_is_cut_short(home: Home) -> None:
    with home.write_session() as session:
        values = {"outcome": Outcome.ABANDONED, "attempt": 3, "message": "killed", "ended_at": now()}
        session.execute(update(Run).where(Run.id == 1).values(values))
    say_watcher(home.path)


def run_was_cancelled(home: Home) -> None:
    with home.write_session() as session:
        frame = add_frame(session, "c", host=home.settings.host, night=NIGHT + 9 * DAY)
        run_id = begin_run(session, set_of(session, frame), now=NOON + HOUR)
        abandon_run(session, run_id=run_id, cancelled=f"cancelled: in Prefect; ccdwatch retry run:{run_id}", now=NOON)
    say_watcher(home.path)


def science_was_tried(home: Home, reason: str | None = "no master flat suits", *, is_failure: bool = False) -> None:
    (home.path / "ccdwatch.toml").write_text("[science]\ncalibrate = true\n")
    with home.write_session() as session:
        frame = add_frame(session, "science", FrameType.OTHER, host=home.settings.host)
        record_try(session, frame, choices="1", reason=reason, is_failure=is_failure, now=now())
    say_watcher(home.path)


def science_is_switched_off(home: Home) -> None:
    science_was_tried(home)
    (home.path / "ccdwatch.toml").write_text("")


def disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**29, total=2**40))


def seen(home: Home) -> None:
    said = CliRunner().invoke(status, ["--home", str(home.path), "--seen"])
    assert said.exit_code == 0, said.output


def mark_master(home: Home, said: str) -> None:
    with home.write_session() as session:
        mark(session, "master", 2, said, why="looked at", who="anna", now=now())  # type: ignore[arg-type]


def all_of(*makers: Callable[[Home], object]) -> Callable[[Home], None]:
    def make(home: Home) -> None:
        for one in makers:
            one(home)

    return make


def silent_for(seconds: float) -> Callable[[Home], None]:
    return lambda home: say_watcher(home.path, ago=seconds)


STATES: dict[str, tuple[Callable[[Home], object], bool, tuple[str, ...]]] = {
    "a good night": (lambda _: None, True, ()),
    "a watcher that works": (lambda home: say_watcher(home.path), True, ()),
    "Prefect is silent": (prefect_is_silent, False, ()),
    "the watcher is silent": (silent_for(600), False, ()),
    "the watcher has trouble": (lambda home: say_watcher(home.path, trouble="work waits: x"), False, ()),
    "a folder is not there": (lambda home: say_watcher(home.path, missing=("/data/a",)), False, ()),
    "no events come": (lambda home: say_watcher(home.path, unobserved=("/data/a",)), False, ()),
    "a folder cannot be listed": (lambda home: say_watcher(home.path, unreadable=("/data/a",)), False, ()),
    "the last scan was long ago": (lambda home: say_watcher(home.path, scanned_at=now() - 3 * HOUR), False, ()),
    "a run has been open for days": (run_is_open_for_days, False, ()),
    "a run is cut short again and again": (run_is_cut_short, False, ()),
    "a file waits in vain": (all_of(file_waits, lambda home: say_watcher(home.path)), False, ()),
    "the pages have no editors": (pages_have_no_editors, False, ("pages",)),
    "the pages were given editors": (pages_were_given_editors, False, ()),
    "a file waits, no service runs": (file_waits, True, ("stopped",)),
    "new files lie in a watched folder, no service runs": (new_files_in_watched_folder, True, ("stopped",)),
    "a run failed": (run_fails, True, ("failed run",)),
    "one product failed": (one_product_fails, True, ("failed run",)),
    "a run failed and was looked at": (all_of(run_fails, seen), True, ()),
    "a run failed, was looked at, and another failed": (
        all_of(run_fails, seen, one_product_fails),
        True,
        ("failed run",),
    ),
    "a run was cancelled": (run_was_cancelled, True, ("cancelled run",)),
    "a run was cancelled and was looked at": (all_of(run_was_cancelled, seen), True, ()),
    "a file is in quarantine": (file_is_quarantined, True, ("quarantine",)),
    "a file is in quarantine and was looked at": (all_of(file_is_quarantined, seen), True, ()),
    "a master is bad": (lambda home: night(home, 1, verdict="bad", remark="dome light"), True, ("master",)),
    "a master is not certified": (
        lambda home: night(home, 1, certification=certification("worse", champion_id=1)),
        True,
        ("master",),
    ),
    "a bad master was followed by a good one": (
        lambda home: (night(home, 1, verdict="bad"), night(home, 2)),
        True,
        (),
    ),
    "a bad master was marked": (
        lambda home: (night(home, 1, verdict="bad"), mark_master(home, "bad")),
        True,
        (),
    ),
    "a value is outside its limits": (lambda home: put_notice(home, "outside"), True, ("trend",)),
    "a value is inside its limits again": (
        lambda home: (put_notice(home, "outside"), put_notice(home, "inside")),
        True,
        (),
    ),
    "a trend stepped": (lambda home: put_notice(home, "step"), True, ("trend",)),
    "a trend stepped and is back": (lambda home: (put_notice(home, "step"), put_notice(home, "back")), True, ()),
    "a trend stepped long ago": (lambda home: put_notice(home, "step", ago=40 * DAY), True, ()),
    "a camera has frames and no results": (
        lambda home: night(home, 1, camera="new", is_fruitful=False),
        True,
        ("no results",),
    ),
    "a science frame lacks a master": (science_was_tried, True, ("science",)),
    "a science frame could not be calibrated, and is tried again": (
        lambda home: science_was_tried(home, "boom", is_failure=True),
        True,
        ("science",),
    ),
    "a science frame lacks a master and was looked at": (all_of(science_was_tried, seen), True, ()),
    "a science frame was calibrated": (
        lambda home: science_was_tried(home, None),
        True,
        (),
    ),
    "a science frame lacks a master, and nobody wants it to be calibrated any more": (
        science_is_switched_off,
        True,
        (),
    ),
    "flats are missing": (flats_are_missing, True, ("missing frames",)),
    "frames are from the future": (frames_are_from_the_future, True, ("date",)),
    "several things at once": (
        all_of(prefect_is_silent, run_fails, file_is_quarantined, lambda home: put_notice(home, "step")),
        False,
        ("failed run", "trend", "quarantine"),
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_all_who_tell_of_health_agree(home: Home, state: str) -> None:
    make, is_working, kinds = STATES[state]
    make(home)
    agree(open_home(home.path), is_working=is_working, kinds=kinds)


@pytest.fixture
def prefect(home: Home) -> Iterator[Server]:
    with prefect_says() as server:
        pretend_service(home.path, int(server.url.removesuffix("/api").rpartition(":")[2]))
        server.is_well()
        yield server


OF_PREFECT: dict[str, tuple[Callable[[Server], object], tuple[str, ...]]] = {
    "nobody did anything": (lambda _: None, ()),
    "a flow is paused": (lambda prefect: prefect.knows(FLOWS, paused=["calibrate"]), ("Prefect",)),
    "a flow is deleted": (lambda prefect: prefect.knows(["ingest"]), ("Prefect",)),
    "a run never began": (lambda prefect: prefect.has_runs(flow_run("SCHEDULED", ago=HOUR)), ("Prefect",)),
    "a run by hand was wrong": (lambda prefect: prefect.has_runs(flow_run("FAILED", "set 9", ago=HOUR)), ("Prefect",)),
}


@pytest.mark.parametrize("state", OF_PREFECT)
def test_what_people_did_in_prefect_is_told_by_all_until_it_was_looked_at(
    home: Home, prefect: Server, state: str
) -> None:
    make, kinds = OF_PREFECT[state]
    make(prefect)
    agree(home, is_working=True, kinds=kinds)
    seen(home)
    agree(home, is_working=True, kinds=())


def test_a_full_disk_is_told_by_all(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_is_full(monkeypatch)
    agree(home, is_working=False, kinds=())


def test_a_database_that_cannot_be_read_keeps_the_service_from_its_work(home: Home) -> None:
    with home.engine.begin() as connection:
        connection.execute(text("DROP TABLE file"))
    judged = judge(home)
    assert (judged.is_working, judged.attention) == (False, ())


def agree(home: Home, *, is_working: bool, kinds: tuple[str, ...]) -> None:
    """Ask all who tell of health: they say the same of both levels."""
    judged = judge(home)
    assert judged.is_working is is_working, judged.findings
    assert tuple(one.kind for one in judged.attention) == kinds, judged.attention
    short = in_short(judged.attention)
    # status, in JSON and in words
    said = run(status, home, "--json")
    told = json.loads(said.output)
    assert said.exit_code == (0 if is_working and not kinds else 1)
    assert (told["working"], told["healthy"]) == (is_working, is_working and not kinds)
    assert told["attention"] == [one.as_dict() for one in judged.attention]
    assert steady(told["problems"]) == steady([*judged.findings, *short])
    assert told["findings"] == told["problems"][: len(judged.findings)]
    in_words = run(status, home)
    assert in_words.exit_code == said.exit_code
    assert steady([in_words.output.splitlines()[0]]) == steady([judged.words])
    # doctor
    lines = run(doctor, home).output.splitlines()
    failed = [line.removeprefix("FAIL service: ") for line in lines if line.startswith("FAIL service: ")]
    assert steady([line.rpartition(": see ")[0] for line in failed]) == steady(judged.findings)
    looked = [line for line in lines if line.startswith("warn look at ")]
    assert looked == [f"warn look at {words}: ccdwatch status" for words in short]
    # pages and monitors
    app = make_app(record_of(home, "127.0.0.1", 4300))
    answer, of_api, of_level = asyncio.run(answers(app, "/health", "/api/health", "/health?level=attention"))
    assert (answer.status_code, of_api.status_code) == (200 if is_working else 503, 200)
    for of in (answer.json(), of_api.json()):
        assert of["status"] == ("ok" if is_working else "degraded")
        assert steady(of["findings"]) == steady(judged.findings)
        assert of["attention"] == told["attention"]
    assert of_level.status_code == answer.status_code
    assert of_level.json() == {"attention": told["attention"], "n_attention": len(kinds)}
    pages = asyncio.run(answers(app, "/now", "/", "/health", accept="text/html"))
    for one in pages:
        page = html.unescape(one.text)
        assert all(concern["words"] in page for concern in told["attention"]), one.url
        assert all(finding in steady_text(page) for finding in steady(judged.findings)), one.url
    word = "healthy" if is_working and not kinds else "look at this" if is_working else "not working"
    assert f">{word}</span>" in pages[0].text


async def answers(app: FastAPI, *paths: str, accept: str = "*/*") -> list[httpx.Response]:
    transport, headers = httpx.ASGITransport(app), {"accept": accept}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        return [await client.get(path) for path in paths]


def steady_text(words: str) -> str:
    """A text without what changes from one second to the next."""
    return re.sub(r"\d+ (s|min|h) ago", "ago", words)


def steady(words: object) -> set[str]:
    return {steady_text(one) for one in words}  # type: ignore[attr-defined]


def run(command: click.Command, home: Home, *options: str):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(command, ["--home", str(home.path), *options])


def test_what_was_looked_at_is_on_record_once_with_the_first_who_did(home: Home) -> None:
    run_id = run_fails(home)
    said = run(status, home, "--seen")
    assert f"seen: run:{run_id}, " in said.output
    with home.read_session() as session:
        first = session.execute(text("SELECT key, who, seen_at FROM seen")).all()
    assert [row.key for row in first] == [f"run:{run_id}"]
    assert "seen: " not in run(status, home, "--seen").output
    file_is_quarantined(home)
    assert run(status, home).exit_code == 1
    with home.read_session() as session:
        assert session.execute(text("SELECT key, who, seen_at FROM seen")).all() == first


def test_a_file_that_is_put_into_quarantine_again_is_told_again(home: Home) -> None:
    file_is_quarantined(home)
    seen(home)
    with home.write_session() as session:
        changed = sighting("bad.fits", size=5760, at=now() + HOUR)
        (file,) = ledger.observe(session, [changed], host=home.settings.host, now=now())
        ledger.quarantine(session, file.id, owner=None, reason="no FITS yet", now=now())
    agree(home, is_working=True, kinds=("quarantine",))


def test_frames_of_tonight_are_not_missing_yet(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.path / "ccdwatch.toml").write_text("[nights]\nlongitude_deg = 0\n")
    of_site = open_home(home.path)
    for days_ago in (5, 4, 3):
        night(of_site, recent(days_ago))
    night(of_site, recent(2), types=(FrameType.BIAS,))
    say_watcher(home.path)
    noon = datetime.combine(NIGHT + recent(2) * DAY, NOON.timetz()) + DAY
    for at, kinds in ((noon - HOUR, []), (noon + HOUR, ["missing frames"])):
        monkeypatch.setattr("flows.health.judgement.now", lambda at=at: at)
        assert [one.kind for one in judge(of_site).attention] == kinds
    assert date.fromisoformat(f"{noon:%Y-%m-%d}") > NIGHT


def test_silence_counts_from_what_the_clock_says(home: Home) -> None:
    say_watcher(home.path, ago=condition.SILENT_SECONDS + 30)
    assert not judge(home).is_working
