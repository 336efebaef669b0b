"""`ccdwatch up` as its users know it: frames land, results are on record, and it ends when told to."""

import base64
import gzip
import json
import re
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from db.runs.runs import made_with
from db.schema import models
from db.schema.models import FileState
from db.trends.history import trends
from flows.calibration.steps import STEPS
from flows.home.output_paths import master_folder
from flows.prefect_server.password import password_file
from flows.retries import FAILED_RUN
from tests.e2e.conftest import START_SECONDS
from tests.support.pace import LONG, hold
from tests.support.service import Service, ccdwatch, free_port, wait_for
from tests.support.simulate import simple_night
from tests.support.site import answers

STOP_SECONDS = 10.0
SETTLE_SECONDS = 5.0
RESULT_SECONDS = SETTLE_SECONDS + 8.0
REFUSAL_SECONDS = 8.0
N_FRAMES = 9
"""Of a simulated night: 5 biases and 4 flats."""

Frames = Sequence[Path]


def copied(frames: Frames, incoming: Path) -> None:
    folder = incoming / "copied"
    folder.mkdir()
    for frame in frames:
        shutil.copy(frame, folder)


def renamed_into_place(frames: Frames, incoming: Path) -> None:
    folder = incoming / "renamed"
    folder.mkdir()
    for frame in frames:
        shutil.copy(frame, folder / f"{frame.name}.part").rename(folder / frame.name)


def hard_linked(frames: Frames, incoming: Path) -> None:
    folder = incoming / "linked"
    folder.mkdir()
    for frame in frames:
        (folder / frame.name).hardlink_to(frame)


def in_a_new_nested_folder(frames: Frames, incoming: Path) -> None:
    shutil.copytree(frames[0].parent, incoming / "nested" / "2022" / "09-19")


def written_slowly(frames: Frames, incoming: Path) -> None:
    """Hold all of them open and write them piece by piece, with a pause longer than a file has to be stable."""
    folder = incoming / "slowly"
    folder.mkdir()
    contents = [frame.read_bytes() for frame in frames]
    writers = [(folder / frame.name).open("wb", buffering=0) for frame in frames]
    for part, pause in enumerate((0.3, 2.5, 0.3, 0.0)):
        for content, writer in zip(contents, writers, strict=True):
            writer.write(content[part * len(content) // 4 : (part + 1) * len(content) // 4])
        time.sleep(pause)
    for writer in writers:
        writer.close()


def moved_in_from_outside(frames: Frames, incoming: Path) -> None:
    folder = incoming / "moved"
    folder.mkdir()
    for frame in frames:
        frame.rename(folder / frame.name)


def moved_in_with_their_folder(frames: Frames, incoming: Path) -> None:
    frames[0].parent.rename(incoming / "folder")


WAYS = (
    copied,
    renamed_into_place,
    hard_linked,
    in_a_new_nested_folder,
    written_slowly,
    moved_in_from_outside,
    moved_in_with_their_folder,
)
BEFORE_THE_START = "before_the_start"


@pytest.fixture(scope="module")
def service(prepared: Callable[..., Service]) -> Service:
    """One service for this module; some frames are there before it starts."""
    service = prepared(settle_seconds=SETTLE_SECONDS)
    simple_night(service.incoming / BEFORE_THE_START, seed=100, instrument=BEFORE_THE_START)
    hold("ready", service.start(), START_SECONDS)
    return service


@pytest.fixture(scope="module")
def broken(service: Service) -> dict[Path, bytes]:
    """Let broken files land beside good ones; return what is in them."""
    folder = service.outside / "broken"
    frames = simple_night(folder, seed=50, instrument="broken").paths
    contents = {"no FITS.fits": b"SIMPLE but not FITS\n" * 500, "cut short.fits": frames[0].read_bytes()[:20_000]}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    landed = folder.rename(service.incoming / "broken")
    return {landed / name: content for name, content in contents.items()}


@pytest.mark.usefixtures("broken")
def test_result_of_frames_that_were_there_before_the_start(service: Service) -> None:
    run = service.wait_until_done(BEFORE_THE_START, N_FRAMES)
    assert run.ended_at is not None
    assert service.ready_at is not None
    since = (run.ended_at - service.ready_at).total_seconds()
    hold("result, frames there before the start", since, RESULT_SECONDS)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_result_is_on_record_soon_after_the_last_frame(way: Callable[[Frames, Path], None], service: Service) -> None:
    name = way.__name__
    frames = simple_night(service.outside / name, seed=WAYS.index(way), instrument=name).paths
    way(frames, service.incoming)
    landed = datetime.now(UTC)
    run = service.wait_until_done(name, N_FRAMES)
    assert run.ended_at is not None
    hold(f"result, frames {name.replace('_', ' ')}", (run.ended_at - landed).total_seconds(), RESULT_SECONDS)
    assert [one.outcome for one in service.runs(name)] == ["done"]


def land(service: Service, instrument: str, *, seed: int, **night: int) -> datetime:
    """Let the frames of a night land, all in one moment; return when that was."""
    folder = service.outside / f"{instrument}-{seed}"
    simple_night(folder, seed=seed, instrument=instrument, **night)
    folder.rename(service.incoming / folder.name)
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def by_hand(service: Service) -> dict[str, Any]:
    """Process frames from elsewhere beside the service; return the answer."""
    frames = simple_night(service.outside / "by_hand", seed=20, instrument="by_hand").paths
    said = ccdwatch(service.home, "process", frames[0].parent, "--json")
    assert said.returncode == 0, said.stderr
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def test_process_works_through_the_service_beside_it(service: Service, by_hand: dict[str, Any]) -> None:
    assert {master["kind"] for master in by_hand["masters"]} == {"bias", "flat"}
    rows = [*by_hand["characterisations"], *by_hand["masters"]]
    assert {row["engine"] for row in rows} == {"prefect"}
    (flow_run_id,) = {row["flow_run_id"] for row in rows}

    run = service.prefect("GET", f"/flow_runs/{flow_run_id}")
    assert run["name"] == "calibrate by_hand 2022-09-19 bin1x1"
    assert sorted(run["tags"]) == ["2022-09-19", "by_hand"]
    assert run["state_type"] == "COMPLETED"
    of_run = {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}}
    shown_with_it = {one["key"]: one for one in service.prefect("POST", "/artifacts/filter", of_run)}
    of = "by-hand-bin1x1"
    assert {f"{name}-{of}" for name in ("report", "results", "pages", "master-bias", "master-flat-v")} <= set(
        shown_with_it
    )
    report = shown_with_it[f"report-{of}"]
    assert report["type"] == "markdown"
    assert len(report["data"]) < 300_000
    linked = graph(service, flow_run_id)
    assert len(linked) == len(STEPS)
    assert [set(before) for before in linked.values()] == [set(), *({one} for one in list(linked)[:-1])]
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", report["data"])
    assert len(pictures) == 9
    for picture in pictures:
        kind, _, data = picture.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
    addresses = re.findall(r"https?://([^/:\s)]+)", report["data"])
    assert set(addresses) <= {"127.0.0.1", "localhost"}
    (page,) = re.findall(r"\((http://[^)]*/runs/\d+)\)", report["data"])
    assert page.startswith(f"http://127.0.0.1:{service.web_port}/")
    assert wait_for(lambda: answers(f"http://127.0.0.1:{service.web_port}"), seconds=LONG), service.said()
    shown = httpx.get(page)
    assert shown.status_code == 200
    assert f"http://127.0.0.1:{service.port}/runs/flow-run/{flow_run_id}" in shown.text  # and back


def graph(service: Service, flow_run_id: str) -> dict[str, list[str]]:
    """Return the tasks of a flow run in the graph of the Prefect UI, in order, and those that each one follows."""
    nodes = dict(service.prefect("GET", f"/flow_runs/{flow_run_id}/graph-v2")["nodes"])
    ordered = sorted(nodes.values(), key=lambda node: node["start_time"])
    return {node["label"]: [nodes[one["id"]]["label"] for one in node["parents"]] for node in ordered}


def on_record(service: Service) -> dict[str, int]:
    """Return how much of each kind is on record."""
    tables = (models.Frame, models.Run, models.Measurement, models.Master, models.CalibrationSet)
    with service.on_record.read_session() as session:
        return {table.__name__: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def test_the_same_frames_again_are_nothing_new(service: Service) -> None:
    service.wait_until_done(BEFORE_THE_START, N_FRAMES)
    frames = sorted((service.incoming / BEFORE_THE_START).iterdir())
    before = on_record(service)
    folder = service.incoming / "copies"
    folder.mkdir()
    for number, frame in enumerate(frames):
        (folder / f"copy {number}.fits.gz").write_bytes(gzip.compress(frame.read_bytes(), 1))
    registered = wait_for(lambda: len(service.files(FileState.DONE, below="copies")) == N_FRAMES, seconds=LONG)
    assert registered, service.said()
    time.sleep(SETTLE_SECONDS)
    assert on_record(service) == before


@pytest.mark.usefixtures("by_hand")
def test_a_late_frame_has_its_set_done_again(service: Service) -> None:
    first = service.wait_until_done("by_hand", N_FRAMES)
    landed_at = land(service, "by_hand", seed=21, n_bias=1, n_flat=0)
    second = service.wait_until_done("by_hand", N_FRAMES + 1)
    assert second.ended_at is not None
    hold("result, a late frame", (second.ended_at - landed_at).total_seconds(), RESULT_SECONDS)
    assert [(run.id, run.superseded) for run in service.runs("by_hand")] == [(first.id, True), (second.id, False)]
    with service.on_record.read_session() as session:
        current = trends(session, instrument="by_hand")
    assert {row.run_id for row in current} == {second.id}
    quantities = [row.quantity for row in current]
    assert len(quantities) == len(set(quantities))
    assert {"bias_level", "gain", "read_noise", "read_noise_adu"} <= set(quantities)


def test_broken_files_are_set_aside_and_the_others_done(service: Service, broken: dict[Path, bytes]) -> None:
    service.wait_until_done("broken", N_FRAMES)
    aside = wait_for(lambda: service.files(FileState.QUARANTINED, below="broken")[1:], seconds=LONG)
    assert aside, service.said()
    reasons = {file.relative_path: file.reason for file in service.files(FileState.QUARANTINED, below="broken")}
    assert reasons.keys() == {f"broken/{path.name}" for path in broken}
    assert all(reasons.values())
    assert {path: path.read_bytes() for path in broken} == broken


def test_prefect_answers_to_this_machine_and_for_its_password(service: Service) -> None:
    url = f"http://127.0.0.1:{service.port}"
    ask = "/api/flow_runs/filter"
    password = password_file(service.home).read_text().strip()
    known = httpx.BasicAuth(*password.split(":"))
    rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert httpx.post(f"{url}{ask}", json={}, headers=rebound, auth=known).status_code == 400
    assert httpx.post(f"{url}{ask}", json={}, headers={"Origin": "http://evil.example"}, auth=known).status_code == 403
    assert httpx.post(f"{url}{ask}", json={}).status_code == 401
    assert httpx.get(url, headers={"Host": f"localhost:{service.port}"}).status_code == 200
    assert httpx.get(f"{url}/ui-settings").json()["auth"] == "BASIC"  # so that the UI asks for it
    assert password.partition(":")[2] not in service.said()


def test_a_run_asked_for_with_another_folder_touches_nothing(service: Service, tmp_path: Path) -> None:
    """Whoever may use the API names a folder whose configuration would be obeyed, and a folder to be made."""
    (tmp_path / "ccdwatch.toml").write_text("[watch]\n")
    ids = []
    for folder in (tmp_path, tmp_path / "made"):
        asked_for = {"ingest": {}, "calibrate": {"set_id": 1, "digest": "d", "attempt": 1}}
        for flow, parameters in asked_for.items():
            deployment = service.prefect("GET", f"/deployments/name/{flow}/ccdwatch")["id"]
            body = {"parameters": {"home": str(folder), **parameters}}
            ids.append(service.prefect("POST", f"/deployments/{deployment}/create_flow_run", body)["id"])
    for flow_run_id in ids:
        path = f"/flow_runs/{flow_run_id}"
        wait_for(lambda path=path: service.prefect("GET", path)["state_type"] == "FAILED", seconds=LONG)
        state = service.prefect("GET", path)["state"]
        assert state["type"] == "FAILED", state
        assert f"this run is for another home than {service.home}" in state["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["ccdwatch.toml"]


def retry_in_the_ui(service: Service, flow_run_id: str) -> None:
    """Send what the button *Retry* of the Prefect UI sends."""
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
    answer = service.prefect("POST", f"/flow_runs/{flow_run_id}/set_state", {"state": state, "force": False})
    assert answer["status"] == "ACCEPT", answer


def test_retry_in_the_prefect_ui_makes_a_failed_run_again_once_the_cause_is_gone(service: Service) -> None:
    in_the_way = service.home / master_folder("retried", date(2022, 9, 19)).parent
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("no folder")
    land(service, "retried", seed=80)
    ended = wait_for(lambda: [run for run in service.runs("retried") if run.outcome != "running"], seconds=LONG)
    assert ended, service.said()
    (failed,) = service.runs("retried")
    assert failed.outcome == "failed", failed
    flow_run = f"/flow_runs/{failed.flow_run_id}"
    assert wait_for(lambda: service.prefect("GET", flow_run)["state_type"] == "FAILED", seconds=LONG)

    in_the_way.unlink()
    retry_in_the_ui(service, str(failed.flow_run_id))
    run = service.wait_until_done("retried", N_FRAMES)
    assert (run.attempt, run.flow_run_id) == (failed.attempt + 1, failed.flow_run_id)
    assert wait_for(lambda: service.prefect("GET", flow_run)["state_type"] == "COMPLETED", seconds=LONG)
    assert service.prefect("GET", flow_run)["state"]["name"] != "Skipped"
    time.sleep(FAILED_RUN.after(1) + 5)  # when the service would have tried it again by itself
    assert [one.outcome for one in service.runs("retried")] == ["failed", "done"]


def test_runs_by_hand_with_wrong_parameters_say_so(service: Service) -> None:
    deployment = service.prefect("GET", "/deployments/name/calibrate/ccdwatch")
    assert all(one.get("description") for one in deployment["parameter_openapi_schema"]["properties"].values())
    ask = f"/deployments/{deployment['id']}/create_flow_run"
    refused = service.ask("POST", ask, {"parameters": {"set_id": "abc"}})
    assert refused.is_client_error
    assert "set_id" in refused.text
    wrong = {"set_id is 'abc': give the number of a set": "abc", "set_id is 9999: no frames of such a set": 9999}
    for words, set_id in wrong.items():
        body = {"parameters": {"set_id": set_id}, "enforce_parameter_schema": False}
        path = f"/flow_runs/{service.prefect('POST', ask, body)['id']}"
        assert wait_for(lambda path=path: service.prefect("GET", path)["state_type"] == "FAILED", seconds=LONG)
        message = service.prefect("GET", path)["state"]["message"]
        assert message.startswith(words)
        assert "\n" not in message


def test_lost_deployments_and_an_edited_recipe_hold_nothing_up(service: Service) -> None:
    """The runner registers anew, and the recipe is taken up by all parts."""
    service.wait_until_done(BEFORE_THE_START, N_FRAMES)
    for flow in ("ingest", "calibrate"):
        deployment = service.prefect("GET", f"/deployments/name/{flow}/ccdwatch")["id"]
        path = f"/deployments/{deployment}"
        assert wait_for(lambda path=path: service.ask("DELETE", path).status_code in {204, 404}, seconds=LONG, every=1)
    with (service.home / "ccdwatch.toml").open("a") as configuration:
        configuration.write("[recipes.bias]\nclip_sigma = 5.5\n")
    land(service, "edited", seed=70)
    run = service.wait_until_done("edited", N_FRAMES)
    assert {one.outcome for one in service.runs("edited")} <= {"done", "abandoned"}
    with service.on_record.read_session() as session:
        (recipes,) = [
            one.recipes for one, _ in made_with(session, host=service.on_record.settings.host) if one.id == run.id
        ]
    assert recipes["bias"]["clip_sigma"] == 5.5


def refused(home: Path, *words: object) -> str:
    """Type a command that cannot start; return the one line that it says."""
    began = time.monotonic()
    said = ccdwatch(home, *words)
    hold(f"refused: {said.stderr.strip()[:60]}", time.monotonic() - began, REFUSAL_SECONDS)
    assert said.returncode == 2
    assert said.stdout == ""
    (line,) = said.stderr.splitlines()
    return line


def test_a_second_service_on_the_same_home_is_refused(service: Service) -> None:
    assert service.process is not None
    line = refused(service.home, "up", "--watch", service.incoming, "--port", free_port())
    assert f"a service already runs on this home at http://127.0.0.1:{service.port} (pid {service.process.pid})" in line


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path / "home", "up", "--watch", tmp_path, "--port", port)
    assert f"port {port} of 127.0.0.1 is taken" in line


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    line = refused(tmp_path / "home", "up", "--watch", tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'}: no such directory to watch" in line


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ("[watch]\nsettle = 3", "unknown key watch.settle: known keys here are directories,"),
        ('[database]\nurl = "ccdwatch.db"', "[database] url is no database address"),
        ('[database]\nurl = "sqlite:////no/such/folder/ccdwatch.db"', "cannot open the database"),
        ('[database]\nurl = "oracle://localhost/ccdwatch"', "no driver for this address"),
    ],
)
def test_a_wrong_configuration_is_refused(configuration: str, message: str, tmp_path: Path) -> None:
    home, watched = tmp_path / "home", tmp_path / "frames"
    home.mkdir()
    watched.mkdir()
    (home / "ccdwatch.toml").write_text(configuration)
    assert message in refused(home, "up", "--watch", watched)


def test_sigterm_ends_all_in_the_midst_of_a_run(service: Service) -> None:
    land(service, "terminated", seed=60, n_flat=12)
    assert wait_for(lambda: service.runs("terminated"), seconds=LONG, every=0.02), service.said()
    hold("stopped in the midst of a run", service.stop(), STOP_SECONDS)
    assert not (service.home / "service.json").exists()
