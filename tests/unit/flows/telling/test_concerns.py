"""Failed runs, bad masters and missing frames are told, once each; and a summary of each night."""

import base64
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from ccdcore.headers.instrument import FrameType
from db.runs.lifecycle import fail_run, finish_run
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from flows.cli.admin import notify, status
from flows.config.settings import load_settings
from flows.home.home import Home
from flows.home.processes import now
from flows.products.trends import judge_trends
from flows.retries import RUN_ATTEMPTS
from flows.runs.pictures import trend_picture
from flows.runs.run import Run
from flows.telling.concerns import Concerns
from flows.telling.nightly import Nightly, due_summary
from tests.support.on_record import add_frame, begin_run, gain, master, set_of
from tests.support.receivers import Receiver, home_with
from tests.support.watcher_said import say_watcher

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SECRET = "hunter2xyz"


def put(home: Home, name: str, *, ago: timedelta, kinds: tuple[FrameType, ...] = (FrameType.BIAS,)) -> int:
    """A run under way on frames that came some time ago."""
    at = now() - ago
    with home.write_session() as session:
        for kind in kinds:
            known = {"night": at.date(), "date_obs": at, "joined_at": at, "now": at}
            frame = add_frame(session, f"{name} {kind}", kind, host=home.settings.host, **known)
        return begin_run(session, set_of(session, frame), digest=name, attempt=RUN_ATTEMPTS, now=at + HOUR / 60)


def fail(home: Home, name: str = "f", message: str = "the lamp was off") -> int:
    run_id = put(home, name, ago=3 * HOUR)
    with home.write_session() as session:
        fail_run(session, run_id=run_id, message=message, now=now())
    return run_id


def test_what_needs_attention_is_told_once_and_what_comes_later_too(
    tmp_path: Path, receivers: list[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.telling.concerns.LEAST_PAUSE_S", 0.0)
    home = home_with(tmp_path / "home", [receivers[0].url])
    run_id = fail(home)
    assert Concerns(home).tell(now()) == 1
    assert Concerns(home).tell(now()) == 0  # after a restart, too
    bad = put(home, "m", ago=40 * HOUR)
    with home.write_session() as session:
        of = master("masters/m.fits", verdict="bad", remark="dome light", valid_from=now() - 40 * HOUR)
        record_master(session, run_id=bad, master=of)
        finish_run(session, run_id=bad, now=now())
    assert Concerns(home).tell(now()) == 1
    first, second = receivers[0].received
    assert first["title"] == "ccdwatch: 1 failed run"
    assert f"failed run: run:{run_id}, m2-ml " in first["message"]
    assert first["message"].endswith("https://ccd.example/health")
    assert second["title"] == "ccdwatch: 1 master that may not be used"
    assert "dome light" in second["message"]


def test_what_may_pass_and_what_was_looked_at_is_told_to_nobody(tmp_path: Path, receivers: list[Receiver]) -> None:
    home = home_with(tmp_path / "home", [receivers[0].url])
    with home.write_session() as session:
        frame = add_frame(session, "p", host=home.settings.host)
        run_id = begin_run(session, set_of(session, frame), now=now())
        fail_run(session, run_id=run_id, message="tried again in half a minute", now=now())
    assert Concerns(home).tell(now()) == 0
    fail(home)
    assert CliRunner().invoke(status, ["--home", str(home.path), "--seen"]).exit_code == 0
    assert Concerns(home).tell(now()) == 0
    assert receivers[0].received == []


def test_who_cannot_be_reached_is_told_of_concerns_later_and_the_others_once(
    tmp_path: Path, receivers: list[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("flows.telling.pace.monotonic", lambda: clock[0])
    home = home_with(tmp_path / "home", [one.url for one in receivers])
    receivers[1].status = 503
    fail(home)
    concerns = Concerns(home)
    assert [concerns.tell(now()) for _ in range(2)] == [1, 0]
    receivers[1].status = 200
    clock[0] += 29
    assert concerns.tell(now()) == 0  # not before its time
    clock[0] += 2
    assert concerns.tell(now()) == 1
    assert [len(one.received) for one in receivers] == [1, 1]


def test_no_message_says_what_is_secret(tmp_path: Path, receivers: list[Receiver]) -> None:
    secret = receivers[0].url.replace("json://", f"json://user:{SECRET}@")
    home = home_with(tmp_path / "home", [receivers[0].url, secret])
    load_settings(home.path)
    fail(home, message=f"{secret} does not answer: {SECRET}")
    assert Concerns(home).tell(now()) == 2
    nightly = home_with(home.path, [receivers[0].url, secret], nightly=f"{now().astimezone():%H:%M}")
    assert Nightly(nightly).tell(now()) == 2
    said = "".join(one["title"] + one["message"] for one in receivers[0].received)
    assert "does not answer" in said
    assert SECRET not in said


def test_a_night_is_summed_up_once_with_a_picture(tmp_path: Path, receivers: list[Receiver]) -> None:
    at = (now() + 2 * HOUR).astimezone()  # so that what came in the hours before now is of the last day
    home = home_with(tmp_path / "home", [receivers[0].url], nightly=f"{at:%H:%M}")
    for days_ago in (4, 3, 2):
        run_id = put(home, f"n{days_ago}", ago=days_ago * DAY, kinds=(FrameType.BIAS, FrameType.FLAT))
        done(home, run_id, ago=days_ago * DAY)
    run_id = put(home, "tonight", ago=3 * HOUR)  # of the night of what fails, at any time of day
    done(home, run_id)
    fail(home)
    say_watcher(home.path)
    nightly = Nightly(home)
    assert nightly.tell(at - HOUR) == 0
    assert nightly.tell(at + HOUR) == 1
    assert nightly.tell(at + 2 * HOUR) == 0
    assert Nightly(home).tell(at + 2 * HOUR) == 0
    (message,) = receivers[0].received
    assert message["title"].startswith("ccdwatch: 2 frames, 1 result, 1 failed run, 1 set that lacks frames")
    said = message["message"]
    assert "m2-ml: 2 biases" in said
    assert "gain 0.9700 ± 0.0040 e⁻/ADU (amplifier 1, unjudged)" in said
    assert "the lamp was off" in said
    assert "no flats, which the 3 sets before had" in said
    picture = base64.b64decode(message["attachments"][0]["base64"])
    assert picture == (home.path / trend_picture(run_id, "gain")).read_bytes()
    assert nightly.tell(at + DAY) == 1


def done(home: Home, run_id: int, *, ago: timedelta = timedelta()) -> None:
    with home.write_session() as session:
        record_measurements(session, run_id=run_id, measurements=[gain(observed_at=now() - ago)])
        finish_run(session, run_id=run_id, now=now() - ago)
    judge_trends(Run(home, run_id))


@pytest.mark.parametrize(("hour", "key"), [(7, None), (8, "night 2026-11-29"), (19, "night 2026-11-29"), (20, None)])
def test_a_summary_is_due_from_its_time_on_for_half_a_day(hour: int, key: str | None) -> None:
    local = datetime(2026, 11, 29, hour, 0).astimezone()
    assert due_summary("08:00", local) == key
    assert due_summary(None, local) is None


def test_a_test_message_is_sent_to_all(tmp_path: Path, receivers: list[Receiver]) -> None:
    secret = receivers[0].url.replace("json://", f"json://user:{SECRET}@")
    home = home_with(tmp_path / "home", [secret, receivers[1].url, "nosuch://x"])
    receivers[1].status = 503
    said = CliRunner().invoke(notify, ["--home", str(home.path), "--test"])
    assert said.exit_code == 1
    first, second, third = said.output.splitlines()[:3]
    assert first.startswith("address 1, json://user:***@127.0.0.1")
    assert first.endswith(": taken")
    assert "not taken" in second
    assert "not taken" in third
    assert SECRET not in said.output
    assert [one["title"] for one in receivers[0].received] == ["ccdwatch: a test"]
