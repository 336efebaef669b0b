"""The frames of a photon transfer measurement, of whatever kind they are given, two at a time."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import repeat
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import InsufficientDataError, SectionError
from ccdcore.frames.frame import Frame, SeriesFrame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.io.read import read_frame, read_header
from ccdcore.mosaics.detectors import image_of

Image = Frame | SeriesFrame | Path | str | npt.NDArray[Any]

_EXPOSURE_TOLERANCE = 0.01
_FLATS_HELD = 2
_ROWS_OF_LIGHT = 64
_STEP_OF_LIGHT = 0.05


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

    def raw(
        self, images: Sequence[Image], kind: str, left_out: Container[int] = (), *, in_time: bool = True
    ) -> Iterator[Exposure]:
        """Yield the raw frames of a series; averaged ones have too little noise.

        Parameters
        ----------
        images : sequence
            The frames, in ADU, in any order: flats come by filter, exposure time and time, or by light; biases by time.
        kind : str
            ``"bias"`` or ``"flat"``.
        left_out : container of int
            Numbers of frames, in the order given and from 1 on, that are not wanted.
        in_time : bool
            False leaves them in the order given.

        Raises
        ------
        InsufficientDataError
            If a frame is not two-dimensional, or differs in shape from those before it.
        """
        numbered = [(number, image) for number, image in enumerate(images, 1) if number not in left_out]
        for exposure in _two_by_two(in_order(numbered, kind) if in_time else numbered, kind):
            self._check_shape(exposure)
            averaged = 1 if exposure.info is None else exposure.info.n_averaged
            if averaged == 1:
                yield exposure
            else:
                self.note(f"{exposure.name} left out: an average of {averaged} exposures has too little noise")

    def note(self, text: str) -> None:
        """Keep a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def flat_pairs(
        self, images: Sequence[Image], left_out: Container[int] = ()
    ) -> Iterator[tuple[Exposure, Exposure, Exposure | None]]:
        """Yield pairs of consecutive flats of one filter and exposure time, and the flat before them, if it is such.

        Few frames are held at once. All are in ADU, of one shape (rows, columns).

        Raises
        ------
        InsufficientDataError
            If a frame is not two-dimensional, or differs in shape from those before it.
        """
        held: list[Exposure] = []
        alone: dict[int, str] = {}
        for flat in self.raw(images, "flat", left_out):
            alike = [other for other in held if _comparable(other, flat)]
            held = [*(alike or held)[1 - _FLATS_HELD :], flat]
            if not alike:
                alone[flat.number] = flat.name
                continue
            alone.pop(alike[-1].number, None)
            yield alike.pop(), flat, alike.pop() if alike else None
        for name in alone.values():
            self.note(f"{name} left out: no other flat of its filter and exposure time")

    def _check_shape(self, exposure: Exposure) -> None:
        shape = exposure.data.shape
        if len(shape) != 2:
            raise InsufficientDataError(f"{exposure.name} has shape {shape}: give images of two dimensions")
        self._shape = self._shape or shape
        if shape != self._shape:
            raise InsufficientDataError(
                f"{exposure.name} has shape {shape}, the frames before it {self._shape}: give frames of one size"
            )


def in_order(numbered: Sequence[tuple[int, Image]], kind: str) -> list[tuple[int, Image]]:
    """Return frames such that those that belong together follow each other, whatever the order they were given in.

    They are in ADU, or of files; their shape does not matter here.
    """
    about = [_about(image) for _, image in numbered]
    if kind == "bias":
        if any(info is None or info.date_obs is None for info in about):
            return list(numbered)
        keys: list[tuple[Any, ...]] = [(info.date_obs,) for info in about if info is not None]
    else:
        lights = _in_steps([_light(image) for _, image in numbered])
        keys = [_flat_key(info, light) for info, light in zip(about, lights, strict=True)]
    order = sorted(range(len(keys)), key=lambda k: (keys[k], numbered[k][0]))
    return [numbered[k] for k in order]


def _flat_key(info: ExposureInfo | None, light: int) -> tuple[Any, ...]:
    """Return filter, exposure time and time of a flat; where the exposure time is unknown its light."""
    filter_name = "" if info is None else info.filter or ""
    if info is not None and info.exposure_time_s is not None:
        begin = info.date_obs.timestamp() if info.date_obs else inf
        return (filter_name, float(f"{info.exposure_time_s:.3g}"), 0, begin)
    return (filter_name, inf, light, 0.0)


def _in_steps(lights: Sequence[float]) -> list[int]:
    """Return which step of light each flat is of: those of one lamp stay in the order that they were given in."""
    ordered = sorted(set(lights))
    steps, begin, step = dict[float, int](), -inf, -1
    for light in ordered:
        if step < 0 or light > begin * (1 + _STEP_OF_LIGHT):
            begin, step = light, step + 1
        steps[light] = step
    return [steps[light] for light in lights]


def _light(image: Image) -> float:
    """Return the mean of a frame, of some of its rows, as far as it can be told without reading it."""
    if isinstance(image, SeriesFrame):
        return sum(each.level for each in image.statistics)
    data = image.data if isinstance(image, Frame) else image
    if isinstance(data, (str, Path)):
        return 0.0
    rows = np.asarray(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what has no finite pixel
        return float(np.nan_to_num(np.nanmean(rows[:: max(1, rows.shape[0] // _ROWS_OF_LIGHT)])))


def _about(image: Image) -> ExposureInfo | None:
    """Return what is known of a frame before its pixels are read."""
    if isinstance(image, (str, Path)):
        return read_header(image).info
    return image.info if isinstance(image, (Frame, SeriesFrame)) else None


def _two_by_two(numbered: Sequence[tuple[int, Image]], kind: str) -> Iterator[Exposure]:
    """Yield what is opened two at a time: pairs are what is measured."""
    with ThreadPoolExecutor(2) as pool:
        for first in range(0, len(numbered), 2):
            # Readers silence warnings for the whole process, each for its time: what was before is brought back.
            with warnings.catch_warnings():
                two = list(pool.map(_opened, numbered[first : first + 2], repeat(kind)))
            while two:
                yield two.pop(0)  # nothing is held that has been done with


def name_of(image: Image, number: int, kind: str) -> str:
    """Return the name of a frame in notes; one that is pixels only, of whatever shape and unit, is known by number."""
    if isinstance(image, (str, Path)):
        return Path(image).name
    return image.path.name if isinstance(image, (Frame, SeriesFrame)) else f"{kind} {number}"


def _opened(numbered: tuple[int, Image], kind: str) -> Exposure:
    """Open a frame; infinite pixels are as good as none."""
    exposure = _found(numbered, kind)
    if exposure.data.dtype.kind == "f" and (infinite := np.isinf(exposure.data)).any():
        return replace(exposure, data=np.where(infinite, np.nan, exposure.data))
    return exposure


def _found(numbered: tuple[int, Image], kind: str) -> Exposure:
    number, image = numbered
    name = name_of(image, number, kind)
    if isinstance(image, SeriesFrame):
        return Exposure(number, name, image_of(image), image.info, image.amplifiers)
    if isinstance(image, (str, Path)):
        image = read_frame(Path(image))
    if isinstance(image, Frame):
        return Exposure(number, name, image.data, image.info, image.amplifiers)
    return Exposure(number, name, np.asarray(image))


def _comparable(one: Exposure, two: Exposure) -> bool:
    if one.info is None or two.info is None:
        return True
    first, second = one.info.exposure_time_s, two.info.exposure_time_s
    one_time = first is None or second is None or abs(first - second) <= _EXPOSURE_TOLERANCE * max(first, second)
    return one.info.filter == two.info.filter and one_time


def channels(
    first: Exposure, amplifiers: Sequence[Amplifier] | None, region: str | Section | None
) -> tuple[Amplifier, ...]:
    """Return the amplifiers to measure, their data sections cut to the region.

    Raises
    ------
    SectionError
        If the region is none, or has no pixel in common with a data section.
    """
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
