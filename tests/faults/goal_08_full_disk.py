"""The disk of the home is filled at every stage of the work: no partial output, no lost frame, all done 60 s after."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

import httpx

from db.engine import check
from db.schema.models import FileState
from flows.health.condition import condition
from flows.home.disk import Disk
from tests.faults.goals import CannotRunError
from tests.support.service import Service, wait_for
from tests.support.simulate import Camera, simple_night

RECOVERY_SECONDS = 60.0
LOST_SECONDS = 240.0
"""What is not done after so long is lost."""
FULL_SECONDS = 15.0
DISK_MIB = 300
CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(512, 1024))
N_BIAS, N_FLAT = 10, 8

Stage = Callable[[Service, str], object]


def before_frames_land(_: Service, __: str) -> object:
    return True


def frames_wait(service: Service, name: str) -> object:
    return service.files(FileState.SETTLING, below=name) or service.files(FileState.SEEN, below=name)


def frames_are_registered(service: Service, name: str) -> object:
    return service.files(FileState.CLAIMED, below=name)


def a_run_begins(service: Service, name: str) -> object:
    return service.runs(name)


def a_master_is_written(service: Service, name: str) -> object:
    return any((service.home / "masters" / name).rglob("*.*"))


def a_master_is_published(service: Service, name: str) -> object:
    return any((service.home / "masters" / name).rglob("[!.]*.fits"))


def a_picture_is_drawn(service: Service, name: str) -> object:
    return any((service.home / "pictures").rglob(f"*{service.runs(name)[-1].id}*")) if service.runs(name) else False


STAGES: list[Stage] = [
    before_frames_land,
    frames_wait,
    frames_are_registered,
    a_run_begins,
    a_master_is_written,
    a_master_is_published,
    a_picture_is_drawn,
]


def run(full: bool) -> str:
    if not full:
        raise CannotRunError("it takes minutes; tests/unit/flows/home/test_disk.py has the decisions it rests on")
    took = []
    with _small_disk() as directory:
        service = Service(directory)
        service.start(within=120)
        try:
            assert wait_for(lambda: _serves(service), seconds=120), service.said()
            took += [_fill_at(service, stage) for stage in STAGES]
            took.append(_fill_at_the_start(service))
        finally:
            if service.process is not None:
                service.crash()
            service.on_record.engine.dispose()
    said = (
        f"disk filled at {len(took)} stages, {FULL_SECONDS:g} s each: told each time, 0 partial outputs, all frames"
        f" done {', '.join(f'{seconds:.0f}' for seconds in took)} s after there was room"
    )
    assert max(took) <= RECOVERY_SECONDS, said
    return said


@contextmanager
def _small_disk() -> Iterator[Path]:
    """Mount a small file system where the home will be."""
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        home = Path(name) / "home"
        home.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(home)]
        if subprocess.run(mount, check=False).returncode:
            raise CannotRunError("file systems cannot be mounted here")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", str(home)], check=False)


def _serves(service: Service) -> bool:
    """Whether the runner has told the server of our flows."""
    with suppress(httpx.HTTPStatusError):
        return all(service.prefect("GET", f"/deployments/name/{flow}/ccdwatch") for flow in ("ingest", "calibrate"))
    return False


def _fill_at(service: Service, stage: Stage) -> float:
    """Fill the disk at one stage of a night; return how many seconds after there was room again all was done."""
    name = stage.__name__
    if stage is before_frames_land:
        _fill(service.home)
        _land(service, name)
    else:
        _land(service, name)
        assert wait_for(lambda: stage(service, name), seconds=60, every=0.01), f"{name} not reached\n{service.said()}"
        _fill(service.home)
    _stay_full(service)
    return _recover(service, name)


def _fill_at_the_start(service: Service) -> float:
    name = "the_service_starts"
    service.crash()
    _land(service, name)
    _fill(service.home)
    with suppress(AssertionError):  # it may be refused, or hang on
        service.start(within=FULL_SECONDS)
    began = _make_room(service.home)
    if service.process is None or service.process.poll() is not None:  # as its supervisor does
        service.start(within=LOST_SECONDS)
    service.wait_until_done(name, N_BIAS + N_FLAT, seconds=LOST_SECONDS)
    return time.monotonic() - began


def _land(service: Service, name: str) -> None:
    folder = service.outside / name
    # No two nights share a seed: frames of the same pixels are the same frames.
    simple_night(folder, seed=crc32(name.encode()), instrument=name, camera=CAMERA, n_bias=N_BIAS, n_flat=N_FLAT)
    folder.rename(service.incoming / name)


def _fill(home: Path) -> None:
    """Take all the room there is, at once."""
    for number in range(100):
        free = Disk.of(home).free
        if not free:
            return
        with suppress(OSError), (home / f"filler{number}").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free)


def _stay_full(service: Service) -> None:
    """Take what is given away too; see that it is told, and that nothing half done is seen."""
    told = False
    end = time.monotonic() + FULL_SECONDS
    while time.monotonic() < end:
        _fill(service.home)
        told = told or any("work waits" in one for one in condition(service.on_record).findings)
        partial = [path for path in (service.home / "masters").rglob("[!.]*.fits") if path.stat().st_size % 2880]
        assert not partial, f"partial masters: {partial}"
        time.sleep(0.5)
    assert told, "the full disk was not told"


def _make_room(home: Path) -> float:
    for path in home.glob("filler*"):
        path.unlink()
    return time.monotonic()


def _recover(service: Service, name: str) -> float:
    began = _make_room(service.home)
    service.wait_until_done(name, N_BIAS + N_FLAT, seconds=LOST_SECONDS)
    took = time.monotonic() - began
    assert check(service.on_record.engine) == []
    assert not service.files(FileState.QUARANTINED, below=name)
    return took
