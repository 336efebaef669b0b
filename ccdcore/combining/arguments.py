"""What `combine` is given, checked: whatever it cannot keep its word for is an error that says what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ccdcore.combining.pixel_stack import Pixels
from ccdcore.errors import InsufficientDataError

Image = npt.NDArray[Any]
PerFrame: TypeAlias = Sequence[float] | npt.NDArray[np.floating] | Callable[[Image], float]
"""A number for each frame, or a function of an image that returns it."""


def check_sources(sources: Any) -> None:
    """Require a list of frames: they are gone through more than once, and their order tells them apart.

    Raises
    ------
    TypeError
        If it is no sequence.
    """
    if isinstance(sources, str | PathLike):
        raise TypeError(f"{sources}: combine wants a list of frames: write combine([{str(sources)!r}, …])")
    if isinstance(sources, Iterator | Mapping | set | frozenset) or not hasattr(sources, "__len__"):
        kind = type(sources).__name__
        raise TypeError(f"combine wants a list of frames, not a {kind}: write combine(list(…)) or combine([…])")


def thresholds(clip_sigma: Any) -> tuple[float, float]:
    """Return the thresholds below and above the median, in units of σ.

    Raises
    ------
    ValueError
        If they are not one or two numbers from 0 on.
    """
    try:
        given = np.asarray(clip_sigma, dtype=float)
    except (TypeError, ValueError):
        given = np.array(np.nan)
    if given.shape not in {(), (1,), (2,)} or not (given >= 0).all():
        raise ValueError(
            f"clip_sigma = {clip_sigma!r}: give a number from 0 on, or two: (below, above); infinity clips nothing"
        )
    low, high = np.broadcast_to(given, 2).tolist()
    return low, high


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Require one of the words of a literal type.

    Raises
    ------
    ValueError
        If it is another.
    """
    words = get_args(choices)
    if value not in words:
        raise ValueError(f"{name} = {value!r} is unknown: write {' or '.join(map(repr, words))}")


def check_count(name: str, value: Any, least: int) -> None:
    """Require a whole number.

    Raises
    ------
    ValueError
        If it is none, or too small.
    """
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} = {value!r}: give a whole number from {least} on")


def positive(name: str, given: npt.ArrayLike, *, or_zero: bool) -> npt.NDArray[np.floating]:
    """Return an array of floating-point numbers, of the same shape and unit; one that is of such is not copied.

    Raises
    ------
    ValueError
        If one is no real number, or negative, or zero where it must not be.
    """
    numbers = np.asarray(given)
    if numbers.dtype.kind not in "biuf" or not ((numbers >= 0) if or_zero else (numbers > 0)).all():
        raise ValueError(f"{name}: give {'numbers from 0 on' if or_zero else 'positive numbers'}, none of them NaN")
    return numbers if numbers.dtype.kind == "f" else numbers.astype(np.float64)


def check_spread(name: str, given: npt.NDArray[Any], shape: Sequence[int]) -> None:
    """Require an array, in whatever unit, that broadcasts to the shape of the image, or to that of the stack.

    Raises
    ------
    InsufficientDataError
        If it does not.
    """
    try:
        fits = np.broadcast_shapes(given.shape, tuple(shape)) == tuple(shape)
    except ValueError:
        fits = False
    if not fits:
        raise InsufficientDataError(f"{name} has shape {given.shape}: give a number, or what broadcasts to {shape}")


def per_frame(
    given: PerFrame | None, stack: list[Pixels], default: float, what: str, zeros: Image | None = None
) -> Image:
    """Return a number for each frame, shape (frames,), as given, or by a function of its image.

    Its unit is that of what it is: of the pixels for zeros, none for scales and weights.

    Raises
    ------
    InsufficientDataError
        If they are not as many as the frames, or a zero is not finite.
    """
    if given is None:
        return np.full(len(stack), default)
    if callable(given):
        shifts = np.zeros(len(stack)) if zeros is None else zeros
        given = [given(pixels.image() + shift) for pixels, shift in zip(stack, shifts, strict=True)]
    numbers = np.asarray(given, dtype=np.float64)
    if numbers.shape != (len(stack),):
        raise InsufficientDataError(f"{numbers.size} {what} for {len(stack)} frames: give one for each")
    if what == "zeros" and not np.isfinite(numbers).all():
        raise InsufficientDataError(f"zeros are {numbers.tolist()}: give a finite number for each frame")
    return numbers
