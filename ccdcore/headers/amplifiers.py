"""Amplifiers as header cards give them: where the light is, and the overscan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from ccdcore.cards.dialects import BIAS_SECTIONS, DATA_SECTIONS, ESO_OUTPUT, NO_SECTION
from ccdcore.cards.sections import Amplifier, Section
from ccdcore.cards.values import Cards, count
from ccdcore.errors import SectionError

_KEYWORD = re.compile(rf"({'|'.join((*DATA_SECTIONS, *BIAS_SECTIONS))})(\d{{0,2}}|[A-H])")


@dataclass(frozen=True, slots=True)
class ImageHdu:
    """One image HDU of a frame: its name, its cards, its rows and columns, and the columns of the frame before it."""

    name: str
    cards: Cards
    shape: tuple[int, int]
    columns_before: int = 0


def header_amplifiers(images: Sequence[ImageHdu]) -> tuple[tuple[Amplifier, ...], str]:
    """Read the amplifiers of a frame from its header.

    DATASEC, else TRIMSEC, and BIASSEC, or DSEC, else TSEC, and BSEC (IRAF), each
    of them with a number or letter where one image has several amplifiers.
    Sections are those of the image, binned as it is. Where they do not
    fit it, or contradict each other, the whole image is the amplifier.
    What ESO's cards say is told and not used.

    Parameters
    ----------
    images : sequence of ImageHdu
        The images that stand side by side in the frame; each is one amplifier or more.

    Returns
    -------
    tuple of Amplifier
        At least one for each image, in the pixels of the whole frame.
    str
        The evidence, in words: the cards, or why they are not believed.
    """
    found = [_of_image(image) for image in images]
    reasons = dict.fromkeys(
        f"extension {image.name}: {reason}" if len({other for _, other in found}) > 1 else reason
        for image, (_, reason) in zip(images, found, strict=True)
    )
    several = [f"{len(images)} image extensions"] if len(images) > 1 else []
    return tuple(amplifier for each, _ in found for amplifier in each), "; ".join([*several, *reasons])


def _of_image(image: ImageHdu) -> tuple[list[Amplifier], str]:
    whole = [_placed(Amplifier(image.name, Section.whole(image.shape)), image)]
    sections = _section_cards(image.cards)
    if not sections:
        return whole, f"the whole image: {_eso_overscan(image) or 'no header card names a section'}"
    in_order = sorted(sections.items(), key=lambda item: (len(item[0]), item[0]))
    try:
        amplifiers = [_amplifier(image, suffix, of, alone=len(sections) == 1) for suffix, of in in_order]
        _require_disjoint(amplifiers)
    except SectionError as error:
        return whole, f"the whole image: {error}"
    used = [_first(of, names) for names in (DATA_SECTIONS, BIAS_SECTIONS) for _, of in in_order]
    return [_placed(amplifier, image) for amplifier in amplifiers], ", ".join(filter(None, used))


def _eso_overscan(image: ImageHdu) -> str | None:
    """Return in words the overscan that ESO's cards announce; None where there are none that add up to the image.

    ESO counts the columns and rows before and after the light. Where they really are is another matter: EFOSC2's
    stand at the other side, so that nothing is taken from these cards.
    """
    rows, columns = image.shape
    words = ("NX", "NY", "PRSCX", "OVSCX", "PRSCY", "OVSCY")
    nx, ny, left, right, below, above = (count(image.cards.get(ESO_OUTPUT.format(word))) or 0 for word in words)
    if (left + nx + right, below + ny + above) != (columns, rows) or (nx, ny) == (columns, rows):
        return None
    margins = {"first": (left, below), "last": (right, above)}
    said = [
        f"the {which} {n} {of}"
        for which, both in margins.items()
        for n, of in zip(both, ("columns", "rows"), strict=True)
        if n
    ]
    return (
        f"{' and '.join(said)} are overscan, says {ESO_OUTPUT.format('…')}, often wrongly: "
        "to use them, name them as amplifiers of an entry"
    )


def _section_cards(cards: Cards) -> dict[str, dict[str, str]]:
    """Return the section cards by the number or letter of their amplifier; numbered ones win over one for all."""
    found: dict[str, dict[str, str]] = {}
    for keyword, value in cards.items():
        match = _KEYWORD.fullmatch(keyword)
        if match and re.sub(r"\s", "", str(value)).lower() not in NO_SECTION:
            found.setdefault(match[2], {})[keyword] = str(value)
    numbered = {suffix: of for suffix, of in found.items() if suffix and _first(of, DATA_SECTIONS)}
    return numbered or {suffix: of for suffix, of in found.items() if not suffix}


def _first(cards: Cards, names: Sequence[str]) -> str | None:
    return next((word for name in names for word in cards if word.startswith(name)), None)


def _amplifier(image: ImageHdu, suffix: str, cards: dict[str, str], *, alone: bool) -> Amplifier:
    light, overscan = _first(cards, DATA_SECTIONS), _first(cards, BIAS_SECTIONS)
    if light is None:
        raise SectionError(f"{overscan} = {cards[overscan or '']!r} stands without a DATASEC")
    name = image.name if alone else suffix if image.name == "1" else f"{image.name}-{suffix}"
    data = _fitting(image, light, cards[light])
    return Amplifier(name, data, None if overscan is None else _fitting(image, overscan, cards[overscan]))


def _fitting(image: ImageHdu, keyword: str, value: str) -> Section:
    try:
        section = Section.parse(value)
    except SectionError as error:
        raise SectionError(f"{keyword}: {error}") from error
    if not section.fits(image.shape):
        rows, columns = image.shape
        raise SectionError(
            f"{keyword} = {value!r} does not fit its {columns} columns and {rows} rows (in pixels before binning?)"
        )
    return section


def _require_disjoint(amplifiers: Sequence[Amplifier]) -> None:
    """Refuse sections that claim the same pixels; amplifiers may share an overscan."""
    light = [amplifier.data for amplifier in amplifiers]
    overscans = {amplifier.overscan for amplifier in amplifiers if amplifier.overscan is not None}
    for one, two in [*combinations(light, 2), *((data, overscan) for data in light for overscan in overscans)]:
        if one.overlaps(two):
            raise SectionError(f"its header's sections {one} and {two} overlap")


def _placed(amplifier: Amplifier, image: ImageHdu) -> Amplifier:
    moved = amplifier.overscan and amplifier.overscan.moved(image.columns_before)
    return replace(amplifier, data=amplifier.data.moved(image.columns_before), overscan=moved)
