"""Opening, upgrading, checking and copying the database; many writers at once."""

import multiprocessing
import re
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from db.engine import HEAD, _alembic_config, backup, check, make_engine, require_schema, session_factory, upgrade
from db.errors import DatabaseError
from db.schema.base import Base
from db.schema.models import File, Frame
from tests.support.on_record import HOST, NOON, add_frame, begin_run, sighting

WRITERS = 4
ROUNDS = 100


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Engine:
    engine = make_engine(f"sqlite:///{tmp_path}/ccdwatch.db")
    upgrade(engine)
    return engine


def test_the_newest_schema_is_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    assert check(engine) == []


def test_an_empty_database_is_told_to_be_upgraded(database_url: str) -> None:
    engine = make_engine(database_url)
    assert check(engine) == [f"the schema is at revision none, not at {HEAD}: type ccdwatch db upgrade"]
    engine.dispose()


def test_upgrading_again_keeps_what_is_on_record(engine: Engine, sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        add_frame(session, "a")
    upgrade(engine)
    with sessions() as session:
        assert len(session.scalars(select(Frame)).all()) == 1


def test_measurements_of_an_older_schema_keep_their_frame_counts(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/ccdwatch.db")
    with engine.begin() as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        known = "run_id, instrument_id, quantity, unit, amplifier, value, method, observed_at, details"
        rows = [(1, '{"n_bias": 10, "n_flat": 8, "n_flat_pairs": 4}'), (2, '{"n_bias": null}'), (3, "{}")]
        for key, details in rows:
            connection.execute(
                text(
                    f"INSERT INTO measurement (id, {known}) VALUES (:key, 1, 1, 'gain', 'e/ADU', '1', 1, 'm', '', :d)"
                ),
                {"key": key, "d": details},
            )
        command.upgrade(config, "head")
        found = connection.execute(text("SELECT n_bias, n_flat, n_flat_pairs FROM measurement ORDER BY id")).all()
        connection.execute(text("DELETE FROM measurement"))
    assert found == [(10, 8, 4), (None, None, None), (None, None, None)]


def test_of_the_entries_of_an_older_schema_the_latest_are_in_force(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        for name, digest, day in (("a", "old", 1), ("a", "new", 2), ("b", "only", 1), ("c", "", 1)):
            connection.execute(
                text("INSERT INTO instrument (name, digest, entry, spec, recorded_at) VALUES (:n, :d, '{}', '{}', :r)"),
                {"n": name, "d": digest, "r": f"2026-01-0{day} 00:00:00+00:00"},
            )
        command.upgrade(config, "head")
        found = connection.execute(text("SELECT digest FROM instrument WHERE in_force ORDER BY digest")).all()
    engine.dispose()
    assert [row.digest for row in found] == ["new", "only"]


def test_an_upgrade_that_would_leave_orphans_is_refused(sqlite_engine: Engine) -> None:
    raw = sqlite3.connect(str(sqlite_engine.url.database))
    raw.execute("INSERT INTO run_input (run_id, role, borrowed) VALUES (99, 'bias', 0)")
    raw.commit()
    raw.close()
    with pytest.raises(DatabaseError, match="not upgraded: row 1 of run_input points to a row of run"):
        upgrade(sqlite_engine)
    assert check(sqlite_engine) == ["row 1 of run_input points to a row of run that does not exist"]


def test_rows_that_point_to_nothing_are_refused(session: Session) -> None:
    with pytest.raises(IntegrityError):
        begin_run(session, 99)


def test_sqlite_is_set_up_to_lose_nothing(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert settings == ["wal", 2, 1, 120_000]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ccdwatch.db", "is no database address: write sqlite:///ccdwatch.db"),
        ("nosuch://host/name", "nosuch://host/name: no driver for this address"),
        ("sqlite:////no/such/folder/x.db", "cannot open the database .*unable to open.*the folder exists"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", r"me:\*\*\*@127.0.0.1:1/x: cannot open the database"),
    ],
)
def test_a_wrong_url_says_what_to_type(url: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message) as caught:
        make_engine(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "frame.fits"
    path.write_bytes(b"SIMPLE  =                    T" * 100)
    with pytest.raises(DatabaseError, match=r"frame\.fits: cannot open the database \(file is not a database\)"):
        make_engine(f"sqlite:///{path}")


def test_a_reader_does_not_wait_for_a_writer(sqlite_engine: Engine) -> None:
    reading = session_factory(sqlite_engine, read_only=True)
    with session_factory(sqlite_engine).begin() as writer:
        add_frame(writer, "a")
        with reading() as reader:
            assert reader.scalars(select(Frame)).all() == []
    with reading() as reader:
        assert len(reader.scalars(select(Frame)).all()) == 1


def test_a_copy_is_one_whole_file(sqlite_engine: Engine, tmp_path: Path) -> None:
    with session_factory(sqlite_engine).begin() as session:
        add_frame(session, "a")
        target = tmp_path / "copy.db"
    with session_factory(sqlite_engine).begin() as writer:
        add_frame(writer, "b")
        backup(sqlite_engine, target)
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]
    copy = make_engine(f"sqlite:///{target}")
    assert check(copy) == []
    with session_factory(copy)() as session:
        assert len(session.scalars(select(Frame)).all()) == 1
    copy.dispose()


def test_a_copy_overwrites_nothing(sqlite_engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(DatabaseError, match=r"copy\.db exists: give the copy a new name"):
        backup(sqlite_engine, tmp_path / "copy.db")
    with pytest.raises(DatabaseError, match=r"nowhere/copy\.db: the copy could not be written"):
        backup(sqlite_engine, tmp_path / "nowhere" / "copy.db")


def test_postgresql_is_copied_by_its_own_tool(tmp_path: Path) -> None:
    engine = create_engine("postgresql+psycopg://me:secret@127.0.0.1:1/x")  # connects to nothing
    with pytest.raises(DatabaseError, match=r"me:\*\*\*@.* is no SQLite file: copy it with pg_dump"):
        backup(engine, tmp_path / "copy.db")


def _read_then_write(url: str, barrier: object) -> None:
    engine = make_engine(url)
    sessions = session_factory(engine)
    barrier.wait()  # type: ignore[attr-defined]
    for _ in range(ROUNDS):
        with sessions.begin() as session:
            tries = session.scalars(select(File.tries).with_for_update()).one()
            session.execute(update(File).values(tries=tries + 1))
    engine.dispose()


def test_processes_that_read_then_write_never_fail(database_url: str, engine: Engine) -> None:
    from db.files import ledger

    with session_factory(engine).begin() as session:
        ledger.observe(session, [sighting()], host=HOST, now=NOON)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WRITERS)
    writers = [context.Process(target=_read_then_write, args=(database_url, barrier)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    with session_factory(engine)() as session:
        assert session.scalars(select(File.tries)).one() == WRITERS * ROUNDS


def test_the_newest_revision_is_known_without_alembic(engine: Engine) -> None:
    assert [script.revision for script in ScriptDirectory.from_config(_alembic_config()).get_revisions("heads")] == [
        HEAD
    ]
    require_schema(engine)


def test_an_older_schema_is_named_with_what_to_type(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(DatabaseError, match=f"at revision 0000, not at {HEAD}: type ccdwatch db upgrade"):
        require_schema(engine)


def test_a_schema_of_a_newer_version_is_told_as_such(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '8888'"))
    said = f"a newer ccdwatch has made the schema, of revision 8888, and this one knows them up to {HEAD}: install"
    for use in (require_schema, upgrade):
        with pytest.raises(DatabaseError, match=said):
            use(engine)
    assert [problem[: len(said)] for problem in check(engine)] == [said]


def test_a_server_that_lets_no_table_be_made_is_told_as_such(postgresql_url: str) -> None:
    engine = make_engine(f"{postgresql_url}?options=-csearch_path%3Dnowhere")
    said = "could not be brought up to date (no schema has been selected to create in): check that you may write there"
    with pytest.raises(DatabaseError, match=re.escape(said)) as caught:
        upgrade(engine)
    assert "\n" not in str(caught.value)
    engine.dispose()


def test_a_server_that_goes_away_without_a_word_is_given_up(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)
    given = engine.raw_connection().driver_connection.info.get_parameters()  # type: ignore[union-attr]
    assert (given["keepalives_idle"], given["tcp_user_timeout"], given["connect_timeout"]) == ("30", "60000", "10")
    engine.dispose()
    own = make_engine(f"{postgresql_url}?keepalives_idle=7")
    assert own.raw_connection().driver_connection.info.get_parameters()["keepalives_idle"] == "7"  # type: ignore[union-attr]
    own.dispose()
