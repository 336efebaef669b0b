"""Work on parts of an image by several threads: in order, and never far ahead of who takes what is made."""

import os
import time

import pytest

from ccdcore.numerics.threads import of_parts

LARGE = 2**20


@pytest.mark.parametrize("n_pixels", [1, LARGE])
def test_what_is_made_comes_in_order(n_pixels: int) -> None:
    assert list(of_parts(lambda part: part**2, range(50), n_pixels=n_pixels)) == [part**2 for part in range(50)]


def test_work_is_not_far_ahead_of_who_takes_what_is_made() -> None:
    begun: list[int] = []
    for number, _ in enumerate(of_parts(begun.append, range(50), n_pixels=LARGE)):
        time.sleep(0.002)
        assert len(begun) <= number + 1 + (os.cpu_count() or 1)


def test_what_goes_wrong_in_a_part_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(of_parts(lambda part: 1 / (part - 20), range(50), n_pixels=LARGE))
