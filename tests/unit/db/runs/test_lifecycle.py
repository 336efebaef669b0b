"""Writing frames, instruments, runs and results."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from math import inf, nan

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType, Instrument
from ccdcore.quantities import Limits
from db.frames.entries import sync_instruments
from db.frames.series import set_frames
from db.runs.inputs import NewInput, record_inputs
from db.runs.lifecycle import abandon_run, claim_run, fail_run, finish_run
from db.runs.masters import forget_master, list_masters, record_master, run_masters
from db.runs.measurements import NewMeasurement, record_measurements
from db.runs.runs import open_runs, runs_cut_short
from db.schema import models
from tests.support.on_record import (
    AMPLIFIER,
    HOST,
    NIGHT,
    NOON,
    STATISTICS,
    add_frame,
    begin_run,
    gain,
    hash_of,
    info,
    master,
    register,
    set_of,
)

ENTRY = Instrument("m2-ml", match={"HEAD": "DU970P_BV"}, spec={"gain_e_per_adu": Limits(0.9, 1.1)})


@pytest.fixture
def set_id(session: Session) -> int:
    return set_of(session, add_frame(session, "a"))


def superseded_by(session: Session, run_id: int) -> int | None:
    return session.scalars(select(models.Run.superseded_by_id).where(models.Run.id == run_id)).one()


def test_every_field_of_exposure_info_has_a_column() -> None:
    assert {field.name for field in fields(ExposureInfo)} <= set(models.Frame.__table__.columns.keys())


def test_a_frame_comes_back_as_it_was(session: Session) -> None:
    known = {
        "date_obs": datetime(2022, 9, 19, 3, 4, 5, 678901, tzinfo=UTC),
        "exposure_time_s": 2.5,
        "ccd_temperature_c": -80.25,
        "filter": "r",
        "longitude_deg": -16.5,
        "header_gain_e_per_adu": 0.7,
        "header_read_noise_e": 3.0,
    }
    statistics = replace(STATISTICS, median=nan, overscan_level=None)
    frame_id = add_frame(session, "a", FrameType.FLAT, statistics=[statistics], **known)
    (frame,) = set_frames(session, set_of(session, frame_id), host=HOST)
    assert frame.info == info(FrameType.FLAT, **known)
    assert (frame.sha256, frame.shape, frame.amplifiers) == (hash_of("a"), (10, 24), (AMPLIFIER,))
    assert str(frame.statistics) == str((statistics,))  # NaN is not equal to itself


def test_the_same_frame_again_changes_nothing(session: Session) -> None:
    first = register(session, "a")
    assert register(session, "a", configuration="bin2x2", joined_at=NOON + timedelta(days=1)) == first
    row = session.get_one(models.Frame, first)
    assert (row.configuration, row.joined_at) == ("bin1x1", NOON)
    assert len(session.scalars(select(models.CalibrationSet.configuration)).all()) == 2


def test_what_earlier_versions_knew_a_frame_by_is_replaced(session: Session) -> None:
    first, other = register(session, "as 16 bits"), register(session, "as 32 bits")
    assert register(session, "by value", former_sha256=hash_of("as 16 bits")) == first
    assert session.get_one(models.Frame, first, populate_existing=True).sha256 == hash_of("by value")
    assert register(session, "by value", former_sha256=hash_of("as 32 bits")) == first
    assert session.get_one(models.Frame, other, populate_existing=True).sha256 == hash_of("as 32 bits")


def test_new_rules_move_a_frame_to_the_set_that_follows(session: Session) -> None:
    first = register(session, "a")
    old = set_of(session, first)
    assert register(session, "a", FrameType.FLAT, configuration="bin2x2", identified_with="rules 2") == first
    row = session.get_one(models.Frame, first, populate_existing=True)
    assert (row.frame_type, row.configuration, row.identified_with) == ("flat", "bin2x2", "rules 2")
    assert row.calibration_set_id != old


@pytest.mark.parametrize("changes", [{"kind": FrameType.OTHER}, {"night": None, "window_first_night": None}])
def test_a_frame_for_nothing_or_of_no_date_is_in_no_set(session: Session, changes: dict[str, object]) -> None:
    frame_id = register(session, "a", **changes)  # type: ignore[arg-type]
    assert session.get_one(models.Frame, frame_id).calibration_set_id is None


def test_frames_of_one_night_share_a_set_and_others_do_not(session: Session) -> None:
    same = {set_of(session, register(session, name)) for name in "ab"}
    others = {
        set_of(session, register(session, "c", configuration="bin2x2")),
        set_of(session, register(session, "d", instrument="other")),
        set_of(session, register(session, "e", night=NIGHT + timedelta(days=1))),
        set_of(session, register(session, "f", window_nights=7)),
    }
    assert len(same) == 1
    assert len(others | same) == 5


def test_a_frame_registered_by_many_at_once_is_one(sessions: sessionmaker[Session]) -> None:
    def work(_: int) -> int:
        with sessions.begin() as session:
            return register(session, "a")

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(12)))) == 1


def specs(session: Session) -> dict[str, object]:
    return dict(session.execute(select(models.Instrument.digest, models.Instrument.spec)).all())


def test_limits_follow_the_entry_in_force(session: Session) -> None:
    sync_instruments(session, [ENTRY], now=NOON)
    narrow = replace(ENTRY, spec={"gain_e_per_adu": Limits(0.96, None)})
    sync_instruments(session, [narrow], now=NOON)
    assert specs(session) == {ENTRY.digest: {"gain_e_per_adu": {"min": 0.96, "max": None}}}


def test_an_older_version_is_judged_by_the_entry_that_replaced_it(session: Session) -> None:
    change = NOON + timedelta(days=10)
    sync_instruments(session, [ENTRY], now=NOON)
    before = replace(ENTRY, valid_to=change, spec={"read_noise_e": Limits(max=3)})
    after = replace(ENTRY, valid_from=change, match={"HEAD": "NEW"}, spec={})
    sync_instruments(session, [replace(after, match={"HEAD": "TYPO"})], now=NOON)
    sync_instruments(session, [before, after], now=NOON)
    found = specs(session)
    assert found[before.digest] == {"read_noise_e": {"min": None, "max": 3}}
    assert found[after.digest] == {}
    assert found[replace(after, match={"HEAD": "TYPO"}).digest] == {}


def test_a_run_is_claimed_once(session: Session, set_id: int) -> None:
    run_id = begin_run(session, set_id)
    again = {
        "set_id": set_id,
        "digest": "d1",
        "engine": "prefect",
        "flow_run_id": "f",
        "recipes": {},
        "software": {},
        "host": HOST,
        "pid": 1,
        "pid_started": 0.0,
        "now": NOON,
    }
    assert claim_run(session, attempt=1, **again) is None  # type: ignore[arg-type]
    assert claim_run(session, attempt=2, **again) is not None  # type: ignore[arg-type]
    first, _ = open_runs(session)
    assert (first.id, first.set_id, first.pid, first.pid_started) == (run_id, set_id, 4711, 1663588800.25)


def test_two_claimants_never_get_the_same_run(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        set_id = set_of(session, add_frame(session, "a"))

    def work(number: int) -> bool:
        with sessions.begin() as session:
            try:
                begin_run(session, set_id, attempt=number % 5)
            except AssertionError:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(40))) == 5


def test_inputs_keep_the_file_they_were_read_from(session: Session, set_id: int) -> None:
    run_id = begin_run(session, set_id)
    inputs = [
        NewInput("bias", hash_of("a"), "/data/raw/a.fits"),
        NewInput("bias", hash_of("a"), "/data/raw/moved.fits", excluded="a light leak", borrowed=True),
    ]
    record_inputs(session, run_id=run_id, inputs=inputs)
    used, left_out = session.scalars(select(models.RunInput).order_by(models.RunInput.id))
    assert (used.path, used.file_sha256, used.excluded) == ("/data/raw/a.fits", hash_of("a file"), None)
    assert (left_out.file_sha256, left_out.excluded, left_out.borrowed) == (None, "a light leak", True)


def test_an_input_that_is_not_on_record_is_refused(session: Session, set_id: int) -> None:
    run_id = begin_run(session, set_id)
    with pytest.raises(LookupError, match=f"frame {hash_of('b')} is not on record: register it"):
        record_inputs(session, run_id=run_id, inputs=[NewInput("bias", hash_of("b"))])


def test_measurements_are_tied_to_the_entry_of_the_frames(session: Session) -> None:
    run_id = begin_run(session, set_of(session, add_frame(session, "a", entry=ENTRY)))
    details = {"level_range_adu": (1.0, inf), "n_flat": 4}
    ids = record_measurements(session, run_id=run_id, measurements=[gain(uncertainty=nan, details=details), gain(2.0)])
    first, second = (session.get_one(models.Measurement, key) for key in ids)
    session.expire_all()
    assert (first.value, second.value, first.uncertainty) == (0.97, 2.0, None)
    assert first.details == {"level_range_adu": [1.0, None], "n_flat": 4}
    assert session.get_one(models.Instrument, first.instrument_id).digest == ENTRY.digest


@pytest.mark.parametrize("value", [nan, inf])
def test_a_value_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"gain of amplifier 1 is (nan|inf): record finite values only"):
        NewMeasurement("gain", "1", value, None, "pair", NOON)


def test_a_newer_run_supersedes_the_older_ones_of_its_set(session: Session, set_id: int) -> None:
    other_set = set_of(session, add_frame(session, "b", configuration="bin2x2"))
    other, first, second, third = (
        begin_run(session, key, digest=digest)
        for key, digest in ((other_set, "d"), (set_id, "1"), (set_id, "2"), (set_id, "3"))
    )
    for run_id in (other, first, second):
        assert finish_run(session, run_id=run_id, now=NOON)
    assert fail_run(session, run_id=third, message="no flats", now=NOON)
    assert [superseded_by(session, run_id) for run_id in (other, first, second)] == [None, second, None]
    assert not finish_run(session, run_id=third, now=NOON)
    assert not fail_run(session, run_id=first, message="late", now=NOON)


def test_a_run_that_was_overtaken_is_superseded_from_the_start(session: Session, set_id: int) -> None:
    slow, quick = begin_run(session, set_id, digest="1"), begin_run(session, set_id, digest="2")
    finish_run(session, run_id=quick, now=NOON)
    finish_run(session, run_id=slow, now=NOON + timedelta(seconds=1))
    assert (superseded_by(session, slow), superseded_by(session, quick)) == (quick, None)


def used_by_a_finished_run(session: Session, set_id: int, *names: str, digest: str) -> int:
    run_id = begin_run(session, set_id, digest=digest)
    record_inputs(session, run_id=run_id, inputs=[NewInput("bias", hash_of(name)) for name in names])
    assert finish_run(session, run_id=run_id, now=NOON)
    return run_id


def test_results_of_a_set_without_frames_give_way_to_the_set_that_took_them(session: Session) -> None:
    """Other rules identify the frames anew, so that they move; a set that keeps one keeps its results."""
    emptied, kept, lender = (
        [register(session, name, configuration=configuration) for name in names][-1]
        for names, configuration in ((("b1", "b2"), "c1"), (("b3", "b4"), "c2"), (("b5",), "c3"))
    )
    old = used_by_a_finished_run(session, set_of(session, emptied), "b1", "b2", digest="1")
    partly = used_by_a_finished_run(session, set_of(session, kept), "b3", "b4", digest="2")
    other = used_by_a_finished_run(session, set_of(session, lender), "b5", digest="3")
    for name in ("b1", "b2", "b3"):
        register(session, name, configuration="c4", identified_with="rules 2")
    new_set = set_of(session, emptied)
    assert superseded_by(session, old) is None
    new = used_by_a_finished_run(session, new_set, "b1", "b2", "b3", digest="4")
    assert [superseded_by(session, run_id) for run_id in (old, partly, other, new)] == [new, None, None, None]


def test_reasons_may_quote_a_file_name_of_any_bytes(session: Session, set_id: int) -> None:
    run_id = begin_run(session, set_id)
    record_inputs(session, run_id=run_id, inputs=[NewInput("bias", excluded="\udcff.fits is odd", path="/\udcff.fits")])
    record_master(session, run_id=run_id, master=master(remark="\udcff.fits is odd"))
    assert fail_run(session, run_id=run_id, message="\udcff.fits is gone", now=NOON)
    session.expire_all()
    (used,) = session.scalars(select(models.RunInput).where(models.RunInput.run_id == run_id))
    assert (used.excluded, used.path) == ("\\udcff.fits is odd", "/\udcff.fits")
    assert session.get_one(models.Run, run_id).message == "\\udcff.fits is gone"
    assert session.scalars(select(models.Master.remark)).all() == ["\\udcff.fits is odd"]


def test_an_abandoned_run_leaves_no_results(session: Session, set_id: int) -> None:
    run_id = begin_run(session, set_id)
    record_measurements(session, run_id=run_id, measurements=[gain()])
    record_master(session, run_id=run_id, master=master("masters/2.fits"))
    record_master(session, run_id=run_id, master=master("masters/1.fits"))
    assert abandon_run(session, run_id=run_id, now=NOON)
    assert session.scalars(select(models.Measurement)).all() == []
    assert list_masters(session, superseded=True) == []
    assert [one.id for one in runs_cut_short(session, before=NOON)] == [run_id]
    assert runs_cut_short(session, before=NOON - timedelta(seconds=1)) == []
    for row in run_masters(session, run_id):  # by which their files are known
        forget_master(session, row.id)
    assert run_masters(session, run_id) == []
    assert open_runs(session) == []


def test_a_finished_run_cannot_be_abandoned(session: Session, set_id: int) -> None:
    run_id = begin_run(session, set_id)
    record_master(session, run_id=run_id, master=master())
    finish_run(session, run_id=run_id, now=NOON)
    assert not abandon_run(session, run_id=run_id, now=NOON)
    assert runs_cut_short(session, before=NOON) == []
    assert len(session.scalars(select(models.Master)).all()) == 1


def test_a_remark_of_any_length_is_taken(session: Session) -> None:
    run_id = begin_run(session, set_of(session, add_frame(session, "a")))
    noise = "".join(chr(0x4E00 + 7919 * n % 20000) for n in range(5000))  # three bytes each, and no pattern
    record_measurements(session, run_id=run_id, measurements=[gain(remark=noise), gain(remark="odd"), gain()])
    found = session.scalars(select(models.Measurement.remark).order_by(models.Measurement.id)).all()
    assert found == [noise[:600], "odd", None]
