"""Which masters suit a frame, as plain JSON values."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from ccdcore.association.choice import Answer, Candidate, Choice
from ccdcore.association.price import Price
from db.schema.rows import plain


def answer_row(answer: Answer, home: Path) -> dict[str, Any]:
    """Return an answer as JSON has it, the paths of masters whole: they lie in the ``home``."""
    return {
        "frame": plain(answer.subject.name),
        "choices": [_choice(one, home) for one in answer.choices],
        "candidates": [_candidate(one) for one in answer.candidates],
        "missing": [asdict(one) for one in answer.missing],
        "remarks": list(answer.remarks),
    }


def _choice(one: Choice, home: Path) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "master_id": one.master.master_id,
        "master_kind": one.master.kind,
        "path": plain(str(home / one.master.path)),
        "sha256": one.master.sha256,
        "observed_at": plain(one.master.at),
        "n_combined": one.master.n_combined,
        "quality": one.quality,
        **_price(one.price),
        "frame_noise_e": one.frame_noise_e,
        "section": None if one.cut is None else str(one.cut),
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    return {
        "kind": one.master.corrects,
        "master_id": one.master.master_id,
        "master_kind": one.master.kind,
        "observed_at": plain(one.master.at),
        "n_combined": one.master.n_combined,
        "passes": one.passes,
        "rules": [asdict(rule) for rule in one.rules],
        **_price(one.price),
    }


def _price(price: Price | None) -> dict[str, float | None]:
    """Return a price; None for what is not known, and for a time that never comes."""
    if price is None:
        return dict.fromkeys(("price_e", "random_e", "systematic_e", "doubles_after_days"))
    doubles = price.doubles_after_days if isfinite(price.doubles_after_days) else None
    return {
        "price_e": price.total_e,
        "random_e": price.random_e,
        "systematic_e": price.systematic_e,
        "doubles_after_days": doubles,
    }
