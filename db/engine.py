"""Opening the database, bringing its schema up to date, checking and copying it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ccdcore.io.write import new_file
from ccdcore.text import one_line
from db.errors import DatabaseError
from db.sqlite_file import hold_to_file

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0018"
"""The newest revision of the schema, known without importing Alembic."""

_BUSY_SECONDS = 120
"""How long a writer waits for others. SQLite lets any of them in, not the first that came, so that on a machine that is
overloaded one may be passed over for half a minute."""
_POSTGRESQL = "postgresql+psycopg"
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""In seconds, the last one in milliseconds: without them an answer that never comes is waited for for two hours."""
_UPGRADE_LOCK = 0xCCD
"""Key of the PostgreSQL advisory lock that lets one machine at a time change the schema."""


def make_engine(url: str, *, make: bool = True) -> Engine:
    """Open the database at ``url`` and try the connection.

    Every transaction on SQLite takes the write lock as it begins, so that one
    that reads first and writes later never fails half-way; see `session_factory`
    for work that only reads.

    Parameters
    ----------
    url : str
        A SQLAlchemy URL: ``sqlite:///…`` or ``postgresql+psycopg://…``.
    make : bool
        Whether an SQLite file may be made where there is none.

    Raises
    ------
    DatabaseError
        If the URL cannot be read, or the database not reached.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # also of a port that is no number
        raise DatabaseError(
            "[database] url is no database address: write sqlite:///ccdwatch.db or postgresql+psycopg://user@host/name"
        ) from error
    shown = parsed.render_as_string(hide_password=True)
    try:
        engine = _sqlite(url, make=make) if parsed.get_backend_name() == "sqlite" else _server(parsed)
        engine.connect().close()
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseError(
            f"{shown}: no driver for this address ({error}): write sqlite:///ccdwatch.db, or"
            " postgresql+psycopg://user@host/name with pip install 'ccdwatch[postgresql]'"
        ) from error
    except DBAPIError as error:
        cause = str(error.orig).strip()
        raise DatabaseError(
            f"{shown}: cannot open the database ({cause}): check [database] url, that the server runs or"
            " the folder exists, and that you may write there"
        ) from error
    return engine


def session_factory(engine: Engine, *, read_only: bool = False) -> sessionmaker[Session]:
    """Return what makes sessions; read-only ones take no write lock, and see one state of the database."""
    bind = engine.execution_options(read_only=True, postgresql_readonly=True) if read_only else engine
    return sessionmaker(bind)


def _server(url: URL) -> Engine:
    """Open a database server's; one that goes away without a word is given up, for who waits for it holds up others."""
    limits = {name: value for name, value in _PATIENCE.items() if name not in url.query}
    return create_engine(url, pool_pre_ping=True, connect_args=limits if url.drivername == _POSTGRESQL else {})


def _sqlite(url: str, *, make: bool) -> Engine:
    engine = create_engine(url, connect_args={"isolation_level": None, "timeout": _BUSY_SECONDS})
    if (name := engine.url.database) and name != ":memory:" and not name.startswith("file:"):
        hold_to_file(engine, make=make)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    # FULL: with NORMAL a power cut may take back commits that were reported done.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _is_sqlite(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite"


def _alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest revision, wholly or not at all.

    Raises
    ------
    DatabaseError
        If rows would point to nothing afterwards, a newer version made the schema, or the database refuses; the schema
        is then left as it was.
    """
    shown = engine.url.render_as_string()
    try:
        with engine.connect() as connection:
            # A table that is rebuilt must not take its children with it, and SQLite
            # lets this be switched outside a transaction only.
            _switch_foreign_keys(connection, on=False)
            try:
                with connection.begin():
                    _upgrade(connection, shown)
            finally:
                _switch_foreign_keys(connection, on=True)
    except DBAPIError as error:
        cause = str(error.orig).strip().partition("\n")[0]
        raise DatabaseError(
            f"{shown}: the schema could not be brought up to date ({cause}): check that you may write"
            " there, and on a server that the user may create tables in the schema"
        ) from error


def _upgrade(connection: Connection, shown: str) -> None:
    from alembic import command, util

    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
    config = _alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except util.CommandError as error:
        raise DatabaseError(f"{shown}: {_words_of(_revision(connection))}") from error
    if problems := _foreign_key_problems(connection):
        raise DatabaseError(f"the schema was not upgraded: {'; '.join(problems)}; restore a backup")


def _switch_foreign_keys(connection: Connection, *, on: bool) -> None:
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA foreign_keys = {'ON' if on else 'OFF'}")


def _foreign_key_problems(connection: Connection) -> list[str]:
    if connection.dialect.name != "sqlite":
        return []
    return [
        f"row {row} of {table} points to a row of {parent} that does not exist"
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check")
    ]


def require_schema(engine: Engine) -> None:
    """Make sure that the schema is the newest one, quickly.

    Raises
    ------
    DatabaseError
        If it is not: with what to type.
    """
    try:
        with engine.execution_options(read_only=True).connect() as connection:
            revision = _revision(connection)
    except DBAPIError:
        revision = None
    if revision != HEAD:
        raise DatabaseError(f"{engine.url.render_as_string()}: {_words_of(revision)}")


def _revision(connection: Connection) -> str | None:
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _words_of(revision: str | None) -> str:
    """Say what to do about a schema of another revision than that of this version."""
    if revision is not None and revision > HEAD:
        return (
            f"a newer ccdwatch has made the schema, of revision {revision}, and this one knows them up to {HEAD}:"
            " install the newer one, or restore a copy of the database from before it"
        )
    return f"the schema is at revision {revision or 'none'}, not at {HEAD}: type ccdwatch db upgrade"


def words_of_error(engine: Engine, error: SQLAlchemyError) -> str:
    """Return in one line why the database could not be used: its schema, where an older copy was restored under us."""
    try:
        with engine.execution_options(read_only=True).connect() as connection:
            revision = _revision(connection)
    except SQLAlchemyError:
        revision = HEAD
    return _words_of(revision) if revision != HEAD else one_line(getattr(error, "orig", None) or error)


def is_blank(engine: Engine) -> bool:
    """Whether no version of ccdwatch has ever made its tables here."""
    with engine.execution_options(read_only=True).connect() as connection:
        return not inspect(connection).has_table("alembic_version")


def check(engine: Engine) -> list[str]:
    """Return what is wrong with the database, in words; empty where all is well."""
    with engine.execution_options(read_only=True).connect() as connection:
        problems = _schema_problems(connection)
        if _is_sqlite(engine):
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
            problems += [f"integrity: {line}; restore a backup" for line in found if line != "ok"]
            problems += _foreign_key_problems(connection)
    return problems


def _schema_problems(connection: Connection) -> list[str]:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        return []
    return [_words_of(current)]


def backup(engine: Engine, target: Path) -> None:
    """Copy the database to ``target`` while it is in use.

    The copy is one file, complete and whole under its name or not there at all.

    Raises
    ------
    DatabaseError
        If ``target`` exists, cannot be written, or the database is not SQLite.
    """
    if not _is_sqlite(engine):
        raise DatabaseError(f"{engine.url.render_as_string()} is no SQLite file: copy it with pg_dump")
    try:
        target.parent.stat()  # a folder that is mistyped is not made
        with new_file(target) as part:
            _copy(engine, part)
    except FileExistsError:
        raise DatabaseError(f"{target} exists: give the copy a new name") from None
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(
            f"{target}: the copy could not be written ({error}): check the folder and its space"
        ) from error


def _copy(engine: Engine, path: Path) -> None:
    copy = sqlite3.connect(path)
    try:
        with engine.execution_options(read_only=True).connect() as connection:
            source: Any = connection.connection.driver_connection
            source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()
