"""Which masters suit frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from ccdcore.association.choice import Answer, choose
from ccdcore.association.facts import KINDS, Kind, MasterFacts, Subject
from ccdcore.association.price import QUALITY
from ccdcore.association.rules import Tolerances
from ccdcore.association.wander import Wander
from db.association.detectors import detector_of
from db.association.figures import wanders
from db.association.masters import masters_for
from db.association.subjects import at_time

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.recipe import Recipes


def best(
    session: Session,
    subjects: Iterable[Subject],
    *,
    recipes: Recipes,
    kinds: Sequence[Kind] = KINDS,
    limits: Sequence[float] = QUALITY,
) -> list[Answer]:
    """Return which masters on record suit frames, in their order, and why no others.

    Parameters
    ----------
    subjects : iterable of Subject
        The frames: see `db.association.subjects`.
    recipes : Recipes
        By whose tolerances of temperature frames make one master.
    kinds : sequence of str
        What they are to be corrected for.
    limits : sequence of float
        Of the qualities, as parts of a frame's own noise.

    Returns
    -------
    list of Answer
        The paths of masters are relative to the home.
    """
    tolerances = Tolerances.of(recipes)

    @cache
    def of_camera(instrument: str) -> tuple[list[MasterFacts], Callable[[MasterFacts], Wander]]:
        masters = masters_for(session, instrument)
        return masters, wanders(session, masters)

    answers = []
    for one in subjects:
        subject = at_time(session, one, one.at)
        masters, wander_of = of_camera(subject.instrument)
        answers.append(
            choose(
                subject,
                masters,
                detector=detector_of(session, subject),
                wander_of=wander_of,
                tolerances=tolerances,
                kinds=kinds,
                limits=limits,
            )
        )
    return answers
