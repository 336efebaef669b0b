"""What `doctor` looks at: configuration, folders, database, programs, port, amplifiers, limits of the system."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from packaging.requirements import Requirement
from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError as BrokenDatabaseError

from ccdcore.headers.comparable import partly_told
from ccdcore.headers.instrument import FrameType
from ccdcore.reduction.overscan import believed_overscans
from ccdcore.text import number_of
from db.engine import check, make_engine, session_factory
from db.errors import DatabaseError
from db.frames.listing import exposures
from db.frames.series import set_frames
from db.runs.sets import set_summaries
from flows.config.check import Evidence, misplaced, senseless
from flows.config.errors import CONFIG_NAME, SettingsError
from flows.config.settings import Settings, load_settings, prefect_secret
from flows.health.attention import in_short
from flows.health.condition import words_of_ages
from flows.health.judgement import judge
from flows.health.machines import lacks, unknown_flows
from flows.home.home import Home
from flows.home.identity import known
from flows.home.service_address import ADDRESS, running_service
from flows.prefect_server.password import LOOPBACK
from flows.registration.configuration_check import evidence_of
from flows.telling.receivers import shown

PORT = 4200
LATEST = 5000
"""Frames on record that are looked at for where their nights are cut."""
WATCH_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")
PROGRAMS = ("prefect", "fastapi")
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smbfs", "smb3", "afpfs", "afs", "ncpfs", "webdav", "davfs", "fuse.sshfs", "fuse.davfs2"}
    | {"ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "lustre", "gpfs", "beegfs", "fuse.s3fs", "fuse.rclone"}
)


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: of ``warn`` and ``FAIL`` the text ends with what to do."""

    level: Level
    text: str


def findings(home: Path) -> Iterator[Finding]:
    """Check the set-up of a home; nothing is changed or made."""
    yield _home(home)
    yield from _programs()
    try:
        settings = load_settings(home)
    except SettingsError as error:
        yield Finding(Level.FAIL, f"configuration {error}: correct the file")
        return
    path = home / CONFIG_NAME
    none = f"configuration: no {path}, so the defaults hold"
    yield Finding(Level.OK, f"configuration {path}" if path.exists() else none)
    yield from _directories(settings)
    yield from _database(settings)
    yield _port(settings)
    yield from _watches(settings)
    yield from _receivers(settings)


def _home(home: Path) -> Finding:
    try:
        nearest = next(path for path in (home, *home.parents) if path.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        return Finding(Level.FAIL, f"home {home}: cannot be written ({error.strerror}): give another one with --home")
    if nearest != home:
        return Finding(Level.OK, f"home {home}: not there yet, will be made")
    return Finding(Level.OK, f"home {home}: can be written")


def _programs() -> Iterator[Finding]:
    """Compare what is installed with what the package asks for; nothing is imported for it."""
    wanted = {one.name: one for one in map(Requirement, requires("ccdwatch") or ())}
    for name in PROGRAMS:
        fit = wanted[name].specifier
        try:
            installed = version(name)
            is_fit = installed in fit
        except PackageNotFoundError:
            installed, is_fit = "missing", False
        problem = f"{name} {installed}, but it must be {fit}: pip install '{name}{fit}'"
        yield Finding(Level.OK, f"{name} {installed}") if is_fit else Finding(Level.FAIL, problem)


def _directories(settings: Settings) -> Iterator[Finding]:
    directories = settings.watch.directories
    if not directories:
        yield Finding(
            Level.WARN, f"watched folders: none in the configuration: ccdwatch up --home {settings.home} --watch DIR"
        )
    for directory in directories:
        if directory == settings.home.resolve():
            todo = "watch a folder in or beside it, or give another --home"
            yield Finding(Level.FAIL, f"watched folder {directory}: is the home, where no frame is looked for: {todo}")
        elif not directory.is_dir():
            where = settings.home / CONFIG_NAME
            yield Finding(Level.FAIL, f"watched folder {directory}: not there: make it, or correct {where}")
        elif not os.access(directory, os.R_OK | os.X_OK):
            yield Finding(Level.FAIL, f"watched folder {directory}: cannot be read: chmod o+rx {directory}")
        else:
            yield Finding(Level.OK, f"watched folder {directory}")


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url.startswith("sqlite:///"):
        path = Path(settings.database_url.removeprefix("sqlite:///"))
        yield from _file_system(path)
        if not path.exists():
            yield Finding(Level.OK, f"database {path}: not there yet, will be made")
            yield from _senseless(settings, Evidence())
            return
    try:
        engine = make_engine(settings.database_url, make=False)
    except DatabaseError as error:
        yield Finding(Level.FAIL, f"database {error}")
        return
    try:
        yield from _record(engine, settings)
    finally:
        engine.dispose()


def _file_system(path: Path) -> Iterator[Finding]:
    """Tell where SQLite's locks and its shared memory do not work."""
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    folders = (path.resolve(), *path.resolve().parents)
    kind = next((mounts[folder] for folder in folders if folder in mounts), "")
    if kind.lower() in NETWORK_FILE_SYSTEMS:
        text = f"database {path}: SQLite on a network file system ({kind}) loses data"
        yield Finding(Level.FAIL, f"{text}: give --home a local disk, or [database] url a PostgreSQL server")


def _record(engine: Engine, settings: Settings) -> Iterator[Finding]:
    shown = engine.url.render_as_string()
    try:
        problems = check(engine)
        if problems:
            yield from (Finding(Level.FAIL, f"database {shown}: {problem}") for problem in problems)
            return
        yield Finding(Level.OK, f"database {shown}: schema up to date, integrity ok")
        try:
            known(settings, engine)
        except SettingsError as error:
            yield Finding(Level.FAIL, f"home {error}")
        with session_factory(engine, read_only=True)() as session:
            evidence = evidence_of(session, settings)
        yield from _senseless(settings, evidence)
        yield from _overscans(engine, settings)
        yield from _nights(engine, settings)
        yield from _service(Home(settings, engine))
        yield from _taking_part(Home(settings, engine))
    except BrokenDatabaseError as error:
        yield Finding(Level.FAIL, f"database {shown}: is damaged ({error.orig}): restore a backup")


def _senseless(settings: Settings, evidence: Evidence) -> Iterator[Finding]:
    yield from (Finding(Level.FAIL, f"configuration {one.line}") for one in misplaced(settings, evidence))
    yield from (Finding(Level.WARN, f"configuration {one.line}") for one in senseless(settings, evidence))


def _service(home: Home) -> Iterator[Finding]:
    """Tell whether the service does its work, and what needs attention; nothing, where none runs and nothing does."""
    judged = judge(home)
    for finding in judged.findings:
        yield Finding(Level.FAIL, f"service: {finding}: see {home.path}/logs")
    if judged.is_working and (ages := words_of_ages(judged.ages_s)):
        yield Finding(Level.OK, f"service: {ages}")
    for words in in_short(judged.attention):
        yield Finding(Level.WARN, f"look at {words}: ccdwatch status")


def _taking_part(home: Home) -> Iterator[Finding]:
    """Tell what this machine lacks where several may work on the home: doctor is for each of them."""
    if home.settings.database_path is not None and home.settings.prefect.api_url is None:
        return
    found = [Finding(Level.FAIL, words) for words in lacks(home)]
    found += [Finding(Level.WARN, words) for words in unknown_flows(home)]
    yield from found or [Finding(Level.OK, "this machine sees what it needs to take part in the work on this home")]


def _overscans(engine: Engine, settings: Settings) -> Iterator[Finding]:
    """Tell which overscan sections see light, by the latest set of each camera that has flats and unlit frames.

    Tell too where its serial number stands on some of them only.
    """
    unlit = {FrameType.BIAS, FrameType.DARK}
    with session_factory(engine, read_only=True)() as session:
        latest = {
            (one.instrument, one.configuration): one
            for one in set_summaries(session, host=settings.host)
            if FrameType.FLAT in one.counts and unlit & one.counts.keys()
        }
        for one in latest.values():
            frames = set_frames(session, one.id, host=settings.host)
            if partly := partly_told(frame.info for frame in frames):
                todo = "if they are not, tell them apart by match or configuration of an [[instrument]]"
                yield Finding(Level.WARN, f"{one.instrument} {one.window_first_night}: {partly}: {todo}")
            _, reasons = believed_overscans(frames)
            for reason in reasons:
                todo = "name the right section as amplifiers of its entry"
                yield Finding(Level.WARN, f"{one.instrument} {one.window_first_night}: {reason}: {todo}")


def _nights(engine: Engine, settings: Settings) -> Iterator[Finding]:
    """Tell of which cameras nights are cut amid the frames."""
    with session_factory(engine, read_only=True)() as session:
        latest = exposures(session, at_most=LATEST)
    yield from (Finding(Level.WARN, doubt) for doubt in settings.nights.doubts(latest))


def _port(settings: Settings) -> Finding:
    running = running_service(settings.home)
    if running is not None:
        return Finding(Level.OK, f"a service runs on this home: {running.prefect_ui_url}")
    if settings.prefect.api_url is not None:
        return _own_server(settings.prefect.api_url)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, PORT))
        except OSError:
            return Finding(
                Level.WARN,
                f"port {PORT}: taken by another program: ccdwatch up --home {settings.home} --port {PORT + 1}",
            )
    return Finding(Level.OK, f"port {PORT}: free")


def _own_server(api_url: str) -> Finding:
    """Tell where other machines reach a Prefect server, and so might start and cancel runs."""
    if urlsplit(api_url).hostname in LOOPBACK or prefect_secret() is not None:
        return Finding(Level.OK, f"Prefect server of your own: {api_url}")
    where = "set PREFECT_SERVER_API_AUTH_STRING for the server and PREFECT_API_AUTH_STRING here"
    return Finding(Level.WARN, f"Prefect server of your own: {api_url} is open to other machines: {where}")


def _watches(settings: Settings) -> Iterator[Finding]:
    if settings.watch.polling or not WATCH_LIMIT.exists():
        return
    limit = int(WATCH_LIMIT.read_text())
    n = sum(1 for directory in settings.watch.directories for _ in os.walk(directory))
    if n > limit:
        more = f"sudo sysctl fs.inotify.max_user_watches={2 * n}, or [watch] polling = true"
        yield Finding(Level.FAIL, f"{n} folders to watch, but the system's limit is {limit}: {more}")
    else:
        yield Finding(Level.OK, f"{number_of(n, 'folder')} to watch, of {limit} that the system allows")


def _receivers(settings: Settings) -> Iterator[Finding]:
    """Tell which addresses of ``[notify] urls`` cannot be used; nothing is sent, and no password shown."""
    for number, url in enumerate(settings.notify.urls, start=1):
        if (address := shown(url)) is None:
            what = f"address {number} of [notify] urls, {url.partition('://')[0]}://…"
            todo = "write it as https://appriseit.com/services shows"
            yield Finding(Level.FAIL, f"{what}, is not understood by Apprise, so nobody is told: {todo}")
        else:
            yield Finding(Level.OK, f"told of trends: {address}")
