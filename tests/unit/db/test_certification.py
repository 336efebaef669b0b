"""Which master is in force, as more of them come, are judged, are made again, or are made of older nights."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from db.certification import NewCertification
from db.champions import Predecessors, current_reference, predecessors
from db.judgements.write import mark, take_back
from db.provenance import provenance
from db.runs.lifecycle import finish_run
from db.runs.masters import (
    MasterOnRecord,
    forget_master,
    list_masters,
    record_master,
    run_masters,
)
from db.schema.models import Certification
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, certification, master, set_of

DAY = timedelta(days=1)


class Camera:
    """Puts masters on record as runs do: each judged beside what came before it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = 0

    def run_of(self, day: int) -> int:
        self.number += 1
        frame_id = add_frame(self.session, f"day {day}", night=NIGHT + day * DAY)
        return begin_run(self.session, set_of(self.session, frame_id), digest=f"d {self.number}")

    def before(self, day: int) -> Predecessors:
        return predecessors(self.session, run_id=self.run_of(day), master=master(valid_from=NOON + day * DAY))

    def add(self, day: int, outcome: str = "certified", *, change: float = 0.1, **about: object) -> int:
        run_id = self.run_of(day)
        new = master(f"masters/{self.number}.fits", valid_from=NOON + day * DAY, certification=None, **about)
        champion = predecessors(self.session, run_id=run_id, master=new).champion
        of = certification(
            outcome, champion_id=champion and champion.master_id, figures={"change": change} if champion else {}
        )
        values = {name: getattr(new, name) for name in new.__dataclass_fields__}
        master_id = record_master(self.session, run_id=run_id, master=type(new)(**{**values, "certification": of}))
        finish_run(self.session, run_id=run_id, now=NOON)
        return master_id

    def one(self, master_id: int) -> MasterOnRecord:
        return next(one for one in list_masters(self.session, superseded=True) if one.master_id == master_id)

    def in_force(self) -> list[int]:
        return [one.master_id for one in current_reference(self.session, at=NOON)]


@pytest.fixture
def camera(session: Session) -> Camera:
    return Camera(session)


def test_a_master_that_is_not_certified_ends_no_other_and_is_for_nothing(camera: Camera) -> None:
    first, refused = camera.add(1), camera.add(2, "inconsistent")
    assert camera.in_force() == [first]
    assert camera.one(first).valid_to is None
    found = camera.one(refused)
    assert (found.certified, found.valid_from == found.valid_to) == (False, True)
    assert found.valid_to_reason == "not certified: told"
    after = camera.add(3)
    assert camera.in_force() == [after]
    assert camera.one(first).valid_to == NOON + 3 * DAY
    assert camera.one(first).valid_to_reason == f"master {after} of 2022-09-22"


def test_a_master_is_judged_beside_the_last_certified_one_before_its_frames(camera: Camera) -> None:
    assert camera.before(0).champion is None
    camera.add(1)
    second = camera.add(2)
    camera.add(3, "worse")
    camera.add(9)
    champion = camera.before(5).champion
    assert champion is not None
    assert champion.master_id == second


def test_an_old_night_that_comes_late_dethrones_nobody(camera: Camera) -> None:
    first, last = camera.add(1), camera.add(5)
    late = camera.add(3)
    assert camera.in_force() == [last]
    ends = {one.master_id: one.valid_to for one in list_masters(camera.session)}
    assert ends == {first: NOON + 3 * DAY, late: NOON + 5 * DAY, last: None}


def test_a_night_made_again_is_judged_beside_its_own_past_not_itself(camera: Camera) -> None:
    first, second = camera.add(1), camera.add(2)
    camera.add(3)
    champion = camera.before(2).champion
    assert champion is not None
    assert champion.master_id == first
    again = camera.add(2)
    found = camera.one(second)
    assert (found.superseded, found.valid_from == found.valid_to) == (True, True)
    assert found.valid_to_reason == "its set was made anew"
    assert camera.one(again).valid_to == NOON + 3 * DAY
    assert camera.one(first).valid_to == NOON + 2 * DAY


def test_a_night_made_again_and_refused_leaves_its_time_to_the_one_before(camera: Camera) -> None:
    first = camera.add(1)
    camera.add(2)
    last = camera.add(3)
    camera.add(2, "inconsistent")
    assert camera.one(first).valid_to == NOON + 3 * DAY
    assert camera.in_force() == [last]


SAID = {"why": "dome lights were on", "who": "eve", "now": NOON}


@pytest.mark.parametrize("outcome", ["changed", "worse"])
def test_a_refusal_beside_a_champion_falls_with_it_and_comes_back_with_it(camera: Camera, outcome: str) -> None:
    champion, refused = camera.add(1), camera.add(2, outcome)
    own = camera.add(3, "inconsistent")
    assert camera.in_force() == [champion]
    mark(camera.session, "master", champion, "bad", **SAID)
    assert camera.in_force() == [refused]
    assert camera.one(refused).certified_reason == (
        f"master {champion}, beside which it was not certified, is in force no longer: told"
    )
    ended = camera.one(champion)
    assert ended.valid_to == ended.valid_from
    assert ended.valid_to_reason is not None
    assert ended.valid_to_reason.startswith("marked bad: ")
    assert not camera.one(own).certified
    take_back(camera.session, "master", champion, "bad", **SAID)
    assert camera.in_force() == [champion]
    assert camera.one(champion).valid_to is None


def test_a_mark_ends_the_validity_of_a_champion_and_gives_it_to_the_one_before(camera: Camera) -> None:
    first, second, third = camera.add(1), camera.add(2), camera.add(3)
    mark(camera.session, "master", third, "bad", **SAID)
    assert camera.in_force() == [second]
    mark(camera.session, "master", second, "bad", **SAID)
    assert camera.in_force() == [first]
    take_back(camera.session, "master", third, "bad", **SAID)
    assert camera.in_force() == [third]
    assert camera.one(first).valid_to == NOON + 3 * DAY


def test_people_may_put_in_force_what_was_refused(camera: Camera) -> None:
    first, refused = camera.add(1), camera.add(2, "inconsistent")
    bad = camera.add(3, verdict="bad")
    for master_id in (refused, bad):
        mark(camera.session, "master", master_id, "good", **SAID)
    assert camera.in_force() == [refused]
    assert camera.one(first).valid_to == NOON + 2 * DAY
    reason = camera.one(refused).certified_reason
    assert reason is not None
    assert "dome lights were on" in reason
    assert reason.endswith(", though: told")
    take_back(camera.session, "master", refused, "good", **SAID)
    assert camera.in_force() == [first]


def test_a_refusal_stands_where_the_champion_was_made_again(camera: Camera) -> None:
    camera.add(1)
    refused = camera.add(2, "changed")
    again = camera.add(1)
    assert not camera.one(refused).certified
    assert camera.in_force() == [again]
    camera.add(1, "inconsistent")
    assert camera.in_force() == [refused]


def test_the_witness_is_the_last_one_that_differed_all_over(camera: Camera) -> None:
    champion = camera.add(1)
    camera.add(2, "inconsistent")
    assert camera.before(3).witness is None
    camera.add(3, "changed")
    last = camera.add(4, "changed")
    camera.add(5, "worse")
    found = camera.before(6)
    assert found.champion is not None
    assert found.witness is not None
    assert (found.champion.master_id, found.witness.master_id) == (champion, last)
    promoted = camera.add(6)
    found = camera.before(7)
    assert found.champion is not None
    assert (found.champion.master_id, found.witness) == (promoted, None)


def test_how_far_masters_wander_is_remembered(camera: Camera) -> None:
    camera.add(1)
    for day in range(2, 15):
        camera.add(day, change=float(day))
    assert camera.before(20).changes == tuple(map(float, range(5, 15)))
    assert camera.before(4).changes == (2.0, 3.0)


def test_purposes_are_apart(camera: Camera) -> None:
    camera.add(1, kind="flat", filter="V")
    camera.add(1, kind="dark")
    assert camera.before(2).champion is None


def test_what_was_never_judged_is_not_in_force_and_a_mask_needs_no_judgement(camera: Camera) -> None:
    run_id = camera.run_of(1)
    record_master(camera.session, run_id=run_id, master=master(certification=None))
    record_master(camera.session, run_id=run_id, master=master("masters/m.fits", kind="mask", certification=None))
    finish_run(camera.session, run_id=run_id, now=NOON)
    bias, mask = list_masters(camera.session)
    assert (bias.certified, bias.certified_reason) == (False, "it was not judged")
    assert mask.is_good
    assert camera.in_force() == []
    assert [one.certified for one in run_masters(camera.session, run_id)] == [False, True]


def test_a_bad_one_is_not_certified_because_it_is_bad(camera: Camera) -> None:
    bad = camera.add(1, verdict="bad", remark="noisy")
    assert camera.one(bad).certified_reason == "its verdict is bad: noisy"


def test_provenance_tells_what_was_said_of_a_master(camera: Camera) -> None:
    champion, refused = camera.add(1), camera.add(2, "changed", change=3.5)
    found = provenance(camera.session, f"master:{refused}")["certification"]
    assert found == {
        "outcome": "changed",
        "reason": "told",
        "figures": {"change": 3.5},
        "champion": f"master:{champion}",
        "judged_at": NOON.isoformat(),
    }
    run_id = camera.run_of(5)
    never = record_master(camera.session, run_id=run_id, master=master("masters/n.fits", certification=None))
    assert provenance(camera.session, f"master:{never}")["certification"] is None


def test_a_master_is_forgotten_with_what_was_said_of_it(camera: Camera) -> None:
    run_id = camera.run_of(1)
    master_id = record_master(camera.session, run_id=run_id, master=master())
    forget_master(camera.session, master_id)
    assert camera.session.query(Certification).count() == 0


def test_reasons_with_names_of_any_bytes_are_kept_readable(camera: Camera) -> None:
    run_id = camera.run_of(1)
    new = NewCertification("inconsistent", "\udcff.fits: odd", NOON, figures={"chi2": float("nan")})
    record_master(camera.session, run_id=run_id, master=master(certification=new))
    (found,) = run_masters(camera.session, run_id)
    assert found.certified_reason is not None
    assert found.certified_reason.endswith(".fits: odd")
