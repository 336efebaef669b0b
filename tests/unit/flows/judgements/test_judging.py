"""A frame marked bad is left out of its set, which is made anew at once; taken back, all is as it was, bit for bit."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from astropy.io import fits
from sqlalchemy import func, select

from db.frames.listing import list_frames
from db.runs.masters import list_masters
from db.runs.runs import list_runs
from db.schema.models import Judgement
from db.trends.history import trends
from flows.commands.process import process
from flows.home.home import Home, open_home
from flows.home.processes import now, user
from flows.judgements.judging import mark
from flows.orchestration.shown.report import report
from flows.runs.plan import reconcile
from tests.support.command import ccdwatch
from tests.support.drawing import no_pictures
from tests.support.simulate import simple_night


@pytest.fixture
def night(tmp_path: Path) -> tuple[Home, Path]:
    """A home whose one night is processed, and which would wait long for more frames of it."""
    raw = tmp_path / "raw"
    simple_night(raw, n_bias=5, n_flat=4)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ccdwatch.toml").write_text("[watch]\nsettle_seconds = 86400\n")
    home = open_home(tmp_path / "home")
    with no_pictures():
        process(home, [raw])
    return home, raw


def pixels(home: Home) -> dict[str, tuple[str, str]]:
    """The checksums of value and uncertainty of each current master."""
    with home.read_session() as session:
        found = list_masters(session)
    content = {}
    for one in found:
        with fits.open(home.path / one.path) as hdus:
            content[one.kind] = tuple(str(hdu.data.tobytes().hex()) for hdu in hdus[:2] if hdu.data is not None)
    return content  # type: ignore[return-value]


def values(home: Home) -> list[tuple[str, float]]:
    with home.read_session() as session:
        return [(row.quantity, row.value) for row in trends(session)]


def frame_ids(home: Home, kind: str) -> list[int]:
    with home.read_session() as session:
        return [one.id for one in list_frames(session, frame_type=kind)]


def test_a_bad_frame_is_left_out_and_comes_back_bit_for_bit(night: tuple[Home, Path]) -> None:
    home, raw = night
    at_first, measured = pixels(home), values(home)
    key = frame_ids(home, "bias")[0]
    assert reconcile(home, now())[0] == []
    said = mark(home, f"frame:{key}", "bad", why="dome light", who="anna")
    assert "ccdwatch retry run:1" in said
    (due,) = reconcile(home, now())[0]
    assert due.attempt == 1, "its frames are not complete, and nobody waits for that"
    with no_pictures():
        answer = process(home, [raw])
    (left_out,) = answer["excluded"]
    assert left_out["reason"].startswith("marked bad by anna on ")
    assert left_out["reason"].endswith(": dome light")
    assert {one["kind"]: one["n_combined"] for one in answer["masters"]} == {"bias": 4, "flat": 4}
    assert pixels(home) != at_first
    assert "dome light" in report(home, 2)
    assert reconcile(home, now())[0] == [], "it is made anew again and again"
    mark(home, f"frame:{key}", "bad", why="it was another", who="anna", undo=True)
    with no_pictures():
        answer = process(home, [raw])
    assert answer["excluded"] == []
    assert (pixels(home), values(home)) == (at_first, measured)
    with home.read_session() as session:
        assert [one.superseded for one in list_runs(session, superseded=True)] == [True, True, False]


def test_a_set_of_bad_frames_only_has_no_results(night: tuple[Home, Path]) -> None:
    home, raw = night
    for key in frame_ids(home, "bias") + frame_ids(home, "flat"):
        mark(home, f"frame:{key}", "bad", why="all of it", who="anna")
    with no_pictures():
        answer = process(home, [raw])
    assert (answer["masters"], answer["characterisations"], answer["failed"]) == ([], [], [])
    assert len(answer["excluded"]) == 9


def test_a_bad_master_leaves_the_references_at_once(night: tuple[Home, Path]) -> None:
    home, _ = night
    reference = home.path / "reference"
    assert {path.name.split("_")[1] for path in reference.rglob("*.fits")} == {"bias", "flat"}
    with home.read_session() as session:
        (flat,) = list_masters(session, kind="flat")
    mark(home, f"master:{flat.master_id}", "bad", why="fringes", who="anna")
    assert {path.name.split("_")[1] for path in reference.rglob("*.fits")} == {"bias"}
    assert (home.path / flat.path).exists()
    mark(home, f"master:{flat.master_id}", "bad", why="no fringes", who="anna", undo=True)
    assert {path.name.split("_")[1] for path in reference.rglob("*.fits")} == {"bias", "flat"}


def judgements(home: Home) -> int:
    with home.read_session() as session:
        return session.scalar(select(func.count()).select_from(Judgement)) or 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mark", "frame:99", "bad", "--why", "x"), "frame:99"),
        (("mark", "run:1", "bad", "--why", "x"), "run:1"),
        (("mark", "frame:1", "bad", "--why", " "), "reason"),
        (("mark", "frame:1", "bad", "--why", "x", "--undo"), "frame:1 is not marked bad"),
        (("mark", "frame:1", "bad", "--why", 1001 * "x"), "1001"),
        (("note", "nocam", "washed"), "nocam"),
        (("note", "testcam", "washed", "--undo"), "washed"),
    ],
)
def test_what_cannot_be_said_is_named_in_one_line_and_changes_nothing(
    night: tuple[Home, Path], words: tuple[str, ...], said: str
) -> None:
    home, _ = night
    answer = ccdwatch(*words, "--home", home.path)
    assert answer.status == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert (judgements(home), reconcile(home, now())[0]) == (0, [])


def test_on_the_command_line_the_one_who_says_it_is_the_user_of_the_system(night: tuple[Home, Path]) -> None:
    home, raw = night
    file = sorted(raw.glob("bias*"))[0]
    assert ccdwatch("mark", file, "bad", "--why", "dome light", "--home", home.path).status == 0
    assert ccdwatch("note", "testcam", "mirror washed", "--at", "2022-09-01", "--home", home.path).status == 0
    listed = ccdwatch("frames", "--home", home.path, "--format", "json").json()
    (marked,) = [one for one in listed if one["mark"]]
    assert marked["paths"] == [str(file)]
    assert marked["mark_reason"].startswith(f"dome light ({user()}, ")
    assert timedelta(0) <= now() - list_of_times(home)[-1] < timedelta(minutes=10)


def test_what_was_said_is_listed(night: tuple[Home, Path]) -> None:
    home, _ = night

    def listed(*words: object) -> list[tuple[object, ...]]:
        said = ccdwatch(*words, "--home", home.path, "--format", "json")
        assert (said.status, said.err) == (0, "") if said.json() else (0, said.err)
        return [(one["said"], one["of"], one["words"], one["who"], one["holds"]) for one in said.json()]

    assert listed("mark") == listed("note") == []
    me = user()
    for words in (
        ("mark", "frame:1", "bad", "--why", "dome light"),
        ("mark", "frame:2", "bad", "--why", "dome light"),
        ("mark", "frame:2", "bad", "--undo", "--why", "it was frame 1"),
        ("mark", "frame:1", "good", "--why", "it was off"),
        ("note", "testcam", "mirror washed", "--at", "2022-09-01"),
    ):
        assert ccdwatch(*words, "--home", home.path).status == 0
    assert listed("mark") == [
        ("bad", "frame:1", "dome light", me, False),
        ("bad", "frame:2", "dome light", me, False),
        ("bad", "frame:2", "it was frame 1", me, False),
        ("good", "frame:1", "it was off", me, True),
    ]
    assert listed("note") == listed("note", "testcam") == [("note", "testcam", "mirror washed", me, True)]
    assert listed("note", "othercam") == []
    half = ccdwatch("mark", "frame:1", "bad", "--home", home.path)
    assert (half.status, judgements(home)) == (2, 5)
    assert 'ccdwatch mark frame:1 bad --why "TEXT"' in half.err


def list_of_times(home: Home) -> list[datetime]:
    with home.read_session() as session:
        return list(session.scalars(select(Judgement.said_at).order_by(Judgement.id)))
