"""Compiling inner loops to machine code."""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function for each type it is called with.

    That is done once for a machine and a version: numba keeps the result beside the source, else in the user's cache
    directory, and renews it when the source of that module, the processor or numba is another one. Processes may
    do so at the same time. Where nothing can be kept, each process compiles for itself.
    """
    loop = inner(function)
    with suppress(RuntimeError):  # there is no directory to keep it in
        loop._cache = _Cache(function)  # type: ignore[attr-defined]  # as enable_caching does
    return loop


def inner(function: F) -> F:
    """Compile a function into those of its module that call it."""
    return cast("F", numba.njit(nogil=True, error_model="numpy", forceinline=True)(function))


def inner_sum(function: F) -> F:
    """Compile as `inner` does, with sums taken in whatever order is quickest: by vector instructions."""
    return cast("F", numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})(function))


class _Cache(FunctionCache):
    """Compiled code on disk, which is never worth an error: the disk may be full, a file cut short by a power cut."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        numbered = self._cache_file
        self._cache_file = _Files(  # type: ignore[no-untyped-call]
            self._cache_path, self._impl.filename_base, numbered._source_stamp
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except (OSError, EOFError, pickle.UnpicklingError):
            with suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


class _Files(IndexDataCacheFile):
    """The files of one function: an index, and the code of each type that it was compiled for.

    numba numbers the latter, and enters the number before it writes the code. Two processes that compile the function
    for different types, or from different versions of its source, then take the same number, and what the one
    wrote is run as if it were the other's. Names that nobody else draws leave each entry with its own code, or none.
    """

    def _data_name(self, number: int) -> str:
        return f"{super()._data_name(number)}.{secrets.token_hex(8)}"  # type: ignore[no-untyped-call]
