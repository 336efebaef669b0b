"""Which cards part the frames of a set, and whether the light of flats goes in step with one that nobody knows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.cards.values import Cards, RepeatedCard, number
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.series import in_time_order
from ccdcore.io.read import read_cards
from ccdcore.reduction.master import Master
from ccdcore.reduction.reduce import reduce_frame

_FEW = 4
"""Values of a card that parts the frames into groups; one with more counts or measures something."""
_MOST_FILTERS = 16
"""Values of a card that may name the filters of a night."""
_LONGEST = 68
"""Characters of a value; longer ones are prose."""
_STRUCTURE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|NEXTEND|XTENSION|[PG]COUNT|T(TYPE|FORM|FIELDS)\d*|BSCALE|BZERO|END|EXT(NAME|VER)"
    r"|CHECKSUM|DATASUM|Z[A-Z]+\d*|COMMENT|HISTORY|DATAM(IN|AX)|CBLACK|CWHITE"
)
_NO_SETTING = re.compile(r".*(FILE|TEMP|HUM|PRES|WIND|EXP)[A-Z]*\d*")
"""Cards of names of files, exposures and weather."""
_OF_FILTERS = re.compile(r".*(FIL|FLT|WHEEL|FW|GRISM|GRATING|SLIT|LAMP).*")
"""Cards that rather tell of the light than others: they are named first."""
_TIMES = re.compile(
    r".*(DATE|TIME|MJD|JD|UTC?|LST|EPOCH|NIGHT)\b.*|(DATE|TIME|MJD|JD|UT|ST|HA|HJD|BJD|LST)[-_A-Z]*|AIRMASS"
)


def varying_cards(
    headers: Sequence[Cards], *, ignored: Sequence[str] = ("IMAGETYP",), few: int = _FEW
) -> Mapping[str, tuple[object, ...]]:
    """List the cards that part the frames of a set into a few groups.

    A level or a noise that goes in step with one of them tells a setting that nothing else is known of.

    Parameters
    ----------
    headers : sequence of mapping
        The cards of each frame, as of `ccdcore.frames.frame.FrameHeader`; of frames that ought to be alike, such as
        biases.
    ignored : sequence of str
        Keywords, in capitals, that are known to vary.
    few : int
        Most different values of a card that parts frames.

    Returns
    -------
    mapping of str to tuple
        Keyword → its value in each frame, in the order of ``headers``: numbers as float, text without surrounding
        blanks, None where a frame lacks it. Two to ``few`` different values, at least one of them in two frames or
        more. Cards of structure and of times, prose, and what differs from frame to frame are none.
    """
    keywords = {keyword: None for cards in headers for keyword in cards}
    columns = {keyword: tuple(_plain(cards.get(keyword)) for cards in headers) for keyword in keywords}
    return {
        keyword: values
        for keyword, values in columns.items()
        if keyword not in ignored
        and not _STRUCTURE.fullmatch(keyword)
        and not _TIMES.fullmatch(keyword)
        and 1 < len(set(values)) <= min(few, len(headers) - 1)
        and all(len(value) <= _LONGEST for value in values if isinstance(value, str))
    }


Image = npt.NDArray[Any]
Groups = tuple[tuple[int, ...], ...]


def _plain(value: object) -> float | str | None:
    """Return a value that compares the same however it is written."""
    if value is None or isinstance(value, RepeatedCard):
        return None if value is None else str(value)
    numeric = number(value)
    return numeric if numeric is not None else str(value).strip()


_BLOCK, _MOST_BLOCKS, _BLOCK_PIXELS = 24, 16, 64
"""Rows and columns of a block at least; blocks along an axis at most; rows and columns looked at in a block."""
_LIT = 0.3
"""Light of a block, as part of the brightest, from which on its shape tells."""
_OTHER_SHAPE, _OTHER_SLOPE, _BEYOND = 0.005, 0.03, 3.0
"""What shapes of light differ by, relative RMS, for another light: without a slope across the image, which the sky of
a twilight has and changes; a slope; and over what two flats of one group differ by."""
_SHUTTER_S = 2.0
"""Where a flat is shorter, the shutter shapes its light."""
_NEAREST = 2
_FEWEST_BLOCKS = 6


def parted_light(
    flats: Sequence[SeriesFrame], bias: Master, *, cards_of: Callable[[Path], Cards] = read_cards
) -> str | None:
    """Say in words that the light of flats has two shapes, in step with a card: two filters, or lamps, in one.

    Parameters
    ----------
    flats : sequence of SeriesFrame
        What one master flat is to be made of, in any order.
    bias : Master
        Taken off each.
    cards_of : callable
        What reads the cards of a file.

    Returns
    -------
    str or None
        None where no card parts them, into groups of two flats or more, whose light differs by more than a slope, and
        by more than that of flats of one group. Headers are read first, pixels where a card parts the flats only.

    Raises
    ------
    FrameReadError
        If a file cannot be read.
    """
    ordered = in_time_order(flats)
    if len(ordered) < 2 * _NEAREST:
        return None
    parting = dict(_partings([cards_of(flat.path) for flat in ordered], ordered))
    shapes: dict[int, Image] = {}
    for groups, keywords in sorted(parting.items(), key=lambda item: not _is_of_filters(item[1])):
        for one, two in combinations(groups, 2):
            nearest = _nearest(one, two), _nearest(two, one)
            for n in {*nearest[0], *nearest[1]} - shapes.keys():
                shapes[n] = _shape(reduce_frame(ordered[n], bias=bias))
            off = _difference(*([shapes[n] for n in some] for some in nearest))
            if off is not None:
                card = min(keywords, key=lambda keyword: not _OF_FILTERS.fullmatch(keyword))
                return _in_words(card, (keywords[card][one[0]], len(one)), (keywords[card][two[0]], len(two)), off)
    return None


def _partings(
    headers: Sequence[Cards], flats: Sequence[SeriesFrame]
) -> Iterator[tuple[Groups, dict[str, tuple[object, ...]]]]:
    """Yield how cards part flats into groups of two or more, and the cards that part them so with their values."""
    found: dict[Groups, dict[str, tuple[object, ...]]] = {}
    for keyword, values in varying_cards(headers, few=_MOST_FILTERS).items():
        if _NO_SETTING.fullmatch(keyword) or any(isinstance(value, float) and value % 1 for value in values):
            continue
        groups = tuple(tuple(n for n, value in enumerate(values) if value == one) for one in dict.fromkeys(values))
        if min(map(len, groups)) >= _NEAREST and not _are_short(groups, flats):
            found.setdefault(groups, {})[keyword] = values
    yield from found.items()


def _are_short(groups: Groups, flats: Sequence[SeriesFrame]) -> bool:
    """Whether groups are of exposure times of their own, one so short that the shutter shapes the light."""
    times = [{flats[n].info.exposure_time_s or 0.0 for n in group} for group in groups]
    return min(map(min, times)) < _SHUTTER_S and any(not one & two for one, two in combinations(times, 2))


def _is_of_filters(keywords: Mapping[str, object]) -> bool:
    return any(_OF_FILTERS.fullmatch(keyword) for keyword in keywords)


def _nearest(group: Sequence[int], other: Sequence[int]) -> list[int]:
    """Return the two of a group that were taken next to others of another."""
    return sorted(group, key=lambda n: min(abs(n - m) for m in other))[:_NEAREST]


def _shape(image: Image) -> Image:
    """Return the median of each block of a flat free of bias, of some of its pixels."""
    rows, columns = image.shape
    n, m = (min(_MOST_BLOCKS, max(1, size // _BLOCK)) for size in (rows, columns))
    height, width = rows // n, columns // m
    blocks = image[: n * height, : m * width].reshape(n, height, m, width)
    some = blocks[:, :: max(1, height // _BLOCK_PIXELS), :, :: max(1, width // _BLOCK_PIXELS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of blocks without a finite pixel
        return np.asarray(np.nanmedian(some, axis=(1, 3)), dtype=np.float64)


def _difference(one: Sequence[Image], two: Sequence[Image]) -> float | None:
    """Return the relative RMS that the shapes of two lights differ by; None where they are of one light."""
    least = np.minimum.reduce([*one, *two])
    lit = np.isfinite(least) & (least > _LIT * np.nanmax(least))
    if np.count_nonzero(lit) < _FEWEST_BLOCKS:
        return None
    within = [_parts(some[0], some[1], lit) for some in (one, two)]
    between = _parts(sum(one[1:], one[0]), sum(two[1:], two[0]), lit)
    limits = (_OTHER_SLOPE, _OTHER_SHAPE)
    is_other = [
        part > max(limit, _BEYOND * max(parts[k] for parts in within))
        for k, (part, limit) in enumerate(zip(between, limits, strict=True))
    ]
    return float(np.hypot(*between)) if any(is_other) else None


def _parts(one: Image, two: Image, lit: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return the RMS of the slope, and of what else there is, in the ratio of two shapes."""
    ratio = one[lit] / two[lit]
    ratio = ratio / np.median(ratio) - 1
    design = np.stack([np.ones(ratio.size), *(axis - axis.mean() for axis in np.nonzero(lit))], axis=1)
    slope = design @ np.linalg.lstsq(design, ratio)[0]
    return float(np.std(slope)), float(np.std(ratio - slope))


def _value(value: object) -> str:
    return "nothing" if value is None else f"{value:g}" if isinstance(value, float) else repr(value)


def _in_words(card: str, one: tuple[object, int], two: tuple[object, int], off: float) -> str:
    (first, n_first), (second, n_second) = one, two
    return (
        f"the light has another shape, by {off:.1%}, in {n_first} flats with {card} = {_value(first)} than in "
        f"{n_second} with {_value(second)}: two filters or lamps in one? where {card} tells the filter, write "
        f'header = {{ filter = "{card}" }} in the entry of the instrument'
    )
