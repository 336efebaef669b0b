"""A night that is cut amid its frames is told by `identify`, `init` and `doctor`; so are missing serial numbers."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from db.files import ledger
from flows.commands.init import start
from flows.commands.inspect_files import identified
from flows.commands.setup_checks import Level, findings
from flows.home.home import open_home
from flows.home.processes import now
from flows.registration.register import register_files
from flows.watching.named_files import find_files

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


def registered(path: Path, folder: Path) -> Path:
    home = open_home(path)
    with home.write_session() as session:
        rows = ledger.observe(session, find_files(home, [folder]).sightings, host=home.settings.host, now=now())
    register_files(home, file_ids=[row.id for row in rows])
    home.engine.dispose()
    return path


def test_doctor_tells_of_what_is_on_record(frames: Path, tmp_path: Path) -> None:
    home = registered(tmp_path / "home", frames)
    (told,) = [one for one in findings(home) if "nights are cut" in one.text]
    assert told.level is Level.WARN
    assert told.text.startswith(CUT)
    assert told.text.endswith("give [nights] longitude_deg, positive to the east")


def test_doctor_tells_of_serial_numbers_on_some_frames_only(frames: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(frames.iterdir())):
        with fits.open(path, mode="update") as units:
            units[0].header.update({"SITELONG": -70.8, "IMAGETYP": "flat" if number > 5 else "zero"})
            if number < 4:
                units[0].header["CAMSERNO"] = "A-001"
    home = registered(tmp_path / "home", frames)
    (told,) = [one for one in findings(home) if "CAMSERNO" in one.text]
    assert told.level is Level.WARN
    assert "CAMSERNO=A-001 stands on 4 of 9 frames only: the others are taken to be of the same camera" in told.text
