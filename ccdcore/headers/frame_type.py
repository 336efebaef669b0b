"""Bias, dark, flat or other: what a frame is for, and the evidence it was taken from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ccdcore.cards.dialects import (
    CATALOGUES,
    COMBINED_FLAGS,
    COMBINED_WORDS,
    FILTER_WHEELS,
    KEYWORDS,
    LIGHT,
    NAME_WORDS,
    NO_TYPE,
    PIPELINE_CARDS,
    PROCSOFT,
    PRODUCT_CARDS,
    QUALIFIERS,
    REDUCTION_CARDS,
    REDUCTION_LEVEL,
    SHORT_TYPES,
    TOTAL_EXPOSURE,
    TYPE_CARD_WORDS,
    TYPE_CODES,
)
from ccdcore.cards.values import Cards, RepeatedCard, key, number
from ccdcore.compression import ADDED_SUFFIXES, FITS_SUFFIXES
from ccdcore.headers.instrument import FrameRule, FrameType, Instrument

_LONGEST_BIAS_S = 0.1
_FEW_LETTERS = 2
_MORE_THAN_ONE = 1.5
_LIGHT_FIRST = re.compile(r"lights?\b")
_LEAST_WORD = re.compile(r"[A-Za-z]{2}")
_NO_LETTERS = re.compile(r"[^a-z]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NOT_DONE = frozenset({"", "f", "false", "0", "no", "none", "omit"})
_EXTENSIONS = re.compile(rf"({'|'.join(map(re.escape, FITS_SUFFIXES + ADDED_SUFFIXES))})+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one piece of evidence says: a type, or None where it says nothing definite."""

    kind: FrameType | None
    evidence: str
    is_light: bool = False


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
    (IMAGETYP, OBSTYPE, ESO DPR TYPE, …); an OBJECT that is a type's spelling
    ("dome flat V", not "Flat Rock Nebula"); the file name; a zero exposure.
    A type card that names no calibration ("Light Frame", "object") is
    outranked by such an OBJECT that says flat or bias, and where OBJECT says
    nothing by a file name that does; a plain "LIGHT" by the latter only.
    Masters and reduced frames are no raw ones, whatever else the header says, and
    ccdwatch's own, which keep cards of raw ones, whatever a rule says;
    they and frames whose evidence is unclear are `FrameType.OTHER`.

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
    made = next(_made_of_frames(cards, object_card, filename, exposure_time_s), None)
    if made is not None and (ruled is None or _is_our_own(cards)):
        return FrameType.OTHER, made
    return ruled or _by_evidence(cards, _target(cards, object_card), _by_name(filename), exposure_time_s)


def _is_our_own(cards: Cards) -> bool:
    return cards.get("COMBINED") is True and cards.get("PROCSOFT") == PROCSOFT


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


def _by_evidence(
    cards: Cards, target: _Claim | None, name: _Claim | None, exposure_time_s: float | None
) -> tuple[FrameType, str]:
    statements = list(_type_cards(cards))
    definite = [claim for claim in statements if claim.kind is not None]
    if len({claim.kind for claim in definite}) > 1:
        return FrameType.OTHER, "unclear: " + " but ".join(claim.evidence for claim in definite)
    if statements and not definite:
        return _against_light(statements, target, name, exposure_time_s)
    if claims := [claim for claim in (*definite, target, name) if claim is not None and claim.kind is not None]:
        return _weigh(claims, exposure_time_s)
    if exposure_time_s == 0:
        return FrameType.BIAS, "the exposure time is zero"
    return FrameType.OTHER, "no header card, file name or exposure time tells its type"


def _against_light(
    statements: list[_Claim], target: _Claim | None, name: _Claim | None, exposure_time_s: float | None
) -> tuple[FrameType, str]:
    """Say whether a frame that calls itself a light is one; only a flat or a bias outranks that."""
    weak, calibrations = statements[0].evidence, {FrameType.BIAS, FrameType.FLAT}
    is_explicit = any(claim.is_light for claim in statements)
    if target is not None and target.kind in calibrations and not is_explicit:
        return _weigh([target, *([name] if name is not None else [])], exposure_time_s)
    if target is None and name is not None and name.kind in calibrations:
        kind, reason = _weigh([name], exposure_time_s)
        return kind, f"{reason}{' and ' if ', against ' in reason else ', against '}{weak}"
    return FrameType.OTHER, weak


def _type_cards(cards: Cards) -> Iterator[_Claim]:
    for keyword in KEYWORDS["frame_type"]:
        for value in _values(cards, keyword):
            said = _decoded(keyword, value)
            if _LEAST_WORD.search(said) and _plain(said) not in NO_TYPE:  # Andor's FRAME holds a date
                short = SHORT_TYPES.get(_plain(said))
                kind = FrameType(short) if short else _spoken(TYPE_CARD_WORDS, said)
                yield _Claim(kind, f"{keyword} = {_quoted(value)}", is_light=_plain(said) in LIGHT)


def _values(cards: Cards, keyword: str) -> tuple[object, ...]:
    value = cards.get(keyword, "")
    return value.values if isinstance(value, RepeatedCard) else (value,)


def _decoded(keyword: str, value: object) -> str:
    """Return what a type card says, in words where it is the code of one."""
    words, code = TYPE_CODES.get(keyword, ()), number(value)
    return words[int(code)] if code is not None and 0 <= code < len(words) else str(value)


def _quoted(value: object) -> str:
    return repr(value.strip() if isinstance(value, str) else value)


def _target(cards: Cards, object_card: tuple[str, str] | None) -> _Claim | None:
    """Return the claim of OBJECT: of no type where it names something else; None where it says nothing."""
    if object_card is None or (_plain(object_card[1]) in NO_TYPE and not any(map(str.isdigit, object_card[1]))):
        return None
    keyword, said = object_card
    filter_cards = [card for wheel in (KEYWORDS["filter"], *FILTER_WHEELS) for card in wheel]
    usual = QUALIFIERS.union(*(_plain(str(cards.get(card, ""))).split() for card in filter_cards))
    rest = NAME_WORDS.sub(" ", _plain(said)).split()
    is_spelling = all(len(word) <= _FEW_LETTERS or word in usual for word in rest) and not CATALOGUES.search(said)
    return _Claim(_spoken(NAME_WORDS, said) if is_spelling else None, f"{keyword} = {said!r}")


def _by_name(filename: str) -> _Claim | None:
    """Return the claim of the file name, where it says anything."""
    stem = _EXTENSIONS.sub("", filename)
    kind = None if _LIGHT_FIRST.match(_plain(stem)) else _spoken(NAME_WORDS, stem)
    return None if kind is None else _Claim(kind, f"the file name {filename!r}")


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


def _made_of_frames(
    cards: Cards, object_card: tuple[str, str] | None, filename: str, exposure_time_s: float | None
) -> Iterator[str]:
    """Say why a frame is no raw one: a master, a product, or reduced already."""
    yield from (f"{card} = T: a combined frame, not a raw one" for card in COMBINED_FLAGS if cards.get(card) is True)
    products = [card for card in PRODUCT_CARDS if _plain(str(cards.get(card, ""))) not in {"", "raw"}]
    if pipeline := _pipeline_product(cards):
        products.append(pipeline)
    yield from (f"{card} = {_quoted(cards[card])}: a product, not a raw frame" for card in products)
    total = number(cards.get(TOTAL_EXPOSURE))
    if total is not None and exposure_time_s and total > _MORE_THAN_ONE * exposure_time_s:
        yield f"{TOTAL_EXPOSURE} = {total:g}, of exposures of {exposure_time_s:g} s: a combined frame, not a raw one"
    for keyword in REDUCTION_CARDS:
        if _folded(cards.get(keyword, "")) not in _NOT_DONE:
            yield f"{keyword} = {_quoted(cards[keyword])}: reduced already, not a raw frame"
    typed = [(str(cards.get(keyword, "")), keyword) for keyword in KEYWORDS["frame_type"]]
    named = [(said, f"{keyword} = {_quoted(cards.get(keyword))}") for said, keyword in typed]
    for said, evidence in [*named, *_called(object_card, filename)]:
        if COMBINED_WORDS.search(_plain(said)) or COMBINED_WORDS.search(_NO_LETTERS.sub(" ", said.lower())):
            yield f"{evidence}: a combined frame, not a raw one"


def _pipeline_product(cards: Cards) -> str | None:
    """Return the card of a pipeline that says so."""
    level = number(cards.get(REDUCTION_LEVEL))
    if level is not None:
        return REDUCTION_LEVEL if level > 0 else None
    return next((card for card in PIPELINE_CARDS if any(map(str.isdigit, str(cards.get(card, ""))))), None)


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
