"""What a calibration set has, and what was made of it."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType
from db.files import ledger
from db.frames.series import frames_of_files, set_frames
from db.runs.inputs import NewInput, record_inputs, run_inputs
from db.runs.lifecycle import fail_run, finish_run
from db.runs.measurements import earlier_values, record_measurements, run_measurements
from db.runs.runs import current_runs, find_run, get_run
from db.runs.sets import nearest_bias_set, set_summaries
from db.schema.models import FileState, Outcome
from tests.support.on_record import HOST, NIGHT, NOON, add_frame, begin_run, gain, hash_of, set_of, sighting

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def test_of_two_files_with_one_frame_the_one_seen_last_is_read(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "a", path="first.fits"))
    add_frame(session, "a", path="second.fits.gz")
    add_frame(session, "a", path="third.fits", host="elsewhere")
    (frame,) = set_frames(session, set_id, host=HOST)
    assert frame.path == Path("/data/raw/second.fits.gz")
    assert [one.path.name for one in set_frames(session, set_id, host="elsewhere")] == ["third.fits"]


def test_a_frame_whose_file_was_edited_leaves_its_set(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "a"))
    assert add_frame(session, "b")
    ledger.observe(session, [sighting("a.fits", size=5760)], host=HOST, now=NOON + SECOND)
    assert [frame.sha256 for frame in set_frames(session, set_id, host=HOST)] == [hash_of("b")]
    (summary,) = set_summaries(session, host=HOST)
    assert summary.counts == {FrameType.BIAS: 1}


def test_frames_come_in_order_of_observation(session: Session) -> None:
    for name, seconds in (("late", 9), ("early", 1), ("middle", 5)):
        frame_id = add_frame(session, name, date_obs=NOON + seconds * SECOND)
    names = [frame.path.stem for frame in set_frames(session, set_of(session, frame_id), host=HOST)]
    assert names == ["early", "middle", "late"]


@pytest.mark.parametrize(
    ("nights_away", "reach", "expected"),
    [((-3, 2), 7, 2), ((-2, 2), 7, -2), ((-3,), 3, -3), ((-3,), 2, None), ((9, 1), 30, 1)],
)
def test_the_nearest_biases_are_found(
    session: Session, nights_away: tuple[int, ...], reach: int, expected: int | None
) -> None:
    flats = set_of(session, add_frame(session, "flat", FrameType.FLAT))
    sets = {None: None}
    for away in nights_away:
        ids = [add_frame(session, f"{away} {number}", night=NIGHT + away * DAY) for number in range(2)]
        sets[away] = set_of(session, ids[0])  # type: ignore[index]
    assert nearest_bias_set(session, set_id=flats, reach_nights=reach, host=HOST) == sets[expected]  # type: ignore[index]


def test_reach_counts_from_the_end_of_a_window(session: Session) -> None:
    flats = set_of(session, add_frame(session, "flat", FrameType.FLAT, window_nights=7))
    for number in range(2):
        bias = add_frame(session, f"{number}", night=NIGHT + 8 * DAY)
    assert nearest_bias_set(session, set_id=flats, reach_nights=1, host=HOST) is None
    assert nearest_bias_set(session, set_id=flats, reach_nights=2, host=HOST) == set_of(session, bias)


def test_biases_of_another_kind_or_a_single_one_do_not_serve(session: Session) -> None:
    flats = set_of(session, add_frame(session, "flat", FrameType.FLAT))
    add_frame(session, "alone", night=NIGHT + DAY)
    for number in range(2):
        add_frame(session, f"c{number}", night=NIGHT + DAY, configuration="bin2x2")
        add_frame(session, f"i{number}", night=NIGHT + DAY, instrument="other")
        add_frame(session, f"d{number}", FrameType.DARK, night=NIGHT + DAY)
        add_frame(session, f"h{number}", night=NIGHT + 2 * DAY, host="elsewhere")
    assert nearest_bias_set(session, set_id=flats, reach_nights=7, host=HOST) is None


def test_a_summary_says_what_decides_on_the_next_run(session: Session) -> None:
    for number, seconds in enumerate((0, 10, 30, 4000)):
        kind = FrameType.FLAT if number == 3 else FrameType.BIAS
        joined_at = NOON + seconds * SECOND
        frame_id = add_frame(session, f"{number}", kind, joined_at=joined_at, now=joined_at + 5 * SECOND)
    set_id = set_of(session, frame_id)
    (summary,) = set_summaries(session, host=HOST)
    assert (summary.id, summary.instrument, summary.configuration) == (set_id, "m2-ml", "bin1x1")
    assert (summary.window_first_night, summary.window_nights) == (NIGHT, 1)
    assert summary.counts == {FrameType.BIAS: 3, FrameType.FLAT: 1}
    assert summary.last_joined_at == NOON + 4000 * SECOND
    assert summary.last_registered_at == NOON + 4005 * SECOND
    assert summary.median_interval_s == 15  # of 10 and 20: the pause of an hour does not count
    assert summary.latest_run is None


def test_a_summary_names_the_latest_run(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "a"))
    finish_run(session, run_id=begin_run(session, set_id), now=NOON)
    last = begin_run(session, set_id, attempt=2, now=NOON + SECOND)
    fail_run(session, run_id=last, message="no flats", now=NOON + DAY)
    (summary,) = set_summaries(session, host=HOST)
    run = summary.latest_run
    assert run is not None
    assert (run.id, run.digest, run.attempt, run.outcome) == (last, "d1", 2, Outcome.FAILED)
    assert (run.began_at, run.ended_at) == (NOON + SECOND, NOON + DAY)
    assert summary.median_interval_s is None


def test_summaries_begin_at_a_night_and_are_of_one_host(session: Session) -> None:
    for number in range(3):
        add_frame(session, f"{number}", night=NIGHT + number * DAY)
    add_frame(session, "other", night=NIGHT + 5 * DAY, host="elsewhere")
    found = set_summaries(session, host=HOST, since=NIGHT + DAY)
    assert [summary.window_first_night for summary in found] == [NIGHT + DAY, NIGHT + 2 * DAY]


def test_earlier_gains_are_those_that_stand(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "a"))
    wanted = {"instrument": "m2-ml", "configuration": "bin1x1", "amplifier": "1"}
    for digest, value in (("1", 0.9), ("2", 1.0), ("open", 2.0)):
        run_id = begin_run(session, set_id, digest=digest)
        read_noise = gain(3.0, quantity="read_noise")
        record_measurements(session, run_id=run_id, measurements=[gain(value), read_noise])
        if digest != "open":
            finish_run(session, run_id=run_id, now=NOON)
    (found,) = earlier_values(session, quantity="gain", before=NOON + SECOND, most=5, **wanted)
    assert (found.value, found.uncertainty, found.observed_at) == (1.0, 0.004, NOON)
    assert earlier_values(session, quantity="gain", before=NOON, most=5, **wanted) == []
    assert earlier_values(session, quantity="gain", before=NOON + SECOND, most=5, **{**wanted, "amplifier": "2"}) == []


def test_files_tell_what_they_hold(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "b"))
    add_frame(session, "c", FrameType.OTHER)
    (new,) = ledger.observe(session, [sighting("a.fits")], host=HOST, now=NOON)
    files = [row.id for row in ledger.files_at(session, [sighting(f"{name}.fits") for name in "abc"], host=HOST)]
    unread, bias, other = frames_of_files(session, files)
    assert new.id in files
    assert (unread.state, unread.frame_type, unread.is_calibration) == (FileState.SEEN, None, False)
    assert (bias.frame_type, bias.set_id, bias.is_calibration) == (FrameType.BIAS, set_id, True)
    assert (other.path, other.set_id, other.is_calibration) == (Path("/data/raw/c.fits"), None, False)


def test_a_run_is_read_back(session: Session) -> None:
    set_id = set_of(session, add_frame(session, "a"))
    first, second = begin_run(session, set_id), begin_run(session, set_id, attempt=2)
    record_inputs(session, run_id=first, inputs=[NewInput("bias", hash_of("a"), "/old/a.fits", excluded="jump")])
    record_measurements(session, run_id=first, measurements=[gain(remark="odd")])
    assert current_runs(session, [set_id]) == []
    finish_run(session, run_id=first, now=NOON)
    run = get_run(session, first)
    assert (run.set_id, run.night, run.outcome, run.engine) == (set_id, NIGHT, Outcome.DONE, "local")
    assert current_runs(session, [set_id]) == [run]
    assert find_run(session, set_id=set_id, digest="d1", attempt=1) == run
    latest = find_run(session, set_id=set_id, digest="d1")
    assert latest is not None
    assert latest.id == second
    assert find_run(session, set_id=set_id, digest="d2") is None
    (used,) = run_inputs(session, first)
    assert (used.frame.path, used.role, used.excluded) == (Path("/old/a.fits"), "bias", "jump")
    (measured,) = run_measurements(session, first)
    assert (measured.value, measured.remark, measured.details["n_flat_pairs"]) == (0.97, "odd", 4)
