"""Calibrated frames on record, and which of them would now get other masters."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from ccdcore.application.ingredients import Readout
from ccdcore.cards.sections import Amplifier, Section
from ccdcore.headers.instrument import FrameType
from ccdcore.recipe import Recipes
from db.application.affected import affected
from db.application.calibrated import (
    NewCalibrated,
    calibrated_at,
    calibrated_frames,
    calibrated_subjects,
    forget_calibrated,
    record_calibrated,
)
from db.application.readout import READ_FROM, Readouts, readout_of
from db.association.best import best
from db.association.detectors import Detectors, detector_of
from db.association.subjects import subjects_on_record
from db.judgements.write import mark, take_back
from db.runs import lifecycle
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from db.schema.calibrated import Calibrated
from db.schema.models import Frame, Instrument, Measurement
from tests.support.on_record import NOON, add_frame, begin_run, gain, hash_of, master, set_of

HOUR = timedelta(hours=1)


def made(session, name, *masters, measurements=(), day=0, **changes):
    """Put a run on record, with what it made; return the ids of its masters."""
    at = NOON + timedelta(days=day)
    frame = add_frame(session, name, date_obs=at, night=at.date(), **changes)
    run = begin_run(session, set_of(session, frame), digest=name)
    record_measurements(session, run_id=run, measurements=measurements)
    ids = [record_master(session, run_id=run, master=one) for one in masters]
    assert lifecycle.finish_run(session, run_id=run, now=NOON)
    return ids


def science(session, name, *, at=NOON + HOUR, **changes):
    known = {"exposure_time_s": 30.0, "filter": "V", "date_obs": at, "night": at.date(), **changes}
    return add_frame(session, name, FrameType.OTHER, **known)


def calibrate(session, frame_id, *, path="", now=NOON):
    """Put on record what a frame would be calibrated with now."""
    subject = subjects_on_record(session, [frame_id])[frame_id]
    (answer,) = best(session, [subject], recipes=Recipes())
    new = NewCalibrated(
        frame_id=frame_id,
        frame_sha256=hash_of("frame"),
        subject=answer.subject,
        masters={one.kind: one.master.master_id for one in answer.choices},
        prices={one.kind: one.price and one.price.total_e for one in answer.choices},
        readout=readout_of(session, answer.subject, readout_masters(answer)).of,
        unit="adu",
        path=path or f"calibrated/{frame_id}.fits",
        sha256=hash_of("output"),
        software={"ccdwatch": "0.1.0"},
    )
    return record_calibrated(session, new, now=now)


def readout_masters(answer):
    return [one.master.master_id for kind in READ_FROM for one in answer.choices if one.kind == kind]


def brute_force(session):
    """Choose for each calibrated frame anew, one by one."""
    rows = calibrated_frames(session)
    subjects = subjects_on_record(session, {one.frame_id for one in rows})
    answers = best(session, [subjects[one.frame_id] for one in rows], recipes=Recipes())
    now = [{one.kind: one.master.master_id for one in answer.choices} for answer in answers]
    return [(one.calibrated_id, chosen) for one, chosen in zip(rows, now, strict=True) if one.masters != chosen]


def seen(session):
    return [(one.calibrated.calibrated_id, one.now) for one in affected(session, recipes=Recipes())]


def test_what_was_made_is_on_record_until_another_takes_its_path(session):
    made(session, "bias1", master())
    frame_id = science(session, "light1")
    first = calibrate(session, frame_id, path="/data/m42.fits")
    (row,) = calibrated_frames(session, [frame_id])
    assert (row.calibrated_id, row.frame_id, row.path) == (first, frame_id, "/data/m42.fits")
    assert row.masters.keys() == {"bias"}
    second = calibrate(session, frame_id, path="/data/m42.fits", now=NOON + HOUR)
    assert [one.calibrated_id for one in calibrated_frames(session)] == [second]
    assert calibrated_at(session, "/data/m42.fits").calibrated_id == second
    forget_calibrated(session, second)
    assert calibrated_at(session, "/data/m42.fits").calibrated_id == first
    assert calibrated_at(session, "/data/m43.fits") is None


def test_a_frame_comes_back_as_the_choice_saw_it(session):
    made(session, "bias1", master())
    frame_id = science(session, "light1", set_temperature_c=-20.0)
    calibrate(session, frame_id)
    ((_, subject),) = calibrated_subjects(session)
    assert subject == subjects_on_record(session, [frame_id])[frame_id]


def test_affected_is_what_brute_force_finds(session):
    made(session, "bias1", master(), measurements=[gain(1.5)])
    made(session, "flat1", master("masters/f1.fits", kind="flat", filter="V", unit=""), kind=FrameType.FLAT, day=1)
    frames = [science(session, f"light{n}", at=NOON + n * 6 * HOUR) for n in range(40)]
    for frame_id in frames:
        calibrate(session, frame_id)
    assert seen(session) == brute_force(session) == []
    (later,) = made(session, "bias2", master("masters/b2.fits", valid_from=NOON + timedelta(days=7)), day=7)
    found = seen(session)
    assert found == brute_force(session)
    assert 0 < len(found) < len(frames)
    assert all(now["bias"] == later for _, now in found)
    mark(session, "master", later, "bad", why="a light leak", who="me", now=NOON)
    assert seen(session) == brute_force(session) == []


def test_a_frame_whose_masters_are_good_no_more_is_affected(session):
    (only,) = made(session, "bias1", master())
    calibrate(session, science(session, "light1"))
    mark(session, "master", only, "bad", why="a light leak", who="me", now=NOON)
    ((_, now),) = seen(session)
    assert now == {}


def test_a_frame_whose_gain_is_good_no_more_is_affected(session):
    """Though its masters are the same: its noise, and its electrons, are reckoned with it."""
    made(session, "bias1", master(), measurements=[gain(1.5), gain(5.0, quantity="read_noise")])
    late = NOON + timedelta(days=1)
    others = [gain(1.6, observed_at=late), gain(6.0, quantity="read_noise", observed_at=late)]
    made(session, "bias2", measurements=others, day=1)
    first, *rest = (calibrate(session, science(session, f"light{n}", at=NOON + n * HOUR)) for n in range(3))
    session.get_one(Calibrated, rest[-1]).readout = None  # as of before it was on record
    assert seen(session) == []
    key = session.scalars(select(Measurement.id).where(Measurement.quantity == "gain")).first()
    mark(session, "measurement", key, "bad", why="a typo", who="me", now=NOON)
    found = affected(session, recipes=Recipes())
    assert [one.calibrated.calibrated_id for one in found] == [first, rest[0]]
    assert all(one.now == one.calibrated.masters for one in found)
    assert found[0].calibrated.readout == {"1": Readout(1.5, 5.0)}
    assert found[0].readout == {"1": Readout(1.6, 5.0)}
    take_back(session, "measurement", key, "bad", why="none", who="me", now=NOON)
    assert seen(session) == []


def test_a_frame_that_is_marked_bad_is_not_affected(session):
    (only,) = made(session, "bias1", master())
    frame_id = science(session, "light1")
    calibrate(session, frame_id)
    mark(session, "master", only, "bad", why="a light leak", who="me", now=NOON)
    mark(session, "frame", frame_id, "bad", why="clouds", who="me", now=NOON)
    assert seen(session) == []
    take_back(session, "frame", frame_id, "bad", why="none", who="me", now=NOON)
    assert len(seen(session)) == 1


def test_a_frame_of_which_something_else_is_said_is_looked_at_as_it_is_now(session):
    made(session, "flat1", master("masters/f1.fits", kind="flat", filter="V", unit=""), kind=FrameType.FLAT)
    frame_id = science(session, "light1")
    calibrate(session, frame_id)
    session.get_one(Frame, frame_id).filter = "R"
    session.flush()
    assert seen(session) == brute_force(session)
    assert len(seen(session)) == 1


def test_detectors_of_many_are_those_of_each(session):
    for day in (0, 2, 4):
        at = NOON + timedelta(days=day)
        values = [gain(1.0 + day, observed_at=at), gain(1.2 + day, observed_at=at, amplifier="2")]
        noise = gain(3.0 + day, quantity="read_noise_adu", observed_at=at)
        made(session, f"bias{day}", measurements=[*values, noise] if day != 2 else values, day=day)
    frames = [science(session, f"light{n}", at=NOON + n * 12 * HOUR) for n in range(-3, 12)]
    frames.append(science(session, "undated", at=NOON, date_obs=None))
    subjects = subjects_on_record(session, frames)
    detectors = Detectors(session, "m2-ml")
    found = [detectors.of(subjects[one]) for one in frames]
    assert found == [detector_of(session, subjects[one]) for one in frames]
    assert len(set(found)) == 3


def test_readouts_are_those_of_the_runs_of_the_masters_and_else_the_nearest(session):
    noise = {"quantity": "read_noise", "amplifier": "1"}
    (flat,) = made(
        session,
        "flat1",
        master("masters/f1.fits", kind="flat", filter="V", unit=""),
        measurements=[gain(1.5)],
        kind=FrameType.FLAT,
    )
    (bias,) = made(session, "bias1", master(valid_from=NOON + timedelta(days=3)), day=3)
    made(session, "bias2", measurements=[gain(1.6, observed_at=NOON + HOUR / 2), gain(5.0, **noise)], day=5)
    subject = subjects_on_record(session, [key := science(session, "light1")])[key]
    assert readout_of(session, subject, [flat, bias]).of["1"].gain_e_per_adu == pytest.approx(1.5)
    readouts = Readouts(session, "m2-ml", Detectors(session, "m2-ml"))
    for some in ([flat, bias], [bias, flat], [bias], []):
        assert readouts.of(subject, some) == readout_of(session, subject, some)
    of_bias = readout_of(session, subject, [bias]).of["1"]
    assert (of_bias.gain_e_per_adu, of_bias.read_noise_e) == (1.6, 5.0)


TWO = [Amplifier("1", Section(1, 50, 1, 100)), Amplifier("2", Section(51, 100, 1, 100))]


def values(day, *gains, **about):
    """Gain of amplifier 1 and on, each a value or a value and what is odd about it, and read noise of both."""
    at = NOON + timedelta(days=day)
    noise = [gain(5.0, quantity="read_noise", amplifier=name, observed_at=at) for name in "12"]
    of = [one if isinstance(one, tuple) else (one, None) for one in gains]
    return noise + [
        gain(value, amplifier=str(n), remark=remark, observed_at=at, **about)
        for n, (value, remark) in enumerate(of, start=1)
        if value
    ]


def flat_of(session, *gains):
    one = master("masters/f1.fits", kind="flat", filter="V", unit="")
    return made(session, "flat1", one, measurements=values(0, *gains), kind=FrameType.FLAT, amplifiers=TWO)


def asked(session, masters):
    key = science(session, "light1", amplifiers=TWO)
    found = readout_of(session, subject := subjects_on_record(session, [key])[key], masters)
    return {name: one.gain_e_per_adu for name, one in found.of.items()}, found.doubts, subject


def test_an_amplifier_without_a_gain_takes_the_nearest_and_the_others_their_own(session):
    masters = flat_of(session, 1.5, None)
    made(session, "earlier", measurements=values(-3, 1.1, 1.2), day=-3, amplifiers=TWO)
    assert asked(session, masters)[:2] == ({"1": 1.5, "2": 1.2}, ())


def test_what_is_doubtful_is_taken_only_where_nothing_else_is_on_record(session):
    masters = flat_of(session, (1.5, "the lamp drifts"), (1.7, "the lamp drifts"))
    gains, doubts, subject = asked(session, masters)
    assert gains == {"1": 1.5, "2": 1.7}
    assert doubts == tuple(
        f"no gain of amplifier {one} is on record but a doubtful one: the lamp drifts" for one in "12"
    )
    assert detector_of(session, subject).gain_e_per_adu == pytest.approx(1.6)
    assert detector_of(session, subject).doubts == ("no gain is on record but a doubtful one: the lamp drifts",)
    (answer,) = best(session, [subject], recipes=Recipes())
    assert detector_of(session, subject).doubts[0] in answer.remarks
    made(session, "earlier", measurements=values(-3, 1.1, (1.2, "few pairs")), day=-3, amplifiers=TWO)
    gains, doubts, _ = asked(session, masters)
    assert gains == {"1": 1.1, "2": 1.7}
    assert doubts == ("no gain of amplifier 2 is on record but a doubtful one: the lamp drifts",)
    assert detector_of(session, subject).gain_e_per_adu == pytest.approx(1.1)
    assert detector_of(session, subject).doubts == ()
    assert Detectors(session, "m2-ml").of(subject) == detector_of(session, subject)


def test_what_is_outside_the_limits_of_its_camera_is_doubtful(session):
    masters = flat_of(session, 1.5, 1.7)
    made(session, "earlier", measurements=values(-3, 1.1, 1.2), day=-3, amplifiers=TWO)
    for one in session.scalars(select(Instrument)):
        one.spec = {"gain_e_per_adu": {"max": 1.6}}
    session.flush()
    assert asked(session, masters)[:2] == ({"1": 1.5, "2": 1.2}, ())
    for one in session.scalars(select(Instrument)):
        one.spec = {"gain_e_per_adu": {"max": 1.0}}
    session.flush()
    gains, doubts, _ = asked(session, masters)
    assert gains == {"1": 1.5, "2": 1.7}
    assert "outside its limits" in doubts[0]
