"""The databases that goals are measured on: SQLite always, PostgreSQL where there is a server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from db.engine import make_engine
from tests.support import postgresql


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Give the addresses of empty databases by kind."""
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        addresses = {"SQLite": f"sqlite:///{directory}/ccdwatch.db"}
        if url := os.environ.get("CCDWATCH_TEST_POSTGRESQL"):
            yield {**addresses, "PostgreSQL": url}
            empty(url)
        elif binaries := postgresql.programs():
            with postgresql.running_server(binaries) as url:
                yield {**addresses, "PostgreSQL": url}
        else:
            yield addresses


def empty(url: str) -> None:
    """Take everything out of a database."""
    if url.startswith("sqlite:///"):
        for path in Path(url.removeprefix("sqlite:///")).parent.glob("ccdwatch.db*"):
            path.unlink()
        return
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
