"""Errors of ccdcore: each says what happened, to which file, and what to do next."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any


class CcdError(Exception):
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
    """A file that does not hold the frame it held: its pixels are others by now, or it is gone or broken.

    No product can be made of it: the file is registered anew, and what was begun is made again without it.

    Parameters
    ----------
    path : Path
        The file.
    expected : str
        SHA-256 of the frame that it is to hold (`ccdcore.fits_io.pixel_sha256`).
    found : str
        SHA-256 of the frame that it holds, or in words why it cannot be read.
    """

    def __init__(self, path: Path, expected: str, found: str) -> None:
        what = f"holds the pixels {found[:12]}" if len(found) == len(expected) and found.isalnum() else found
        super().__init__(f"{path}: is not the frame {expected[:12]} that was registered: {what}")
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
