"""Registration: whatever lies among the files, each gets its verdict on the ledger and the good ones their frames."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from db.files import ledger
from db.files.ledger import FileRow, Sighting
from db.schema.models import FileState
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.registration.register import register_files
from flows.watching.directory_tree import sighting
from tests.faults.hostile import DATA_END, PLAIN, TABLE

WAITS = {"no byte", "part of a header", "half of the data", "3 GB sparse"}
"""Kinds that may still be arriving, or for which there may be room at another time."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    path = tmp_path / "incoming"
    path.mkdir()
    return path


def sighted(incoming: Path, name: str) -> Sighting:
    return sighting(str(incoming), name, (incoming / name).lstat())


def registered(home: Home, *seen: Sighting) -> dict[str, FileRow]:
    """Put files on the ledger as ready, register them, and return their rows by name."""
    with home.write_session() as session:
        files = ledger.observe(session, seen, host=home.settings.host, now=now())
        ledger.mark_ready(session, [file.id for file in files], now=now())
    assert register_files(home).n == len(seen)
    with home.read_session() as session:
        return {row.relative_path: row for row in ledger.files_at(session, seen, host=home.settings.host)}


def test_each_file_of_a_hostile_folder_gets_its_verdict(home: Home, incoming: Path) -> None:
    (incoming / "good.fits").write_bytes(PLAIN)
    for number, row in enumerate(TABLE):
        row.make(incoming / f"{number}.fits")
    files = registered(home, *(sighted(incoming, path.name) for path in incoming.iterdir()))
    assert files.pop("good.fits").state is FileState.DONE
    for name, file in files.items():
        row = TABLE[int(name.removesuffix(".fits"))]
        expected = FileState.DONE if row.accepted else FileState.QUARANTINED
        assert file.state is (FileState.SETTLING if row.name in WAITS else expected), row.name
        assert row.accepted or file.reason, row.name


def test_a_file_that_took_another_ones_place_waits(home: Home, incoming: Path) -> None:
    path = incoming / "a.fits"
    path.write_bytes(PLAIN)
    seen, status = sighted(incoming, "a.fits"), path.stat()
    (incoming / "other").write_bytes(PLAIN)
    os.utime(incoming / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
    (incoming / "other").replace(path)
    (file,) = registered(home, seen).values()
    assert (file.state, file.reason) == (FileState.SETTLING, "changed while it was read")


def test_a_truncated_file_is_given_until_it_was_quiet(home: Home, incoming: Path) -> None:
    path = incoming / "a.fits"
    path.write_bytes(PLAIN[: DATA_END - 100])
    (file,) = registered(home, sighted(incoming, "a.fits")).values()
    assert file.state is FileState.SETTLING
    quiet_at = file.changed_at + timedelta(seconds=home.settings.watch.quiet_seconds)
    with home.write_session() as session:
        assert ledger.mark_ready(session, [file.id], now=quiet_at - timedelta(milliseconds=1)) == 0
        assert ledger.mark_ready(session, [file.id], now=quiet_at) == 1


def test_a_truncated_file_that_was_quiet_is_set_aside(home: Home, incoming: Path) -> None:
    path = incoming / "a.fits"
    path.write_bytes(PLAIN[: DATA_END - 100])
    (home.path / "ccdwatch.toml").write_text("[watch]\nquiet_seconds = 0\n")
    (file,) = registered(open_home(home.path), sighted(incoming, "a.fits")).values()
    assert file.state is FileState.QUARANTINED
    assert file.reason is not None
    assert file.reason.startswith("is cut off")
