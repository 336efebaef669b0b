"""A night that is cut amid its frames is told by `identify`, `init` and `doctor`."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from db import ledger
from flows.frame_tables import identified
from flows.home import now, open_home
from flows.paths import find_files
from flows.registration import register_files
from flows.setup_checks import Level, findings
from flows.starter import start

CUT = "testcam: by a longitude of 70.8 nights are cut at 7:17 UTC, between frames at 6:30 and 8:00"


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A night in Chile whose header counts longitudes to the west and does not say so."""
    folder = tmp_path / "night"
    folder.mkdir()
    for number in range(9):
        unit = fits.PrimaryHDU(np.arange(64, dtype=np.uint16).reshape(8, 8) + np.uint16(number))
        begin = datetime(2024, 3, 10, 21, 30) + timedelta(minutes=90 * number)  # noqa: DTZ001
        unit.header.update({"INSTRUME": "testcam", "IMAGETYP": "zero", "DATE-OBS": begin.isoformat(), "SITELONG": 70.8})
        unit.writeto(folder / f"z{number}.fits")
    return folder


def test_identify_and_init_tell(frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    identified(tmp_path / "home", [frames])
    assert capsys.readouterr().err.startswith(CUT)
    said: list[str] = []
    start(tmp_path / "home", frames, say=said.append)
    assert said[0].startswith(CUT)
    (tmp_path / "home" / "ccdwatch.toml").write_text("[nights]\nlongitude_deg = -70.8\n")
    identified(tmp_path / "home", [frames])
    assert capsys.readouterr().err == ""


def test_doctor_tells_of_what_is_on_record(frames: Path, tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    with home.sessions.begin() as session:
        rows = ledger.observe(session, find_files(home, [frames]).sightings, host=home.settings.host, now=now())
    register_files(home, file_ids=[row.id for row in rows])
    home.engine.dispose()
    (told,) = [one for one in findings(home.path) if "nights are cut" in one.text]
    assert told.level is Level.WARN
    assert told.text.startswith(CUT)
    assert told.text.endswith("give [nights] longitude_deg, positive to the east")
