"""The frames of a photon transfer measurement, of whatever kind they are given, two at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count, repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.errors import InsufficientDataError, SectionError
from ccdcore.frame import Frame
from ccdcore.geometry import Amplifier, Section
from ccdcore.header import ExposureInfo
from ccdcore.series import SeriesFrame

Image = Frame | SeriesFrame | Path | str | npt.NDArray[Any]

_EXPOSURE_TOLERANCE = 0.01
_FLATS_HELD = 2


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """One frame: its number in the series, its name in notes, its pixels and what is known of it."""

    number: int
    name: str
    data: npt.NDArray[Any]
    info: ExposureInfo | None = None
    amplifiers: tuple[Amplifier, ...] = ()


@dataclass(slots=True)
class Exposures:
    """Reads frames when they are asked for, and keeps notes on those left out.

    Parameters
    ----------
    notes : list of str
        Filled while frames are read.
    """

    notes: list[str] = field(default_factory=list)
    _shape: tuple[int, ...] | None = None

    def raw(self, images: Sequence[Image], kind: str) -> Iterator[Exposure]:
        """Yield the raw frames of a series; averaged ones have too little noise.

        Raises
        ------
        InsufficientDataError
            If a frame is not two-dimensional, or differs in shape from those before it.
        """
        for exposure in _two_by_two(images, kind):
            self._check_shape(exposure)
            averaged = 1 if exposure.info is None else exposure.info.n_averaged
            if averaged == 1:
                yield exposure
            else:
                self.notes.append(f"{exposure.name} left out: an average of {averaged} exposures has too little noise")

    def flat_pairs(self, images: Sequence[Image]) -> Iterator[tuple[Exposure, Exposure]]:
        """Yield pairs of consecutive flats of one filter and exposure time, holding few frames at once."""
        held: list[Exposure] = []
        alone: dict[int, str] = {}
        for flat in self.raw(images, "flat"):
            partner = next((other for other in held if _comparable(other, flat)), None)
            held = [*[other for other in held if other is not partner][1 - _FLATS_HELD :], flat]
            if partner is None:
                alone[flat.number] = flat.name
            else:
                alone.pop(partner.number, None)
                yield partner, flat
        self.notes += [f"{name} left out: no other flat of its filter and exposure time" for name in alone.values()]

    def _check_shape(self, exposure: Exposure) -> None:
        shape = exposure.data.shape
        if len(shape) != 2:
            raise InsufficientDataError(f"{exposure.name} has shape {shape}: give images of two dimensions")
        self._shape = self._shape or shape
        if shape != self._shape:
            raise InsufficientDataError(
                f"{exposure.name} has shape {shape}, the frames before it {self._shape}: give frames of one size"
            )


def _two_by_two(images: Sequence[Image], kind: str) -> Iterator[Exposure]:
    """Yield what is opened two at a time: pairs are what is measured."""
    with ThreadPoolExecutor(2) as pool:
        for first in range(0, len(images), 2):
            # Readers silence warnings for the whole process, each for its time: what was before is brought back.
            with warnings.catch_warnings():
                two = list(pool.map(_opened, images[first : first + 2], count(first + 1), repeat(kind)))
            while two:
                yield two.pop(0)  # nothing is held that has been done with


def _opened(image: Image, number: int, kind: str) -> Exposure:
    if isinstance(image, SeriesFrame):
        from ccdcore.fits_io import read_image

        return Exposure(number, image.path.name, read_image(image.path), image.info, image.amplifiers)
    if isinstance(image, (str, Path)):
        from ccdcore.fits_io import read_frame

        image = read_frame(Path(image))
    if isinstance(image, Frame):
        return Exposure(number, image.path.name, image.data, image.info, image.amplifiers)
    return Exposure(number, f"{kind} {number}", np.asarray(image))


def _comparable(one: Exposure, two: Exposure) -> bool:
    if one.info is None or two.info is None:
        return True
    first, second = one.info.exposure_time_s, two.info.exposure_time_s
    one_time = first is None or second is None or abs(first - second) <= _EXPOSURE_TOLERANCE * max(first, second)
    return one.info.filter == two.info.filter and one_time


def channels(
    first: Exposure, amplifiers: Sequence[Amplifier] | None, region: str | Section | None
) -> tuple[Amplifier, ...]:
    """Return the amplifiers to measure, their data sections cut to the region."""
    rows, columns = first.data.shape
    given = tuple(amplifiers or first.amplifiers or (Amplifier("1", Section.whole((rows, columns))),))
    if region is None:
        return given
    section = Section.parse(region) if isinstance(region, str) else region
    inside = tuple(
        replace(amplifier, data=common)
        for amplifier in given
        if (common := _intersection(amplifier.data, section)) is not None
    )
    if not inside:
        raise SectionError(f"region {section} has no pixel in the data section of any amplifier")
    return inside


def _intersection(one: Section, two: Section) -> Section | None:
    x1, x2 = max(one.x1, two.x1), min(one.x2, two.x2)
    y1, y2 = max(one.y1, two.y1), min(one.y2, two.y2)
    return Section(x1, x2, y1, y2) if x1 <= x2 and y1 <= y2 else None
