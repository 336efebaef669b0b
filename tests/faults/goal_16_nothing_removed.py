"""Homes full of other people's things and links, with databases that know them or not: nothing of theirs is lost."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import delete, select

from db.runs.lifecycle import abandon_run
from db.runs.masters import record_master
from db.schema import models
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.products.cleanup import sweep
from flows.products.leftovers import GRACE
from tests.support import on_record
from tests.support.on_record import NIGHT, add_frame, begin_run, set_of

FOLDERS = ("masters", "masters/m2-ml", f"masters/m2-ml/{NIGHT}", "masters/.git", "reference", "reference/m2-ml")
NAMES = (
    "README",
    "thesis.tex",
    "bias_bin1x1_r{}.fits",
    "flat_bin1x1_V_r{}-2.fits",
    "mine_r{}.fits",
    ".mine_r{}.tmp",
    ".bias_bin1x1_r{}.fits.tmp",
    ".bias_bin1x1_r{}.fits.0a1b2c3d.tmp.bak",
    "master_bias_bin1x1.fits",
    ".master_bias_bin1x1.fits.17.tmp",
)
DATABASES = ("its own", "emptied", "older")


def run(full: bool) -> str:
    chance, n_files, n_left = random.Random(16), 0, 0
    n_homes = 100 if full else 6
    for number in range(n_homes):
        with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
            files, left = _home(chance, Path(name), DATABASES[number % len(DATABASES)])
            n_files, n_left = n_files + files, n_left + left
    return f"{n_homes} homes: 0 of {n_files} files and links lost or changed; all {n_left} left by killed runs went"


def _home(chance: random.Random, directory: Path, database: str) -> tuple[int, int]:
    """Fill a home, sweep it, and hold what is there against what was; return how many were kept and how many went."""
    home = open_home(directory / "home")
    runs = [_run(home, f"{number}") for number in range(chance.randint(1, 4))]
    left = set() if database == "emptied" else {path for run_id in runs for path in _left(chance, home, run_id)}
    _other_things(chance, home, directory / "elsewhere", runs)
    if database == "emptied":
        with home.write_session() as session:
            for table in (models.Certification, models.Master, models.Run, models.File, models.Frame):
                session.execute(delete(table))
    if database == "older":
        with home.write_session() as session:
            of_run = select(models.Master.id).where(models.Master.run_id == runs[-1])
            session.execute(delete(models.Certification).where(models.Certification.master_id.in_(of_run)))
            session.execute(delete(models.Master).where(models.Master.run_id == runs[-1]))
            session.execute(delete(models.Run).where(models.Run.id == runs[-1]))
        left = {path for path in left if f"_r{runs[-1]}." not in path}
    before = dict(_things(directory))
    with patch("flows.products.cleanup.now", lambda: now() + 2 * GRACE):
        sweep(home)
    after = dict(_things(directory))
    home.engine.dispose()
    assert {path: what for path, what in before.items() if path not in left} == after, set(before) ^ set(after) ^ left
    return len(after), len(left)


def _run(home: Home, name: str) -> int:
    """Put a run on record that was killed."""
    with home.write_session() as session:
        run_id = begin_run(session, set_of(session, add_frame(session, name)), digest=name, now=now())
        abandon_run(session, run_id=run_id, now=now())
    return run_id


def _left(chance: random.Random, home: Home, run_id: int) -> Iterator[str]:
    """Write what a killed run leaves."""
    folder = home.path / FOLDERS[2]
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f".dark_bin1x1_r{run_id}.fits.{chance.randrange(16**8):08x}.tmp"
    half.write_text("half")
    yield str(half)
    whole = folder / f"dark_bin1x1_r{run_id}.fits"
    whole.write_text(f"whole {run_id}")
    digest = sha256(whole.read_bytes()).hexdigest()
    with home.write_session() as session:
        path = whole.relative_to(home.path).as_posix()
        record_master(session, run_id=run_id, master=on_record.master(path, sha256=digest))
    yield str(whole)


def _other_things(chance: random.Random, home: Home, elsewhere: Path, runs: list[int]) -> None:
    elsewhere.mkdir()
    for number in range(40):
        path = home.path / chance.choice(FOLDERS) / chance.choice(NAMES).format(chance.choice([*runs, 99]))
        if path.is_symlink() or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if chance.random() < 0.6:
            path.write_text(f"mine {number}")
            continue
        target = elsewhere / f"{number}.fits"
        target.write_text(f"raw {number}")
        linked = elsewhere / f"folder {number}"
        linked.mkdir()
        name = f".bias_bin1x1_r{chance.choice(runs)}.fits.0a1b2c3d.tmp"
        (linked / name).write_text(f"behind a link {number}")
        path.symlink_to(chance.choice([target, linked]))


def _things(directory: Path) -> Iterator[tuple[str, str]]:
    for path in directory.rglob("*"):
        if path.is_symlink():
            yield str(path), f"link to {path.readlink()}"
        elif path.is_file() and not path.name.startswith("ccdwatch.db"):
            yield str(path), path.read_text()
