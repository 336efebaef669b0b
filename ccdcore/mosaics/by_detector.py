"""What is done of frames, done of each detector where they are large."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import TypeVar

from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.mosaics.detectors import detectors_of, of_detector

Found = TypeVar("Found")


def by_detector(
    measure: Callable[..., Sequence[Found]],
    *series: Sequence[SeriesFrame],
    lacks: MutableMapping[str, str] | None = None,
) -> tuple[Found, ...]:
    """Measure series of frames, large ones detector by detector; return what is found in all of them.

    Parameters
    ----------
    measure : callable
        Takes as many series as are given, and returns what it finds of each amplifier.
    *series : sequence of SeriesFrame
        Frames of one shape (rows, columns), in ADU.
    lacks : dict of str to str, optional
        Filled with the amplifiers of detectors of which nothing can be measured, and why.

    Raises
    ------
    InsufficientDataError
        If nothing can be measured of any detector.
    """
    detectors = detectors_of([frame for frames in series for frame in frames])
    if not detectors:
        return tuple(measure(*series))
    found, errors = list[Found](), list[InsufficientDataError]()
    for detector in detectors:
        parts = [[of_detector(frame, detector) for frame in frames] for frames in series]
        try:
            found += measure(*parts)
        except InsufficientDataError as error:
            errors.append(error.with_traceback(None))  # which would hold the pixels of the detector
            if lacks is not None:
                lacks.update({one.name: str(error) for one in next(filter(None, parts))[0].amplifiers})
    if errors and not found:
        raise errors[0]
    return tuple(found)


def like(frames: Sequence[SeriesFrame], others: Sequence[SeriesFrame]) -> list[SeriesFrame]:
    """Return frames, or their parts of the detector that others are parts of."""
    detector = others[0].detector if others else None
    return [one if detector is None else of_detector(one, detector) for one in frames]
