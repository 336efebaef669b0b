"""Names of runs and tags, and where each output lies in the home."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

_IN_A_HOME = ("ccdwatch.toml", "ccdwatch.db")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


def slug(text: str) -> str:
    """Return ``text`` as part of a file name: at most 48 of ``[A-Za-z0-9._+-]``, never hidden, never empty."""
    return _UNSAFE.sub("-", text).strip("-.")[:48] or "unknown"


def _unique_slug(text: str) -> str:
    """Return a `slug` that no other text has: marked by a hash where it is not the text itself."""
    plain = slug(text)
    return plain if plain == text else _marked(plain, text)


def _marked(plain: str, text: str) -> str:
    mark = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:4]
    return f"{plain[:43]}-{mark}"


@dataclass(frozen=True, slots=True)
class MasterName:
    """What the name of a master tells: its exposure (s) if it is a dark; its temperature (°C), of several."""

    kind: str
    configuration: str
    filter: str | None = None
    exposure_s: float | None = None
    temperature_c: float | None = None

    @property
    def words(self) -> list[str]:
        """Parts of the name of its file."""
        words = [self.kind, _unique_slug(self.configuration)]
        words += [_unique_slug(self.filter)] if self.filter else []
        words += [f"{self.exposure_s:.4g}s"] if self.kind == "dark" and self.exposure_s is not None else []
        return words + ([f"{self.temperature_c:g}C"] if self.temperature_c is not None else [])


def master_path(name: MasterName, *, instrument: str, night: date, run_id: int) -> Path:
    """Path of a master below the home; the run's id makes it unique."""
    return master_folder(instrument, night) / f"{'_'.join([*name.words, f'r{run_id}'])}.fits"


def instrument_folder(instrument: str) -> str:
    """Return the name of folders of an instrument."""
    return _unique_slug(instrument)


def master_folder(instrument: str, night: date) -> Path:
    """Folder below the home of the masters of a night."""
    return Path("masters") / instrument_folder(instrument) / night.isoformat()


def calibrated_folder(instrument: str, night: date | None) -> Path:
    """Folder, below that of all, of the calibrated frames of a night; of those of unknown date there is one."""
    return Path(instrument_folder(instrument)) / (night.isoformat() if night else "undated")


_OF_RUN = re.compile(r"(?P<hidden>\.)?.+_r(?P<run>\d{1,9})(-\d+)?\.fits(?(hidden)\.[0-9a-f]{8}\.tmp)")
"""Names of masters, and of those that are being written (`ccdcore.io.write`)."""


_CALIBRATED = "_calibrated"
_BEING_CALIBRATED = re.compile(rf"\..+{_CALIBRATED}\.fits\.[0-9a-f]{{8}}\.tmp")


def calibrated_name(stem: str, sha256: str = "") -> str:
    """Return the name of a calibrated frame; with digits of the raw frame's SHA-256 where another has its name."""
    return f"{stem}{f'_{sha256[:8]}' if sha256 else ''}{_CALIBRATED}.fits"


def is_being_calibrated(name: str) -> bool:
    """Whether a name is that of a calibrated frame that is being written (`ccdcore.io.write`)."""
    return _BEING_CALIBRATED.fullmatch(name) is not None


def run_of_master(name: str) -> int | None:
    """Return the run that made a file of this name; None where it is no name of a master, complete or not."""
    match = _OF_RUN.fullmatch(name)
    return int(match["run"]) if match else None


def reference_path(name: MasterName, *, instrument: str) -> Path:
    """Path below the home of the current good master of its purpose."""
    return Path("reference") / instrument_folder(instrument) / f"{'_'.join(['master', *name.words])}.fits"


def report_path(instrument: str, month: date) -> Path:
    """Path below the home of the report of an instrument on a month."""
    return Path("reports") / f"{_unique_slug(instrument)}_{month:%Y-%m}.html"


def picture_path(*, run_id: int, name: str) -> Path:
    """Path below the home of one picture of a run; its name is that of no other: filters are called V-2 and V#2."""
    plain = slug(name)
    file = plain if plain.replace("-", " ") == name else _marked(plain, name)
    return Path("pictures") / f"r{run_id}" / f"{file}.png"


def home_above(path: Path) -> Path | None:
    """Return the home of a ccdwatch that a path is, or lies in; None where there is none."""
    return next((one for one in (path, *path.parents) if any((one / name).exists() for name in _IN_A_HOME)), None)
