"""A home of the version before is opened by this one: nothing of it changes, what is stale is told and made anew."""

import gc
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from db.engine import HEAD, words_of_error
from db.schema.models import Judgement
from flows.home.home import open_home
from tests.support.command import ccdwatch
from tests.support.old_home import REVISION, unpack

# The engine of a command ends with its process, which is here that of the tests.
pytestmark = pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")


@pytest.fixture
def old(tmp_path: Path, database_url: str) -> Iterator[Path]:
    """The old home, its record in a database of each kind."""
    yield unpack(tmp_path / "old", None if database_url.startswith("sqlite") else database_url)
    gc.collect()


def ask(home: Path, *words: str) -> Any:
    said = ccdwatch(*words, "--home", home, "--format", "json")
    assert said.status == 0, said.err
    return said.json()


def files(home: Path) -> dict[str, str]:
    masters = sorted((home / "masters").rglob("*.fits"))
    return {path.relative_to(home).as_posix(): sha256(path.read_bytes()).hexdigest() for path in masters}


def test_a_home_of_the_version_before_migrates_and_is_made_anew(old: Path) -> None:
    before = files(old)
    said = ccdwatch("masters", "--home", old)
    assert said.status == 2
    assert f"the schema is at revision {REVISION}, not at" in said.err
    assert "type ccdwatch db upgrade" in said.err
    said = ccdwatch("db", "upgrade", "--home", old)
    assert said.status == 0, said.err

    # Nothing of it has changed, and disk and record agree.
    assert files(old) == before
    masters = ask(old, "masters")
    assert {(row["kind"], row["n_combined"]) for row in masters} == {("bias", 4), ("darkrate", 6), ("flat", 4)}
    assert {row["path"]: row["sha256"] for row in masters}.items() < {
        str(old / k): v for k, v in before.items()
    }.items()
    assert ccdwatch("audit", "--home", old).status == 0, ccdwatch("audit", "--home", old).text
    assert ccdwatch("db", "check", "--home", old).status == 0
    values = {(row["quantity"], row["id"]): row["value"] for row in ask(old, "trends")}
    assert values

    # What is stale is told, and why.
    status = ccdwatch("status", "--home", old)
    assert "stale: 1 set of 2022-09-19 to 2022-09-19, the recipe changed since: ccdwatch backfill makes" in status.text
    assert "stale: 14 frames, identified by other rules than those in force" in status.text

    # It is made anew, beside what was there.
    said = ccdwatch("backfill", "--home", old)
    assert said.status == 0, said.err
    after = files(old)
    assert before.items() < after.items()
    new = ask(old, "masters")
    assert {row["path"] for row in new}.isdisjoint(row["path"] for row in masters)
    darks = sorted((row["group_c"], row["exposure_s"]) for row in new if row["kind"] == "dark")
    assert darks == [(-20.0, 60.0), (-16.0, 60.0)]
    kept = {(row["quantity"], row["id"]): row["value"] for row in ask(old, "trends", "--superseded")}
    assert values.items() < kept.items()
    assert "stale" not in ccdwatch("status", "--home", old).text
    assert ccdwatch("audit", "--home", old).status == 0, ccdwatch("audit", "--home", old).text
    _references_are_of_today(old, {row["sha256"] for row in new})


def test_an_older_copy_restored_under_a_service_says_what_to_type(tmp_path: Path) -> None:
    path = unpack(tmp_path / "old")
    copy = (path / "ccdwatch.db").read_bytes()
    home = open_home(path)
    for one in path.glob("ccdwatch.db*"):
        one.unlink()
    (path / "ccdwatch.db").write_bytes(copy)
    with home.read_session() as session, pytest.raises(OperationalError, match="no such table") as caught:
        session.execute(select(Judgement))
    said = words_of_error(home.engine, caught.value)
    assert said == f"the schema is at revision {REVISION}, not at {HEAD}: type ccdwatch db upgrade"
    assert ccdwatch("db", "upgrade", "--home", path).status == 0
    with home.read_session() as session:
        assert session.execute(select(Judgement)).all() == []
    assert words_of_error(home.engine, caught.value) == "no such table: judgement"
    home.engine.dispose()


def _references_are_of_today(home: Path, known: set[str]) -> None:
    """No name of the older version leads to an older master; a dark is in adu, a rate in adu/s."""
    for path in (home / "reference").rglob("*.fits"):
        assert sha256(path.read_bytes()).hexdigest() in known, path
        unit = fits.getheader(path).get("BUNIT", "")
        assert (unit == "adu/s") == ("darkrate" in path.name), f"{path}: {unit}"
