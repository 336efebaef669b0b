"""One judgement of health, for `status`, `doctor`, the pages and monitors: it works, and what needs attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from db.schema.rows import Row
from flows.health.attention import Concern, attention, in_short
from flows.health.condition import condition
from flows.home.home import Home
from flows.home.processes import now

MOST_LISTED = 100
"""Concerns that monitors are handed one by one; all are counted."""


@dataclass(frozen=True, slots=True)
class Judgement(Row):
    """How a home is, on two levels.

    Parameters
    ----------
    findings : tuple of str
        *Working*: what keeps the service from its work, in words; empty where nothing does.
    attention : tuple of Concern
        *Attention*: what somebody should look at, and nobody has; the gravest first.
    ages_s : mapping of str to float or None
        As in `flows.health.condition.Condition`.
    """

    findings: tuple[str, ...]
    attention: tuple[Concern, ...]
    ages_s: Mapping[str, float | None]

    @property
    def is_working(self) -> bool:
        """Whether the service does its work."""
        return not self.findings

    @property
    def is_healthy(self) -> bool:
        """Whether it does, and nothing needs attention."""
        return self.is_working and not self.attention

    @property
    def words(self) -> str:
        """All of it on one line."""
        looked_for = f"look at {', '.join(in_short(self.attention))}" if self.attention else ""
        if self.findings:
            return "; ".join(filter(None, [f"not working: {'; '.join(self.findings)}", looked_for]))
        return f"working, but {looked_for}" if looked_for else "healthy"

    @property
    def problems(self) -> list[str]:
        """What is not well on either level, in words."""
        return [*self.findings, *in_short(self.attention)]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; ``status`` is ``ok`` or ``degraded``, and goes by *working* alone."""
        return {
            "status": "ok" if self.is_working else "degraded",
            "healthy": self.is_healthy,
            "words": self.words,
            "findings": list(self.findings),
            "attention": [one.as_dict() for one in self.attention[:MOST_LISTED]],
            "n_attention": len(self.attention),
            "ages_s": dict(self.ages_s),
        }


def judge(home: Home) -> Judgement:
    """Judge the health of a home; never raises for what it looks at."""
    found = condition(home)
    return Judgement(found.findings, attention(home, now()), found.ages_s)
