"""Each silent death of watching: told within 120 s, healed or ended for a restart, 0 frames lost."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any
from unittest.mock import patch

from sqlalchemy import select
from watchdog.observers.inotify_c import InotifyFD

from db.schema.models import File
from flows.health.condition import condition
from flows.home.home import Home, open_home
from flows.retries import Pauses
from flows.service import dispatcher
from flows.watching import heartbeat, hints, liveness_probe
from flows.watching import observer as observers
from flows.watching.observer import ObserverHangsError
from flows.watching.watcher import Watcher
from tests.faults.goals import CannotRunError
from tests.faults.watching import BLOCK, NOWHERE, watched_site
from tests.support.service import wait_for

WITHIN_SECONDS = 120.0
QUICK = {
    (liveness_probe, "EVERY_SECONDS"): 0.5,
    (liveness_probe, "ANSWER_SECONDS"): 1.0,
    (heartbeat, "EVERY"): timedelta(seconds=0.2),
    (observers, "ANNOUNCED_WITHIN_SECONDS"): 0.5,
    (observers, "DEAF_SECONDS"): 0.5,
    (observers, "OBSERVER"): Pauses(0.5, 600.0),
    (observers, "_STOP_SECONDS"): 0.5,
}
"""Waiting times of the short version."""


@dataclass
class Ward:
    """A watcher in a thread, as `ccdwatch watch` runs it, and what it watches."""

    home: Home
    root: Path
    outside: Path
    watcher: Watcher | None = None
    ended_with: Exception | None = None
    landed: set[str] = field(default_factory=set)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Watch, until told to stop, or until it cannot be helped."""
        self._stop.clear()
        self.ended_with = None

        def keep(*words: Any, **options: Any) -> Watcher:
            self.watcher = Watcher(*words, **options)
            return self.watcher

        def work() -> None:
            try:
                dispatcher.watch(self.home, NOWHERE, stop=self._stop, say=lambda _: None)
            except ObserverHangsError as error:
                self.ended_with = error

        with patch.object(dispatcher, "Watcher", keep):
            self._thread = Thread(target=work, daemon=True)
            self._thread.start()
            assert wait_for(lambda: self.watcher and self.watcher.health.scanned_at, seconds=30)

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)

    def observed(self) -> observers.ObservedRoot:
        assert self.watcher is not None
        return self.watcher._roots[0]

    def land(self, name: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BLOCK)
        self.landed.add(name)

    def lost(self) -> set[str]:
        """Return what has landed and is not on the ledger."""
        with self.home.read_session() as session:
            found = set(session.scalars(select(File.relative_path).where(File.root == str(self.root))))
        return self.landed - found

    def is_well(self) -> bool:
        """Whether all that is wrong is that Prefect is away."""
        return not [one for one in condition(self.home).findings if "Prefect" not in one]


Injury = Callable[[Ward, ExitStack], Callable[[], None] | None]
"""Does the harm; returns what a person does about it, where somebody must. The stack undoes it at the end."""


def a_handler_raises(ward: Ward, stack: ExitStack) -> None:
    hurt = stack.enter_context(patch.object(hints._Handler, "dispatch", side_effect=ZeroDivisionError))
    stack.enter_context(patch("threading.excepthook", lambda _: None))
    ward.land("a.fits")
    assert wait_for(lambda: hurt.called, seconds=10)
    stack.close()


def an_emitter_dies(ward: Ward, _: ExitStack) -> None:
    observer = ward.observed()._observer
    assert observer is not None
    for emitter in observer.emitters:
        emitter.stop()


def the_reader_of_the_kernel_dies(ward: Ward, _: ExitStack) -> None:
    ward.observed()._observer._inotify_fd.stop()  # type: ignore[union-attr]


def the_observer_hangs(ward: Ward, stack: ExitStack) -> None:
    release = Event()
    stack.callback(release.set)
    stack.enter_context(patch.object(liveness_probe.Canary, "dispatch", lambda *_: release.wait()))


def events_do_not_come(ward: Ward, stack: ExitStack) -> Callable[[], None]:
    stack.enter_context(patch.object(hints._Handler, "dispatch", lambda *_: None))
    return stack.close


def no_watch_for_new_folders(ward: Ward, stack: ExitStack) -> Callable[[], None]:
    """What the limit of watches does: the error is dropped by the observer."""
    stack.enter_context(patch.object(InotifyFD, "_get_or_create_watch", side_effect=OSError(28, "limit reached")))
    (ward.root / "unwatched").mkdir()
    time.sleep(0.5)  # its event has been taken note of, and the folder is not watched
    ward.land("unwatched/b.fits")
    return stack.close


def the_root_is_renamed_and_made_anew(ward: Ward, _: ExitStack) -> None:
    ward.root.rename(ward.outside / f"old-{ward.root.name}")
    ward.landed.clear()
    ward.root.mkdir()
    ward.land("new.fits")


def the_root_is_deleted(ward: Ward, _: ExitStack) -> Callable[[], None]:
    for path in ward.root.iterdir():
        path.unlink()
    ward.landed.clear()
    ward.root.rmdir()
    return ward.root.mkdir


def links_go_round_in_circles(ward: Ward, _: ExitStack) -> None:
    (ward.root / "round").symlink_to(ward.root)
    (ward.root / "self.fits").symlink_to("self.fits")


INJURIES: list[Injury] = [
    a_handler_raises,
    an_emitter_dies,
    the_reader_of_the_kernel_dies,
    the_observer_hangs,
    events_do_not_come,
    no_watch_for_new_folders,
    the_root_is_renamed_and_made_anew,
    the_root_is_deleted,
    links_go_round_in_circles,
]


def run(full: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name, ExitStack() as stack:
        for (module, constant), value in {} if full else QUICK.items():
            stack.enter_context(patch.object(module, constant, value))
        home = open_home(Path(name) / "home")
        stack.callback(home.engine.dispose)
        told = [_suffer(injury, home, Path(name), full=full) for injury in INJURIES]
        if full:
            told += [_unmounted(home, Path(name)), _limit_of_watches()]
    late = [seconds for seconds in told if seconds is not None]
    return (
        f"{len(told)} silent deaths: {len(late)} told within {max(late):.1f} s, the others healed at once;"
        " all healed or ended for a restart, 0 frames lost"
    )


def _suffer(injury: Injury, home: Home, directory: Path, *, full: bool, root: Path | None = None) -> float | None:
    """Do the harm, wait until it is told, and healed; return after how many seconds it was told, if it was."""
    ward = _ward(home, directory, root or directory / injury.__name__, full=full)
    ward.start()
    try:
        ward.land("before.fits")
        assert wait_for(lambda: ward.is_well() and not ward.lost(), seconds=30), "ill before any harm was done"
        began = time.monotonic()
        with ExitStack() as stack:
            cure = injury(ward, stack)
            if ward.root.exists() and any(ward.root.iterdir()):
                ward.land("during.fits")
            told = _wait_until_told(ward, began, must=cure is not None or injury is the_observer_hangs)
            if ward.ended_with is not None:
                stack.close()
                ward.start()  # as its supervisor does
            if cure is not None:
                cure()
            _wait_until_healed(ward, injury.__name__, every=2.0 if full else 0.3)
    finally:
        ward.stop()
    return told


def _ward(home: Home, directory: Path, root: Path, *, full: bool) -> Ward:
    outside = directory / "outside"
    for path in (root, outside):
        path.mkdir(exist_ok=True)
    watch = home.settings.watch.model_copy(update={"directories": (root,), "scan_seconds": 60.0 if full else 1.0})
    return Ward(Home(home.settings.model_copy(update={"watch": watch}), home.engine), root, outside)


def _wait_until_told(ward: Ward, began: float, *, must: bool) -> float | None:
    """Return after how many seconds it was told; what heals at once need not be."""
    is_told = wait_for(
        lambda: not ward.is_well() or ward.ended_with, seconds=WITHIN_SECONDS if must else 3.0, every=0.05
    )
    assert is_told or not must, f"{ward.root.name}: nothing told after {WITHIN_SECONDS:g} s"
    return time.monotonic() - began if is_told else None


def _wait_until_healed(ward: Ward, what: str, *, every: float) -> None:
    """Let frames land until all is well and all of them are on the ledger."""
    for number in range(int(WITHIN_SECONDS / every)):
        ward.land(f"after{number}.fits")
        if wait_for(lambda: ward.is_well() and not ward.lost(), seconds=every, every=0.1):
            return
    found = condition(ward.home).findings
    raise AssertionError(f"{what}: after {WITHIN_SECONDS:g} s {sorted(ward.lost())} lost, {found}")


def _unmounted(home: Home, directory: Path) -> float | None:
    """A share that is unmounted, which leaves an empty directory, and mounted again."""
    root = directory / "share"
    root.mkdir()
    _mount(root)

    def the_share_is_unmounted(ward: Ward, _: ExitStack) -> Callable[[], None]:
        subprocess.run(["umount", str(root)], check=True)
        ward.landed.clear()
        return lambda: _mount(root)

    try:
        return _suffer(the_share_is_unmounted, home, directory, full=True, root=root)
    finally:
        if root.is_mount():
            subprocess.run(["umount", str(root)], check=False)


def _mount(root: Path) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(root)], check=False)
    if done.returncode:
        raise CannotRunError("file systems cannot be mounted here, which needs the right to")


def _limit_of_watches() -> float:
    """The kernel's own limit, in a name space of its own: half of the folders are not watched, and no error is seen."""
    limit, n_folders = 60, 120
    script = f'echo {limit} > /proc/sys/user/max_inotify_watches && exec "$@"'
    with watched_site() as site:
        site.land(f"folder{i}/before.fits" for i in range(n_folders))
        site.start("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")
        site.wait_for_ledger(n_folders, within=WITHIN_SECONDS)
        time.sleep(10)
        site.land(f"folder{i}/after.fits" for i in range(n_folders))
        began = time.monotonic()
        deaf = wait_for(
            lambda: any("no events come" in one for one in condition(site.home).findings), seconds=WITHIN_SECONDS
        )
        assert deaf, f"the limit of watches was not told within {WITHIN_SECONDS:g} s\n{site.said()}"
        told = time.monotonic() - began
        site.wait_for_ledger(2 * n_folders, within=WITHIN_SECONDS - told)
    return told
