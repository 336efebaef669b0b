"""Marks and notes: the newest word holds, nothing is lost, and what is marked bad is used for nothing."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType
from db.champions import current_reference
from db.errors import NotSaidError, UnknownIdError
from db.frames.listing import list_frames
from db.identifiers import find
from db.judgements.marks import bad_frames, last_line, marks
from db.judgements.notes import lines_of_run, lines_on, notes_that_hold
from db.judgements.write import mark, note, take_back, take_note_back
from db.provenance import provenance
from db.runs.inputs import NewInput, record_inputs
from db.runs.lifecycle import abandon_run, finish_run
from db.runs.masters import list_masters, record_master
from db.runs.measurements import earlier_values, record_measurements
from db.runs.sets import nearest_bias_set, set_summaries
from db.schema.models import CalibrationSet, Judgement
from db.trends.changes import changes
from db.trends.history import measurement, trends
from db.trends.notices import due_notices, notices
from db.trends.overview import overview
from flows.runs.news import raise_notices
from tests.support.on_record import HOST, NIGHT, NOON, add_frame, begin_run, gain, hash_of, master, set_of

DAY = timedelta(days=1)
WORDS = {"why": "clouds", "who": "anna", "now": NOON}
NOTED = {"who": "anna", "now": NOON}


def made(session: Session, day: int = 0, value: float = 1.0, *, digest: str = "d", attempt: int = 1) -> tuple[int, int]:
    """A finished run of a night; return its gain and its master."""
    frame_id = add_frame(session, f"day {day}", night=NIGHT + day * DAY)
    run_id = begin_run(session, set_of(session, frame_id), digest=f"{digest} {day}", attempt=attempt)
    at = NOON + day * DAY
    (gain_id,) = record_measurements(session, run_id=run_id, measurements=[gain(value, observed_at=at)])
    master_id = record_master(session, run_id=run_id, master=master(f"{digest} {day} {attempt}.fits", valid_from=at))
    finish_run(session, run_id=run_id, now=NOON)
    return gain_id, master_id


def test_the_newest_word_holds_and_what_is_taken_back_gives_way_to_the_one_before(session: Session) -> None:
    key = add_frame(session, "a")

    def holds() -> str | None:
        found = marks(session, "frame").get(key)
        return found and found.said

    assert holds() is None
    expected = [("bad", False, "bad"), ("good", False, "good"), ("good", True, "bad"), ("bad", True, None)]
    for said, undo, then in expected:
        (take_back if undo else mark)(session, "frame", key, said, **WORDS)  # type: ignore[arg-type]
        assert holds() == then, (said, undo)
    with pytest.raises(NotSaidError, match=f"frame:{key} is not marked bad"):
        take_back(session, "frame", key, "bad", **WORDS)  # type: ignore[arg-type]
    lines = lines_on(session, "frame", [key])[key]
    assert [(one.said, one.takes_back, one.taken_back) for one in lines] == [
        ("bad", False, True),
        ("good", False, True),
        ("good", True, False),
        ("bad", True, False),
    ], "a line is missing, or says something else"
    assert last_line(session) == session.scalar(select(func.count()).select_from(Judgement)) == 4


def test_of_two_marks_one_taken_back_leaves_the_other(session: Session) -> None:
    key = add_frame(session, "a")
    mark(session, "frame", key, "bad", why="clouds", who="anna", now=NOON)
    mark(session, "frame", key, "bad", why="a satellite", who="ben", now=NOON + DAY)
    assert bad_frames(session) == {hash_of("a"): "marked bad by ben on 2022-09-20 12:00 UTC: a satellite"}
    take_back(session, "frame", key, "bad", **WORDS)  # type: ignore[arg-type]
    assert bad_frames(session) == {hash_of("a"): "marked bad by anna on 2022-09-19 12:00 UTC: clouds"}


def test_a_mark_of_a_frame_tells_its_set_and_those_that_used_it(session: Session) -> None:
    bias, flat = add_frame(session, "bias"), add_frame(session, "flat", FrameType.FLAT, night=NIGHT + DAY)
    other = set_of(session, add_frame(session, "other", night=NIGHT + 2 * DAY))
    run_id = begin_run(session, set_of(session, flat))
    record_inputs(session, run_id=run_id, inputs=[NewInput("bias", hash_of("bias"), borrowed=True)])
    mark(session, "frame", bias, "bad", why="x", who="anna", now=NOON + DAY)
    told = dict(session.execute(select(CalibrationSet.id, CalibrationSet.changed_at)).all())
    assert told == {set_of(session, bias): NOON + DAY, set_of(session, flat): NOON + DAY, other: None}
    by_set = {one.id: one.last_judged_at for one in set_summaries(session, host=HOST)}
    assert by_set == {set_of(session, bias): NOON + DAY, set_of(session, flat): None, other: None}


def test_biases_that_are_marked_bad_are_lent_to_nobody(session: Session) -> None:
    flats = set_of(session, add_frame(session, "flat", FrameType.FLAT))
    near = [add_frame(session, f"near {n}", night=NIGHT - DAY) for n in range(3)]
    far = [add_frame(session, f"far {n}", night=NIGHT - 3 * DAY) for n in range(2)]

    def lender() -> int | None:
        return nearest_bias_set(session, set_id=flats, reach_nights=7, host=HOST)

    mark(session, "frame", near[0], "bad", **WORDS)  # type: ignore[arg-type]
    assert lender() == set_of(session, near[0]), "two are left"
    mark(session, "frame", near[1], "bad", **WORDS)  # type: ignore[arg-type]
    assert lender() == set_of(session, far[0])
    take_back(session, "frame", near[1], "bad", **WORDS)  # type: ignore[arg-type]
    assert lender() == set_of(session, near[0])


def test_a_master_that_is_marked_bad_is_for_nothing_until_that_is_taken_back(session: Session) -> None:
    (_, first), (_, second) = made(session, 0), made(session, 1)
    mark(session, "master", second, "bad", **WORDS)  # type: ignore[arg-type]
    assert [one.master_id for one in current_reference(session, at=NOON)] == [first]
    good, bad = list_masters(session)
    assert (good.valid_to, good.mark) == (None, None)
    assert (bad.valid_to, bad.mark, bad.is_good) == (bad.valid_from, "bad", False)
    assert bad.mark_reason == "clouds (anna, 2022-09-19 12:00 UTC)"
    take_back(session, "master", second, "bad", **WORDS)  # type: ignore[arg-type]
    assert [one.master_id for one in current_reference(session, at=NOON)] == [second]


def test_good_changes_no_verdict(session: Session) -> None:
    run_id = begin_run(session, set_of(session, add_frame(session, "a")))
    key = record_master(session, run_id=run_id, master=master(verdict="bad"))
    finish_run(session, run_id=run_id, now=NOON)
    mark(session, "master", key, "good", **WORDS)  # type: ignore[arg-type]
    (one,) = list_masters(session)
    assert (one.verdict, one.mark, one.is_good) == ("bad", "good", False)


def test_a_mark_holds_for_what_the_same_inputs_give_again(session: Session) -> None:
    gain_id, master_id = made(session)
    mark(session, "measurement", gain_id, "bad", **WORDS)  # type: ignore[arg-type]
    mark(session, "master", master_id, "bad", **WORDS)  # type: ignore[arg-type]
    again = made(session, attempt=2)
    assert current_reference(session, at=NOON) == []
    row = measurement(session, again[0])
    assert row is not None
    assert row.mark == "bad"
    take_back(session, "master", again[1], "bad", **WORDS)  # type: ignore[arg-type]
    assert [one.master_id for one in current_reference(session, at=NOON)] == [again[1]]
    others = made(session, digest="other inputs")
    row = measurement(session, others[0])
    assert row is not None
    assert row.mark is None, "other inputs give something else"


def test_a_mark_is_on_one_of_several_masters_of_a_kind(session: Session) -> None:
    run_id = begin_run(session, set_of(session, add_frame(session, "dark", FrameType.DARK)))
    one, other = (
        record_master(
            session, run_id=run_id, master=master(f"{hours}.fits", kind="dark", valid_from=NOON + hours * DAY / 24)
        )
        for hours in range(2)
    )
    finish_run(session, run_id=run_id, now=NOON)
    mark(session, "master", one, "bad", **WORDS)  # type: ignore[arg-type]
    assert {row.master_id: row.mark for row in list_masters(session)} == {one: "bad", other: None}


def test_a_mark_stays_with_the_darks_of_its_exposure_and_temperature_whatever_they_are_called(session: Session) -> None:
    """Darks of unknown time begin alike; the first of another temperature on record gives the others a longer name."""
    set_id = set_of(session, add_frame(session, "dark", FrameType.DARK))

    def dark(run_id: int, exposure_s: float, temperature_c: float, product: str) -> int:
        about = {"exposure_s": exposure_s, "temperature_c": temperature_c, "group_c": temperature_c}
        one = master(f"{run_id} {product}.fits", kind="dark", product=product, **about)
        return record_master(session, run_id=run_id, master=one)

    first, again = (begin_run(session, set_id, attempt=attempt) for attempt in (1, 2))
    cold, _, _ = (dark(first, *of, f"master dark {of}") for of in ((60.0, -20.0), (60.0, -16.0), (5.0, -20.0)))
    finish_run(session, run_id=first, now=NOON)
    mark(session, "master", cold, "bad", **WORDS)  # type: ignore[arg-type]
    remade = [dark(again, *of, f"{of} °C") for of in ((5.0, -20.0), (60.0, -16.0), (60.0, -20.0))]
    finish_run(session, run_id=again, now=NOON)
    found = {one.master_id: one.mark for one in list_masters(session, superseded=True)}
    assert [found[key] for key in remade] == [None, None, "bad"]
    assert [found[key] for key in (cold, cold + 1, cold + 2)] == ["bad", None, None]


def test_a_mark_is_on_the_dark_current_of_one_temperature(session: Session) -> None:
    run_id = begin_run(session, set_of(session, add_frame(session, "dark", FrameType.DARK)))
    of = [gain(quantity="dark_current", ccd_temperature_c=at) for at in (-20.0, -16.0)]
    cold, warm = record_measurements(session, run_id=run_id, measurements=of)
    finish_run(session, run_id=run_id, now=NOON)
    mark(session, "measurement", warm, "bad", **WORDS)  # type: ignore[arg-type]
    assert marks(session, "measurement").keys() == {warm}
    assert cold != warm


def test_a_measurement_that_is_marked_bad_is_shown_and_counts_for_nothing(session: Session) -> None:
    found = [made(session, day, value)[0] for day, value in enumerate((1.0, 1.01, 5.0))]

    def known() -> list[float]:
        last = earlier_values(
            session,
            quantity="gain",
            instrument="m2-ml",
            configuration="bin1x1",
            amplifier="1",
            before=NOON + 9 * DAY,
            most=5,
        )
        return [one.value for one in last]

    assert known() == [5.0, 1.01, 1.0]
    mark(session, "measurement", found[-1], "bad", **WORDS)  # type: ignore[arg-type]
    assert known() == [1.01, 1.0]
    (status,) = overview(session, quantities=["gain"])
    assert (status.id, status.recent) == (found[1], (1.0, 1.01))
    for rows in (trends(session), trends(session, at_most=4)):
        assert [(row.value, row.mark, row.counts) for row in rows if row.id in {found[0], found[-1]}] == [
            (1.0, None, True),
            (5.0, "bad", False),
        ]
    take_back(session, "measurement", found[-1], "bad", **WORDS)  # type: ignore[arg-type]
    assert known() == [5.0, 1.01, 1.0]


def test_no_change_is_found_by_what_is_marked_bad_and_no_notice_told(session: Session) -> None:
    found = [made(session, day, 1.0 if day < 20 else 1.5)[0] for day in range(24)]
    assert changes(session, quantity="gain")
    for key in found[20:]:
        mark(session, "measurement", key, "bad", **WORDS)  # type: ignore[arg-type]
    assert changes(session, quantity="gain") == []
    last = measurement(session, found[-1])
    assert last is not None

    def raised() -> int:
        return raise_notices(session, run_id=last.run_id, instrument="m2-ml", configuration="bin1x1", now=NOON)

    assert raised() == 0
    for key in found[20:]:
        take_back(session, "measurement", key, "bad", **WORDS)  # type: ignore[arg-type]
    step = next(one for one in changes(session, quantity="gain"))
    run_of = measurement(session, step.found_id)
    assert run_of is not None
    for key in found[found.index(step.found_id) + 1 :]:  # so that it is news
        mark(session, "measurement", key, "bad", **WORDS)  # type: ignore[arg-type]
    assert raise_notices(session, run_id=run_of.run_id, instrument="m2-ml", configuration="bin1x1", now=NOON + 25 * DAY)
    due = {"at": NOON + 26 * DAY, "believed_until": NOON + 26 * DAY, "raised_since": NOON}
    assert due_notices(session, **due)
    mark(session, "measurement", step.found_id, "bad", **WORDS)  # type: ignore[arg-type]
    assert due_notices(session, **due) == []
    assert notices(session), "it stays on record"


def test_notes_stand_by_their_time_until_taken_back(session: Session) -> None:
    add_frame(session, "a")
    note(session, "m2-ml", "mirror\nwashed", at=NOON, **NOTED)  # type: ignore[arg-type]
    note(session, "m2-ml", "controller exchanged", at=NOON - DAY, **NOTED)  # type: ignore[arg-type]
    with pytest.raises(UnknownIdError, match="no instrument m3 is on record: there is m2-ml"):
        note(session, "m3", "x", at=NOON, **NOTED)  # type: ignore[arg-type]
    with pytest.raises(NotSaidError, match="no note on m2-ml says 'mirror'"):
        take_note_back(session, "m2-ml", "mirror", **NOTED)  # type: ignore[arg-type]
    words = [one.words for one in notes_that_hold(session, "m2-ml")]
    assert words == ["controller exchanged", "mirror washed"]
    assert [one.words for one in notes_that_hold(session, since=NOON)] == ["mirror washed"]
    assert [one.words for one in notes_that_hold(session, until=NOON)] == ["controller exchanged"]
    take_note_back(session, "m2-ml", "mirror\nwashed", **NOTED)  # type: ignore[arg-type]
    assert [one.words for one in notes_that_hold(session, "m2-ml")] == ["controller exchanged"]
    assert last_line(session) == 3


def test_provenance_lists_and_runs_say_what_people_said(session: Session) -> None:
    gain_id, master_id = made(session)
    (frame,) = list_frames(session)
    run_id = find(session, "run:1")[1]
    record_inputs(session, run_id=run_id, inputs=[NewInput("bias", frame.sha256)])
    mark(session, "measurement", gain_id, "bad", **WORDS)  # type: ignore[arg-type]
    mark(session, "master", master_id, "good", **WORDS)  # type: ignore[arg-type]
    mark(session, "frame", frame.id, "bad", **WORDS)  # type: ignore[arg-type]
    take_back(session, "frame", frame.id, "bad", **WORDS)  # type: ignore[arg-type]
    assert [one.of for one in lines_of_run(session, run_id)] == [
        f"measurement:{gain_id}",
        f"master:{master_id}",
        *[f"frame:{frame.id}"] * 2,
    ]
    tree = provenance(session, f"measurement:{gain_id}")
    (said,) = tree["judgements"]
    assert (said["said"], said["who"], said["words"], said["said_at"]) == (
        "bad",
        "anna",
        "clouds",
        "2022-09-19T12:00:00+00:00",
    )
    (used,) = tree["wasGeneratedBy"]["used"]
    assert [one["taken_back"] for one in used["entity"]["judgements"]] == [True, False]
    assert provenance(session, f"master:{master_id}")["judgements"][0]["said"] == "good"
    mark(session, "frame", frame.id, "bad", **WORDS)  # type: ignore[arg-type]
    (listed,) = list_frames(session)
    assert (listed.mark, listed.mark_reason) == ("bad", "clouds (anna, 2022-09-19 12:00 UTC)")


def test_what_a_run_may_yet_lose_is_not_marked(session: Session) -> None:
    run_id = begin_run(session, set_of(session, add_frame(session, "a")))
    (gain_id,) = record_measurements(session, run_id=run_id, measurements=[gain()])
    master_id = record_master(session, run_id=run_id, master=master())
    for kind, key in (("measurement", gain_id), ("master", master_id)):
        with pytest.raises(UnknownIdError, match=f"{kind}:{key} is of a run that is not done"):
            mark(session, kind, key, "bad", **WORDS)  # type: ignore[arg-type]
    assert abandon_run(session, run_id=run_id, now=NOON)
    with pytest.raises(UnknownIdError, match="is of a run that is not done"):
        mark(session, "master", master_id, "bad", **WORDS)  # type: ignore[arg-type]


def test_a_plot_of_a_dense_series_shows_what_is_marked(session: Session) -> None:
    run_id = begin_run(session, set_of(session, add_frame(session, "a")))
    gains = [gain(1.0, observed_at=NOON + n * DAY / 100) for n in range(300)]
    keys = record_measurements(session, run_id=run_id, measurements=gains)
    finish_run(session, run_id=run_id, now=NOON)
    hidden = set(keys) - {row.id for row in trends(session, at_most=10)}
    chosen = max(hidden)
    mark(session, "measurement", chosen, "bad", **WORDS)  # type: ignore[arg-type]
    assert chosen in {row.id for row in trends(session, at_most=10)}


@pytest.mark.parametrize("text", ["frame:99", "master:9", "99", "run:7", "nonsense", "deadbeefdeadbeef"])
def test_an_id_of_nothing_is_named(session: Session, text: str) -> None:
    with pytest.raises(UnknownIdError):
        find(session, text)
