"""A watched link is re-pointed, to a new folder, to the home and back: told or followed within 120 s, 0 frames lost."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from db.schema.models import FileState
from flows.commands.setup_checks import Level, findings
from flows.config.errors import SettingsError
from flows.health.condition import condition
from flows.service.up import up
from tests.faults.watching import WatchedSite, watched_site
from tests.support.service import wait_for

WITHIN_SECONDS = 120.0


def run(full: bool) -> str:
    n_days = 10 if full else 1
    with watched_site(stable_seconds=0.3, quiet_seconds=3) as site:
        _refused_at_the_start(site)
        _watch_a_link(site)
        site.start()
        followed = [_next_day(site, number) for number in range(n_days)]
        told = _to_the_home_and_back(site, n_days)
        n = site.on_ledger()
    return (
        f"a link re-pointed {n_days} times: followed within {max(followed):.1f} s; led to the home: told after "
        f"{told:.1f} s; {n} of {n} files on the ledger, those that landed just before in the old folders ready too"
    )


def _refused_at_the_start(site: WatchedSite) -> None:
    """The home itself as watched folder, and by a link: refused, and told by doctor."""
    link = site.directory / "to-home"
    link.symlink_to(site.home_path)
    with socket.socket() as taken:  # a start that goes on is refused for its port
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for folder in (site.home_path, link):
            with pytest.raises(SettingsError, match="is the home and a watched folder at once"):
                up(site.home_path, (folder,), port=taken.getsockname()[1], web_port=None, say=lambda _: None)
    link.unlink()


def _link(site: WatchedSite) -> Path:
    return site.directory / "today"


def _point_to(site: WatchedSite, target: Path) -> None:
    """Point the link elsewhere, at once, as `ln -sfn` does."""
    target.mkdir(exist_ok=True)
    new = site.directory / "today.new"
    new.symlink_to(target)
    new.replace(_link(site))


def _watch_a_link(site: WatchedSite) -> None:
    _point_to(site, site.directory / "day0")
    file = site.home_path / "ccdwatch.toml"
    file.write_text(file.read_text().replace(str(site.incoming), str(_link(site))))


def _next_day(site: WatchedSite, number: int) -> float:
    """Let a frame land, re-point the link at once, let another one land; return after how many seconds it was seen."""
    before = 2 * number
    (_link(site) / "evening.fits").write_bytes(b"x" * 2880)
    if not number:
        site.wait_for_ledger(1, within=WITHIN_SECONDS)
    _point_to(site, site.directory / f"day{number + 1}")
    (_link(site) / "morning.fits").write_bytes(b"x" * 2880)
    began = time.monotonic()
    site.wait_for_ledger(before + 2, within=WITHIN_SECONDS)
    seconds = time.monotonic() - began
    ready = wait_for(lambda: set(site.states().values()) == {FileState.READY}, seconds=30)
    assert ready, f"{site.states()}\n{site.said()}"
    return seconds


def _to_the_home_and_back(site: WatchedSite, n_days: int) -> float:
    """Lead the link into the home: told, by the service and by doctor; and back."""
    _point_to(site, site.home_path)
    began = time.monotonic()
    told = wait_for(
        lambda: [one for one in condition(site.home).findings if "is the home and a watched folder" in one],
        seconds=WITHIN_SECONDS,
    )
    assert told, site.said()
    seconds = time.monotonic() - began
    assert any(one.level is Level.FAIL and "is the home" in one.text for one in findings(site.home_path))
    _point_to(site, site.directory / "day-after")
    (_link(site) / "back.fits").write_bytes(b"x" * 2880)
    site.wait_for_ledger(2 * n_days + 1, within=WITHIN_SECONDS)
    healed = wait_for(lambda: not any("the home" in one for one in condition(site.home).findings), seconds=30)
    assert healed, condition(site.home).findings
    return seconds
