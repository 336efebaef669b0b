"""Pictures of images and of parts of them: every cell is where it belongs and as grey as it should be."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as PillowImage

from ccdcore.figures.greys import TILE, Shades, level_of, n_tiles, picture, shades

Image = npt.NDArray[Any]
RAMP = Shades("linear", 0.0, 254.0)
"""Whose shades are the values."""


def cells(content: bytes) -> Image:
    """Return the shades of a picture, the first row in front as in the image."""
    return np.asarray(PillowImage.open(io.BytesIO(content)))[::-1]


def test_a_shade_stands_for_its_pixel_and_orange_for_what_is_not_known() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4) * 20
    image[1, 2] = np.nan
    drawn = PillowImage.open(io.BytesIO(picture(image, RAMP, 0)))
    assert cells(picture(image, RAMP, 0)).tolist() == [[0, 20, 40, 60], [80, 100, 255, 140], [160, 180, 200, 220]]
    coloured = drawn.convert("RGB")
    assert coloured.getpixel((0, 2)) == (0, 0, 0)  # the first pixel is at the lower left
    assert len(set(coloured.getpixel((2, 1)))) > 1  # type: ignore[arg-type]
    assert len(set(coloured.getpixel((3, 0)))) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0, 1, 3])
def test_parts_put_together_are_the_whole(level: int) -> None:
    shape = (TILE * 2 + 77, TILE + 131)
    image = np.random.default_rng(1).uniform(0, 254, shape)
    rows, columns = n_tiles(shape, level)
    together = np.vstack(
        [
            np.hstack([cells(picture(image, RAMP, level, (row, column))) for column in range(columns)])
            for row in range(rows)
        ]
    )
    size = 2**level
    assert together.shape == tuple(-(-length // size) for length in shape)
    whole = picture(image, RAMP, level)
    assert (together == cells(whole)).all()
    expected = image[: 3 * size, : 2 * size].reshape(3, size, 2, size).mean(axis=(1, 3))
    assert abs(together[:3, :2] - expected).max() <= 0.5001


def test_one_masked_pixel_shows_however_many_a_cell_has() -> None:
    mask = np.zeros((64, 100), np.uint8)
    mask[40, 70] = 16
    for level in range(5):
        assert np.argwhere(cells(picture(mask, None, level)) == 255).tolist() == [[40 >> level, 70 >> level]]


def test_scales_have_limits_that_hot_and_masked_pixels_do_not_move() -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(1000, 5, (500, 600))
    image[::50, ::50] = 60_000  # one in 2500
    mask = np.zeros(image.shape, np.uint8)
    mask[:100] = 2
    image[:100] = -5000
    for scale in ("zscale", "linear", "log"):
        found = shades(image, scale, mask)  # type: ignore[arg-type]
        assert 950 < found.low < 1000 < found.high < 1050, scale
    assert found.low == pytest.approx(1000 - 3.09 * 5, abs=1.5)


def test_greys_rise_with_values_and_faint_ones_are_brighter_by_logarithm() -> None:
    values = np.linspace(-1, 11, 200)
    linear, log = (Shades(scale, 0.0, 10.0).of(values).astype(int) for scale in ("linear", "log"))  # type: ignore[arg-type]
    assert (np.diff(linear) >= 0).all()
    assert (np.diff(log) >= 0).all()
    assert linear[0] == log[0] == 0
    assert linear[-1] == log[-1] == 254
    assert (log >= linear).all()
    assert log[50] > 2 * linear[50]


def test_an_image_of_one_value_and_one_of_none_are_drawn() -> None:
    for image in (np.full((5, 7), 3.0), np.full((5, 7), np.nan)):
        assert cells(picture(image, shades(image, "zscale"), 0)).shape == (5, 7)


def test_levels_are_the_least_that_fit() -> None:
    assert [level_of(shape, 512) for shape in ((512, 10), (513, 10), (10, 1024), (6388, 9576))] == [0, 1, 1, 5]
