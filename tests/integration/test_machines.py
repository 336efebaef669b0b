"""Several machines at work on one home: what one of them takes with it when it dies, and what a database does."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from db.runs.runs import list_runs, open_runs
from flows.home.home import Home
from flows.home.processes import now
from tests.conftest import skip_or_fail
from tests.support import postgresql
from tests.support.observatory import Observatory, opened, running_observatory
from tests.support.service import ccdwatch, wait_for
from tests.support.simulate import simple_night

N_SETS = 4


@pytest.fixture(scope="module")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observatory]:
    if postgresql.programs() is None:
        skip_or_fail("postgresql", "no PostgreSQL server on this machine: install Debian's package postgresql")
    with running_observatory(tmp_path_factory.mktemp("observatory")) as running:
        yield running


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets of cameras of their own, so that the order in which they are made changes nothing."""
    folder = tmp_path_factory.mktemp("frames")
    for number in range(N_SETS):
        simple_night(folder / f"{number}", seed=number, instrument=f"camera{number}")
    return folder


def at_work(home: Home, host: str, since: datetime) -> int | None:
    """Return the run that a machine is at, and has begun since."""
    with home.read_session() as session:
        return next((run.id for run in open_runs(session) if run.host == host and run.began_at >= since), None)


def done(home: Home) -> dict[str, str]:
    """Return where each set was made that is."""
    with home.read_session() as session:
        return {run.instrument: run.host for run in list_runs(session) if run.outcome == "done"}


def restart_postgresql(url: str) -> None:
    engine, binaries = create_engine(url), postgresql.programs()
    with engine.connect() as connection:
        data = connection.scalar(text("SHOW data_directory"))
    engine.dispose()
    assert binaries is not None
    postgresql.stop_hard(binaries, data, seconds=2)


def test_what_a_machine_that_died_was_at_is_made_once_by_another_and_a_database_restarts_meanwhile(
    observatory: Observatory, frames: Path, tmp_path: Path
) -> None:
    home = observatory.make_home("shared", frames)
    observatory.make_pool(home)
    with (
        observatory.worker(home, "one"),
        observatory.worker(home, "two"),
        observatory.host(home, "three", "ccdwatch", "watch"),
    ):
        record = opened(home)
        began = now()
        assert wait_for(lambda: at_work(record, "one", began), seconds=300, every=0.2), observatory.said()
        restart_postgresql(observatory.database_url)
        restarted = now()
        lost = wait_for(lambda: at_work(record, "one", restarted), seconds=300, every=0.2)
        assert lost, observatory.said()
        observatory.cut_power(home, "one")
        assert wait_for(lambda: len(done(record)) == N_SETS, seconds=900, every=1), observatory.said()
    with record.read_session() as session:
        runs = list_runs(session, superseded=True)
    assert sorted(run.instrument for run in runs if run.outcome == "done") == sorted(done(record))
    (given_back,) = [run for run in runs if run.id == lost]
    assert given_back.outcome == "abandoned"
    assert given_back.message == "nothing has been heard of one, where it was made, for 120 s"
    assert done(record)[given_back.instrument] == "two"
    record.engine.dispose()
    alone = tmp_path / "alone"
    assert ccdwatch(alone, "process", frames, "--home", alone, "--json").returncode == 0
    for what in ("trends", "masters", "frames"):
        assert observatory.on_record(home, what) == observatory.on_record(alone, what), what
