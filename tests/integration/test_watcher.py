"""The watcher on a real file system, with real events and a real ledger."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.engine import make_engine, session_factory, upgrade
from db.files import ledger
from db.schema.models import File, FileState
from flows.config.settings import WatchSettings
from flows.retries import Pauses
from flows.watching import hints, observer
from flows.watching.directory_tree import is_open_for_writing
from flows.watching.watcher import Watcher
from tests.support.pace import slowness

# watchdog says so of a directory that it meets twice, once by walking and once by its event.
pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")

HOST = "dome"
STABLE = 0.2
QUIET = 1.2
SOON = 30.0
"""Half of the time between two scans. Only what does not come is waited for so long."""
BLOCK = b"x" * 2880
READY = FileState.READY


@dataclass
class Site:
    """A watched directory, its ledger, and the loop that the service runs."""

    root: Path
    outside: Path
    sessions: sessionmaker[Session]
    settings: WatchSettings
    watcher: Watcher | None = None
    became_ready: int = field(default=0)

    def start(self, *, mounts: Mapping[str, str] | None = None, **changes: object) -> Watcher:
        self.stop()
        self.settings = self.settings.model_copy(update=changes)
        home = self.root / "home"
        self.watcher = Watcher(
            self.settings,
            write_session=self.sessions.begin,
            read_session=self.sessions,
            host=HOST,
            home=home,
            mounts=mounts,
        )
        self.watcher.start()
        self.tick()
        return self.watcher

    def stop(self) -> None:
        if self.watcher is not None:
            self.watcher.stop()
            self.watcher = None

    def tick(self) -> None:
        assert self.watcher is not None
        self.became_ready += self.watcher.tick(datetime.now(UTC))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Run the loop until something is so; return whether it came to be."""
        assert self.watcher is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if until():
                return True
            self.watcher.wait(min(0.2, max(0.0, end - time.monotonic())))
            self.tick()
        return until()

    def states(self) -> dict[str, FileState]:
        with self.sessions() as session:
            return {row.relative_path: row.state for row in session.scalars(select(File))}

    def becomes_ready(self, *names: str, within: float) -> bool:
        """Run the loop until all of the files are ready."""

        def all_ready() -> bool:
            states = self.states()
            return all(states.get(name) == READY for name in names)

        return self.run(within, all_ready)

    def finish(self, name: str) -> None:
        """Do what ingest does with a file that is ready, without its frame."""
        now = datetime.now(UTC)
        with self.sessions.begin() as session:
            rows = ledger.claim_ready(session, host=HOST, owner="me", limit=99, lease_until=now, now=now)
            (row,) = (row for row in rows if row.relative_path == name)
            assert ledger.quarantine(session, row.id, owner="me", reason="no frame", now=now)


@pytest.fixture(scope="module")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    engine = make_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def site(tmp_path: Path, empty_ledger: Path) -> Iterator[Site]:
    shutil.copy(empty_ledger, tmp_path)
    engine = make_engine(f"sqlite:///{tmp_path}/ledger.db")
    root = tmp_path / "incoming"
    root.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    settings = WatchSettings(
        directories=(root,), stable_seconds=STABLE, quiet_seconds=QUIET, scan_seconds=60, include=("*.fit", "*.fits")
    )
    site = Site(root, outside, session_factory(engine), settings)
    yield site
    site.stop()
    engine.dispose()


# Kinds of arrival. `scan_seconds` is 60: what is found within seconds is found by its events.
def test_copied_file_is_ready_soon_after_its_close(site: Site) -> None:
    site.start()
    latencies = []
    for name in ["a.fits", "b.fits", "c.fits"]:  # one of them may meet a busy machine
        (site.root / name).write_bytes(BLOCK)
        closed_at = time.monotonic()
        assert site.becomes_ready(name, within=SOON)
        latencies.append(time.monotonic() - closed_at)
    assert STABLE <= min(latencies) <= STABLE + 0.3 * slowness()
    assert site.became_ready == 3


def test_chunked_write_is_not_ready_while_open(site: Site) -> None:
    site.start()
    with (site.root / "slow.fits").open("wb") as file:
        for _ in range(4):
            file.write(BLOCK)
            file.flush()
            assert not site.becomes_ready("slow.fits", within=2 * STABLE)
        assert site.states() == {"slow.fits": FileState.SETTLING}
    assert site.becomes_ready("slow.fits", within=SOON)


def test_file_closed_and_opened_again_at_once_is_not_ready_while_open(site: Site) -> None:
    site.start()
    path = site.root / "again.fits"
    path.write_bytes(BLOCK)
    with path.open("ab") as file:
        file.write(BLOCK)
        file.flush()
        assert not site.becomes_ready("again.fits", within=4 * STABLE)
    assert site.becomes_ready("again.fits", within=SOON)


def test_stalled_writer_is_given_up_after_quiet_seconds(site: Site) -> None:
    site.start()
    with (site.root / "stalled.fits").open("wb") as file:
        file.write(BLOCK)
        file.flush()
        assert not site.becomes_ready("stalled.fits", within=QUIET - 0.3)
        assert site.becomes_ready("stalled.fits", within=SOON)


def test_without_leases_the_close_counts_or_the_quiet(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.watching.watcher.is_open_for_writing", lambda _: None)
    (site.outside / "linked.fits").write_bytes(BLOCK)
    site.start()
    (site.root / "linked.fits").hardlink_to(site.outside / "linked.fits")
    (site.root / "copied.fits").write_bytes(BLOCK)
    (site.root / ".renamed").write_bytes(BLOCK)
    (site.root / ".renamed").rename(site.root / "renamed.fits")
    assert site.becomes_ready("copied.fits", "renamed.fits", within=QUIET - 0.3)
    assert site.states()["linked.fits"] != READY
    assert site.becomes_ready("linked.fits", within=SOON)


def test_temporary_name_then_rename(site: Site) -> None:
    site.start()
    temporary = site.root / "b.fits.part"
    temporary.write_bytes(BLOCK)
    site.run(2 * STABLE)
    assert site.states() == {}
    temporary.rename(site.root / "b.fits")
    assert site.becomes_ready("b.fits", within=SOON)


def test_rsync_like_hidden_temporary_name(site: Site) -> None:
    site.start()
    temporary = site.root / ".c.fits.Xa81kd"
    temporary.write_bytes(BLOCK)
    temporary.rename(site.root / "c.fits")
    assert site.becomes_ready("c.fits", within=SOON)
    assert set(site.states()) == {"c.fits"}


def test_moved_in_hard_link_and_symlink_inside(site: Site) -> None:
    (site.outside / "moved.fits").write_bytes(BLOCK)
    (site.outside / "linked.fits").write_bytes(BLOCK)
    (site.root / "target.dat").write_bytes(BLOCK)
    site.start()
    (site.outside / "moved.fits").rename(site.root / "moved.fits")
    (site.root / "linked.fits").hardlink_to(site.outside / "linked.fits")
    (site.root / "symlink.fits").symlink_to("target.dat")
    assert site.becomes_ready("moved.fits", "linked.fits", "symlink.fits", within=SOON)


def test_moved_in_directory_and_directory_renamed(site: Site) -> None:
    (site.outside / "night" / "flats").mkdir(parents=True)
    (site.outside / "night" / "flats" / "a.fits").write_bytes(BLOCK)
    site.start()
    (site.outside / "night").rename(site.root / "night")
    assert site.becomes_ready("night/flats/a.fits", within=SOON)
    (site.root / "night").rename(site.root / "2024-01-01")
    assert site.becomes_ready("2024-01-01/flats/a.fits", within=SOON)


def test_new_nested_directories_with_files_at_once(site: Site) -> None:
    site.start()
    names = [f"night{i % 30}/ccd/flat{i}.fits" for i in range(300)]
    for name in names:
        path = site.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BLOCK)
    assert site.becomes_ready(*names, within=SOON)


def test_there_before_start(site: Site) -> None:
    (site.root / "old").mkdir()
    (site.root / "old" / "a.fits").write_bytes(BLOCK)
    site.start()
    assert site.becomes_ready("old/a.fits", within=SOON)


def test_arrived_while_stopped_and_known_from_before(site: Site) -> None:
    (site.root / "known.fits").write_bytes(BLOCK)
    (site.root / "unstable.fits").write_bytes(BLOCK)
    site.start(stable_seconds=60)
    site.stop()
    (site.root / "late.fits").write_bytes(BLOCK)
    site.start(stable_seconds=STABLE)
    assert site.becomes_ready("known.fits", "unstable.fits", "late.fits", within=SOON)
    site.finish("known.fits")
    site.start()
    site.run(2 * STABLE)
    assert site.states()["known.fits"] == FileState.QUARANTINED


def test_late_edit_is_ready_again(site: Site) -> None:
    site.start()
    path = site.root / "edited.fits"
    path.write_bytes(BLOCK)
    assert site.becomes_ready("edited.fits", within=SOON)
    site.finish("edited.fits")
    with path.open("r+b") as file:
        file.write(b"y")
    assert site.becomes_ready("edited.fits", within=SOON)


@pytest.mark.parametrize("restarted", [False, True])
def test_file_in_quarantine_is_ready_again_when_its_mode_changed(
    site: Site, restarted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.start(scan_seconds=0.5)
    for name in ("a.fits", "b.fits"):
        (site.root / name).write_bytes(BLOCK)
    (site.root / "a.fits").chmod(0o000)
    assert site.becomes_ready("a.fits", "b.fits", within=10 * SOON)
    assert site.watcher is not None
    site.watcher.scan_all(datetime.now(UTC))  # which reads the ledger before the file is in quarantine
    site.finish("a.fits")
    monkeypatch.setattr(observer, "ANNOUNCED_WITHIN_SECONDS", 0.3)
    if restarted:
        site.stop()
    (site.root / "a.fits").chmod(0o644)
    (site.root / "b.fits").chmod(0o600)
    if restarted:
        site.start(scan_seconds=0.5)
    site.watcher.scan_all(datetime.now(UTC))
    assert site.states()["a.fits"] is not FileState.QUARANTINED, "what can be read now is not tried again"
    assert site.becomes_ready("a.fits", within=10 * SOON)
    is_deaf = site.run(1.0, lambda: bool(site.watcher and site.watcher.health.unobserved))
    assert not is_deaf, "no events are missed: nobody sends any of a new mode"


def test_file_sent_back_is_ready_again_after_its_rest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.watching.watcher._LEDGER_SECONDS", 0.1)
    monkeypatch.setattr("flows.watching.watcher._RECHECK_SECONDS", 0.1)
    site.start()
    (site.root / "half.fits").write_bytes(BLOCK)
    assert site.becomes_ready("half.fits", within=SOON)
    now = datetime.now(UTC)
    rest_until = now + timedelta(seconds=1)
    with site.sessions.begin() as session:
        (row,) = ledger.claim_ready(session, host=HOST, owner="me", limit=1, lease_until=rest_until, now=now)
        ledger.send_back(session, row.id, owner="me", reason="half", rest_until=rest_until, most=3, now=now)
    assert not site.becomes_ready("half.fits", within=0.8)
    assert site.becomes_ready("half.fits", within=SOON)


def test_deleted_before_it_is_stable(site: Site) -> None:
    watcher = site.start()
    path = site.root / "brief.fits"
    path.write_bytes(BLOCK)
    assert site.run(1, lambda: watcher.health.settling == 1)
    path.unlink()
    assert site.run(2, lambda: watcher.health.settling == 0)
    assert site.became_ready == 0
    assert site.states() == {}


def test_not_stable_while_its_share_goes_away_and_comes_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.watching.watcher._LEDGER_SECONDS", 0.1)
    watcher = site.start(stable_seconds=60)
    (site.root / "a.fits").write_bytes(BLOCK)
    assert site.run(2, lambda: watcher.health.settling == 1)
    site.root.rename(site.outside / "away")
    assert site.run(2, lambda: bool(watcher.health.missing))
    site.start(stable_seconds=STABLE)
    site.run(2 * STABLE)
    assert site.states() == {"a.fits": FileState.SEEN}
    (site.outside / "away").rename(site.root)
    assert site.becomes_ready("a.fits", within=SOON)


# What counts
def test_upper_case_and_compressed_names(site: Site) -> None:
    site.start()
    names = ["A.FIT", "b.Fits.gz", "c.fits.fz", "d.FITS.FZ"]
    for name in names:
        (site.root / name).write_bytes(BLOCK)
    for name in ["e.txt", ".f.fits", "g.fits.tmp", "h.fits.part", "i.fits.bz2"]:
        (site.root / name).write_bytes(BLOCK)
    assert site.becomes_ready(*names, within=SOON)
    site.start()
    assert set(site.states()) == set(names)


def test_only_regular_files_and_links_to_such(site: Site) -> None:
    (site.outside / "frame.fits").write_bytes(BLOCK)
    os.mkfifo(site.root / "pipe.fits")
    (site.root / "zero.fits").symlink_to("/dev/zero")
    (site.root / "dangling.fits").symlink_to("nowhere.fits")
    (site.root / "loop.fits").symlink_to("loop.fits")
    (site.root / "outward.fits").symlink_to(site.outside / "frame.fits")
    (site.root / "directory.fits").mkdir()
    (site.root / "around").symlink_to(site.root)
    (site.root / "good.fits").write_bytes(BLOCK)
    site.start()
    os.mkfifo(site.root / "pipe2.fits")
    assert site.becomes_ready("good.fits", "outward.fits", within=SOON)
    assert set(site.states()) == {"good.fits", "outward.fits"}


def test_home_below_the_root_is_not_watched(site: Site) -> None:
    masters = site.root / "home" / "masters"
    masters.mkdir(parents=True)
    (masters / "old.fits").write_bytes(BLOCK)
    (site.root / "homes").mkdir()
    site.start()
    (masters / "new.fits").write_bytes(BLOCK)
    (masters / "sub").mkdir()
    (masters / "sub" / "new.fits").write_bytes(BLOCK)
    (site.root / "link.fits").symlink_to(masters / "old.fits")
    (site.root / "homes" / "a.fits").write_bytes(BLOCK)
    assert site.becomes_ready("homes/a.fits", within=SOON)
    assert set(site.states()) == {"homes/a.fits"}


def test_watched_directory_inside_the_home_and_one_in_another(site: Site) -> None:
    inside = site.root / "home" / "incoming"
    inside.mkdir(parents=True)
    (inside / "a.fits").write_bytes(BLOCK)
    site.start(directories=(inside, inside / "nested", inside))
    (inside / "nested").mkdir()
    (inside / "nested" / "b.fits").write_bytes(BLOCK)
    assert site.becomes_ready("a.fits", "nested/b.fits", within=SOON)


def test_name_that_is_not_utf8(site: Site) -> None:
    site.start()
    name = os.fsdecode(b"nacht_\xfc.fits")
    (site.root / name).write_bytes(BLOCK)
    assert site.becomes_ready(name, within=SOON)


def test_directory_that_cannot_be_listed_is_reported_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed = site.root / "closed"
    closed.mkdir()
    (site.root / "open").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:  # the tests may run as root, whom no permission stops
        if path == str(closed):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("flows.watching.directory_tree.os.scandir", refuse)
    site.start(scan_seconds=0.1)
    (site.root / "open" / "a.fits").write_bytes(BLOCK)
    assert site.becomes_ready("open/a.fits", within=SOON)
    assert len([r for r in caplog.records if "cannot be listed (Permission denied)" in r.getMessage()]) == 1


# Roots and observers
def test_empty_directory_that_a_share_was_mounted_on_is_no_empty_share(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "_mount_of", lambda root: root)  # it is mounted
    watcher = site.start()
    mounts = watcher.health.mounts
    assert mounts == {str(site.root): str(site.root)}
    monkeypatch.setattr(observer, "_mount_of", lambda _: "/")
    shutil.rmtree(site.root)
    site.root.mkdir()
    watcher = site.start(mounts=mounts)
    assert watcher.health.missing == (str(site.root),)
    (site.root / "a.fits").write_bytes(BLOCK)  # somebody uses the directory as such
    assert site.becomes_ready("a.fits", within=SOON)
    assert watcher.health.missing == ()
    assert watcher.health.mounts == {str(site.root): "/"}


def test_root_created_after_start(site: Site) -> None:
    root = site.root / "later"
    watcher = site.start(directories=(root,))
    assert watcher.health.missing == (str(root),)
    root.mkdir()
    (root / "a.fits").write_bytes(BLOCK)
    assert site.becomes_ready("a.fits", within=SOON)
    (root / "b.fits").write_bytes(BLOCK)
    assert site.becomes_ready("b.fits", within=SOON)
    assert watcher.health.missing == watcher.health.unobserved == ()


def test_root_renamed_and_recreated(site: Site) -> None:
    watcher = site.start()
    site.root.rename(site.outside / "old")
    assert site.run(1, lambda: watcher.health.missing == (str(site.root),))
    site.root.mkdir()
    (site.root / "a.fits").write_bytes(BLOCK)
    assert site.becomes_ready("a.fits", within=SOON)
    (site.root / "b.fits").write_bytes(BLOCK)
    assert site.becomes_ready("b.fits", within=SOON)


def test_root_deleted_and_recreated_between_two_looks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "OBSERVER", Pauses(0.1, 600.0))
    site.start()
    time.sleep(0.2)
    shutil.rmtree(site.root)
    site.root.mkdir()  # ext4 gives it the very same inode
    assert site.run(1, lambda: site.watcher is not None and not site.watcher.health.unobserved)
    (site.root / "a.fits").write_bytes(BLOCK)
    assert site.becomes_ready("a.fits", within=SOON)


def test_dead_observer_is_started_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "OBSERVER", Pauses(0.1, 600.0))
    watcher = site.start()
    (root,) = watcher._roots
    assert root._observer is not None
    for emitter in root._observer.emitters:
        emitter.stop()
        emitter.join()
    assert watcher.health.unobserved == (str(site.root),)
    (site.root / "missed.fits").write_bytes(BLOCK)
    time.sleep(0.1)
    assert site.becomes_ready("missed.fits", within=SOON)
    assert watcher.health.unobserved == ()
    (site.root / "seen.fits").write_bytes(BLOCK)
    assert site.becomes_ready("seen.fits", within=SOON)


def test_observer_that_cannot_start_leaves_scanning(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    threads = threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr(observer, "_identity", lambda _: (1, 2))
        patch.setattr("flows.watching.watcher._POLLING_SECONDS", 0.2)
        watcher = site.start(directories=(site.root / "gone",))
        assert watcher.health.unobserved == (str(site.root / "gone"),)
        assert "cannot be observed (No such file or directory)" in caplog.text
        assert threading.active_count() == threads
        (site.root / "gone").mkdir()
        (site.root / "gone" / "a.fits").write_bytes(BLOCK)
        assert site.becomes_ready("a.fits", within=SOON)


def test_watch_limit(site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(observer, "Observer", refuse)
    monkeypatch.setattr("flows.watching.watcher._POLLING_SECONDS", 0.2)
    site.start()
    assert "cannot be observed (inotify instance limit reached)" in caplog.text
    (site.root / "a.fits").write_bytes(BLOCK)
    assert site.becomes_ready("a.fits", within=SOON)


def test_polling_needs_no_observer(site: Site) -> None:
    threads = threading.active_count()
    site.start(polling=True, scan_seconds=0.2)
    assert threading.active_count() == threads
    (site.root / "a.fits").write_bytes(BLOCK)
    with (site.root / "open.fits").open("wb") as file:
        file.write(BLOCK)
        file.flush()
        assert site.becomes_ready("a.fits", within=SOON)
        assert site.states()["open.fits"] != READY


def test_overflow_leads_to_a_scan(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.watching.watcher._OVERFLOW_SECONDS", 0.1)
    watcher = site.start()
    monkeypatch.setattr(hints._Handler, "dispatch", lambda *_: None)
    (site.root / "lost.fits").write_bytes(BLOCK)
    assert not site.becomes_ready("lost.fits", within=2 * STABLE)
    scanned_at = watcher.health.scanned_at
    observer.logging.getLogger("watchdog.observers.inotify_c").warning(
        "Inotify queue overflowed; filesystem events were lost"
    )
    assert site.becomes_ready("lost.fits", within=SOON)
    assert watcher.health.scanned_at != scanned_at


def test_database_failure_loses_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.watching.watcher._OVERFLOW_SECONDS", 0.1)
    watcher = site.start()
    with monkeypatch.context() as patch:
        patch.setattr("flows.watching.watcher.ledger.observe", lambda *_, **__: 1 / 0)
        (site.root / "a.fits").write_bytes(BLOCK)
        watcher.wait(1)
        with pytest.raises(ZeroDivisionError):
            site.run(1)
    assert site.becomes_ready("a.fits", within=SOON)


def test_wait_wakes_for_an_event_and_not_without(site: Site) -> None:
    watcher = site.start()
    began = time.monotonic()
    watcher.wait(0.3)
    assert 0.25 < time.monotonic() - began < 0.6 * slowness()
    timer = threading.Timer(0.1, (site.root / "a.fits").write_bytes, [BLOCK])
    timer.start()
    watcher.wait(60)
    timer.join()
    assert time.monotonic() - began < 30


# Leases
def test_open_for_writing(site: Site) -> None:
    path = site.root / "a.fits"
    with path.open("wb"):
        assert is_open_for_writing(str(path)) is True
    with path.open("rb"):
        assert is_open_for_writing(str(path)) is False
    assert is_open_for_writing(str(site.root / "nothing")) is None
    assert is_open_for_writing(str(site.root)) is None


def test_lease_broken_by_a_writer_does_not_end_the_process(site: Site) -> None:
    path = site.root / "a.fits"
    path.write_bytes(BLOCK)
    # The writer comes just before the lease is given back.
    script = f"""
import os
from flows.watching import directory_tree as scan
fcntl = scan.fcntl.fcntl
def meet_a_writer(descriptor, command, argument):
    if argument == scan.fcntl.F_UNLCK:
        try:
            os.open({str(path)!r}, os.O_WRONLY | os.O_NONBLOCK)
        except BlockingIOError:
            print("the lease was broken")
    return fcntl(descriptor, command, argument)
scan.fcntl.fcntl = meet_a_writer
print(scan.is_open_for_writing({str(path)!r}))
os.close(os.open({str(path)!r}, os.O_WRONLY | os.O_NONBLOCK))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "the lease was broken\nFalse\n"), done.stderr
