"""A home whose disk goes away while the service runs: told, nothing written in its place, healed when it is back."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from tests.faults.goals import CannotRunError
from tests.support.service import Service, wait_for
from tests.support.simulate import Camera, simple_night

TELL_SECONDS = 120.0
HEAL_SECONDS = 180.0
AWAY_SECONDS = (20.0, 60.0, 220.0)
"""The last is longer than a watcher may say nothing before it is taken for hung."""
AWAY = "is not the home that it was"
N_BIAS = 3


def run(full: bool) -> str:
    if not full:
        raise CannotRunError("it takes minutes; tests/unit/flows/home/test_identity.py has the decisions it rests on")
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        service, disk = Service(Path(name)), Path(name) / "disk"
        disk.mkdir()
        (service.home / "ccdwatch.toml").rename(disk / "ccdwatch.toml")
        _mount(disk, service.home)
        try:
            service.start(within=120)
            assert wait_for(lambda: _findings(service) is not None, seconds=120), service.said()
            _land(service, "cam-before")
            took = [_away(service, disk, seconds, f"cam{n}") for n, seconds in enumerate(AWAY_SECONDS)]
            service.on_record.engine.dispose()
            service.stop()
        finally:
            if service.process is not None:
                service.crash()
            subprocess.run(["umount", "--lazy", str(service.home)], check=False)
    told, healed = zip(*took, strict=True)
    return (
        f"{len(took)} times, for {' to '.join(f'{AWAY_SECONDS[n]:g}' for n in (0, -1))} s: told after at most"
        f" {max(told):.1f} s, nothing written; frames that came meanwhile done {max(healed):.0f} s after, at most"
    )


def _mount(disk: Path, home: Path) -> None:
    if subprocess.run(["mount", "--bind", str(disk), str(home)], check=False).returncode:
        raise CannotRunError("file systems cannot be mounted here")


def _away(service: Service, disk: Path, seconds: float, instrument: str) -> tuple[float, float]:
    """Unmount the home under the service for a while; return when it was told, and when all was done afterwards."""
    subprocess.run(["umount", "--lazy", str(service.home)], check=True)
    began = time.monotonic()
    simple_night(
        service.outside / instrument, camera=Camera(shape=(32, 64)), instrument=instrument, n_bias=N_BIAS, n_flat=0
    )
    (service.outside / instrument).rename(service.incoming / instrument)
    assert wait_for(lambda: any(AWAY in one for one in _findings(service) or ()), seconds=TELL_SECONDS), service.said()
    told = time.monotonic() - began
    time.sleep(max(0.0, seconds - told))
    written = sorted(service.home.rglob("*"))
    assert not written, f"written in the place of the home: {written}"
    _mount(disk, service.home)
    back = time.monotonic()
    service.wait_until_done(instrument, N_BIAS, seconds=HEAL_SECONDS)
    assert wait_for(lambda: _findings(service) == [], seconds=TELL_SECONDS), f"{_findings(service)} {service.said()}"
    return told, time.monotonic() - back


def _land(service: Service, instrument: str) -> None:
    camera = Camera(shape=(32, 64))
    simple_night(service.incoming / instrument, camera=camera, instrument=instrument, n_bias=N_BIAS, n_flat=0)
    service.wait_until_done(instrument, N_BIAS, seconds=HEAL_SECONDS)


def _findings(service: Service) -> list[str] | None:
    """Return what the pages say is wrong; None where they do not answer."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{service.web_port}/api/health", timeout=30)
    except httpx.TransportError:
        return None
    found: list[str] = answer.json()["findings"]
    return found
