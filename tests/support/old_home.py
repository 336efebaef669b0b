"""A home that the version before made, with its frames, its masters and its rows, to be opened by today's.

`home_0008.zip` was made with the code of commit 30afd87 (schema 0008, recipes of version 4) on simulated frames of one
night, 4 biases, 4 flats and 3 darks each of -20 and -16 °C, by ``ccdwatch process``, and packed by ``python -m
tests.support.old_home TOP FILE``, where ``TOP`` holds ``home`` (on SQLite) and ``raw``.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import Boolean, Connection, MetaData, text

from db.engine import _alembic_config, make_engine
from flows.home.processes import HOST

ARCHIVE = Path(__file__).with_name("home_0008.zip")
REVISION = "0008"
_TOP, _HOST, _ROWS = "@TOP@", "@HOST@", "rows.json"
_KEPT = ("raw/*", "home/masters/**/*.fits", "home/reference/**/*.fits", "home/.home")


def unpack(top: Path, url: str | None = None) -> Path:
    """Put the old home and its frames below ``top``, its record into the database at ``url``; return the home.

    Without an address the record is the file ``ccdwatch.db`` of the home.
    """
    with zipfile.ZipFile(ARCHIVE) as archive:
        rows = json.loads(archive.read(_ROWS).decode().replace(_TOP, str(top)).replace(_HOST, HOST))
        archive.extractall(top, [name for name in archive.namelist() if name != _ROWS])
    home = top / "home"
    if url is not None:
        (home / "ccdwatch.toml").write_text(f'[database]\nurl = "{url}"\n')
    for row in rows["file"]:
        status = (Path(row["root"]) / row["relative_path"]).stat()
        row |= {"inode": status.st_ino, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}
    engine = make_engine(url or f"sqlite:///{home}/ccdwatch.db")
    with engine.begin() as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)
        _insert(connection, rows)
    engine.dispose()
    return home


def _insert(connection: Connection, rows: dict[str, list[dict[str, Any]]]) -> None:
    tables = MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        for row in rows.get(table.name, ()):
            values = {
                name: bool(value) if isinstance(table.c[name].type, Boolean) and value is not None else value
                for name, value in row.items()
            }
            columns, places = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
            connection.execute(text(f'INSERT INTO "{table.name}" ({columns}) VALUES ({places})'), values)
        if connection.dialect.name == "postgresql" and rows.get(table.name) and "id" in table.c:
            sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
            connection.execute(text(f'SELECT setval({sequence}, (SELECT max(id) FROM "{table.name}"))'))


def pack(top: Path, target: Path) -> None:
    """Pack the home and the frames below ``top``."""
    with closing(sqlite3.connect(top / "home" / "ccdwatch.db")) as database:
        database.row_factory = sqlite3.Row
        listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        names = [name for (name,) in listed if name not in {"alembic_version", "sqlite_sequence"}]
        rows = {name: [dict(row) for row in database.execute(f'SELECT * FROM "{name}"')] for name in names}
    said = json.dumps(rows, indent=1).replace(str(top), _TOP).replace(f'"{HOST}"', f'"{_HOST}"')
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(_ROWS, said)
        for path in sorted({path for pattern in _KEPT for path in top.glob(pattern)}):
            archive.write(path, os.fspath(path.relative_to(top)))


if __name__ == "__main__":
    pack(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))
