"""How a raw frame looks on its page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.figures import images
from web.files import frame_looks


@pytest.mark.parametrize(("n_pixels", "is_mixed"), [(120, False), (60, True), (110, True), (0, True)])
def test_values_of_several_amplifiers_or_overscan_are_not_taken_for_one_kind(
    n_pixels: int, is_mixed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, said, draw = tmp_path / "bias.fits", [], images.histogram

    def drawn(*values: Any, **about: Any) -> Any:
        said.append(about["is_mixed"])
        return draw(*values, **about)

    monkeypatch.setattr(frame_looks, "histogram", drawn)
    fits.writeto(path, np.random.default_rng(1).normal(1000, 5, (10, 12)).astype(np.uint16))
    assert frame_looks.look_at(path, path.open("rb"), n_pixels).histogram.startswith(b"\x89PNG")
    assert said == [is_mixed]
