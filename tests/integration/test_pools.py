"""The parts of a service on their own, as on several machines: a guarded Prefect server, workers, Dask, PostgreSQL."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from distributed import LocalCluster
from sqlalchemy import create_engine, make_url, text

from flows.home.home import home_id
from flows.prefect_server.client import PrefectApi, prefect_environment
from tests.support.pace import LONG
from tests.support.simulate import simple_night

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
AUTH = "observer:dark sky"
OF_THE_RUNNING = {
    "began_at", "ended_at", "certified_at", "engine", "flow_run_id", "host", "path", "paths", "registered_at", "sha256",
}  # fmt: skip


@dataclass
class Parts:
    """Processes that share an environment, ended together."""

    environment: Mapping[str, str]
    logs: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def run(self, program: str, *words: object) -> str:
        """Run a program to its end and return what it printed."""
        done = subprocess.run(
            [PROGRAMS / program, *map(str, words)],
            env=dict(self.environment), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, program: str, *words: object) -> None:
        """Start a program that ends with the test, by SIGTERM and within the 15 s that systemd gives it."""
        name = f"{program}-{words[0]}"
        output = self.stack.enter_context((self.logs / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            [PROGRAMS / program, *map(str, words)],
            env=dict(self.environment), cwd=self.logs, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.stack.callback(_end, process, name)

    def said(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.logs.glob("*.log")))

    def wait_until(self, ask: Callable[[], Any], what: str, seconds: float = LONG) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if answer := ask():
                return answer
            time.sleep(0.5)
        pytest.fail(f"{what}: not within {seconds} s\n{self.said()}")


def _end(process: subprocess.Popen[bytes], name: str) -> None:
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        if not name.startswith("prefect"):  # how Prefect's own parts end is not ours to test
            pytest.fail(f"{name} did not stop within a minute")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API's address of a Prefect server that asks for a password, as the systemd unit starts it."""
    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, **prefect_environment(folder, url), "PREFECT_SERVER_API_AUTH_STRING": AUTH}
    parts = Parts(environment, folder)
    with parts.stack, PrefectApi(url) as api:
        parts.start("prefect", "server", "start", "--host", "127.0.0.1", "--port", port)
        parts.wait_until(api.is_ready, "the server answers")
        yield url


@dataclass
class Place:
    """A home, a watched folder, and the parts that work on it."""

    home: Path
    frames: Path
    server: str
    parts: Parts

    def configure(self, more: str = "", prefect: str = "") -> None:
        (self.home / "ccdwatch.toml").write_text(
            f'[watch]\ndirectories = ["{self.frames}"]\nhost = "observatory"\n'
            "settle_seconds = 2\nstable_seconds = 0.2\n"
            f'[prefect]\napi_url = "{self.server}"\n{prefect}\n{more}'
        )

    def on_record(self, what: str) -> list[dict[str, Any]]:
        rows = json.loads(self.parts.run("ccdwatch", what, "--home", self.home, "--format", "json"))
        return [{key: value for key, value in row.items() if key not in OF_THE_RUNNING} for row in rows]

    def results(self) -> list[list[dict[str, Any]]]:
        return [self.on_record(what) for what in ("trends", "masters", "runs", "frames")]

    def let_frames_land(self) -> dict[str, Any]:
        """Let a night's frames land; return the run that was made of them, as Prefect knows it, when it is over."""
        simple_night(self.frames.parent / "night")
        (self.frames.parent / "night").rename(self.frames / "night")  # all at once, so that they make one set at once
        return dict(self.parts.wait_until(self._completed_run, "the run is made"))

    def _completed_run(self) -> dict[str, Any] | None:
        """The run of a calibration set that has ended well."""
        asked = {"sort": "START_TIME_DESC", "limit": 20}
        with httpx.Client(base_url=self.server, auth=("observer", "dark sky"), trust_env=False, timeout=60) as client:
            runs = client.post("/flow_runs/filter", json=asked).raise_for_status().json()
        ours = [
            one for one in runs if one["parameters"].get("home") == home_id(self.home) and "digest" in one["parameters"]
        ]
        return next((one for one in ours if one["state_type"] == "COMPLETED"), None)


@pytest.fixture
def place(server: str, tmp_path: Path) -> Iterator[Place]:
    for name in ("home", "frames", "logs"):
        (tmp_path / name).mkdir()
    ours = {"PREFECT_API_AUTH_STRING": AUTH, "CCDWATCH_HOME": str(tmp_path / "home")}
    parts = Parts({**os.environ, **prefect_environment(tmp_path / "home", server), **ours}, tmp_path / "logs")
    with parts.stack:
        place = Place(tmp_path / "home", tmp_path / "frames", server, parts)
        place.configure()
        yield place


@pytest.fixture(scope="module")
def by_the_local_engine(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """What a plain home on SQLite has on record of the same night."""
    folder = tmp_path_factory.mktemp("local")
    for name in ("home", "frames", "logs"):
        (folder / name).mkdir()
    simple_night(folder / "frames" / "night")
    place = Place(folder / "home", folder / "frames", "", Parts(dict(os.environ), folder))
    place.parts.run("ccdwatch", "process", place.frames, "--home", place.home, "--json")
    return place.results()


def test_workers_of_a_pool_do_the_work(place: Place, by_the_local_engine: list[list[dict[str, Any]]]) -> None:
    place.parts.run("prefect", "work-pool", "create", "--type", "process", "ccdwatch")
    place.parts.run("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", ROOT / "deploy" / "prefect.yaml")
    place.parts.start("prefect", "worker", "start", "--pool", "ccdwatch")
    place.parts.start("ccdwatch", "watch")
    made = place.let_frames_land()
    assert made["work_pool_name"] == "ccdwatch"
    assert place.results() == by_the_local_engine


def test_a_dask_cluster_does_the_steps(place: Place, by_the_local_engine: list[list[dict[str, Any]]]) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        place.configure(prefect=f'task_runner = "dask"\ndask_address = "{cluster.scheduler_address}"')
        place.parts.start("ccdwatch", "serve")
        place.parts.start("ccdwatch", "watch")
        made = place.let_frames_land()
        done = {key for key, _, end, *_ in cluster.scheduler.transition_log if end == "memory"}
    assert made["work_pool_name"] is None
    assert len(done) == 10
    assert place.results() == by_the_local_engine


def test_postgresql_holds_the_same_record(
    postgresql_url: str, tmp_path: Path, by_the_local_engine: list[list[dict[str, Any]]]
) -> None:
    url = make_url(postgresql_url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE processed"))
    engine.dispose()
    for name in ("home", "frames"):
        (tmp_path / name).mkdir()
    place = Place(tmp_path / "home", tmp_path / "frames", "", Parts(dict(os.environ), tmp_path))
    own = url.set(database="processed").render_as_string(hide_password=False)
    (place.home / "ccdwatch.toml").write_text(f'[database]\nurl = "{own}"\n')
    simple_night(place.frames / "night")
    place.parts.run("ccdwatch", "process", place.frames, "--home", place.home, "--json")
    assert not (place.home / "ccdwatch.db").exists()
    assert place.results() == by_the_local_engine
    assert place.parts.run("ccdwatch", "db", "check", "--home", place.home) == ""
