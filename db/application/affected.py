"""Calibrated frames that would now be calibrated otherwise.

Better masters came, those that were used are good no more, or their gain or read noise is another now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ccdcore.application.ingredients import Readout
from ccdcore.association.facts import Kind, Subject
from ccdcore.association.many import choose_many
from ccdcore.association.rules import Tolerances
from db.application.calibrated import CalibratedOnRecord, calibrated_subjects
from db.application.readout import READ_FROM, Readouts
from db.association.detectors import Detectors
from db.association.figures import wanders
from db.association.masters import masters_for
from db.frames.spans import boundaries, span_around

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.recipe import Recipes


@dataclass(frozen=True, slots=True)
class Affected:
    """A calibrated frame, and what would be used now: masters by kind, gain and read noise by amplifier.

    Of some there may be none any more.
    """

    calibrated: CalibratedOnRecord
    now: Mapping[Kind, int]
    readout: Mapping[str, Readout]

    @property
    def is_affected(self) -> bool:
        """Whether any of it is other than what was used; of readouts that are not on record nobody knows."""
        was = self.calibrated
        return dict(was.masters) != self.now or was.readout not in (None, self.readout)


def affected(session: Session, *, recipes: Recipes) -> list[Affected]:
    """Return the calibrated frames that would now be calibrated otherwise, in the order in which they were made."""
    times = boundaries(session)
    of_camera: dict[str, list[tuple[CalibratedOnRecord, Subject]]] = defaultdict(list)
    for one, subject in calibrated_subjects(session):
        entry = (None, None) if subject.at is None else span_around(times.get(subject.instrument, ()), subject.at)
        of_camera[subject.instrument].append((one, replace(subject, entry=entry)))
    found = [one for camera, some in of_camera.items() for one in _as_now(session, camera, some, recipes)]
    return sorted((one for one in found if one.is_affected), key=lambda one: one.calibrated.calibrated_id)


def _as_now(
    session: Session, camera: str, some: Sequence[tuple[CalibratedOnRecord, Subject]], recipes: Recipes
) -> Iterator[Affected]:
    """Yield with what frames of a camera would be calibrated now."""
    detectors, masters = Detectors(session, camera), masters_for(session, camera)
    readouts = Readouts(session, camera, detectors)
    chosen = choose_many(
        [subject for _, subject in some],
        masters,
        detectors=[detectors.of(subject) for _, subject in some],
        wander_of=wanders(session, masters),
        tolerances=Tolerances.of(recipes),
    )
    for (one, subject), now in zip(some, chosen, strict=True):
        ids = [now[kind] for kind in READ_FROM if kind in now]
        yield Affected(one, now, readouts.of(subject, ids).of)
