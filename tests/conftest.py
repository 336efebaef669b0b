"""Fixtures that every test may use."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real frames kept beside the checkout, where there are any."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no real frames beside this checkout (../shared/data)")
    return SHARED_DATA
