"""The home of a service: its settings and its database, opened together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from ccdcore.recipe import VERSION
from db.engine import make_engine, require_schema, session_factory, upgrade
from db.errors import DatabaseError
from db.frames.entries import sync_instruments
from flows.config.errors import SettingsError
from flows.config.redaction import install
from flows.config.settings import Settings, find_home, load_settings
from flows.home import identity
from flows.home.processes import now


@dataclass(frozen=True)
class Home:
    """An open home.

    Parameters
    ----------
    settings : Settings
        What its ``ccdwatch.toml`` says.
    engine : Engine
        Its database.
    mark : str or None
        By which it is known to be the same; None where that does not matter.
    """

    settings: Settings
    engine: Engine
    mark: str | None = None

    @property
    def path(self) -> Path:
        """The directory."""
        return self.settings.home

    @property
    def is_there(self) -> bool:
        """Whether the directory is the one that was opened: its disk may go away, or another come in its place."""
        return self.mark is None or identity.mark_of(self.path) == self.mark

    def require_there(self) -> None:
        """Make sure that it is there, before anything is written.

        Raises
        ------
        HomeAwayError
            If it is not.
        """
        if not self.is_there:
            raise identity.HomeAwayError(identity.words_of_away(self.path))

    @cached_property
    def write_session(self) -> Callable[[], AbstractContextManager[Session]]:
        """Begins a session that writes: committed at its end, and rolled back where it raises."""
        return session_factory(self.engine).begin

    @cached_property
    def read_session(self) -> sessionmaker[Session]:
        """Begins a session that only reads, and so never waits for a writer."""
        return session_factory(self.engine, read_only=True)

    @cached_property
    def identified_with(self) -> str:
        """Digest of all that decides what a frame is and which set it belongs to."""
        rules = {
            "version": VERSION,
            "instruments": [entry.digest for entry in self.settings.instruments],
            "longitude_deg": self.settings.nights.longitude_deg,
            "window_nights": self.settings.nights.window_nights,
        }
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def open_home(path: Path, *, watch: tuple[Path, ...] = (), make: bool = True) -> Home:
    """Open a home for work: make what is missing, bring the schema up to date, record the instrument entries.

    Parameters
    ----------
    path : Path
        Its directory.
    watch : tuple of Path
        Directories to watch; empty for those of the configuration.
    make : bool
        Whether to begin a record where there is none, as only those may that put something on it: a mistyped home is
        not to become one.

    Raises
    ------
    SettingsError, DatabaseError
        If the configuration or the database cannot be used, or the database is not that of this home.
    """
    settings = load_settings(path, watch=watch)
    identity.require_the_same(path)
    _require_begun(settings, make=make)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be the home: {error.strerror}: give another one with --home") from None
    engine = make_engine(settings.database_url)
    try:
        identity.require_record(settings, engine)
        upgrade(engine)
        home = Home(settings, engine, identity.tie_to_database(settings, engine))
    except SettingsError:
        engine.dispose()
        raise
    with home.write_session() as session:
        sync_instruments(session, settings.instruments, now=now())
    return home


def read_home(path: Path) -> Home:
    """Open a home to ask questions only.

    Raises
    ------
    SettingsError, DatabaseError
        If there is no home, or its configuration or database cannot be used.
    """
    settings = load_settings(path)
    identity.require_the_same(path)
    _require_begun(settings, make=False)
    engine = make_engine(settings.database_url, make=False)
    try:
        require_schema(engine)
        return Home(settings, engine, identity.known(settings, engine))
    except (SettingsError, DatabaseError):
        engine.dispose()
        raise


def _require_begun(settings: Settings, *, make: bool) -> None:
    """Make sure that a home has a record, or may begin one."""
    if settings.database_path is None or settings.database_path.exists():
        return
    identity.require_record(settings, None)
    if not make:
        raise SettingsError(
            f"{settings.home}: nothing is on record here: type ccdwatch process DIR, or give another --home"
        )


def home_id(path: Path) -> str:
    """Return what runs are told apart by where several homes share a Prefect server: no path, and nothing to open."""
    return hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:12]


def is_of_home(path: Path, asked_for: object) -> bool:
    """Whether a run that names this home is for it: by its id, by its path as runs once did, or by nothing."""
    spellings = (path, path.resolve())
    return asked_for in {None, *map(home_id, spellings), *map(str, spellings)}


def own_home(asked_for: str | None) -> Home:
    """Open the home that this process works for, which its environment names, and no one who asks for a run.

    Parameters
    ----------
    asked_for : str or None
        The home that a run is for, as it was asked for: compared, never opened.

    Raises
    ------
    SettingsError
        If it is another one; nothing was opened or made then.
    """
    own = find_home(None)
    if not is_of_home(own, asked_for):
        todo = "start it with the CCDWATCH_HOME of those who ask, or give each home a Prefect server of its own"
        raise SettingsError(f"this run is for another home than {own}, which its runner or worker works for: {todo}")
    return cached_home(str(own))


@lru_cache(maxsize=1)
def cached_home(path: str) -> Home:
    """Open a home once a process: for the tasks of a flow, which know it by its path."""
    install()
    return open_home(Path(path))
