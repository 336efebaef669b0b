"""The rules by which a master suits a frame, or not: the same by which frames make one master."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ccdcore.association.facts import Kind, MasterFacts, Span, Subject
from ccdcore.association.window import cut_for, is_inside, names_of
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
    """Yield what each rule says of a master for a frame, those first that most masters of a camera fail in."""
    for rule in _RULES[master.corrects]:
        yield rule(subject, master, tolerances)


def suits(subject: Subject, master: MasterFacts, tolerances: Tolerances) -> bool:
    """Whether a master passes in all rules."""
    return all(one.passes for one in rules_for(subject, master, tolerances))


_Rule: TypeAlias = Callable[[Subject, MasterFacts, Tolerances], RuleResult]


def _camera(subject: Subject, master: MasterFacts, _: Tolerances) -> RuleResult:
    return RuleResult("camera", subject.instrument, master.instrument, subject.instrument == master.instrument)


def _configuration(subject: Subject, master: MasterFacts, _: Tolerances) -> RuleResult:
    passes = master.configuration in (subject.configuration, subject.whole)
    return RuleResult("configuration", subject.configuration, master.configuration, passes)


def _window(subject: Subject, master: MasterFacts, _: Tolerances) -> RuleResult:
    section = cut_for(subject, master)
    theirs = None if master.shape is None else _shape_text(master.shape)
    if section is not None:
        return RuleResult("window", str(section), theirs, is_inside(subject, master, section))
    own = None if subject.shape is None else _shape_text(subject.shape)
    return RuleResult("window", own, theirs, own is None or theirs is None or own == theirs)


def _amplifiers(subject: Subject, master: MasterFacts, _: Tolerances) -> RuleResult:
    own, theirs = subject.amplifiers, master.amplifiers
    if cut_for(subject, master) is not None:
        own, theirs = names_of(own), names_of(theirs)
    return RuleResult("amplifiers", _listed(own), _listed(theirs), None in (own, theirs) or own == theirs)


def _temperature(subject: Subject, master: MasterFacts, tolerances: Tolerances) -> RuleResult:
    at, group = subject.temperature_c, master.temperature_c
    if master.kind == "flat":  # a flat's follows its temperature little: one that is not known is no reason
        passes = None in (at, group) or distance_k(at, group) <= tolerances.flat_k + _ROUNDING
    else:
        most = tolerances.bias_k if master.kind == "bias" else tolerances.dark_k
        passes = distance_k(at, group) <= most + _ROUNDING
    return RuleResult("temperature", at, group, passes)


def _exposure(subject: Subject, master: MasterFacts, _: Tolerances) -> RuleResult:
    seconds = subject.exposure_s
    if master.kind == "darkrate":
        return RuleResult("exposure", seconds, "any: it is a rate", seconds is not None and seconds > 0)
    passes = bool(seconds) and same_exposure(seconds, master.exposure_s)
    return RuleResult("exposure", seconds, master.exposure_s, passes)


def _filter(subject: Subject, master: MasterFacts, _: Tolerances) -> RuleResult:
    return RuleResult("filter", subject.filter, master.filter, subject.filter == master.filter)


def _entry(subject: Subject, master: MasterFacts, _: Tolerances) -> RuleResult:
    own, theirs = _span_text(subject.entry), _span_text(master.entry)
    return RuleResult("instrument entry", own, theirs, own == theirs)


def _verdict(_: Subject, master: MasterFacts, __: Tolerances) -> RuleResult:
    return RuleResult("verdict", "not bad", master.verdict, master.verdict != "bad")


def _mark(_: Subject, master: MasterFacts, __: Tolerances) -> RuleResult:
    said = f"bad: {master.why_not}" if master.is_marked_bad else None
    return RuleResult("mark", "not bad", said, not master.is_marked_bad)


def _certified(_: Subject, master: MasterFacts, __: Tolerances) -> RuleResult:
    said = "yes" if master.is_certified else f"no: {master.why_not}"
    return RuleResult("certified", "yes", said, master.is_certified)


_OF_ALL: tuple[_Rule, ...] = (_camera, _configuration, _window, _amplifiers)
_OF_RECORD: tuple[_Rule, ...] = (_entry, _verdict, _mark, _certified)
_RULES: Mapping[Kind, tuple[_Rule, ...]] = {
    "bias": (*_OF_ALL, _temperature, *_OF_RECORD),
    "dark": (*_OF_ALL, _temperature, _exposure, *_OF_RECORD),
    "flat": (*_OF_ALL, _filter, _temperature, *_OF_RECORD),
    "mask": (*_OF_ALL, *_OF_RECORD),
}


def _shape_text(shape: tuple[int, int]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _listed(amplifiers: tuple[str, ...] | None) -> str | None:
    return None if amplifiers is None else ", ".join(amplifiers)


def _span_text(span: Span) -> str | None:
    """Return when an entry holds; None where it always does."""
    begin, end = map(_time_text, span)
    words = ([f"from {begin}"] if begin else []) + ([f"to {end}"] if end else [])
    return " ".join(words) or None


def _time_text(when: datetime | None) -> str | None:
    return None if when is None else f"{when:%Y-%m-%d %H:%M:%S}"
