"""Image sections and amplifiers."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ccdcore.errors import SectionError

if TYPE_CHECKING:
    import numpy.typing as npt

_SECTION = re.compile(r"\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]")


@dataclass(frozen=True, slots=True)
class Section:
    """A rectangle of pixels in FITS convention: 1-based, both ends included.

    Parameters
    ----------
    x1, x2 : int
        First and last column (FITS axis 1).
    y1, y2 : int
        First and last row (FITS axis 2).

    Raises
    ------
    SectionError
        If a bound is below 1 or a range is empty.
    """

    x1: int
    x2: int
    y1: int
    y2: int

    def __post_init__(self) -> None:
        if not (1 <= self.x1 <= self.x2 and 1 <= self.y1 <= self.y2):
            raise SectionError(f"section {self} is empty or starts below 1: write [x1:x2,y1:y2]")

    @classmethod
    def parse(cls, text: str) -> Section:
        """Read ``[x1:x2,y1:y2]``; reversed ranges (a flipped read-out) are put in order.

        Raises
        ------
        SectionError
            If the text is something else.
        """
        match = _SECTION.fullmatch(text.strip())
        if match is None:
            raise SectionError(f"{text!r} is not an image section: write [x1:x2,y1:y2]")
        x1, x2, y1, y2 = map(int, match.groups())
        return cls(min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2))

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Section:
        """Return the section that covers an array of ``shape`` (rows, columns)."""
        return cls(1, shape[1], 1, shape[0])

    @property
    def slices(self) -> tuple[slice, slice]:
        """The numpy index (rows, columns) of the section."""
        return slice(self.y1 - 1, self.y2), slice(self.x1 - 1, self.x2)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the section."""
        return self.y2 - self.y1 + 1, self.x2 - self.x1 + 1

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether the section lies inside an array of ``shape`` (rows, columns)."""
        return self.y2 <= shape[0] and self.x2 <= shape[1]

    def overlaps(self, other: Section) -> bool:
        """Whether the two have pixels in common."""
        columns = self.x1 <= other.x2 and other.x1 <= self.x2
        return columns and self.y1 <= other.y2 and other.y1 <= self.y2

    def moved(self, columns: int) -> Section:
        """Return the section this many columns to the right."""
        return Section(self.x1 + columns, self.x2 + columns, self.y1, self.y2)

    def __str__(self) -> str:
        return f"[{self.x1}:{self.x2},{self.y1}:{self.y2}]"


@dataclass(frozen=True, slots=True)
class Amplifier:
    """One read-out channel of a detector.

    Parameters
    ----------
    name : str
        Its name in results, for example ``"1"`` or ``"A"``.
    data : Section
        The pixels that see light.
    overscan : Section, optional
        Pixels read after the last real one; their level is the bias level of
        the same read-out.
    """

    name: str
    data: Section
    overscan: Section | None = None


@dataclass(frozen=True, slots=True)
class Detector:
    """One of the detectors that stand side by side in the frames of a mosaic.

    Parameters
    ----------
    name : str
        What its image HDU is called, else its number there.
    columns_before : int
        Columns of the frame before its first one.
    n_columns : int
        How many it has; it has all rows.
    """

    name: str
    columns_before: int
    n_columns: int

    @property
    def columns(self) -> slice:
        """Which columns of the frame it has, for numpy."""
        return slice(self.columns_before, self.columns_before + self.n_columns)

    def has(self, section: Section) -> bool:
        """Whether a section of the frame lies in it."""
        return self.columns_before < section.x1 and section.x2 <= self.columns_before + self.n_columns

    def part(self, amplifier: Amplifier) -> Amplifier:
        """Return an amplifier of the frame in pixels of this detector, which has it."""
        overscan = amplifier.overscan and amplifier.overscan.moved(-self.columns_before)
        return replace(amplifier, data=amplifier.data.moved(-self.columns_before), overscan=overscan)


def cut(data: npt.NDArray[Any], section: Section) -> npt.NDArray[Any]:
    """Return the pixels of a section, a view of its shape (rows, columns), in the unit of the image.

    Raises
    ------
    SectionError
        If it does not fit the image.
    """
    rows, columns = data.shape
    if not section.fits((rows, columns)):
        raise SectionError(f"section {section} lies outside the image of {columns} columns and {rows} rows")
    return data[section.slices]
