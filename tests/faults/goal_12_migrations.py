"""Killed at every statement of a migration: the schema is wholly old or wholly new, and no row is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from alembic.config import Config
from sqlalchemy import event, inspect, text

import db.engine
from db.engine import HEAD, make_engine, session_factory, upgrade
from tests.faults.databases import databases, empty
from tests.support.on_record import add_frame, begin_run, set_of

REBUILD = f'''"""Rebuild the tables that others point to, as a later revision may have to."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{HEAD}"


def upgrade():
    for name in ("frame", "run", "calibration_set"):
        how = "always" if op.get_bind().dialect.name == "sqlite" else "auto"
        with op.batch_alter_table(name, recreate=how) as table:
            table.add_column(sa.Column("note", sa.Text(), nullable=True))
'''
N_FRAMES = 20


def run(full: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory, databases() as addresses:
        revisions = Path(directory) / "versions"
        revisions.mkdir()
        (revisions / "r9999_rebuild.py").write_text(REBUILD)
        return "; ".join(
            f"{kind}, {what}: {_kill_everywhere(url, revisions, filled=filled, full=full)}"
            for kind, url in addresses.items()
            for what, filled in (("with rows", True), ("from nothing", False))[: 1 + full]
        )


def _kill_everywhere(url: str, revisions: Path, *, filled: bool, full: bool) -> str:
    with _state(url, filled=filled):
        old = _fingerprint(url)
        n = _migrate(url, revisions, kill_at=None)
        new = _fingerprint(url)
    assert old != new
    at = range(1, n + 1) if full else (n - 1, n)
    found = {"old": 0, "new": 0}
    for number in at:
        with _state(url, filled=filled):
            _migrate(url, revisions, kill_at=number)
            now = _fingerprint(url)
            assert now in (old, new), f"killed at statement {number} of {n}: neither old nor new"
            found["old" if now == old else "new"] += 1
            _migrate(url, revisions, kill_at=None)
            assert _fingerprint(url) == new, f"killed at statement {number} of {n}: the next upgrade did not end well"
    return f"{len(at)} kills of {n} statements, {found['old']} old, {found['new']} new"


@contextmanager
def _state(url: str, *, filled: bool) -> Iterator[None]:
    """Give a database that is empty, or has today's schema and rows that point to each other."""
    empty(url)
    if filled:
        engine = make_engine(url)
        upgrade(engine)
        with session_factory(engine).begin() as session:
            frames = [add_frame(session, f"frame {number}") for number in range(N_FRAMES)]
            begin_run(session, set_of(session, frames[0]))
        engine.dispose()
    yield
    empty(url)


def _fingerprint(url: str) -> dict[str, Any]:
    """Return each table's columns, indexes and number of rows."""
    engine = make_engine(url)
    with engine.connect() as connection:
        tables = inspect(connection)
        found = {
            name: (
                [str(column["name"]) for column in tables.get_columns(name)],
                sorted(str(index["name"]) for index in tables.get_indexes(name)),
                len(tables.get_foreign_keys(name)),
                connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar(),
            )
            for name in sorted(tables.get_table_names())
        }
    engine.dispose()
    return found


def _migrate(url: str, revisions: Path, *, kill_at: int | None) -> int:
    """Upgrade in a process of its own that is killed at a statement; return how many statements it made."""
    spawn = multiprocessing.get_context("forkserver")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_upgrade, args=(url, str(revisions), kill_at, theirs))
    process.start()
    theirs.close()
    process.join()
    assert process.exitcode == (0 if kill_at is None else -signal.SIGKILL), f"exit status {process.exitcode}"
    return int(ours.recv()) if kill_at is None else 0


def _upgrade(url: str, revisions: str, kill_at: int | None, pipe: Any) -> None:
    engine = make_engine(url)
    count = _Count(kill_at)
    event.listen(engine, "before_cursor_execute", count)
    event.listen(engine, "commit", count)
    with patch.object(db.engine, "_alembic_config", lambda: _config(revisions)):
        upgrade(engine)
    count()
    pipe.send(count.number)
    engine.dispose()


class _Count:
    """Counts statements, commits and the end, and kills the process before one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.number = 0
        self.kill_at = kill_at

    def __call__(self, *_: object) -> None:
        self.number += 1
        if self.number == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def _config(revisions: str) -> Config:
    config = Config()
    location = Path(db.engine.__file__).parent / "migrations"
    config.set_main_option("script_location", str(location))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join([str(location / "versions"), revisions]))
    return config
