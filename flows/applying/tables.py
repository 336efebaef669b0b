"""Which masters suit a frame, as tables for people: what is chosen, and all that was thought of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ccdcore.association.choice import Answer, Candidate, Choice
from ccdcore.association.facts import MasterFacts
from ccdcore.association.price import Price
from ccdcore.association.rules import RuleResult
from ccdcore.text import number_of, value_text
from flows.terminal import grouped

Row = dict[str, Any]

_PRICE = ("price (e⁻)", "random", "systematic", "doubles after")
_CHOICE = ("kind", "master", "observed", "frames", "quality", *_PRICE, "path")
_CANDIDATE = ("kind", "master", "observed", "frames", "passes", "price (e⁻)", "fails in")
_SHORT_CHOICE = ("kind", "master", "date", "frames", "quality", "price (e⁻)", "doubles after")
_SHORT_CANDIDATE = ("kind", "master", "date", "frames", "passes", "price (e⁻)", "random", "systematic")


def rows_of_answers(answers: Iterable[Answer]) -> list[Row]:
    """Return answers as one table for other programs: a row a candidate."""
    return [
        {"frame": answer.subject.name, **_candidate(one), "chosen": one.master.master_id in chosen}
        for answer in answers
        for chosen in [{choice.master.master_id for choice in answer.choices}]
        for one in answer.candidates
    ]


@dataclass(frozen=True, slots=True)
class AnswerTable:
    """A table of what suits a frame: its rows, all its columns, and the fewer for which a terminal has room."""

    rows: list[Row]
    columns: tuple[str, ...]
    short: tuple[str, ...]


def lines_of_answer(answer: Answer) -> list[str]:
    """Return what is said of a frame before its tables: what it is, and what it lacks."""
    subject = answer.subject
    of = [subject.instrument, subject.configuration]
    of += [] if subject.at is None else [f"{subject.at:%Y-%m-%d %H:%M}"]
    of += [] if subject.exposure_s is None else [f"{subject.exposure_s:g} s"]
    of += [] if subject.filter is None else [subject.filter]
    of += [] if subject.temperature_c is None else [f"{subject.temperature_c:g} °C"]
    noise = [f"noise of a pixel {one.frame_noise_e:.3g} e⁻" for one in answer.choices[:1]]
    return [f"{subject.name}: {', '.join([*of, *noise])}", *(one.reason for one in answer.missing), *answer.remarks]


def tables_of_answer(answer: Answer, *, wide: bool) -> list[AnswerTable]:
    """Return the tables of a frame: what is chosen, and all that was thought of; where `wide`, a column a rule."""
    chosen = [_for_people(_choice(one)) for one in answer.choices]
    rules = dict.fromkeys(rule.rule for one in answer.candidates for rule in one.rules) if wide else ()
    thought_of = [_for_people(_candidate(one)) | (_rules(one) if wide else {}) for one in answer.candidates]
    tables = (
        AnswerTable(chosen, _CHOICE, () if wide else _SHORT_CHOICE),
        AnswerTable(thought_of, (*_CANDIDATE, *rules), () if wide else _SHORT_CANDIDATE),
    )
    return [one for one in tables if one.rows]


def failures_of_answer(answer: Answer) -> list[str]:
    """Return the rules in which masters fail, alike ones in a line."""
    lines = grouped(((f"{one.master.master_id}", _failed(one)) for one in answer.candidates if one.failed), "master")
    return ["Rules that masters fail in, what the frame has / what they have:", *lines] if lines else []


def gaps_for_people(rows: Iterable[Row]) -> list[Row]:
    """Return what is missing with fewer words, so that a terminal has room: of the nights the first."""
    return [row | {"when": _when(row["nights"]), "to take": row["n_to_take"]} for row in rows]


def reasons_of_gaps(rows: Iterable[Row]) -> list[str]:
    """Return why things are missing, alike ones in a line."""
    return grouped(((f"{row['kind']} {row['of']}".strip(), f"missing: {row['reason']}") for row in rows), "kind")


def _when(nights: Sequence[str]) -> str:
    first, *others = nights or ["–"]
    return f"{first} and {len(others)} more" if others else first


def _for_people(row: Row) -> Row:
    """Return a row with the day of observation beside its time, and prices to the digits that are of use."""
    rounded = {name: f"{row[name]:.3g}" for name in _PRICE[:3] if row[name] is not None}
    return {**row, **rounded, "date": row["observed"][:10]}


def _choice(one: Choice) -> Row:
    return {**_master(one.master), **_price(one.price), "quality": one.quality, "path": one.master.path}


def _candidate(one: Candidate) -> Row:
    said = _failed(one) or None
    return {**_master(one.master), "passes": one.passes, **_price(one.price), "fails in": said}


def _failed(one: Candidate) -> str:
    return "; ".join(f"{rule.rule}: {_both(rule)}" for rule in one.failed)


def _master(one: MasterFacts) -> Row:
    return {"kind": one.kind, "master": one.master_id, "observed": one.at.isoformat(), "frames": one.n_combined}


def _price(price: Price | None) -> Row:
    days = None if price is None or not isfinite(price.doubles_after_days) else round(price.doubles_after_days)
    return {
        "price (e⁻)": price and price.total_e,
        "random": price and price.random_e,
        "systematic": price and price.systematic_e,
        "doubles after": None if days is None else number_of(days, "day"),
    }


def _rules(one: Candidate) -> Row:
    return {rule.rule: _both(rule) for rule in one.rules}


def _both(rule: RuleResult) -> str:
    """Return what the frame and what the master has, the same but once."""
    frame, master = (value_text(one) if isinstance(one, float) else one or "–" for one in (rule.frame, rule.master))
    return frame if frame == master else f"{frame} / {master}"
