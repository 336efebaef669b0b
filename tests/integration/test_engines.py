"""The same frames through Prefect and through the local engine: the same steps, the same record."""

import gc
import os
import shutil
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from prefect import State
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import TaskRunFilter
from prefect.testing.utilities import prefect_test_harness
from sqlalchemy import select

from ccdcore.io.plain_files import file_sha256
from db.files import ledger
from db.schema.base import Base
from db.schema.models import Outcome
from flows.calibration.steps import STEPS
from flows.commands.process import process
from flows.home.home import Home, home_id, open_home
from flows.home.processes import now
from flows.orchestration.calibrate import calibrate
from flows.orchestration.ingest import ingest
from flows.runs.pictures import picture_folder
from flows.runs.plan import Plan, plans_of
from flows.upkeep.audit import audit
from flows.upkeep.backfill import backfill
from flows.upkeep.report import report
from flows.watching.directory_tree import Tree
from tests.support.simulate import SeriesTruth, simple_night

# Prefect leaves some of its clients' sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

OF_THE_RUNNING = {
    "frame": {"registered_at"},
    "instrument": {"recorded_at"},
    "master": {"sha256"},  # checksum cards carry the time of writing
    "run": {"began_at", "ended_at", "engine", "flow_run_id", "pid", "pid_started"},
}
COMPARED = ("calibration_set", "frame", "instrument", "master", "measurement", "run", "run_input")


@pytest.fixture(scope="module", autouse=True)
def prefect() -> Iterator[None]:
    """A Prefect server for this module."""
    with prefect_test_harness(server_startup_timeout=120):
        yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> SeriesTruth:
    return simple_night(tmp_path_factory.mktemp("night"), n_dark=3)


@pytest.fixture(scope="module")
def local(night: SeriesTruth, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home where the local engine did the work."""
    home = open_home(tmp_path_factory.mktemp("local"))
    process(home, [night.paths[0].parent])
    return home


@pytest.fixture(scope="module")
def flowed(night: SeriesTruth, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home where Prefect's flows did the same."""
    home = open_home(tmp_path_factory.mktemp("flowed"))
    plan = ingested(home, night.paths[0].parent)
    assert run(home, plan).is_completed()
    return home


def ingested(home: Home, folder: Path) -> Plan:
    """Do what the watcher does, then let the flow register the frames; return the run that is missing."""
    tree = Tree(str(folder), include=home.settings.watch.include, exclude=str(home.path))
    with home.write_session() as session:
        seen = ledger.observe(session, [found for _, found in tree.walk()], host=gethostname(), now=now())
        ledger.mark_ready(session, [file.id for file in seen], now=now())
    return registered(home)


def registered(home: Home) -> Plan:
    """Let the flow register what is ready; return the run that is missing."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CCDWATCH_HOME", str(home.path))  # as a runner's process has it
        state = ingest(home_id(home.path), return_state=True)
    assert state.is_completed()
    (plan,) = plans_of(home, range(100), now())
    return plan


def run(home: Home, plan: Plan, asked_for: str | None = None) -> State[Any]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CCDWATCH_HOME", str(home.path))
        state: State[Any] = calibrate(
            home=asked_for or home_id(home.path),
            set_id=plan.set_id,
            digest=plan.digest,
            attempt=plan.attempt,
            return_state=True,
        )
    return state


def table(home: Home, name: str) -> list[dict[str, Any]]:
    of = Base.metadata.tables[name]
    with home.read_session() as session:
        rows = session.execute(select(of).order_by(of.c.id)).mappings().all()
    return [dict(row) for row in rows]


@pytest.mark.parametrize("name", COMPARED)
def test_both_engines_write_the_same_record(name: str, local: Home, flowed: Home) -> None:
    left_out = OF_THE_RUNNING.get(name, set())
    one, two = (
        [{column: value for column, value in row.items() if column not in left_out} for row in table(home, name)]
        for home in (local, flowed)
    )
    assert one == two
    assert one


def test_both_engines_write_the_same_masters(local: Home, flowed: Home) -> None:
    paths = [row["path"] for row in table(local, "master")]
    assert len(paths) == 5
    for path in paths:
        with fits.open(local.path / path) as one, fits.open(flowed.path / path) as two:
            difference = fits.FITSDiff(one, two, ignore_keywords=["CHECKSUM"], ignore_comments=["CHECKSUM", "DATASUM"])
            assert difference.identical, difference.report()
            if not Path(path).name.startswith("badpixels"):
                assert [hdu.name for hdu in one] == ["PRIMARY", "UNCERT", "MASK", "NCOMBINE", "PROVENANCE"]
            assert np.isfinite(one[0].data).all()


def test_the_record_says_which_engine_it_was(local: Home, flowed: Home) -> None:
    ((one,), (two,)) = (table(home, "run") for home in (local, flowed))
    assert (one["engine"], one["flow_run_id"]) == ("local", None)
    assert two["engine"] == "prefect"
    with get_client(sync_client=True) as client:
        shown = client.read_flow_run(two["flow_run_id"])
        tasks = client.read_task_runs(task_run_filter=TaskRunFilter(flow_run_id={"any_": [shown.id]}))  # type: ignore[arg-type]
    assert shown.state is not None
    assert shown.state.is_completed()
    assert {task.name for task in tasks} == {step.name for step in STEPS}


def test_prefect_shows_what_each_step_found(flowed: Home) -> None:
    (made,) = table(flowed, "run")
    with get_client(sync_client=True) as client:
        shown = client.read_flow_run(made["flow_run_id"])
        tasks = client.read_task_runs(task_run_filter=TaskRunFilter(flow_run_id={"any_": [shown.id]}))  # type: ignore[arg-type]
    said = {task.name: str(task.state.message) for task in tasks if task.state}
    expected = {
        "series health": "5 biases",
        "gain and read noise": "gain",
        "master bias": "master bias of 5 frames: ok",
        "master dark": "master dark of 3 frames",
        "bad pixels": "mask of bad pixels",
    }
    assert shown.state is not None
    for name, words in expected.items():
        assert words in said[name]
        assert words in str(shown.state.message)


def test_a_run_by_hand_needs_only_a_set_and_says_where_there_is_none(night: SeriesTruth, tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    plan = ingested(home, night.paths[0].parent)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CCDWATCH_HOME", str(home.path))
        states = [calibrate(set_id=set_id, return_state=True) for set_id in (plan.set_id, plan.set_id + 1)]
    assert states[0].is_completed()
    assert [row["outcome"] for row in table(home, "run")] == ["done"]
    assert states[1].is_failed()
    assert f"set_id is {plan.set_id + 1}: no frames of such a set are on record here" in str(states[1].message)


def test_the_report_is_shown_beside_the_run(flowed: Home) -> None:
    artifact = Artifact.get("report-testcam-bin1x1")
    assert artifact is not None
    for expected in ("## Gain and read noise", "data:image/png;base64,", "## Masters", "bias\\_20220919"):
        assert expected in str(artifact.data)
    registered = Artifact.get("registered-frames")
    assert registered is not None
    assert str(registered.data).startswith("# 12 new frames")


def test_a_run_that_was_made_is_not_made_again(flowed: Home) -> None:
    (made,) = table(flowed, "run")
    plan = Plan(made["calibration_set_id"], "", now().date(), "", made["digest"], made["attempt"])
    assert run(flowed, plan).is_completed()
    assert table(flowed, "run") == [made]


def test_a_run_for_another_home_is_refused_and_opens_nothing(flowed: Home, tmp_path: Path) -> None:
    """Whoever reaches Prefect's API may name any folder; what is configured there would be obeyed."""
    (made,) = table(flowed, "run")
    plan = Plan(made["calibration_set_id"], "", now().date(), "", made["digest"], made["attempt"])
    evil, missing = tmp_path / "evil", tmp_path / "missing"
    evil.mkdir()
    (evil / "ccdwatch.toml").write_text('[notify]\nurls = ["json://evil.example"]\n')
    for asked_for in (str(evil), str(missing), home_id(evil)):
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("CCDWATCH_HOME", str(flowed.path))
            states = [ingest(asked_for, return_state=True), run(flowed, plan, asked_for)]
        for state in states:
            assert state.is_failed()
            assert f"this run is for another home than {flowed.path}" in str(state.message)
    assert [path.name for path in tmp_path.rglob("*")] == ["evil", "ccdwatch.toml"]
    # A run that an older version asked for, by the path of this home, is still made.
    assert run(flowed, plan, str(flowed.path)).is_completed()


def test_a_step_that_fails_ends_the_run_in_failure_with_the_file_named(tmp_path: Path) -> None:
    truth = simple_night(tmp_path / "frames")
    home = open_home(tmp_path / "home")
    plan = ingested(home, tmp_path / "frames")
    for path in truth.flats:
        path.unlink()
    state = run(home, plan)
    assert state.is_failed()
    assert str(truth.flats[0]) in str(state.message)
    (failed,) = table(home, "run")
    assert failed["outcome"] == "failed"
    assert str(truth.flats[0]) in failed["message"]
    assert failed["ended_at"] is not None


def test_a_product_that_fails_costs_no_other_and_shows_in_prefect(
    night: SeriesTruth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IndexError("what nobody foresaw")

    for of in ("flows.masters.flats.master_flat", "flows.calibration.figures.report_page"):
        monkeypatch.setattr(of, fail)
    home = open_home(tmp_path / "home")
    state = run(home, ingested(home, night.paths[0].parent))
    assert state.is_failed()
    (made,) = table(home, "run")
    assert (made["outcome"], made["message"]) == ("done", state.message)
    for told in ("done, but 2 products failed", "master flat V: IndexError: what nobody foresaw", "All on one page"):
        assert told in made["message"]
    assert {row["kind"] for row in table(home, "master")} == {"bias", "dark", "darkrate", "mask"}
    assert {row["quantity"] for row in table(home, "measurement")} > {"gain", "read_noise"}
    with get_client(sync_client=True) as client:
        tasks = client.read_task_runs(
            task_run_filter=TaskRunFilter(flow_run_id={"any_": [made["flow_run_id"]]})  # type: ignore[arg-type]
        )
    assert {task.name for task in tasks if not task.state.is_completed()} == {"master flat", "pictures"}  # type: ignore[union-attr]
    artifact = Artifact.get("report-testcam-bin1x1")
    assert "## Not made" in str(artifact.data)  # type: ignore[union-attr]
    assert (picture_folder(home, made["id"]) / "Trend-of-the-gain.png").exists()


def night_of(home: Home) -> date:
    """Return the night of the only set."""
    (made,) = plans_of(home, range(100), now(), again_after=frozenset(Outcome))
    return made.night


def test_a_run_killed_while_its_pictures_were_drawn_gets_them(night: SeriesTruth, flowed: Home) -> None:
    (made,) = table(flowed, "run")
    shutil.rmtree(picture_folder(flowed, made["id"]))
    plan = Plan(made["calibration_set_id"], "", now().date(), "", made["digest"], made["attempt"])
    assert run(flowed, plan).is_completed()
    assert len(list(picture_folder(flowed, made["id"]).glob("*.png"))) > 2
    assert table(flowed, "run") == [made]


def test_a_file_that_changed_is_read_again_and_the_run_made_again(
    night: SeriesTruth, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = tmp_path_factory.mktemp("changed")
    for path in night.paths:
        shutil.copyfile(path, raw / path.name)
    home = open_home(tmp_path_factory.mktemp("home"))
    plan = ingested(home, raw)
    rotten = raw / night.biases[1].name
    status, content = rotten.stat(), bytearray(rotten.read_bytes())
    content[2880 + 100] ^= 8
    rotten.write_bytes(content)
    os.utime(rotten, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(home, plan).is_failed()
    (given_up,) = table(home, "run")
    assert given_up["outcome"] == Outcome.ABANDONED
    assert str(rotten) in given_up["message"]
    again = registered(home)
    assert again.digest != plan.digest
    assert run(home, again).is_completed()
    used = [row for row in table(home, "run_input") if row["run_id"] != given_up["id"] and row["path"] == str(rotten)]
    assert {row["file_sha256"] for row in used} == {file_sha256(rotten)}


def test_upkeep_does_what_the_commands_do(night: SeriesTruth, flowed: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCDWATCH_HOME", str(flowed.path))
    state = backfill(return_state=True)
    assert (state.is_completed(), state.message) == (True, "nothing is stale")
    state = audit(return_state=True)
    assert state.is_completed()
    assert "disk and record agree" in str(state.message)
    state = report(month=night_of(flowed), return_state=True)
    assert (state.is_completed(), state.message) == (True, "1 page written of 2022-09")
    assert (flowed.path / "reports" / "testcam_2022-09.html").read_text().startswith("<!doctype html>")

    frame = night.paths[0]
    status, content = frame.stat(), frame.read_bytes()
    try:
        frame.write_bytes(content[:-1] + b"x")
        state = audit(return_state=True)
    finally:
        frame.write_bytes(content)
        os.utime(
            frame, ns=(status.st_atime_ns, status.st_mtime_ns)
        )  # what a run has seen of it is over all the same: this test is the last one
    assert state.is_failed()
    assert "1 not as the record says" in str(state.message)
    table = Artifact.get("audit")
    assert frame.stem in str(table.data).replace("\\", "")  # type: ignore[union-attr]
