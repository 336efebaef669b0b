"""Masters and references in the home: whole or not at all, current or not there; tidy after a crash."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.files import ledger
from db.runs.lifecycle import finish_run
from db.runs.masters import list_masters, record_master
from db.schema.models import File, FileState, Run
from flows.config.settings import Settings
from flows.home.home import Home, open_home
from flows.home.processes import is_gone, now, own_start, start_of
from flows.products import cleanup
from flows.products.cleanup import give_up_lost_runs, sweep
from flows.products.ingredients import reliable
from flows.products.references import refresh_references
from flows.registration import register
from tests.support import on_record
from tests.support.on_record import NOON, add_frame, begin_run, set_of, sighting

KILLED = 4_000_000  # above any process number


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for module in (cleanup, register):
        monkeypatch.setattr(module, "HOST", on_record.HOST)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ccdwatch.toml").write_text(f'[watch]\nhost = "{on_record.HOST}"\n')
    return open_home(tmp_path / "home")


def made(home: Home, name: str, *, night: int = 0, camera: str = "m2-ml", **changes: Any) -> tuple[int, Path]:
    """A finished run with one master whose file says its name."""
    path = home.path / "masters/m2-ml" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    with home.write_session() as session:
        of = on_record.NIGHT.replace(day=19 + night)
        run_id = begin_run(
            session, set_of(session, add_frame(session, f"{name} b", night=of, instrument=camera)), digest=name
        )
        valid_from = NOON.replace(day=19 + night)
        row = on_record.master(path.relative_to(home.path).as_posix(), valid_from=valid_from, **changes)
        record_master(session, run_id=run_id, master=row)
        finish_run(session, run_id=run_id, now=NOON)
    return run_id, path


def references(home: Home) -> dict[str, str]:
    return {path.name: path.read_text() for path in (home.path / "reference").rglob("*") if path.is_file()}


# References


def test_a_reference_is_the_good_master_observed_last(home: Home) -> None:
    made(home, "one.fits")
    made(home, "three.fits", night=2)
    made(home, "two.fits", night=1)
    made(home, "bad.fits", night=3, verdict="bad")
    made(home, "flat.fits", kind="flat", filter="V")
    refresh_references(home)
    assert references(home) == {"master_bias_bin1x1.fits": "three.fits", "master_flat_bin1x1_V.fits": "flat.fits"}


def test_a_reference_follows_its_master(home: Home) -> None:
    made(home, "one.fits")
    refresh_references(home)
    (before,) = (home.path / "reference").rglob("*.fits")
    inode = before.stat().st_ino
    refresh_references(home)
    assert before.stat().st_ino == inode
    made(home, "two.fits", night=1)
    refresh_references(home)
    assert before.read_text() == "two.fits"


def test_without_hard_links_a_reference_is_a_copy(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    made(home, "one.fits")
    refresh_references(home)
    assert list(references(home).values()) == ["one.fits"]


def test_a_reference_that_no_master_stands_behind_is_ended(home: Home) -> None:
    made(home, "one.fits")
    refresh_references(home)
    made(home, "worse.fits", verdict="bad")  # of the same set, so the first one is superseded
    refresh_references(home)
    assert references(home) == {}


def test_a_master_whose_file_is_gone_leaves_the_reference_alone(home: Home) -> None:
    made(home, "one.fits")
    refresh_references(home)
    _, gone = made(home, "two.fits", night=1)
    gone.unlink()
    refresh_references(home)
    assert list(references(home).values()) == ["one.fits"]


# After a crash


def begun(home: Home, name: str, *, pid: int = KILLED, started: float = 0.0) -> int:
    with home.write_session() as session:
        run_id = begin_run(session, set_of(session, add_frame(session, f"{name} b")), digest=name)
        session.execute(Run.__table__.update().values(pid=pid, pid_started=started).where(Run.id == run_id))  # type: ignore[attr-defined]
    return run_id


def own_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "started": own_start()}


def test_a_run_that_is_at_work_keeps_its_files(home: Home) -> None:
    run_id = begun(home, "x", **own_process())
    folder = home.path / "masters/m2-ml"
    folder.mkdir(parents=True)
    with home.write_session() as session:
        record_master(session, run_id=run_id, master=on_record.master(f"masters/m2-ml/bias_r{run_id}.fits"))
    for name in (f"bias_r{run_id}.fits", f".flat_V_r{run_id}.fits.0a1b2c3d.tmp"):
        (folder / name).write_text("x")
    assert sweep(home) == []
    assert len(list(folder.iterdir())) == 2


def test_a_number_that_another_process_has_by_now_does_not_count(home: Home) -> None:
    begun(home, "x", pid=os.getpid(), started=own_start() - 100)
    assert len(give_up_lost_runs(home)) == 1


def test_runs_of_other_machines_are_left_alone_for_the_time_of_their_lease(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(home, "x")
    monkeypatch.setattr(cleanup, "HOST", "another")
    monkeypatch.setattr(cleanup, "now", lambda: NOON + 0.9 * cleanup.RUN_LEASE)
    assert give_up_lost_runs(home) == []
    monkeypatch.setattr(cleanup, "now", lambda: NOON + 2 * cleanup.RUN_LEASE)
    assert len(give_up_lost_runs(home)) == 1


def test_a_home_without_masters_needs_no_sweeping(home: Home) -> None:
    assert sweep(home) == []


def test_claims_of_a_process_that_is_gone_are_free_at_once(home: Home) -> None:
    own = own_process()
    owners = [f"dome:{KILLED}:1.5:aa", f"dome:{own['pid']}:{own['started']}:bb"]
    for number, owner in enumerate(owners):
        with home.write_session() as session:
            (file,) = ledger.observe(session, [sighting(f"{number}.fits")], host=on_record.HOST, now=NOON)
            ledger.claim_files(session, [file.id], owner=owner, lease_until=now().replace(year=9999), now=NOON)
    sweep(home)
    with home.read_session() as session:
        states = list(session.scalars(select(File.state).order_by(File.id)))
    assert states == [FileState.READY, FileState.CLAIMED]


def test_a_process_is_gone_when_it_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = start_of(child.pid)
    assert not is_gone(child.pid, started)
    child.communicate(b"\n")
    assert is_gone(child.pid, started)


# What masters rely on


def test_masters_do_not_rely_on_the_textbook_pair(home: Home) -> None:
    measured: list[Any] = [object()]
    assert reliable(home, measured) == measured
    pair = Home(Settings(home=home.path, recipes={"gain": {"method": "pair"}}), home.engine)  # type: ignore[arg-type]
    assert reliable(pair, measured) == []


def test_every_master_on_record_is_a_file(home: Home) -> None:
    made(home, "one.fits")
    with home.read_session() as session:
        assert all((home.path / one.path).is_file() for one in list_masters(session))
