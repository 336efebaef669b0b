"""Cards that the frames of a stack have in common, and that hold of the stack too."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ccdcore.cards.dialects import COMBINED_FLAGS, KEYWORDS, REDUCTION_CARDS
from ccdcore.cards.values import Cards
from ccdcore.cards.writing import is_hierarch

_OF_ONE_FRAME = frozenset(
    keyword
    for name in ("date_obs", "time_obs", "exposure_time", "n_averaged", "object", "frame_type")
    for keyword in KEYWORDS[name]
)
"""When one frame was taken and what it was for; what a stack is for stands in its own IMAGETYP."""

_BEGIN = frozenset(KEYWORDS["date_obs"]) - {"DATE"}
"""What says when a frame was taken."""

_OF_FILE = (
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|NEXTEND|XTENSION|[PG]COUNT|GROUPS|T(TYPE|FORM|UNIT|DIM|FIELDS)\d*|EXT(NAME|VER|LEVEL)"
    r"|INHERIT|BSCALE|BZERO|BUNIT|BLANK|CHECKSUM|DATASUM|DATAM(IN|AX)|CBLACK|CWHITE|PEDESTAL|END|COMMENT|HISTORY"
    r"|Z(IMAGE|CMPTYPE|BITPIX|NAXIS\d*|TILE\d+|NAME\d+|VAL\d+|QUANTIZ|DITHER0|SCALE|ZERO|BLANK|HECKSUM|DATASUM|SIMPLE"
    r"|EXTEND|TENSION|PCOUNT|GCOUNT)"
    # How bright a raw pixel may be.
    r"|SATUR(ATE|ATI|LEV)|SATLEVEL|MAXLIN|FULLWELL"
)
_OF_RAW_FILE = re.compile(_OF_FILE)
"""What holds of the file of a raw frame, its scaling and its pixels only, and not of what is made of it."""

_WRONG = re.compile(
    _OF_FILE +
    # Times.
    r"|(.*[-_ ])?(DATE|TIME|MJD|JD|HJD|BJD|UTC?|LST|ST|HA)([-_ ].*)?"
    r"|TIME(SYS|UNIT|ZONE|REF|PIXR|DEL)|(DATE|MJD|JD)REF.*|(JD|MJD|UT|LST?)(START|END|MID|SHUT|OPEN)|TREFPOS|DARKTIME"
    r"|XPOSURE|TELAPSE|ONTIME|LIVETIME|EXP(START|END|TOT)"
    # Places on the sky and in the image.
    r"|WCS.*|[ABCDP]+V?[1-9]*_(ORDER|DMAX|\d+)(_\d+)?|(CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA|CNAME|CRDER|CSYER)\d+[A-Z]?"
    r"|(CD|PC|PV|PS|LTM|ATM|DTM)\d+_\d+[A-Z]?|(LTV|ATV|DTV)\d+|WAT\d_\d+|LON(POLE|G?POLE)|LATPOLE|RADE(SYS|CSYS)"
    r"|EQUINOX|EPOCH|OBJCT.*|(TEL|OBJ|CRVAL)?[-_]?(RA|DEC)|AIRMASS|ZD|AZIMUTH|ALTITUDE|CENT(AZ|ALT)|PLTSOLVD"
    # Sections of the raw image, unlike CCDSEC, that of the detector.
    r"|(?!CCDSEC$).*SEC[A-Z]?\d*"
    r"|SWCREATE|SWMODIFY|PROGRAM|CREATOR|SOFTWARE"
)
"""What is wrong of a stack even where it is the same in all frames of it: structure, scaling and sums of their files,
times, places on the sky, sections, the program that wrote them."""

_KEYWORD = re.compile(r"[A-Z0-9_-]+( [A-Z0-9_-]+)*")
_LONGEST, _LONGEST_HIERARCH = 68, 64
"""Characters of a text that needs no second card; and of keyword and value where the keyword is no standard one."""


def common_cards(headers: Iterable[Cards]) -> dict[str, object]:
    """Return the cards that are equal in all frames of a stack, and hold of it.

    Parameters
    ----------
    headers : iterable of mapping
        The cards of each frame, as of `ccdcore.frames.frame.FrameHeader`; in any order.

    Returns
    -------
    dict of str to bool, int, float or str
        Keyword → value, in the order of the first header. Instrument, telescope, binning, filter, set point, and
        settings such as GAIN and OFFSET are among them. No times, exposure, type, scaling, coordinates or sections of
        one frame, nothing that was done to it, no repeated or over-long card.
    """
    first, *others = headers
    common = {keyword: value for keyword, value in first.items() if _holds(keyword, value)}
    for cards in others:
        common = {keyword: value for keyword, value in common.items() if cards.get(keyword) == value}
    return common


def cards_of_frame(cards: Cards) -> dict[str, object]:
    """Return the cards of a raw frame that hold of it once it is calibrated: times, coordinates, sections too.

    DATE is when the raw file was written, but where nothing else says when the frame was taken.
    """
    gone = {*REDUCTION_CARDS, *(["DATE"] if _BEGIN & cards.keys() else [])}
    return {
        keyword: value
        for keyword, value in cards.items()
        if keyword not in gone and not _OF_RAW_FILE.fullmatch(keyword) and _can_be_written(keyword, value)
    }


def _holds(keyword: str, value: object) -> bool:
    """Whether a card may hold of a stack, and can be written again."""
    if keyword in _OF_ONE_FRAME or keyword in COMBINED_FLAGS or keyword in REDUCTION_CARDS:
        return False
    return not _WRONG.fullmatch(keyword) and _can_be_written(keyword, value)


def _can_be_written(keyword: str, value: object) -> bool:
    if not isinstance(value, bool | int | float | str) or not _KEYWORD.fullmatch(keyword):
        return False
    return len(str(value)) <= (_LONGEST_HIERARCH - len(keyword) if is_hierarch(keyword) else _LONGEST)
