"""What people did in Prefect is told as far as our own record says nothing of it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from db.runs.lifecycle import claim_run
from flows.home.home import Home, open_home
from flows.home.processes import HOST, now, own_start
from flows.prefect_server.client import FLOWS
from flows.prefect_server.doings import BEGINS_WITHIN, TOLD_FOR, doings
from tests.support.on_record import add_frame, set_of
from tests.support.prefect_says import Server, flow_run, prefect_says
from tests.support.watcher_said import pretend_service

HOUR = timedelta(hours=1)
LATE = BEGINS_WITHIN + timedelta(seconds=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def server(home: Home) -> Iterator[Server]:
    with prefect_says() as server:
        pretend_service(home.path, int(server.url.removesuffix("/api").rpartition(":")[2]))
        server.is_well()
        yield server


def told(home: Home) -> list[str]:
    return [one.words for one in doings(home, now())]


def test_nothing_is_told_where_nobody_did_anything_or_prefect_is_away(home: Home, server: Server) -> None:
    assert told(home) == []
    asked = len(server.asked)
    assert asked > 0
    server.answers.clear()
    assert told(home) == []
    (home.path / "service.json").unlink()
    server.asked.clear()
    assert told(home) == []
    assert server.asked == []


def test_a_lost_flow_is_told_and_is_mended_by_itself(home: Home, server: Server) -> None:
    server.knows(["calibrate"])
    (lost,) = doings(home, now())
    assert lost.words.startswith("Prefect does not know the flow ingest")
    assert lost.may_pass


def test_paused_flows_are_told_with_what_to_do(home: Home, server: Server) -> None:
    server.knows([*FLOWS, "report"], paused=["report", "calibrate"])
    assert told(home) == [
        "the flow calibrate is paused in Prefect, the service asks for it all the same: resume it there",
        "the flow report is paused in Prefect, it does not run by the clock: resume it there",
    ]


def test_a_run_that_failed_before_it_began_is_told_and_one_on_record_or_of_the_service_is_not(
    home: Home, server: Server
) -> None:
    with home.write_session() as session:
        claimed(session, set_of(session, add_frame(session, "b1")), flow_run_id="f on record")
    server.has_runs(
        flow_run("FAILED", "set_id is 9: no frames of such a set", ago=HOUR),
        flow_run("FAILED", "the disk is full", ago=HOUR, name="on record"),
        flow_run("FAILED", "the database went away", ago=HOUR, name="ours", idempotency_key="/home:5"),
        flow_run("CRASHED", ago=HOUR, name="by the clock", idempotency_key="scheduled 1 2"),
    )
    assert told(home) == [
        "the run brave-hare failed in Prefect: set_id is 9: no frames of such a set:"
        " when that is put right, ask for it again, or delete it there",
        "the run by the clock failed in Prefect: it does not say why:"
        " when that is put right, ask for it again, or delete it there",
    ]
    at = now()
    doings(home, at)
    since = next(wanted["flow_runs"]["end_time"] for _, path, wanted in server.asked[::-1] if "end_time" in str(wanted))
    assert since == {"after_": (at - TOLD_FOR).isoformat()}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("PAUSED", "resume it in Prefect"),
        ("PENDING", "delete it in Prefect"),
        ("SCHEDULED", "see whether ccdwatch serve runs"),
        ("RUNNING", None),
    ],
)
def test_a_run_that_does_not_begin_is_told(home: Home, server: Server, kind: str, words: str | None) -> None:
    server.has_runs(flow_run(kind, ago=LATE))
    found = told(home)
    assert len(found) == (words is not None)
    assert all(
        one.startswith(f"the run brave-hare is {kind.capitalize()} since ") and str(words) in one for one in found
    )
    server.has_runs(flow_run(kind, ago=BEGINS_WITHIN - timedelta(seconds=10)))
    assert told(home) == []


def test_a_run_that_waits_for_others_of_its_flow_is_not_told(home: Home, server: Server) -> None:
    server.has_runs(flow_run("SCHEDULED", ago=LATE), flow_run("RUNNING", ago=LATE))
    assert told(home) == []
    waiting = [flow_run("SCHEDULED", ago=n * HOUR, name=f"n{n}") for n in (1, 3, 2)]
    server.has_runs(*waiting, flow_run("RUNNING", ago=LATE, flow_id="backfill"))
    (words,) = told(home)
    assert words.startswith("the run n3 is Scheduled since ")
    assert "nothing begins it, and 2 others with it: " in words


def claimed(session: Session, set_id: int, *, flow_run_id: str) -> None:
    claim_run(
        session,
        set_id=set_id,
        digest="d",
        attempt=1,
        engine="prefect",
        flow_run_id=flow_run_id,
        recipes={},
        software={},
        host=HOST,
        pid=1,
        pid_started=own_start(),
        now=now(),
    )
