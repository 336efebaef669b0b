"""What was made once and may be asked for again, within bounds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import BoundedSemaphore, Lock
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Kept(Generic[Made]):
    """The last things made, the oldest given away first.

    Parameters
    ----------
    most : int
        How much is kept, in the measure of ``size``.
    size : callable
        How much one of them is.
    at_once : int
        How many are made at the same time: what bounds the memory that this takes.
    """

    def __init__(self, most: int, size: Callable[[Made], int] = lambda _: 1, *, at_once: int = 1) -> None:
        self._most, self._size, self._total = most, size, 0
        self._kept: OrderedDict[Hashable, Made] = OrderedDict()
        self._lock, self._making = Lock(), BoundedSemaphore(at_once)

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what is kept under a key, made now where nothing is."""
        if (found := self._found(key)) is not None:
            return found
        with self._making:
            if (found := self._found(key)) is not None:  # made while we waited
                return found
            made = make()
        self._keep(key, made)
        return made

    def _found(self, key: Hashable) -> Made | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: Hashable, made: Made) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = made
            self._total += self._size(made)
            while self._total > self._most and len(self._kept) > 1:
                self._total -= self._size(self._kept.popitem(last=False)[1])
