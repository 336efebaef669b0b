"""Several machines at work on one home: what one of them takes with it when it dies, and what a database does."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from db.files import ledger
from db.runs.runs import list_runs, open_runs
from db.runs.sets import set_summaries
from db.schema.models import FileState
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.watching.directory_tree import Tree
from tests.conftest import skip_or_fail
from tests.support import postgresql
from tests.support.observatory import Observatory, opened, running_observatory
from tests.support.service import ccdwatch, wait_for
from tests.support.simulate import simple_night

N_SETS = 4

REGISTER = """
import sys
from pathlib import Path

from flows.home.home import open_home
from flows.registration import register

register.BATCH = 3  # so that hosts take turns
print(register.register_files(open_home(Path(sys.argv[1]))).n)
"""


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


def put_on_ledger(home: Home, folder: Path) -> None:
    """Offer all files of a folder, as the watcher does when they are complete."""
    tree = Tree(str(folder), include=home.settings.watch.include, exclude=str(home.path))
    with home.write_session() as session:
        seen = ledger.observe(session, [one for _, one in tree.walk()], host=home.settings.host, now=now())
        ledger.mark_ready(session, [file.id for file in seen], now=now())


def registered_by(observatory: Observatory, home: Path, hosts: Sequence[str]) -> list[int]:
    """Let hosts register what there is at the same time; return how many files each of them looked at."""
    words = [sys.executable, "-m", "tests.support.other_host"]
    processes = [
        subprocess.Popen(
            [*words, host, "-", sys.executable, "-c", REGISTER, str(home)],
            env=observatory.environment(home), stdout=subprocess.PIPE, text=True,
        )
        for host in hosts
    ]  # fmt: skip
    return [int(process.communicate(timeout=600)[0]) for process in processes]


def test_several_machines_register_the_same_frames_as_one(
    observatory: Observatory, frames: Path, tmp_path: Path
) -> None:
    shutil.copytree(frames, tmp_path / "frames")
    shutil.copytree(frames / "0", tmp_path / "frames" / "copies")  # the same frames by another path
    found = []
    for hosts in (["one"], ["one", "two", "three"]):
        home = observatory.make_home(f"registered{len(hosts)}", tmp_path / "frames")
        record = open_home(home)
        put_on_ledger(record, tmp_path / "frames")
        n_of_each = registered_by(observatory, home, hosts)
        assert sum(n_of_each) == 9 * (N_SETS + 1)
        assert all(n_of_each), n_of_each
        with record.read_session() as session:
            assert ledger.counts(session)[FileState.DONE] == 9 * (N_SETS + 1)
            sets = {(one.instrument, one.window_first_night) for one in set_summaries(session, host="observatory")}
        record.engine.dispose()
        found.append((sets, observatory.on_record(home, "frames")))
    assert found[0] == found[1]
    assert len(found[0][1]) == 9 * N_SETS
