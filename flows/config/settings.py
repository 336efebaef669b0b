"""Settings: the only reader of the environment and of ``ccdwatch.toml``."""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from ccdcore.cards.longitude import doubtful_nights
from ccdcore.compression import FITS_SUFFIXES
from ccdcore.frames.nights import night_of
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import Instrument
from ccdcore.recipe import Recipes
from ccdcore.text import one_line
from flows.config.addresses import database_address, public_address, receiver_address, time_of_day, web_address
from flows.config.errors import CONFIG_NAME, SettingsError
from flows.config.instrument_settings import InstrumentSettings, _Strict
from flows.config.redaction import learn, redact, secrets_of_address
from flows.config.science_settings import ScienceSettings

Seconds = Annotated[float, Field(ge=0, le=86400 * 30)]


class WatchSettings(_Strict):
    """``[watch]``: where frames land, and when a file and a set are complete."""

    directories: tuple[Path, ...] = ()
    quiet_seconds: Seconds = Field(
        default=30, description="a file with no close event is complete when unchanged this long"
    )
    stable_seconds: Seconds = Field(default=2, description="any file must be unchanged this long")
    scan_seconds: float = Field(
        default=60, gt=0, le=86400, description="all is looked at this often, whatever events say"
    )
    settle_seconds: Seconds = Field(
        default=300, description="a set is calibrated when no frame joined it for this long"
    )
    include: tuple[str, ...] = Field(
        default=tuple(f"*{suffix}" for suffix in FITS_SUFFIXES), description="in any case, also compressed"
    )
    polling: bool = Field(default=False, description="true where events do not come (some network folders)")
    host: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="files are on record under this name; default: this machine's",
        examples=["observatory"],
    )


class NightSettings(_Strict):
    """``[nights]``: from local noon to local noon."""

    longitude_deg: Annotated[float, Field(ge=-360, le=360)] | None = Field(
        default=None, description="east is positive; default: the header's, else 0", examples=[-17.9]
    )
    window_nights: int = Field(default=1, ge=1, le=366, description="nights whose frames are calibrated together")
    reach_nights: int = Field(default=7, ge=0, le=366, description="how far away flats without biases may borrow some")

    def night_of(self, info: ExposureInfo) -> date | None:
        """Return the night of a frame by this longitude, else its header's, else 0; None for an unknown time."""
        if info.date_obs is None:
            return None
        try:
            return night_of(info.date_obs, self._longitude_of(info.longitude_deg))
        except OverflowError:  # a header may say the year 1
            return None

    def doubts(self, exposures: Iterable[tuple[str, datetime | None, float | None]]) -> list[str]:
        """Say of which cameras nights are cut amid the frames, as of `ccdcore.cards.longitude.doubtful_nights`.

        Parameters
        ----------
        exposures : iterable of tuple
            Instrument, time, and the header's longitude, of each frame.
        """
        times: dict[tuple[str, float], list[datetime]] = {}
        for instrument, when, longitude_deg in exposures:
            if when is not None:
                times.setdefault((instrument, self._longitude_of(longitude_deg)), []).append(when)
        found = [(key[0], doubtful_nights(some, key[1])) for key, some in sorted(times.items())]
        return [f"{instrument}: {words}" for instrument, words in found if words]

    def _longitude_of(self, header_deg: float | None) -> float:
        return next((one for one in (self.longitude_deg, header_deg) if one is not None), 0.0)


class DatabaseSettings(_Strict):
    """``[database]``: where the record is."""

    url: Annotated[str, AfterValidator(database_address)] = Field(
        default="sqlite:///ccdwatch.db", description="a SQLAlchemy address; PostgreSQL for several machines"
    )


class PrefectSettings(_Strict):
    """``[prefect]``: a Prefect server of one's own instead of the one that ``up`` starts, and where steps run."""

    api_url: Annotated[str, AfterValidator(web_address)] | None = Field(
        default=None,
        description="a server of your own; default: ccdwatch up starts one",
        examples=["http://127.0.0.1:4200/api"],
    )
    task_runner: Literal["threads", "dask"] = Field(default="threads", description="where the steps of a run are done")
    dask_address: str | None = Field(
        default=None,
        description="of its scheduler; default: a cluster on this machine for each run",
        examples=["tcp://127.0.0.1:8786"],
    )


class WebSettings(_Strict):
    """``[web]``: where the pages are, and the address that links to them begin with."""

    host: str = Field(default="127.0.0.1", description='"0.0.0.0" shows the pages to other machines')
    port: int = Field(default=4300, ge=1, le=65535)
    public_url: Annotated[str, AfterValidator(public_address)] | None = Field(
        default=None, description="what links begin with; default: host and port", examples=["https://ccd.example.org"]
    )
    allow_edits: bool = Field(
        default=False, description="true lets editors mark and note on the pages: ccdwatch web passwd NAME"
    )
    editors_file: str = Field(default="editors", min_length=1, description="who they are; relative to the home")


class NotifySettings(_Strict):
    """``[notify]``: who is told when a trend changes or leaves its limits, a run fails, or frames are missing."""

    urls: tuple[Annotated[str, AfterValidator(receiver_address)], ...] = Field(
        default=(),
        description="as Apprise writes addresses; default: nobody",
        examples=[["mailto://user:password@example.org"]],
    )
    nightly: Annotated[str, AfterValidator(time_of_day)] | None = Field(
        default=None,
        description="when a summary of the night is sent, by this machine's clock; default: never",
        examples=["08:00"],
    )


class Settings(_Strict):
    """Everything that ``ccdwatch.toml`` may say, and the home it belongs to."""

    home: Path
    watch: WatchSettings = WatchSettings()
    nights: NightSettings = NightSettings()
    recipes: Recipes = Recipes()
    database: DatabaseSettings = DatabaseSettings()
    prefect: PrefectSettings = PrefectSettings()
    web: WebSettings = WebSettings()
    notify: NotifySettings = NotifySettings()
    science: ScienceSettings = ScienceSettings()
    instrument: tuple[InstrumentSettings, ...] = ()

    @property
    def host(self) -> str:
        """The name that files are on record under; machines that see them under the same paths share it."""
        return self.watch.host or socket.gethostname()

    @property
    def calibrated(self) -> Path:
        """The folder of calibrated frames."""
        return self.home / (self.science.output or Path("calibrated")).expanduser()

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL; a relative SQLite path is relative to the home."""
        prefix = "sqlite:///"
        url = self.database.url
        if url.startswith(prefix) and not url.startswith(prefix + "/") and url != prefix:
            return f"{prefix}{self.home / url[len(prefix) :]}"
        return url

    @property
    def database_path(self) -> Path | None:
        """The file of an SQLite database; None for another kind."""
        url = self.database_url
        return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None

    @cached_property
    def instruments(self) -> tuple[Instrument, ...]:
        """The instrument entries, in the order of the file."""
        return tuple(entry.to_instrument() for entry in self.instrument)


def find_home(home: str | None) -> Path:
    """Return the home: the option, else ``CCDWATCH_HOME``, else ``~/ccdwatch``."""
    return Path(home or os.environ.get("CCDWATCH_HOME") or "~/ccdwatch").expanduser().absolute()


def _learn_secrets(content: Mapping[str, Any]) -> None:
    """Have hidden, in all that is said from now on, what is secret in a configuration and in the environment."""
    for section, value in content.items():
        for address in _texts(value):
            learn(secrets_of_address(address, is_token=section == "notify"))
        learn(_told_by_key(section, value))
    given = [secret for name in _SECRET_NAMES if (secret := os.environ.get(name))]
    learn([*given, *(secret.partition(":")[2] for secret in given if ":" in secret)])
    for name in ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        learn(secrets_of_address(os.environ.get(name, "")))


_PREFECT_SECRETS = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")
_SECRET_NAMES = (*_PREFECT_SECRETS, "PREFECT_API_KEY", "PGPASSWORD")


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a part of a configuration, wherever it was put."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        if isinstance(value, dict):
            yield from (key for key in value if "://" in key)
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _told_by_key(key: str, value: object) -> Iterator[str]:
    """Yield the texts below keys that tell that they are secret, as ``password``, wherever somebody put them."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _told_by_key(name, one)
    elif isinstance(value, str) and any(one in key.lower() for one in ("pass", "pwd", "secret", "token")):
        yield value


def prefect_secret() -> str | None:
    """Return what the environment gives as the password of Prefect, as its own clients send it; None without."""
    return next((secret for name in _PREFECT_SECRETS if (secret := os.environ.get(name))), None)


def prefect_api_url(settings: Settings) -> str:
    """Return the address of the Prefect API: the configured one, else the one that `up` hands to its parts.

    Raises
    ------
    SettingsError
        If neither is there.
    """
    url = settings.prefect.api_url or os.environ.get("PREFECT_API_URL")
    if url is None:
        raise SettingsError(f"{settings.home}: no Prefect server is known: set [prefect] api_url, or type ccdwatch up")
    return url


def load_settings(home: Path, *, watch: tuple[Path, ...] = ()) -> Settings:
    """Read ``HOME/ccdwatch.toml``, where there is one, and validate it.

    Parameters
    ----------
    home : Path
        The home directory; it need not exist yet.
    watch : tuple of Path
        Directories to watch, instead of those of the file.

    Raises
    ------
    SettingsError
        In one line that names the file, the key, what is allowed, and the value where it cannot be a secret.
    """
    path, content = home / CONFIG_NAME, _content(home)
    if "home" in content:
        raise SettingsError(f"{path}: unknown key home: {_HOME_KEY}")
    if watch:
        content["watch"] = {**content.get("watch", {}), "directories": [str(directory) for directory in watch]}
    try:
        settings = Settings(home=home, **content)
    except ValidationError as error:
        raise SettingsError(redact(one_line(f"{path}: {_first_problem(error)}"))) from None
    directories = tuple((home / d.expanduser()).resolve() for d in settings.watch.directories)
    return settings.model_copy(update={"watch": settings.watch.model_copy(update={"directories": directories})})


def unusable(home: Path) -> list[tuple[Location, str, str]]:
    """Return all that keeps a configuration from being used: where, what is wrong there, and what is allowed.

    Raises
    ------
    SettingsError
        If the file is no TOML.
    """
    content = _content(home)
    found: list[tuple[Location, str, str]] = []
    if content.pop("home", None) is not None:
        found.append((("home",), "unknown key", _HOME_KEY))
    try:
        Settings(home=home, **content)
    except ValidationError as error:
        for problem in error.errors():
            location = tuple(part for part in problem["loc"] if part != "[key]")
            what, allowed = (redact(one_line(words)) for words in _told(problem))
            found.append((location, what, allowed))
    return found


def _content(home: Path) -> dict[str, Any]:
    """Read the file of a configuration; what is secret in it is hidden from now on. Nothing where there is none."""
    path = home / CONFIG_NAME
    content: dict[str, Any] = {}
    if path.exists():
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: cannot be read as TOML: {error}") from None
    _learn_secrets(content)
    return content


Location = tuple[int | str, ...]
"""Where something stands in a configuration: keys, and numbers of the entries of a list, from 0."""
_HOME_KEY = "give it as --home or CCDWATCH_HOME"

_WORDS = {
    "model_type": "should be a table of keys",
    "dataclass_type": "should be a table of keys",
    "dict_type": "should be a table of keys",
    "tuple_type": "should be a list in brackets; an instrument begins with [[instrument]]",
    "string_pattern_mismatch": "should be 1 to 48 letters, digits and . _ + -",
}
"""What is allowed, where pydantic's words are about Python."""


def _first_problem(error: ValidationError) -> str:
    """Return the first problem pydantic found, as key, value where it may be shown, and what is allowed."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    what, allowed = _told(problem)
    if what == _UNKNOWN:
        return f"{what} {key}: {allowed}"
    return f"{key}{' ' if what else ''}{what}: {allowed}"


_UNKNOWN = "unknown key"


def _told(problem: ErrorDetails) -> tuple[str, str]:
    """Return what is wrong with a key, its value where that may be shown, and what is allowed."""
    if problem["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return _UNKNOWN, _allowed_keys(problem["loc"])
    if problem["type"] == "missing":
        return "is missing", "give it"
    allowed = _WORDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return (f"= {problem['input']!r}" if _may_be_shown(problem) else ""), allowed


def _may_be_shown(problem: ErrorDetails) -> bool:
    """Whether a value is no secret for sure: a number, or a text where texts of no secret are asked for.

    One in another place, as a password in place of a port's number, may be anything; so may a table.
    """
    if isinstance(problem["input"], str):
        is_misplaced = problem["type"].endswith(("_type", "_parsing"))
        return problem["loc"][0] in {"instrument", "recipes"} and not is_misplaced
    return isinstance(problem["input"], (int, float))


def _allowed_keys(location: tuple[int | str, ...]) -> str:
    """Return the keys that are allowed where an unknown one was met, for the message."""
    table: type = Settings
    for part in location[:-1]:
        annotation = get_type_hints(table).get(str(part))
        candidates = (annotation, *get_args(annotation))
        table = next((c for c in candidates if isinstance(c, type) and get_type_hints(c)), table)
    names = [name for name in get_type_hints(table) if name not in {"home", "model_config"}]
    near = get_close_matches(str(location[-1]), names, 1)
    return f"known keys here are {', '.join(names)}" + (f"; the nearest is {near[0]}" if near else "")
