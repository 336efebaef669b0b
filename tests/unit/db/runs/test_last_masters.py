"""The last masters on record: those that are looked at, in place of all, and what is said of them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.association.figures import unread_masters
from db.champions import current_reference, predecessors
from db.judgements.write import mark
from db.runs import masters as rows
from db.runs.master_files import hot_pixels_on_record, last_masters
from db.runs.masters import MasterOnRecord, NewMaster, list_masters
from db.schema.models import Certification, Master, Outcome, Run
from tests.support.long_history import put_frames, put_history
from tests.support.on_record import HOST, NOON, master

AT = datetime(2026, 1, 1, tzinfo=UTC)
OUTCOMES = ["certified"] * 4 + ["worse", "changed", "changed", "inconsistent"]


def history(session: Session, nights: int, *, is_good: float = 1.0, seed: int = 1) -> None:
    """Put masters of two cameras on record, of which a part is good, and the others refused for some reason."""
    put_history(session, instruments=("red", "blue"), nights=nights)
    put_frames(session, host=HOST, per_set=2)
    rng = random.Random(seed)
    before: dict[tuple[str, int], list[int]] = defaultdict(list)
    for key, kind in session.execute(select(Master.id, Master.kind).order_by(Master.id)).tuples().all():
        alike = before[kind, (key - 1) // (2 * nights)]
        said = "certified" if rng.random() < is_good or not alike else rng.choice(OUTCOMES)
        champion = None if not alike else rng.choice(alike[-60:]) if said != "certified" else alike[-1]
        values = {"outcome": said, "champion_id": champion, "figures": {"change": rng.random()} if alike else {}}
        session.execute(update(Certification).where(Certification.master_id == key).values(values))
        if rng.random() > is_good and rng.random() < 0.3:
            session.execute(update(Master).where(Master.id == key).values(verdict="bad"))
        elif rng.random() > is_good and rng.random() < 0.3:
            mark(session, "master", key, rng.choice(["bad", "good"]), why="seen later", who="ann", now=NOON)
        alike.append(key)
    session.flush()
    session.expire_all()


def champions(session: Session) -> list[MasterOnRecord]:
    """Return the champions, found among all that is on record."""
    latest = {one.purpose: one for one in list_masters(session) if one.is_good and one.kind != "mask"}
    return sorted(latest.values(), key=lambda one: one.master_id)


@pytest.mark.parametrize("is_good", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("nights", [3, 25])
def test_the_champions_are_those_of_all(session: Session, nights: int, is_good: float) -> None:
    for seed in range(2):
        with session.begin_nested() as point:
            history(session, nights, is_good=is_good, seed=seed)
            assert sorted(current_reference(session, at=AT), key=lambda one: one.master_id) == champions(session)
            point.rollback()


def test_a_champion_older_than_many_that_are_bad_is_found(session: Session) -> None:
    history(session, 20)
    session.execute(update(Master).where(Master.id > 4, Master.id <= 40).values(verdict="bad"))
    found = {one.master_id for one in current_reference(session, at=AT) if one.instrument == "red"}
    assert found == {3, 4}


@pytest.mark.parametrize("is_good", [1.0, 0.4])
def test_the_last_masters_are_those_of_the_list(session: Session, is_good: float) -> None:
    history(session, 60, is_good=is_good)
    every = list_masters(session, instrument="blue", kind="flat")
    before = every[40].valid_from
    assert last_masters(session, 7, instrument="blue", kind="flat") == every[-7:]
    found = last_masters(session, 7, instrument="blue", kind="flat", before=before)
    assert [(one.master_id, one.is_good) for one in found] == [(one.master_id, one.is_good) for one in every[33:40]]


def test_hot_pixels_are_looked_for_in_darks_and_masks_that_stand(session: Session) -> None:
    history(session, 6)
    of_red = [one for one in list_masters(session, instrument="red") if one.kind == "bias"]
    for one, change in zip(
        of_red, ({"kind": "dark"}, {"kind": "dark", "verdict": "bad"}, {"kind": "mask"}), strict=False
    ):
        session.execute(update(Master).where(Master.id == one.master_id).values(**change))
    configuration = of_red[0].configuration
    found = {one.id for one in hot_pixels_on_record(session, "red", configuration)}
    assert found == {of_red[0].master_id, of_red[2].master_id}
    assert hot_pixels_on_record(session, "red", "bin9x9") == hot_pixels_on_record(session, "blue", configuration) == []
    session.execute(update(Run).where(Run.id == of_red[0].run_id).values(outcome=Outcome.FAILED))
    assert [one.id for one in hot_pixels_on_record(session, "red", configuration)] == [of_red[2].master_id]


def new(kind: str, at: datetime) -> NewMaster:
    return master(kind=kind, valid_from=at)


@pytest.mark.parametrize("is_good", [1.0, 0.3])
def test_a_new_master_is_judged_beside_the_same_as_if_all_were_read(
    session: Session, is_good: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    history(session, 80, is_good=is_good)
    asked = [(run_id, new(kind, NOON.replace(year=2026))) for run_id in (20, 160) for kind in ("bias", "flat")]
    monkeypatch.setattr("db.champions._FEW", 2)  # so few that more are read, once and again
    found = [predecessors(session, run_id=run_id, master=one) for run_id, one in asked]
    monkeypatch.setattr("db.champions._FEW", 10**6)
    assert found == [predecessors(session, run_id=run_id, master=one) for run_id, one in asked]
    assert all(len(one.changes) == 10 for one in found)


@pytest.mark.parametrize("run_id", [40, 130])
def test_the_figures_of_a_run_are_held_against_the_same_earlier_masters(session: Session, run_id: int) -> None:
    history(session, 80, is_good=0.8)
    every = [one for one in unread_masters(session, instruments={"red", "blue"}) if one.master.run_id == run_id]
    found = unread_masters(session, run_id=run_id)
    assert ids(found) == ids(every)
    assert found


def ids(unread: Sequence[object]) -> list[tuple[int, list[int]]]:
    return [(one.master.master_id, [of.master_id for of in one.earlier]) for one in unread]  # type: ignore[attr-defined]


def test_what_a_run_reads_of_masters_does_not_grow_with_the_record(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    certified = rows._certified

    def counted(found: Sequence[dict[str, object]]) -> list[MasterOnRecord]:
        read.append(len(found))
        return certified(found)

    monkeypatch.setattr(rows, "_certified", counted)
    n_read = {}
    monkeypatch.setattr("db.association.figures.STEPS", (1, 2, 3))
    for nights in (30, 60):
        with session.begin_nested() as point:
            history(session, nights)
            read.clear()
            current_reference(session, at=AT)
            predecessors(session, run_id=nights, master=new("flat", AT))
            unread_masters(session, run_id=nights)
            n_read[nights] = sum(read)
            point.rollback()
    assert n_read[30] == n_read[60]
