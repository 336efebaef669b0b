"""Science frames that land, calibrated by the service alone."""

import json
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from astropy.io import fits
from sqlalchemy import select

from ccdcore.headers.instrument import FrameType
from db.schema.calibrated import Calibrated
from db.schema.models import Frame
from flows.orchestration.slots import notes
from tests.support.pace import LONG
from tests.support.service import Service, ccdwatch, kill, wait_for
from tests.support.simulate import Camera, expose, standard_cards, uniform_light, write_frame

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(96, 128))
EVENING = datetime(2022, 9, 19, 18, tzinfo=UTC)
LIGHT = uniform_light(CAMERA.shape, 1.0, vignetting=0.1, prnu=0.01)
SECONDS = 60.0
N_SCIENCE = 3
LARGE, N_KILLED = replace(CAMERA, shape=(768, 1024)), 16
"""A camera whose frames take a while, and how many of science there are."""


def night(folder: Path, science: Sequence[str], *, camera: Camera = CAMERA, instrument: str = "testcam") -> list[Path]:
    """Write the frames of one night, in random order, science frames of other filters too."""
    rng, light = np.random.default_rng(16), uniform_light(camera.shape, 1.0, vignetting=0.1, prnu=0.01)
    kinds = ["bias"] * 5 + ["dark"] * 4 + ["flat"] * 4 + list(science)
    paths = []
    for number, kind in enumerate(kinds):
        what, _, other = kind.partition(" ")
        seconds, electrons = {"bias": (0.0, 0.0), "dark": (SECONDS, 60.0), "flat": (5.0, 30_000 * light)}.get(
            what, (SECONDS, 2000 * light + 60.0)
        )
        cards = standard_cards("flat" if what == "light" else what, EVENING + timedelta(minutes=number), seconds)
        cards |= {"IMAGETYP": "Light Frame", "OBJECT": "M 42"} if what == "light" else {}
        cards |= {"FILTER": other or "V", "CCD-TEMP": -20.0, "INSTRUME": instrument}
        paths.append(write_frame(folder / f"{what}{number:02d}.fits", expose(camera, rng, electrons), cards))
    random.Random(16).shuffle(paths)
    return paths


def calibrated(service: Service) -> list[Calibrated]:
    """Return all that was ever put on record of calibrated frames."""
    with service.on_record.read_session() as session:
        return list(session.scalars(select(Calibrated).order_by(Calibrated.id)))


def status(service: Service) -> dict[str, Any]:
    return dict(json.loads(ccdwatch(service.home, "status", "--json").stdout))


def of_science(service: Service) -> list[dict[str, Any]]:
    return [one for one in status(service)["attention"] if one["kind"] == "science"]


@pytest.fixture(scope="module")
def service(prepared: Callable[..., Service]) -> Service:
    """A service that calibrates science frames, in whose folder those of one night have landed in random order."""
    service = prepared(settle_seconds=4.0)
    with (service.home / "ccdwatch.toml").open("a") as configuration:
        configuration.write("[science]\ncalibrate = true\n")
    paths = night(service.outside, ["light"] * N_SCIENCE + ["light B"])
    service.start()
    for path in paths:
        shutil.copy(path, service.incoming)
    assert wait_for(lambda: len(calibrated(service)) >= N_SCIENCE, seconds=LONG), service.said()
    assert wait_for(lambda: of_science(service), seconds=LONG, every=1.0), service.said()
    return service


def test_each_frame_is_calibrated_once_with_the_final_choice(service: Service) -> None:
    rows = calibrated(service)
    assert len({row.frame_id for row in rows}) == len(rows) == N_SCIENCE, "some more than once"
    assert ccdwatch(service.home, "affected", "--format", "json").stdout.strip() == "[]"
    for row in rows:
        path = service.home / row.path
        assert path.parent == service.home / "calibrated" / "testcam" / "2022-09-19"
        assert sha256(path.read_bytes()).hexdigest() == row.sha256
        header = fits.getheader(path)
        assert (header["BIASID"], header["DARKID"], header["FLATID"]) == tuple(
            f"master:{key}" for key in (row.bias_id, row.dark_id, row.flat_id)
        )
    assert {path.name for path in (service.home / "calibrated").rglob("*") if path.is_file()} == {
        Path(row.path).name for row in rows
    }


def test_prefect_shows_what_was_used(service: Service) -> None:
    (flow_run_id,) = {row.flow_run_id for row in calibrated(service)}
    assert wait_for(
        lambda: service.prefect("GET", f"/flow_runs/{flow_run_id}")["state_type"] == "COMPLETED", seconds=LONG
    )
    run = service.prefect("GET", f"/flow_runs/{flow_run_id}")
    assert run["name"] == f"science testcam {N_SCIENCE + 1} frames"
    assert sorted(run["tags"]) == ["science", "testcam"]
    assert run["state"]["message"].startswith(f"{N_SCIENCE} frames calibrated, 1 frame not calibrated: no master flat")
    of_run = {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}, "type": {"any_": ["table"]}}}
    (table,) = service.prefect("POST", "/artifacts/filter", of_run)
    rows = json.loads(table["data"])
    assert [row["became"] for row in rows].count("calibrated") == N_SCIENCE
    assert all(row["bias"] == r"master\:1" or "master" in row["bias"] for row in rows)
    deployment = service.prefect("GET", "/deployments/name/science/ccdwatch")
    assert deployment["description"].startswith("Calibrate science frames")
    assert "description" in deployment["parameter_openapi_schema"]["properties"]["frame_ids"]
    logs = service.prefect("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [flow_run_id]}}})
    assert any("calibrated with bias master:" in one["message"] for one in logs)


def test_what_cannot_be_calibrated_is_told_and_waits_for_another_master(service: Service) -> None:
    (told,) = of_science(service)
    assert "filter: B of the frame, V there" in told["words"]
    runs = service.prefect("POST", "/flow_runs/filter", {"flow_runs": {"tags": {"all_": ["science"]}}})
    assert len(runs) == 1, "it is tried again and again"


def test_calibrated_frames_that_land_are_not_calibrated_again(service: Service) -> None:
    row = calibrated(service)[0]
    shutil.copy(service.home / row.path, service.incoming / "reduced.fits")

    def reason() -> str | None:
        with service.on_record.read_session() as session:
            return session.scalar(
                select(Frame.frame_type_reason).where(Frame.frame_type_reason.contains("reduced already"))
            )

    assert wait_for(reason, seconds=LONG), service.said()
    with service.on_record.read_session() as session:
        assert session.scalars(select(Frame.frame_type).where(Frame.frame_type_reason == reason())).one() == (
            FrameType.OTHER
        )
    assert not any(one["state"] == "science" for one in status(service)["waiting"])
    assert len(calibrated(service)) == N_SCIENCE


def test_a_frame_that_waited_is_calibrated_when_its_flat_has_come(service: Service) -> None:
    rng = np.random.default_rng(17)
    for number in range(4):
        cards = standard_cards("flat", EVENING + timedelta(hours=2, minutes=number), 5.0)
        frame = expose(CAMERA, rng, 30_000 * LIGHT)
        path = write_frame(service.outside / f"flat_b{number}.fits", frame, cards | {"FILTER": "B", "CCD-TEMP": -20.0})
        shutil.copy(path, service.incoming)
    assert wait_for(lambda: len({row.frame_id for row in calibrated(service)}) == N_SCIENCE + 1, seconds=LONG), (
        service.said()
    )
    assert wait_for(lambda: not of_science(service), seconds=LONG, every=1.0)
    assert ccdwatch(service.home, "affected", "--format", "json").stdout.strip() == "[]"


def test_each_frame_is_calibrated_once_though_the_runs_are_killed_at_random_moments(service: Service) -> None:
    night(service.outside / "killed", ["light"] * N_KILLED, camera=LARGE, instrument="killed")
    (service.outside / "killed").rename(service.incoming / "killed")
    rng, folder = random.Random(23), service.home / "calibrated" / "killed"

    def rows() -> list[Calibrated]:
        return [row for row in calibrated(service) if row.path.startswith("calibrated/killed/")]

    def files() -> set[Path]:
        return {path for path in folder.rglob("*") if path.is_file()}

    def named() -> dict[str, str]:
        """The SHA-256 of each file that has its name."""
        found = [path for path in files() if not path.name.startswith(".")]
        return {str(path.relative_to(service.home)): sha256(path.read_bytes()).hexdigest() for path in found}

    n_killed = 0
    while n_killed < 3 and len(named()) < N_KILLED:
        before = files()
        assert wait_for(lambda: files() - before, seconds=LONG, every=0.01), service.said()  # noqa: B023
        time.sleep(rng.uniform(0, 1))
        at_work = [psutil.Process(one.pid) for one in notes(service.home) if psutil.pid_exists(one.pid)]
        kill(at_work)
        n_killed += len(at_work)
        assert named().items() <= {row.path: row.sha256 for row in rows()}.items(), "half a file has a name"
    assert n_killed
    assert wait_for(lambda: len(named()) == N_KILLED, seconds=LONG), service.said()
    assert named() == {row.path: row.sha256 for row in rows()}
    assert len(rows()) == N_KILLED, "some more than once"
    assert wait_for(lambda: not notes(service.home), seconds=LONG, every=1.0)
    assert not [one for one in of_science(service) if "killed" in one["words"]]
