"""Raw files that change after registration, before or under a run: no number is made of what is not on record."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import flows.calibration.engine
from ccdcore.io.digest import pixel_sha256
from ccdcore.io.plain_files import file_sha256
from ccdcore.io.read import read_image
from db.files.raw_inputs import raw_inputs
from db.runs.inputs import run_inputs
from db.runs.runs import current_runs
from flows.calibration.steps import STEPS
from flows.commands.process import process, retry
from flows.home.home import Home, open_home
from tests.support.simulate import NOTEBOOK_NIGHTS, Camera, SeriesTruth, simple_night

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(48, 128))
OTHER = Camera(gain_e_per_adu=3.7, read_noise_e=11.0, bias_adu=1000.0, shape=(48, 128))
NIGHT = NOTEBOOK_NIGHTS[0]

Damage = Callable[[Path, Path], None]


def run(full: bool) -> str:
    n = 0
    # Pictures take most of the time and are drawn of what has been released: left out.
    urgent = [step for step in STEPS if step.is_urgent]
    with patch.object(flows.calibration.engine, "STEPS", urgent):
        for seed in range(20 if full else 1):
            n += _one_home(seed, ["bias", "flat", "borrowed"] if full else ["bias", "borrowed"])
        _names_used_again()
    return (
        f"{n} files changed before or under a run, and a night whose names were used again: each named, none measured"
    )


def _one_home(seed: int, victims: list[str]) -> int:
    """Damage one file of each of several cameras in one of several ways, before or under its run."""
    hits: dict[str, tuple[Damage, Path, bool]] = {}
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        raw, other = Path(directory) / "raw", Path(directory) / "other"
        simple_night(other, camera=OTHER, seed=seed + 100, night=NIGHT, n_bias=4, n_flat=2)
        for number, damage in enumerate((_rot, _replace, _cut, _remove)):
            for at_work in (False, True) if damage is not _rot or len(victims) > 2 else (False,):
                name = f"cam{len(hits)}"
                path = _nights(raw / name, name, victims[(number + at_work) % len(victims)], 100 * seed + len(hits))
                hits[name] = damage, path, at_work
        home = open_home(Path(directory) / "home")
        process(home, [raw])
        done = set[str]()

        def hit(what: str, *_: object) -> None:
            name = what.split()[1]
            if "master bias" in what and name not in done:
                damage, path, at_work = hits[name]
                done.add(name)
                if at_work:
                    damage(path, other)

        for damage, path, at_work in hits.values():
            if not at_work:
                damage(path, other)
        runs = _newest(home)
        results = retry(home, [f"run:{run_id}" for run_id in runs.values()], progress=hit)
        assert done == set(hits)
        said = str(results["excluded"]) + str(results["failed"])
        for name, (damage, path, at_work) in hits.items():
            when = "under" if at_work else "before"
            assert str(path) in said, f"{path}: {damage.__name__} {when} its run is not named in {said}"
            if (current := _newest(home)[name]) != runs[name]:
                _hold_against_disk(home, current)
            else:  # too few flats are left, so that the results of before, made of all, are the better ones
                assert damage in {_remove, _cut}, f"{damage.__name__} {when} its run changed nothing"
        home.engine.dispose()
    return len(hits)


def _nights(raw: Path, name: str, victim: str, seed: int) -> Path:
    """Write a night, or two of which the second borrows the biases of the first; return a frame of the last run."""
    n_flat = 0 if victim == "borrowed" else 2
    truth = simple_night(raw / "1", camera=CAMERA, instrument=name, seed=seed, night=NIGHT, n_bias=4, n_flat=n_flat)
    if victim == "borrowed":
        later = NIGHT + timedelta(days=1)
        simple_night(raw / "2", camera=CAMERA, instrument=name, seed=seed, night=later, n_bias=0, n_flat=2)
    return random.Random(seed).choice(truth.flats if victim == "flat" else truth.biases)


def _newest(home: Home) -> dict[str, int]:
    """Return the newest current run of each camera."""
    with home.read_session() as session:
        return {run.instrument: run.id for run in current_runs(session, range(100))}


def _hold_against_disk(home: Home, run_id: int) -> None:
    """All that the current results were made of lies there as it is on record."""
    with home.read_session() as session:
        used = [one for one in run_inputs(session, run_id) if one.excluded is None]
        files = {one.path: one.file_sha256 for one in raw_inputs(session, run_id)}
    assert used
    for one in used:
        assert pixel_sha256(read_image(one.frame.path)) == one.frame.sha256, (
            f"{one.frame.path} is not what is on record"
        )
        assert file_sha256(one.frame.path) == files[one.frame.path]


def _as_before(path: Path, change: Callable[[], Any]) -> None:
    """Change a file without a trace in its time of writing."""
    status = path.stat()
    change()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _rot(path: Path, _: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2880 + 1001] ^= 4
    _as_before(path, lambda: path.write_bytes(content))


def _replace(path: Path, other: Path) -> None:
    _as_before(path, lambda: shutil.copyfile(next(other.glob(f"{path.name[:4]}*")), path))


def _cut(path: Path, _: Path) -> None:
    _as_before(path, lambda: os.truncate(path, path.stat().st_size - 5000))


def _remove(path: Path, _: Path) -> None:
    path.unlink()


def _names_used_again() -> None:
    """Let the frames of another camera take the names, sizes and times of a night; its numbers are then the other's."""
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        raw, other = Path(directory) / "raw", Path(directory) / "other"
        before: SeriesTruth = simple_night(raw, camera=CAMERA, night=NIGHT)
        simple_night(other, camera=OTHER, night=NIGHT, seed=7)
        home = open_home(Path(directory) / "home")
        (one,) = process(home, [raw])["characterisations"]
        assert abs(one["gain_e_per_adu"] - 1.5) < 5 * one["gain_uncertainty"]
        for path in before.paths:
            _as_before(path, lambda path=path: shutil.copyfile(other / path.name, path))  # type: ignore[misc]
        results = retry(home, [f"run:{_newest(home)['testcam']}"])
        (one,) = results["characterisations"]
        assert abs(one["gain_e_per_adu"] - 3.7) < 5 * one["gain_uncertainty"], one
        assert all(str(path) in str(results["excluded"]) for path in before.paths)
        _hold_against_disk(home, _newest(home)["testcam"])
        home.engine.dispose()
