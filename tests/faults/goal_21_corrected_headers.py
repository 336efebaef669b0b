"""Headers put right, in place or in a copy: read again, their sets made anew, files that disagree named."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from astropy.io import fits

import flows.calibration.engine
from db.frames.listing import FrameOnRecord, list_frames
from db.runs.runs import RunOnRecord, list_runs
from flows.calibration.steps import STEPS
from flows.commands.process import process, retry
from flows.health.state import health
from flows.home.home import Home, open_home
from flows.registration.disagreements import current_disagreements
from tests.support.simulate import NOTEBOOK_NIGHTS, Camera, simple_night
from tests.support.site import running_site

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(48, 128))
CORRECTIONS: dict[str, dict[str, Any]] = {
    "type": {"IMAGETYP": "Bias Frame", "EXPTIME": 0.0},
    "filter": {"FILTER": "V"},
    "time": {},
    "exposure": {"EXPTIME": 5.0},
    "camera": {"INSTRUME": "testcam"},
}
WRONG: dict[str, dict[str, Any]] = {
    "type": {"IMAGETYP": "Dark Frame", "EXPTIME": 1.0},
    "filter": {"FILTER": "R"},
    "time": {"DATE-OBS": "2021-03-10T20:00:00"},
    "exposure": {"EXPTIME": 50.0},
    "camera": {"INSTRUME": "nocam"},
}


def run(full: bool) -> str:
    n = 0
    with patch.object(flows.calibration.engine, "STEPS", [step for step in STEPS if step.is_urgent]):
        for seed in range(5 if full else 1):
            for what in WRONG if full else ("type", "time"):
                for in_place in (True, False) if full else (what == "type",):
                    n += _corrected(what, in_place, seed)
        with _a_night() as (home, raw):
            _histories(home, raw)
    return f"{n} headers put right in place or in a copy, and what came after (copies of old states, reverts, removals)"


def _corrected(what: str, in_place: bool, seed: int) -> int:
    """Spoil the headers of half a kind, process, put them right, process: all is as if they had been right."""
    with _a_night(seed) as (home, raw), tempfile.TemporaryDirectory() as directory:
        kind = "bias" if what in {"type", "camera"} else "flat"
        paths = sorted(raw.glob(f"{kind}*"))[:2]
        right = {path: Path(shutil.copyfile(path, Path(directory) / path.name)) for path in paths}
        for path in paths:
            _edit(path, **WRONG[what])
        before = process(home, [raw])
        runs = _runs(home)
        for path in paths:
            if in_place:
                shutil.copyfile(right[path], path)
            else:
                shutil.copyfile(right[path], path.with_name(f"corrected-{path.name}"))
        after = process(home, [raw])
        assert _numbers(after) != _numbers(before)
        frames = _frames(home)
        assert len(frames) == 8, "a corrected header is no new frame"
        assert {frame.night for frame in frames} == {NOTEBOOK_NIGHTS[0]}
        assert [frame.frame_type for frame in frames].count("bias") == 4
        assert {frame.filter for frame in frames if frame.frame_type == "flat"} == {"V"}
        assert {frame.instrument for frame in frames} == {"testcam"}
        assert {run.id for run in runs} < {run.id for run in _runs(home)}, "the record keeps both"
        disagree = current_disagreements(home)
        assert len(disagree) == (0 if in_place else len(paths))
        for one in disagree:
            assert one.differing, "it is not said in what they differ"
            assert len(one.sayings) == 2
        right_from_the_start = _fresh(raw, right, paths, in_place)
        assert _numbers(after) == right_from_the_start, "not what it had been with right headers from the start"
    return len(paths)


def _fresh(raw: Path, right: dict[Path, Path], paths: list[Path], in_place: bool) -> Any:
    """Return the numbers of a home that never saw the wrong headers."""
    for path in paths:
        shutil.copyfile(right[path], path)
        if not in_place:
            path.with_name(f"corrected-{path.name}").unlink()
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        home = open_home(Path(directory) / "home")
        found = _numbers(process(home, [raw]))
        home.engine.dispose()
    return found


def _histories(home: Home, raw: Path) -> None:
    """Play one frame's life: what is in force after each event."""
    frame = sorted(raw.glob("flat*"))[0]
    old = frame.read_bytes()

    def then(filter_in_force: str, n_disagree: int, event: str) -> None:
        process(home, [raw])
        (held,) = [one for one in _frames(home) if any(Path(path).name == frame.name for path in one.paths)]
        assert held.filter == filter_in_force, f"{event}: {held.filter} is in force"
        assert len(current_disagreements(home)) == n_disagree, event

    then("V", 0, "at first")
    os.utime(frame)
    then("V", 0, "touched")
    _edit(frame, FILTER="R")
    then("R", 0, "corrected in place")
    copy, third = raw / "old-copy.fits", raw / "third.fits"
    copy.write_bytes(old)
    then("R", 1, "a copy of the old state came")
    _edit(copy, HISTORY="copied")
    then("R", 1, "the copy of the old state was written to, and says the same")
    third.write_bytes(old)
    _edit(third, FILTER="B")
    then("B", 1, "a third file says something new")
    os.link(third, raw / "link.fits")
    then("B", 1, "a link to it came")
    copy.unlink()
    third.unlink()
    frame.rename(raw / "renamed.fits")
    (raw / "link.fits").rename(frame)
    (raw / "renamed.fits").unlink()
    then("B", 0, "all that said otherwise went away")
    frame.write_bytes(old)
    then("B", 1, "the old state came back in place: it was in force before, and is told")
    (wrong,) = current_disagreements(home)
    retry(home, [f"file:{wrong.sayings[0].file_id}"])
    then("V", 0, "somebody said that this file is right")
    right, wrong_date = fits.getval(frame, "DATE-OBS"), "2099-03-10T20:00:00"
    for date_obs in (wrong_date, right, wrong_date):  # the date that is right was in force before
        _edit(frame, **{"DATE-OBS": date_obs})
        process(home, [raw])
        (held,) = [one for one in _frames(home) if any(Path(path).name == frame.name for path in one.paths)]
        about = ("whose files say", "dates that are not believed")
        told = [one for one in health(home).judged.problems if any(words in one for words in about)]
        assert bool(told) == (date_obs == wrong_date), f"dated {date_obs}: {told}"
        assert held.date_obs is not None
        assert (held.date_obs.year == 2099) == (held.calibration_set_id is None), held
    assert told == ["1 frame whose files say other cameras or times"], told
    assert held.date_obs.year < 2099, "the wrong date was in force before"
    with running_site(home.path) as address:
        page = httpx.get(f"{address}/frames/{held.id}").text
    assert "Its files do not agree" in page
    assert wrong_date in page, "the page does not say what the file says"


@contextmanager
def _a_night(seed: int = 0) -> Iterator[tuple[Home, Path]]:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        raw = Path(directory) / "raw"
        simple_night(raw, camera=CAMERA, seed=seed, n_bias=4, n_flat=4)
        home = open_home(Path(directory) / "home")
        yield home, raw
        home.engine.dispose()


def _edit(path: Path, **cards: Any) -> None:
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update(cards)


def _frames(home: Home) -> list[FrameOnRecord]:
    with home.read_session() as session:
        return list_frames(session)


def _runs(home: Home) -> list[RunOnRecord]:
    with home.read_session() as session:
        return list_runs(session, superseded=True)


def _numbers(answer: dict[str, Any]) -> Any:
    masters = [(row["kind"], row["filter"], row["n_combined"], row["verdict"]) for row in answer["masters"]]
    names = ("instrument", "night", "gain_e_per_adu", "read_noise_adu", "n_bias", "n_flat")
    return masters, [[row[name] for name in names] for row in answer["characterisations"]]
