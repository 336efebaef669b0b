"""What a killed run left goes; what is anybody else's, or only looks like ours, stays."""

import os
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from astropy.io import fits
from sqlalchemy import delete, select

from db.runs.lifecycle import abandon_run, fail_run, finish_run
from db.runs.masters import record_master, run_masters
from db.schema import models
from flows.commands.audit import audit
from flows.home.home import Home, open_home
from flows.home.output_paths import MasterName, master_path, run_of_master
from flows.home.processes import now
from flows.products import cleanup
from flows.products.cleanup import sweep
from flows.products.leftovers import GRACE, unregistered
from flows.products.publish import _publish
from flows.products.references import refresh_references
from flows.runs.pictures import folder_to_draw_in
from flows.runs.run import Run
from tests.support import on_record
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, set_of


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/ccdwatch.toml").write_text(f'[watch]\nhost = "{on_record.HOST}"\n')
    return open_home(tmp_path / "home")


@pytest.fixture(params=["at once", "later"])
def time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """When it is swept: while a process that is believed to be gone may be at work, or later."""
    if request.param == "later":
        monkeypatch.setattr(cleanup, "now", lambda: now() + GRACE + timedelta(minutes=1))
    return str(request.param)


FOLDER = "masters/m2-ml/2022-09-19"


def begun(home: Home, name: str) -> int:
    with home.write_session() as session:
        return begin_run(session, set_of(session, add_frame(session, name)), digest=name, now=now())


def done(home: Home, name: str, *, night: int = 0) -> Path:
    """A finished run with a master."""
    with home.write_session() as session:
        of = NIGHT.replace(day=19 + night)
        run_id = begin_run(session, set_of(session, add_frame(session, name, night=of)), digest=name)
        path = home.path / f"masters/m2-ml/{of}/bias_bin1x1_r{run_id}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        master = on_record.master(
            path.relative_to(home.path).as_posix(),
            sha256=sha256(name.encode()).hexdigest(),
            valid_from=NOON.replace(day=19 + night),
        )
        record_master(session, run_id=run_id, master=master)
        finish_run(session, run_id=run_id, now=NOON)
    return path


def cut_short(home: Home, name: str, how: str) -> tuple[int, list[Path]]:
    """A run that was cut short, and the files that it left: half a master, and a whole one on its record."""
    run_id = begun(home, name)
    half = home.path / FOLDER / f".flat_bin1x1_V_r{run_id}.fits.0a1b2c3d.tmp"
    whole = half.with_name(f"bias_bin1x1_r{run_id}.fits")
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_text("hal")
    whole.write_text("whole")
    row = on_record.master(f"{FOLDER}/{whole.name}", sha256=sha256(b"whole").hexdigest())
    with home.write_session() as session:
        record_master(session, run_id=run_id, master=row)
        if how == "failed":
            fail_run(session, run_id=run_id, message="full", now=now())
        else:
            abandon_run(session, run_id=run_id, now=now(), cancelled=None if how == "killed" else "by hand")
    return run_id, [half] if how == "failed" else [half, whole]


@pytest.mark.parametrize("how", ["killed", "cancelled", "failed"])
def test_what_a_run_left_goes_after_a_time(home: Home, time: str, how: str) -> None:
    run_id, left = cut_short(home, "x", how)
    kept = done(home, "good")
    said = sweep(home)
    assert [path.exists() for path in left] == [time == "at once"] * len(left)
    assert len(said) == (len(left) if time == "later" else 0)
    with home.read_session() as session:
        assert len(run_masters(session, run_id)) == (time == "at once" or how == "failed")
    assert kept.exists()
    assert unregistered(home) == []


@pytest.mark.parametrize("change", ["bytes", "a link", "another place", "another owner", "another name"])
def test_a_file_that_only_looks_like_one_of_a_killed_run_stays(
    home: Home, change: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_id, (half, whole) = cut_short(home, "x", "killed")
    half.unlink()
    monkeypatch.setattr(cleanup, "now", lambda: now() + 2 * GRACE)
    if change == "bytes":
        whole.write_text("edited by hand")
    elif change == "a link":
        whole.rename(tmp_path / "only copy")
        whole.symlink_to(tmp_path / "only copy")
    elif change == "another place":
        whole = whole.rename(home.path / "masters" / whole.name)
    elif change == "another owner":
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
    else:
        whole = whole.rename(whole.with_name(f"frozen_for_a_paper_r{run_id}.fits"))
    assert [line for line in sweep(home) if "removed" in line] == []
    assert whole.is_file()


def belongings(home: Home, elsewhere: Path) -> None:
    """All kinds of things that people put into a home, or lead to by links."""
    run_id, (half, whole) = cut_short(home, "cut short", "killed")
    half.unlink()
    whole.unlink()
    raw = elsewhere / "the only copy.fits"
    thesis = elsewhere / "thesis"
    thesis.mkdir(parents=True)
    raw.write_text("raw")
    for name in ("thesis.tex", f".flat_bin1x1_V_r{run_id}.fits.0a1b2c3d.tmp", "master_bias_bin1x1.fits"):
        (thesis / name).write_text(name)
    masters, reference = home.path / "masters", home.path / "reference"
    for path in (
        masters / "README",
        masters / ".git/config",
        masters / "m2-ml/hand_made.fits",
        masters / f"m2-ml/hand_made_r{run_id}.fits",
        home.path / FOLDER / f"frozen_for_a_paper_r{run_id}.fits",
        home.path / FOLDER / f".notes_r{run_id}.tmp",
        home.path / FOLDER / f"flat_bin1x1_V_r{run_id}.fits.backup",
        reference / "README",
        reference / "m2-ml/master_bias_bin2x2.fits",
        reference / "m2-ml/.master_bias_bin1x1.fits.17.tmp",
        home.path / f"pictures/r{run_id}/notes.txt",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"mine: {path.name}")
    (home.path / FOLDER / f".bias_bin1x1_r{run_id}.fits.0a1b2c3d.tmp").symlink_to(raw)
    (masters / "m2-ml/2022-09-20").symlink_to(thesis)
    (masters / "archive").symlink_to(thesis)
    (reference / "archive").symlink_to(thesis)
    (reference / "m2-ml/master_flat_bin1x1_V.fits").symlink_to(raw)


def everything(*folders: Path) -> dict[str, str]:
    return dict(_entries(folders))


def _entries(folders: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in folder.rglob("*"):
            if not path.name.startswith("ccdwatch.db"):
                if path.is_symlink():
                    yield str(path), f"link to {path.readlink()}"
                elif path.is_file():
                    yield str(path), path.read_text()


@pytest.mark.parametrize("database", ["its own", "empty", "older", "another"])
@pytest.mark.usefixtures("time")
def test_nothing_of_anybodys_is_lost_whatever_the_database_says(home: Home, tmp_path: Path, database: str) -> None:
    done(home, "first")
    refresh_references(home)
    belongings(home, tmp_path / "elsewhere")
    later = done(home, "second", night=2)
    if database == "older":
        with home.write_session() as session:
            of_name = select(models.Master.id).where(models.Master.path.contains(later.name))
            session.execute(delete(models.Certification).where(models.Certification.master_id.in_(of_name)))
            session.execute(delete(models.Master).where(models.Master.id.in_(of_name)))
    elif database != "its own":
        with home.write_session() as session:
            for table in (models.Certification, models.Master, models.Run, models.File, models.Frame):
                session.execute(delete(table))
        if database == "another":  # whose runs have the same numbers
            for name in ("u", "v", "w"):
                cut_short_run = begun(home, name)
                with home.write_session() as session:
                    abandon_run(session, run_id=cut_short_run, now=now())
    before = everything(home.path, tmp_path / "elsewhere")
    said = sweep(home)
    after = everything(home.path, tmp_path / "elsewhere")
    reference = str(home.path / "reference/m2-ml/master_bias_bin1x1.fits")
    if database == "its own":  # the one thing that ccdwatch put there itself
        assert (before.pop(reference), after.pop(reference)) == ("first", "second")
    assert after == before
    assert any("on no record" in line for line in said)
    named = {row["path"] for row in audit(home)[0] if row["finding"] == "unregistered"}
    mine = {path for path in before if "/masters/" in path or "/reference/" in path}
    assert {path for path in mine if before[path].startswith(("mine", "link"))} <= named


def test_a_master_of_a_number_that_comes_again_is_not_replaced(home: Home) -> None:
    run_id = begun(home, "x")
    path = master_path(MasterName("bias", "bin1x1"), instrument="m2-ml", night=NIGHT, run_id=run_id)
    (home.path / path).parent.mkdir(parents=True)
    (home.path / path).write_text("of an earlier life")
    _publish(Run(home, run_id), on_record.master(path.as_posix()), fits.HDUList([fits.PrimaryHDU()]))
    with home.read_session() as session:
        (row,) = run_masters(session, run_id)
    assert row.path == path.as_posix().replace(".fits", "-2.fits")
    assert sha256((home.path / row.path).read_bytes()).hexdigest() == row.sha256
    assert run_of_master(Path(row.path).name) == run_id
    assert (home.path / path).read_text() == "of an earlier life"


def test_a_master_that_gets_no_name_is_on_no_record(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = begun(home, "x")
    monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"):
        _publish(Run(home, run_id), on_record.master(f"{FOLDER}/b_r1.fits"), fits.HDUList([fits.PrimaryHDU()]))
    with home.read_session() as session:
        assert run_masters(session, run_id) == []
    assert list((home.path / FOLDER).iterdir()) == []


def test_pictures_are_drawn_beside_what_somebody_put_there(home: Home) -> None:
    place = home.path / "pictures/r7"
    place.mkdir(parents=True)
    half = place.with_name(".r7.tmp")
    half.mkdir()
    for path in (place / "notes.txt", place / "Old.png", half / "Half.png", half / ".Half.png.0a1b2c3d.tmp"):
        path.write_text("x")
    with folder_to_draw_in(home, 7) as folder:
        assert list(folder.iterdir()) == []
        (folder / "New.png").write_text("x")
    assert {path.name for path in place.iterdir()} == {"notes.txt", "Old.png", "New.png"}
    assert not half.exists()


def test_pictures_are_not_drawn_through_a_link(home: Home, tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "album/Photon-transfer.png").write_text("mine")
    (home.path / "pictures").mkdir()
    for name in (".r7.tmp", "r7"):
        link = home.path / "pictures" / name
        link.symlink_to(tmp_path / "album")
        with pytest.raises(NotADirectoryError, match="through a link"), folder_to_draw_in(home, 7):
            pass
        link.unlink()
    assert (tmp_path / "album/Photon-transfer.png").read_text() == "mine"
