"""Masters on record: their validity, and the current good ones."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType
from db.champions import current_reference
from db.frames.listing import list_frames
from db.runs.lacks import record_lack
from db.runs.lifecycle import fail_run, finish_run
from db.runs.masters import list_masters, record_master
from db.runs.runs import list_runs
from db.schema.models import CalibrationSet
from tests.support.on_record import HOST, NIGHT, NOON, add_frame, begin_run, hash_of, master, set_of

DAY = timedelta(days=1)


@pytest.fixture
def add(session: Session) -> "Adder":
    return Adder(session)


class Adder:
    """Puts masters on record, each made by a finished run of its own night."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = 0

    def __call__(self, day: int, *, digest: str = "d1", **changes: object) -> str:
        night = NIGHT + day * DAY
        self.number += 1
        path = f"masters/{self.number}.fits"
        frame_id = add_frame(self.session, f"day {day}", night=night)
        run_id = begin_run(self.session, set_of(self.session, frame_id), digest=f"{digest} {self.number}")
        made = master(path, valid_from=NOON + day * DAY, **changes)
        record_master(self.session, run_id=run_id, master=made)
        finish_run(self.session, run_id=run_id, now=NOON)
        return path

    def flats(self, *filters: str, lacks: dict[str, bool] | None = None, **changes: object) -> list[str]:
        """Put a run of one night's flats on record: what it made, and what not and whether that failed."""
        set_id = set_of(self.session, add_frame(self.session, "flat", FrameType.FLAT))
        self.number += 1
        run_id = begin_run(self.session, set_id, digest=str(self.number))
        paths = [f"masters/{self.number}{one}.fits" for one in filters]
        for path, one in zip(paths, filters, strict=True):
            made = master(path, kind="flat", filter=one, **changes)
            record_master(self.session, run_id=run_id, master=made)
        for one, is_failure in (lacks or {}).items():
            record_lack(self.session, run_id=run_id, product=f"master flat {one}", reason="why", is_failure=is_failure)
        finish_run(self.session, run_id=run_id, now=NOON)
        return paths


def test_a_master_is_valid_until_the_next_one_whatever_the_order_of_making(session: Session, add: Adder) -> None:
    late, early = add(5), add(1)
    flat = add(3, kind="flat", filter="r")
    found = {row.path: (row.valid_from, row.valid_to) for row in list_masters(session)}
    assert found == {
        early: (NOON + DAY, NOON + 5 * DAY),
        flat: (NOON + 3 * DAY, None),
        late: (NOON + 5 * DAY, None),
    }
    assert [row.path for row in list_masters(session)] == [early, flat, late]


def test_a_bad_master_is_for_nothing_and_ends_no_other(session: Session, add: Adder) -> None:
    good, bad = add(1), add(2, verdict="bad", remark="noisy")
    found = {row.path: row for row in list_masters(session)}
    assert found[good].valid_to is None
    assert found[bad].valid_to == found[bad].valid_from
    assert [row.path for row in current_reference(session, at=NOON)] == [good]


def test_a_superseded_master_shows_on_request_only(session: Session, add: Adder) -> None:
    old, new = add(1), add(1)
    assert [row.path for row in list_masters(session)] == [new]
    first, second = list_masters(session, superseded=True)
    assert (first.path, first.superseded, first.valid_to == first.valid_from) == (old, True, True)
    assert (second.path, second.superseded, second.valid_to) == (new, False, None)


@pytest.mark.parametrize("n_failed", [1, 2])
def test_a_master_stays_in_force_while_newer_runs_fail_to_make_it(session: Session, add: Adder, n_failed: int) -> None:
    kept, gone = add.flats("v", "r")
    for _ in range(n_failed):
        (newer,) = add.flats("r", lacks={"v": True})
    assert [(one.path, one.superseded, one.valid_to) for one in list_masters(session)] == [
        (kept, False, None),
        (newer, False, None),
    ]
    assert {one.path for one in current_reference(session, at=NOON)} == {kept, newer}
    assert next(one.superseded for one in list_masters(session, superseded=True) if one.path == gone)
    made = add.flats("v", "r")
    assert sorted(one.path for one in list_masters(session)) == sorted(made)


def test_a_master_gives_way_to_a_reason_that_there_is_none(session: Session, add: Adder) -> None:
    add.flats("v", "r")
    (newer,) = add.flats("r", lacks={"v": False})
    assert [one.path for one in list_masters(session)] == [newer]
    (newer,) = add.flats("r", lacks={"v": True})  # what failed now would have come after that
    assert [one.path for one in list_masters(session)] == [newer]


def test_a_bad_master_comes_no_more_into_force_by_a_failure(session: Session, add: Adder) -> None:
    add.flats("v", "r", verdict="bad")
    (newer,) = add.flats("r", lacks={"v": True})
    assert [one.path for one in current_reference(session, at=NOON)] == [newer]


def test_a_master_from_before_its_frames_were_put_right_is_kept_by_no_failure(session: Session, add: Adder) -> None:
    add.flats("v")
    session.execute(update(CalibrationSet).values(changed_at=NOON + timedelta(seconds=1)))
    add.flats(lacks={"v": True})
    assert list_masters(session) == []


def test_the_reference_is_the_latest_good_one_for_each_purpose(session: Session, add: Adder) -> None:
    add(1)
    bias = add(2, verdict="suspect")
    red, green = add(3, kind="flat", filter="r"), add(4, kind="flat", filter="g")
    add(5, kind="flat", filter="g", verdict="bad")
    assert sorted(row.path for row in current_reference(session, at=NOON)) == sorted([bias, red, green])
    assert [row.path for row in list_masters(session, kind="flat")][:2] == [red, green]
    assert list_masters(session, instrument="other") == []


def test_the_master_of_an_unfinished_run_is_not_shown(session: Session) -> None:
    run_id = begin_run(session, set_of(session, add_frame(session, "a")))
    record_master(session, run_id=run_id, master=master())
    assert list_masters(session, superseded=True) == []


def test_a_master_is_plain_json(session: Session, add: Adder) -> None:
    path = add(0, statistics={"noise": float("nan")})
    row = json.loads(json.dumps(list_masters(session)[0].as_dict(), allow_nan=False))
    expected = {"kind": "bias", "path": path, "sha256": hash_of(path), "night": "2022-09-19", "n_combined": 10}
    assert expected.items() <= row.items()
    assert (row["valid_from"], row["statistics"]) == ("2022-09-19T12:00:00+00:00", {"noise": None})


def test_frames_are_listed_with_all_their_files(session: Session) -> None:
    add_frame(session, "late", date_obs=NOON + DAY)
    add_frame(session, "undated", date_obs=None, joined_at=NOON + timedelta(hours=1))
    add_frame(session, "early", FrameType.FLAT, path="caf\udce9.fits", filter="r")
    add_frame(session, "early", path="copy.fits")
    early, undated, late = list_frames(session)
    assert early.as_dict()["paths"] == ["/data/raw/caf\\udce9.fits", "/data/raw/copy.fits"]
    assert (undated.date_obs, late.sha256) == (None, hash_of("late"))
    assert list_frames(session, frame_type="flat") == [early]
    assert list_frames(session, instrument="other") == []
    assert list_frames(session, since=NOON + timedelta(hours=1), until=NOON + DAY) == [undated]
    json.dumps(early.as_dict(), allow_nan=False).encode()


def test_runs_are_listed_with_how_they_ended(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "a"))
    ended = [begin_run(session, set_id, attempt=number, now=NOON + number * DAY) for number in range(3)]
    begin_run(session, set_id, attempt=3, now=NOON + 3 * DAY)
    fail_run(session, run_id=ended[0], message="no flats", now=NOON)
    finish_run(session, run_id=ended[1], now=NOON)
    finish_run(session, run_id=ended[2], now=NOON)
    assert [(row.outcome, row.message) for row in list_runs(session)] == [
        ("failed", "no flats"),
        ("done", None),
        ("running", None),
    ]
    assert [row.superseded for row in list_runs(session, superseded=True)] == [False, True, False, False]
    assert list_runs(session, instrument="other") == []
    row = list_runs(session)[0].as_dict()
    assert (row["night"], row["began_at"], row["host"]) == ("2022-09-19", "2022-09-19T12:00:00+00:00", HOST)
