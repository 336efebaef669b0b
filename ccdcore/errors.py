"""Errors of ccdcore: each says what happened, to which file, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any


class ExpectedError(Exception):
    """An error that explains itself in one line: what happened, and what to do next. The command line shows no more."""


class CcdError(ExpectedError):
    """Base of every error that ccdcore raises on purpose."""


class FrameReadError(CcdError, OSError):
    """A file that cannot be used as a frame.

    Parameters
    ----------
    path : Path
        The file.
    reason : str
        What is wrong with it, in words for the person who owns the file.
    incomplete : bool
        True where the file looks like the beginning of a good one, so that it
        may still be arriving.
    """

    def __init__(self, path: Path, reason: str, *, incomplete: bool = False) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.incomplete = incomplete

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep all that is known on the way to another process."""
        return partial(FrameReadError, incomplete=self.incomplete), (self.path, self.reason)


class ChangedFrameError(CcdError):
    """A file that does not hold the bytes that its frame was registered from, or that is gone or broken.

    No product can be made of it: the file is registered anew, and what was begun is made again without it.

    Parameters
    ----------
    path : Path
        The file.
    expected : str
        SHA-256 of the bytes on record (`ccdcore.io.plain_files.file_sha256`); ``""`` where there is none any more.
    found : str
        SHA-256 of the bytes that are there, or in words what is wrong.
    """

    def __init__(self, path: Path, expected: str, found: str) -> None:
        what = f"its SHA-256 begins with {found[:12]}, not {expected[:12]}" if len(found) == len(expected) else found
        super().__init__(f"{path}: changed since it was registered ({what})")
        self.path = path
        self.expected = expected
        self.found = found

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep all that is known on the way to another process."""
        return ChangedFrameError, (self.path, self.expected, self.found)


class SectionError(CcdError, ValueError):
    """An image section that cannot be read, or does not fit the image."""


class InsufficientDataError(CcdError, ValueError):
    """The frames given cannot support the measurement or product asked for."""


class NoLightError(InsufficientDataError):
    """Flats that have no light to be scaled by.

    Parameters
    ----------
    reasons : mapping of Path to str
        What is said of each.
    """

    def __init__(self, reasons: Mapping[Path, str]) -> None:
        (first, reason), more = next(iter(reasons.items())), len(reasons) - 1
        super().__init__(f"{first}: {reason}" + (f"; and {more} more like it" if more else ""))
        self.reasons = dict(reasons)

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep all that is known on the way to another process."""
        return NoLightError, (self.reasons,)
