"""What headers say against a measurement of noise, which pixels do not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ccdcore.cards.electron_multiplication import excess_noise
from ccdcore.cards.values import Cards, number
from ccdcore.frames.frame import Frame, SeriesFrame
from ccdcore.headers.converted import FILTERED, NO_ADU
from ccdcore.io.read import kept_cards
from ccdcore.noise.exposures import Image
from ccdcore.photon_transfer.result import PhotonTransfer

WITH_LOSS = "compressed with loss"
"""How the reason of a frame's type tells of pixels that a lossy compression has changed."""


def with_header_doubts(result: PhotonTransfer, biases: Sequence[Image], flats: Sequence[Image]) -> PhotonTransfer:
    """Add to a result what the headers of its frames say against it.

    Pixels, in ADU and of whatever shape, are not looked at, and frames without a header say nothing.
    """
    lost = [
        said
        for image in (*biases, *flats)
        if isinstance(image, Frame | SeriesFrame)
        for said in image.info.frame_type_reason.split("; ")
        if said.startswith((WITH_LOSS, FILTERED, *NO_ADU))
    ]
    of_biases, of_flats = _first_cards(biases), _first_cards(flats)
    multiplied = None if result.gain_e_per_adu is None or of_flats is None else excess_noise(of_flats)
    shifted = _pedestal(of_biases or {}, of_flats or {}) if flats else None
    return replace(
        result,
        bias_doubts=tuple(dict.fromkeys([*result.bias_doubts, *lost])),
        flat_doubts=tuple(filter(None, [*result.flat_doubts, shifted])),
        doubts=tuple(filter(None, [*result.doubts, multiplied, shifted])),
    )


def _first_cards(images: Sequence[Image]) -> Cards | None:
    """Return the header of the first image that has a file; None where none has.

    It is asked for of each amplifier, and that of a mosaic is long.
    """
    paths = (image.path if isinstance(image, Frame | SeriesFrame) else image for image in images)
    found = (path for path in paths if isinstance(path, str | Path) and Path(path).exists())
    first = next(found, None)
    return None if first is None else kept_cards(first)


def _pedestal(of_biases: Cards, of_flats: Cards) -> str | None:
    """Say that a program shifted the numbers of the biases by another constant than those of the flats; None if not.

    The card is what SBIG's programs and MaxIm DL added to them, often after they took a dark away.
    """
    of = [number(cards.get("PEDESTAL")) or 0.0 for cards in (of_biases, of_flats)]
    if of[0] == of[1]:
        return None
    return (
        f"PEDESTAL is {of[0]:g} in the biases, {of[1]:g} in the flats: a program took a dark from the ones and not "
        "from the others, or shifted them, so that the bias is not that of the flats: give raw frames"
    )
