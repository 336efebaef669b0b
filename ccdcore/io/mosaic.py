"""Which units of an open FITS file make up one frame, and how they stand together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from ccdcore.cards.dialects import COMPANIONS, KEYWORDS, UNIT_S
from ccdcore.cards.longitude import counts_to_the_west
from ccdcore.cards.units import with_unit_of_comment
from ccdcore.cards.values import Cards, RepeatedCard, number
from ccdcore.errors import FrameReadError
from ccdcore.headers.amplifiers import ImageHdu
from ccdcore.io.stream import name_of

_AXES = ("rows", "columns")
_NAMED = 12
_LARGEST = 1e25
"""Of a scale or offset: pixels of 32 bits times this are still a floating-point number of 32 bits."""


@dataclass(frozen=True, slots=True)
class Mosaic:
    """The units of one frame, side by side; pixels are decoded by `pixels` only.

    Parameters
    ----------
    cards : mapping
        The primary header's cards, overlaid by those of the first image extension.
    units : tuple of image HDU
        In the order of the file.
    shapes : tuple of (rows, columns)
        Of each unit, axes of length one left out.
    notes : tuple of str
        Which images of the file are none of them, in words.
    """

    cards: Cards
    units: tuple[Any, ...]
    shapes: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole."""
        return self.shapes[0][0], sum(columns for _, columns in self.shapes)

    @property
    def images(self) -> tuple[ImageHdu, ...]:
        """What is known of each unit, named by EXTNAME where those tell them apart, else by number.

        Section cards of a mosaic are those of its extensions; the primary's are of the whole detector.
        """
        names = [name_of(unit) for unit in self.units]
        if len(names) == 1 or len(set(names)) < len(names) or "" in names:
            names = [str(index) for index in range(1, len(names) + 1)]
        cards = [self.cards] if len(names) == 1 else [_values(unit.header) for unit in self.units]
        before = np.cumsum([0, *(columns for _, columns in self.shapes)]).tolist()
        return tuple(ImageHdu(*of) for of in zip(names, cards, self.shapes, before[:-1], strict=True))

    def pixels(self) -> npt.NDArray[Any]:
        """Decode the pixels, shape (rows, columns), in the unit of the file, in their type and native byte order."""
        parts = [unit.data.reshape(shape) for unit, shape in zip(self.units, self.shapes, strict=True)]
        data = parts[0] if len(parts) == 1 else np.hstack(parts)
        return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


def find_mosaic(
    path: Path, hdus: Iterable[Any], texts: Mapping[int, Mapping[str, str]] = MappingProxyType({})
) -> Mosaic:
    """Find the units that make up the frame.

    An image in the primary unit is the frame, whatever follows it; else all
    image extensions are, apart from masks and uncertainties. Where those have
    different numbers of rows, the ones that make up most of the pixels are:
    beside the detectors of a mosaic there are smaller ones for focus and guiding.

    Parameters
    ----------
    path : Path
        The file's name, for messages.
    hdus : iterable of HDU
        All units of the file.
    texts : mapping
        Number of a unit → keyword → text, in place of what the header has.

    Raises
    ------
    FrameReadError
        If they hold no image, or not one.
    """
    primary, *extensions = hdus
    for position, unit in enumerate((primary, *extensions)):
        if not hasattr(unit, "verify_datasum"):  # astropy's stand-in for a unit that it cannot make out
            raise FrameReadError(path, f"is damaged: unit {position} is of no known kind")
    numbered = [
        (number, unit)
        for number, unit in enumerate(extensions, start=1)
        if _has_pixels(unit) and name_of(unit) not in COMPANIONS
    ]
    if _has_pixels(primary):
        numbered = [(0, primary)]
    if not numbered:
        reason = "holds tables only, no image" if extensions else "holds no image, only an empty primary unit"
        raise FrameReadError(path, reason, incomplete=not extensions)
    numbered, notes = _alike(path, numbered)
    units = [unit for _, unit in numbered]
    for unit in units:
        _check_scaling(path, unit.header)
    shapes = tuple(_plane(path, unit.shape) for unit in units)
    cards = {**_values(primary.header), **texts.get(0, {})}
    if units[0] is not primary:
        cards |= {**_values(units[0].header), **texts.get(numbered[0][0], {})}
    return Mosaic(cards, tuple(units), shapes, notes)


def _alike(path: Path, units: list[tuple[int, Any]]) -> tuple[list[tuple[int, Any]], tuple[str, ...]]:
    """Return the units that can stand side by side, and in words those that are left aside."""
    of_rows: dict[int, list[tuple[int, Any]]] = {}
    for unit in units:
        lengths = [length for length in unit[1].shape if length > 1]
        of_rows.setdefault(lengths[0] if len(lengths) == len(_AXES) else 0, []).append(unit)
    if len(of_rows) == 1:
        return units, ()
    pixels = {rows: sum(prod(unit.shape) for _, unit in group) for rows, group in of_rows.items() if rows}
    rows = max(pixels, key=lambda rows: pixels[rows], default=0)
    if not rows or 2 * pixels[rows] <= sum(pixels.values()):
        counts = ", ".join(str(one) for one in of_rows if one)
        raise FrameReadError(path, f"has image extensions of {counts} rows, which cannot stand side by side")
    aside = [unit for unit in units if unit not in of_rows[rows]]
    names = ", ".join(name_of(unit) or str(number) for number, unit in aside[:_NAMED]) + ", …" * (len(aside) > _NAMED)
    note = f"{len(of_rows[rows])} image extensions of {rows} rows; left aside, being of another size: {names}"
    return of_rows[rows], (note,)


def _has_pixels(unit: Any) -> bool:
    return isinstance(unit, fits.PrimaryHDU | fits.ImageHDU) and prod(unit.shape or (0,)) > 0


def _check_scaling(path: Path, header: fits.Header) -> None:
    scale, zero = header.get("BSCALE", 1), header.get("BZERO", 0)
    factor, offset = number(scale), number(zero)
    if not factor or offset is None or not 1 / _LARGEST < abs(factor) < _LARGEST or abs(offset) > _LARGEST:
        raise FrameReadError(path, f"says BSCALE = {scale!r} and BZERO = {zero!r}, which give no pixel values")


def _plane(path: Path, shape: Sequence[int]) -> tuple[int, int]:
    axes = [length for length in shape if length > 1]
    if len(axes) < 2:
        raise FrameReadError(path, f"holds one row of {prod(axes)} pixels (a spectrum?), not an image")
    if len(axes) > 2:
        raise FrameReadError(path, f"holds a stack of {prod(axes[:-2])} images, not one frame")
    return axes[0], axes[1]


def _values(header: fits.Header) -> dict[str, object]:
    values: dict[str, list[object]] = {}
    for card in header.cards:
        try:
            value = card.value
        except (fits.VerifyError, ValueError):  # one garbled card does not spoil the others
            continue
        if card.keyword in {"", "COMMENT", "HISTORY"} or isinstance(value, fits.card.Undefined):
            continue
        if isinstance(value, str):
            value = value.rstrip()  # as astropy does, unless its configuration on a machine says otherwise
        keyword = card.keyword.upper()
        if keyword in KEYWORDS["longitude"] and counts_to_the_west(card.comment, value):
            value = f"{value} W"
        for name in ("exposure_time", "ccd_temperature", "set_temperature"):
            if keyword in KEYWORDS[name] and keyword not in UNIT_S:
                value = with_unit_of_comment(name, value, card.comment)
        known = values.setdefault(keyword, [])
        if value not in known:
            known.append(value)
    return {keyword: each[0] if len(each) == 1 else RepeatedCard(tuple(each)) for keyword, each in values.items()}
