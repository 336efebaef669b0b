"""A home and its database belong to each other: no other, no copy and no empty one is taken for them."""

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from db.engine import backup
from db.errors import UnknownIdError
from db.files.homes import HomeOnRecord, files_by_host, home_on_record, record_home
from flows.cli.admin import adopt_home
from flows.commands.audit import audit
from flows.commands.process import backfill, process, retry
from flows.config.errors import SettingsError
from flows.health.condition import condition
from flows.home.home import Home, open_home, read_home
from flows.home.identity import MARK_NAME, MARK_VARIABLE, HomeAwayError, mark_of
from flows.home.renaming import rename_files, words_of_others, words_of_renamed
from flows.products.cleanup import sweep
from flows.service import dispatcher
from tests.support import on_record
from tests.support.command import ccdwatch
from tests.support.on_record import add_frame, begin_run, set_of
from tests.support.simulate import Camera, simple_night


def with_master(home: Home) -> Path:
    """Have a run of a home make a master."""
    from db.runs.lifecycle import finish_run
    from db.runs.masters import record_master

    with home.write_session() as session:
        run_id = begin_run(session, set_of(session, add_frame(session, "a")))
        path = home.path / f"masters/m2-ml/2022-09-19/bias_bin1x1_r{run_id}.fits"
        path.parent.mkdir(parents=True)
        path.write_text("a master")
        record_master(session, run_id=run_id, master=on_record.master(path.relative_to(home.path).as_posix()))
        finish_run(session, run_id=run_id, now=on_record.NOON)
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A home with a master, closed."""
    home = open_home(tmp_path / "home")
    with_master(home)
    home.engine.dispose()
    return home.path


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def configure(home: Path, url: str) -> None:
    (home / "ccdwatch.toml").write_text(f'[database]\nurl = "{url}"\n')


def closed(home: Home) -> Home:
    home.engine.dispose()
    return home


def test_a_home_and_its_database_hold_the_same_mark(made: Path) -> None:
    home = closed(open_home(made))
    assert home.mark == mark_of(made)
    with read_home(made).read_session() as session:
        row = home_on_record(session)
    assert row == HomeOnRecord(home.mark or "", str(made), socket.gethostname(), socket.gethostname())


@pytest.mark.parametrize("how", ["removed", "emptied", "tables emptied", "mistyped", "mistyped to another's"])
def test_a_database_that_knows_none_of_the_masters_is_refused(made: Path, tmp_path: Path, how: str) -> None:
    said = "knows none of them"
    if how == "mistyped":
        configure(made, f"sqlite:///{tmp_path}/ccdwtach.db")
    elif how == "mistyped to another's":
        other = closed(open_home(tmp_path / "other"))
        configure(made, f"sqlite:///{other.path}/ccdwatch.db")
        said = f"belongs to another home, {other.path} on"
    elif how == "tables emptied":
        with closing(sqlite3.connect(made / "ccdwatch.db")) as database, database:
            for table in ("home", "certification", "master", "run", "file", "frame"):
                database.execute(f"DELETE FROM {table}")
    else:
        for path in made.glob("ccdwatch.db*"):
            path.unlink()
        if how == "emptied":
            (made / "ccdwatch.db").touch()
    before = everything(tmp_path)
    for use in (open_home, read_home):
        with pytest.raises(Exception, match=said if use is open_home or how != "emptied" else "db upgrade") as caught:
            use(made)
        if use is open_home:
            assert isinstance(caught.value, SettingsError)
            assert f"ccdwatch db adopt --home {made}" in str(caught.value)
    after = everything(tmp_path)
    assert {name: content for name, content in after.items() if ".db" not in name} == {
        name: content for name, content in before.items() if ".db" not in name
    }
    assert set(after) - set(before) <= {"home/ccdwatch.db-wal", "home/ccdwatch.db-shm", "ccdwtach.db"}
    if how == "mistyped":
        assert not (tmp_path / "ccdwtach.db").exists()
    adopt_home(made)  # what the words say to type
    home = open_home(made)
    assert (made / "masters/m2-ml/2022-09-19/bias_bin1x1_r1.fits").read_text() == "a master"
    assert "1 master in" in " ".join(sweep(home))
    home.engine.dispose()


def test_an_older_copy_that_was_restored_is_taken_and_the_rest_told(made: Path, tmp_path: Path) -> None:
    home = open_home(made)
    backup(home.engine, tmp_path / "copy.db")
    later = made / "masters/m2-ml/2022-09-20/bias_bin1x1_r2.fits"
    later.parent.mkdir()
    later.write_text("made after the copy")
    home.engine.dispose()
    for path in made.glob("ccdwatch.db*"):
        path.unlink()
    (tmp_path / "copy.db").rename(made / "ccdwatch.db")
    home = open_home(made)
    assert "1 master in" in " ".join(sweep(home))
    assert later.exists()
    home.engine.dispose()


def test_a_home_that_is_moved_or_restored_elsewhere_works_on(made: Path, tmp_path: Path) -> None:
    moved = made.rename(tmp_path / "new place")
    assert closed(open_home(moved)).mark == mark_of(moved)
    elsewhere = tmp_path / "restored"
    shutil.copytree(moved, elsewhere, ignore=shutil.ignore_patterns(MARK_NAME))
    assert closed(open_home(elsewhere)).mark == mark_of(elsewhere) == mark_of(moved)


def shared(tmp_path: Path) -> tuple[Path, Path]:
    """Two homes whose configuration names one database, as two may name one of PostgreSQL."""
    homes = tmp_path / "first", tmp_path / "second"
    for home in homes:
        home.mkdir()
        configure(home, f"sqlite:///{tmp_path}/shared.db")
    return homes


def test_a_second_home_on_one_database_is_refused(tmp_path: Path) -> None:
    first, second = shared(tmp_path)
    with_master(closed(open_home(first)))
    for use in (open_home, read_home):
        with pytest.raises(SettingsError, match=rf"^{second}: the database belongs to another home, {first} on"):
            use(second)
    assert not (second / MARK_NAME).exists()
    closed(open_home(first))
    adopt_home(second)
    closed(open_home(second))
    with pytest.raises(SettingsError, match=rf"^{first}: the database belongs to another home, {second} on"):
        open_home(first)


def test_a_copy_of_a_home_is_a_second_one_and_a_moved_one_is_not(tmp_path: Path) -> None:
    first, second = shared(tmp_path)
    closed(open_home(first))
    shutil.copy(first / MARK_NAME, second)
    with pytest.raises(SettingsError, match=rf"^{second}: is a copy of {first}, and the database belongs to that"):
        open_home(second)
    shutil.rmtree(first)
    closed(open_home(second))
    with read_home(second).read_session() as session:
        row = home_on_record(session)
    assert row
    assert row.path == str(second)


def test_a_home_that_went_to_another_machine_is_told_what_to_type(tmp_path: Path) -> None:
    first, second = shared(tmp_path)
    home = open_home(first)
    with home.write_session() as session:
        row = home_on_record(session)
        assert row
        record_home(session, HomeOnRecord(row.mark, row.path, "elsewhere", "elsewhere"), anew=True)
    closed(open_home(first))  # the same path: several machines share a home
    shutil.copy(first / MARK_NAME, second)
    with pytest.raises(SettingsError, match=rf"{first} on elsewhere: .* type ccdwatch db adopt --home {second}"):
        open_home(second)
    home.engine.dispose()


# A home whose disk goes away


def goes_away(home: Path) -> Path:
    """Leave the empty folder that a disk was mounted on."""
    away = home.rename(home.with_name("disk"))
    home.mkdir()
    return away


def comes_back(home: Path, away: Path) -> None:
    home.rmdir()  # which fails where anything was written there
    away.rename(home)


def test_nothing_is_written_in_the_place_of_a_home_that_is_away(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = open_home(made)
    monkeypatch.setenv("CCDWATCH_HOME", str(made))
    monkeypatch.setenv(MARK_VARIABLE, home.mark or "")
    away = goes_away(made)
    said = f"{made} is not the home that it was: is its disk mounted?"
    for use in (open_home, read_home):
        with pytest.raises(HomeAwayError, match=said):
            use(made)
    assert [finding[: len(said)] for finding in condition(home).findings] == [said]
    with pytest.raises(HomeAwayError, match=said):
        sweep(home)
    with home.read_session() as session, pytest.raises(OperationalError, match="unable to open database file"):
        session.connection()
    comes_back(made, away)
    assert condition(home).is_ok
    with home.read_session() as session:
        assert home_on_record(session) is not None
    closed(open_home(made))
    home.engine.dispose()


def test_a_home_on_postgresql_that_is_not_mounted_is_not_begun_anew(tmp_path: Path) -> None:
    first, _ = shared(tmp_path)
    closed(open_home(first))
    away = goes_away(first)
    configure(first, f"sqlite:///{tmp_path}/shared.db")
    with pytest.raises(HomeAwayError, match=r"\.home is not there, .* is the disk mounted\? If it is, type ccdwatch"):
        open_home(first)
    assert [path.name for path in first.iterdir()] == ["ccdwatch.toml"]
    assert mark_of(away)


def test_the_watcher_waits_for_its_home(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = open_home(made)

    class Parts:
        def __init__(self) -> None:
            self.home, self.ticks = home, 0

        def tick(self, _at: object) -> None:
            self.ticks += 1

    parts = Parts()
    away = goes_away(made)
    assert str(made) in (dispatcher._work(parts, parts, None) or "")  # type: ignore[arg-type]
    assert parts.ticks == 0
    comes_back(made, away)
    monkeypatch.setattr(dispatcher, "keep_ballast", lambda _home: None)
    assert dispatcher._work(parts, parts, None) is None  # type: ignore[arg-type]
    assert parts.ticks == 2
    home.engine.dispose()


def test_a_database_that_was_put_in_the_place_of_another_is_used_at_once(made: Path, tmp_path: Path) -> None:
    """Not the one that was removed, to which connections are still open."""
    home = open_home(made)
    backup(home.engine, tmp_path / "copy.db")
    with home.write_session() as session:
        add_frame(session, "after the copy")
    for path in made.glob("ccdwatch.db*"):
        path.unlink()
    (tmp_path / "copy.db").rename(made / "ccdwatch.db")
    with home.write_session() as session:
        add_frame(session, "b")
    again = read_home(made)
    with again.read_session() as ours, home.read_session() as theirs:
        assert files_by_host(ours) == files_by_host(theirs) == {on_record.HOST: 2}
    for one in (home, again):
        one.engine.dispose()


# A machine that gets another name


@pytest.fixture
def renamed(tmp_path: Path) -> Iterator[Home]:
    """A home of a machine that was "dome", with a night of frames, and now is "observatory"."""
    (tmp_path / "home").mkdir()
    call(tmp_path / "home", "dome")
    home = open_home(tmp_path / "home")
    simple_night(tmp_path / "frames", camera=Camera(shape=(32, 64)), n_bias=3, n_flat=0)
    process(home, [tmp_path / "frames"])
    home.engine.dispose()
    call(home.path, "observatory")
    home = open_home(home.path)
    yield home
    home.engine.dispose()


def call(home: Path, host: str, more: str = "") -> None:
    (home / "ccdwatch.toml").write_text(f'[watch]\nsettle_seconds = 0\nhost = "{host}"\n{more}')


def test_a_renamed_machine_is_told_what_to_type(renamed: Home) -> None:
    said = (
        "3 files on record under dome, but this machine is observatory, so that they are not looked at:"
        " if it was renamed, type ccdwatch db rename-host dome"
    )
    assert words_of_renamed(renamed) == [said]
    assert said in condition(renamed).findings
    with pytest.raises(UnknownIdError, match="no frame of run:1 is on record under observatory"):
        retry(renamed, ["run:1"])
    for command, status in (("audit", 1), ("backfill", 0), ("status", 1), ("doctor", 1)):
        answer = ccdwatch(command, "--home", renamed.path)
        assert (answer.status, said in answer.err + answer.out.decode()) == (status, True), command


def test_after_renaming_all_is_as_before(renamed: Home, tmp_path: Path) -> None:
    first, second, third = sorted((tmp_path / "frames").glob("*.fits"))
    first.write_bytes(b"of another size")
    second.unlink()
    assert list(rename_files(renamed, "dome")) == [
        "1 file on record under observatory now",
        "2 files left under dome: not here as on record",
    ]
    assert words_of_renamed(renamed) == []
    with renamed.read_session() as session:
        assert files_by_host(session) == {"dome": 2, "observatory": 1}
    third.unlink()
    assert [(row["finding"], row["path"]) for row in audit(renamed)[0]] == [
        ("missing", str(third)),
        ("unregistered", str(first)),
    ]
    assert words_of_others(renamed) == ["2 files of dome not looked at from here"]


def test_after_renaming_sets_are_stale_and_made_again_as_before(renamed: Home) -> None:
    assert len(list(rename_files(renamed, "dome"))) == 1
    assert audit(renamed)[0] == []
    assert retry(renamed, ["run:1"])["failed"] == []
    call(renamed.path, "observatory", "[recipes.bias]\nclip_sigma = 6.0\n")
    again = open_home(renamed.path)
    assert len(backfill(again)["masters"]) == len(retry(again, ["run:1"])["masters"]) > 0
    again.engine.dispose()


def test_files_that_the_new_name_has_already_stay(renamed: Home, tmp_path: Path) -> None:
    process(renamed, [tmp_path / "frames"])
    assert list(rename_files(renamed, "dome")) == [
        "0 files on record under observatory now",
        "3 files left under dome: on record under observatory too",
    ]
    assert audit(renamed)[0] == []


@pytest.mark.parametrize(("old", "said"), [("dom", "no file is on record under dom: give one of dome")])
def test_a_name_that_nothing_is_on_record_under_is_refused(renamed: Home, old: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        list(rename_files(renamed, old))
