"""Bias, dark, flat or other: what a frame is for, and the evidence it was taken from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ccdcore.cards import Cards, Several, key, number
from ccdcore.dialects import (
    COMBINED_FLAGS,
    COMBINED_WORDS,
    KEYWORDS,
    NAME_WORDS,
    NO_TYPE,
    PRODUCT_CARDS,
    REDUCTION_CARDS,
    TYPE_CARD_WORDS,
    TYPE_CODES,
)
from ccdcore.instrument import FrameRule, FrameType, Instrument

_LONGEST_BIAS_S = 0.1
_LEAST_WORD = re.compile(r"[A-Za-z]{2}")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NOT_DONE = frozenset({"", "f", "false", "0", "no", "none", "omit"})
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
    outranked by an OBJECT or file name that says flat or bias. Masters and
    reduced frames are no raw ones, whatever else the header says; they and
    frames whose evidence is unclear are `FrameType.OTHER`.

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
    if ruled is None and (made := _made_of_frames(cards, object_card, filename)):
        return FrameType.OTHER, made
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
        for value in _values(cards, keyword):
            said = _decoded(keyword, value)
            if _LEAST_WORD.search(said) and _plain(said) not in NO_TYPE:  # Andor's FRAME holds a date
                yield _Claim(_spoken(TYPE_CARD_WORDS, said), f"{keyword} = {_quoted(value)}")


def _values(cards: Cards, keyword: str) -> tuple[object, ...]:
    value = cards.get(keyword, "")
    return value.values if isinstance(value, Several) else (value,)


def _decoded(keyword: str, value: object) -> str:
    """Return what a type card says, in words where it is the code of one."""
    words, code = TYPE_CODES.get(keyword, ()), number(value)
    return words[int(code)] if code is not None and 0 <= code < len(words) else str(value)


def _quoted(value: object) -> str:
    return repr(value.strip() if isinstance(value, str) else value)


def _names(object_card: tuple[str, str] | None, filename: str) -> Iterator[_Claim]:
    """Claims of OBJECT and the file name, as far as those say anything."""
    for said, evidence in _called(object_card, filename):
        if kind := _spoken(NAME_WORDS, said):
            yield _Claim(kind, evidence)


def _called(object_card: tuple[str, str] | None, filename: str) -> list[tuple[str, str]]:
    named = [(object_card[1], f"{object_card[0]} = {object_card[1]!r}")] if object_card else []
    return [*named, (_EXTENSIONS.sub("", filename), f"the file name {filename!r}")]


def _plain(said: str) -> str:
    return " ".join(_WORD.findall(said)).lower()


def _spoken(words: re.Pattern[str], said: str) -> FrameType | None:
    """Return the one type that ``said`` names; None for none, or for several."""
    kinds = {match.lastgroup for match in words.finditer(_plain(said))}
    kinds = kinds - {"other"} or kinds
    return FrameType(kinds.pop() or "other") if len(kinds) == 1 else None


def _made_of_frames(cards: Cards, object_card: tuple[str, str] | None, filename: str) -> str | None:
    """Say why a frame is no raw one: a master, a product, or reduced already."""
    for keyword in COMBINED_FLAGS:
        if cards.get(keyword) is True:
            return f"{keyword} = T: a combined frame, not a raw one"
    for keyword in PRODUCT_CARDS:
        if _plain(str(cards.get(keyword, ""))) not in {"", "raw"}:
            return f"{keyword} = {_quoted(cards[keyword])}: a product, not a raw frame"
    for keyword in REDUCTION_CARDS:
        if _folded(cards.get(keyword, "")) not in _NOT_DONE:
            return f"{keyword} = {_quoted(cards[keyword])}: reduced already, not a raw frame"
    typed = [(str(cards.get(keyword, "")), keyword) for keyword in KEYWORDS["frame_type"]]
    named = [(said, f"{keyword} = {_quoted(cards.get(keyword))}") for said, keyword in typed]
    for said, evidence in [*named, *_called(object_card, filename)]:
        if COMBINED_WORDS.search(_plain(said)):
            return f"{evidence}: a combined frame, not a raw one"
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
