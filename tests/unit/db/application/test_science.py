"""Science frames as the service sees them: what something is to be done to, what became of the others, and why."""

from datetime import timedelta

from sqlalchemy import select

from db.application.science import cameras_with_science, choices_of, record_try, science_to_do, uncalibrated
from db.judgements.write import mark
from db.schema.calibrated import ScienceTry
from db.schema.models import HeaderRevision, Measurement
from tests.support.on_record import HOST, NOON, add_frame, gain, hash_of, master
from tests.unit.db.application.test_calibrated import calibrate, made, science

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def to_do(session, *, choices="1", since=NOON - DAY, camera="m2-ml"):
    return [one.frame_id for one in science_to_do(session, camera, choices=choices, host=HOST, since=since)]


def tried(session, frame_id, reason=None, *, choices="1", is_failure=False, now=NOON):
    record_try(session, frame_id, choices=choices, reason=reason, is_failure=is_failure, now=now)


def test_raw_science_frames_are_to_be_done_the_oldest_first(session):
    add_frame(session, "bias1")
    late, early = science(session, "late", at=NOON + 2 * HOUR), science(session, "early")
    science(session, "average", n_averaged=4)
    science(session, "reduced", frame_type_reason="ZEROCOR = 'ccdwatch': reduced already, not a raw frame")
    science(session, "elsewhere", host="another")
    science(session, "another camera", instrument="b")
    assert to_do(session) == [early, late]
    assert to_do(session, since=NOON + HOUR) == []  # landed before
    assert cameras_with_science(session, since=NOON - DAY) == {"m2-ml", "b"}
    assert cameras_with_science(session, since=NOON + HOUR) == set()
    mark(session, "frame", late, "bad", why="clouds", who="me", now=NOON)
    assert to_do(session) == [early]


def test_what_was_tried_waits_for_another_choice_a_failure_does_not(session):
    done, lacks, failed = (science(session, name) for name in ("done", "lacks", "failed"))
    tried(session, done)
    tried(session, lacks, "no master flat suits")
    tried(session, failed, "boom", is_failure=True)
    tried(session, failed, "boom", is_failure=True, now=NOON + HOUR)
    (one,) = science_to_do(session, "m2-ml", choices="1", host=HOST, since=NOON - DAY)
    assert (one.frame_id, one.last.tries, one.last.tried_at) == (failed, 2, NOON + HOUR)
    assert to_do(session, choices="2") == [done, lacks, failed]
    assert to_do(session, choices="2", since=NOON + DAY) == [lacks, failed]  # what is done is left to people by then
    assert cameras_with_science(session, since=NOON + DAY) == {"m2-ml"}
    tried(session, failed, choices="2")
    assert session.scalars(select(ScienceTry.tries).where(ScienceTry.frame_id == failed)).one() == 1


def test_what_its_header_says_now_is_looked_at_again(session):
    frame_id = science(session, "light1")
    tried(session, frame_id)
    assert to_do(session) == []
    said = {"path": "/data/a.fits", "digest": hash_of("said"), "said": {"filter": "B"}}
    session.add(HeaderRevision(frame_id=frame_id, seen_at=NOON + HOUR, **said))
    assert to_do(session) == [frame_id]


def test_choices_change_with_masters_of_the_camera_marks_of_them_and_of_its_gains_and_rules(session):
    def choices(camera="m2-ml", rules=""):
        return choices_of(session, camera, rules=rules)

    seen = [choices()]
    (first,) = made(session, "bias1", master(), measurements=[gain(1.5)])
    seen.append(choices())
    made(session, "bias2", master("masters/b2.fits"), measurements=[gain(1.5)], instrument="another", day=1)
    own, other = session.scalars(select(Measurement.id).order_by(Measurement.id))
    mark(session, "measurement", other, "bad", why="the lamp", who="me", now=NOON)
    assert choices() == seen[-1]
    mark(session, "master", first, "bad", why="a light leak", who="me", now=NOON)
    seen.append(choices())
    mark(session, "measurement", own, "bad", why="the lamp", who="me", now=NOON)
    seen.append(choices())
    seen.append(choices(rules="without a dark"))
    made(session, "bias3", master("masters/b3.fits"), day=2)
    seen.append(choices())
    assert len(set(seen)) == len(seen)


def test_what_could_not_be_calibrated_is_told_until_it_was(session):
    made(session, "bias1", master())
    one, two = science(session, "one"), science(session, "two", at=NOON + 2 * HOUR)
    tried(session, two, "no flat")
    tried(session, one, "no flat")
    tried(session, science(session, "other"), "boom", is_failure=True)
    tried(session, science(session, "done"))
    told = {row.reason: row for row in uncalibrated(session, host=HOST)}
    assert told["no flat"].frame_ids == (one, two)
    assert (told["boom"].is_failure, told["boom"].tries) == (True, 1)
    assert len(told) == 2
    assert uncalibrated(session, host="another") == []
    calibrate(session, one, now=NOON + HOUR)
    told = {row.reason: row for row in uncalibrated(session, host=HOST)}
    assert told["no flat"].frame_ids == (two,)
