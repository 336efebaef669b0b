"""What `status` and `doctor` say of a home, ill and well."""

import json
import re
import shutil
import socket
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from socket import gethostname
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text, update

from db.files import ledger
from db.schema.models import File, FileState, Outcome, Run
from flows.calibration.engine import recording_failure
from flows.commands import setup_checks
from flows.commands.doctor import MOST_LINES, doctor, status
from flows.commands.process import process
from flows.config.errors import SettingsError
from flows.health import condition as health
from flows.home import disk
from flows.home.home import open_home, read_home
from flows.home.processes import now
from flows.prefect_server.client import PrefectUnavailableError
from flows.registration.register import register_files
from flows.runs.begin import begin_run
from flows.runs.plan import plans_of
from flows.watching.directory_tree import Tree
from tests.support.simulate import simple_night
from tests.support.watcher_said import pretend_service, say_watcher

Ask = Callable[..., tuple[bool, list[str]]]
ENTRY = '[[instrument]]\nname = "testcam"\nmatch = { INSTRUME = "testcam" }\n'


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where one night has been worked on."""
    directory = tmp_path_factory.mktemp("processed")
    simple_night(directory / "raw", n_bias=3, n_flat=2)
    home = open_home(directory / "home")
    assert process(home, [directory / "raw"])["failed"] == []
    home.engine.dispose()
    return directory / "home"


@pytest.fixture
def home(processed: Path, tmp_path: Path) -> Path:
    """A copy of it to make ill."""
    return shutil.copytree(processed, tmp_path / "home")


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """What a question answers, and the lines it prints."""

    def answer(question: Callable[..., bool], *args: object, **options: object) -> tuple[bool, list[str]]:
        capsys.readouterr()
        is_well = question(*args, **options)
        said = capsys.readouterr()
        assert said.err == ""
        return is_well, said.out.splitlines()

    return answer


def write(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "ccdwatch.toml").write_text(text)


def facts(home: Path, ask: Ask) -> dict[str, Any]:
    is_healthy, lines = ask(status, home, as_json=True)
    found: dict[str, Any] = json.loads("\n".join(lines))
    assert found["healthy"] is is_healthy
    return found


def begin(home: Path) -> tuple[Any, int]:
    """Begin the run that a set needs."""
    opened = open_home(home)
    (plan,) = plans_of(opened, [1], now())
    run_id = begin_run(opened, set_id=1, digest=plan.digest, attempt=plan.attempt, engine="local", flow_run_id=None)
    assert run_id is not None
    return opened, run_id


# status


def test_a_home_that_was_worked_on_is_healthy(home: Path, ask: Ask) -> None:
    is_healthy, lines = ask(status, home, as_json=False)
    assert is_healthy
    assert lines[0] == "healthy"
    assert re.fullmatch(rf"home {home}: \d+\.\d GiB free", lines[1])
    assert lines[2:] == [f"no service runs on this home: ccdwatch up --home {home}", "files: 5 done"]
    found = facts(home, ask)
    assert found["files"]["done"] == 5
    assert not any(found[name] for name in ("quarantined", "open_runs", "failed_runs", "due", "stale"))


def test_a_service_that_has_no_address_yet_starts(home: Path, ask: Ask) -> None:
    say_watcher(home)
    _, lines = ask(status, home, as_json=False)
    assert "service: starts; its Prefect has no address yet" in lines
    assert not any("no service runs" in line for line in lines)


def test_a_home_that_is_none_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nothing is on record here"):
        status(tmp_path / "home", as_json=False)


def test_quarantined_files_are_named_with_the_reason(home: Path, tmp_path: Path, ask: Ask) -> None:
    write(home, "[watch]\nquiet_seconds = 0\n")  # what is cut off will not be completed
    for index in range(MOST_LINES + 1):
        (tmp_path / f"broken\n{index:02}.fits").write_bytes(b"no FITS")
    process(open_home(home), [*tmp_path.glob("broken*")])
    is_healthy, lines = ask(status, home, as_json=False)
    assert not is_healthy
    assert lines[0] == "working, but look at 11 files in quarantine"
    quarantined = [line for line in lines if line.startswith("quarantine: ")]
    assert len(quarantined) == MOST_LINES
    assert all(re.match(rf"quarantine: file:\d+, {tmp_path}/broken \d\d\.fits: \w", line) for line in quarantined)
    assert "files: 5 done, 11 quarantined" in lines


def test_a_failed_run_is_told_until_another_one_follows(home: Path, ask: Ask) -> None:
    write(home, "[recipes.bias]\nclip_sigma = 6.5\n")
    opened, run_id = begin(home)
    found = facts(home, ask)
    assert [run["run_id"] for run in found["open_runs"]] == [run_id]
    assert found["healthy"]
    with recording_failure(opened, run_id):
        raise ValueError("the lamp\nwas off")
    is_healthy, lines = ask(status, home, as_json=False)
    assert not is_healthy
    assert lines[0] == "working, but look at 1 failed run"
    told = (
        f"failed run: run:{run_id}, testcam 2022-09-19 bin1x1: ValueError: the lamp was off (in test_doctor.py, line "
    )
    assert [line for line in lines if line.startswith(told)]
    _, second = begin(home)
    found = facts(home, ask)
    assert (found["healthy"], found["failed_runs"]) == (True, [])
    assert [run["run_id"] for run in found["open_runs"]] == [second]


@pytest.mark.parametrize(
    ("configuration", "changed"),
    [
        ("[recipes.flat]\nclip_sigma = 4.0\n", "the recipe"),
        (ENTRY, "the instrument entry"),
        (f"{ENTRY}[recipes.gain]\nmethod = 'pair'\n", "the recipe and the instrument entry"),
    ],
)
def test_results_made_by_other_rules_are_stale(home: Path, ask: Ask, configuration: str, changed: str) -> None:
    write(home, configuration)
    is_healthy, lines = ask(status, home, as_json=False)
    assert is_healthy
    assert any(line.startswith(f"stale: 1 set of 2022-09-19 to 2022-09-19, {changed} changed since") for line in lines)
    (stale,) = facts(home, ask)["stale"]
    assert (stale["run_id"], stale["instrument"], stale["night"]) == (1, "testcam", "2022-09-19")
    process(open_home(home), [home_raw(home)])
    assert facts(home, ask)["stale"] == []


def home_raw(home: Path) -> Path:
    """The raw frames that a home has on its ledger."""
    with open_home(home).read_session() as session:
        return Path(ledger.sightings(session, host=gethostname())[0].root)


def test_limits_make_nothing_stale(home: Path, ask: Ask) -> None:
    write(home, ENTRY)
    process(open_home(home), [home_raw(home)])
    write(home, f"{ENTRY}spec = {{ gain_e_per_adu = {{ max = 1.0 }} }}\n")
    assert facts(home, ask)["stale"] == []


def test_frames_identified_by_other_rules_are_counted(home: Path, ask: Ask) -> None:
    write(home, "[nights]\nlongitude_deg = 10\n")
    _, lines = ask(status, home, as_json=False)
    assert any(line.startswith("stale: 5 frames, identified by other rules than those in force") for line in lines)


def test_a_set_without_results_is_due(tmp_path: Path, ask: Ask) -> None:
    path, raw = tmp_path / "home", tmp_path / "raw"
    write(path, "[watch]\nsettle_seconds = 0\n")
    simple_night(raw, n_bias=2, n_flat=0)
    home = open_home(path)
    tree = Tree(str(raw), include=["*.fits"], exclude=str(path))
    with home.write_session() as session:
        files = ledger.observe(session, [sighting for _, sighting in tree.walk()], host=gethostname(), now=now())
    assert "oldest waiting file came " in "\n".join(ask(status, path, as_json=False)[1])
    register_files(home, file_ids=[file.id for file in files])
    is_healthy, lines = ask(status, path, as_json=False)
    assert not is_healthy
    todo = f"no service runs on this home, and 1 set waits: ccdwatch up --home {path}"
    assert lines[0] == "working, but look at 1 stopped home with files waiting"
    assert f"stopped: {todo}" in lines
    assert "queued: testcam 2022-09-19 bin1x1, 2 frames: is calibrated next" in lines


def test_a_service_whose_prefect_is_silent_is_ill(home: Path, ask: Ask) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        port = taken.getsockname()[1]
        pretend_service(home, port)
        is_healthy, lines = ask(status, home, as_json=False)
    assert not is_healthy
    assert lines[0] == "not working: the service's Prefect does not answer"
    assert f"service at http://127.0.0.1:{port}: Prefect does not answer" in lines


def test_a_service_whose_prefect_answers_is_well(home: Path, ask: Ask) -> None:
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        pretend_service(home, server.server_port)
        is_healthy, lines = ask(status, home, as_json=False)
        _, examined = ask(doctor, home)
        server.shutdown()
        thread.join()
    assert is_healthy
    assert f"service at http://127.0.0.1:{server.server_port}: Prefect answers" in lines
    ages = r"watcher heard \d+ s ago, everything scanned \d+ s ago"
    assert re.search(rf"^{ages}$", "\n".join(lines), re.MULTILINE)
    assert f"ok   a service runs on this home: http://127.0.0.1:{server.server_port}" in examined
    assert re.search(rf"^ok   service: {ages}$", "\n".join(examined), re.MULTILINE)


@pytest.mark.parametrize(
    ("status_code", "words", "answers"),
    [
        (None, "Prefect does not answer, work waits: no", "does not answer"),
        (404, "Prefect does not know our flows, work waits: they are registered anew within a minute (no)", "answers"),
        (500, "Prefect answers with an error, work waits: no", "answers"),
    ],
)
def test_what_is_said_of_prefect_does_not_contradict_itself(
    home: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch, status_code: int | None, words: str, answers: str
) -> None:
    monkeypatch.setattr(health, "_answers", lambda _: True)
    pretend_service(home, 9)
    say_watcher(home, trouble=PrefectUnavailableError("no", status=status_code).in_words)
    _, lines = ask(status, home, as_json=False)
    assert lines[0] == f"not working: {words}"
    assert f"service at http://127.0.0.1:9: Prefect {answers}" in lines


def test_a_run_that_is_open_for_days_and_one_cut_short_again_and_again_are_told(home: Path) -> None:
    opened = open_home(home)
    with opened.write_session() as session:
        days_ago = {"began_at": now() - timedelta(days=8), "outcome": None, "ended_at": None}
        session.execute(update(Run).where(Run.id == 1).values(days_ago))
    (words,) = found(home)
    assert words == "run:1 began 192 h ago and has not ended"
    with opened.write_session() as session:
        cut = {"outcome": Outcome.ABANDONED, "attempt": 3, "message": "killed"}
        session.execute(update(Run).where(Run.id == 1).values(cut))
    (words,) = found(home)
    assert words.endswith("was cut short 3 times, the last: killed")


def found(home: Path) -> tuple[str, ...]:
    return health.condition(read_home(home)).findings


def test_a_watcher_that_does_not_do_its_work_is_told(home: Path, ask: Ask) -> None:
    say_watcher(home)
    assert health.condition(read_home(home)).as_dict()["status"] == "ok"
    say_watcher(home, ago=600)
    assert found(home) == ("the watcher was last heard 10 min ago: frames that land are not seen",)
    say_watcher(home, missing=("/data/a",), unobserved=("/data/b",))
    assert found(home) == (
        "watched folder /data/a is not there, or not mounted",
        "no events come from watched folder /data/b: it is only scanned; if so for good, set [watch] polling",
    )
    say_watcher(home, scanned_at=now() - timedelta(hours=3))
    assert found(home) == ("the watched folders were last scanned 3 h ago",)
    say_watcher(home, trouble="the database cannot be used, work waits: disk full")
    assert found(home) == ("the database cannot be used, work waits: disk full",)
    assert not ask(doctor, home)[0]
    assert health.condition(read_home(home)).as_dict()["status"] == "degraded"


def test_a_watcher_that_is_not_there_is_told_where_a_service_runs(home: Path) -> None:
    pretend_service(home, 9)
    (home / "watch.json").write_text("not what the watcher says")
    assert found(home) == ("no watcher runs: frames that land are not seen", health.PREFECT_SILENT)
    say_watcher(home, ended=True)
    assert "no watcher runs: frames that land are not seen" in found(home)
    (home / "service.json").unlink()
    assert found(home) == ()


def test_a_file_that_waits_in_vain_is_told(home: Path) -> None:
    opened = open_home(home)
    hour_ago = now() - timedelta(seconds=health.OLDEST_SECONDS + 60)
    with opened.write_session() as session:
        session.execute(update(File).where(File.id == 1).values(state=FileState.SETTLING, changed_at=hour_ago))
    assert found(home) == ()  # no service runs: that needs attention
    say_watcher(home)
    assert found(home) == ("a file that came 61 min ago is not done yet",)


def test_a_database_that_cannot_be_read_is_told(home: Path) -> None:
    opened = read_home(home)
    with opened.engine.begin() as connection:
        connection.execute(text("DROP TABLE file"))
    assert health.condition(opened).findings == ("the database cannot be read: no such table: file",)


def test_a_disk_that_is_nearly_full_is_ill(home: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30 - 2**20, total=2**40))
    said = ask(status, home, as_json=False)[1][0]
    assert said == "not working: only 1023 MiB of the disk of the home are free"
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30, total=2**40))
    assert facts(home, ask)["healthy"]


# doctor


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setattr(setup_checks, "PORT", probe.getsockname()[1])


def bad(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("ok ")]


def test_a_set_up_that_is_right(home: Path, ask: Ask) -> None:
    (frames := home / "frames").mkdir()
    write(home, f'{ENTRY}amplifiers = [{{ name = "1", data = "[1:256,1:64]" }}]\n[watch]\ndirectories = ["{frames}"]\n')
    is_right, lines = ask(doctor, home)
    assert is_right
    assert bad(lines) == []
    said = "\n".join(lines)
    for word in (f"home {home}: can be written", "prefect 3.", "fastapi 0.", f"configuration {home}/ccdwatch.toml"):
        assert f"ok   {word}" in said
    assert f"ok   database sqlite:///{home}/ccdwatch.db: schema up to date, integrity ok" in lines
    assert f"ok   watched folder {frames}" in lines
    assert f"ok   port {setup_checks.PORT}: free" in lines


def test_a_home_that_is_not_there_yet_is_right_and_stays_away(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "deep" / "home"
    is_right, lines = ask(doctor, path)
    assert is_right
    assert not path.parent.exists()
    assert f"ok   home {path}: not there yet, will be made" in lines
    assert f"ok   configuration: no {path}/ccdwatch.toml, so the defaults hold" in lines
    assert f"ok   database {path}/ccdwatch.db: not there yet, will be made" in lines
    assert bad(lines) == [f"warn watched folders: none in the configuration: ccdwatch up --home {path} --watch DIR"]


def test_a_home_that_cannot_be_written(tmp_path: Path, ask: Ask) -> None:
    (tmp_path / "file").touch()
    is_right, lines = ask(doctor, tmp_path / "file" / "home")
    assert not is_right
    assert (
        lines[0] == f"FAIL home {tmp_path}/file/home: cannot be written (Not a directory): give another one with --home"
    )


def test_a_configuration_that_cannot_be_used(tmp_path: Path, ask: Ask) -> None:
    write(tmp_path / "home", "[watch]\nquiet_seconds = 'long'\n")
    is_right, lines = ask(doctor, tmp_path / "home")
    assert not is_right
    assert re.match(r"FAIL configuration .*ccdwatch\.toml: watch\.quiet_seconds: .*: correct the file", lines[-1])


def test_receivers_are_looked_at_without_a_word_of_their_passwords(tmp_path: Path, ask: Ask) -> None:
    write(tmp_path, '[notify]\nurls = ["mailto://me:secret@example.org", "nosuch://hidden/x", "slack://hidden"]\n')
    is_right, lines = ask(doctor, tmp_path)
    assert not is_right
    good, *others = [line for line in lines if "told" in line]
    assert good.startswith("ok   told of trends: mailto://me:***@example.org/")
    todo = "is not understood by Apprise, so nobody is told: write it as https://appriseit.com/services shows"
    assert others == [
        f"FAIL address 2 of [notify] urls, nosuch://…, {todo}",
        f"FAIL address 3 of [notify] urls, slack://…, {todo}",
    ]
    assert not any("secret" in line or "hidden" in line for line in lines)


def test_watched_folders_that_cannot_be_watched(tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    path, closed = tmp_path / "home", tmp_path / "closed"
    closed.mkdir()
    write(path, f"[watch]\ndirectories = ['{tmp_path}/nowhere', '{closed}']\n")
    monkeypatch.setattr(setup_checks.os, "access", lambda *_: False)
    is_right, lines = ask(doctor, path)
    assert not is_right
    assert bad(lines) == [
        f"FAIL watched folder {tmp_path}/nowhere: not there: make it, or correct {path}/ccdwatch.toml",
        f"FAIL watched folder {closed}: cannot be read: chmod o+rx {closed}",
    ]


def test_sqlite_on_a_network_file_system(home: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(home), fstype="nfs4")]
    monkeypatch.setattr(setup_checks.psutil, "disk_partitions", lambda **_: mounts)
    is_right, lines = ask(doctor, home)
    assert not is_right
    assert any("SQLite on a network file system (nfs4) loses data: give --home a local disk" in line for line in lines)
    write(home, f"[database]\nurl = 'sqlite:///{home.parent}/elsewhere.db'\n")
    assert ask(doctor, home)[0]


def test_a_database_that_is_none(home: Path, ask: Ask) -> None:
    (home / "ccdwatch.db").write_bytes(b"no database" * 1000)
    is_right, lines = ask(doctor, home)
    assert not is_right
    assert any(re.match(r"FAIL database .*cannot open the database \(file is not a database\)", line) for line in lines)


def test_a_damaged_database(home: Path, ask: Ask) -> None:
    database = home / "ccdwatch.db"
    content = bytearray(database.read_bytes())
    content[4096 * 2 : 4096 * 12] = b"\xff" * 4096 * 10
    database.write_bytes(content)
    is_right, lines = ask(doctor, home)
    assert not is_right
    assert any(line.startswith("FAIL database") and line.endswith("restore a backup") for line in lines)


def test_a_schema_that_is_behind(home: Path, ask: Ask) -> None:
    (home / "ccdwatch.db").unlink()
    sqlite3.connect(home / "ccdwatch.db").close()
    (home / "ccdwatch.db").touch()
    is_right, lines = ask(doctor, home)
    assert not is_right
    assert any("the schema is at revision none" in line and "type ccdwatch db upgrade" in line for line in lines)


def test_programs_that_do_not_fit(home: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "prefect":
            raise PackageNotFoundError(name)
        return "0.155.0"

    monkeypatch.setattr(setup_checks, "version", version)
    is_right, lines = ask(doctor, home)
    assert not is_right
    prefect, fastapi = [line for line in lines if line.startswith("FAIL")]
    assert re.fullmatch(r"FAIL prefect missing, but it must be \S+: pip install 'prefect[<>=.,\d]+'", prefect)
    assert re.fullmatch(r"FAIL fastapi 0\.155\.0, but it must be \S+: pip install 'fastapi[<>=.,\d]+'", fastapi)


def test_a_port_that_is_taken_is_a_warning(home: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(setup_checks, "PORT", port)
        is_right, lines = ask(doctor, home)
        assert is_right
        assert f"warn port {port}: taken by another program: ccdwatch up --home {home} --port {port + 1}" in lines
        write(home, "[prefect]\napi_url = 'http://127.0.0.1:1/api'\n")
        assert "ok   Prefect server of your own: http://127.0.0.1:1/api" in ask(doctor, home)[1]


def test_a_server_that_other_machines_reach_needs_a_password(
    home: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, "[prefect]\napi_url = 'http://192.0.2.17:1/api'\n")
    monkeypatch.setattr(health, "_answers", lambda _: True)
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    (line,) = (line for line in ask(doctor, home)[1] if "server of your own" in line)
    assert line.startswith("warn Prefect server of your own: http://192.0.2.17:1/api is open to other machines: set")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "observer:secret")
    assert "ok   Prefect server of your own: http://192.0.2.17:1/api" in ask(doctor, home)[1]


def test_amplifiers_that_do_not_fit_the_frames_on_record(home: Path, ask: Ask) -> None:
    amplifiers = 'amplifiers = [{ name = "A", data = "[1:200,1:64]", overscan = "[201:260,1:64]" }]\n'
    write(home, ENTRY + amplifiers)
    is_right, lines = ask(doctor, home)
    assert not is_right
    assert (
        f"FAIL configuration {home}/ccdwatch.toml: [[instrument]] 1 (testcam) amplifiers the overscan [201:260,1:64] of"
        " A lies outside 5 frames on record, of 256 columns and 64 rows: correct it, or match, of the entry" in lines
    )
    write(home, f"{ENTRY}valid_from = 2023-01-01T00:00:00Z\n{amplifiers}")
    assert ask(doctor, home)[0]
    write(home, f"{ENTRY}valid_to = 2022-01-01T00:00:00Z\n{amplifiers}")
    assert ask(doctor, home)[0]


def test_an_overscan_that_sees_light_is_told(tmp_path: Path, ask: Ask) -> None:
    home = tmp_path / "home"
    write(home, ENTRY + 'amplifiers = [{ name = "A", data = "[17:256,1:64]", overscan = "[1:16,1:64]" }]\n')
    simple_night(tmp_path / "frames", n_bias=2, n_flat=1)
    process(open_home(home), [tmp_path / "frames"])
    is_right, lines = ask(doctor, home)
    assert is_right
    (told,) = (line for line in lines if line.startswith("warn testcam"))
    assert told.startswith(
        "warn testcam 2022-09-19: overscan [1:16,1:64] of amplifier A is none and was not used: under"
    )
    assert told.endswith(": name the right section as amplifiers of its entry")


def test_more_folders_than_the_system_watches(tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "limit"
    limit.write_text("3\n")
    monkeypatch.setattr(setup_checks, "WATCH_LIMIT", limit)
    (tmp_path / "raw" / "a" / "b").mkdir(parents=True)
    watch = f"[watch]\ndirectories = ['{tmp_path}/raw']\n"
    write(tmp_path / "home", watch)
    assert "ok   3 folders to watch, of 3 that the system allows" in ask(doctor, tmp_path / "home")[1]
    (tmp_path / "raw" / "c").mkdir()
    is_right, lines = ask(doctor, tmp_path / "home")
    assert not is_right
    assert lines[-1] == (
        "FAIL 4 folders to watch, but the system's limit is 3:"
        " sudo sysctl fs.inotify.max_user_watches=8, or [watch] polling = true"
    )
    write(tmp_path / "home", f"{watch}polling = true\n")
    assert ask(doctor, tmp_path / "home")[0]


def test_a_machine_that_does_not_see_what_others_do_is_told(home: Path, tmp_path: Path, ask: Ask) -> None:
    def said() -> str:
        return "\n".join(ask(doctor, home)[1])

    (home / "ccdwatch.toml").write_text('[prefect]\napi_url = "http://127.0.0.1:1/api"\n')
    assert "ok   this machine sees what it needs to take part in the work on this home" in said()
    with read_home(home).engine.begin() as connection:
        connection.execute(update(File).values(root=str(tmp_path / "not mounted")))
    assert re.search(rf"FAIL none of the last 5 files on record is here, .*{tmp_path}/not mounted/", said())
    with (home / "ccdwatch.toml").open("a") as file:
        file.write('[watch]\nhost = "another"\n')
    assert f"FAIL files are on record as those of {gethostname()}, and this machine would look for files of a" in said()
