"""Masters on record as a choice sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccdcore.association.facts import MasterFacts, Span
from db.frames.spans import boundaries, span_around
from db.runs.masters import MasterOnRecord, list_masters

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def masters_for(session: Session, instrument: str) -> list[MasterFacts]:
    """Return the masters of a camera, good or not; of one that has none, those of all others."""
    found = list_masters(session, instrument=instrument) or list_masters(session)
    times = boundaries(session)
    return [_facts(one, span_around(times.get(one.instrument, ()), one.valid_from)) for one in found]


def _facts(one: MasterOnRecord, entry: Span) -> MasterFacts:
    is_bad = one.mark == "bad"
    return MasterFacts(
        master_id=one.master_id,
        kind=one.kind,
        instrument=one.instrument,
        configuration=one.configuration,
        filter=one.filter,
        exposure_s=one.exposure_s,
        temperature_c=one.temperature_c if one.kind == "flat" else one.group_c,
        at=one.valid_from,
        path=one.path,
        sha256=one.sha256,
        unit=one.unit,
        n_combined=one.n_combined,
        verdict=one.verdict,
        is_marked_bad=is_bad,
        is_certified=one.certified,
        why_not=one.mark_reason if is_bad else one.certified_reason,
        entry=entry,
    )
