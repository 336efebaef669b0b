"""What is kept of files that were shown, so that they are shown again at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, HTTPException, Request

from ccdcore.errors import FrameReadError
from web.files.kept import Kept
from web.files.opening import Hashes, Place, as_on_record

if TYPE_CHECKING:
    from ccdcore.figures.greys import Rows
    from web.files.frame_looks import FrameLook
    from web.files.master_planes import Planes

_MOST_BYTES = 32 * 2**20
"""Of pictures, and of parts of them, in memory."""


@dataclass(frozen=True)
class Shown:
    """Of each application its own.

    One frame is decoded at a time, one master opened, two parts of masters drawn: this bounds the memory that it takes.
    """

    hashes: Hashes = field(default_factory=Hashes)
    frames: Kept[FrameLook] = field(default_factory=lambda: Kept(_MOST_BYTES, lambda one: one.size))
    masters: Kept[Planes] = field(default_factory=lambda: Kept(_MOST_BYTES * 8, lambda one: one.bytes_in_memory))
    tiles: Kept[bytes] = field(default_factory=lambda: Kept(_MOST_BYTES, len, at_once=2))

    def frame(self, places: Sequence[Place], what: str, n_pixels: int) -> FrameLook:
        """Return how a frame looks whose file is as on record, and whose largest amplifier has so many pixels.

        Raises
        ------
        HTTPException
            If it is not, or cannot be decoded.
        """
        stream, place = as_on_record(places, what, self.hashes)
        with stream, decoding():
            return self.frames.get((place.sha256, n_pixels), lambda: _drawing().look_at(place.path, stream, n_pixels))

    def cards(self, places: Sequence[Place], what: str) -> Mapping[str, str]:
        """Return the cards of a frame whose file is as on record; errors are those of `frame`."""
        stream, place = as_on_record(places, what, self.hashes)
        with stream, decoding():
            cards: Mapping[str, str] = _drawing().cards_in_words(place.path, stream)
            return cards

    def planes(self, place: Place, what: str, *, is_mask: bool, residual: Callable[[], Rows | None]) -> Planes:
        """Return the images of a master whose file is as on record; errors are those of `frame`."""
        stream, _ = as_on_record([place], what, self.hashes)
        key = place.sha256, self.hashes.signature(stream)

        def found() -> Planes:
            planes: Planes = _drawing().planes_of(place.path, stream, is_mask=is_mask, residual=residual())
            return planes

        with stream, decoding():
            return self.masters.get(key, found)

    def tile(self, which: Hashable, draw: Callable[[], bytes | None]) -> bytes:
        """Return a part of a picture; nothing where there is none. Errors are those of `frame`."""
        with decoding():
            return self.tiles.get(which, lambda: draw() or b"")


@contextmanager
def decoding() -> Iterator[None]:
    """Say what files cannot be decoded, in place of an error of the server."""
    try:
        yield
    except FrameReadError as error:
        raise HTTPException(409, str(error)) from None


def _drawing() -> ModuleType:
    """Return what draws: it takes long to load, and most pages need none of it."""
    from web.files import drawing

    return drawing


def _shown(request: Request) -> Shown:
    shown: Shown = request.app.state.shown
    return shown


OfShown = Annotated[Shown, Depends(_shown)]
