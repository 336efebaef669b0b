"""How a master was judged beside the one in force, written when it is recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from db.schema import models
from db.schema.rows import column_value, plain

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

CERTIFIED = "certified"

BESIDE_CHAMPION = "worse", "changed"
"""Outcomes that hold as long as the champion does that they were judged beside."""


@dataclass(frozen=True, slots=True)
class NewCertification:
    """What became of a master.

    Parameters
    ----------
    outcome : str
        ``certified``, ``inconsistent``, ``worse`` or ``changed``: see `ccdcore.certification.certify`.
    reason : str
        The same in words.
    judged_at : datetime
        When.
    champion_id : int or None
        The master in force at the time of its frames; None where there was none.
    figures : mapping
        Numbers by name.
    """

    outcome: str
    reason: str
    judged_at: datetime
    champion_id: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


def record_certification(session: Session, master_id: int, one: NewCertification) -> None:
    """Put on record what became of a master."""
    session.add(
        models.Certification(
            master_id=master_id,
            champion_id=one.champion_id,
            outcome=one.outcome,
            reason=column_value(one.reason),
            figures=plain(one.figures),
            judged_at=one.judged_at,
        )
    )


def forget_certification(session: Session, master_id: int) -> None:
    """Take what was said of a master off the record, with the master."""
    session.execute(delete(models.Certification).where(models.Certification.master_id == master_id))


def outcomes(session: Session, master_ids: Collection[int]) -> dict[int, str]:
    """Return what became of some masters, by id, as far as they were judged."""
    table = models.Certification
    query = select(table.master_id, table.outcome).where(table.master_id.in_(master_ids))
    return dict(session.execute(query).tuples().all())


def certification_of(session: Session, master_id: int) -> dict[str, Any] | None:
    """Return what was said of a master when it was made, as provenance tells it; None where nobody judged it."""
    query = select(models.Certification).where(models.Certification.master_id == master_id)
    found = session.scalars(query).one_or_none()
    return (
        None
        if found is None
        else {
            "outcome": found.outcome,
            "reason": found.reason,
            "figures": found.figures,
            "champion": found.champion_id and f"master:{found.champion_id}",
            "judged_at": found.judged_at,
        }
    )


@dataclass(slots=True)  # not frozen, for that would take as long again as all the rest
class Judged:
    """What was said of a master when it was made, and since; the fields are those of `db.runs.masters.MasterOnRecord`.

    Parameters
    ----------
    outcome, reason : str or None
        As of `NewCertification`.
    champion_set_id : int or None
        The set of the master that it was judged beside.
    purpose : tuple
        What it is for.
    """

    kind: str
    verdict: str
    remark: str | None
    outcome: str | None
    reason: str | None
    champion_id: int | None
    champion_set_id: int | None
    calibration_set_id: int
    superseded: bool
    mark: str | None
    mark_reason: str | None
    purpose: tuple[Any, ...]


def certified(masters: Iterable[Judged]) -> Iterator[tuple[bool, str | None]]:
    """Yield of masters, in order of observation, whether each is certified, and why or why not.

    What was said beside a champion holds while it, or what was made of its set in its place, is good: a champion that
    somebody marked bad has refused nobody, and has again once the mark is taken back.
    """
    champions: set[tuple[Any, ...]] = set()
    for one in masters:
        is_so, reason = said_of(one.kind, one.verdict, one.remark, one.outcome, one.reason)
        if one.outcome in BESIDE_CHAMPION and (one.champion_set_id, *one.purpose) not in champions:
            reason = f"master {one.champion_id}, beside which it was not certified, is in force no longer: {reason}"
            is_so = True
        if one.mark == "good" and one.verdict != "bad" and not is_so:
            is_so, reason = True, f"marked good ({one.mark_reason}), though: {reason}"
        if is_so and "bad" not in (one.verdict, one.mark) and not one.superseded:
            champions.add((one.calibration_set_id, *one.purpose))
        yield is_so, reason


def said_of(
    kind: str, verdict: str, remark: str | None, outcome: str | None, reason: str | None
) -> tuple[bool, str | None]:
    """Return whether a master was certified when it was made, and why or why not."""
    if kind == "mask":
        return True, None
    if verdict == "bad":
        return False, f"its verdict is bad: {remark}" if remark else "its verdict is bad"
    return outcome == CERTIFIED, reason or "it was not judged"
