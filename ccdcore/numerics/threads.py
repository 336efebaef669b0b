"""Work on parts of an image by all processors, where it is enough for that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_LEAST_PIXELS = 2**18
"""Of an image; the parts of a smaller one are done sooner than threads are started."""


def of_parts(work: Callable[[T], R], parts: Iterable[T], *, n_pixels: int) -> Iterator[R]:
    """Yield what is made of each part of an image, in their order.

    Parameters
    ----------
    work : callable
        What is done to a part; several may be done at the same time.
    parts : iterable
        What it is given, one after another.
    n_pixels : int
        Of the image.
    """
    if n_pixels < _LEAST_PIXELS:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor() as pool:
        yield from pool.map(work, parts)
