"""The rules by which a master suits a frame, or not: the same by which frames make one master."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ccdcore.association.facts import Kind, MasterFacts, Span, Subject, names_of_amplifiers
from ccdcore.association.window import cut_for, is_inside
from ccdcore.frames.groups import distance_k, same_exposure
from ccdcore.frames.series_health import TOLERANCE_K
from ccdcore.recipe import Recipes

Value: TypeAlias = str | float | None
"""Of a frame or a master: degrees Celsius, seconds, or a text."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class RuleResult:
    """A rule, what the frame and what the master have there, and whether they go together."""

    rule: str
    frame: Value
    master: Value
    passes: bool


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far the temperature of a master may be from that of a frame, in kelvin."""

    bias_k: float = 2.0
    dark_k: float = 0.5
    flat_k: float = TOLERANCE_K

    @classmethod
    def of(cls, recipes: Recipes) -> Tolerances:
        """Return those of the recipes by which frames make one master."""
        return cls(recipes.bias.temperature_tolerance_k, recipes.dark.temperature_tolerance_k)


def rules_for(subject: Subject, master: MasterFacts, tolerances: Tolerances) -> Iterator[RuleResult]:
    """Yield what each rule says of a master for a frame."""
    for rule in _RULES[master.corrects]:
        yield RuleResult(rule.name, *rule.values(subject, master), rule.passes(subject, master, tolerances))


def suits(subject: Subject, master: MasterFacts, tolerances: Tolerances) -> bool:
    """Whether a master passes in all rules."""
    return all(rule.passes(subject, master, tolerances) for rule in _RULES[master.corrects])


def n_failed(subject: Subject, master: MasterFacts, tolerances: Tolerances) -> int:
    """Return in how many rules a master does not pass."""
    return sum(not rule.passes(subject, master, tolerances) for rule in _RULES[master.corrects])


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule: its name, what frame and master have there, and whether they go together."""

    name: str
    values: Callable[[Subject, MasterFacts], tuple[Value, Value]]
    passes: Callable[[Subject, MasterFacts, Tolerances], bool]


def _window_values(subject: Subject, master: MasterFacts) -> tuple[Value, Value]:
    section, theirs = cut_for(subject, master), master.shape and _shape_text(master.shape)
    return (subject.shape and _shape_text(subject.shape)) if section is None else str(section), theirs


def _window_passes(subject: Subject, master: MasterFacts, _: Tolerances) -> bool:
    section = cut_for(subject, master)
    if section is not None:
        return is_inside(subject, master, section)
    return subject.shape == master.shape or None in (subject.shape, master.shape)


def _amplifiers_values(subject: Subject, master: MasterFacts) -> tuple[str | None, str | None]:
    own, theirs = subject.amplifiers, master.amplifiers
    if cut_for(subject, master) is None:
        return own, theirs
    return own and names_of_amplifiers(own), theirs and names_of_amplifiers(theirs)


def _amplifiers_pass(subject: Subject, master: MasterFacts, _: Tolerances) -> bool:
    own, theirs = _amplifiers_values(subject, master)
    return own == theirs or None in (own, theirs)


def _temperature_passes(subject: Subject, master: MasterFacts, tolerances: Tolerances) -> bool:
    at, group = subject.temperature_c, master.temperature_c
    if master.kind == "flat":  # it follows the temperature little: one that is not known is no reason
        return at is None or group is None or abs(at - group) <= tolerances.flat_k + _ROUNDING
    most = tolerances.bias_k if master.kind == "bias" else tolerances.dark_k
    return distance_k(at, group) <= most + _ROUNDING


def _exposure_values(subject: Subject, master: MasterFacts) -> tuple[Value, Value]:
    return subject.exposure_s, "any: it is a rate" if master.kind == "darkrate" else master.exposure_s


def _exposure_passes(subject: Subject, master: MasterFacts, _: Tolerances) -> bool:
    seconds = subject.exposure_s
    return bool(seconds) and (master.kind == "darkrate" or same_exposure(seconds, master.exposure_s))


def _mark_values(_: Subject, master: MasterFacts) -> tuple[Value, Value]:
    return "not bad", f"bad: {master.why_not}" if master.is_marked_bad else None


def _certified_values(_: Subject, master: MasterFacts) -> tuple[Value, Value]:
    return "yes", "yes" if master.is_certified else f"no: {master.why_not}"


_OF_ALL = (
    _Rule("camera", lambda s, m: (s.instrument, m.instrument), lambda s, m, _: s.instrument == m.instrument),
    _Rule(
        "configuration",
        lambda s, m: (s.configuration, m.configuration),
        lambda s, m, _: m.configuration in (s.configuration, s.whole),
    ),
)
_OF_LAYOUT = (
    _Rule("window", _window_values, _window_passes),
    _Rule("amplifiers", _amplifiers_values, _amplifiers_pass),
)
_TEMPERATURE = _Rule("temperature", lambda s, m: (s.temperature_c, m.temperature_c), _temperature_passes)
_EXPOSURE = _Rule("exposure", _exposure_values, _exposure_passes)
_FILTER = _Rule("filter", lambda s, m: (s.filter, m.filter), lambda s, m, _: s.filter == m.filter)
_OF_RECORD = (
    _Rule(
        "instrument entry", lambda s, m: (_span_text(s.entry), _span_text(m.entry)), lambda s, m, _: s.entry == m.entry
    ),
    _Rule("verdict", lambda _, m: ("not bad", m.verdict), lambda _, m, __: m.verdict != "bad"),
    _Rule("mark", _mark_values, lambda _, m, __: not m.is_marked_bad),
    _Rule("certified", _certified_values, lambda _, m, __: m.is_certified),
)
_RULES: Mapping[Kind, tuple[_Rule, ...]] = {
    "bias": (*_OF_ALL, _TEMPERATURE, *_OF_LAYOUT, *_OF_RECORD),
    "dark": (*_OF_ALL, _EXPOSURE, _TEMPERATURE, *_OF_LAYOUT, *_OF_RECORD),
    "flat": (*_OF_ALL, _FILTER, _TEMPERATURE, *_OF_LAYOUT, *_OF_RECORD),
    "mask": (*_OF_ALL, *_OF_LAYOUT, *_OF_RECORD),
}


def _shape_text(shape: tuple[int, int]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _span_text(span: Span) -> str | None:
    """Return when an entry holds; None where it always does."""
    begin, end = map(_time_text, span)
    words = ([f"from {begin}"] if begin else []) + ([f"to {end}"] if end else [])
    return " ".join(words) or None


def _time_text(when: datetime | None) -> str | None:
    return None if when is None else f"{when:%Y-%m-%d %H:%M:%S}"
