"""One mask of bad pixels of those of all detectors of a mosaic."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ccdcore.cards.sections import Detector
from ccdcore.masters.bad_pixels import BadPixels
from ccdcore.reduction.master import MaskBit


def bad_pixels_together(shape: tuple[int, int], parts: Iterable[tuple[Detector, BadPixels]]) -> BadPixels:
    """Put the masks of detectors side by side.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the whole.
    parts : iterable of (Detector, BadPixels)
        One at a time is held.

    Returns
    -------
    BadPixels
        Bits as of `MaskBit`, which have no unit; ``OUTSIDE`` where there is no detector.
    """
    whole = BadPixels(np.full(shape, MaskBit.OUTSIDE, np.uint8), {}, {}, ())
    counts, n_bad = dict(whole.counts), dict(whole.n_bad)
    inputs = {one.sha256: one for one in whole.inputs}
    for detector, part in parts:
        whole.mask[:, detector.columns] = part.mask
        counts |= part.counts
        n_bad |= part.n_bad
        inputs |= {one.sha256: one for one in part.inputs}
    return BadPixels(whole.mask, counts, n_bad, tuple(inputs.values()))
