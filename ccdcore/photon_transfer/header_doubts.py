"""What headers say against a measurement of noise, which pixels do not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ccdcore.cards.electron_multiplication import excess_noise
from ccdcore.frames.frame import Frame, SeriesFrame
from ccdcore.headers.identify import NO_ADU
from ccdcore.io.read import read_cards
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
        if said.startswith((WITH_LOSS, NO_ADU))
    ]
    multiplied = None if result.gain_e_per_adu is None else _excess_noise(flats)
    return replace(
        result,
        bias_doubts=tuple(dict.fromkeys([*result.bias_doubts, *lost])),
        doubts=tuple(filter(None, [*result.doubts, multiplied])),
    )


def _excess_noise(flats: Sequence[Image]) -> str | None:
    """Say what electron multiplication does to the gain, by the header of the first flat; None where it is not on."""
    for image in flats:
        path = image.path if isinstance(image, Frame | SeriesFrame) else image
        if isinstance(path, str | Path) and Path(path).exists():
            return excess_noise(read_cards(path))
    return None
