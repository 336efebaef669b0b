"""All at once, a lock from outside, hostile names and addresses, 2 000 biases in a set: nothing lost, nothing twice."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread
from unittest.mock import patch

import httpx
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from db import engine as engines
from db.engine import check
from db.files import ledger
from db.runs.masters import run_masters
from db.schema.models import File, FileState, Frame
from flows.calibration.engine import run_locally
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.registration.register import register_files
from flows.runs.plan import plans_of, reconcile
from flows.watching.directory_tree import Tree
from flows.watching.watcher import Watcher
from tests.faults.databases import databases
from tests.faults.hostile import PIXELS, encoded, primary
from tests.faults.watching import BLOCK
from tests.support.drawing import no_pictures
from tests.support.service import COMMAND, Service, ccdwatch, wait_for
from tests.support.simulate import Camera, simple_night
from tests.support.site import running_site

NAMES = [
    *(
        "-rf.fits",
        "--home=x.fits",
        "a b.fits",
        " lead.fits",
        "trail .fits",
        "new\nline.fits",
        "tab\t.fits",
        "$(id).fits",
    ),
    *("`id`.fits", ";id;.fits", "'q\".fits", "<b>x.fits", "%2e%2e%2fx.fits", "%s%n.fits", "back\\slash.fits"),
    *("\u202egnp.fits", "Hα ☄.fits", "\udcff\udcfe.fits"),
]
"""18 names of files that are one argument, one line and plain text to nobody who is careless."""
ADDRESSES = [
    *("/../ccdwatch.toml", "/static/../../ccdwatch.db", "/static/%2e%2e/%2e%2e/ccdwatch.toml", "/static//etc/passwd"),
    *(
        "/frames/-1",
        "/frames/0",
        "/frames/99999999999999999999",
        "/frames/1%00",
        "/frames/1/fits/../../x",
        "/frames/1e3",
    ),
    *(
        "/masters/999999/fits",
        "/masters/%2fetc%2fpasswd/fits",
        "/runs/'; DROP TABLE run;--",
        "/runs/1/pictures/..%2f..%2fx",
    ),
    *("/trends/gain?since=9999-99-99", "/trends/gain?since=-1", "/trends/%00", "/trends/" + "g" * 5000),
    *(
        "/trends/gain?instrument=%ff%fe",
        "/trends/gain?instrument=" + "a" * 9000,
        "/trends/<script>",
        "/api/trends/gain?format=exe",
    ),
    *("/api/frames?limit=999999999", "/api/frames?limit=-5", "/api/frames?after=1e400", "/api/provenance/frame:1:2:3"),
    *("/api/provenance/" + "%2e" * 90, "/api/sets/NaN", "/api/openapi.json?x[]=1"),
    *("/instruments/%00", "/api/trends/%00", "/api/provenance/%00", "/api/frames?instrument=%00"),
]
"""33 addresses."""


def run(full: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        directory = Path(name)
        _hostile_names(directory / "names")
        _hostile_addresses(directory / "names" / "home")
        with databases() as addresses:  # each has its own idea of numbers that are too large
            for url in addresses.values():
                home = _home_in(directory / url.partition(":")[0], database=url)
                _hostile_addresses(home.path)
                home.engine.dispose()
        locked = _locked_from_outside(directory / "locked", seconds=420.0 if full else 2.0, full=full)
        n_biases = _many_biases(directory / "many", 2000 if full else 60)
        said = f"; {_all_at_once(directory / 'all')}" if full else ""
    return (
        f"{len(NAMES)} names and {len(ADDRESSES)} addresses: each file its frame, no answer above 499, none with what "
        f"is not on record; locked from outside for {locked:.0f} s: all files on the ledger after; {n_biases} biases "
        f"in one set: one run, all of them looked at{said}"
    )


def _home_in(directory: Path, *, window_nights: int = 1, database: str = "sqlite:///ccdwatch.db") -> Home:
    (directory / "home").mkdir(parents=True)
    (directory / "incoming").mkdir()
    keys = f'settle_seconds = 0\nscan_seconds = 1\ndirectories = ["{directory}/incoming"]\n'
    rest = f'[nights]\nwindow_nights = {window_nights}\n[database]\nurl = "{database}"\n'
    (directory / "home" / "ccdwatch.toml").write_text(f"[watch]\n{keys}{rest}")
    return open_home(directory / "home")


def _register_all(home: Home) -> None:
    tree = Tree(str(home.settings.watch.directories[0]), include=home.settings.watch.include, exclude=str(home.path))
    with home.write_session() as session:
        files = ledger.observe(session, (one for _, one in tree.walk()), host=home.settings.host, now=now())
        ledger.mark_ready(session, [file.id for file in files], now=now())
    register_files(home)


def _hostile_names(directory: Path) -> None:
    """Each of them is registered, under its name, as a frame of its own."""
    home = _home_in(directory)
    for number, name in enumerate(NAMES):
        (directory / "incoming" / name).write_bytes(encoded(primary(PIXELS + number)))
    _register_all(home)
    with home.read_session() as session:
        found = {row.relative_path: (row.state, row.frame_id) for row in session.scalars(select(File))}
    assert found.keys() == set(NAMES), found.keys() ^ set(NAMES)
    assert {state for state, _ in found.values()} == {FileState.DONE}, found
    assert len({frame for _, frame in found.values()}) == len(NAMES), "names share frames"
    home.engine.dispose()


def _hostile_addresses(home: Path) -> None:
    secret = "settle_seconds"
    with running_site(home) as address, httpx.Client(base_url=address) as client:
        for path in ADDRESSES:
            answer = client.send(client.build_request("GET", httpx.URL(address + path)))
            assert answer.status_code < 500, f"{path[:60]}: {answer.status_code}"
            assert secret not in answer.text, f"{path[:60]}: hands out the configuration"


def _locked_from_outside(directory: Path, *, seconds: float, full: bool) -> float:
    """Hold the write lock while files land: told as an error each time, and all is made good after."""
    with patch.object(engines, "_BUSY_SECONDS", 120 if full else 0.3):
        home = _home_in(directory)
        watcher = Watcher(
            home.settings.watch,
            write_session=home.write_session,
            read_session=home.read_session,
            host=home.settings.host,
            home=home.path,
        )
        watcher.start()
        failed = 0
        try:
            watcher.tick(now())
            release, held = Event(), Event()
            lock = Thread(target=_hold, args=(home.path / "ccdwatch.db", held, release), daemon=True)
            lock.start()
            assert held.wait(10)
            began = time.monotonic()
            for number in range(20):
                (directory / "incoming" / f"{number}.fits").write_bytes(BLOCK)
            while time.monotonic() - began < seconds:
                try:
                    watcher.tick(now())
                except OperationalError:
                    failed += 1
                time.sleep(0.05)
            release.set()
            lock.join()
            assert failed, "the lock was not felt"
            assert wait_for(lambda: watcher.tick(now()) or _count(home, File) == 20, seconds=30), _count(home, File)
        finally:
            watcher.stop()
        assert check(home.engine) == []
        home.engine.dispose()
    return seconds


def _hold(database: Path, held: Event, release: Event) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        held.set()
        release.wait()
        connection.execute("ROLLBACK")


def _count(home: Home, table: type[File] | type[Frame]) -> int:
    with home.read_session() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def _many_biases(directory: Path, n: int) -> int:
    home = _home_in(directory, window_nights=7)  # 2 000 take more than a day
    camera = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(32, 64))
    simple_night(directory / "incoming" / "night", n_bias=n, n_flat=0, camera=camera)
    _register_all(home)
    ((plan,), _) = reconcile(home, now())
    with no_pictures():
        run_id = run_locally(home, plan)
    assert run_id is not None
    with home.read_session() as session:
        (master,) = [one for one in run_masters(session, run_id) if one.kind == "bias"]
    assert master.n_combined + master.n_excluded == n, f"{master.n_combined} + {master.n_excluded} of {n}"
    assert master.n_combined >= 0.99 * n, master.n_combined
    assert plans_of(home, [plan.set_id], now()) == []
    home.engine.dispose()
    return n


def _all_at_once(directory: Path) -> str:
    """`up`, two `process`, `backfill` and `db upgrade` at once, while late frames land."""
    directory.mkdir()
    service, n_nights = Service(directory), 6
    for number in range(n_nights):
        simple_night(service.outside / f"night{number}", seed=number, instrument=f"cam{number}")
    service.start(within=180)
    try:
        late = {}
        for number in range(n_nights):
            folder = service.outside / f"night{number}"
            late[number] = max(folder.iterdir())
            late[number] = late[number].rename(service.outside / f"late{number}.fits")
            folder.rename(service.incoming / folder.name)
        environment = {**os.environ, "CCDWATCH_HOME": str(service.home)}
        words = [["process", str(service.incoming)]] * 2 + [["backfill"], ["db", "upgrade"], ["backfill"]]
        at_once = [subprocess.Popen([*COMMAND, *one], env=environment, stdout=-3, stderr=-3) for one in words]
        for number, path in late.items():
            time.sleep(1)
            path.rename(service.incoming / f"night{number}" / path.name)
        for process in at_once:
            process.wait(timeout=400)
        for number in range(n_nights):
            service.wait_until_done(f"cam{number}", 9, seconds=300)
        time.sleep(5)
        runs = [one for number in range(n_nights) for one in service.runs(f"cam{number}")]
        current = Counter(one.instrument for one in runs if one.outcome == "done" and not one.superseded)
        assert set(current.values()) == {1}, current
        assert "failed" not in {one.outcome for one in runs}, runs
        assert _count(service.on_record, Frame) == 9 * n_nights
        assert check(service.on_record.engine) == []
        assert ccdwatch(service.home, "status").returncode == 0, ccdwatch(service.home, "status").stdout
    finally:
        with suppress(AssertionError):
            service.crash()
        service.on_record.engine.dispose()
    return (
        f"up, two process, two backfill and an upgrade at once over {n_nights} nights with late frames: each done once"
    )
