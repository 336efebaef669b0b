"""Names of runs and tags, and where each output lies in the home."""

from __future__ import annotations

import hashlib
import re
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
    if plain == text:
        return plain
    mark = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:4]
    return f"{plain[:43]}-{mark}"


def master_path(
    *, instrument: str, night: date, kind: str, configuration: str, filter_name: str | None, run_id: int
) -> Path:
    """Path of a master below the home; the run's id makes it unique."""
    name = "_".join([*_product_words(kind, configuration, filter_name), f"r{run_id}"])
    return master_folder(instrument, night) / f"{name}.fits"


def master_folder(instrument: str, night: date) -> Path:
    """Folder below the home of the masters of a night."""
    return Path("masters") / _unique_slug(instrument) / night.isoformat()


_OF_RUN = re.compile(r"(?P<hidden>\.)?.+_r(?P<run>\d{1,9})(-\d+)?\.fits(?(hidden)\.[0-9a-f]{8}\.tmp)")
"""Names of masters, and of those that are being written (`ccdcore.io.write`)."""


def run_of_master(name: str) -> int | None:
    """Return the run that made a file of this name; None where it is no name of a master, complete or not."""
    match = _OF_RUN.fullmatch(name)
    return int(match["run"]) if match else None


def reference_path(*, instrument: str, kind: str, configuration: str, filter_name: str | None) -> Path:
    """Path below the home of the current good master of its kind."""
    name = "_".join(["master", *_product_words(kind, configuration, filter_name)])
    return Path("reference") / _unique_slug(instrument) / f"{name}.fits"


def picture_path(*, run_id: int, name: str) -> Path:
    """Path below the home of one picture of a run."""
    return Path("pictures") / f"r{run_id}" / f"{slug(name)}.png"


def _product_words(kind: str, configuration: str, filter_name: str | None) -> list[str]:
    words = [kind, _unique_slug(configuration)]
    if filter_name:
        words.append(_unique_slug(filter_name))
    return words


def home_above(path: Path) -> Path | None:
    """Return the home of a ccdwatch that a path is, or lies in; None where there is none."""
    return next((one for one in (path, *path.parents) if any((one / name).exists() for name in _IN_A_HOME)), None)
