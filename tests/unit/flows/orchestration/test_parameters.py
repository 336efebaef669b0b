"""What a run is asked for by hand or again: checked by name, and made a plan of what is there now."""

from pathlib import Path

import pytest

from db.runs.lifecycle import abandon_run, claim_run, fail_run, finish_run
from flows.home.home import Home, open_home
from flows.home.processes import HOST, now, own_start
from flows.orchestration.parameters import Asked, WrongParameterError, asked_again, checked, next_run
from tests.support.on_record import add_frame, set_of

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize("set_id", ["abc", "5", None, 0, -1, 2**31, True, 1.5, [5], 10**30])
def test_what_is_no_number_of_a_set_is_named(set_id: object) -> None:
    with pytest.raises(WrongParameterError, match=r"^set_id is .+: give the number of a set") as found:
        checked(set_id, None, None)
    assert str(found.value).isprintable()


@pytest.mark.parametrize(
    ("name", "digest", "attempt"),
    [
        ("digest", "d", 1),
        ("digest", 7, 1),
        ("digest", "X" * 5000, 1),
        ("digest", f"{DIGEST}0", 1),
        ("attempt", DIGEST, 0),
        ("attempt", DIGEST, "1"),
    ],
)
def test_what_is_no_digest_or_attempt_is_named(name: str, digest: object, attempt: object) -> None:
    with pytest.raises(WrongParameterError, match=rf"^{name} is .+: leave digest and attempt empty") as found:
        checked(5, digest, attempt)
    assert len(str(found.value)) < 200


def test_what_is_asked_for_as_it_should_be_is_taken() -> None:
    assert checked(5, DIGEST, 2) == Asked(5, DIGEST, 2)
    assert checked(5, None, None) == checked(5, DIGEST, None) == checked(5, None, 2) == 5


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def set_id(home: Home) -> int:
    with home.write_session() as session:
        ids = [add_frame(session, f"b{n}", host=home.settings.host) for n in range(2)]
        return set_of(session, ids[0])


def claimed(home: Home, asked: Asked, *, flow_run_id: str | None = None, pid_started: float | None = None) -> int:
    """Begin this run as a flow run does."""
    with home.write_session() as session:
        run_id = claim_run(
            session,
            set_id=asked.set_id,
            digest=asked.digest,
            attempt=asked.attempt,
            engine="prefect" if flow_run_id else "local",
            flow_run_id=flow_run_id,
            recipes={},
            software={},
            host=HOST,
            pid=1,
            pid_started=own_start() if pid_started is None else pid_started,
            now=now(),
        )
    assert run_id is not None
    return run_id


def planned(home: Home, set_id: int) -> Asked:
    found = next_run(home, set_id)
    assert isinstance(found, Asked)
    return found


def test_a_set_that_there_is_not_is_named(home: Home, set_id: int) -> None:
    with pytest.raises(
        WrongParameterError, match=f"set_id is {set_id + 1}: no frames of such a set are on record here"
    ):
        next_run(home, set_id + 1)


def test_a_run_by_hand_is_the_next_attempt_whatever_became_of_the_last(home: Home, set_id: int) -> None:
    first = planned(home, set_id)
    assert first.attempt == 1
    run_id = claimed(home, first)
    with home.write_session() as session:
        finish_run(session, run_id=run_id, now=now())
    assert planned(home, set_id) == Asked(set_id, first.digest, 2)


def test_a_retry_of_a_failed_run_is_the_next_attempt(home: Home, set_id: int) -> None:
    first = planned(home, set_id)
    run_id = claimed(home, first, flow_run_id="f1")
    with home.write_session() as session:
        fail_run(session, run_id=run_id, message="the disk was full", now=now())
    assert asked_again(home, first, "f1") == Asked(set_id, first.digest, 2)


def test_a_retry_of_a_run_whose_process_was_killed_is_the_next_attempt(home: Home, set_id: int) -> None:
    first = planned(home, set_id)
    claimed(home, first, flow_run_id="f1", pid_started=1.0)  # nobody gave it up yet
    assert asked_again(home, first, "f1") == Asked(set_id, first.digest, 2)


def test_a_retry_of_a_cancelled_run_is_the_next_attempt(home: Home, set_id: int) -> None:
    first = planned(home, set_id)
    run_id = claimed(home, first, flow_run_id="f1")
    with home.write_session() as session:
        abandon_run(session, run_id=run_id, cancelled="cancelled: in Prefect", now=now())
    assert asked_again(home, first, "f1") == Asked(set_id, first.digest, 2)


def test_a_retry_of_what_was_made_since_does_nothing_and_says_so(home: Home, set_id: int) -> None:
    first = planned(home, set_id)
    failed = claimed(home, first, flow_run_id="f1")
    with home.write_session() as session:
        fail_run(session, run_id=failed, message="the disk was full", now=now())
    made = claimed(home, planned(home, set_id), flow_run_id="f2")
    with home.write_session() as session:
        finish_run(session, run_id=made, now=now())
    assert asked_again(home, first, "f1") == f"Nothing to do: this set was made since, by run {made}"
    again = asked_again(home, Asked(set_id, first.digest, 2), "f2")  # somebody wants once more what went well
    assert again == Asked(set_id, first.digest, 3)


def test_nobody_makes_what_somebody_is_at(home: Home, set_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.products.cleanup.is_gone", lambda *_: False)
    run_id = claimed(home, planned(home, set_id), flow_run_id="f1")
    assert next_run(home, set_id) == f"Nothing to do: run {run_id} is at work on this set"
    with home.write_session() as session:
        other = set_of(session, add_frame(session, "b of another", host=home.settings.host, instrument="another"))
    assert planned(home, other).set_id == other


def test_a_run_that_another_one_was_asked_for_stays_what_it_is(home: Home, set_id: int) -> None:
    """Pictures are drawn by a flow run of their own, for the run of another one."""
    first = planned(home, set_id)
    assert asked_again(home, first, "f1") == first
    run_id = claimed(home, first, flow_run_id="f1")
    with home.write_session() as session:
        finish_run(session, run_id=run_id, now=now())
    assert asked_again(home, first, "f2") == first
