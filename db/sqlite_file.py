"""The file of an SQLite database: it is never made by accident, and one that was put in its place is noticed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError


def hold_to_file(engine: Engine, *, make: bool) -> None:
    """Let an engine's connections be to the file that has the name of its database.

    Only the first connection may make it. Where the disk goes away that it is on, nothing is made in its place;
    where the disk comes back or a copy is restored, connections to what was there before are given up.

    Parameters
    ----------
    make : bool
        Whether the first connection may make the file.
    """
    path = Path(engine.url.database or "").absolute()
    may_make = [make]

    def connect(_dialect: Any, _record: Any, words: list[Any], options: dict[str, Any]) -> None:
        mode = "rwc" if may_make.pop() else "rw"
        may_make.append(False)
        words[0] = f"file:{quote(os.fsencode(path))}?mode={mode}"
        options["uri"] = True

    def connected(_connection: sqlite3.Connection, record: Any) -> None:
        record.info["file"] = _identity(path)

    def taken(_connection: sqlite3.Connection, record: Any, _proxy: Any) -> None:
        if record.info.get("file") != _identity(path):
            raise DisconnectionError(f"{path} is another file by now")

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", connected)
    event.listen(engine, "checkout", taken)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
