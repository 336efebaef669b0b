"""What waits, and until when: as a set settles, is queued, runs, fails and is tried again."""

from datetime import timedelta
from pathlib import Path

import pytest

from db.files import ledger
from db.runs.lifecycle import claim_run, fail_run, finish_run
from flows.health.waiting import span, waiting
from flows.home.home import Home, open_home
from flows.home.processes import HOST
from flows.runs.plan import frames_of_set, inputs_digest
from tests.support.on_record import NIGHT, NOON, add_frame, set_of, sighting

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "ccdwatch.toml").write_text("[watch]\nsettle_seconds = 300\n")
    return open_home(tmp_path)


def test_a_set_is_seen_from_its_first_frame_to_its_result(home: Home) -> None:
    with home.write_session() as session:
        add_frame(session, "a", host=home.settings.host)
        set_id = set_of(session, add_frame(session, "b", host=home.settings.host, path="b.fits"))
    of = f"m2-ml {NIGHT} bin1x1, 2 frames"
    (one,) = waiting(home, NOON + 50 * SECOND)
    assert (one.state, one.until) == ("settling", NOON + 5 * MINUTE)
    assert one.words(NOON + 50 * SECOND) == f"{of}: complete in 4 min 10 s (12:05:00 UTC), if no frame joins it"
    (one,) = waiting(home, NOON + 6 * MINUTE)
    assert (one.state, one.words(NOON)) == ("queued", f"{of}: is calibrated next")
    run_id = claim(home, set_id, 1)
    (one,) = waiting(home, NOON + 8 * MINUTE)
    assert (one.state, one.run_id) == ("running", run_id)
    assert one.words(NOON + 8 * MINUTE) == f"{of}: run:{run_id} for 1 min"
    with home.write_session() as session:
        fail_run(session, run_id=run_id, message="the lamp\nwas off", now=NOON + 8 * MINUTE)
    (one,) = waiting(home, NOON + 8 * MINUTE + 5 * SECOND)
    assert (one.state, one.until) == ("failed", NOON + 8 * MINUTE + 30 * SECOND)
    assert one.words(NOON + 8 * MINUTE + 5 * SECOND).endswith(
        f"run:{run_id}, tried again in 25 s (12:08:30 UTC): the lamp was off"
    )
    again = claim(home, set_id, 2)
    with home.write_session() as session:
        finish_run(session, run_id=again, now=NOON + 9 * MINUTE)
    assert waiting(home, NOON + 9 * MINUTE) == ()


def claim(home: Home, set_id: int, attempt: int) -> int:
    with home.write_session() as session:
        own, borrowed = frames_of_set(session, home.settings, set_id)
        run_id = claim_run(
            session,
            set_id=set_id,
            digest=inputs_digest(home.settings, "m2-ml", own, borrowed),
            attempt=attempt,
            engine="local",
            flow_run_id=None,
            recipes={},
            software={},
            host=HOST,
            pid=1,
            pid_started=0.0,
            now=NOON + 7 * MINUTE,
        )
    assert run_id is not None
    return run_id


def test_files_that_are_not_read_yet_are_counted(home: Home) -> None:
    with home.write_session() as session:
        seen = [sighting(f"{name}.fits") for name in "abc"]
        files = ledger.observe(session, seen, host=home.settings.host, now=NOON)
        ledger.mark_ready(session, [files[0].id], now=NOON)
    assert [(one.state, one.what) for one in waiting(home, NOON)] == [
        ("files", "2 files, taken as complete when unchanged for 30 s or closed"),
        ("files", "1 file to be read"),
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59.4, "59 s"), (60, "1 min"), (250, "4 min 10 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_spans_are_written_for_people(seconds: float, words: str) -> None:
    assert span(seconds) == words
