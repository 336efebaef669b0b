"""Frames of a part of the detector: which part of the master of the whole detector is theirs."""

from __future__ import annotations

import re

from ccdcore.association.facts import MasterFacts, Subject, sections_of_amplifiers
from ccdcore.cards.sections import Section

_WINDOW = re.compile(r"(bin1x1(?:_.+?)?)_([1-9]\d*)x([1-9]\d*)\+(\d+)\+(\d+)(_.+)?")
"""Of frames that are not binned: cameras differ in whether they count the origin of a window in pixels of the detector
or of the image."""


def parted(configuration: str) -> tuple[str, Section] | None:
    """Part the name of a configuration into that of the whole detector and the window, in its pixels; None of a whole.

    So it is of one whose window cannot be told for sure.
    """
    match = _WINDOW.fullmatch(configuration)
    if match is None:
        return None
    columns, rows, x, y = map(int, match.group(2, 3, 4, 5))
    return match[1] + (match[6] or ""), Section(x + 1, x + columns, y + 1, y + rows)


def cut_for(subject: Subject, master: MasterFacts) -> Section | None:
    """Return the section of a master, in its pixels, that is of a frame's window; None where all of it is."""
    return subject.window if master.configuration != subject.configuration else None


def is_inside(subject: Subject, master: MasterFacts, section: Section) -> bool:
    """Whether a section of a master, in its pixels, lies where it sees light, and has the shape of the frame."""
    if master.shape is None or not section.fits(master.shape) or subject.shape not in (None, section.shape):
        return False
    lit = sections_of_amplifiers(master.amplifiers) if master.amplifiers else ()
    return all(
        one.x1 <= section.x1 and section.x2 <= one.x2 and one.y1 <= section.y1 and section.y2 <= one.y2 for one in lit
    )
