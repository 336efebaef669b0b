"""The choice: of the masters that pass in all rules the one that adds least to the frame."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from ccdcore.association.facts import KINDS, QUALITY, Detector, Kind, MasterFacts, Subject
from ccdcore.association.price import USUAL_SIGNAL_E, Light, Price, age_days, price_of, quality_of
from ccdcore.association.rules import RuleResult, Tolerances, n_failed, rules_for, suits
from ccdcore.association.wander import Wander
from ccdcore.association.window import cut_for
from ccdcore.cards.sections import Section

_CLEAR_DARK = 20.0
"""Dark signal of so many times the read noise is seen in any frame, whatever the bias drifts by."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A master that was thought of for a frame.

    Parameters
    ----------
    subject : Subject
        The frame.
    master : MasterFacts
        The master.
    tolerances : Tolerances
        By which it was judged.
    passes : bool
        Whether it passes in all rules.
    price : Price or None
        What it would add; None where it does not pass, or its noise is not on record.
    """

    subject: Subject
    master: MasterFacts
    tolerances: Tolerances
    passes: bool
    price: Price | None = None

    @property
    def rules(self) -> tuple[RuleResult, ...]:
        """What each rule says."""
        return tuple(rules_for(self.subject, self.master, self.tolerances))

    @property
    def failed(self) -> tuple[RuleResult, ...]:
        """The rules in which it does not pass."""
        return tuple(one for one in self.rules if not one.passes)

    @property
    def rank(self) -> tuple[float, float, int]:
        """What it adds, in electrons; then its age in days, and its number: the least is the best."""
        total = inf if self.price is None else self.price.total_e
        return total, age_days(self.subject, self.master), self.master.master_id


@dataclass(frozen=True, slots=True)
class Choice:
    """The best master of a kind for a frame.

    Parameters
    ----------
    kind : str
        What it corrects for: ``bias``, ``dark``, ``flat`` or ``mask``.
    master : MasterFacts
        Which one it is; its ``kind`` may be ``darkrate``.
    price : Price or None
        What it adds; None where its noise is not on record.
    quality : int or None
        0 to 3 (`ccdcore.association.price.quality_of`); None without a price.
    frame_noise_e : float
        Noise of a normal pixel of the frame itself, in electrons.
    cut : Section or None
        The part of it, in its pixels, that the frame is of; None where that is all of it.
    """

    kind: Kind
    master: MasterFacts
    price: Price | None
    quality: int | None
    frame_noise_e: float
    cut: Section | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A kind of master that there is none of for a frame, and why."""

    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Which masters suit a frame.

    Parameters
    ----------
    subject : Subject
        The frame.
    choices : tuple of Choice
        The best of each kind, in the order in which a frame is corrected.
    candidates : tuple of Candidate
        All that were thought of, by kind; of each those that pass, the best first, then the others as recorded.
    missing : tuple of Missing
        The kinds that there is no choice of.
    detector : Detector
        What was measured of its detector.
    remarks : tuple of str
        What is odd about the frame, and what the prices were reckoned from that was not measured, in words.
    oddities : tuple of str
        Of these what is odd about the frame, whatever it costs.
    """

    subject: Subject
    choices: tuple[Choice, ...]
    candidates: tuple[Candidate, ...]
    missing: tuple[Missing, ...]
    detector: Detector
    remarks: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()

    def choice(self, kind: Kind) -> Choice | None:
        """Return the best of a kind; None where there is none."""
        return next((one for one in self.choices if one.kind == kind), None)

    def reason(self, kind: Kind) -> str | None:
        """Return why there is none of a kind; None where there is one, or it was not asked for."""
        return next((one.reason for one in self.missing if one.kind == kind), None)


def choose(
    subject: Subject,
    masters: Iterable[MasterFacts],
    *,
    detector: Detector,
    wander_of: Callable[[MasterFacts], Wander],
    tolerances: Tolerances,
    kinds: Sequence[Kind] = KINDS,
    limits: Sequence[float] = QUALITY,
) -> Answer:
    """Return which masters suit a frame, and why no others.

    Parameters
    ----------
    subject : Subject
        The frame.
    masters : iterable of MasterFacts
        All that are thought of, in any order.
    detector : Detector
        Gain and read noise for the prices.
    wander_of : callable
        How far masters of the purpose of one wander.
    tolerances : Tolerances
        How far temperatures may be apart.
    kinds : sequence of str
        What it is to be corrected for.
    limits : sequence of float
        Of the qualities, as fractions of the frame's own noise.
    """
    of_kind: dict[Kind, list[MasterFacts]] = {kind: [] for kind in KINDS}
    for one in masters:
        of_kind[one.corrects].append(one)
    passing = {one.master_id for kind in {"bias", *kinds} for one in of_kind[kind] if suits(subject, one, tolerances)}
    light = Light.of(subject, detector, _bias_level(subject, of_kind["bias"], passing))
    choices, missing, candidates = [], [], []
    for kind in kinds:
        suited = [
            Candidate(subject, one, tolerances, True, price_of(subject, one, light, detector, wander_of(one)))
            for one in of_kind[kind]
            if one.master_id in passing
        ]
        others = [Candidate(subject, one, tolerances, False) for one in of_kind[kind] if one.master_id not in passing]
        found = sorted(suited, key=lambda one: one.rank) + sorted(others, key=lambda one: one.master.master_id)
        candidates += found
        if found and found[0].passes:
            choices.append(_choice(kind, found[0], light, limits))
        else:
            missing.append(Missing(kind, _why_none(kind, subject, found)))
    biases = [one for one in of_kind["bias"] if one.master_id in passing]
    dark = next((one.master for one in choices if one.kind == "dark"), None)
    too_dark = _too_dark(subject, dark, detector, _bias_level(subject, biases, passing))
    oddities = (*too_dark, *_untimed(subject))
    remarks = (*oddities, *_unmeasured(subject, detector), *_untold(choices, wander_of))
    return Answer(subject, tuple(choices), tuple(candidates), tuple(missing), detector, remarks, oddities)


def _untimed(subject: Subject) -> Iterator[str]:
    if subject.at is None:
        yield "nothing tells when the frame was taken: the age of masters is not in their prices"


def _too_dark(subject: Subject, dark: MasterFacts | None, detector: Detector, bias_adu: float | None) -> Iterator[str]:
    """Yield that a frame holds far less than the dark signal of its exposure, where it does.

    Light only adds to it. Half of it may lack where a frame is colder than its header says or the bias drifts; a
    thousandth is there where milliseconds are taken for seconds.
    """
    known = detector.gain_e_per_adu, detector.read_noise_e, bias_adu, subject.level_adu, dark and dark.level
    gain, noise_e, bias, level, of_dark = (one or 0.0 for one in known)
    if None in known or dark is None or subject.exposure_s is None:
        return
    taken_adu = of_dark * (subject.exposure_s if dark.kind == "darkrate" else 1.0)
    held_adu = level - bias
    if held_adu < taken_adu / 2 and taken_adu * gain >= _CLEAR_DARK * noise_e:
        yield (
            f"the frame holds {held_adu:.0f} ADU above the bias, and its dark is {taken_adu:.0f} ADU: is its exposure "
            f"of {subject.exposure_s:g} in seconds, and its temperature right?"
        )


def _unmeasured(subject: Subject, detector: Detector) -> Iterator[str]:
    """Yield what prices and the noise of a frame should be reckoned from, and what was taken for it."""
    if detector.gain_e_per_adu is None:
        yield "the gain is not on record: prices and noise are told as if it were 1 e⁻/ADU"
    if detector.read_noise_e is None:
        yield "the read noise is not on record: the noise of the frame is told without it"
    yield from detector.doubts
    if subject.level_adu is None:
        yield f"the level of the frame is not known: it is taken to have {USUAL_SIGNAL_E:g} e⁻ in a pixel"


def _untold(choices: Sequence[Choice], wander_of: Callable[[MasterFacts], Wander]) -> Iterator[str]:
    """Yield of which masters it is not known how they wander, and of which nothing is."""
    of_others = [one.kind for one in choices if one.kind != "mask" and wander_of(one.master).n_masters == 0]
    if of_others:
        what = f"how the masters of this camera change ({', '.join(of_others)}) is not on record yet"
        yield f"{what}: that of all cameras is taken"
    unread = [one.kind for one in choices if one.price is None]
    if unread:
        yield f"without a price, since its file was not read yet or is gone: {', '.join(unread)}"


def _choice(kind: Kind, best: Candidate, light: Light, limits: Sequence[float]) -> Choice:
    quality = None if best.price is None else quality_of(best.price, light, limits)
    return Choice(kind, best.master, best.price, quality, light.noise_e, cut_for(best.subject, best.master))


def _bias_level(subject: Subject, biases: Sequence[MasterFacts], passing: Collection[int]) -> float | None:
    """Return the level in ADU of the nearest bias in time; of one that does not suit where none does."""
    names = subject.configuration, subject.whole
    alike = [one for one in biases if one.level is not None and one.configuration in names]
    suited = [one for one in alike if one.master_id in passing]
    nearest = min(suited or alike, key=lambda one: (age_days(subject, one), one.master_id), default=None)
    return None if nearest is None else nearest.level


def _why_none(kind: Kind, subject: Subject, found: Sequence[Candidate]) -> str:
    """Say in which rules the nearest fails: that which fails in fewest, of several the nearest in time."""
    if not found:
        return f"no master {kind} of {subject.instrument} is on record"
    n_of_each = [n_failed(subject, one.master, one.tolerances) for one in found]
    fewest = min(n_of_each)
    nearest = min((one for one, n in zip(found, n_of_each, strict=True) if n == fewest), key=lambda one: one.rank)
    said = [f"{one.rule}: {_text(one.frame)} of the frame, {_text(one.master)} there" for one in nearest.failed]
    which = f"master {nearest.master.master_id} of {nearest.master.at:%Y-%m-%d}"
    is_unknown = any(one.frame is None for one in nearest.failed)
    why = f" ({'; '.join(subject.unusable)})" if is_unknown and subject.unusable else ""
    return f"no master {kind} suits: the nearest, {which}, fails in {'; '.join(said)}{why}"


def _text(value: str | float | None) -> str:
    return "unknown" if value is None else f"{value:g}" if isinstance(value, float) else value
