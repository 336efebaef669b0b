"""Masters for PixInsight: their names, and what it would cut of them."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.exchange.wbpp import UnfitError, wbpp_bytes, wbpp_name
from tests.support.pixinsight import read_xisf

HEADER = fits.Header({"NAXIS1": 128, "NAXIS2": 64, "XBINNING": 2, "EXPTIME": 100.0, "FILTER": "H a", "GAIN": 100})
CREATED = datetime(2022, 9, 19, 20, tzinfo=UTC)
SHAPE = (64, 128)


def test_names() -> None:
    assert wbpp_name("bias", HEADER) == "masterBias_BIN-2_128x64_GAIN-100.xisf"
    assert wbpp_name("dark", HEADER) == "masterDark_BIN-2_128x64_EXPOSURE-100.00s_GAIN-100.xisf"
    assert wbpp_name("flat", HEADER) == "masterFlat_BIN-2_128x64_FILTER-H-a_GAIN-100.xisf"


def test_a_dark_has_the_bias_in_it_and_so_none_of_it_is_cut(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    dark, bias = rng.normal(0.5, 2.0, SHAPE), rng.normal(1000, 1.0, SHAPE)
    (path := tmp_path / "a.xisf").write_bytes(wbpp_bytes("dark", HEADER, dark, bias, created=CREATED))
    found = read_xisf(path)
    np.testing.assert_allclose(found.pixels * 65535, dark + bias, rtol=1e-6)
    assert "NAXIS1" not in found.cards
    with pytest.raises(UnfitError, match="of its pixels are outside of 0 to 65535"):
        wbpp_bytes("dark", HEADER, dark, None, created=CREATED)


def test_a_flat_is_kept_up_to_its_brightest_pixel(tmp_path: Path) -> None:
    flat = np.random.default_rng(1).uniform(0.5, 1.4, SHAPE)
    (path := tmp_path / "a.xisf").write_bytes(wbpp_bytes("flat", HEADER, flat, None, created=CREATED))
    pixels = read_xisf(path).pixels
    np.testing.assert_allclose(pixels / pixels.mean(), flat / flat.mean(), rtol=1e-6)


@pytest.mark.parametrize("odd", [-1.0, 70_000.0, np.nan])
def test_a_dead_or_hot_pixel_costs_no_master_and_many_do(odd: float) -> None:
    bias = np.full(SHAPE, 1000.0)
    bias[0, 0] = odd
    with pytest.raises(UnfitError):
        wbpp_bytes("bias", HEADER, bias[:40, :40], None, created=CREATED)
    wide = np.full((200, 200), 1000.0)
    wide[0, 0] = odd
    wbpp_bytes("bias", HEADER, wide, None, created=CREATED)
