"""Bias, dark, flat or other: what a frame is for, and the evidence it was taken from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ccdcore.cards import Cards, key
from ccdcore.dialects import COMBINED_FLAG, COMBINED_WORDS, KEYWORDS, NAME_WORDS, TYPE_CARD_WORDS
from ccdcore.instrument import FrameRule, FrameType, Instrument

_LONGEST_BIAS_S = 0.1
_LEAST_WORD = re.compile(r"[A-Za-z]{3}")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_EXTENSIONS = re.compile(r"(\.(fits?|fts|gz|fz))+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one piece of evidence says: a type, or None where it says nothing definite."""

    kind: FrameType | None
    evidence: str


def classify(
    cards: Cards,
    *,
    filename: str,
    object_card: tuple[str, str] | None,
    exposure_time_s: float | None,
    entry: Instrument | None,
) -> tuple[FrameType, str]:
    """Return what a frame is for, and why.

    The evidence, strongest first: a rule of the instrument's entry; a type card
    (IMAGETYP, OBSTYPE, ESO DPR TYPE, …); OBJECT; the file name; a zero exposure.
    A type card that names no calibration ("Light Frame", "object") is
    outranked by an OBJECT or file name that says flat or bias. Where the
    evidence is unclear the type is `FrameType.OTHER`.

    Parameters
    ----------
    cards : mapping
        The header.
    filename : str
        The file's name, without its directory.
    object_card : tuple of str or None
        Keyword and value of the card that names the target, OBJECT.
    exposure_time_s : float or None
        Exposure time in seconds.
    entry : Instrument or None
        The matching entry of the configuration.
    """
    ruled = _by_rule(cards, filename, entry)
    return ruled or _by_evidence(cards, list(_names(object_card, filename)), exposure_time_s)


def holds(cards: Cards, conditions: FrameRule) -> bool:
    """Whether every card of a rule has its value, or matches its shell pattern, in any case."""
    return all(
        key(keyword) in cards and fnmatchcase(_folded(cards[key(keyword)]), _folded(pattern))
        for keyword, pattern in conditions.cards.items()
    )


def _folded(value: object) -> str:
    return str(value).strip().lower()


def _by_rule(cards: Cards, filename: str, entry: Instrument | None) -> tuple[FrameType, str] | None:
    if entry is None:
        return None
    rules = [
        (kind, rule)
        for kind, rule in entry.frame_type.items()
        if holds(cards, rule) and (rule.filename is None or fnmatchcase(_folded(filename), _folded(rule.filename)))
    ]
    if len(rules) > 1:
        kinds = " and ".join(kind for kind, _ in rules)
        return FrameType.OTHER, f"unclear: the rules of entry {entry.name} for {kinds} both hold"
    return next(((kind, f"rule of entry {entry.name}: {_described(rule)}") for kind, rule in rules), None)


def _described(rule: FrameRule) -> str:
    conditions = [f"{keyword} = {pattern!r}" for keyword, pattern in rule.cards.items()]
    if rule.filename is not None:
        conditions.append(f"file name {rule.filename!r}")
    return " and ".join(conditions)


def _by_evidence(cards: Cards, hints: list[_Claim], exposure_time_s: float | None) -> tuple[FrameType, str]:
    if combined := _combined(cards):
        return FrameType.OTHER, f"{combined}: a combined frame, not a raw one"
    statements = list(_type_cards(cards))
    definite = [claim for claim in statements if claim.kind is not None]
    if len({claim.kind for claim in definite}) > 1:
        return FrameType.OTHER, "unclear: " + " but ".join(claim.evidence for claim in definite)
    if statements and not definite:  # "Light Frame": only a flat or a bias outranks it
        hints = [claim for claim in hints if claim.kind is not FrameType.DARK]
    if claims := definite + hints:
        return _weigh(claims, exposure_time_s)
    if statements:
        return FrameType.OTHER, statements[0].evidence
    if exposure_time_s == 0:
        return FrameType.BIAS, "the exposure time is zero"
    return FrameType.OTHER, "no header card, file name or exposure time tells its type"


def _type_cards(cards: Cards) -> Iterator[_Claim]:
    for keyword in KEYWORDS["frame_type"]:
        value = str(cards.get(keyword, ""))
        if _LEAST_WORD.search(value):  # Andor's FRAME holds a date
            yield _Claim(_spoken(TYPE_CARD_WORDS, value), f"{keyword} = {value.strip()!r}")


def _names(object_card: tuple[str, str] | None, filename: str) -> Iterator[_Claim]:
    """Claims of OBJECT and the file name, as far as those say anything."""
    stem = _EXTENSIONS.sub("", filename)
    named = [(object_card[1], f"{object_card[0]} = {object_card[1]!r}")] if object_card else []
    for said, evidence in [*named, (stem, f"the file name {filename!r}")]:
        if kind := _spoken(NAME_WORDS, said):
            yield _Claim(kind, evidence)


def _spoken(words: re.Pattern[str], said: str) -> FrameType | None:
    """Return the one type that ``said`` names; None for none, or for several."""
    plain = " ".join(_WORD.findall(said)).lower()
    kinds = {match.lastgroup for match in words.finditer(plain)}
    kinds = kinds - {"other"} or kinds
    return FrameType(kinds.pop() or "other") if len(kinds) == 1 else None


def _combined(cards: Cards) -> str | None:
    if cards.get(COMBINED_FLAG) is True:
        return f"{COMBINED_FLAG} = T"
    for keyword in KEYWORDS["frame_type"]:
        if COMBINED_WORDS.search(str(cards.get(keyword, ""))):
            return f"{keyword} = {cards[keyword]!r}"
    return None


def _weigh(claims: list[_Claim], exposure_time_s: float | None) -> tuple[FrameType, str]:
    """Say what the first claim, the strongest, means, and what speaks against it."""
    said, reason = claims[0].kind or FrameType.OTHER, claims[0].evidence
    kind = said
    if said is FrameType.DARK and exposure_time_s == 0:
        kind, reason = FrameType.BIAS, f"{reason} with zero exposure"
    doubts = [claim.evidence for claim in claims if claim.kind not in {said, kind}]
    if kind is FrameType.BIAS and exposure_time_s is not None and exposure_time_s > _LONGEST_BIAS_S:
        doubts.append(f"an exposure of {exposure_time_s:g} s")
    if kind is FrameType.FLAT and exposure_time_s == 0:
        doubts.append("a zero exposure")
    return kind, f"{reason}, against {' and '.join(doubts)}" if doubts else reason
