"""Work on parts of an image by all processors, where it is enough for that."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_LEAST_PIXELS = 2**18
"""Of an image; the parts of a smaller one are done sooner than threads are started."""


def of_parts(
    work: Callable[[T], R], parts: Iterable[T], *, n_pixels: int, most_threads: int | None = None
) -> Iterator[R]:
    """Yield what is made of each part of an image, in their order.

    One part a processor is begun beyond those that were asked for: what is made takes memory until it is taken.

    Parameters
    ----------
    work : callable
        What is done to a part; several may be done at the same time.
    parts : iterable
        What it is given, one after another.
    n_pixels : int
        Of the image.
    most_threads : int, optional
        Where memory allows no more than so many; default: the number of processors.
    """
    if n_pixels < _LEAST_PIXELS:
        yield from map(work, parts)
        return
    n_threads = min(os.cpu_count() or 1, most_threads or sys.maxsize)
    begun: deque[Future[R]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        for part in parts:
            begun.append(pool.submit(work, part))
            if len(begun) > n_threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
