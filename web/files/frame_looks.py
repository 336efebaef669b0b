"""A raw frame as its page shows it: a picture, how its pixel values are distributed, the cards of its header."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ccdcore.figures.images import histogram, whole_frame
from ccdcore.figures.style import png
from ccdcore.io.read import read_cards, read_image


@dataclass(frozen=True, slots=True)
class FrameLook:
    """Pictures of a frame, as PNG: the whole of it, and how its pixel values are distributed."""

    frame: bytes
    histogram: bytes

    @property
    def size(self) -> int:
        """Bytes of both."""
        return len(self.frame) + len(self.histogram)


def look_at(path: Path, file: io.BufferedReader, n_pixels: int) -> FrameLook:
    """Draw a frame whose file is open; the file is closed.

    Parameters
    ----------
    path, file : Path, BufferedReader
        The frame.
    n_pixels : int
        Of its largest amplifier, without overscan: where the frame has more, they are of several kinds.

    Raises
    ------
    FrameReadError
        If it cannot be decoded.
    """
    image = read_image(path, file)
    is_mixed = image.size != n_pixels
    title = "All pixels, of all amplifiers and their overscan" if is_mixed else "All pixels"
    return FrameLook(
        png(whole_frame(image, title="Between its ZScale limits")),
        png(histogram(image, title=title, quantity="pixel value", is_mixed=is_mixed)),
    )


def cards_in_words(path: Path, file: io.BufferedReader) -> Mapping[str, str]:
    """Return the cards of a frame whose file is open as text, in their order; the file is closed.

    Raises
    ------
    FrameReadError
        If it is no frame.
    """
    return {keyword: _text(value) for keyword, value in read_cards(path, file).items()}


def _text(value: object) -> str:
    return "FT"[value] if isinstance(value, bool) else str(value)
