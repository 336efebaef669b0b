"""PostgreSQL is restarted in the midst of work, an older dump restored under it: no attempt lost, no file forgotten."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.files import ledger
from db.runs.runs import list_runs
from db.schema.models import File, FileState
from flows.calibration.engine import recording_failure
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.registration import register
from flows.registration.register import register_files
from flows.retries import RUN_ATTEMPTS
from flows.runs.begin import begin_run
from flows.runs.plan import reconcile
from flows.watching.directory_tree import sighting
from flows.watching.watcher import Watcher
from tests.faults.databases import empty
from tests.faults.goals import CannotRunError
from tests.faults.watching import BLOCK
from tests.support import postgresql
from tests.support.service import COMMAND, Service, ccdwatch, wait_for
from tests.support.simulate import simple_night

_END_ALL_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()
"""


def run(full: bool) -> str:
    binaries = postgresql.programs()
    if binaries is None:
        raise CannotRunError("no PostgreSQL server on this machine")
    with postgresql.running_server(binaries) as url, tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        n_files, seconds = _restore_under_a_watcher(Path(name), url, binaries, full=full)
        attempts = _lose_it_in_the_midst(Path(name), url)
        more = [_lose_it_at_any_moment(Path(name), url), _stop_it_hard(Path(name), url, binaries)] if full else []
    said = [
        f"a dump without {n_files} files restored under the watcher: all on the ledger {seconds:.1f} s after a scan",
        f"lost in the midst of {attempts} attempts and of a registration: none counted, the next one due",
        *more,
    ]
    return "; ".join(said)


@contextmanager
def _home_on(directory: Path, url: str, **watch: Any) -> Iterator[Home]:
    path = directory / f"home{time.monotonic_ns()}"
    path.mkdir()
    empty(url)  # a database belongs to one home
    keys = "".join(f"{key} = {value}\n" for key, value in {"settle_seconds": 0, **watch}.items())
    (path / "ccdwatch.toml").write_text(f'[database]\nurl = "{url}"\n[watch]\n{keys}')
    home = open_home(path)
    try:
        yield home
    finally:
        home.engine.dispose()


def _restore_under_a_watcher(directory: Path, url: str, binaries: Path, *, full: bool) -> tuple[int, float]:
    """Return how many files the dump did not have, and after how many seconds all were on the ledger again."""
    n_before, n_after = (500, 5000) if full else (3, 5)
    incoming = directory / "incoming"
    incoming.mkdir()
    with _home_on(directory, url, directories=f'["{incoming}"]') as home:
        watcher = Watcher(
            home.settings.watch,
            write_session=home.write_session,
            read_session=home.read_session,
            host=home.settings.host,
            home=home.path,
        )
        watcher.start()
        try:
            _land(incoming, "before", n_before)
            _tick_until(watcher, home, n_before)
            watcher.scan_all(now())  # from here on only events tell, so that what it knows is what it recorded itself
            dump = _psql(binaries, "pg_dump", url, "--clean", "--if-exists")
            _land(incoming, "night", n_after)
            _tick_until(watcher, home, n_before + n_after)
            _psql(binaries, "psql", url, "--quiet", stdin=dump)
            assert _n_on_ledger(home) == n_before, "the dump was not restored"
            watcher.scan_all(now())
            seconds = _tick_until(watcher, home, n_before + n_after)
            _tick_until(watcher, home, n_before + n_after, state=FileState.READY)
        finally:
            watcher.stop()
    return n_after, seconds


def _land(incoming: Path, name: str, n: int) -> None:
    for number in range(n):
        (incoming / f"{name}{number}.fits").write_bytes(BLOCK)


def _n_on_ledger(home: Home, state: FileState | None = None) -> int:
    with home.read_session() as session:
        return len([row for row in session.scalars(select(File.state)) if state in {None, row}])


def _tick_until(watcher: Watcher, home: Home, n: int, *, state: FileState | None = None) -> float:
    began = time.monotonic()

    def is_so() -> bool:
        watcher.tick(now())
        return _n_on_ledger(home, state) == n

    assert wait_for(is_so, seconds=120), f"{_n_on_ledger(home, state)} of {n} files on the ledger"
    return time.monotonic() - began


def _psql(binaries: Path, program: str, url: str, *words: str, stdin: bytes = b"") -> bytes:
    parsed = make_url(url)
    address = f"postgresql://{parsed.username}@{parsed.host}:{parsed.port}/{parsed.database}"
    done = subprocess.run(
        [binaries / program, *words, address], input=stdin, capture_output=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _lose_it_in_the_midst(directory: Path, url: str) -> int:
    """Let the server end the connection of whoever works, as it does when it is restarted; return how many attempts."""
    frames = directory / "frames"
    simple_night(frames, n_bias=2, n_flat=0)
    with _home_on(directory, url) as home:
        _lose_it_while_registering(home, frames)
        for attempt in range(1, RUN_ATTEMPTS + 2):
            ((plan,), _) = reconcile(home, now())
            assert plan.attempt == attempt, f"attempt {attempt} is not due"
            run_id = begin_run(
                home, set_id=plan.set_id, digest=plan.digest, attempt=attempt, engine="prefect", flow_run_id=None
            )
            assert run_id is not None
            with pytest.raises(OperationalError), recording_failure(home, run_id), home.write_session() as session:
                _end_connection(session)
        with home.read_session() as session:
            outcomes = {one.outcome for one in list_runs(session, superseded=True)}
        assert outcomes == {"abandoned"}, outcomes
        assert len(reconcile(home, now())[0]) == 1
    return RUN_ATTEMPTS + 1


def _end_connection(session: Session) -> None:
    session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def _lose_it_while_registering(home: Home, frames: Path) -> None:
    """A file is no worse for it, however often that happens."""
    real = register.register_frame

    def interrupted(session: Session, **words: Any) -> int:
        _end_connection(session)
        return real(session, **words)

    seen = [sighting(str(frames), path.name, path.lstat()) for path in frames.iterdir()]
    with home.write_session() as session:
        ids = [file.id for file in ledger.observe(session, seen, host=home.settings.host, now=now())]
    for _ in range(4):
        with patch.object(register, "register_frame", interrupted), pytest.raises(OperationalError):
            register_files(home, file_ids=ids)
        with home.write_session() as session:
            session.execute(text("UPDATE file SET lease_until = now() - interval '1 minute'"))
    register_files(home, file_ids=ids)
    with home.read_session() as session:
        states = set(session.scalars(select(File.state).where(File.id.in_(ids))))
    assert states == {FileState.DONE}, states


def _lose_it_at_any_moment(directory: Path, url: str) -> str:
    """Work on a night again and again while all connections are ended at random."""
    frames, rng = directory / "other", random.Random(28)
    simple_night(frames, seed=28, instrument="other")
    with _home_on(directory, url) as home:
        command = [*COMMAND, "process", str(frames)]
        environment = {**os.environ, "CCDWATCH_HOME": str(home.path)}
        n = 0
        for _ in range(20):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None:
                time.sleep(rng.uniform(0.1, 1.5))
                with home.write_session() as session:
                    n += len(session.execute(text(_END_ALL_OTHERS)).all())
        said = ccdwatch(home.path, "process", frames, seconds=300)
        assert said.returncode == 0, said.stderr
        with home.read_session() as session:
            outcomes = [one.outcome for one in list_runs(session, instrument="other", superseded=True)]
            states = set(session.scalars(select(File.state).where(File.root == str(frames))))
    assert states == {FileState.DONE}, states
    assert "failed" not in outcomes, outcomes
    assert "done" in outcomes, outcomes
    return f"{n} connections ended at random in 20 calls of process: {len(outcomes)} attempts, the last one done"


def _stop_it_hard(directory: Path, url: str, binaries: Path) -> str:
    """Stop the server as a crash does, five times, at random moments of a service's work on nights that land."""
    service, rng, seconds = Service(directory / "hard"), random.Random(5), 0.0
    empty(url)
    with (service.home / "ccdwatch.toml").open("a") as configuration:
        configuration.write(f'[database]\nurl = "{url}"\n')
    service.start(within=300)
    try:
        with service.on_record.read_session() as session:
            data = str(session.scalar(text("SHOW data_directory")))
        for number in range(5):
            simple_night(service.outside / f"night{number}", seed=number, instrument=f"hard{number}")
            (service.outside / f"night{number}").rename(service.incoming / f"night{number}")
            time.sleep(rng.uniform(1, 8))
            seconds += (away := rng.uniform(1, 5))
            postgresql.stop_hard(binaries, data, seconds=away)
        for number in range(5):
            service.wait_until_done(f"hard{number}", 9, seconds=300)
        with service.on_record.read_session() as session:
            runs = [one for one in list_runs(session, superseded=True) if one.instrument.startswith("hard")]
        done = Counter(one.instrument for one in runs if one.outcome == "done" and not one.superseded)
        assert set(done.values()) == {1}, done
        assert len(done) == 5, done
        assert "failed" not in {one.outcome for one in runs}, runs
        audit = ccdwatch(service.home, "audit")
        assert audit.returncode == 0, audit.stdout
    finally:
        with suppress(AssertionError):
            service.crash()
        service.on_record.engine.dispose()
    return f"the server stopped hard 5 times under a service, away for {seconds:.0f} s in all: 5 nights, each done once"
