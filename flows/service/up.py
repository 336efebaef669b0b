"""`up`: the whole service of a home on one machine; `watch`, `serve` and `web`: its processes one by one."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from filelock import FileLock, Timeout

from flows.config.errors import CONFIG_NAME, SettingsError
from flows.config.in_force import Configuration, require_watchable
from flows.config.redaction import without_credentials
from flows.config.settings import Settings, load_settings, prefect_api_url, prefect_secret
from flows.home.home import Home, open_home, read_home
from flows.home.identity import MARK_VARIABLE, words_of_away
from flows.home.processes import HOST, own_start
from flows.home.renaming import words_of_renamed
from flows.home.service_address import (
    ADDRESS,
    RunningService,
    pages_address,
    prefect_pages,
    running_service,
    write_service,
)
from flows.judgements.editors import are_edits_allowed, words_of_no_editors
from flows.prefect_server.client import PrefectApi, prefect_environment
from flows.prefect_server.password import password_environment, password_file, password_of
from flows.products.cleanup import sweep
from flows.service import supervisor
from flows.service.vigil import HUNG_SECONDS, ServerVigil, StartVigil, WatcherVigil

PAGES_WAIT_SECONDS = 30.0
"""Pages start when Prefect is ready, or after so long: until then it needs the processor time that they would take."""

Say = Callable[[str], None]
"""Takes lines for the person who looks on."""


def up(path: Path, directories: tuple[Path, ...], *, port: int, web_port: int | None, say: Say) -> None:
    """Run the service of a home until SIGTERM or SIGINT.

    Parameters
    ----------
    path : Path
        The home.
    directories : tuple of Path
        Directories to watch; empty for those of the configuration.
    port : int
        Port of the Prefect server and its UI.
    web_port : int or None
        Port of the pages; None for that of the configuration.
    say : callable
        Takes lines for the person who looks on.

    Raises
    ------
    SettingsError
        If a directory to watch is missing, another service runs on the home, or a port is taken.
    """
    settings = load_settings(path, watch=directories)
    _require_directories(settings)
    are_edits_allowed(settings, settings.web.host)
    home = open_home(path)
    with _lock(path):
        if settings.prefect.api_url is None:
            _require_free(ADDRESS, port, "--port")
        web_port = _web_port(settings, web_port)
        stop = _stop_event()
        for line in [*words_of_renamed(home), *sweep(home)]:
            say(line)
        service = _service(settings, port, web_port)
        running = _processes(home, settings, settings.prefect.api_url or service.prefect_api_url, web_port, directories)
        try:
            _supervise(home, service, running, stop=stop, say=say)
        finally:
            (path / "service.json").unlink(missing_ok=True)
            supervisor.stop(running)
            say("stopped")


def run_watch(path: Path, directories: tuple[Path, ...], *, say: Say) -> None:
    """Run the watcher of a home until SIGTERM or SIGINT."""
    from flows.service.dispatcher import watch

    stop = _stop_event()
    _require_directories(load_settings(path, watch=directories))
    while True:
        configuration, home = Configuration(path, watch=directories), open_home(path, watch=directories)
        api_url = prefect_api_url(configuration.in_force)
        watch(home, api_url, stop=stop, say=say, has_changed=configuration.has_changed)
        if stop.is_set():
            return
        say("the configuration is another one, or a watched link leads elsewhere: taken up")
        home.engine.dispose()


def run_serve(path: Path, *, load: Callable[[], Callable[[Path, str], None]], say: Say) -> None:
    """Run the flows that Prefect schedules until SIGTERM or SIGINT.

    Parameters
    ----------
    path : Path
        The home.
    load : callable
        Imports Prefect, and returns what runs its flows, of a home and by the address of its API.
    say : callable
        Takes lines for the person who looks on.
    """
    home = open_home(path)
    for line in sweep(home):
        say(line)
    api_url = prefect_api_url(home.settings)
    # Before Prefect is imported: it reads them then. Flows know by them which home is theirs.
    os.environ.update({**prefect_environment(home.path, api_url), **password_environment(home.path, api_url)})
    os.environ.update(_home_variables(home))
    # Nobody reads the exceptions that Prefect keeps as files; in the home they would be written where its disk was.
    with TemporaryDirectory(prefix="ccdwatch-results-") as results:
        os.environ["PREFECT_RESULTS_LOCAL_STORAGE_PATH"] = results
        load()(home.path, api_url)


def run_web(path: Path, *, host: str | None, port: int | None, say: Say) -> None:
    """Show the pages of a home until SIGTERM or SIGINT.

    Raises
    ------
    SettingsError
        If there is no home, or the port is taken.
    """
    home = read_home(path)
    host, port = host or home.settings.web.host, port or home.settings.web.port
    _require_free(host, port, "--port")
    are_edits_allowed(home.settings, host)
    if words := words_of_no_editors(home.settings):
        say(words)
    stop = _stop_event()
    from flows.service.web_server import show

    say(f"pages at {pages_address(home.settings, host, port)}")
    show(home, host, port, stop)


def _stop_event() -> Event:
    """Return what SIGTERM and SIGINT set."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _require_directories(settings: Settings) -> None:
    require_watchable(settings)
    directories = settings.watch.directories
    if not directories:
        where = settings.home / CONFIG_NAME
        raise SettingsError(f"nothing to watch: give --watch DIR, or [watch] directories in {where}")
    for directory in directories:
        if not directory.is_dir():
            raise SettingsError(f"{directory}: no such directory to watch: make it, or give another --watch DIR")


def _lock(home: Path) -> FileLock:
    """Take the lock of a home: one service a home."""
    held = FileLock(home / ".lock", timeout=0)
    try:
        held.acquire()
    except Timeout:
        running = running_service(home)
        where = f" at {running.prefect_ui_url} (pid {running.pid})" if running else ""
        raise SettingsError(
            f"{home}: a service already runs on this home{where}: stop it, or give another --home"
        ) from None
    return held


def _require_free(host: str, port: int, option: str) -> int:
    """Return the port, or a free one where 0 was asked for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(f"port {port} of {host} cannot be used: {error.strerror}") from None
            free = f"{option} {port + 1}"
            raise SettingsError(f"port {port} of {host} is taken: give a free one, for example {free}") from None
        return int(probe.getsockname()[1])


def _web_port(settings: Settings, wanted: int | None) -> int:
    """Return the port of the pages: a free one where nobody named one and the usual one is taken."""
    web = settings.web
    if wanted is None and "port" not in web.model_fields_set:
        try:
            return _require_free(web.host, web.port, "--web-port")
        except SettingsError:
            return _require_free(web.host, 0, "--web-port")
    return _require_free(web.host, wanted or web.port, "--web-port")


def _service(settings: Settings, port: int, web_port: int) -> RunningService:
    api_url = settings.prefect.api_url or f"http://{ADDRESS}:{port}/api"
    web_url = pages_address(settings, settings.web.host, web_port)
    shown, web = (without_credentials(api_url), prefect_pages(api_url), web_url), settings.web.model_dump(mode="json")
    return RunningService(os.getpid(), own_start(), HOST, *shown, web)


def _processes(
    opened: Home, settings: Settings, api_url: str, web_port: int, directories: tuple[Path, ...]
) -> list[supervisor.SupervisedProcess]:
    home = settings.home
    # The server uses a thread for each connection; with an arena for each thread, glibc's memory never comes back.
    allocator = {"MALLOC_ARENA_MAX": "2"}
    prefect = {**prefect_environment(home, api_url), **password_environment(home, api_url)}
    environment = {**allocator, **os.environ, **prefect, **_home_variables(opened)}
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    # Those of the configuration are read from it, again when it is edited; and where a link leads may change.
    watched = [word for directory in directories for word in ("--watch", str(directory))]
    commands = {
        "serve": ["flows.cli.main", "serve"],
        "watch": ["flows.cli.main", "watch", *watched],
        "web": ["flows.cli.main", "web", "--port", str(web_port)],
    }
    if settings.prefect.api_url is None:
        port = api_url.removesuffix("/api").rpartition(":")[2]
        factory = ["uvicorn", "--factory", "flows.prefect_server.application:create_app", "--log-level", "warning"]
        commands = {"server": [*factory, "--host", ADDRESS, "--port", port], **commands}
    return [
        supervisor.SupervisedProcess(name, [sys.executable, "-m", *words], environment, logs / f"{name}.log")
        for name, words in commands.items()
    ]


def _home_variables(home: Home) -> dict[str, str]:
    """Return what tells other processes which home they work for, and by what they know it."""
    return {"CCDWATCH_HOME": str(home.path), MARK_VARIABLE: home.mark or ""}


def _supervise(
    home: Home, service: RunningService, running: list[supervisor.SupervisedProcess], *, stop: Event, say: Say
) -> None:
    began = time.monotonic()
    is_ready = False
    away_at: float | None = None
    api_url = home.settings.prefect.api_url or service.prefect_api_url
    with PrefectApi(api_url, password=password_of(home.path, api_url), timeout_seconds=2) as api:
        watcher, server, start = WatcherVigil(home.path), ServerVigil(api), StartVigil(api)
        while not stop.wait(0.2):
            if not home.is_there:  # nothing is started, or written, in the place of its disk
                if away_at is None:
                    say(words_of_away(home.path))
                away_at = time.monotonic()
                server.begin_again()
                continue
            if away_at is not None and time.monotonic() - away_at > HUNG_SECONDS:
                away_at = None
            may_wait = not is_ready and time.monotonic() - began < PAGES_WAIT_SECONDS
            for one in running:
                if one.name == "web" and one.process is None and may_wait:
                    continue
                if away_at is None:
                    _end_idle(one, watcher, server if start.has_answered else None, say)
                one.keep_alive(say)
            if not is_ready and start.is_over() and write_service(home.path, service):
                is_ready = True
                took = f"{time.monotonic() - began:.1f} s"
                say(f"ready after {took}; Prefect UI at {service.prefect_ui_url}; pages at {service.web_url}")
                if home.settings.prefect.api_url is None and prefect_secret() is None:
                    say(f"the Prefect UI asks once for its password: it is in {password_file(home.path)}")


def _end_idle(
    process: supervisor.SupervisedProcess, watcher: WatcherVigil, server: ServerVigil | None, say: Say
) -> None:
    """End a process that runs but does not work, so that it is started again."""
    if process.name == "watch" and process.runs_for > HUNG_SECONDS and watcher.is_silent():
        process.kill(say, f"has said nothing for {HUNG_SECONDS:g} s")
    if process.name == "server" and server is not None and server.is_broken():
        process.kill(say, "does not answer, or only with errors,")
        server.begin_again()
