"""Frames parted into those of their detectors, and the pixels of a frame or of such a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy.typing as npt

from ccdcore.cards.sections import Detector
from ccdcore.frames.frame import SeriesFrame
from ccdcore.io.read import read_image
from ccdcore.io.stored_pixels import StoredPixels, recorded_image, stored_detectors, stored_pixels

WHOLE_PIXELS = 32 * 10**6
"""Frames of no more pixels are worked on as a whole: that takes less than 2 GiB."""


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether frames of this shape (rows, columns) are more than is worked on as a whole."""
    return prod(shape) > WHOLE_PIXELS


def detectors_of(frames: Sequence[SeriesFrame]) -> tuple[Detector, ...]:
    """Return the detectors by which large frames of one shape are worked on.

    None of small frames, of those of one image, of compressed ones, and where an amplifier is none of one detector.
    """
    if not frames or frames[0].detector is not None or not is_large(frames[0].shape):
        return ()
    detectors = tuple(stored_detectors(frames[0].path))
    if sum(len(of_detector(frames[0], one).amplifiers) for one in detectors) != len(frames[0].amplifiers):
        return ()
    return detectors if all(tuple(stored_detectors(one.path)) == detectors for one in frames[1:]) else ()


def of_detector(frame: SeriesFrame, detector: Detector) -> SeriesFrame:
    """Return the part of a frame that is of one detector, with its amplifiers and their statistics."""
    own = [
        (detector.part(amplifier), statistics)
        for amplifier, statistics in zip(frame.amplifiers, frame.statistics, strict=True)
        if detector.has(amplifier.data) and (amplifier.overscan is None or detector.has(amplifier.overscan))
    ]
    return replace(
        frame,
        shape=(frame.shape[0], detector.n_columns),
        amplifiers=tuple(amplifier for amplifier, _ in own),
        statistics=tuple(statistics for _, statistics in own),
        detector=detector,
    )


def pixels_in_file(frame: SeriesFrame) -> StoredPixels | None:
    """Find the pixels of a frame, or of its part, in a plain file; None where they must be decoded.

    Errors are those of `ccdcore.io.stored_pixels.stored_pixels`.
    """
    return stored_pixels(frame.path) if frame.detector is None else stored_detectors(frame.path).get(frame.detector)


def image_of(frame: SeriesFrame) -> npt.NDArray[Any]:
    """Return the pixels of a frame, or of its part, whose file was read before; shape (rows, columns), in its unit.

    Errors are those of `ccdcore.io.stored_pixels.recorded_image`.
    """
    if frame.detector is None:
        return recorded_image(frame.path)
    stored = pixels_in_file(frame)
    return read_image(frame.path)[:, frame.detector.columns] if stored is None else stored[:]
