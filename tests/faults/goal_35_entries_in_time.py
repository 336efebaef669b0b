"""An exchanged controller: nothing of before is lent across valid_from, also within one window, also in one night."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from astropy.io import fits

from db.champions import current_reference
from db.runs.inputs import run_inputs
from db.runs.masters import list_masters
from db.trends.history import trends
from flows.commands.process import process
from flows.home.home import open_home
from flows.home.processes import now
from tests.support.drawing import no_pictures
from tests.support.simulate import Camera, simple_night

BEFORE, AFTER = date(2022, 9, 19), date(2022, 9, 20)
OLD = Camera(gain_e_per_adu=1.0, read_noise_e=4.0, bias_adu=1000.0, shape=(64, 256))
NEW = Camera(gain_e_per_adu=4.0, read_noise_e=12.0, bias_adu=1400.0, shape=(64, 256))
NAMED = '[[instrument]]\nname = "cam"\nmatch = { INSTRUME = "testcam" }\n'
BETWEEN_NIGHTS = datetime(2022, 9, 20, 12, tzinfo=UTC)
_seeds = count(1)


def run(full: bool) -> str:
    cases = [_gain_of_before, _biases_of_after, _one_night]
    if full:
        cases = [*cases, _biases_of_before, _one_window, _edited_later] * 5
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory, no_pictures():
            case(Path(directory))
    return f"{len(cases)} exchanges: none lent biases, gain or masters across it"


def _home(top: Path, *, at: datetime | None = BETWEEN_NIGHTS, window_nights: int = 1) -> Path:
    entries = NAMED if at is None else f"{NAMED}valid_to = {at:%FT%TZ}\n{NAMED}valid_from = {at:%FT%TZ}\n"
    (top / "home").mkdir(exist_ok=True)
    (top / "home" / "ccdwatch.toml").write_text(f"[nights]\nwindow_nights = {window_nights}\n{entries}")
    return top / "home"


def _process(top: Path, camera: Camera, night: date, **frames: int) -> list[dict[str, Any]]:
    """Process a night's frames; return what was measured."""
    folder = top / f"frames{(seed := next(_seeds))}"
    simple_night(folder, seed=seed, night=night, camera=camera, **frames)
    return list(process(open_home(top / "home"), [folder])["characterisations"])


def _is(row: dict[str, Any], camera: Camera) -> None:
    off = abs(row["gain_e_per_adu"] - camera.gain_e_per_adu) / row["gain_uncertainty"]
    assert off < 5, f"gain {row['gain_e_per_adu']} for {camera.gain_e_per_adu}"
    assert abs(row["read_noise_e"] / camera.read_noise_e - 1) < 0.1, row["read_noise_e"]


def _gain_of_before(top: Path) -> None:
    _home(top)
    (old,) = _process(top, OLD, BEFORE)
    _is(old, OLD)
    (new,) = _process(top, NEW, AFTER, n_flat=0)
    assert new["read_noise_e"] is None, f"{new['read_noise_e']} e⁻ by the gain of the old controller"
    assert abs(new["read_noise_adu"] - 3.0) < 0.3
    with open_home(top / "home").read_session() as session:
        assert {one.night for one in current_reference(session, at=now())} == {AFTER}
        assert {one.valid_to for one in list_masters(session) if one.night == BEFORE} == {BETWEEN_NIGHTS}


def _biases_of_before(top: Path) -> None:
    _lends_none(top, (OLD, BEFORE, {"n_flat": 0}), (NEW, AFTER, {"n_bias": 0}))


def _biases_of_after(top: Path) -> None:
    _lends_none(top, (NEW, AFTER, {"n_flat": 0}), (OLD, BEFORE, {"n_bias": 0}))


def _lends_none(top: Path, *nights: tuple[Camera, date, dict[str, int]]) -> None:
    home = _home(top)
    for camera, night, frames in nights:
        _process(top, camera, night, **frames)
    with open_home(home).read_session() as session:
        assert not [row.value for row in trends(session, quantity="gain")]
        assert not [one for run_id in (1, 2) for one in run_inputs(session, run_id) if one.borrowed]


def _one_window(top: Path) -> None:
    _home(top, window_nights=366)
    (old,) = _process(top, OLD, BEFORE)
    (new,) = _process(top, NEW, AFTER)
    _is(old, OLD)
    _is(new, NEW)


def _one_night(top: Path) -> None:
    """The controller is exchanged within a night, whose frames of before and of after make two sets."""
    _home(top, at=datetime(2022, 9, 19, 18, 8, tzinfo=UTC), window_nights=1)
    camera_of = {"old": OLD, "new": NEW}
    folder = top / "frames"
    for name, camera in camera_of.items():
        simple_night(folder / name, seed=next(_seeds), night=BEFORE, camera=camera, n_bias=3, n_flat=3)
    for path in (folder / "new").iterdir():
        begun = datetime.fromisoformat(fits.getval(path, "DATE-OBS"))
        fits.setval(path, "DATE-OBS", value=(begun + timedelta(hours=2)).isoformat())
    rows = process(open_home(top / "home"), [folder])["characterisations"]
    old, new = sorted(rows, key=lambda row: float(row["gain_e_per_adu"]))
    _is(old, OLD)
    _is(new, NEW)


def _edited_later(top: Path) -> None:
    """What was measured before anybody wrote down the exchange is not lent either."""
    home = _home(top, at=None)
    _process(top, OLD, BEFORE)
    _home(top)
    (new,) = _process(top, NEW, AFTER, n_flat=0)
    assert new["read_noise_e"] is None
    assert home.exists()
