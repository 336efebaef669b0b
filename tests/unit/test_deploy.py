"""What is installed at an observatory agrees with the program: units, environment, containers, examples."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import uvicorn
import yaml
from sqlalchemy import make_url

from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import read_header
from flows.cli.main import cli
from flows.config.settings import Settings, load_settings
from flows.prefect_server.client import prefect_environment

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
EXAMPLES = sorted((DEPLOY / "examples").glob("*.toml"))
INSTALLED = "/opt/ccdwatch/venv/bin/"
HIGHEST_EXPOSURE = 2.0

each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)


def understand(words: list[str]) -> None:
    """Let click read the words after ``ccdwatch``; nothing is run."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command {words[0]}"
        command, words = found, words[1:]
    command.make_context(command.name, list(words))


# systemd


def commands(unit: Path) -> list[list[str]]:
    """What a unit starts, in words; of a shell's command those of the command."""
    found = [shlex.split(line) for line in re.findall(r"^ExecStart=(.*)", unit.read_text(), re.MULTILINE)]
    in_shell = (shlex.split(re.sub(r"\$\(.*?\)", "now", words[-1]))[1:] for words in found if words[0] == "/bin/sh")
    return [*(words for words in found if words[0] != "/bin/sh"), *in_shell]


@each_unit
def test_units_start_commands_that_there_are(unit: Path) -> None:
    (words,) = commands(unit)
    assert words[0].startswith(INSTALLED)
    if (program := words[0].removeprefix(INSTALLED)) == "ccdwatch":
        understand(words[1:])
    else:
        assert (program, words[1:3]) == ("uvicorn", ["--factory", "flows.prefect_server.application:create_app"])
        uvicorn.main.make_context("uvicorn", words[1:])


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they are installed, but with a program that is there."""
    folder = shutil.copytree(DEPLOY / "systemd", tmp_path_factory.mktemp("systemd") / "units", symlinks=True)
    for unit in folder.glob("*.service"):
        unit.write_text(re.sub(rf"{INSTALLED}\w+", "/bin/true", unit.read_text()))
    return folder


def analyze(folder: Path, *words: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine: install Debian's package systemd")
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0"}
    done = subprocess.run(["systemd-analyze", *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_accepts_the_units(staged: Path) -> None:
    units = [str(path) for path in (*sorted(staged.glob("*.service")), *sorted(staged.glob("*.timer")))]
    assert len(units) == 7
    assert analyze(staged, "verify", "--man=no", *units) == ""


@each_unit
def test_units_are_hardened(unit: Path, staged: Path) -> None:
    said = analyze(staged, "security", "--offline=true", str(staged / unit.name))
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= HIGHEST_EXPOSURE
    for held in ("PrivateTmp=", "NoNewPrivileges=", "ProtectSystem=", "PrivateDevices="):
        assert re.search(rf"✓ {held}", said), f"{unit.name}: {held}"


@pytest.mark.parametrize("unit", ["ccdwatch", "ccdwatch-watch"])
def test_the_watcher_has_one_right(unit: str, staged: Path) -> None:
    said = analyze(staged, "security", "--offline=true", str(staged / f"{unit}.service"))
    assert re.findall(r"✗ CapabilityBoundingSet=~?(\S+)", said) == ["CAP_LEASE"]


def test_the_environment_file_says_what_the_program_says() -> None:
    lines = (DEPLOY / "systemd" / "ccdwatch.env").read_text().splitlines()
    said = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    home = Path(said.pop("CCDWATCH_HOME"))
    assert said == prefect_environment(home, "http://127.0.0.1:4200/api")


def test_the_environment_that_may_be_set_is_read() -> None:
    lines = (DEPLOY / "systemd" / "ccdwatch.env").read_text().splitlines()
    optional = {line[1:].partition("=")[0] for line in lines if re.match(r"#[A-Z_]+=", line)}
    read_by_us = set(
        re.findall(r'"((?:CCDWATCH|PREFECT)_\w+)"', (ROOT / "flows" / "config" / "settings.py").read_text())
    )
    assert optional - read_by_us == {"PGPASSWORD"}  # the database's own


# Containers

POOL = {"name": "ccdwatch", "type": "process"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert isinstance(content, dict)
    return content


@pytest.fixture
def in_containers(tmp_path: Path) -> Settings:
    """The configuration that the containers share."""
    shutil.copy(DEPLOY / "examples" / "containers.toml", tmp_path / "ccdwatch.toml")
    return load_settings(tmp_path)


def test_containers_run_commands_that_there_are(compose: dict[str, Any]) -> None:
    ours = {name: one for name, one in compose["services"].items() if one["image"] == "ccdwatch"}
    by_default = {name for name, one in ours.items() if "profiles" not in one}
    assert by_default == {"server", "runner", "watcher", "pages"}
    assert ours["server"]["entrypoint"] == ["prefect"]
    for name in ("runner", "watcher", "pages"):
        understand(ours[name]["command"])
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["ccdwatch"]' in dockerfile
    for words in re.findall(r'CMD \["(?:ccdwatch", ")?(\w+)"\]', dockerfile):
        understand([words])


def test_the_containers_server_has_the_environment_that_was_measured(compose: dict[str, Any]) -> None:
    of_the_server = dict(compose["services"]["server"]["environment"])
    password = of_the_server.pop("PREFECT_SERVER_API_AUTH_STRING")
    assert password.startswith("${PREFECT_AUTH:?")
    clients = [one for one in compose["services"].values() if "CCDWATCH_HOME" in one.get("environment", {})]
    assert {one["environment"]["PREFECT_API_AUTH_STRING"] for one in clients} == {password}
    expected = prefect_environment(Path("/var/lib/ccdwatch"), "http://127.0.0.1:4200/api")
    places = {"PREFECT_HOME", "PREFECT_SERVER_UI_STATIC_DIRECTORY"}
    del expected["PREFECT_API_URL"]  # the server is nobody's client
    assert {key: value for key, value in of_the_server.items() if key not in places} == {
        key: value for key, value in expected.items() if key not in places
    }
    mounted = [volume.split(":")[1] for volume in compose["services"]["server"]["volumes"]]
    assert all(of_the_server[place].startswith(tuple(mounted)) for place in places)


def test_containers_know_each_other(compose: dict[str, Any], in_containers: Settings) -> None:
    services = compose["services"]
    database = make_url(in_containers.database_url)
    assert database.host in services
    assert (database.username, database.database) == tuple(
        services[database.host]["environment"][key] for key in ("POSTGRES_USER", "POSTGRES_DB")
    )
    assert in_containers.prefect.api_url == "http://server:4200/api"
    assert in_containers.watch.host is not None
    for name in ("runner", "watcher", "pages"):
        assert set(services[name]["depends_on"]) == {database.host, "server"} <= set(services)
    assert services["runner"]["hostname"] != services["watcher"]["hostname"]


def test_containers_see_home_and_frames_under_the_same_paths(compose: dict[str, Any], in_containers: Settings) -> None:
    services = compose["services"]
    for name in ("runner", "watcher", "pages"):
        mounts = dict(reversed(volume.removesuffix(":ro").rsplit(":", 1)) for volume in services[name]["volumes"])
        home = services[name]["environment"]["CCDWATCH_HOME"]
        assert mounts[home] == "home"
        assert mounts[f"{home}/ccdwatch.toml"] == "./ccdwatch.toml"
        assert {str(directory) for directory in in_containers.watch.directories} <= set(mounts)
        frames = next(volume for volume in services[name]["volumes"] if volume.endswith(":/data:ro"))
        assert frames.startswith("${FRAMES:-")
    used = {volume.split(":")[0] for one in services.values() for volume in one.get("volumes", [])}
    assert {volume for volume in used if re.fullmatch(r"\w+", volume)} == set(compose["volumes"])


def test_workers_in_containers_have_all_that_other_machines_need(
    compose: dict[str, Any], in_containers: Settings
) -> None:
    services = compose["services"]
    workers = {name: services[name] for name in ("worker-1", "worker-2", "dask-worker")}
    assert len({one.get("hostname") for one in workers.values()}) == 3  # those of Dask get one each
    runner = services["runner"]
    for one in workers.values():
        assert runner["environment"].items() <= one["environment"].items()
        assert one["environment"]["PREFECT_API_URL"] == in_containers.prefect.api_url
        assert one["volumes"] == runner["volumes"]
    for name in ("worker-1", "worker-2"):
        words = services[name]["command"]
        assert words[words.index("--pool") + 1] == POOL["name"]
        assert services[name]["depends_on"]["deployments"] == {"condition": "service_completed_successfully"}
    (made,) = services["deployments"]["command"]
    assert made.startswith(f"prefect work-pool create --type {POOL['type']} --overwrite {POOL['name']} && ")
    assert f"--prefect-file {services['deployments']['volumes'][0].split(':')[1]}" in made
    assert f"tcp://scheduler:{services['scheduler']['command'][-2]}" in services["dask-worker"]["command"]


def test_the_image_is_built_from_what_there_is() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    sources = [
        path for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE) for path in line.split()
    ]
    let_in = re.findall(r"^!([^/\n]+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert sorted(sources) == sorted(let_in)
    assert all((ROOT / path).exists() for path in sources)
    assert dockerfile.count("--require-hashes") == 2
    for path in re.findall(r"requirements/\w+\.txt", dockerfile):
        assert "--hash=sha256:" in (ROOT / path).read_text()


# Examples


def configured(example: Path, home: Path) -> Settings:
    shutil.copy(example, home / "ccdwatch.toml")
    return load_settings(home)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_load(example: Path, tmp_path: Path) -> None:
    settings = configured(example, tmp_path)
    assert settings.watch.directories
    assert all(entry.match and entry.spec for entry in settings.instruments)
    make_url(settings.database_url)


def test_the_amplifiers_of_the_example_cover_their_image(tmp_path: Path) -> None:
    for entry in configured(DEPLOY / "examples" / "four-amplifiers.toml", tmp_path).instruments:
        sections = [section for one in entry.amplifiers for section in (one.data, one.overscan) if section]
        pixels = [(y, x) for one in sections for y in (one.y1, one.y2) for x in (one.x1, one.x2)]
        assert all(section.fits((4096, 4160)) for section in sections)
        assert len(set(pixels)) == len(pixels)
        assert max(pixels) == (4096, 4160)


@pytest.mark.parametrize(
    ("example", "folder", "instrument", "types"),
    [
        ("efosc2", "eso-efosc2", "efosc2", {"bias": 3, "flat": 3, "other": 3}),
        ("ixon", "opd-ixon-decimalcomma", "ixon", {"bias": 1, "other": 1}),
    ],
)
def test_examples_fit_the_cameras_they_are_of(
    example: str, folder: str, instrument: str, types: dict[str, int], shared_data: Path, tmp_path: Path
) -> None:
    entries = configured(DEPLOY / "examples" / f"{example}.toml", tmp_path).instruments
    headers = [read_header(path, instruments=entries).info for path in (shared_data / folder).glob("*.fits")]
    assert {one.instrument for one in headers} == {instrument}
    found = [one.frame_type for one in headers]
    assert {str(kind): found.count(kind) for kind in FrameType if kind in found} == types
    assert all(one.configuration != "default" for one in headers)
