"""Calibrated frames that would now get other masters: better ones came, or those that were used are good no more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ccdcore.association.facts import Kind, Subject
from ccdcore.association.many import choose_many
from ccdcore.association.rules import Tolerances
from db.application.calibrated import CalibratedOnRecord, calibrated_subjects
from db.association.detectors import Detectors
from db.association.figures import wanders
from db.association.masters import masters_for
from db.frames.spans import boundaries, span_around

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.recipe import Recipes


@dataclass(frozen=True, slots=True)
class Affected:
    """A calibrated frame, and the masters that would be used now, by kind; of some there may be none any more."""

    calibrated: CalibratedOnRecord
    now: Mapping[Kind, int]


def affected(session: Session, *, recipes: Recipes) -> list[Affected]:
    """Return the calibrated frames that would now get another choice, in the order in which they were made."""
    times = boundaries(session)
    of_camera: dict[str, list[tuple[CalibratedOnRecord, Subject]]] = defaultdict(list)
    for one, subject in calibrated_subjects(session):
        entry = (None, None) if subject.at is None else span_around(times.get(subject.instrument, ()), subject.at)
        of_camera[subject.instrument].append((one, replace(subject, entry=entry)))
    found = []
    for instrument, some in of_camera.items():
        detectors, masters = Detectors(session, instrument), masters_for(session, instrument)
        chosen = choose_many(
            [subject for _, subject in some],
            masters,
            detectors=[detectors.of(subject) for _, subject in some],
            wander_of=wanders(session, masters),
            tolerances=Tolerances.of(recipes),
        )
        found += [Affected(one, now) for (one, _), now in zip(some, chosen, strict=True) if dict(one.masters) != now]
    return sorted(found, key=lambda one: one.calibrated.calibrated_id)
