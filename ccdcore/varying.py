"""Which cards part the frames of a set: the hand-hold for levels or noise that go in step with something."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ccdcore.cards import Cards, Several, number

_FEW = 4
"""Values of a card that parts the frames into groups; one with more counts or measures something."""
_LONGEST = 68
"""Characters of a value; longer ones are prose."""
_STRUCTURE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|NEXTEND|XTENSION|[PG]COUNT|T(TYPE|FORM|FIELDS)\d*|BSCALE|BZERO|END|EXT(NAME|VER)"
    r"|CHECKSUM|DATASUM|Z[A-Z]+\d*|COMMENT|HISTORY|DATAM(IN|AX)|CBLACK|CWHITE"
)
_TIMES = re.compile(
    r".*(DATE|TIME|MJD|JD|UTC?|LST|EPOCH|NIGHT)\b.*|(DATE|TIME|MJD|JD|UT|ST|HA|HJD|BJD|LST)[-_A-Z]*|AIRMASS"
)


def varying_cards(
    headers: Sequence[Cards], *, ignored: Sequence[str] = ("IMAGETYP",)
) -> Mapping[str, tuple[object, ...]]:
    """List the cards that part the frames of a set into a few groups.

    A level or a noise that goes in step with one of them tells a setting that nothing else is known of.

    Parameters
    ----------
    headers : sequence of mapping
        The cards of each frame, as of `ccdcore.frame.FrameHeader`; of frames that ought to be alike, such as biases.
    ignored : sequence of str
        Keywords, in capitals, that are known to vary.

    Returns
    -------
    mapping of str to tuple
        Keyword → its value in each frame, in the order of ``headers``: numbers as float, text without surrounding
        blanks, None where a frame lacks it. Two to four different values, at least one of them in two frames or more.
        Cards of structure and of times, prose, and what differs from frame to frame are none.
    """
    keywords = {keyword: None for cards in headers for keyword in cards}
    columns = {keyword: tuple(_plain(cards.get(keyword)) for cards in headers) for keyword in keywords}
    return {
        keyword: values
        for keyword, values in columns.items()
        if keyword not in ignored
        and not _STRUCTURE.fullmatch(keyword)
        and not _TIMES.fullmatch(keyword)
        and 1 < len(set(values)) <= min(_FEW, len(headers) - 1)
        and all(len(value) <= _LONGEST for value in values if isinstance(value, str))
    }


def _plain(value: object) -> float | str | None:
    """Return a value that compares the same however it is written."""
    if value is None or isinstance(value, Several):
        return None if value is None else str(value)
    numeric = number(value)
    return numeric if numeric is not None else str(value).strip()
