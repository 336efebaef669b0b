"""Links to frames and folders are followed; what is passed over is said, and nothing in a home is read through one."""

import errno
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from db.files import ledger
from db.schema.models import FileState
from flows.commands.process import process
from flows.config.errors import SettingsError
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.registration.register import register_files
from flows.watching.directory_tree import Tree, is_behind_link
from flows.watching.named_files import FoundFiles, find_files
from tests.faults.hostile import PLAIN


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    path = tmp_path / "incoming"
    path.mkdir()
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder that nobody watches."""
    path = tmp_path / "archive"
    path.mkdir()
    (path / "a.fits").write_bytes(PLAIN)
    return path


def tree_of(incoming: Path, home: Home) -> Tree:
    return Tree(str(incoming), include=["*.fits"], exclude=str(home.path))


def seen(tree: Tree, *, top: Path | None = None) -> list[str]:
    return sorted(found.relative_path for _, found in tree.walk(str(top) if top else None))


def names(left_out: list[dict[str, str]]) -> dict[str, str]:
    return {Path(one["path"]).name: one["reason"] for one in left_out}


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EACCES, errno.EIO])
def test_what_cannot_be_looked_at_is_told(
    home: Home, incoming: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name in ("lost.fits", "there.fits"):
        (incoming / name).write_bytes(PLAIN)
    lstat = os.lstat

    def of_a_lost_share(path: Any, *words: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("lost.fits"):
            raise OSError(number, os.strerror(number), path)
        return lstat(path, *words, **options)

    tree = tree_of(incoming, home)
    with monkeypatch.context() as while_lost:
        while_lost.setattr(os, "lstat", of_a_lost_share)
        assert seen(tree) == ["there.fits"]
    assert tree.skipped == {str(incoming / "lost.fits"): f"cannot be looked at: {os.strerror(number)}"}
    assert seen(tree) == ["lost.fits", "there.fits"]
    assert not tree.skipped


def test_links_to_files_are_followed_wherever_they_lead(home: Home, incoming: Path, archive: Path) -> None:
    (incoming / "out.fits").symlink_to(archive / "a.fits")
    (incoming / "chain.fits").symlink_to("out.fits")
    (incoming / "hard.fits").hardlink_to(archive / "a.fits")
    (incoming / "upper.FITS").symlink_to("../archive/a.fits")
    tree = tree_of(incoming, home)
    assert seen(tree) == ["chain.fits", "hard.fits", "out.fits", "upper.FITS"]
    assert {found.size for _, found in tree.walk()} == {len(PLAIN)}
    assert tree.skipped == {}


def test_a_link_that_is_re_pointed_is_another_file(home: Home, incoming: Path, archive: Path) -> None:
    (archive / "b.fits").write_bytes(PLAIN)
    link, tree = incoming / "latest.fits", tree_of(incoming, home)
    link.symlink_to(archive / "a.fits")
    before = tree.sight(str(link))
    link.unlink()
    link.symlink_to(archive / "b.fits")
    assert before is not None
    assert tree.sight(str(link)) not in {before, None}


def test_folders_behind_links_are_entered_once_and_loops_end(home: Home, incoming: Path, archive: Path) -> None:
    (archive / "deep").mkdir()
    (archive / "deep" / "b.fits").write_bytes(PLAIN)
    (archive / "deep" / "round").symlink_to(archive)
    (incoming / "night").symlink_to(archive)
    (incoming / "same night").symlink_to("night")
    (incoming / "inner").mkdir()
    (incoming / "inner" / "here").symlink_to(incoming)
    (incoming / "inner" / "up").symlink_to(incoming.parent)
    (incoming / "inner" / "c.fits").write_bytes(PLAIN)
    tree = tree_of(incoming, home)
    for _ in range(2):
        assert seen(tree) == ["inner/c.fits", "night/a.fits", "night/deep/b.fits"]
    assert names([{"path": path, "reason": why} for path, why in tree.skipped.items()]) == {
        "up": "is a link to a folder that holds this one"
    }
    assert is_behind_link(str(incoming / "night" / "a.fits"))
    assert not is_behind_link(str(incoming / "inner" / "c.fits"))


def test_nothing_in_a_home_is_looked_at_through_a_link(home: Home, incoming: Path, tmp_path: Path) -> None:
    other = open_home(tmp_path / "another home").path
    for place in (home.path, other):
        (place / "masters").mkdir()
        (place / "masters" / "m.fits").write_bytes(PLAIN)
        (incoming / f"{place.name}.fits").symlink_to(place / "masters" / "m.fits")
        (incoming / f"folder of {place.name}").symlink_to(place / "masters")
        (incoming / f"all of {place.name}").symlink_to(place)
    tree = tree_of(incoming, home)
    assert seen(tree) == []
    assert set(tree.skipped.values()) == {"is a link into a home of ccdwatch"}
    assert len(tree.skipped) == 6


def test_a_link_that_is_re_pointed_into_a_home_is_not_read(home: Home, incoming: Path, archive: Path) -> None:
    link = incoming / "latest.fits"
    link.symlink_to(archive / "a.fits")
    (inside := home.path / "m.fits").hardlink_to(archive / "a.fits")  # the same signature
    with home.write_session() as session:
        (row,) = ledger.observe(session, find_files(home, [link]).sightings, host=home.settings.host, now=now())
    link.unlink()
    link.symlink_to(inside)
    register_files(home, file_ids=[row.id])
    with home.read_session() as session:
        (row,) = ledger.files_of(session, {row.id})
    assert (row.state, row.reason) == (FileState.QUARANTINED, "is a link into a home of ccdwatch")


@pytest.fixture
def strange(incoming: Path) -> dict[str, str]:
    """Things in the folder that have the names of frames, and why they are none."""
    os.mkfifo(incoming / "pipe.fits")
    (incoming / "device.fits").symlink_to("/dev/zero")
    (incoming / "broken.fits").symlink_to("gone.fits")
    (incoming / "self.fits").symlink_to("self.fits")
    (incoming / "to pipe.fits").symlink_to("pipe.fits")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(incoming / "socket.fits"))
    return {
        "pipe.fits": "is a named pipe, not a regular file",
        "device.fits": "is a device, not a regular file",
        "broken.fits": "is a link to nothing: No such file or directory",
        "self.fits": "is a link to itself",
        "to pipe.fits": "is a named pipe, not a regular file",
        "socket.fits": "is a socket, not a regular file",
    }


def test_what_is_passed_over_in_a_folder_is_excluded_and_what_is_named_has_failed(
    home: Home, incoming: Path, strange: dict[str, str]
) -> None:
    assert find_files(home, [incoming]) == FoundFiles(
        excluded=[{"path": str(incoming / name), "reason": strange[name]} for name in sorted(strange)]
    )
    named = find_files(home, [incoming / name for name in strange])
    assert (names(named.failed), named.excluded, named.sightings) == (strange, [], [])
    with pytest.raises(SettingsError, match="no such file or folder"):
        find_files(home, [incoming / "gone.fits"])


def test_a_folder_that_cannot_be_listed_is_told(home: Home, incoming: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (incoming / "closed").mkdir()
    (incoming / "closed").chmod(0)
    really = os.scandir

    def refused(path: str) -> object:  # the superuser may list everything
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(os, "scandir", refused)
    reason = "cannot be listed, so frames in it are not seen: make it readable"
    assert names(find_files(home, [incoming]).excluded) == {"closed": reason}
    assert names(find_files(home, [incoming / "closed"]).failed) == {"closed": reason}


def test_the_watcher_is_told_once(
    home: Home, incoming: Path, strange: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    tree = tree_of(incoming, home)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert seen(tree) == []
    assert len(caplog.messages) == len(strange)
    (incoming / "gone.fits").write_bytes(PLAIN)
    assert seen(tree) == ["broken.fits", "gone.fits"], "one that leads somewhere now"
    assert str(incoming / "broken.fits") not in tree.skipped


def test_frames_behind_links_are_processed(home: Home, incoming: Path, archive: Path) -> None:
    (incoming / "linked.fits").symlink_to(archive / "a.fits")
    (incoming / "night").symlink_to(archive)
    (incoming / "broken.fits").symlink_to("gone.fits")
    answer = process(home, [incoming])
    assert answer["failed"] == []
    assert names(answer["excluded"])["broken.fits"] == "is a link to nothing: No such file or directory"
    with home.read_session() as session:
        rows = ledger.sightings(session, host=home.settings.host)
    assert sorted(row.relative_path for row in rows) == ["linked.fits", "night/a.fits"]
