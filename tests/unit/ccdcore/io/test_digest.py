"""What a frame is known by."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ccdcore.io.digest import former_sha256, pixel_sha256

PIXELS = np.random.default_rng(20220919).poisson(1000, (12, 15)).astype(np.uint16)


def test_pixels_are_told_apart_by_shape_and_value() -> None:
    other = PIXELS.copy()
    other[3, 4] += 1
    images = [PIXELS, other, PIXELS.T, PIXELS.astype(int) - 3000, PIXELS / 3, PIXELS / np.float32(3), PIXELS + 2.0**40]
    assert len({pixel_sha256(image) for image in images}) == len(images)


def test_the_order_of_bytes_and_of_memory_does_not_matter() -> None:
    assert pixel_sha256(np.asfortranarray(PIXELS)) == pixel_sha256(PIXELS)
    assert pixel_sha256(PIXELS.astype(">u2")) == pixel_sha256(PIXELS)


@pytest.mark.parametrize("offset", [0, -5000, 10**6, 2**31, 2**33])
def test_whole_numbers_are_the_same_in_every_type_that_holds_them(offset: int) -> None:
    values = PIXELS.astype(np.int64) + offset
    values[0, 0] = values[0, 1]  # the extremes do not decide
    types = (np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64)
    kept = [values.astype(kind) for kind in types]
    same = [image for image in kept if np.array_equal(image.astype(np.float64), values.astype(np.float64))]
    assert len(same) > 1
    assert {pixel_sha256(image) for image in same} == {pixel_sha256(values)}


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(width=32)))
def test_floating_point_numbers_are_the_same_in_both_precisions(values) -> None:
    assert pixel_sha256(values.astype(np.float64)) == pixel_sha256(values)
    assert pixel_sha256(np.where(values == 0, -values, values)) == pixel_sha256(values)


def test_every_nan_is_the_same() -> None:
    odd = np.array([0x7FC00000, 0x7FC0BEEF, 0xFFC00001], np.uint32).view(np.float32).reshape(1, 3)
    assert pixel_sha256(odd) == pixel_sha256(np.full((1, 3), np.nan)) != pixel_sha256(np.full((1, 3), np.inf))


def test_what_no_smaller_type_holds_keeps_its_precision() -> None:
    precise = PIXELS / 3
    assert pixel_sha256(precise) != pixel_sha256(precise.astype(np.float32))
    assert pixel_sha256(np.full((2, 2), 1e300)) != pixel_sha256(np.full((2, 2), 1e301))
    assert pixel_sha256(np.full((2, 2), 2**63, np.uint64)) == pixel_sha256(np.full((2, 2), 2.0**63))


@pytest.mark.parametrize("kind", ["u2", "i2", "i4", "u4", "f4", "f8"])
def test_what_frames_were_known_by_before(kind: str) -> None:
    data = PIXELS.astype(kind)
    known = hashlib.sha256(f"{data.shape} >{kind}".encode() + data.astype(f">{kind}").tobytes()).hexdigest()
    assert former_sha256(data) == known
    assert (pixel_sha256(data) == known) is (kind == "u2"), "cameras' own 16 bits without a sign keep their identity"
