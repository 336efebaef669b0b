"""Writing products: whole or not at all, and in the place of nothing that is not ours."""

import errno
import os
import stat
from hashlib import sha256
from pathlib import Path, PurePath

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.io.plain_files import folder_below, open_below
from ccdcore.io.read import read_image
from ccdcore.io.write import appearing, write_bytes, write_hdulist, write_status

PIXELS = np.arange(180, dtype=np.uint16).reshape(12, 15)


def test_a_written_file_carries_valid_sums_and_readable_permissions(tmp_path):
    path = tmp_path / "new" / "folder" / "master.fits"
    write_hdulist(path, fits.HDUList([fits.PrimaryHDU(PIXELS), fits.ImageHDU(PIXELS, name="UNCERT")]))
    with fits.open(path) as hdus:
        assert all((hdu.verify_datasum(), hdu.verify_checksum()) == (1, 1) for hdu in hdus)
    np.testing.assert_array_equal(read_image(path), PIXELS)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    write_bytes(path, b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "picture.png"
    for content in (b"old", b"new"):
        write_bytes(path, content)
    assert path.read_bytes() == b"new"


def test_a_secret_is_for_its_owner_only(tmp_path):
    path = tmp_path / "password"
    write_bytes(path, b"secret", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_status_replaces_the_old_one_and_what_a_killed_writer_left(tmp_path):
    path, thesis = tmp_path / "watch.json", tmp_path / "thesis"
    thesis.write_text("mine")
    (tmp_path / ".watch.json.tmp").symlink_to(thesis)
    for text in ("{}", '{"at": "µs"}'):
        write_status(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert sorted(tmp_path.iterdir()) == [thesis, path]
    assert thesis.read_text() == "mine"


def test_a_status_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "watch.json"
    write_status(path, "old")
    monkeypatch.setattr(Path, "replace", _refuse)
    with pytest.raises(OSError, match="no links here"):
        write_status(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# Never in the place of another file


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("kind", ["file", "link", "broken link", "folder"])
def test_what_has_the_name_stays(tmp_path, monkeypatch, kind, links):
    path, thesis = tmp_path / "stack.fits", tmp_path / "thesis"
    thesis.write_text("mine")
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(thesis if kind == "link" else tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir()), path.lstat()
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", _refuse)
    with pytest.raises(FileExistsError):
        write_hdulist(path, fits.HDUList([fits.PrimaryHDU(PIXELS)]))
    assert (sorted(tmp_path.iterdir()), path.lstat()) == before
    assert thesis.read_text() == "mine"


def _refuse(*_):
    raise OSError(errno.EPERM, "no links here")


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_a_file_has_its_name_when_its_hash_is_known_and_no_earlier(tmp_path, monkeypatch, links):
    path = tmp_path / "master.fits"
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", _refuse)
    with appearing(path, fits.HDUList([fits.PrimaryHDU(PIXELS)])) as digest:
        assert not path.exists()
    assert sha256(path.read_bytes()).hexdigest() == digest
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_before_it_has_its_name_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), appearing(tmp_path / "a.fits", fits.HDUList([fits.PrimaryHDU()])):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


# Without following links


@pytest.mark.parametrize(
    "below", ["link", "there/x", "/etc/hostname", "../x", "folder/../folder/x", "folder", "pipe", "none", "."]
)
def test_only_a_regular_file_that_folders_lead_to_is_opened(tmp_path, below):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    for path in (root / "folder/x", tmp_path / "x"):
        path.write_text("x")
    (root / "link").symlink_to(root / "folder/x")
    (root / "there").symlink_to(root / "folder")
    os.mkfifo(root / "pipe")
    with open_below(root, PurePath("folder/x")) as stream:
        assert stream.read() == b"x"
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says
        open_below(root, PurePath(below))


def test_the_root_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/x").write_text("x")
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    with open_below(tmp_path / "root", PurePath("x")) as stream, folder_below(tmp_path / "root", PurePath()) as folder:
        assert os.stat("x", dir_fd=folder).st_size == 1
        assert stream.read() == b"x"
