"""Images in PixInsight's format, read by its specification."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.exchange.xisf import xisf_bytes
from tests.support.pixinsight import read_xisf

CREATED = datetime(2022, 9, 19, 20, tzinfo=UTC)


@pytest.mark.parametrize("n_cards", [0, 3, 500])
def test_pixels_and_cards_come_back(tmp_path: Path, n_cards: int) -> None:
    image = np.random.default_rng(1).uniform(0, 65535, (7, 12)).astype(">f4")
    cards = [(f"KEY{number}", f"it's <{number}> & more", "why") for number in range(n_cards)]
    cards = [*cards, ("EXPTIME", 100.0, "s"), ("GAIN", 100, ""), ("COMBINED", True, "")]  # type: ignore[list-item]
    content = xisf_bytes(image, image_type="MasterDark", upper=65535.0, created=CREATED, cards=cards)
    (path := tmp_path / "a.xisf").write_bytes(content)
    found = read_xisf(path)
    np.testing.assert_allclose(found.pixels * 65535, image, rtol=1e-6)
    assert found.about["imageType"] == "MasterDark"
    assert found.about["colorSpace"] == "Gray"
    assert found.properties == {"XISF:CreationTime", "XISF:CreatorApplication"}
    assert found.cards["EXPTIME"] == "100.0"
    assert found.cards["GAIN"] == "100"
    assert found.cards["COMBINED"] == "T"
    assert len(found.cards) == n_cards + 3
    if n_cards:
        assert found.cards["KEY2"] == "'it''s <2> & more'"
    assert content == xisf_bytes(image, image_type="MasterDark", upper=65535.0, created=CREATED, cards=cards)


@given(st.integers(0, 6000))
def test_the_header_ends_before_the_pixels_begin(length: int) -> None:
    image = np.ones((2, 3), np.float32)
    content = xisf_bytes(image, image_type="MasterFlat", upper=2.0, created=CREATED, cards=[("A", "x" * length, "")])
    assert content.endswith(image.tobytes())
    assert len(content) % 4096 == image.nbytes
    assert 16 + int.from_bytes(content[8:12], "little") <= len(content) - image.nbytes
