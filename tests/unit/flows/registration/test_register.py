"""Registration: whatever lies among the files, each gets its verdict on the ledger and the good ones their frames."""

import errno
import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from ccdcore.io.plain_files import file_errors
from db.files import ledger
from db.files.ledger import FileRow, Sighting
from db.schema.models import FileState
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.registration.reader_pool import Readers, _guarded
from flows.registration.register import register_files
from flows.retries import FILE_TRIES
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


def read_again(home: Home, seen: Sighting) -> FileRow:
    """Read a file now, without its rest, and return its row."""
    with home.read_session() as session:
        (file,) = ledger.files_at(session, [seen], host=home.settings.host)
    register_files(home, file_ids=[file.id])
    with home.read_session() as session:
        return ledger.files_at(session, [seen], host=home.settings.host)[0]


def read_in_vain(number: int) -> Callable[..., NoReturn]:
    """What a reader does with a file that the system does not give."""

    def measure(*_: object, **__: object) -> NoReturn:
        answer = _guarded(partial(_refuse, number), 0)
        assert isinstance(answer, Exception)
        raise answer

    return measure


def _refuse(number: int) -> NoReturn:
    with file_errors(Path("a.fits")):
        raise OSError(number, os.strerror(number))
    raise AssertionError


@pytest.mark.parametrize(
    ("number", "ends"),
    [(errno.ESTALE, False), (errno.EHOSTDOWN, False), (errno.ENODEV, False), (errno.EIO, True)],
)
def test_a_share_that_is_lost_costs_no_file_a_try(
    home: Home, incoming: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, ends: bool
) -> None:
    (incoming / "a.fits").write_bytes(PLAIN)
    seen = sighted(incoming, "a.fits")
    with monkeypatch.context() as while_lost:
        while_lost.setattr(Readers, "measure", read_in_vain(number))
        files = [registered(home, seen)["a.fits"]]
        files += [read_again(home, seen) for _ in range(FILE_TRIES - 1)]
    assert all(f"cannot be read: {os.strerror(number)}" in (file.reason or "") for file in files)
    assert files[-1].state is (FileState.QUARANTINED if ends else FileState.SETTLING)
    assert files[-1].tries == (FILE_TRIES if ends else 0)
    assert read_again(home, seen).state is FileState.DONE
