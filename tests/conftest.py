"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import postgresql

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# A machine may be busy; how long an example takes says nothing of whether it is right.
settings.register_profile("ccdwatch", deadline=None)
settings.load_profile("ccdwatch")


def skip_or_fail(what: str, reason: str) -> None:
    """Skip a test that this machine cannot run; fail where ``CCDWATCH_REQUIRE`` says that it must."""
    if what in os.environ.get("CCDWATCH_REQUIRE", "").split(","):
        pytest.fail(f"{reason}, and CCDWATCH_REQUIRE asks for it")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real frames kept beside the checkout, where there are any."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no real frames beside this checkout (../shared/data)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The address of an empty PostgreSQL database: that of ``CCDWATCH_TEST_POSTGRESQL``, else a server of our own."""
    if url := os.environ.get("CCDWATCH_TEST_POSTGRESQL"):
        yield url
        return
    binaries = postgresql.programs()
    if binaries is None:
        skip_or_fail("postgresql", "no PostgreSQL server on this machine: install Debian's package postgresql")
        return
    with postgresql.running_server(binaries) as url:
        yield url
