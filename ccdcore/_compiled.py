"""Compiling inner loops to machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function for each type it is called with.

    That is done once for a machine and a version: numba keeps the result beside the source, else in the user's cache
    directory, and renews it when the source of that module, the processor or numba is another one. Processes may
    do so at the same time. Where neither directory can be written, each process compiles for itself.
    """
    try:
        return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # no directory to keep it in
        return inner(function)


def inner(function: F) -> F:
    """Compile a function as part of those in its module that call it."""
    return cast("F", numba.njit(nogil=True, error_model="numpy")(function))


def inner_sum(function: F) -> F:
    """Compile as `inner` does, with sums taken in whatever order is quickest: by vector instructions."""
    return cast("F", numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})(function))
