"""The life of a file."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from db.engine import make_engine, session_factory, upgrade
from db.files import ledger
from db.files.ledger import FileRow, Sighting
from db.schema.models import File, FileState
from tests.support.on_record import HOST, NOON, add_frame, hash_of, register, sighting

MAX_TRIES = 3

SECOND = timedelta(seconds=1)
LEASE = timedelta(minutes=5)


def observe(session: Session, *seen: Sighting, now: datetime = NOON) -> list[FileRow]:
    return ledger.observe(session, seen, host=HOST, now=now)


def claim(session: Session, *, owner: str = "w1", limit: int = 10, now: datetime = NOON) -> list[FileRow]:
    return ledger.claim_ready(session, host=HOST, owner=owner, limit=limit, lease_until=now + LEASE, now=now)


def finish(session: Session, file_id: int, *, owner: str = "w1", name: str = "a") -> bool:
    frame_id = register(session, name)
    return ledger.finish(session, file_id, owner=owner, frame_id=frame_id, file_sha256=hash_of(name), now=NOON)


def state(session: Session, file_id: int) -> FileState:
    return session.scalars(select(File.state).where(File.id == file_id)).one()


@pytest.fixture
def ready(session: Session) -> int:
    """The id of one file that is ready."""
    (file,) = observe(session, sighting())
    assert ledger.mark_ready(session, [file.id], now=NOON) == 1
    return file.id


def test_a_new_file_is_seen_once(session: Session) -> None:
    (file,) = observe(session, sighting())
    assert (file.state, file.changed_at, file.tries) == (FileState.SEEN, NOON, 0)
    assert str(file.path) == "/data/raw/a.fits"
    assert observe(session, sighting(), now=NOON + SECOND) == []
    assert ledger.waiting(session, host=HOST) == [file]
    assert ledger.waiting(session, host="elsewhere") == []


@pytest.mark.parametrize("change", [{"size": 5760}, {"at": NOON + SECOND}, {"inode": 8}])
def test_a_changed_signature_starts_its_life_again(session: Session, ready: int, change: dict[str, object]) -> None:
    claim(session)
    assert finish(session, ready)
    (file,) = observe(session, sighting(**change), now=NOON + LEASE)  # type: ignore[arg-type]
    assert (file.id, file.state, file.tries, file.frame_id) == (ready, FileState.SETTLING, 0, None)
    assert file.changed_at == change.get("at", NOON)


def test_a_file_from_the_future_arrived_now(session: Session) -> None:
    (file,) = observe(session, sighting(at=NOON + timedelta(days=365)))
    assert file.changed_at == NOON


def test_an_inode_beyond_a_signed_integer_is_kept(session: Session) -> None:
    huge = sighting(inode=2**64 - 1)
    assert len(observe(session, huge)) == 1
    assert observe(session, huge) == []


def test_a_file_met_twice_in_one_scan_counts_once(session: Session) -> None:
    (file,) = observe(session, sighting(size=1), sighting(size=2))
    assert file.size == 2
    assert observe(session) == []


def test_ten_thousand_files_fit_into_one_scan(session: Session) -> None:
    seen = observe(session, *(sighting(f"{number}.fits") for number in range(10_001)))
    assert ledger.mark_ready(session, [file.id for file in seen], now=NOON) == 10_001
    assert ledger.counts(session)[FileState.READY] == 10_001


def test_claims_come_in_order_of_arrival_and_are_the_owners_alone(session: Session) -> None:
    files = observe(session, sighting("b.fits", at=NOON - SECOND), sighting("a.fits", at=NOON - 2 * SECOND))
    ledger.mark_ready(session, [file.id for file in files], now=NOON)
    (first,) = claim(session, limit=1)
    (second,) = claim(session, owner="w2")
    assert (first.relative_path, second.relative_path) == ("a.fits", "b.fits")
    assert claim(session, owner="w3") == []
    assert not finish(session, first.id, owner="w2")
    assert finish(session, first.id, owner="w1")
    assert state(session, first.id) is FileState.DONE


def test_a_claim_is_for_files_of_this_host(session: Session) -> None:
    (file,) = ledger.observe(session, [sighting()], host="elsewhere", now=NOON)
    ledger.mark_ready(session, [file.id], now=NOON)
    assert claim(session) == []


def test_an_expired_claim_is_taken_over_and_is_no_try(session: Session, ready: int) -> None:
    now = NOON
    for number in range(2 * MAX_TRIES):
        (file,) = claim(session, owner=f"w{number}", now=now)
        assert (file.id, file.tries) == (ready, 0)
        assert claim(session, owner="late", now=now + LEASE - SECOND) == []
        now += LEASE
    assert finish(session, ready, owner=f"w{number}")


def test_who_lost_a_file_is_not_heard(session: Session, ready: int) -> None:
    claim(session)
    observe(session, sighting(size=5760))
    assert not finish(session, ready)
    assert not ledger.quarantine(session, ready, owner="w1", reason="bad", now=NOON)
    assert state(session, ready) is FileState.SETTLING


def test_a_file_rests_between_its_tries_and_is_given_up_at_last(session: Session, ready: int) -> None:
    now = NOON
    for number in range(1, MAX_TRIES + 1):
        claim(session, now=now)
        rest = {"reason": "half a frame", "rest_until": now + 2 * SECOND, "most": MAX_TRIES}
        assert ledger.send_back(session, ready, owner="w1", now=now, **rest)  # type: ignore[arg-type]
        assert ledger.mark_ready(session, [ready], now=now + SECOND) == 0
        now += 2 * SECOND
        assert ledger.mark_ready(session, [ready], now=now) == (number < MAX_TRIES)
    row = session.scalars(select(File)).one()
    assert (row.state, row.claimed_by, row.lease_until) == (FileState.QUARANTINED, None, None)
    assert row.reason == (
        f"given up after 3 tries; half a frame; when the cause is gone, type ccdwatch retry file:{ready}"
    )


def test_a_file_in_quarantine_is_claimed_by_name(session: Session, ready: int) -> None:
    claim(session)
    assert ledger.quarantine(session, ready, owner="w1", reason="no FITS file", now=NOON)
    assert claim(session) == []
    (before,) = ledger.files_of(session, [ready, ready + 1])
    until = NOON + LEASE
    (file,) = ledger.claim_files(session, [ready], owner="w2", lease_until=until, now=NOON)
    assert (before.state, file.id) == (FileState.QUARANTINED, ready)


def test_a_file_that_nobody_claimed_can_be_set_aside(session: Session) -> None:
    (file,) = observe(session, sighting())
    assert ledger.quarantine(session, file.id, owner=None, reason="gone", now=NOON)
    assert state(session, file.id) is FileState.QUARANTINED


def test_files_are_claimed_by_name_in_any_state_but_not_from_others(session: Session, ready: int) -> None:
    (other,) = observe(session, sighting("b.fits"))
    claim(session)
    arguments = {"owner": "w2", "lease_until": NOON + LEASE, "now": NOON}
    (mine,) = ledger.claim_files(session, [ready, other.id], **arguments)  # type: ignore[arg-type]
    assert mine.id == other.id
    assert finish(session, other.id, owner="w2")
    assert len(ledger.claim_files(session, [other.id], **arguments)) == 1  # type: ignore[arg-type]


def test_what_a_claimant_left_is_offered_to_others(session: Session) -> None:
    one, two, _ = (ledger.observe(session, [sighting(f"{n}.fits")], host=HOST, now=NOON)[0] for n in range(3))
    for file, owner in ((one, "gone"), (two, "here")):
        ledger.claim_files(session, [file.id], owner=owner, lease_until=NOON + timedelta(hours=1), now=NOON)
    assert ledger.claimants(session, host=HOST) == {"gone", "here"}
    assert ledger.claimants(session, host="another") == set()
    assert ledger.release(session, owner="gone", now=NOON) == 1
    seen = [sighting(f"{n}.fits") for n in range(3)]
    assert [row.state for row in ledger.files_at(session, seen, host=HOST)] == ["ready", "claimed", "seen"]


def test_only_what_went_away_before_it_was_ready_is_forgotten(session: Session, ready: int) -> None:
    (brief,) = observe(session, sighting("brief.fits"))
    ledger.forget(session, [brief.id, ready])
    assert session.scalars(select(File.id)).all() == [ready]


def test_frames_identified_by_other_rules_are_found(session: Session) -> None:
    add_frame(session, "a", identified_with="old")
    add_frame(session, "b", identified_with="new")
    (file_id,) = ledger.identified_otherwise(session, host=HOST, identified_with="new")
    assert session.get_one(File, file_id).relative_path == "a.fits"


def test_status_counts_states_and_names_the_oldest(session: Session, ready: int) -> None:
    assert ledger.oldest_unprocessed(session) == NOON
    claim(session)
    finish(session, ready)
    assert ledger.oldest_unprocessed(session) is None
    assert Counter({key: number for key, number in ledger.counts(session).items() if number}) == {FileState.DONE: 1}
    assert ledger.counts(session, [FileState.READY]) == {FileState.READY: 0}
    (file,) = ledger.files_at(session, [sighting(), sighting("b.fits")], host=HOST)
    assert file.id == ready
    assert ledger.sightings(session, host=HOST) == [sighting()]


def test_two_claimants_never_get_the_same_file(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        files = observe(session, *(sighting(f"{number}.fits") for number in range(60)))
        ledger.mark_ready(session, [file.id for file in files], now=NOON)

    def work(owner: str) -> Iterator[int]:
        while True:
            with sessions.begin() as session:
                batch = claim(session, owner=owner, limit=3)
            if not batch:
                return
            yield from (file.id for file in batch)

    with ThreadPoolExecutor(4) as pool:
        claimed = [file_id for found in pool.map(lambda name: list(work(name)), "abcd") for file_id in found]
    assert sorted(claimed) == sorted(file.id for file in files)


class LedgerLife(RuleBasedStateMachine):
    """Whatever happens to one file, the ledger follows a simple model of it."""

    engine: Engine

    @initialize()
    def empty(self) -> None:
        self.session = session_factory(self.engine)()
        self.now = NOON
        self.seen = sighting()
        self.owners = (f"w{number}" for number in count())
        self.held: str | None = None
        self.lost: list[str] = []
        (file,) = observe(self.session, self.seen)
        self.id = file.id
        self.frame = register(self.session, "frame")

    def teardown(self) -> None:
        self.session.close()

    @rule(seconds=st.sampled_from([1, 30, 400]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def more_bytes_arrive(self) -> None:
        self.seen = replace(self.seen, size=self.seen.size + 2880)
        (file,) = observe(self.session, self.seen, now=self.now)
        assert (file.state, file.tries) == (FileState.SETTLING, 0)
        self._lose()

    @rule()
    def nothing_arrives(self) -> None:
        assert observe(self.session, self.seen, now=self.now) == []

    @rule()
    def is_stable(self) -> None:
        ledger.mark_ready(self.session, [self.id], now=self.now)

    @rule()
    def is_claimed(self) -> None:
        owner = next(self.owners)
        before = self.row()
        if claim(self.session, owner=owner, now=self.now):
            assert before.state is FileState.READY or before.lease_until <= self.now  # type: ignore[operator]
            self._lose()
            self.held = owner

    @precondition(lambda self: self.held)
    @rule(end=st.sampled_from(["done", "quarantined", "settling"]))
    def its_owner_ends(self, end: str) -> None:
        assert self.held is not None
        mine = self.row().claimed_by == self.held
        assert self._end(self.held, end) is mine
        self.held = None

    @precondition(lambda self: self.lost)
    @rule(end=st.sampled_from(["done", "quarantined", "settling"]))
    def who_lost_it_speaks(self, end: str) -> None:
        before = self.row().state
        assert not self._end(self.lost[-1], end)
        assert self.row().state is before

    @rule()
    def is_tried_again(self) -> None:
        before = self.row()
        is_free = before.state is not FileState.CLAIMED or before.lease_until <= self.now  # type: ignore[operator]
        owner, until = next(self.owners), self.now + LEASE
        assert (
            bool(ledger.claim_files(self.session, [self.id], owner=owner, lease_until=until, now=self.now)) is is_free
        )
        if is_free:
            self._lose()
            self.held = owner

    @invariant()
    def claims_and_states_agree(self) -> None:
        row = self.row()
        assert (row.state is FileState.CLAIMED) == (row.claimed_by is not None)
        assert row.tries < MAX_TRIES or row.state is not FileState.READY
        assert row.state is not FileState.QUARANTINED or row.reason
        assert row.state is not FileState.DONE or (row.frame_id, row.file_sha256) == (self.frame, "f" * 64)

    def row(self) -> File:
        return self.session.get_one(File, self.id, populate_existing=True)

    def _lose(self) -> None:
        if self.held is not None:
            self.lost.append(self.held)
            self.held = None

    def _end(self, owner: str, end: str) -> bool:
        session, now = self.session, self.now
        if end == "done":
            return ledger.finish(session, self.id, owner=owner, frame_id=self.frame, file_sha256="f" * 64, now=now)
        if end == "quarantined":
            return ledger.quarantine(session, self.id, owner=owner, reason="bad", now=now)
        rest = now + timedelta(seconds=10)
        return ledger.send_back(session, self.id, owner=owner, reason="half", rest_until=rest, most=MAX_TRIES, now=now)


def test_the_ledger_follows_the_life_of_a_file() -> None:
    engine = make_engine("sqlite://")
    upgrade(engine)

    class Machine(LedgerLife):
        pass

    Machine.engine = engine
    machine = Machine.TestCase
    machine.settings = settings(
        max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    machine().runTest()
    engine.dispose()
